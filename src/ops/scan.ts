/**
 * Recurrent scans: all time steps of a GRU or LSTM layer as one fused op, in PyTorch's gate forms.
 *
 * GRU (Cho et al. 2014, with the reset gate after the recurrent product, as cuDNN and PyTorch have it):
 *   r = σ(gᵣ + Wᵣh + bᵣ), z = σ(g_z + W_z h + b_z), q = W_n h + b_n, n = tanh(g_n + r·q), h' = (1 − z)·n + z·h
 * LSTM (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000), gates i, f, g, o:
 *   c' = f·c + i·g, h' = o·tanh(c')
 *
 * The input's part of the gates comes from one matrix product over all steps, outside the scan, and so do the
 * gradients of the weights. Both directions run in one pass, in natural time order; direction 1 starts at the end.
 * Several sequences of different lengths may share a scan, one after the other along the time axis.
 */
import type { FusedOp, ValueSpec } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { zeros } from "../tensor/create.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { concat, stack } from "../tensor/methods/join.ts";
import type { ScanAttrs } from "./kernels/scan.ts";
import * as kernels from "./kernels/scan.ts";

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

const join = (parts: Tensor[]): Tensor => stack(parts, 1).reshape([parts[0].shape[0], -1]);
const oneMinus = (x: Tensor) => x.neg().add(1);

const perStep = (gates: ValueSpec, width: number): ValueSpec => ({
  shape: [...gates.shape.slice(0, 3), width],
  dtype: gates.dtype,
});

// --- GRU

/** In: gates [T,B,D,3H], weight [D,3H,H], bias [D,3H], h0 [D,B,H], mask? [T,B]. Out: y, hn, saved [T,B,D,4H] = r,z,n,q, hPrev. */
export const GRU_SCAN: FusedOp<ScanAttrs> = {
  name: "gruScan",
  kernels: kernels.GRU_FORWARD,
  outputs([gates, , , h0]) {
    const [steps, batch, directions] = gates.shape;
    const hidden = h0.shape[2];
    return [
      { shape: [steps, batch, directions * hidden], dtype: gates.dtype },
      h0,
      perStep(gates, 4 * hidden),
      perStep(gates, hidden),
    ];
  },
  decompose([gates, weight, bias, h0, mask], attrs) {
    const [steps, , directions] = gates.shape;
    const hidden = h0.shape[2];
    const sequences = sequencesOf(attrs, steps);
    const [states, saved, before] = [grid(steps, directions), grid(steps, directions), grid(steps, directions)];
    const all = splitState(h0, sequences.length);
    overTime(sequences, directions, (t, d, s) => {
      const h = all[s];
      const [gr, gz, gn] = blocks(gates.slice(t, null, d), hidden);
      const [ar, az, q] = blocks(h[d].matmul(weight.slice(d).transpose()).add(bias.slice(d)), hidden);
      const r = gr.add(ar).sigmoid();
      const z = gz.add(az).sigmoid();
      const n = gn.add(r.mul(q)).tanh();
      before[t][d] = h[d];
      saved[t][d] = join([r, z, n, q]);
      const next = oneMinus(z).mul(n).add(z.mul(h[d]));
      h[d] = mask ? mask.slice(t).unsqueeze(1).ne(0).where(next, h[d]) : next;
      states[t][d] = h[d];
    });
    return [outputOf(states, mask), joinState(all), gatherSteps(saved), gatherSteps(before)];
  },
  vjp([gates, weight, , h0, mask], [, , saved, hPrev], [dy, dhn, dsaved, dhPrev], attrs) {
    if (dsaved || dhPrev) return undefined;
    const [steps, batch, directions] = gates.shape;
    const hidden = h0.shape[2];
    const given = [
      dy ?? zeros([steps, batch, directions * hidden], gates.dtype),
      dhn ?? zeros(h0.shape, h0.dtype),
      saved,
      hPrev,
      weight,
    ];
    if (mask) given.push(mask);
    const [dgatesX, dgatesH, dh0] = build
      .fused(
        GRU_SCAN_BACKWARD,
        given.map((t) => t.node),
        attrs,
      )
      .map((n) => new Tensor(n));
    return [dgatesX, ...weightGradients(dgatesH, hPrev), dh0, undefined];
  },
};

