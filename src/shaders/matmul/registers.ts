/**
 * Matmul with register tiles only, for adapters that run shaders on a CPU.
 *
 * There, workgroup memory is ordinary memory and a barrier is a loop over the workgroup, while the caches already do
 * what staging would: so every invocation reads A and B straight from their buffers and keeps a block of
 * `rows` × 4·`columns` results in variables. Each step takes 4 values of k: all of the step's B first, then A a row (or
 * 4 rows) at a time, and one nested expression an accumulator, because such drivers pay for each assignment.
 * Neighbouring invocations are neighbours along n: they read the same A, which drivers turn into one load.
 */
import type { MatmulShader, MatmulOperand, MatmulSpec, RegisterTile } from "./product.ts";
import { blockGrid, clampIndex, COMPONENTS, kernelText, range, storeRow } from "./edges.ts";

/** Lines that load a step of k values, and the WGSL of each element. */
interface Fragment {
  readonly lines: readonly string[];
  /** f32 for A (outer index: a row), vec4<f32> for B (outer index: a group of 4 columns). */
  at(outer: number, k: number): string;
}

/** The kernel of `spec` with register tiles. The sizes of `spec` have been checked. */
export function emitRegisters(spec: MatmulSpec, tile: RegisterTile): MatmulShader {
  const {
    rows,
    columns,
    workgroup: [x, y],
  } = tile;
  const { workgroups, lines } = blockGrid(spec, y * rows, x * columns * 4);
  const coveredRows = Math.ceil(spec.m / (y * rows)) * y * rows;
  const coveredColumns = Math.ceil(spec.n / (x * columns * 4)) * x * columns * 4;
  // Reading 4 rows of A at once needs blocks of 4 rows.
  const axisA = spec.a.vectorAxis === "outer" && rows % 4 !== 0 ? "none" : spec.a.vectorAxis;
  const axisB = spec.b.vectorAxis;

  const body = [
    ...lines,
    `let mm_row0 = (mm_blockM * ${y} + i32(mm_index) / ${x}) * ${rows};`,
    `let mm_col0 = (mm_blockN * ${x} + i32(mm_index) % ${x}) * ${columns * 4};`,
  ];
  if (coveredRows - rows >= spec.m) body.push(`if (mm_row0 >= ${spec.m}) { return; }`);
  if (coveredColumns - columns * 4 >= spec.n) body.push(`if (mm_col0 >= ${spec.n}) { return; }`);

  // Indices that are read from: names declared once, outside the loop.
  const rowWidth = axisA === "outer" ? 4 : 1;
  for (const r of range(rows / rowWidth)) {
    body.push(`let mm_r${r * rowWidth} = ${clampIndex(plus("mm_row0", r * rowWidth), spec.m, coveredRows, rowWidth)};`);
  }
  const columnWidth = axisB === "outer" ? 4 : 1;
  for (const c of range((columns * 4) / columnWidth)) {
    const index = clampIndex(plus("mm_col0", c * columnWidth), spec.n, coveredColumns, columnWidth);
    body.push(`let mm_n${c * columnWidth} = ${index};`);
  }
  for (const r of range(rows)) {
    body.push(
      range(columns)
        .map((c) => `var mm_c${r}_${c} = vec4<f32>();`)
        .join(" "),
    );
  }

  const whole = spec.k - (spec.k % 4);
  if (whole > 0) {
    body.push(
      `for (var mm_k = 0; mm_k < ${whole}; mm_k += 4) {`,
      ...step(spec, rows, columns, axisA, "mm_k", 4).map((line) => `  ${line}`),
      "}",
    );
  }
  if (spec.k > whole) body.push("{", ...step(spec, rows, columns, axisA, `${whole}`, spec.k - whole), "}");

  for (const r of range(rows)) {
    body.push(`{ let mm_row = ${plus("mm_row0", r)};`);
    for (const c of range(columns)) body.push(`let mm_o${c} = ${plus("mm_col0", 4 * c)};`);
    body.push(
      ...storeRow(spec, {
        row: "mm_row",
        coveredRows,
        coveredColumns,
        columns: range(columns).map((c) => ({ first: `mm_o${c}`, value: `mm_c${r}_${c}` })),
      }),
      "}",
    );
  }
  const parts = { title: `${rows} rows x ${columns} vec4 an invocation`, invocations: x * y, sharedVectors: 0, body };
  return { wgsl: kernelText(spec, parts), workgroups, parts };
}

/** Adds the products of `depth` (1 to 4) values of k from `k` on. With fewer than 4, nothing is read along k. */
function step(
  spec: MatmulSpec,
  rows: number,
  columns: number,
  axisA: MatmulOperand["vectorAxis"],
  k: string,
  depth: number,
): string[] {
  const b = loadB(spec.b, columns, k, depth);
  const lines = [...b.lines];
  const group = axisA === "outer" ? 4 : 1;
  for (let row = 0; row < rows; row += group) {
    const a = loadA(spec.a, axisA, row, k, depth);
    lines.push("{", ...a.lines);
    for (const r of range(group)) {
      for (const c of range(columns)) {
        const name = `mm_c${row + r}_${c}`;
        const sum = range(depth).reduce((rest, j) => `fma(vec4<f32>(${a.at(r, j)}), ${b.at(c, j)}, ${rest})`, name);
        lines.push(`${name} = ${sum};`);
      }
    }
    lines.push("}");
  }
  return lines;
}

/** One row of A, or 4 rows when they are neighbours in memory, at `depth` values of k. */
function loadA(a: MatmulOperand, axis: MatmulOperand["vectorAxis"], row: number, k: string, depth: number): Fragment {
  const outer = `mm_r${row}`;
  switch (axis) {
    case "k":
      return { lines: [`let mm_a = ${a.load4("mm_batch", outer, k)};`], at: (_, j) => `mm_a.${COMPONENTS[j]}` };
    case "outer":
      return {
        lines: range(depth).map((j) => `let mm_a${j} = ${a.load4("mm_batch", outer, plus(k, j))};`),
        at: (r, j) => `mm_a${j}.${COMPONENTS[r]}`,
      };
    case "none":
      return {
        lines: range(depth).map((j) => `let mm_a${j} = ${a.load("mm_batch", outer, plus(k, j))};`),
        at: (_, j) => `mm_a${j}`,
      };
  }
}

/** All columns of an invocation at `depth` values of k, in groups of 4. */
function loadB(b: MatmulOperand, columns: number, k: string, depth: number): Fragment {
  const at = (c: number, j: number): string => `mm_b${j}_${c}`;
  const lines: string[] = [];
  for (const c of range(columns)) {
    if (b.vectorAxis === "k") {
      for (const i of range(4)) lines.push(`let mm_t${c}_${i} = ${b.load4("mm_batch", `mm_n${4 * c + i}`, k)};`);
    }
    for (const j of range(depth)) {
      const value =
        b.vectorAxis === "outer"
          ? b.load4("mm_batch", `mm_n${4 * c}`, plus(k, j))
          : `vec4<f32>(${range(4)
              .map((i) =>
                b.vectorAxis === "k"
                  ? `mm_t${c}_${i}.${COMPONENTS[j]}`
                  : b.load("mm_batch", `mm_n${4 * c + i}`, plus(k, j)),
              )
              .join(", ")})`;
      lines.push(`let ${at(c, j)} = ${value};`);
    }
  }
  return { lines, at };
}

/** `index + offset` as WGSL that can stand in any expression. */
function plus(index: string, offset: number): string {
  return offset === 0 ? index : `(${index} + ${offset})`;
}
