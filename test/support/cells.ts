/** Cells for `scan`, most of which compute every batch row from that row alone, and their values on a device. */
import { gradients } from "../../src/autograd/grad.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { layerNorm, scan } from "../../src/ops/index.ts";
import type { ScanOptions } from "../../src/ops/scan-cell.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { Generator, compile, concat, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/index.ts";

export const reference = new ReferenceDevice();
/** Normal values of these shapes, the same whatever was drawn before. */
export async function normals(...shapes: number[][]): Promise<Tensor[]> {
  setDefaultDevice(reference);
  const draw = new Generator(11);
  const drawn: Tensor[] = [];
  for (const shape of shapes) drawn.push(tensor(Float32Array.from(await draw.normal(shape).read()), { shape }));
  return drawn;
}
const partsOf = (x: Tensor, parts: number) =>
  Array.from({ length: parts }, (_, k) => x.slice(null, [(k * x.shape[1]) / parts, ((k + 1) * x.shape[1]) / parts]));
const oneMinus = (x: Tensor) => x.neg().add(1);

interface Weights {
  readonly w: Tensor;
  readonly p: Tensor;
}

type State = { readonly h: Tensor; readonly c: Tensor };

export type Cell = (state: State, x: Tensor, weights: Weights) => { state: State; output: Tensor };

/** Inputs are [T, B, H · gates], weights [H · gates, H]. */
export const gru: Cell = ({ h, c }, x, { w }) => {
  const [xr, xz, xn] = partsOf(x, 3);
  const [hr, hz, hn] = partsOf(h.matmul(w.transpose()), 3);
  const z = xz.add(hz).sigmoid();
  const n = xn.add(xr.add(hr).sigmoid().mul(hn)).tanh();
  const next = oneMinus(z).mul(n).add(z.mul(h));
  return { state: { h: next, c }, output: next };
};
export const minGru: Cell = ({ h, c }, x, { w }) => {
  const z = x.matmul(w).sigmoid();
  const next = oneMinus(z).mul(h).add(z.mul(x));
  return { state: { h: next, c }, output: next };
};
export const lstm =
  (normalised: boolean): Cell =>
  ({ h, c }, x, { w, p }) => {
    const sums = x.add(h.matmul(w.transpose()));
    const [i, f, g, o] = partsOf(normalised ? layerNorm(sums) : sums, 4);
    const peep = c.mul(p);
    const cell = f.add(peep).sigmoid().mul(c).add(i.add(peep).sigmoid().mul(g.tanh()));
    const hidden = o.add(cell.mul(p)).sigmoid().mul(cell.tanh());
    return { state: { h: hidden, c: cell }, output: hidden };
  };
export const indRnn: Cell = ({ h, c }, x, { p }) => {
  const next = x.add(h.mul(p)).tanh();
  return { state: { h: next, c }, output: next };
};
/** Input and state side by side. */
export const joined: Cell = ({ h, c }, x, { w }) => {
  const next = concat([x.slice(null, [0, h.shape[1]]), h], 1)
    .matmul(w)
    .tanh();
  return { state: { h: next, c }, output: next };
};
/** Products of several widths, one after the other. */
export const narrowing: Cell = ({ h, c }, x, { w }) => {
  const half = w.shape[0] / 2;
  const wide = h.matmul(w.transpose()).tanh().matmul(w).tanh();
  const next = wide
    .matmul(w.slice([0, half]).transpose())
    .tanh()
    .matmul(w.slice([0, half]))
    .add(x)
    .tanh();
  return { state: { h: next, c }, output: next };
};
/** Sums of each row's outer product: several sums of a row at a time, forward and backward, of rows of any length. */
export const outerProduct: Cell = ({ h, c }, x) => {
  const product = h.unsqueeze(2).mul(c.unsqueeze(1));
  const next = product.mean(2).add(x);
  return { state: { h: next, c: product.mean(1).tanh() }, output: next };
};
/** A mean over the batch. */
export const batchNormed: Cell = ({ h, c }, x, { w }) => {
  const sums = x.add(h.matmul(w));
  const next = sums.sub(sums.mean(0, true)).tanh();
  return { state: { h: next, c }, output: next };
};
/** The neighbour's row. */
export const shifted: Cell = ({ h, c }, x, { p }) => {
  const neighbour = h.slice([1, h.shape[0]]).pad([
    [0, 1],
    [0, 0],
  ]);
  const next = x.add(neighbour.mul(p)).tanh();
  return { state: { h: next, c }, output: next };
};
/** All rows, weighted by how alike they are. */
export const attending: Cell = ({ h, c }, x) => {
  const next = x.add(h.matmul(h.transpose()).sigmoid().matmul(h)).tanh();
  return { state: { h: next, c }, output: next };
};

export interface Problem {
  readonly cell: Cell;
  readonly gates: number;
  readonly batch: number;
  readonly hidden: number;
  readonly options?: Pick<ScanOptions<never, never, never>, "reverse" | "lengths">;
}

/** Values and gradients. */
export async function valuesOf(device: Backend, leaves: readonly Tensor[], problem: Problem): Promise<HostArray[]> {
  setDefaultDevice(device);
  const step = compile((...given: Tensor[]) => resultsOf(given, problem));
  const values: HostArray[] = [];
  for (const t of await step(...leaves)) values.push(await t.read());
  return values;
}

/** The same, not computed yet. */
export function resultsOf([x, w, p, h, c]: readonly Tensor[], problem: Problem): Tensor[] {
  const { outputs, state } = scan(problem.cell, {
    state: { h, c },
    inputs: x,
    weights: { w, p },
    ...problem.options,
  });
  const loss = outputs.square().sum().add(state.h.sum()).add(state.c.square().sum());
  return [outputs, state.h, state.c, ...gradients([loss], [tensor(1)], [x, w, p, h, c])];
}

/** Weights are so small that a step does not enlarge what the steps before it have rounded. */
export async function leavesFor({ gates, batch, hidden }: Problem, steps: number): Promise<Tensor[]> {
  const state = [batch, hidden];
  const [x, w, ...rest] = await normals(
    [steps, batch, gates * hidden],
    [gates * hidden, hidden],
    [hidden],
    state,
    state,
  );
  const small = Float32Array.from(await w.read(), (v) => v / Math.sqrt(hidden));
  return [x, tensor(small, { shape: w.shape }), ...rest];
}

/** Cells of that kind, by name, with how many times the state an input has. */
export const rowByRow: readonly [string, Cell, number][] = [
  ["a GRU", gru, 3],
  ["minGRU", minGru, 1],
  ["a peephole LSTM", lstm(false), 4],
  ["an LSTM with layer norm", lstm(true), 4],
  ["an IndRNN", indRnn, 1],
  ["a cell of input and state side by side", joined, 2],
  ["a cell of an outer product", outerProduct, 1],
];
