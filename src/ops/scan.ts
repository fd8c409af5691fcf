/**
 * Recurrent scans: all time steps of a GRU or LSTM layer as one fused op, in PyTorch's gate forms (`specs/cells.ts`).
 *
 * The input's part of the gates comes from one matrix product over all steps, outside the scan, and so do the
 * gradients of the weights. Both directions run in one pass, in natural time order; direction 1 starts at the end.
 * Several sequences of different lengths may share a scan, one after the other along the time axis.
 */
import type { DType } from "../tensor/dtype.ts";
import type { FusedOp, ValueSpec } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { scalar, zeros } from "../tensor/create.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { concat, stack } from "../tensor/methods/join.ts";
import { GRU, LSTM, forwardStep } from "../specs/cells.ts";
import type { CellForms, GatedCell } from "../specs/cells.ts";
import { keptParts } from "../specs/scan.ts";
import { backwardKernels, forwardKernels } from "./kernels/scan.ts";
import type { ScanAttrs } from "./kernels/scan.ts";

/** Runs `step` at every time of every direction and sequence, first to last in that direction's order. */
function overTime(
  segments: readonly number[],
  directions: number,
  step: (t: number, d: number, s: number) => void,
  backwards = false,
): void {
  let start = 0;
  segments.forEach((steps, s) => {
    for (let d = 0; d < directions; d++) {
      for (let k = 0; k < steps; k++) step(start + ((d === 0) === backwards ? steps - 1 - k : k), d, s);
    }
    start += steps;
  });
}

/** The sequences of a scan. */
const sequencesOf = ({ segments }: ScanAttrs, steps: number): readonly number[] => segments ?? [steps];

/** [S][D] tensors of [B, H] out of a state [D, S·B, H]. */
function splitState(state: Tensor, sequences: number): Tensor[][] {
  const [directions, rows] = state.shape;
  const batch = rows / sequences;
  return Array.from({ length: sequences }, (_, s) =>
    Array.from({ length: directions }, (_, d) => state.slice(d, [s * batch, (s + 1) * batch])),
  );
}

/** The state [D, S·B, H] from [S][D] tensors. */
function joinState(parts: readonly (readonly Tensor[])[]): Tensor {
  if (parts.length === 1) return stack(parts[0]);
  return stack(parts[0].map((_, d) => concat(parts.map((row) => row[d]))));
}

/** [T][D] tensors of [B, W] as one [T, B, D, W]. */
function gatherSteps(parts: Tensor[][]): Tensor {
  return stack(
    parts.map((row) => stack(row, 1)),
    0,
  );
}

const grid = (steps: number, directions: number): Tensor[][] =>
  Array.from({ length: steps }, () => new Array<Tensor>(directions));

/** y [T, B, D·H] from [T][D] hidden states; 0 where the mask is, whatever the state. */
function outputOf(h: Tensor[][], mask: Tensor | undefined): Tensor {
  const y = gatherSteps(h);
  const [steps, batch, directions, hidden] = y.shape;
  const kept = mask ? y.mask(mask.ne(0).reshape([steps, batch, 1, 1]).expand(y.shape)) : y;
  return kept.reshape([steps, batch, directions * hidden]);
}

/** Blocks of `width` along the last axis. */
function blocks(x: Tensor, width: number): Tensor[] {
  const lead = x.shape.slice(0, -1).map(() => null);
  return Array.from({ length: x.shape[x.rank - 1] / width }, (_, k) => x.slice(...lead, [k * width, (k + 1) * width]));
}

const join = (parts: readonly Tensor[]): Tensor => stack([...parts], 1).reshape([parts[0].shape[0], -1]);

const perStep = (gates: ValueSpec, width: number): ValueSpec => ({
  shape: [...gates.shape.slice(0, 3), width],
  dtype: gates.dtype,
});

/** Arithmetic of cells on tensors. */
const cellForms = (dtype: DType): CellForms<Tensor> => ({
  const: (value) => scalar(value, dtype),
  name: (x) => x,
  add: (x, y) => x.add(y),
  sub: (x, y) => x.sub(y),
  mul: (x, y) => x.mul(y),
  multiplyAdd: (x, y, z) => x.mul(y).add(z),
  negativeMultiplyAdd: (x, y, z) => z.sub(x.mul(y)),
  sigmoid: (x) => x.sigmoid(),
  tanh: (x) => x.tanh(),
});

