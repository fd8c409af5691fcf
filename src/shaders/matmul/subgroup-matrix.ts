/**
 * Matmul on subgroup matrices (tensor cores): operands rounded to f16, sums in f32. Experimental and never chosen by
 * itself: it needs the WebGPU features `chromium-experimental-subgroup-matrix`, `shader-f16` and `subgroups`, and f16
 * operands keep 11 bits and overflow beyond 65504.
 *
 * The loop nest is that of ./matmul-shared.ts with the innermost two levels replaced: blocks of A and B are staged in
 * workgroup memory as f16, both row-major, and each subgroup multiplies `rows` × `columns` matrices of the adapter's
 * shape. Results go through workgroup memory to the store callbacks, one row of matrices at a time, so that a fused
 * epilogue sees them element by element.
 *
 * The proposal (https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md) is in flux: the order of the
 * type's size parameters and the spelling of loads and stores differ between versions of Dawn. `probeSubgroupMatrix`
 * compiles a small shader in each known dialect and tells which one the device takes.
 */
import type { MatmulKernel, MatmulOperand, MatmulSpec } from "./matmul.ts";
import { blockGrid, clampIndex, COMPONENTS, kernelText, range, storeRow } from "./edges.ts";

/** Sizes of the matrices that one subgroup multiplies: m×k times k×n. */
export interface MatrixShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/**
 * How a version of Dawn spells it. Size parameters of the types: columns first or rows first. Layout of loads and
 * stores: a boolean argument "column-major", or a template parameter `row_major`.
 */
export type SubgroupMatrixDialect = "columns-flag" | "rows-flag" | "columns-template" | "rows-template";

export const SUBGROUP_MATRIX_DIALECTS: readonly SubgroupMatrixDialect[] = [
  "columns-template",
  "columns-flag",
  "rows-template",
  "rows-flag",
];

/** Tile of a workgroup of `subgroups` subgroups. */
export interface SubgroupMatrixTile {
  readonly kind: "subgroup-matrix";
  /** Matrices of results along m and n a subgroup. */
  readonly rows: number;
  readonly columns: number;
  /** Subgroups along n and along m. */
  readonly subgroups: readonly [number, number];
  /** Depth of the staged blocks, a multiple of the shape's k and of 4. */
  readonly kTile: number;
  readonly shape: MatrixShape;
  /** Invocations a subgroup: the adapter must have one size only (`subgroupMinSize` = `subgroupMaxSize`). */
  readonly subgroupSize: number;
  readonly dialect: SubgroupMatrixDialect;
}

/** The spelling of types, loads and stores in a dialect. All matrices are row-major. */
function spelling(
  dialect: SubgroupMatrixDialect,
  { m, n, k }: MatrixShape,
): {
  left: string;
  right: string;
  result: string;
  load(type: string, from: string, offset: string, stride: number): string;
  store(to: string, offset: string, value: string, stride: number): string;
} {
  const size = (rows: number, columns: number): string =>
    dialect.startsWith("columns") ? `${columns}, ${rows}` : `${rows}, ${columns}`;
  const flag = dialect.endsWith("flag");
  return {
    left: `subgroup_matrix_left<f16, ${size(m, k)}>`,
    right: `subgroup_matrix_right<f16, ${size(k, n)}>`,
    result: `subgroup_matrix_result<f32, ${size(m, n)}>`,
    load: (type, from, offset, stride) =>
      flag
        ? `subgroupMatrixLoad<${type}>(&${from}, ${offset}, false, ${stride}u)`
        : `subgroupMatrixLoad<${type}, row_major>(&${from}, ${offset}, ${stride}u)`,
    store: (to, offset, value, stride) =>
      flag
        ? `subgroupMatrixStore(&${to}, ${offset}, ${value}, false, ${stride}u);`
        : `subgroupMatrixStore<row_major>(&${to}, ${offset}, ${value}, ${stride}u);`,
  };
}

const DIRECTIVES = ["enable f16;", "enable subgroups;", "enable chromium_experimental_subgroup_matrix;"];

/**
 * The dialect the device compiles, or undefined: without the features, or when it understands none.
 * The shape used has three different sizes, so that a wrong order of parameters does not pass.
 */
export async function probeSubgroupMatrix(device: GPUDevice): Promise<SubgroupMatrixDialect | undefined> {
  const features = device.features as ReadonlySet<string>;
  const needed = ["chromium-experimental-subgroup-matrix", "shader-f16", "subgroups"];
  if (!needed.every((name) => features.has(name))) return undefined;
  for (const dialect of SUBGROUP_MATRIX_DIALECTS) {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: probeText(dialect) });
    const [info, error] = await Promise.all([module.getCompilationInfo(), device.popErrorScope()]);
    if (error === null && info.messages.every(({ type }) => type !== "error")) return dialect;
  }
  return undefined;
}

