/**
 * What every matmul loop nest needs at its edges: which workgroup computes which block of C when there are more
 * blocks than one dispatch dimension holds, indices kept in range for reads, and guarded writes.
 *
 * Names that the generator declares begin with `mm_`. Where a size is a multiple of the tile, no clamp and no guard is
 * emitted.
 */
import type { ShaderParts, MatmulSpec } from "./product.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";

/** Components of a vec4 in WGSL. */
export const COMPONENTS = ["x", "y", "z", "w"] as const;

/** How many workgroups, and the WGSL that gives each its block: `mm_batch`, `mm_blockM`, `mm_blockN` (i32). */
interface Grid {
  readonly workgroups: [number, number, number];
  readonly lines: readonly string[];
}

/**
 * One workgroup for each block of `rows` × `columns` of each matrix of the batch, n fastest; folded into two dispatch
 * dimensions where one does not hold them. Needs the builtin `mm_group: vec3<u32>`.
 * @throws Error when even two do not.
 */
export function blockGrid(spec: MatmulSpec, rows: number, columns: number): Grid {
  const blocksM = Math.ceil(spec.m / rows);
  const blocksN = Math.ceil(spec.n / columns);
  const count = spec.batch * blocksM * blocksN;
  if (count > 2 ** 31 - MAX_WORKGROUPS) {
    throw new Error(
      `${spec.name}: ${count} blocks of ${rows}x${columns} are more than one dispatch can index; split ` + "the batch",
    );
  }
  const y = Math.ceil(count / MAX_WORKGROUPS);
  const x = Math.ceil(count / y);
  const lines = [y === 1 ? "let mm_flat = i32(mm_group.x);" : `let mm_flat = i32(mm_group.x + mm_group.y * ${x}u);`];
  // The same for the whole workgroup, so barriers may follow.
  if (x * y !== count) lines.push(`if (mm_flat >= ${count}) { return; }`);
  lines.push(
    `let mm_blockN = ${blocksN === 1 ? "0" : `mm_flat % ${blocksN}`};`,
    `let mm_blockM = ${blocksM === 1 ? "0" : `(mm_flat / ${blocksN}) % ${blocksM}`};`,
    `let mm_batch = ${spec.batch === 1 ? "0" : `mm_flat / ${blocksN * blocksM}`};`,
  );
  return { workgroups: [x, y, 1], lines };
}

/** `index`, or the last index that can be read, when `covered` elements are visited of an axis of `extent`. */
export function clampIndex(index: string, extent: number, covered: number, width = 1): string {
  return covered <= extent ? index : `min(${index}, ${extent - width})`;
}

/** What is known of a block's edges when its results are stored. */
interface StoreBlock {
  /** WGSL name of the row. */
  readonly row: string;
  /** Rows that all workgroups together visit, at least m; likewise columns, at least n. */
  readonly coveredRows: number;
  readonly coveredColumns: number;
  /** Each 4 neighbouring columns: WGSL names of the first column's index and of the value. */
  readonly columns: readonly { readonly first: string; readonly value: string }[];
}

/** Statements that store a row of results, inside the matrix only. */
export function storeRow(spec: MatmulSpec, block: StoreBlock): string[] {
  const lines: string[] = [];
  for (const { first, value } of block.columns) {
    const inside = block.coveredColumns <= spec.n;
    if (spec.storeVector) {
      const store = `let mm_v = ${value}; ${spec.store4("mm_batch", block.row, first, "mm_v")}`;
      lines.push(inside ? `{ ${store} }` : `if (${first} < ${spec.n}) { ${store} }`);
    } else {
      // A loop, not 4 copies: the text of a tile has up to 64 of these, with a fused epilogue in each.
      const end = inside ? "4" : `min(4, ${spec.n} - ${first})`;
      lines.push(
        `for (var mm_e = 0; mm_e < ${end}; mm_e++) {`,
        `  let mm_n = ${first} + mm_e;`,
        `  let mm_v = ${value}[mm_e];`,
        `  ${spec.store("mm_batch", block.row, "mm_n", "mm_v")}`,
        "}",
      );
    }
  }
  return block.coveredRows <= spec.m ? lines : [`if (${block.row} < ${spec.m}) {`, ...lines, "}"];
}

/** Numbers 0 to count - 1. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** The text of a kernel: declarations, workgroup memory, and `main` with the given body. */
export function kernelText(
  spec: MatmulSpec,
  { title, invocations, sharedVectors, body }: ShaderParts,
  directives: readonly string[] = [],
  parameters: readonly string[] = [],
  declarations: readonly string[] = [],
): string {
  return [
    `// ${spec.name}: ${spec.batch} x [${spec.m}, ${spec.k}] x [${spec.k}, ${spec.n}], ${title}`,
    ...directives,
    spec.declarations,
    ...sharedLines(sharedVectors),
    ...declarations,
    `@compute @workgroup_size(${invocations})`,
    "fn main(@builtin(workgroup_id) mm_group: vec3<u32>, @builtin(local_invocation_index) mm_index: u32" +
      `${parameters.map((parameter) => `, ${parameter}`).join("")}) {`,
    ...body.map((line) => `  ${line}`),
    "}",
    "",
  ].join("\n");
}

/** The declaration of workgroup memory, where there is any. */
export function sharedLines(vectors: number): string[] {
  return vectors > 0 ? [`var<workgroup> mm_shared: array<vec4<f32>, ${vectors}>;`] : [];
}