const nodesOf = (tensors: readonly Tensor[]) => tensors.map((t) => t.node);

/**
 * A cell's scan, for T steps, B rows, D directions, H units, G gates.
 * In: gates [T,B,D,G·H], weight [D,G·H,H], bias [D,G·H], first states [D,B,H] each, mask? [T,B].
 * Out: y, last states, saved [T,B,D,P·H] (what the cell keeps, and its states before the step but for h), hPrev.
 */
function forwardOp(cell: GatedCell, backward: FusedOp<ScanAttrs>): FusedOp<ScanAttrs> {
  const stateCount = cell.states.length;
  const splitInputs = ([gates, weight, bias, ...rest]: readonly Tensor[]) => ({
    gates,
    weight,
    bias,
    states: rest.slice(0, stateCount),
    mask: rest.at(stateCount),
  });
  return {
    name: cell.name,
    kernels: forwardKernels(cell),
    outputs([gates, , , ...rest]) {
      const [steps, batch, directions] = gates.shape;
      const states = rest.slice(0, stateCount);
      const hidden = states[0].shape[2];
      return [
        { shape: [steps, batch, directions * hidden], dtype: gates.dtype },
        ...states,
        perStep(gates, keptParts(cell) * hidden),
        perStep(gates, hidden),
      ];
    },
    decompose(inputs, attrs) {
      const { gates, weight, bias, states, mask } = splitInputs(inputs);
      const [steps, , directions] = gates.shape;
      const hidden = states[0].shape[2];
      const forms = cellForms(gates.dtype);
      const sequences = sequencesOf(attrs, steps);
      const [outputs, saved, before] = [grid(steps, directions), grid(steps, directions), grid(steps, directions)];
      const all = states.map((state) => splitState(state, sequences.length));
      overTime(sequences, directions, (t, d, s) => {
        const old = all.map((state) => state[s][d]);
        const fromInput = blocks(gates.slice(t, null, d), hidden);
        const fromState = blocks(old[0].matmul(weight.slice(d).transpose()).add(bias.slice(d)), hidden);
        const after = forwardStep(forms, cell, {
          input: (gate) => fromInput[gate],
          recurrent: (gate) => fromState[gate],
          state: (k) => old[k],
        });
        const valid = mask?.slice(t).unsqueeze(1).ne(0);
        after.states.forEach((state, k) => (all[k][s][d] = valid ? valid.where(state, old[k]) : state));
        before[t][d] = old[0];
        saved[t][d] = join([...after.kept, ...old.slice(1)]);
        outputs[t][d] = all[0][s][d];
      });
      return [outputOf(outputs, mask), ...all.map(joinState), gatherSteps(saved), gatherSteps(before)];
    },
    vjp(inputs, outputs, cotangents, attrs) {
      const { gates, weight, states, mask } = splitInputs(inputs);
      const [saved, hPrev] = outputs.slice(1 + stateCount);
      if (cotangents.slice(1 + stateCount).some(Boolean)) return undefined;
      const [steps, batch, directions] = gates.shape;
      const given = [
        cotangents[0] ?? zeros([steps, batch, directions * states[0].shape[2]], gates.dtype),
        ...states.map((state, k) => cotangents[1 + k] ?? zeros(state.shape, state.dtype)),
        saved,
        ...(cell.readsState ? [hPrev] : []),
        weight,
        ...(mask ? [mask] : []),
      ];
      const results = build.fused(backward, nodesOf(given), attrs).map((n) => new Tensor(n));
      const ofProduct = results[cell.scaled ? 1 : 0];
      return [results[0], ...weightGradients(ofProduct, hPrev), ...results.slice(-stateCount), undefined];
    },
  };
}

/**
 * In: dy, cotangents of the last states, saved, hPrev where the cell reads it, weight, mask?.
 * Out: dgates [T,B,D,G·H], where a gate scales a part dgatesH, cotangents of the first states.
 */
