/**
 * Attention for real GPUs: a workgroup of 8×8 threads owns 32 rows of one head and walks the other side in tiles of
 * 32, with the operands of the tile in workgroup memory.
 *
 * A thread holds a 4×4 patch of the 32×32 scores: rows 4·ty.., columns 4·tx... Operands of the score product are
 * staged transposed, 32 channels at a time, as vec4 of 4 rows, so that a patch costs two vec4 reads per channel. The
 * scores then go through workgroup memory (`weights[column][row/4]`) to be multiplied with the tile's rows, of which
 * a thread accumulates 4 rows × one vec4 of channels for each block of 32 channels.
 * Workgroup memory is 13 KiB, within the 16 KiB that every adapter has.
 */
import { helperText } from "../print/helpers.ts";
import { keepWidth, rowBlocks, rowLayout } from "../../specs/attention.ts";
import { declareBlock, declareBuffers } from "./bindings.ts";
import type { AttentionSpec, RowLayout } from "../../specs/attention.ts";
import type { KernelSource } from "../kernel.ts";
import { literal } from "../print/types.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";
import { LOWEST } from "../../specs/lowest.ts";

const SIDE = 32;
const four = [0, 1, 2, 3];

/** Emits one kernel over rows × columns; `r` are the rows the workgroup owns, `c` the tile walked over. */
class Emitter {
  #text = "";
  readonly #helpers = new Map<string, string>();
  readonly channelBlocks: number;
  readonly vectors: boolean;

  constructor(
    readonly spec: AttentionSpec,
    readonly rowCount: number,
    readonly columnCount: number,
  ) {
    this.channelBlocks = Math.ceil(spec.dim / SIDE);
    this.vectors = spec.dim % 4 === 0;
  }

  line(text: string): void {
    this.#text += text + "\n";
  }

  /** A function that loads channels 4·d4.. of a row, 0 outside the sequence or the head. */
  #loader(layout: RowLayout): string {
    const name = `load_${layout.buffer}_${layout.offset}`;
    if (this.#helpers.has(name)) return name;
    const { dim } = this.spec;
    const w = this.vectors ? 4 : 1;
    const start = `${layout.offset / w} + (batch * ${layout.rows} + row) * ${layout.stride / w} + head * ${dim / w}`;
    // Clamp and select rather than branch: a driver on a CPU turns each branch of an inlined call into masks.
    const inside = `row < ${layout.rows} && d4 < ${Math.ceil(dim / 4)}`;
    const clamped = start.replace("row", `min(row, ${layout.rows - 1})`);
    const body = this.vectors
      ? `let x = ${layout.buffer}[${clamped} + min(d4, ${dim / 4 - 1})];
  return select(vec4<f32>(), x, ${inside});`
      : `let at = ${clamped};
  let last = ${dim - 1};
  let d = vec4<i32>(4 * d4) + vec4<i32>(0, 1, 2, 3);
  let x = vec4<f32>(${four.map((i) => `${layout.buffer}[at + min(d[${i}], last)]`).join(", ")});
  return select(vec4<f32>(), x, (d <= vec4<i32>(last)) & vec4<bool>(row < ${layout.rows}));`;
    this.#helpers.set(name, `fn ${name}(batch: i32, head: i32, row: i32, d4: i32) -> vec4<f32> {\n  ${body}\n}\n`);
    return name;
  }

  /** A function that stores channels 4·d4.. of a row, and nothing from `rowEnd` on or outside the head. */
  #storer(layout: RowLayout): string {
    const name = `store_${layout.buffer}_${layout.offset}`;
    if (this.#helpers.has(name)) return name;
    const { dim } = this.spec;
    const w = this.vectors ? 4 : 1;
    const start = `${layout.offset / w} + (batch * ${layout.rows} + row) * ${layout.stride / w} + head * ${dim / w}`;
    const body = this.vectors
      ? `if (row < rowEnd && d4 < ${dim / 4}) { ${layout.buffer}[${start} + d4] = x; }`
      : `if (row >= rowEnd) { return; }
  let at = ${start} + 4 * d4;
${four.map((i) => `  if (4 * d4 + ${i} < ${dim}) { ${layout.buffer}[at + ${i}] = x[${i}]; }`).join("\n")}`;
    const parameters = "batch: i32, head: i32, row: i32, rowEnd: i32, d4: i32, x: vec4<f32>";
    this.#helpers.set(name, `fn ${name}(${parameters}) {\n  ${body}\n}\n`);
    return name;
  }

