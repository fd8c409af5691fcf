/** The text of docs/ops.md. */
import { ELEMENTWISE } from "../src/tensor/elementwise/table.ts";
import type { ElementwiseOp } from "../src/tensor/elementwise/row.ts";

export function opsTable(): string {
  const rows = Object.entries<ElementwiseOp>(ELEMENTWISE).map(([name, row]) => {
    const result = row.gives ?? "as taken";
    return `| \`${name}\` | ${row.arity} | ${row.takes} | ${result} | ${row.grad ? "yes" : "–"} | ${row.bound ?? 2e-6} | ${row.doc.replaceAll("|", "\\|")} |`;
  });
  return [
    "# Elementwise ops",
    "",
    "Written by `npm run docs` from the table in `src/tensor/elementwise/`. The bound is the largest error on a float32",
    "device, relative to max(1, |value|), that the property tests allow.",
    "",
    "| op | operands | take | gives | gradient | bound | meaning |",
    "|---|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}