function backwardOp(cell: GatedCell): FusedOp<ScanAttrs> {
  const stateCount = cell.states.length;
  return {
    name: `${cell.name}Backward`,
    kernels: backwardKernels(cell),
    outputs([, ...rest]) {
      const states = rest.slice(0, stateCount);
      const gates = perStep(rest[stateCount], cell.gates * states[0].shape[2]);
      return [gates, ...(cell.scaled ? [gates] : []), ...states];
    },
    decompose([dy, ...rest], attrs) {
      const states = rest.slice(0, stateCount);
      const [saved, hPrev] = rest.slice(stateCount);
      const [weight, mask] = rest.slice(stateCount + (cell.readsState ? 2 : 1));
      const [steps, , directions] = saved.shape;
      const hidden = states[0].shape[2];
      const forms = cellForms(dy.dtype);
      const sequences = sequencesOf(attrs, steps);
      const [input, recurrent] = [grid(steps, directions), grid(steps, directions)];
      const all = states.map((state) => splitState(state, sequences.length));
      overTime(
        sequences,
        directions,
        (t, d, s) => {
          const later = all.map((state) => state[s][d]);
          const kept = blocks(saved.slice(t, null, d), hidden);
          const dh = later[0].add(blocks(dy.slice(t), hidden)[d]);
          const given = cell.backward(forms, {
            kept: (part) => kept[part],
            state: (k) => (k === 0 ? hPrev.slice(t, null, d) : kept[cell.kept + k - 1]),
            cotangent: (k) => (k === 0 ? dh : later[k]),
          });
          const valid = mask?.slice(t).unsqueeze(1).ne(0);
          const only = (x: Tensor) => (valid ? x.mask(valid) : x);
          input[t][d] = only(join(given.input));
          recurrent[t][d] = cell.scaled ? only(join(given.recurrent)) : input[t][d];
          const product = recurrent[t][d].matmul(weight.slice(d));
          given.states.forEach((passed, k) => {
            const before = k > 0 ? passed! : passed ? passed.add(product) : product;
            all[k][s][d] = valid ? valid.where(before, later[k]) : before;
          });
        },
        true,
      );
      return [gatherSteps(input), ...(cell.scaled ? [gatherSteps(recurrent)] : []), ...all.map(joinState)];
    },
  };
}

/** The ops of a cell. */
export interface GatedScan {
  readonly cell: GatedCell;
  readonly forward: FusedOp<ScanAttrs>;
  readonly backward: FusedOp<ScanAttrs>;
}

export function gatedScan(cell: GatedCell): GatedScan {
  const backward = backwardOp(cell);
  return { cell, forward: forwardOp(cell, backward), backward };
}

export const GRU_SCAN = gatedScan(GRU);
export const LSTM_SCAN = gatedScan(LSTM);

/** Gradients of W_hh and b_hh: sums over time and batch, as one batched product. */
function weightGradients(dgates: Tensor, hPrev: Tensor): [Tensor, Tensor] {
  const [steps, batch, directions, width] = dgates.shape;
  const rows = (x: Tensor) => x.reshape([steps * batch, directions, x.shape[3]]);
  const dweight = rows(dgates)
    .permute([1, 2, 0])
    .matmul(rows(hPrev).permute([1, 0, 2]));
  return [dweight, dgates.reshape([steps * batch, directions, width]).sum(0)];
}

// --- public

/** Inputs of `gruScan`, for T steps, B sequences, D directions and H features. */
export interface GruScanInputs {
  /** x·W_ihᵀ + b_ih of every step: [T, B, D, 3H], gates r, z, n. */
  readonly gates: Tensor;
  /** W_hh [D, 3H, H] and b_hh [D, 3H]. */
  readonly weight: Tensor;
  readonly bias?: Tensor;
  /** First state [D, B, H] (S·B rows with `segments`); default 0. */
  readonly h0?: Tensor;
  /** f32 [T, B]: 1 for valid steps; at 0 the state is carried over and the output is 0. */
  readonly mask?: Tensor;
  /**
   * Lengths, adding up to T, of independent sequences that lie one after the other along the time axis, and that are
   * run side by side. First and last states are then [D, S·B, H], sequence after sequence.
   */
  readonly segments?: readonly number[];
}