/** A product of one matrix pair of three different sizes. */
function probeText(dialect: SubgroupMatrixDialect): string {
  const write = spelling(dialect, { m: 8, n: 16, k: 32 });
  return `${DIRECTIVES.join("\n")}
var<workgroup> a: array<f16, 256>;
var<workgroup> b: array<f16, 512>;
@group(0) @binding(0) var<storage, read_write> c: array<f32, 128>;
@compute @workgroup_size(32) fn main() {
  let left = ${write.load(write.left, "a", "0u", 32)};
  let right = ${write.load(write.right, "b", "0u", 16)};
  var sum = ${write.result}();
  sum = subgroupMatrixMultiplyAccumulate(left, right, sum);
  ${write.store("c", "0u", "sum", 16)}
}`;
}

/** One operand as f16 in workgroup memory. */
interface Block {
  readonly name: string;
  readonly operand: MatmulOperand;
  /** Rows of A's block or columns of B's, and the whole axis with what the blocks visit of it. */
  readonly width: number;
  readonly extent: number;
  readonly covered: number;
  /** WGSL name of the block's first row or column. */
  readonly first: string;
  /** Elements from one row or column to the next, and from one k to the next: both blocks are row-major. */
  readonly outerStride: number;
  readonly kStride: number;
}

/**
 * The kernel of `spec` on subgroup matrices. The sizes of `spec` have been checked.
 * @throws Error when the tile does not fit the shape, or takes more than `maxBytes` of workgroup memory.
 */
export function emitSubgroupMatrix(spec: MatmulSpec, tile: SubgroupMatrixTile, maxBytes: number): MatmulKernel {
  const {
    rows,
    columns,
    subgroups: [x, y],
    kTile,
    shape,
    subgroupSize,
  } = tile;
  const { m, n, k } = shape;
  if (kTile % k !== 0 || kTile % 4 !== 0 || m % 4 !== 0 || n % 4 !== 0) {
    throw new Error(
      `${spec.name}: kTile = ${kTile} with matrices of ${m}x${n}x${k}; kTile must be a multiple of the ` +
        "matrices' k and of 4, and their m and n multiples of 4",
    );
  }
  const blockM = y * rows * m;
  const blockN = x * columns * n;
  const outWidth = columns * n;
  const outSize = m * outWidth;
  const bytes = 2 * kTile * (blockM + blockN) + 4 * x * y * outSize;
  if (bytes > maxBytes) {
    throw new Error(
      `${spec.name}: a subgroup-matrix tile of ${blockM}x${blockN}x${kTile} takes ${bytes} bytes of ` +
        `workgroup memory, the adapter has ${maxBytes}; take fewer subgroups or a smaller kTile`,
    );
  }
  const threads = x * y * subgroupSize;
  const { workgroups, lines } = blockGrid(spec, blockM, blockN);
  const coveredRows = Math.ceil(spec.m / blockM) * blockM;
  const coveredColumns = Math.ceil(spec.n / blockN) * blockN;
  const a: Block = {
    name: "mm_a",
    operand: spec.a,
    width: blockM,
    extent: spec.m,
    covered: coveredRows,
    first: "mm_m0",
    outerStride: kTile,
    kStride: 1,
  };
  const b: Block = {
    name: "mm_b",
    operand: spec.b,
    width: blockN,
    extent: spec.n,
    covered: coveredColumns,
    first: "mm_n0",
    outerStride: 1,
    kStride: blockN,
  };
  const write = spelling(tile.dialect, shape);
  const memory = [
    `var<workgroup> mm_a: array<f16, ${kTile * blockM}>;`,
    `var<workgroup> mm_b: array<f16, ${kTile * blockN}>;`,
    `var<workgroup> mm_out: array<f32, ${x * y * outSize}>;`,
  ];
  const body = [
    ...lines,
    "let mm_thread = i32(mm_index);",
    `let mm_rows = (mm_subgroup / ${x}u) * ${rows * m}u;`,
    `let mm_columns = (mm_subgroup % ${x}u) * ${columns * n}u;`,
    `let mm_m0 = mm_blockM * ${blockM};`,
    `let mm_n0 = mm_blockN * ${blockN};`,
    ...range(rows * columns).map((i) => `var mm_c${i} = ${write.result}();`),
    `for (var mm_k = 0; mm_k < ${spec.k}; mm_k += ${kTile}) {`,
    ...stage(a, spec, kTile, threads).map((line) => `  ${line}`),
    ...stage(b, spec, kTile, threads).map((line) => `  ${line}`),
    "  workgroupBarrier();",
  ];
  for (let j = 0; j < kTile; j += k) {
    body.push(
      "  {",
      ...range(columns).map(
        (c) => `    let mm_r${c} = ${write.load(write.right, "mm_b", `${j * blockN + c * n}u + mm_columns`, blockN)};`,
      ),
      ...range(rows).flatMap((r) => [
        `    let mm_l${r} = ${write.load(write.left, "mm_a", `(${r * m}u + mm_rows) * ${kTile}u + ${j}u`, kTile)};`,
        ...range(columns).map((c) => {
          const sum = `mm_c${r * columns + c}`;
          return `    ${sum} = subgroupMatrixMultiplyAccumulate(mm_l${r}, mm_r${c}, ${sum});`;
        }),
      ]),
      "  }",
    );
  }
  body.push("  workgroupBarrier();", "}");

  const quads = (x * y * outSize) / 4;
  for (const r of range(rows)) {
    for (const c of range(columns)) {
      body.push(write.store("mm_out", `mm_subgroup * ${outSize}u + ${c * n}u`, `mm_c${r * columns + c}`, outWidth));
    }
    body.push(
      "workgroupBarrier();",
      `for (var mm_e = mm_thread; mm_e < ${quads}; mm_e += ${threads}) {`,
      `  let mm_s = mm_e / ${outSize / 4};`,
      `  let mm_in = mm_e % ${outSize / 4};`,
      `  let mm_row = mm_m0 + (mm_s / ${x}) * ${rows * m} + ${r * m} + mm_in / ${outWidth / 4};`,
      `  let mm_o0 = mm_n0 + (mm_s % ${x}) * ${columns * n} + (mm_in % ${outWidth / 4}) * 4;`,
      `  let mm_quad = vec4<f32>(${range(4)
        .map((i) => `mm_out[mm_e * 4 + ${i}]`)
        .join(", ")});`,
      ...storeRow(spec, {
        row: "mm_row",
        coveredRows,
        coveredColumns,
        columns: [{ first: "mm_o0", value: "mm_quad" }],
      }),
      "}",
      "workgroupBarrier();",
    );
  }
  const title = `subgroup matrices ${m}x${n}x${k}, blocks of ${blockM}x${blockN}x${kTile}`;
  // Offsets must be the same for a whole subgroup, and Dawn's analysis knows that of this builtin alone.
  const parameters = ["@builtin(subgroup_id) mm_subgroup: u32"];
  return {
    wgsl: kernelText(spec, { title, invocations: threads, sharedVectors: 0, body }, DIRECTIVES, parameters, memory),
    workgroups,
  };
}

