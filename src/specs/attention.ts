/**
 * Sizes of one attention, and where each operand's rows lie: alone, or as a column block of a packed projection.
 *
 * Kernels know operands by name; the names stand here in the order of the op's inputs and outputs.
 */
/** Shapes and options of one attention; sizes are fixed into the kernels. */
export interface AttentionSpec {
  readonly batch: number;
  readonly heads: number;
  /** Tq, rows of q. */
  readonly queries: number;
  /** Tk, rows of k and v. */
  readonly keys: number;
  /** D, channels of a head. */
  readonly dim: number;
  /** Factor on q·k; PyTorch's default is 1/√D. */
  readonly scale: number;
  /** q, k, v are the three column blocks of one f32 [B, T, 3·H·D]; Tq must equal Tk. */
  readonly packed: boolean;
  /** A key mask f32 [B, Tk] is given: non-zero keys are attended to. */
  readonly mask: boolean;
  /** A dropout tensor f32 [B, H, Tq, Tk] of 0 or 1/(1−p) is given; it multiplies the probabilities. */
  readonly keep: boolean;
  /**
   * Lengths of sequences that lie one after the other along T, each attending to itself only; Tq = Tk is their sum.
   * `keep` is then [B, H, T, longest]: its columns count from the start of the row's sequence.
   */
  readonly segments?: readonly number[];
}

/** Columns of `keep`. */
export function keepWidth(spec: AttentionSpec): number {
  return spec.segments ? Math.max(...spec.segments) : spec.keys;
}

/** Rows of a block, and the rows of the other side that it meets: those of its own sequence. */
export interface RowBlock {
  readonly row: number;
  readonly rowEnd: number;
  readonly columnFirst: number;
  readonly columnEnd: number;
}

/** Blocks of at most `side` rows, none of which holds rows of two sequences. */
export function rowBlocks(spec: AttentionSpec, rowCount: number, columnCount: number, side: number): RowBlock[] {
  const blocks: RowBlock[] = [];
  let first = 0;
  for (const length of spec.segments ?? [rowCount]) {
    const rowEnd = first + length;
    const columns = spec.segments
      ? { columnFirst: first, columnEnd: rowEnd }
      : { columnFirst: 0, columnEnd: columnCount };
    for (let row = first; row < rowEnd; row += side) blocks.push({ row, rowEnd, ...columns });
    first = rowEnd;
  }
  return blocks;
}

/** Where row (b, t) of head h of an operand starts: `offset + (b·rows + t)·stride + h·D`, in elements. */
export interface RowLayout {
  /** Name of the WGSL buffer. */
  readonly buffer: string;
  readonly rows: number;
  readonly stride: number;
  readonly offset: number;
}

/** Rows of `operand` inside its buffer: alone, or as a block of the packed projection. */
export function rowLayout(
  spec: AttentionSpec,
  operand: "q" | "k" | "v" | "out" | "dout" | "dq" | "dk" | "dv",
): RowLayout {
  const width = spec.heads * spec.dim;
  const rows = operand.endsWith("q") || operand.endsWith("out") ? spec.queries : spec.keys;
  const block = ["q", "k", "v"].indexOf(operand.replace(/^d(?!out)/, ""));
  if (!spec.packed || block < 0) return { buffer: operand, rows, stride: width, offset: 0 };
  return { buffer: operand.startsWith("d") ? "dqkv" : "qkv", rows, stride: 3 * width, offset: block * width };
}

/** The inputs of the forward, or of the backward, in order; each is a buffer name. */
export function inputNames(spec: AttentionSpec, backward: boolean): string[] {
  const names = spec.packed ? ["qkv"] : ["q", "k", "v"];
  if (backward) names.unshift("dout");
  if (backward) names.push("out", "lse");
  if (spec.mask) names.push("mask");
  if (spec.keep) names.push("keep");
  return names;
}

/** The outputs in order: `out, lse`, or `dqkv`, or `dq, dk, dv`. */
export function outputNames(spec: AttentionSpec, backward: boolean): string[] {
  if (!backward) return ["out", "lse"];
  return spec.packed ? ["dqkv"] : ["dq", "dk", "dv"];
}