/** One GRU layer over time (torch.nn.GRU's cell). Results: y [T, B, D·H] and the last states hn [D, B, H]. */
export function gruScan(inputs: GruScanInputs): { y: Tensor; hn: Tensor } {
  const [y, hn] = scanned(GRU_SCAN, inputs, { h0: inputs.h0 });
  return { y, hn };
}

/** Inputs of `lstmScan`: those of `gruScan`, with gates i, f, g, o, and a cell state. */
export interface LstmScanInputs extends GruScanInputs {
  /** First cell state [D, B, H]; default 0. */
  readonly c0?: Tensor;
}

/** One LSTM layer over time (torch.nn.LSTM's cell); `gates` and weights have 4H rows: i, f, g, o. */
export function lstmScan(inputs: LstmScanInputs): { y: Tensor; hn: Tensor; cn: Tensor } {
  const [y, hn, cn] = scanned(LSTM_SCAN, inputs, { h0: inputs.h0, c0: inputs.c0 });
  return { y, hn, cn };
}

/** The results of a cell's scan from the first states by their names. */
function scanned(
  { cell, forward }: GatedScan,
  inputs: GruScanInputs,
  first: Readonly<Record<string, Tensor | undefined>>,
): Tensor[] {
  const { gates, weight, mask, segments } = inputs;
  const [directions, hidden, batch] = checkScan(cell.name, inputs, cell.gates);
  const bias = inputs.bias ?? zeros([directions, cell.gates * hidden], gates.dtype);
  const states = Object.entries(first).map(([name, state]) =>
    checkState(cell.name, name, state, [directions, batch, hidden], gates),
  );
  const operands = [gates, weight, bias, ...states, ...(mask ? [mask] : [])];
  return build.fused(forward, nodesOf(operands), scanAttrs(mask, segments)).map((n) => new Tensor(n));
}

/** One sequence is written without `segments`, so that it has one form. */
function scanAttrs(mask: Tensor | undefined, segments: readonly number[] | undefined): ScanAttrs {
  const masked = mask !== undefined;
  return segments && segments.length > 1 ? { masked, segments: [...segments] } : { masked };
}

/** Directions, hidden size, and rows of a state. */
function checkScan(op: string, inputs: GruScanInputs, count: number): [number, number, number] {
  const { gates, weight, bias, mask, segments } = inputs;
  const [steps, batch, directions, width] = gates.shape;
  const hidden = width / count;
  const rule = (what: string, found: Tensor, wanted: readonly number[]) => {
    if (sameShape(found.shape, wanted)) return;
    throw new Error(
      `${op}: ${what} has shape ${formatShape(found.shape)}, gates ${formatShape(gates.shape)} need ${formatShape(wanted)}`,
    );
  };
  if (gates.rank !== 4 || !Number.isInteger(hidden) || steps === 0 || batch === 0 || hidden === 0) {
    throw new Error(
      `${op}: gates ${formatShape(gates.shape)} must be [steps, batch, directions, ${count}·hidden], none of them 0`,
    );
  }
  if (directions !== 1 && directions !== 2) {
    throw new Error(`${op}: gates ${formatShape(gates.shape)} have ${directions} directions; there are 1 or 2`);
  }
  rule("weight", weight, [directions, width, hidden]);
  if (bias) rule("bias", bias, [directions, width]);
  if (mask) rule("mask", mask, [steps, batch]);
  if (
    segments &&
    (segments.some((n) => !Number.isInteger(n) || n < 1) || segments.reduce((a, b) => a + b, 0) !== steps)
  ) {
    throw new Error(
      `${op}: segments [${segments.join(", ")}] must be positive integers whose sum is the ${steps} steps`,
    );
  }
  return [directions, hidden, batch * (segments?.length ?? 1)];
}

function checkState(
  op: string,
  name: string,
  state: Tensor | undefined,
  shape: readonly number[],
  gates: Tensor,
): Tensor {
  if (!state) return zeros(shape, gates.dtype);
  if (!sameShape(state.shape, shape))
    throw new Error(`${op}: ${name} has shape ${formatShape(state.shape)}, not ${formatShape(shape)}`);
  return state;
}
