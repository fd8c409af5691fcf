import { helperText } from "../print/helpers.ts";
import { rowBlocks } from "../../specs/attention.ts";
import { declareBlock } from "./bindings.ts";
import type { declareBuffers } from "./bindings.ts";
import type { AttentionSpec, RowBlock, RowLayout } from "../../specs/attention.ts";
import type { KernelSource } from "../kernel.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";

const WORKGROUP = 32;

/** Rows an invocation owns, and columns of a chunk. */
export interface AttentionTile {
  readonly rows: number;
  readonly columns: number;
}

/** The block size ≤ `most` that covers `length` in the fewest blocks with the least overhang. */
export function blockSize(length: number, most: number): number {
  return Math.ceil(length / Math.ceil(length / most));
}

export function roundUp4(size: number): number {
  return Math.ceil(size / 4) * 4;
}

/** Emits one kernel; its methods append WGSL. */
export class BlockEmitter {
  #text = "";
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
    /** Rows and columns are then multiples of 4, as rows of the shares are read and written by vec4. */
    aligned = false,
  ) {
    this.width = spec.dim % 4 === 0 ? 4 : 1;
    this.vector = this.width === 4 ? "vec4<f32>" : "f32";
    const { segments } = spec;
    const side = (count: number, most: number): number => {
      const size = segments ? Math.min(most, Math.max(...segments)) : blockSize(count, most);
      return aligned ? roundUp4(size) : size;
    };
    this.rows = side(rowCount, tile.rows);
    this.columns = side(columnCount, tile.columns);
    this.rowsOverhang = (segments ?? [rowCount]).some((length) => length % this.rows !== 0);
    this.columnsOverhang = (segments ?? [columnCount]).some((length) => length % this.columns !== 0);
    this.table = rowBlocks(spec, rowCount, columnCount, this.rows);
  }

  /** Chunks of the longest sequence. */
  get chunks(): number {
    return Math.ceil(Math.max(...(this.spec.segments ?? [this.columnCount])) / this.columns);
  }

  line(text: string): void {
    this.#text += text + "\n";
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
  address(layout: RowLayout, row: string): string {
    const w = this.width;
    return (
      `${layout.offset / w} + (batch * ${layout.rows} + ${row}) * ${layout.stride / w} + ` +
      `head * ${this.spec.dim / w}`
    );
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
    this.eachRow((r) =>
      this.overColumns(
        (c) => `var ${name}_${r}_${c} = 0.0;`,
        (a, b) => `${a} ${b}`,
      ),
    );
    this.line("for (var d = 0; d < steps; d++) {");
    this.eachColumn((c) => `let x${c} = ${columnBuffer}[${columnName}_${c} + d];`);
    const product = (c: number): string => (this.width === 4 ? `dot(y, x${c})` : `y * x${c}`);
    this.eachRow(
      (r) =>
        `{ let y = ${rowBuffer}[${rowName}_${r} + d]; ` +
        this.overColumns(
          (c) => `${name}_${r}_${c} += ${product(c)};`,
          (a, b) => `${a} ${b}`,
        ) +
        " }",
    );
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
      const sum = this.overColumns(
        (c) => `${weight(r, c)} * x${c}`,
        (a, b) => `${a} + ${b}`,
      );
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
   * The kernel around the text so far, run for each of `parts` of every block. `steps` and `lastColumn` are constants
   * that the driver's compiler must not see as such: it would unroll loops whose bodies are hundreds of
   * statements already (Mesa then compiles for minutes).
   */
  kernel(name: string, declared: ReturnType<typeof declareBuffers>, lengthOf: string, parts = 1): KernelSource {
    const { heads, batch, dim } = this.spec;
    const blocks = this.table.length;
    const total = batch * heads * blocks * parts;
    const groups = Math.ceil(total / WORKGROUP);
    const gridX = Math.min(groups, MAX_WORKGROUPS);
    // Sequences differ in length: neighbours, which a driver runs in lockstep, then take blocks of the same sequence.
    const slowBlocks = `let block = unit / ${batch * heads};
let head = unit % ${heads};
let batch = unit / ${heads} % ${batch};
`;
    const fastBlocks = `let block = unit % ${blocks};
let head = unit / ${blocks} % ${heads};
let batch = unit / ${blocks * heads};
`;
    const wgsl = `${declared.declarations}${helperText("exp")}${helperText("log")}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
let id = (i32(group.y) * ${gridX} + i32(group.x)) * ${WORKGROUP} + i32(local);
if (id >= ${total}) { return; }
let part = id % ${parts};
let unit = id / ${parts};
let steps = min(${dim / this.width}, i32(arrayLength(&${lengthOf})));
${this.spec.segments ? slowBlocks : fastBlocks}${declareBlock(this.table, this.rows, "block")}let row = first;
let lastColumn = min(columnEnd, i32(arrayLength(&${lengthOf})) + columnEnd);
let bh = batch * ${heads} + head;
${this.#text}}
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