/** Statements that copy one block into workgroup memory as f16; zero beyond the end of k (see ./matmul-shared.ts). */
function stage(block: Block, spec: MatmulSpec, kTile: number, threads: number): string[] {
  const { operand, name, width, outerStride, kStride } = block;
  const axis = operand.vectorAxis;
  // What one thread copies at a time: 4 neighbours along the vector axis; without one, along the row-major axis.
  const alongK = axis === "k" || (axis === "none" && kStride === 1);
  const [deep, wide] = alongK ? [kTile / 4, width] : [kTile, width / 4];
  const partial = spec.k % kTile !== 0;
  const at = (i: string, k: string): string => `(${i}) * ${outerStride} + (${k}) * ${kStride}`;
  const lines = [
    `for (var mm_i = mm_thread; mm_i < ${deep * wide}; mm_i += ${threads}) {`,
    // Neighbouring threads go along the axis that is read as vectors.
    `  let mm_kk = (${alongK ? `mm_i % ${deep}` : `mm_i / ${wide}`})${alongK ? " * 4" : ""};`,
    `  let mm_w = (${alongK ? `mm_i / ${deep}` : `mm_i % ${wide}`})${alongK ? "" : " * 4"};`,
  ];
  const outer = (offset: number, vector = 1): string =>
    clampIndex(`${block.first} + mm_w${offset === 0 ? "" : ` + ${offset}`}`, block.extent, block.covered, vector);
  const depth = (offset: number, vector = 1): string => {
    const index = `mm_k + mm_kk${offset === 0 ? "" : ` + ${offset}`}`;
    return partial ? `min(${index}, ${spec.k - vector})` : index;
  };
  if (axis === "none") {
    for (const i of range(4)) {
      const [o, d] = alongK ? [outer(0), depth(i)] : [outer(i), depth(0)];
      lines.push(`  let mm_u${i} = ${o};`, `  let mm_d${i} = ${d};`);
    }
    const values = range(4).map((i) => operand.load("mm_batch", `mm_u${i}`, `mm_d${i}`));
    lines.push(`  var mm_v = vec4<f32>(${values.join(", ")});`);
  } else {
    lines.push(
      `  let mm_u0 = ${axis === "outer" ? outer(0, 4) : outer(0)};`,
      `  let mm_d0 = ${axis === "k" ? depth(0, 4) : depth(0)};`,
      `  var mm_v = ${operand.load4("mm_batch", "mm_u0", "mm_d0")};`,
    );
  }
  if (partial) {
    const kAt = alongK ? "vec4<i32>(mm_k + mm_kk) + vec4<i32>(0, 1, 2, 3)" : "vec4<i32>(mm_k + mm_kk)";
    lines.push(`  mm_v = select(vec4<f32>(), mm_v, ${kAt} < vec4<i32>(${spec.k}));`);
  }
  for (const i of range(4)) {
    const index = alongK ? at("mm_w", `mm_kk + ${i}`) : at(`mm_w + ${i}`, "mm_kk");
    lines.push(`  ${name}[${index}] = f16(mm_v.${COMPONENTS[i]});`);
  }
  return [...lines, "}"];
}
