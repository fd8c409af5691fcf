/** Operands of an attention kernel as WGSL declarations and bindings, and the rows of its block. */
import type { AttentionSpec, RowBlock } from "../../specs/attention.ts";
import { inputNames, outputNames } from "../../specs/attention.ts";
import type { Binding } from "../kernel.ts";

/**
 * WGSL that declares `first`, `rowEnd`, `columnFirst` and `columnEnd` of block `index`: constants where they are the
 * same for all blocks, else read from tables.
 */
export function declareBlock(blocks: readonly RowBlock[], side: number, index: string): string {
  const sequential = blocks.every((b, i) => b.row === i * side);
  const declare = (name: string, values: readonly number[]): string => {
    if (values.every((v) => v === values[0])) return `let ${name} = ${values[0]};\n`;
    return `var ${name}Of = array<i32, ${values.length}>(${values.join(", ")}); let ${name} = ${name}Of[${index}];\n`;
  };
  return (
    (sequential
      ? `let first = ${index} * ${side};\n`
      : declare(
          "first",
          blocks.map((b) => b.row),
        )) +
    declare(
      "rowEnd",
      blocks.map((b) => b.rowEnd),
    ) +
    declare(
      "columnFirst",
      blocks.map((b) => b.columnFirst),
    ) +
    declare(
      "columnEnd",
      blocks.map((b) => b.columnEnd),
    )
  );
}

/** Bindings of a kernel that uses the buffers `used`, in the order given, and their WGSL declarations. */
export function declareBuffers(
  spec: AttentionSpec,
  backward: boolean,
  used: readonly { name: string; write: boolean }[],
): { bindings: Binding[]; declarations: string } {
  const inputs = inputNames(spec, backward);
  const outputs = outputNames(spec, backward);
  const bindings: Binding[] = [];
  let declarations = "";
  for (const { name, write } of used) {
    const access = write ? "read_write" : "read";
    if (inputs.includes(name)) bindings.push({ role: "in", index: inputs.indexOf(name), access });
    else if (outputs.includes(name)) bindings.push({ role: "out", index: outputs.indexOf(name), access });
    else bindings.push({ role: "scratch", index: 0, access });
    const scalars = ["lse", "mask", "keep", "delta"].includes(name) || (spec.dim % 4 !== 0 && name !== "shares");
    declarations +=
      `@group(0) @binding(${bindings.length - 1}) ` +
      `var<storage, ${access}> ${name}: array<${scalars ? "f32" : "vec4<f32>"}>;\n`;
  }
  return { bindings, declarations };
}
