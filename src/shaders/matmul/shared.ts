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
 *
 * With `double` there are two areas of workgroup memory: the blocks of the next step are read into registers before
 * those of this step are multiplied, and written into the other area after it. Reads of global memory have the whole
 * step to arrive, and a step needs one barrier (CUTLASS's software pipeline).
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
    double = false,
  } = tile;
  const staged = (double ? 2 : 1) * kTile * (pitchOf(rows * y, axisA) + pitchOf(columns * 4 * x, axisB));
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
    double = false,
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
  const half = double ? " + mm_half" : "";
  const multiply = [
    `for (var mm_j = 0; mm_j < ${depth}; mm_j++) {`,
    ...range(groups).map((g) => `  let mm_a${g} = mm_shared[${at} * ${a.pitch} + ${a.start + g * y} + mm_y${half}];`),
    ...range(columns).map((c) => `  let mm_b${c} = mm_shared[${at} * ${b.pitch} + ${b.start + c * x} + mm_x${half}];`),
    ...range(rows).flatMap((r) =>
      range(columns).map(
        (c) => `  mm_c${r}_${c} = fma(vec4<f32>(mm_a${r >> 2}.${COMPONENTS[r & 3]}), mm_b${c}, mm_c${r}_${c});`,
      ),
    ),
    "}",
  ];
  const panels = [
    { panel: a, fastest: "k" },
    { panel: b, fastest: "outer" },
  ] as const;
  const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
  if (double) {
    const size = kTile * (a.pitch + b.pitch);
    const staged = panels.map(({ panel, fastest }, i) =>
      stageInTwo(panel, spec, kTile, threads, fastest, `mm_p${i}`, "mm_at", "mm_into"),
    );
    const all = (which: "variables" | "load" | "store"): string[] => staged.flatMap((parts) => parts[which]);
    body.push(
      ...all("variables"),
      "var mm_half = 0;",
      "{",
      ...indent(["let mm_at = 0;", "let mm_into = 0;", ...all("load"), ...all("store")]),
      "}",
      "workgroupBarrier();",
      `for (var mm_k = 0; mm_k < ${spec.k}; mm_k += ${kTile}) {`,
      `  let mm_at = mm_k + ${kTile};`,
      `  let mm_into = ${size} - mm_half;`,
      `  if (mm_at < ${spec.k}) {`,
      ...indent(indent(all("load"))),
      "  }",
      ...indent(multiply),
      `  if (mm_at < ${spec.k}) {`,
      ...indent(indent(all("store"))),
      "  }",
      "  workgroupBarrier();",
      "  mm_half = mm_into;",
      "}",
    );
  } else {
    body.push(
      `for (var mm_k = 0; mm_k < ${spec.k}; mm_k += ${kTile}) {`,
      ...panels.flatMap(({ panel, fastest }) => indent(stage(panel, spec, kTile, threads, fastest))),
      "  workgroupBarrier();",
      ...indent(multiply),
      "  workgroupBarrier();",
      "}",
    );
  }

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
  const title =
    `blocks of ${blockM}x${blockN}x${kTile}${double ? ", double-buffered" : ""}, ` +
    `${rows} rows x ${columns} vec4 an invocation`;
  const parts = { title, invocations: threads, sharedVectors: bytes / 16, body };
  return { wgsl: kernelText(spec, parts), workgroups, parts };
}

/** A block's way into workgroup memory: each thread's vectors of it, read and then written, chunk after chunk. */
interface Chunk {
  /** Whether only some threads have a part in it: the condition. */
  readonly guard: string | undefined;
  /** Where it lies in the block. */
  readonly place: readonly string[];
  /** Names and WGSL of the vectors that are read. */
  readonly values: readonly { readonly before: readonly string[]; readonly value: string }[];
  /** Statements that write vectors of these names into workgroup memory. */
  store(names: readonly string[]): string[];
}

/**
 * How one block is copied into workgroup memory. Beyond the end of k both operands are staged as zero (one
 * alone would not do: 0 · inf is NaN); beyond the end of m or n, as whatever is at the last index, which no result
 * that is stored depends on. `fastest` is the axis along which neighbouring threads read single elements; `at` is the
 * block's first k, `into` the start of the area it goes to.
 */
