/**
 * Attention for CPU-backed adapters: an invocation owns a block of rows and walks the other side in chunks, holding
 * the block of scores in registers.
 *
 * On a software driver a storage load costs many times a multiply-add, workgroup memory is no faster than storage,
 * and dynamically indexed private arrays are slow to run and slower to compile. So the scores of up to 16 rows by 16
 * columns are named variables (256 of them): each loop over channels does 256 vector products for 32 loads, and the
 * accumulated row (out, dq, dk, dv) lives in its storage buffer, read and written once a chunk of 16.
 */
import { declareBlock, declareBuffers, keepWidth, rowBlocks, rowLayout } from "./attention-layout.ts";
import type { AttentionSpec, RowBlock, RowLayout } from "./attention-layout.ts";
import type { KernelSource } from "./kernel.ts";
import { literal } from "./wgsl-types.ts";

const WORKGROUP = 32;
const MAX_GRID = 65535;
const LOWEST = "-3.4e38";

/** Rows an invocation owns, and columns of a chunk. */
export interface AttentionTile {
  readonly rows: number;
  readonly columns: number;
}

/** The block size ≤ `most` that covers `length` in the fewest blocks with the least overhang. */
function blockSize(length: number, most: number): number {
  return Math.ceil(length / Math.ceil(length / most));
}

/** Emits one kernel; the methods append WGSL and share the names `r` (row of the block) and `c` (of the chunk). */
class Emitter {
  private text = "";
  readonly width: number;
  readonly vector: string;
  readonly rows: number;
  readonly columns: number;
  /** Whether blocks, or chunks, overhang the end of their sequence. */
  readonly rowsOverhang: boolean;
  readonly columnsOverhang: boolean;
  readonly table: readonly RowBlock[];

  constructor(
    readonly spec: AttentionSpec,
    readonly rowCount: number,
    readonly columnCount: number,
    tile: AttentionTile,
  ) {
    this.width = spec.dim % 4 === 0 ? 4 : 1;
    this.vector = this.width === 4 ? "vec4<f32>" : "f32";
    const { segments } = spec;
    this.rows = segments ? Math.min(tile.rows, Math.max(...segments)) : blockSize(rowCount, tile.rows);
    this.columns = segments ? Math.min(tile.columns, Math.max(...segments)) : blockSize(columnCount, tile.columns);
    this.rowsOverhang = (segments ?? [rowCount]).some((length) => length % this.rows !== 0);
    this.columnsOverhang = (segments ?? [columnCount]).some((length) => length % this.columns !== 0);
    this.table = rowBlocks(spec, rowCount, columnCount, this.rows);
  }

  /** Chunks of the longest sequence. */
  get chunks(): number {
    return Math.ceil(Math.max(...(this.spec.segments ?? [this.columnCount])) / this.columns);
  }

  line(text: string): void {
    this.text += text + "\n";
  }

  eachRow(body: (r: number) => string): void {
    for (let r = 0; r < this.rows; r++) this.line(body(r));
  }

  eachColumn(body: (c: number) => string): void {
    for (let c = 0; c < this.columns; c++) this.line(body(c));
  }

  /** A list over the chunk's columns joined by a binary function or operator. */
  overColumns(body: (c: number) => string, join: (a: string, b: string) => string): string {
    return Array.from({ length: this.columns }, (_, c) => body(c)).reduce(join);
  }

  /** Index, in the buffer's elements (vec4 or f32), of channel 0 of row `row` of this head. */
  private address(layout: RowLayout, row: string): string {
    const w = this.width;
    return `${layout.offset / w} + (batch * ${layout.rows} + ${row}) * ${layout.stride / w} + ` +
      `head * ${this.spec.dim / w}`;
  }

  /** Declares `NAME_r`, where the block's rows of an operand start; rows past the end repeat the last one. */
  rowAddresses(name: string, layout: RowLayout): void {
    const row = (r: number): string => (this.rowsOverhang && r > 0 ? `min(row + ${r}, rowEnd - 1)` : `row + ${r}`);
    this.eachRow((r) => `let ${name}_${r} = ${this.address(layout, row(r))};`);
  }

