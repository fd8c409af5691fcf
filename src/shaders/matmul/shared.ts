/**
 * Matmul with blocks of A and B staged in workgroup memory, for real GPUs.
 *
 * A workgroup computes `rows`·y × 4·`columns`·x results. Step by step along k it copies a block of A (kept k-major, for
 * an invocation to read 4 of its rows as one vec4) and a block of B, and every invocation adds the products of its
 * `rows` × 4·`columns` results. Each staged value is read from global memory once a workgroup, whatever its layout
 * there: operands that are contiguous along k are read as vec4 and transposed in registers, 4 × 4 at a time.
 *
 * Results with few rows and columns but a long k (a weight's gradient) leave a GPU idle when each result has one
 * invocation. With `slices` > 1 several groups of invocations share out the k of every block, and add up their
 * results through workgroup memory at the end ("sliced-k" in CUTLASS's terms): one pass, no atomics.
 */
import type { MatmulShader, MatmulOperand, MatmulSpec, SharedTile, VectorAxis } from "./product.ts";
import { blockGrid, clampIndex, COMPONENTS, kernelText, range, storeRow } from "./edges.ts";

/** One operand's staging area: `kTile` lines, each of `width / 4` vec4 along m or n and perhaps one of padding. */
interface Panel {
  /** Its first vec4 in workgroup memory. */
  readonly start: number;
  readonly operand: MatmulOperand;
  /** Rows or columns of the block, a multiple of 4. */
  readonly width: number;
  /** Size of the whole axis, and how much of it the blocks visit. */
  readonly extent: number;
  readonly covered: number;
  /** WGSL name of the block's first row or column. */
  readonly first: string;
  /** vec4s from one k to the next. */
  readonly pitch: number;
}

/** Bytes of workgroup memory a tile takes. */
export function sharedBytes(tile: SharedTile, axisA: VectorAxis, axisB: VectorAxis): number {
  const {
    rows,
    columns,
    workgroup: [x, y],
    kTile,
    slices,
  } = tile;
  const staged = kTile * (pitchOf(rows * y, axisA) + pitchOf(columns * 4 * x, axisB));
  // Sums of slices are added up where the last blocks lay.
  return 16 * Math.max(staged, slices > 1 ? rows * columns * x * y : 0);
}

/**
 * A line's pitch in vec4s. Blocks transposed on the way are written down a column by neighbouring invocations; one
 * vec4 of padding puts those writes into different banks.
 */
function pitchOf(width: number, axis: VectorAxis): number {
  return width / 4 + (axis === "outer" ? 0 : 1);
}

/**
 * The kernel of `spec` with shared-memory tiles. The sizes of `spec` and the tile have been checked.
 * @throws Error when the tile takes more than `maxBytes` of workgroup memory.
 */
export function emitShared(spec: MatmulSpec, tile: SharedTile, maxBytes: number): MatmulShader {
  const {
    rows,
    columns,
    workgroup: [x, y],
    kTile,
    slices,
  } = tile;
  const bytes = sharedBytes(tile, spec.a.vectorAxis, spec.b.vectorAxis);
  if (bytes > maxBytes) {
    throw new Error(
      `${spec.name}: a tile of ${rows * y}x${columns * 4 * x}x${kTile} takes ${bytes} bytes of workgroup ` +
        `memory, the adapter has ${maxBytes}; take a smaller kTile`,
    );
  }
  const blockM = rows * y;
  const blockN = columns * 4 * x;
  const threads = x * y * slices;
  const { workgroups, lines } = blockGrid(spec, blockM, blockN);
  const coveredRows = Math.ceil(spec.m / blockM) * blockM;
  const coveredColumns = Math.ceil(spec.n / blockN) * blockN;
  const a: Panel = {
    start: 0,
    operand: spec.a,
    width: blockM,
    extent: spec.m,
    covered: coveredRows,
    first: "mm_m0",
    pitch: pitchOf(blockM, spec.a.vectorAxis),
  };
  const b: Panel = {
    start: kTile * a.pitch,
    operand: spec.b,
    width: blockN,
    extent: spec.n,
    covered: coveredColumns,
    first: "mm_n0",
    pitch: pitchOf(blockN, spec.b.vectorAxis),
  };
  const groups = rows / 4;

  const body = [
    ...lines,
    "let mm_thread = i32(mm_index);",
    `let mm_x = mm_thread % ${x};`,
    `let mm_y = (mm_thread / ${x}) % ${y};`,
    `let mm_m0 = mm_blockM * ${blockM};`,
    `let mm_n0 = mm_blockN * ${blockN};`,
  ];
  if (slices > 1) body.push(`let mm_slice = mm_thread / ${x * y};`);
  for (const r of range(rows)) {
    body.push(
      range(columns)
        .map((c) => `var mm_c${r}_${c} = vec4<f32>();`)
        .join(" "),
    );
  }

  // A thread's rows and columns are spread over the block, so that neighbours read neighbouring vec4s.
  const depth = kTile / slices;
  const at = slices > 1 ? `(mm_slice * ${depth} + mm_j)` : "mm_j";
  body.push(
    `for (var mm_k = 0; mm_k < ${spec.k}; mm_k += ${kTile}) {`,
    ...stage(a, spec, kTile, threads, "k").map((line) => `  ${line}`),
    ...stage(b, spec, kTile, threads, "outer").map((line) => `  ${line}`),
    "  workgroupBarrier();",
    `  for (var mm_j = 0; mm_j < ${depth}; mm_j++) {`,
    ...range(groups).map((g) => `    let mm_a${g} = mm_shared[${at} * ${a.pitch} + ${a.start + g * y} + mm_y];`),
    ...range(columns).map((c) => `    let mm_b${c} = mm_shared[${at} * ${b.pitch} + ${b.start + c * x} + mm_x];`),
    ...range(rows).flatMap((r) =>
      range(columns).map(
        (c) => `    mm_c${r}_${c} = fma(vec4<f32>(mm_a${r >> 2}.${COMPONENTS[r & 3]}), mm_b${c}, mm_c${r}_${c});`,
      ),
    ),
    "  }",
    "  workgroupBarrier();",
    "}",
  );

  if (slices > 1) {
    const size = x * y;
    body.push(`let mm_own = mm_thread % ${size};`);
    const each = (statement: (name: string, index: string) => string): string[] =>
      range(rows * columns).map(
        (i) => `  ${statement(`mm_c${Math.floor(i / columns)}_${i % columns}`, `mm_shared[mm_own + ${i * size}]`)}`,
      );
    for (const slice of range(slices - 1).map((i) => i + 1)) {
      body.push(
        `if (mm_slice == ${slice}) {`,
        ...each((name, index) => `${index} = ${name};`),
        "}",
        "workgroupBarrier();",
        "if (mm_slice == 0) {",
        ...each((name, index) => `${name} += ${index};`),
        "}",
        "workgroupBarrier();",
      );
    }
    body.push("if (mm_slice != 0) { return; }");
  }

  for (const c of range(columns)) body.push(`let mm_o${c} = mm_n0 + (${c * x} + mm_x) * 4;`);
  for (const r of range(rows)) {
    body.push(
      `{ let mm_row = mm_m0 + (${(r >> 2) * y} + mm_y) * 4 + ${r & 3};`,
      ...storeRow(spec, {
        row: "mm_row",
        coveredRows,
        coveredColumns,
        columns: range(columns).map((c) => ({ first: `mm_o${c}`, value: `mm_c${r}_${c}` })),
      }),
      "}",
    );
  }
  const title = `blocks of ${blockM}x${blockN}x${kTile}, ${rows} rows x ${columns} vec4 an invocation`;
  const parts = { title, invocations: threads, sharedVectors: bytes / 16, body };
  return { wgsl: kernelText(spec, parts), workgroups, parts };
}