function chunksOf(
  panel: Panel,
  spec: MatmulSpec,
  kTile: number,
  threads: number,
  fastest: "k" | "outer",
  at: string,
  into?: string,
): Chunk[] {
  const { operand, start: origin, pitch, width } = panel;
  const place = (k: string): string => `mm_shared[${k} * ${pitch} + ${origin} + mm_q${into ? ` + ${into}` : ""}]`;
  const quads = width / 4;
  const axis = operand.vectorAxis;
  const deep = axis === "k" ? kTile / 4 : kTile;
  const count = deep * quads;
  const kFastest = axis === "k" || (axis === "none" && fastest === "k");
  const partial = spec.k % kTile !== 0;
  const outerAt = (i: number, vector = 1): string =>
    clampIndex(i === 0 ? "mm_i" : `mm_i + ${i}`, panel.extent, panel.covered, vector);
  const kept = (value: string): string => (partial ? `select(vec4<f32>(), ${value}, mm_in)` : value);
  const chunks: Chunk[] = [];
  for (let start = 0; start < count; start += threads) {
    const index = start === 0 ? "mm_thread" : `(mm_thread + ${start})`;
    const [k, quad] = kFastest
      ? [`${index} % ${deep}`, `${index} / ${deep}`]
      : [`${index} / ${quads}`, `${index} % ${quads}`];
    const common = {
      guard: start + threads > count ? `${index} < ${count}` : undefined,
      place: [`let mm_q = ${quad};`, `let mm_kk = ${axis === "k" ? `(${k}) * 4` : k};`],
    };
    const address = [
      `let mm_i = ${panel.first} + mm_q * 4;`,
      `let mm_kg = ${partial ? `min(${at} + mm_kk, ${spec.k - (axis === "k" ? 4 : 1)})` : `${at} + mm_kk`};`,
      ...(partial ? [`let mm_in = ${at} + mm_kk < ${spec.k};`] : []),
    ];
    if (axis === "k") {
      const values = range(4).map((i) => ({
        before: [...(i === 0 ? address : []), `let mm_i${i} = ${outerAt(i)};`],
        value: kept(operand.load4("mm_batch", `mm_i${i}`, "mm_kg")),
      }));
      const store = (names: readonly string[]): string[] =>
        range(4).map((j) => {
          const column = names.map((name) => `${name}.${COMPONENTS[j]}`).join(", ");
          return `${place(`(mm_kk + ${j})`)} = vec4<f32>(${column});`;
        });
      chunks.push({ ...common, values, store });
      continue;
    }
    const store = ([name]: readonly string[]): string[] => [`${place("mm_kk")} = ${name};`];
    const before =
      axis === "outer" ? [`let mm_i0 = ${outerAt(0, 4)};`] : range(4).map((i) => `let mm_i${i} = ${outerAt(i)};`);
    const value =
      axis === "outer"
        ? operand.load4("mm_batch", "mm_i0", "mm_kg")
        : `vec4<f32>(${range(4)
            .map((i) => operand.load("mm_batch", `mm_i${i}`, "mm_kg"))
            .join(", ")})`;
    chunks.push({ ...common, values: [{ before: [...address, ...before], value: kept(value) }], store });
  }
  return chunks;
}

/** A chunk's statements, for the threads that have a part in it. */
function inChunk({ guard, place }: Chunk, lines: readonly string[]): string[] {
  return [guard ? `if (${guard}) {` : "{", ...[...place, ...lines].map((line) => `  ${line}`), "}"];
}

/** Statements that copy one block into workgroup memory. */
function stage(panel: Panel, spec: MatmulSpec, kTile: number, threads: number, fastest: "k" | "outer"): string[] {
  return chunksOf(panel, spec, kTile, threads, fastest, "mm_k").flatMap((chunk) => {
    const names = range(chunk.values.length).map((i) => `mm_t${i}`);
    const reads = chunk.values.flatMap(({ before, value }, i) => [...before, `let ${names[i]} = ${value};`]);
    return inChunk(chunk, [...reads, ...chunk.store(names)]);
  });
}

/** The same in two steps, by way of variables whose names begin with `prefix`: the block at `at`, to the area `into`. */
function stageInTwo(
  panel: Panel,
  spec: MatmulSpec,
  kTile: number,
  threads: number,
  fastest: "k" | "outer",
  prefix: string,
  at: string,
  into: string,
): { variables: string[]; load: string[]; store: string[] } {
  const chunks = chunksOf(panel, spec, kTile, threads, fastest, at, into);
  const namesOf = (chunk: Chunk, c: number): string[] => chunk.values.map((_, i) => `${prefix}_${c}_${i}`);
  return {
    variables: chunks.flatMap((chunk, c) => namesOf(chunk, c).map((name) => `var ${name} = vec4<f32>();`)),
    load: chunks.flatMap((chunk, c) => {
      const names = namesOf(chunk, c);
      return inChunk(
        chunk,
        chunk.values.flatMap(({ before, value }, i) => [...before, `${names[i]} = ${value};`]),
      );
    }),
    store: chunks.flatMap((chunk, c) => inChunk(chunk, chunk.store(namesOf(chunk, c)))),
  };
}