  /** Declares `NAME_c`, where the chunk's rows of an operand start; those past the end repeat the last one. */
  columnAddresses(name: string, layout: RowLayout): void {
    this.eachColumn((c) => `let ${name}_${c} = ${this.address(layout, this.column(c))};`);
  }

  /** Index of column c of the chunk, clamped into the sequence. */
  column(c: number): string {
    return this.columnsOverhang && c > 0 ? `min(chunk + ${c}, columnEnd - 1)` : `chunk + ${c}`;
  }

  row(r: number): string {
    return this.rowsOverhang && r > 0 ? `min(row + ${r}, rowEnd - 1)` : `row + ${r}`;
  }

  /** `NAME_r_c` = Σ_d rows[r][d] · columns[c][d]. */
  products(name: string, rowBuffer: string, rowName: string, columnBuffer: string, columnName: string): void {
    this.eachRow((r) => this.overColumns((c) => `var ${name}_${r}_${c} = 0.0;`, (a, b) => `${a} ${b}`));
    this.line("for (var d = 0; d < steps; d++) {");
    this.eachColumn((c) => `let x${c} = ${columnBuffer}[${columnName}_${c} + d];`);
    const product = (c: number): string => (this.width === 4 ? `dot(y, x${c})` : `y * x${c}`);
    this.eachRow((r) =>
      `{ let y = ${rowBuffer}[${rowName}_${r} + d]; ` +
      this.overColumns((c) => `${name}_${r}_${c} += ${product(c)};`, (a, b) => `${a} ${b}`) + " }");
    this.line("}");
  }

  /**
   * target[r][d] = old · target[r][d] + Σ_c weight(r, c) · columns[c][d]. The old value is taken as 0 in the first
   * chunk, so the buffer need not be cleared.
   */
  accumulate(
    target: string,
    rowName: string,
    weight: (r: number, c: number) => string,
    columnBuffer: string,
    columnName: string,
    old: (r: number) => string | undefined = () => undefined,
  ): void {
    this.line("for (var d = 0; d < steps; d++) {");
    this.eachColumn((c) => `let x${c} = ${columnBuffer}[${columnName}_${c} + d];`);
    this.eachRow((r) => {
      const sum = this.overColumns((c) => `${weight(r, c)} * x${c}`, (a, b) => `${a} + ${b}`);
      const place = `${target}[${rowName}_${r} + d]`;
      const factor = old(r);
      const scaled = factor ? `${place} * ${factor}` : place;
      const carried = `var t = ${this.vector}(); if (chunk > columnFirst) { t = ${scaled}; }`;
      const stored = this.chunks > 1 ? `{ ${carried} ${place} = t + ${sum}; }` : `${place} = ${sum};`;
      return this.guardRow(r, stored);
    });
    this.line("}");
  }

  /** Wraps a store so that rows past the end, which alias the last row, do not make it. */
  guardRow(r: number, statement: string): string {
    return this.rowsOverhang && r > 0 ? `if (row + ${r} < rowEnd) { ${statement} }` : statement;
  }

  beginChunks(): void {
    this.line(`for (var chunk = columnFirst; chunk < lastColumn; chunk += ${this.columns}) {`);
  }

  endChunks(): void {
    this.line("}");
  }