/**
 * Statements that copy one block into workgroup memory. Beyond the end of k both operands are staged as zero (one
 * alone would not do: 0 · inf is NaN); beyond the end of m or n, as whatever is at the last index, which no result
 * that is stored depends on. `fastest` is the axis along which neighbouring threads read single elements.
 */
function stage(panel: Panel, spec: MatmulSpec, kTile: number, threads: number, fastest: "k" | "outer"): string[] {
  const { operand, start: origin, pitch, width } = panel;
  const place = (k: string): string => `mm_shared[${k} * ${pitch} + ${origin} + mm_q]`;
  const quads = width / 4;
  const axis = operand.vectorAxis;
  const deep = axis === "k" ? kTile / 4 : kTile;
  const count = deep * quads;
  const kFastest = axis === "k" || (axis === "none" && fastest === "k");
  const partial = spec.k % kTile !== 0;
  const outerAt = (i: number, vector = 1): string =>
    clampIndex(i === 0 ? "mm_i" : `mm_i + ${i}`, panel.extent, panel.covered, vector);
  const lines: string[] = [];
  for (let start = 0; start < count; start += threads) {
    const index = start === 0 ? "mm_thread" : `(mm_thread + ${start})`;
    const [k, quad] = kFastest
      ? [`${index} % ${deep}`, `${index} / ${deep}`]
      : [`${index} / ${quads}`, `${index} % ${quads}`];
    const guarded = start + threads > count;
    lines.push(
      guarded ? `if (${index} < ${count}) {` : "{",
      `  let mm_q = ${quad};`,
      `  let mm_kk = ${axis === "k" ? `(${k}) * 4` : k};`,
      `  let mm_i = ${panel.first} + mm_q * 4;`,
      `  let mm_kg = ${partial ? `min(mm_k + mm_kk, ${spec.k - (axis === "k" ? 4 : 1)})` : "mm_k + mm_kk"};`,
    );
    if (partial) lines.push(`  let mm_in = mm_k + mm_kk < ${spec.k};`);
    const kept = (value: string): string => (partial ? `select(vec4<f32>(), ${value}, mm_in)` : value);
    if (axis === "k") {
      for (const i of range(4)) {
        lines.push(`  let mm_i${i} = ${outerAt(i)};`);
        lines.push(`  let mm_t${i} = ${kept(operand.load4("mm_batch", `mm_i${i}`, "mm_kg"))};`);
      }
      for (const j of range(4)) {
        const column = range(4)
          .map((i) => `mm_t${i}.${COMPONENTS[j]}`)
          .join(", ");
        lines.push(`  ${place(`(mm_kk + ${j})`)} = vec4<f32>(${column});`);
      }
    } else if (axis === "outer") {
      lines.push(
        `  let mm_i0 = ${outerAt(0, 4)};`,
        `  ${place("mm_kk")} = ${kept(operand.load4("mm_batch", "mm_i0", "mm_kg"))};`,
      );
    } else {
      for (const i of range(4)) lines.push(`  let mm_i${i} = ${outerAt(i)};`);
      const values = range(4).map((i) => operand.load("mm_batch", `mm_i${i}`, "mm_kg"));
      lines.push(`  ${place("mm_kk")} = ${kept(`vec4<f32>(${values.join(", ")})`)};`);
    }
    lines.push("}");
  }
  return lines;
}