  load(layout: RowLayout, row: string, d4: string): string {
    return `${this.#loader(layout)}(batch, head, ${row}, ${d4})`;
  }

  store(layout: RowLayout, row: string, d4: string, value: string): string {
    return `${this.#storer(layout)}(batch, head, ${row}, rowEnd, ${d4}, ${value});`;
  }

  /** `NAME0..NAME3`: for 4 rows, vec4 over 4 columns of Σ_d rows[r][d] · columns[c][d]. */
  products(name: string, rows: RowLayout, columns: RowLayout): void {
    this.line(four.map((i) => `var ${name}${i} = vec4<f32>();`).join(" "));
    // Thread (ty, tx) transposes the 4×4 patch of rows 4·ty.. and channels 4·tx.. of each block, for each side.
    this.line(`for (var block = 0; block < ${this.channelBlocks}; block++) {`);
    this.line("workgroupBarrier();");
    for (const [target, layout, first] of [
      ["left", rows, "row0"],
      ["right", columns, "tile"],
    ] as const) {
      this.line("{");
      const row = (i: number): string => `${first} + 4 * ty + ${i}`;
      for (const i of four) this.line(`let x${i} = ${this.load(layout, row(i), "8 * block + tx")};`);
      for (const i of four) {
        this.line(`${target}[(4 * tx + ${i}) * 8 + ty] = vec4<f32>(x0[${i}], x1[${i}], x2[${i}], x3[${i}]);`);
      }
      this.line("}");
    }
    this.line("workgroupBarrier();");
    this.line(`for (var d = 0; d < ${Math.min(SIDE, this.spec.dim)}; d++) {`);
    this.line("let a = left[d * 8 + ty]; let b = right[d * 8 + tx];");
    this.line(four.map((i) => `${name}${i} += a[${i}] * b;`).join(" ") + " }");
    this.line("}");
  }

  /** Stages `weights[column][row]` from the threads' patches; a barrier must follow before it is read. */
  stageWeights(name: string): void {
    for (const j of four) {
      this.line(`weights[(4 * tx + ${j}) * 8 + ty] = vec4<f32>(${four.map((i) => `${name}${i}[${j}]`).join(", ")});`);
    }
  }

  declareSums(name: string): void {
    for (let block = 0; block < this.channelBlocks; block++) {
      this.line(four.map((i) => `var ${name}${block}_${i} = vec4<f32>();`).join(" "));
    }
  }

  /** sums[r][d] += Σ_c weights[c][r] · columns[c][d]; two blocks of channels at a time go through `left`, `right`. */
  accumulate(name: string, columns: RowLayout): void {
    for (let block = 0; block < this.channelBlocks; block += 2) {
      const stages = [
        ["left", block],
        ["right", block + 1],
      ] as const;
      const staged = stages.filter(([, b]) => b < this.channelBlocks);
      this.line("workgroupBarrier();");
      for (const [buffer, b] of staged) {
        for (const i of four) {
          const loaded = this.load(columns, `tile + 4 * ty + ${i}`, `${8 * b} + tx`);
          this.line(`${buffer}[(4 * ty + ${i}) * 8 + tx] = ${loaded};`);
        }
      }
      this.line("workgroupBarrier();");
      this.line(`for (var c = 0; c < ${SIDE}; c++) { let a = weights[c * 8 + ty];`);
      for (const [buffer, b] of staged) {
        this.line(`let b${b} = ${buffer}[c * 8 + tx];`);
        this.line(four.map((i) => `${name}${b}_${i} += a[${i}] * b${b};`).join(" "));
      }
      this.line("}");
    }
  }

