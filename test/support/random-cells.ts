/** Cells for `scan` of random operations, most of them on a row of the batch alone, and the same step after step. */
import { concat, stack } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { layerNorm, scan, softmax } from "../../src/ops/index.ts";

/** An operation by number, and three numbers that say of what. */
export type Draw = readonly [operation: number, a: number, b: number, c: number];

export interface Sizes {
  readonly steps: number;
  readonly batch: number;
  readonly hidden: number;
  readonly inputs: number;
}

/** Of state h and c [B, H], inputs [T, B, X], weights [H, H], [X, H] and [H]. */
export const shapesOf = ({ steps, batch, hidden, inputs }: Sizes): number[][] => [
  [batch, hidden],
  [batch, hidden],
  [steps, batch, inputs],
  [hidden, hidden],
  [inputs, hidden],
  [hidden],
];

type Leaves = readonly [h: Tensor, c: Tensor, x: Tensor, w: Tensor, u: Tensor, p: Tensor];
type State = { readonly h: Tensor; readonly c: Tensor };
type Step = { readonly state: State; readonly output: Tensor[] };

/** What a cell has so far: rows [B, H], columns [B, 1], and further outputs. */
interface Made {
  readonly rows: Tensor[];
  readonly columns: Tensor[];
  readonly outputs: Tensor[];
}

type Operation = (made: Made, p: Tensor, q: Tensor, column: Tensor, weights: { w: Tensor; p: Tensor }) => unknown;

const row =
  (f: (p: Tensor, q: Tensor, column: Tensor, weights: { w: Tensor; p: Tensor }) => Tensor): Operation =>
  ({ rows }, ...operands) =>
    rows.push(f(...operands));
const column =
  (f: (p: Tensor) => Tensor): Operation =>
  ({ columns }, p) =>
    columns.push(f(p));
const outer = (p: Tensor, q: Tensor): Tensor => p.unsqueeze(2).mul(q.unsqueeze(1));

/** What a cell of [B, H] may do; the last two mix the rows of a batch. */
export const OPERATIONS: readonly Operation[] = [
  row((p, q) => p.add(q)),
  row((p, q) => p.mul(q)),
  row((p, q) => p.sub(q).tanh()),
  row((p, _q, _column, { w }) => p.matmul(w).mul(0.5)),
  row((p) => p.sigmoid()),
  row((p, q) => p.sin().mul(q.cos())),
  column((p) => p.mean(1, true)),
  column((p) => p.max(1, true)),
  column((p) => p.square().mean(1, true).add(0.1).sqrt()),
  row((p, _q, c) => p.sub(c)),
  row((p, _q, c) => p.mul(c)),
  row((p, q) => outer(p, q).mean(1)),
  ({ rows }, p, q) => rows.push(outer(p, q).mean(1), outer(p, q).mean(2)),
  row((p, q) => {
    const half = Math.floor(p.shape[1] / 2);
    return concat([p.slice(null, [0, half]), q.slice(null, [half, q.shape[1]])], 1);
  }),
  row((p) => p.flip([1])),
  row((p) => softmax(p)),
  row((p) => layerNorm(p, { epsilon: 0.1 }).mul(0.5)),
  row((p, q) => p.maximum(q)),
  row((p, q) => p.gt(q).where(p, q.mul(0.5))),
  row((p) =>
    p.slice(null, [1, p.shape[1]]).pad([
      [0, 0],
      [0, 1],
    ]),
  ),
  ({ outputs }, p) => outputs.push(p.sum(1)),
  ({ outputs }, p) => outputs.push(p.slice(null, [0, 1])),
  row((p) => p.abs().add(0.5).log()),
  row((p, _q, _c, weights) => p.add(weights.p)),
  row((p) => p.sub(p.mean(0, true))),
  row((p) => p.flip([0])),
];

/** A cell that runs these operations on what those before have made; its state stays within ±1. */
function cellOf(draws: readonly Draw[]): (state: State, x: Tensor, weights: readonly Tensor[]) => Step {
  return ({ h, c }, x, [w, u, p]) => {
    const made: Made = { rows: [h, c, x.matmul(u), h.mul(p)], columns: [h.mean(1, true)], outputs: [] };
    const { rows, columns, outputs } = made;
    for (const [operation, i, j, k] of draws) {
      const operands = [rows[i % rows.length], rows[j % rows.length], columns[k % columns.length]] as const;
      OPERATIONS[operation](made, ...operands, { w, p });
    }
    const [before, last] = rows.slice(-2);
    const next = { h: last.tanh().mul(0.8), c: before.tanh().mul(0.5).add(c.mul(0.4)) };
    return { state: next, output: [before.mul(0.5).add(columns.at(-1)!), ...outputs] };
  };
}

export interface Order {
  readonly reverse: boolean;
  /** [T, B] bool, where there is one. */
  readonly mask?: Tensor;
}

/** The last state and all outputs, by `scan`. */
export function scanned(draws: readonly Draw[], [h, c, x, ...weights]: Leaves, order: Order): Tensor[] {
  const { state, outputs } = scan(cellOf(draws), { state: { h, c }, inputs: x, weights, ...order });
  return [state.h, state.c, ...outputs];
}

/** The same, step after step. */
export function unrolled(draws: readonly Draw[], [h, c, x, ...weights]: Leaves, { reverse, mask }: Order): Tensor[] {
  const cell = cellOf(draws);
  const [steps, batch] = x.shape;
  const kept = new Array<Tensor[]>(steps);
  let state: State = { h, c };
  for (let k = 0; k < steps; k++) {
    const t = reverse ? steps - 1 - k : k;
    const { state: next, output } = cell(state, x.slice(t), weights);
    const choose = (y: Tensor, other: Tensor | number): Tensor =>
      mask
        ? mask
            .slice(t)
            .reshape([batch, ...y.shape.slice(1).map(() => 1)])
            .where(y, other)
        : y;
    state = { h: choose(next.h, state.h), c: choose(next.c, state.c) };
    kept[t] = output.map((y) => choose(y, 0));
  }
  return [state.h, state.c, ...kept[0].map((_, i) => stack(kept.map((outputs) => outputs[i])))];
}
