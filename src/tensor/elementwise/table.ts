/**
 * The elementwise ops, one row each: what it takes and comes to in float64 (`values.ts`), its derivative as an expression
 * of tensor ops, and the domain and error bound that the property tests use. With the op's form for devices (`forms.ts`)
 * kernels, gradients, tests and docs/ops.md follow from it.
 */
import { ARITHMETIC } from "./arithmetic.ts";
import { COMPARISONS } from "./comparisons.ts";
import { FUNCTIONS } from "./functions.ts";
import type { ElementwiseRules, ElementwiseOp } from "./row.ts";
import { VALUES } from "./values.ts";
import type { ElementwiseName } from "./values.ts";

const RULES: Readonly<Record<ElementwiseName, ElementwiseRules>> = { ...ARITHMETIC, ...FUNCTIONS, ...COMPARISONS };

/** The table of elementwise ops: one row is an op on every device (docs/ops.md). */
export const ELEMENTWISE = Object.fromEntries(
  Object.entries<ElementwiseRules>(RULES).map(([name, rules]) => [
    name,
    { ...VALUES[name as ElementwiseName], ...rules },
  ]),
) as Readonly<Record<ElementwiseName, ElementwiseOp>>;

/** The whole row of an op. @throws Error where there is none of this name */
export function elementwiseRow(name: string): ElementwiseOp {
  const row = (ELEMENTWISE as Record<string, ElementwiseOp>)[name];
  if (!row) throw new Error(`no elementwise op named "${name}"`);
  return row;
}