  storeSums(name: string, layout: RowLayout, factor: (i: number) => string): void {
    for (let block = 0; block < this.channelBlocks; block++) {
      for (const i of four) {
        this.line(this.store(layout, `row0 + 4 * ty + ${i}`, `${8 * block} + tx`, `${name}${block}_${i}${factor(i)}`));
      }
    }
  }

  /** `NAME` (vec4 over the thread's 4 rows) reduced over the 8 threads that share those rows. */
  reduceRows(name: string, join: (a: string, b: string) => string): void {
    this.line(`workgroupBarrier(); shares[ty * 8 + tx] = ${name}; workgroupBarrier();`);
    const parts = Array.from({ length: 8 }, (_, t) => `shares[ty * 8 + ${t}]`);
    this.line(`${name} = ${parts.reduce(join)};`);
  }

  beginTiles(): void {
    this.line(`for (var tile = columnFirst; tile < columnEnd; tile += ${SIDE}) {`);
  }

  endTiles(): void {
    this.line("}");
  }

  kernel(name: string, declared: ReturnType<typeof declareBuffers>): KernelSource {
    const { heads, batch } = this.spec;
    const table = rowBlocks(this.spec, this.rowCount, this.columnCount, SIDE);
    const blocks = table.length;
    const total = batch * heads * blocks;
    const gridX = Math.min(total, MAX_WORKGROUPS);
    const wgsl = `${declared.declarations}${helperText("exp")}${helperText("log")}
var<workgroup> left: array<vec4<f32>, ${SIDE * 8}>;
var<workgroup> right: array<vec4<f32>, ${SIDE * 8}>;
var<workgroup> weights: array<vec4<f32>, ${SIDE * 8}>;
var<workgroup> shares: array<vec4<f32>, 64>;
${[...this.#helpers.values()].join("")}
@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
let tx = i32(local.x);
let ty = i32(local.y);
// The grid's last line may run past the end: those workgroups do the first one's work into rows that do not exist.
let id = i32(group.y) * ${gridX} + i32(group.x);
let block = id % ${blocks};
${declareBlock(table, SIDE, "block")}let row0 = select(${this.rowCount + SIDE}, first, id < ${total});
let head = id / ${blocks} % ${heads};
let batch = min(id / ${blocks * heads}, ${batch - 1});
let bh = batch * ${heads} + head;
${this.#text}}
`;
    return { name, wgsl, bindings: declared.bindings, workgroups: [gridX, Math.ceil(total / gridX), 1] };
  }

  /** Declares `ok0..ok3`: for the thread's row i, which of its 4 (row, column) pairs count. */
  attended(keysAreRows: boolean): void {
    const { keys, mask } = this.spec;
    this.line(`let column = tile + 4 * tx;`);
    this.line(`var inside = vec4<bool>(${four.map((j) => `column + ${j} < columnEnd`).join(", ")});`);
    if (!mask) {
      this.line(four.map((i) => `let ok${i} = inside;`).join(" "));
    } else if (keysAreRows) {
      const flag = (i: number): string => `mask[batch * ${keys} + min(row0 + 4 * ty + ${i}, ${keys - 1})] != 0.0`;
      this.line(four.map((i) => `let ok${i} = inside & vec4<bool>(${flag(i)});`).join(" "));
    } else {
      const flag = (j: number): string => `mask[batch * ${keys} + min(column + ${j}, ${keys - 1})] != 0.0`;
      this.line(`inside = inside & vec4<bool>(${four.map(flag).join(", ")});`);
      this.line(four.map((i) => `let ok${i} = inside;`).join(" "));
    }
  }

  /** vec4 over the columns of the dropout factors for the thread's row i; indices past the end repeat the last. */
  keep(i: number, keysAreRows: boolean): string {
    const { queries } = this.spec;
    const width = keepWidth(this.spec);
    const row = `min(row0 + 4 * ty + ${i}, rowEnd - 1)`;
    const column = (j: number): string => `min(column + ${j}, columnEnd - 1)`;
    // Where keys are counted from: the sequence's first, on either side.
    const at = (j: number): string =>
      keysAreRows
        ? `keep[(bh * ${queries} + ${column(j)}) * ${width} + ${row} - columnFirst]`
        : `keep[(bh * ${queries} + ${row}) * ${width} + ${column(j)} - columnFirst]`;
    return `vec4<f32>(${four.map(at).join(", ")})`;
  }
}