/** In: dy, dhn, saved, hPrev, weight, mask?. Out: dgatesX, dgatesH [T,B,D,3H], dh0. */
export const GRU_SCAN_BACKWARD: FusedOp<ScanAttrs> = {
  name: "gruScanBackward",
  kernels: kernels.GRU_BACKWARD,
  outputs([, dhn, saved]) {
    const hidden = dhn.shape[2];
    return [perStep(saved, 3 * hidden), perStep(saved, 3 * hidden), dhn];
  },
  decompose([dy, dhn, saved, hPrev, weight, mask], attrs) {
    const [steps, , directions] = saved.shape;
    const hidden = dhn.shape[2];
    const sequences = sequencesOf(attrs, steps);
    const [dx, dh] = [grid(steps, directions), grid(steps, directions)];
    const carried = splitState(dhn, sequences.length);
    overTime(
      sequences,
      directions,
      (t, d, s) => {
        const carry = carried[s];
        const [r, z, n, q] = blocks(saved.slice(t, null, d), hidden);
        const total = carry[d].add(blocks(dy.slice(t), hidden)[d]);
        const dn = total.mul(oneMinus(z)).mul(oneMinus(n.square()));
        const dz = total
          .mul(hPrev.slice(t, null, d).sub(n))
          .mul(z)
          .mul(oneMinus(z));
        const dr = dn.mul(q).mul(r).mul(oneMinus(r));
        const valid = mask?.slice(t).unsqueeze(1).ne(0);
        const only = (x: Tensor) => (valid ? x.mask(valid) : x);
        dx[t][d] = only(join([dr, dz, dn]));
        dh[t][d] = only(join([dr, dz, dn.mul(r)]));
        const before = total.mul(z).add(dh[t][d].matmul(weight.slice(d)));
        carry[d] = valid ? valid.where(before, carry[d]) : before;
      },
      true,
    );
    return [gatherSteps(dx), gatherSteps(dh), joinState(carried)];
  },
};

// --- LSTM

/** In: gates [T,B,D,4H], weight [D,4H,H], bias [D,4H], h0, c0 [D,B,H], mask?. Out: y, hn, cn, saved [T,B,D,5H] = i,f,g,o,c, hPrev. */
export const LSTM_SCAN: FusedOp<ScanAttrs> = {
  name: "lstmScan",
  kernels: kernels.LSTM_FORWARD,
  outputs([gates, , , h0, c0]) {
    const [steps, batch, directions] = gates.shape;
    const hidden = h0.shape[2];
    return [
      { shape: [steps, batch, directions * hidden], dtype: gates.dtype },
      h0,
      c0,
      perStep(gates, 5 * hidden),
      perStep(gates, hidden),
    ];
  },
  decompose([gates, weight, bias, h0, c0, mask], attrs) {
    const [steps, , directions] = gates.shape;
    const hidden = h0.shape[2];
    const sequences = sequencesOf(attrs, steps);
    const [states, saved, before] = [grid(steps, directions), grid(steps, directions), grid(steps, directions)];
    const [hs, cs] = [splitState(h0, sequences.length), splitState(c0, sequences.length)];
    overTime(sequences, directions, (t, d, s) => {
      const [h, c] = [hs[s], cs[s]];
      const all = gates
        .slice(t, null, d)
        .add(h[d].matmul(weight.slice(d).transpose()))
        .add(bias.slice(d));
      const [ai, af, ag, ao] = blocks(all, hidden);
      const [i, f, g, o] = [ai.sigmoid(), af.sigmoid(), ag.tanh(), ao.sigmoid()];
      before[t][d] = h[d];
      saved[t][d] = join([i, f, g, o, c[d]]);
      const cell = f.mul(c[d]).add(i.mul(g));
      const next = o.mul(cell.tanh());
      const valid = mask?.slice(t).unsqueeze(1).ne(0);
      c[d] = valid ? valid.where(cell, c[d]) : cell;
      h[d] = valid ? valid.where(next, h[d]) : next;
      states[t][d] = h[d];
    });
    return [outputOf(states, mask), joinState(hs), joinState(cs), gatherSteps(saved), gatherSteps(before)];
  },
  vjp([gates, weight, , h0, c0, mask], [, , , saved, hPrev], [dy, dhn, dcn, dsaved, dhPrev], attrs) {
    if (dsaved || dhPrev) return undefined;
    const [steps, batch, directions] = gates.shape;
    const hidden = h0.shape[2];
    const given = [
      dy ?? zeros([steps, batch, directions * hidden], gates.dtype),
      dhn ?? zeros(h0.shape, h0.dtype),
      dcn ?? zeros(c0.shape, c0.dtype),
      saved,
      weight,
    ];
    if (mask) given.push(mask);
    const [dgates, dh0, dc0] = build
      .fused(
        LSTM_SCAN_BACKWARD,
        given.map((t) => t.node),
        attrs,
      )
      .map((n) => new Tensor(n));
    return [dgates, ...weightGradients(dgates, hPrev), dh0, dc0, undefined];
  },
};

