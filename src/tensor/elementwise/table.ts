/**
 * The elementwise ops, one row each: the row is the op, on every device.
 *
 * A row gives the op's WGSL and float64 form, its derivative as an expression of tensor ops, and the domain and error
 * bound that the property tests use. Kernels, gradients, tests and docs/ops.md follow from it.
 *
 * WGSL forms must hold for scalars and for vec4 alike; literals go through `w.f(…)`, which splats them.
 */
import { ARITHMETIC } from "./arithmetic.ts";
import { COMPARISONS } from "./comparisons.ts";
import { FUNCTIONS } from "./functions.ts";
import type { ElementwiseForm, ElementwiseOp } from "./row.ts";
import { VALUES } from "./values.ts";
import type { ElementwiseName } from "./values.ts";

const FORMS: Readonly<Record<ElementwiseName, ElementwiseForm>> = { ...ARITHMETIC, ...FUNCTIONS, ...COMPARISONS };

/** The table of elementwise ops: one row is an op on every device (docs/ops.md). */
export const ELEMENTWISE = Object.fromEntries(
  Object.entries<ElementwiseForm>(FORMS).map(([name, form]) => [name, { ...VALUES[name as ElementwiseName], ...form }]),
) as Readonly<Record<ElementwiseName, ElementwiseOp>>;

/** The whole row of an op. @throws Error where there is none of this name */
export function elementwiseRow(name: string): ElementwiseOp {
  const row = (ELEMENTWISE as Record<string, ElementwiseOp>)[name];
  if (!row) throw new Error(`no elementwise op named "${name}"`);
  return row;
}