function readsOf(spec: AttentionSpec, names: string[]): { name: string; write: boolean }[] {
  const reads = [...names, ...(spec.packed ? ["qkv"] : ["q", "k", "v"])];
  if (spec.mask) reads.push("mask");
  if (spec.keep) reads.push("keep");
  return reads.map((name) => ({ name, write: false }));
}

/** One dispatch: out and lse. Rows are queries, columns keys. */
export function gpuAttentionForward(spec: AttentionSpec): KernelSource {
  const e = new Emitter(spec, spec.queries, spec.keys);
  const [q, k, v, out] = (["q", "k", "v", "out"] as const).map((name) => rowLayout(spec, name));
  const declared = declareBuffers(spec, false, [
    ...readsOf(spec, []),
    { name: "out", write: true },
    { name: "lse", write: true },
  ]);
  e.declareSums("o");
  // `total` holds this thread's share of each row's sum: the 8 threads of a row add theirs at the end.
  e.line(`var top = vec4<f32>(${LOWEST}); var total = vec4<f32>();`);
  e.beginTiles();
  e.products("s", q, k);
  e.attended(false);
  for (const i of four) {
    e.line(`s${i} = select(vec4<f32>(${LOWEST}), s${i} * ${literal(spec.scale, "f32")}, ok${i});`);
  }
  const highest = (i: number): string => `max(max(s${i}.x, s${i}.y), max(s${i}.z, s${i}.w))`;
  e.line(`var peak = vec4<f32>(${four.map(highest).join(", ")});`);
  e.reduceRows("peak", (a, b) => `max(${a}, ${b})`);
  e.line("peak = max(peak, top); let decay = exp_4(top - peak); top = peak;");
  for (const i of four) e.line(`s${i} = select(vec4<f32>(), exp_4(s${i} - peak[${i}]), ok${i});`);
  e.line(`total = total * decay + vec4<f32>(${four.map((i) => `dot(s${i}, vec4<f32>(1.0))`).join(", ")});`);
  if (spec.keep) for (const i of four) e.line(`s${i} *= ${e.keep(i, false)};`);
  e.stageWeights("s");
  for (let block = 0; block < e.channelBlocks; block++) {
    e.line(four.map((i) => `o${block}_${i} *= decay[${i}];`).join(" "));
  }
  e.accumulate("o", v);
  e.endTiles();
  e.reduceRows("total", (a, b) => `${a} + ${b}`);
  // A row whose keys are all closed attended to nothing: its sum is 0, told by its bits.
  const open = (value: string): string => (spec.mask ? `select(${value}, vec4<f32>(), none)` : value);
  if (spec.mask) e.line("let none = bitcast<vec4<u32>>(total) == vec4<u32>();");
  e.line(`let inverse = ${open("1.0 / total")};`);
  e.storeSums("o", out, (i) => ` * inverse[${i}]`);
  e.line(`let saved = ${open("top + log_4(total)")};`);
  for (const i of four) {
    e.line(
      `if (tx == ${i} && row0 + 4 * ty + ${i} < rowEnd) ` +
        `{ lse[bh * ${spec.queries} + row0 + 4 * ty + ${i}] = saved[${i}]; }`,
    );
  }
  return e.kernel("attention.forward", declared);
}

/** The widest head whose dk and dv fit in a thread's registers together (16 vec4 of sums). */
const WIDEST_JOINT = 64;

/** Delta and dq over query rows; then dk and dv over key rows, in one dispatch or, for wide heads, in one each. */
export function gpuAttentionBackward(spec: AttentionSpec): KernelSource[] {
  const parts = spec.dim <= WIDEST_JOINT ? [["dk", "dv"] as const] : [["dk"] as const, ["dv"] as const];
  return [queryGradient(spec), ...parts.map((part) => keyGradient(spec, part))];
}

