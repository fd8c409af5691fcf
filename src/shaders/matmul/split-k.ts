/**
 * Split-k: the long k of a product with few results is cut into parts, each a product of its own with workgroups of its
 * own, and a second kernel adds the parts up in their order and stores. A weight's gradient has a k of all rows of the
 * batch and little output: without it most of a GPU has nothing to do (CUTLASS's split-k; Osama et al., "Stream-K",
 * PPoPP 2023, tells where it pays). Sums do not depend on the order in which workgroups run.
 */
import type { AdapterProfile } from "../kernel.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";
import { emitMatmul } from "./matmul.ts";
import type { MatmulOperand, MatmulShader, MatmulSpec, MatmulTile } from "./product.ts";

/** What split-k adds to a product. */
interface Split {
  /** Parts that k is cut into, at least 1; fewer are made where they would be less than 4 long. */
  readonly parts: number;
  /** Declarations of what the operands read, for the first kernel, and the binding that is free for the sums of parts. */
  readonly operands: { readonly declarations: string; readonly binding: number };
  /** Declarations of what the stores write, for the second kernel, and its free binding. */
  readonly results: { readonly declarations: string; readonly binding: number };
}

/** Both kernels; the first writes the sums of parts, the second reads them. */
interface SplitShader {
  readonly partial: MatmulShader;
  readonly sum: { readonly wgsl: string; readonly workgroups: [number, number, number] };
  /** Length of the scratch memory between them, in float32. */
  readonly scratch: number;
}

const INVOCATIONS = 64;

/** The product with its k split. @throws Error as `emitMatmul` does. */
export function emitSplitK(spec: MatmulSpec, split: Split, tile: MatmulTile, profile: AdapterProfile): SplitShader {
  const { batch, m, n, k } = spec;
  const depth = Math.ceil(k / split.parts / 4) * 4;
  const parts = Math.ceil(k / depth);
  const vectors = n % 4 === 0;
  const type = `array<${vectors ? "vec4<f32>" : "f32"}>`;
  const reads = (operand: MatmulOperand): MatmulOperand => {
    const cut =
      (load: MatmulOperand["load"], zero: string, width: number): MatmulOperand["load"] =>
      (b, outer, at) => {
        const group = parts === 1 ? b : `(${b} / ${parts})`;
        const whole = parts === 1 ? at : `((${b} % ${parts}) * ${depth} + ${at})`;
        // The last part may be short: what is beyond the end is zero on both sides.
        if (parts * depth === k) return load(group, outer, whole);
        return `select(${zero}, ${load(group, outer, `min(${whole}, ${k - width})`)}, ${whole} < ${k})`;
      };
    const along = operand.vectorAxis === "k" ? 4 : 1;
    return {
      vectorAxis: operand.vectorAxis,
      load: cut((...at) => operand.load(...at), "0.0", 1),
      load4: cut((...at) => operand.load4(...at), "vec4<f32>()", along),
    };
  };
  const at = (b: string, i: string, j: string): string => `((${b}) * ${m} + ${i}) * ${n} + ${j}`;
  const partial: MatmulSpec = {
    ...spec,
    batch: batch * parts,
    k: depth,
    a: reads(spec.a),
    b: reads(spec.b),
    storeVector: vectors,
    declarations:
      `${split.operands.declarations}\n` +
      `@group(0) @binding(${split.operands.binding}) var<storage, read_write> parts_of_k: ${type};`,
    store: (b, i, j, value) =>
      vectors
        ? `parts_of_k[(${at(b, i, j)}) / 4][(${at(b, i, j)}) % 4] = ${value};`
        : `parts_of_k[${at(b, i, j)}] = ${value};`,
    store4: (b, i, j, value) => `parts_of_k[(${at(b, i, j)}) / 4] = ${value};`,
  };
  const columns = vectors ? n / 4 : n;
  const count = batch * m * columns;
  const groups = Math.ceil(count / INVOCATIONS);
  const x = Math.min(groups, MAX_WORKGROUPS);
  const y = Math.ceil(groups / x);
  const column = vectors ? "mm_column * 4" : "mm_column";
  const store =
    vectors && spec.storeVector
      ? spec.store4("mm_batch", "mm_row", "mm_n", "mm_v")
      : vectors
        ? `for (var mm_e = 0; mm_e < 4; mm_e++) { let mm_w = mm_v[mm_e]; ${spec.store("mm_batch", "mm_row", "(mm_n + mm_e)", "mm_w")} }`
        : spec.store("mm_batch", "mm_row", "mm_n", "mm_v");
  const wgsl = `// ${spec.name}: the sum of ${parts} parts of k
${split.results.declarations}
@group(0) @binding(${split.results.binding}) var<storage, read> parts_of_k: ${type};
@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) mm_group: vec3<u32>, @builtin(local_invocation_index) mm_index: u32) {
  let mm_flat = i32((mm_group.x + mm_group.y * ${x}u) * ${INVOCATIONS}u + mm_index);
  if (mm_flat >= ${count}) { return; }
  let mm_column = mm_flat % ${columns};
  let mm_row = (mm_flat / ${columns}) % ${m};
  let mm_batch = mm_flat / ${columns * m};
  let mm_n = ${column};
  var mm_v = ${vectors ? "vec4<f32>()" : "0.0"};
  for (var mm_part = 0; mm_part < ${parts}; mm_part++) {
    mm_v += parts_of_k[((mm_batch * ${parts} + mm_part) * ${m} + mm_row) * ${columns} + mm_column];
  }
  ${store}
}
`;
  return {
    partial: emitMatmul(partial, tile, profile),
    sum: { wgsl, workgroups: [x, y, 1] },
    scratch: parts * batch * m * n,
  };
}