  /**
   * The kernel around the text so far. `steps` and `lastColumn` are constants that the driver's compiler must not see
   * as such: it would unroll loops whose bodies are hundreds of statements already (Mesa then compiles for minutes).
   */
  kernel(name: string, declared: ReturnType<typeof declareBuffers>, lengthOf: string): KernelSource {
    const { heads, batch, dim } = this.spec;
    const blocks = this.table.length;
    const total = batch * heads * blocks;
    const groups = Math.ceil(total / WORKGROUP);
    const gridX = Math.min(groups, MAX_GRID);
    // Sequences differ in length: neighbours, which a driver runs in lockstep, then take blocks of the same sequence.
    const slowBlocks = `let block = id / ${batch * heads};
let head = id % ${heads};
let batch = id / ${heads} % ${batch};
`;
    const fastBlocks = `let block = id % ${blocks};
let head = id / ${blocks} % ${heads};
let batch = id / ${blocks * heads};
`;
    const wgsl = `${declared.declarations}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
let id = (i32(group.y) * ${gridX} + i32(group.x)) * ${WORKGROUP} + i32(local);
if (id >= ${total}) { return; }
let steps = min(${dim / this.width}, i32(arrayLength(&${lengthOf})));
${this.spec.segments ? slowBlocks : fastBlocks}${declareBlock(this.table, this.rows, "block")}let row = first;
let lastColumn = min(columnEnd, i32(arrayLength(&${lengthOf})) + columnEnd);
let bh = batch * ${heads} + head;
${this.text}}
`;
    return { name, wgsl, bindings: declared.bindings, workgroups: [gridX, Math.ceil(groups / gridX), 1] };
  }

  /** Condition that key `c` of the chunk is attended to, or undefined where all are. */
  attends(c: number): string | undefined {
    const conditions: string[] = [];
    if (this.columnsOverhang && c > 0) conditions.push(`chunk + ${c} < columnEnd`);
    if (this.spec.mask) conditions.push(`mask[batch * ${this.columnCount} + ${this.column(c)}] != 0.0`);
    return conditions.length > 0 ? conditions.join(" && ") : undefined;
  }
}

/** The tiles to choose from, the largest first, and from how many multiply-adds of one product each is taken. */
const TILES: readonly (AttentionTile & { readonly work: number })[] = [
  { rows: 16, columns: 16, work: 2 ** 25 },
  { rows: 8, columns: 16, work: 2 ** 22 },
  { rows: 8, columns: 8, work: 2 ** 19 },
  { rows: 4, columns: 8, work: 0 },
];

/** Larger tiles run faster (16×16: 1.4 times 8×8) and compile longer (3 times), which small sizes never repay. */
function tileFor({ batch, heads, queries, keys, dim, segments }: AttentionSpec): AttentionTile {
  const pairs = segments ? segments.reduce((sum, length) => sum + length * length, 0) : queries * keys;
  const work = batch * heads * pairs * dim;
  return TILES.find((tile) => work >= tile.work)!;
}