function queryGradient(spec: AttentionSpec): KernelSource {
  const e = new Emitter(spec, spec.queries, spec.keys);
  const [q, k, v, out, dout, dq] = (["q", "k", "v", "out", "dout", "dq"] as const).map((n) => rowLayout(spec, n));
  const declared = declareBuffers(spec, true, [
    ...readsOf(spec, ["dout", "out", "lse"]),
    { name: dq.buffer, write: true },
    { name: "delta", write: true },
  ]);
  const row = (i: number): string => `row0 + 4 * ty + ${i}`;
  e.line("var share = vec4<f32>();");
  for (let block = 0; block < e.channelBlocks; block++) {
    const d4 = `${8 * block} + tx`;
    const product = (i: number): string => `dot(${e.load(dout, row(i), d4)}, ${e.load(out, row(i), d4)})`;
    e.line(`share += vec4<f32>(${four.map(product).join(", ")});`);
  }
  e.reduceRows("share", (a, b) => `${a} + ${b}`);
  for (const i of four) {
    e.line(`if (tx == ${i} && ${row(i)} < rowEnd) { delta[bh * ${spec.queries} + ${row(i)}] = share[${i}]; }`);
    e.line(`let lse${i} = lse[bh * ${spec.queries} + min(${row(i)}, ${spec.queries - 1})];`);
  }
  e.declareSums("o");
  e.beginTiles();
  e.products("s", q, k);
  e.products("g", dout, v);
  e.attended(false);
  for (const i of four) {
    const g = spec.keep ? `g${i} * ${e.keep(i, false)}` : `g${i}`;
    e.line(`s${i} = select(vec4<f32>(), exp_4(s${i} * ${literal(spec.scale, "f32")} - lse${i}), ok${i});`);
    e.line(`s${i} *= (${g} - share[${i}]) * ${literal(spec.scale, "f32")};`);
  }
  e.stageWeights("s");
  e.accumulate("o", k);
  e.endTiles();
  e.storeSums("o", dq, () => "");
  return e.kernel("attention.backward.query", declared);
}

function keyGradient(spec: AttentionSpec, part: readonly ("dk" | "dv")[]): KernelSource {
  const e = new Emitter(spec, spec.keys, spec.queries);
  const [q, k, v, dout] = (["q", "k", "v", "dout"] as const).map((n) => rowLayout(spec, n));
  const targets = part.map((name) => ({ name, layout: rowLayout(spec, name) }));
  const withScores = part.includes("dk");
  const declared = declareBuffers(spec, true, [
    ...readsOf(spec, ["dout", "lse"]),
    ...(withScores ? [{ name: "delta", write: false }] : []),
    ...[...new Set(targets.map((t) => t.layout.buffer))].map((name) => ({ name, write: true })),
  ]);
  for (const { name } of targets) e.declareSums(name);
  e.beginTiles();
  e.products("s", k, q);
  if (withScores) e.products("g", v, dout);
  e.attended(true);
  const query = (j: number): string => `bh * ${spec.queries} + min(column + ${j}, ${spec.queries - 1})`;
  e.line(`let peak = vec4<f32>(${four.map((j) => `lse[${query(j)}]`).join(", ")});`);
  if (withScores) e.line(`let share = vec4<f32>(${four.map((j) => `delta[${query(j)}]`).join(", ")});`);
  const scale = literal(spec.scale, "f32");
  // g becomes ds and s the dropped-out probability, which is what dk and dv sum over.
  for (const i of four) {
    e.line(`s${i} = select(vec4<f32>(), exp_4(s${i} * ${scale} - peak), ok${i});`);
    if (spec.keep) e.line(`let keep${i} = ${e.keep(i, true)};`);
    if (withScores) e.line(`g${i} = s${i} * (g${i}${spec.keep ? ` * keep${i}` : ""} - share) * ${scale};`);
    if (spec.keep) e.line(`s${i} *= keep${i};`);
  }
  targets.forEach(({ name }, n) => {
    if (n > 0) e.line("workgroupBarrier();");
    e.stageWeights(name === "dk" ? "g" : "s");
    e.accumulate(name, name === "dk" ? q : dout);
  });
  e.endTiles();
  for (const { name, layout } of targets) e.storeSums(name, layout, () => "");
  return e.kernel(`attention.backward.${part.length > 1 ? "key" : part[0]}`, declared);
}
