/**
 * Products of one shape from several layers as one: a batch whose members read and write buffers of their own (the
 * "grouped GEMM" of CUTLASS and cuBLAS). There is one loop nest for all, and which buffers are meant is the same for a
 * whole workgroup.
 */
import type { MatmulOperand, MatmulSpec } from "./product.ts";

/** Statements or an expression of a member, for one of its batches. */
type Text = (spec: MatmulSpec, batch: string) => string;

/**
 * One product that does all of `specs`. Their declarations are put together, so names and bindings differ; sizes and
 * vector axes are equal.
 * @throws Error where they are not.
 */
export function groupProducts(name: string, specs: readonly MatmulSpec[]): MatmulSpec {
  const [first] = specs;
  const shape = ({ batch, m, n, k, a, b, storeVector }: MatmulSpec): string =>
    `${batch} of ${m} × ${n} × ${k}, read along ${a.vectorAxis} and ${b.vectorAxis}, stored in ${storeVector ? "fours" : "ones"}`;
  for (const spec of specs) {
    if (shape(spec) !== shape(first)) {
      throw new Error(`${name}: products of one group have one shape; there are ${shape(first)} and ${shape(spec)}`);
    }
  }
  const functions: string[] = [];
  /** A function that does what the member of a batch does. */
  const choice = (fn: string, parameters: string, result: string | undefined, text: Text): void => {
    const batch = first.batch === 1 ? "0" : `(b % ${first.batch})`;
    const member = first.batch === 1 ? "b" : `b / ${first.batch}`;
    const cases = specs.map((spec, i) => {
      const label = i === specs.length - 1 ? "default:" : `case ${i}:`;
      return `    ${label} { ${result ? `return ${text(spec, batch)};` : text(spec, batch)} }`;
    });
    const head = `fn ${fn}(b: i32, ${parameters})${result ? ` -> ${result}` : ""} {`;
    functions.push([head, `  switch (${member}) {`, ...cases, "  }", "}"].join("\n"));
  };
  const operand = (which: "a" | "b"): MatmulOperand => {
    const { vectorAxis } = first[which];
    choice(`grouped_${which}`, "o: i32, k: i32", "f32", (spec, b) => spec[which].load(b, "o", "k"));
    if (vectorAxis !== "none") {
      choice(`grouped4_${which}`, "o: i32, k: i32", "vec4<f32>", (spec, b) => spec[which].load4(b, "o", "k"));
    }
    return {
      vectorAxis,
      load: (b, o, k) => `grouped_${which}(${b}, ${o}, ${k})`,
      load4: (b, o, k) => `grouped4_${which}(${b}, ${o}, ${k})`,
    };
  };
  const [a, b] = [operand("a"), operand("b")];
  const [type, fn] = first.storeVector ? ["vec4<f32>", "grouped4_c"] : ["f32", "grouped_c"];
  choice(fn, `i: i32, j: i32, value: ${type}`, undefined, (spec, batch) =>
    first.storeVector ? spec.store4(batch, "i", "j", "value") : spec.store(batch, "i", "j", "value"),
  );
  const store = (at: string, i: string, j: string, value: string): string => `${fn}(${at}, ${i}, ${j}, ${value});`;
  return {
    ...first,
    name,
    batch: specs.length * first.batch,
    a,
    b,
    declarations: [...specs.map(({ declarations }) => declarations), ...functions].join("\n"),
    store,
    store4: store,
  };
}