/** One dispatch: out and lse. Rows are queries, columns keys. */
export function cpuAttentionForward(spec: AttentionSpec, tile = tileFor(spec)): KernelSource {
  const e = new Emitter(spec, spec.queries, spec.keys, tile);
  const [q, k, v, out] = (["q", "k", "v", "out"] as const).map((name) => rowLayout(spec, name));
  const reads = spec.packed ? ["qkv"] : ["q", "k", "v"];
  if (spec.mask) reads.push("mask");
  if (spec.keep) reads.push("keep");
  const declared = declareBuffers(spec, false, [
    ...reads.map((name) => ({ name, write: false })),
    { name: "out", write: true },
    { name: "lse", write: true },
  ]);

  e.rowAddresses("qr", q);
  e.rowAddresses("or", out);
  e.eachRow((r) => `var m${r} = ${LOWEST}; var l${r} = 0.0; var a${r} = 0.0;`);
  e.beginChunks();
  e.columnAddresses("kc", k);
  e.products("s", q.buffer, "qr", k.buffer, "kc");
  e.eachColumn((c) => {
    const condition = e.attends(c);
    return condition ? `let ok${c} = ${condition};` : "";
  });
  e.eachRow((r) => {
    const lines: string[] = ["{"];
    for (let c = 0; c < e.columns; c++) {
      const score = `s_${r}_${c} * ${literal(spec.scale, "f32")}`;
      lines.push(`s_${r}_${c} = ${e.attends(c) ? `select(${LOWEST}, ${score}, ok${c})` : score};`);
    }
    lines.push(`let top = max(m${r}, ${e.overColumns((c) => `s_${r}_${c}`, (a, b) => `max(${a}, ${b})`)});`);
    lines.push(`a${r} = exp(m${r} - top); m${r} = top;`);
    for (let c = 0; c < e.columns; c++) {
      const p = `exp(s_${r}_${c} - top)`;
      lines.push(`s_${r}_${c} = ${e.attends(c) ? `select(0.0, ${p}, ok${c})` : p};`);
    }
    lines.push(`l${r} = l${r} * a${r} + (${e.overColumns((c) => `s_${r}_${c}`, (a, b) => `${a} + ${b}`)});`);
    if (spec.keep) {
      lines.push(`let kept = (bh * ${spec.queries} + ${e.row(r)}) * ${keepWidth(spec)} - columnFirst;`);
      for (let c = 0; c < e.columns; c++) lines.push(`s_${r}_${c} *= keep[kept + ${e.column(c)}];`);
    }
    return lines.join("\n") + "\n}";
  });
  e.columnAddresses("vc", v);
  e.accumulate("out", "or", (r, c) => `s_${r}_${c}`, v.buffer, "vc", (r) => `a${r}`);
  e.endChunks();
  e.eachRow((r) => {
    const scaled = `for (var d = 0; d < steps; d++) { out[or_${r} + d] *= inverse; }`;
    const saved = `lse[bh * ${spec.queries} + row + ${r}] = select(0.0, m${r} + log(l${r}), l${r} > 0.0);`;
    return e.guardRow(r, `{ let inverse = select(0.0, 1.0 / l${r}, l${r} > 0.0); ${scaled} ${saved} }`);
  });
  return e.kernel("attention.forward", declared, q.buffer);
}

/** Two dispatches: delta and dq over query rows, then dk and dv over key rows. */
export function cpuAttentionBackward(spec: AttentionSpec, tile = tileFor(spec)): KernelSource[] {
  return [queryGradient(spec, tile), keyGradient(spec, tile)];
}

function readsOf(spec: AttentionSpec): { name: string; write: boolean }[] {
  const names = ["dout", ...(spec.packed ? ["qkv"] : ["q", "k", "v"]), "lse"];
  if (spec.mask) names.push("mask");
  if (spec.keep) names.push("keep");
  return names.map((name) => ({ name, write: false }));
}