/** In: dy, dhn, dcn, saved, weight, mask?. Out: dgates [T,B,D,4H], dh0, dc0. */
export const LSTM_SCAN_BACKWARD: FusedOp<ScanAttrs> = {
  name: "lstmScanBackward",
  kernels: kernels.LSTM_BACKWARD,
  outputs([, dhn, dcn, saved]) {
    return [perStep(saved, 4 * dhn.shape[2]), dhn, dcn];
  },
  decompose([dy, dhn, dcn, saved, weight, mask], attrs) {
    const [steps, , directions] = saved.shape;
    const hidden = dhn.shape[2];
    const sequences = sequencesOf(attrs, steps);
    const dgates = grid(steps, directions);
    const [hs, cs] = [splitState(dhn, sequences.length), splitState(dcn, sequences.length)];
    overTime(
      sequences,
      directions,
      (t, d, s) => {
        const [carryH, carryC] = [hs[s], cs[s]];
        const [i, f, g, o, c] = blocks(saved.slice(t, null, d), hidden);
        const squashed = f.mul(c).add(i.mul(g)).tanh();
        const dh = carryH[d].add(blocks(dy.slice(t), hidden)[d]);
        const dc = carryC[d].add(dh.mul(o).mul(oneMinus(squashed.square())));
        const slope = (x: Tensor) => x.mul(oneMinus(x));
        const valid = mask?.slice(t).unsqueeze(1).ne(0);
        const all = join([
          dc.mul(g).mul(slope(i)),
          dc.mul(c).mul(slope(f)),
          dc.mul(i).mul(oneMinus(g.square())),
          dh.mul(squashed).mul(slope(o)),
        ]);
        dgates[t][d] = valid ? all.mask(valid) : all;
        const before = dgates[t][d].matmul(weight.slice(d));
        carryH[d] = valid ? valid.where(before, carryH[d]) : before;
        carryC[d] = valid ? valid.where(dc.mul(f), carryC[d]) : dc.mul(f);
      },
      true,
    );
    return [gatherSteps(dgates), joinState(hs), joinState(cs)];
  },
};

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
  const { gates, weight, mask, segments } = inputs;
  const [directions, hidden, batch] = checkScan("gruScan", inputs, 3);
  const bias = inputs.bias ?? zeros([directions, 3 * hidden], gates.dtype);
  const h0 = checkState("gruScan", "h0", inputs.h0, [directions, batch, hidden], gates);
  const operands = [gates, weight, bias, h0, ...(mask ? [mask] : [])];
  const [y, hn] = build.fused(
    GRU_SCAN,
    operands.map((t) => t.node),
    scanAttrs(mask, segments),
  );
  return { y: new Tensor(y), hn: new Tensor(hn) };
}

/** Inputs of `lstmScan`: those of `gruScan`, with gates i, f, g, o, and a cell state. */
export interface LstmScanInputs extends GruScanInputs {
  /** First cell state [D, B, H]; default 0. */
  readonly c0?: Tensor;
}

/** One LSTM layer over time (torch.nn.LSTM's cell); `gates` and weights have 4H rows: i, f, g, o. */
export function lstmScan(inputs: LstmScanInputs): { y: Tensor; hn: Tensor; cn: Tensor } {
  const { gates, weight, mask, segments } = inputs;
  const [directions, hidden, batch] = checkScan("lstmScan", inputs, 4);
  const bias = inputs.bias ?? zeros([directions, 4 * hidden], gates.dtype);
  const h0 = checkState("lstmScan", "h0", inputs.h0, [directions, batch, hidden], gates);
  const c0 = checkState("lstmScan", "c0", inputs.c0, [directions, batch, hidden], gates);
  const operands = [gates, weight, bias, h0, c0, ...(mask ? [mask] : [])];
  const [y, hn, cn] = build.fused(
    LSTM_SCAN,
    operands.map((t) => t.node),
    scanAttrs(mask, segments),
  );
  return { y: new Tensor(y), hn: new Tensor(hn), cn: new Tensor(cn) };
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