function queryGradient(spec: AttentionSpec, tile: AttentionTile): KernelSource {
  const e = new Emitter(spec, spec.queries, spec.keys, tile);
  const [q, k, v, out, dout, dq] = (["q", "k", "v", "out", "dout", "dq"] as const).map((n) => rowLayout(spec, n));
  const declared = declareBuffers(spec, true, [
    ...readsOf(spec),
    { name: "out", write: false },
    { name: dq.buffer, write: true },
    { name: "delta", write: true },
  ]);
  e.rowAddresses("qr", q);
  e.rowAddresses("or", out);
  e.rowAddresses("dr", dq);
  e.eachRow((r) => `var t${r} = 0.0; let lse${r} = lse[bh * ${spec.queries} + ${e.row(r)}];`);
  e.line("for (var d = 0; d < steps; d++) {");
  e.eachRow((r) => {
    const [a, b] = [`dout[or_${r} + d]`, `out[or_${r} + d]`];
    return `t${r} += ${e.width === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`};`;
  });
  e.line("}");
  e.eachRow((r) => e.guardRow(r, `delta[bh * ${spec.queries} + row + ${r}] = t${r};`));

  e.beginChunks();
  e.columnAddresses("kc", k);
  e.products("p", q.buffer, "qr", k.buffer, "kc");
  e.eachColumn((c) => (e.attends(c) ? `let ok${c} = ${e.attends(c)};` : ""));
  e.eachRow((r) => e.overColumns((c) => {
    const p = `exp(p_${r}_${c} * ${literal(spec.scale, "f32")} - lse${r})`;
    return `p_${r}_${c} = ${e.attends(c) ? `select(0.0, ${p}, ok${c})` : p};`;
  }, (a, b) => `${a}\n${b}`));
  e.columnAddresses("vc", v);
  e.products("g", "dout", "or", v.buffer, "vc");
  e.eachRow((r) => {
    const kept = `let kept = (bh * ${spec.queries} + ${e.row(r)}) * ${keepWidth(spec)} - columnFirst;`;
    return `{ ${spec.keep ? kept : ""}\n` + e.overColumns((c) => {
      const g = spec.keep ? `g_${r}_${c} * keep[kept + ${e.column(c)}]` : `g_${r}_${c}`;
      return `p_${r}_${c} *= (${g} - t${r}) * ${literal(spec.scale, "f32")};`;
    }, (a, b) => `${a}\n${b}`) + "\n}";
  });
  e.accumulate(dq.buffer, "dr", (r, c) => `p_${r}_${c}`, k.buffer, "kc");
  e.endChunks();
  return e.kernel("attention.backward.query", declared, q.buffer);
}

function keyGradient(spec: AttentionSpec, tile: AttentionTile): KernelSource {
  const e = new Emitter(spec, spec.keys, spec.queries, tile);
  const [q, k, v, dout, dk, dv] = (["q", "k", "v", "dout", "dk", "dv"] as const).map((n) => rowLayout(spec, n));
  const outputs = [...new Set([dk.buffer, dv.buffer])];
  const declared = declareBuffers(spec, true, [
    ...readsOf(spec),
    { name: "delta", write: false },
    ...outputs.map((name) => ({ name, write: true })),
  ]);
  e.rowAddresses("kr", k);
  e.rowAddresses("vr", v);
  e.rowAddresses("dkr", dk);
  e.rowAddresses("dvr", dv);
  if (spec.mask) e.eachRow((r) => `let ok${r} = mask[batch * ${spec.keys} + ${e.row(r)}] != 0.0;`);

  e.beginChunks();
  e.columnAddresses("qc", q);
  e.products("p", k.buffer, "kr", q.buffer, "qc");
  e.eachColumn((c) => `let lse${c} = lse[bh * ${spec.queries} + ${e.column(c)}];`);
  e.eachRow((r) => e.overColumns((c) => {
    const conditions: string[] = [];
    if (e.columnsOverhang && c > 0) conditions.push(`chunk + ${c} < columnEnd`);
    if (spec.mask) conditions.push(`ok${r}`);
    const p = `exp(p_${r}_${c} * ${literal(spec.scale, "f32")} - lse${c})`;
    return `p_${r}_${c} = ${conditions.length > 0 ? `select(0.0, ${p}, ${conditions.join(" && ")})` : p};`;
  }, (a, b) => `${a}\n${b}`));
  e.columnAddresses("oc", dout);
  e.products("g", v.buffer, "vr", "dout", "oc");
  e.eachColumn((c) => `let delta${c} = delta[bh * ${spec.queries} + ${e.column(c)}];` +
    (spec.keep ? ` let kept${c} = (bh * ${spec.queries} + ${e.column(c)}) * ${keepWidth(spec)} - columnFirst;` : ""));
  // g becomes ds and p becomes the dropped-out probability, which is what dk and dv sum over.
  e.eachRow((r) => e.overColumns((c) => {
    const ds = (g: string): string => `g_${r}_${c} = p_${r}_${c} * (${g} - delta${c}) * ${literal(spec.scale, "f32")};`;
    if (!spec.keep) return ds(`g_${r}_${c}`);
    return `{ let f = keep[kept${c} + ${e.row(r)}]; ${ds(`g_${r}_${c} * f`)} p_${r}_${c} *= f; }`;
  }, (a, b) => `${a}\n${b}`));
  e.accumulate(dv.buffer, "dvr", (r, c) => `p_${r}_${c}`, "dout", "oc");
  e.accumulate(dk.buffer, "dkr", (r, c) => `g_${r}_${c}`, q.buffer, "qc");
  e.endChunks();
  return e.kernel("attention.backward.key", declared, q.buffer);
}
