/**
 * Softmax, its logarithm, and log-sum-exp, over one axis.
 *
 * Each is computed from the maximum outwards, so no exponential overflows. The schedule makes one kernel of the
 * decomposition: a pass for the maximum, one for the sum, one for the result.
 */
import type { FusedOp } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { requireTensor } from "../tensor/door/door.ts";
import { isFloat } from "../tensor/dtype.ts";
import { normalizeAxis } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { widened } from "./autocast.ts";

interface AxisAttrs {
  readonly axis: number;
}

const shifted = (x: Tensor, axis: number) => x.sub(x.detach().max(axis, true));

const SOFTMAX: FusedOp<AxisAttrs> = {
  name: "softmax",
  outputs: ([x]) => [x],
  decompose([x], { axis }) {
    const e = shifted(x, axis).exp();
    return [e.div(e.sum(axis, true))];
  },
  vjp(_, [y], [dy], { axis }) {
    if (!dy) return [];
    const weighted = dy.mul(y);
    return [weighted.sub(y.mul(weighted.sum(axis, true)))];
  },
};

const LOG_SOFTMAX: FusedOp<AxisAttrs> = {
  name: "logSoftmax",
  outputs: ([x]) => [x],
  decompose([x], { axis }) {
    const z = shifted(x, axis);
    return [z.sub(z.exp().sum(axis, true).log())];
  },
  vjp(_, [y], [dy], { axis }) {
    return dy ? [dy.sub(y.exp().mul(dy.sum(axis, true)))] : [];
  },
};

const LOG_SUM_EXP: FusedOp<AxisAttrs> = {
  name: "logSumExp",
  outputs: ([x], { axis }) => [{ shape: x.shape.map((n, i) => (i === axis ? 1 : n)), dtype: x.dtype }],
  decompose([x], { axis }) {
    // An infinite maximum cannot be taken away from itself; the exponentials say all there is to say then.
    const largest = x.detach().max(axis, true);
    const shift = largest.isFinite().where(largest, 0);
    return [x.sub(shift).exp().sum(axis, true).log().add(shift)];
  },
  vjp([x], [y], [dy]) {
    return dy ? [x.sub(y).exp().mul(dy)] : [];
  },
};

/** Integers and bools are taken as f32. */
function overAxis(op: FusedOp<AxisAttrs>, given: Tensor, axis: number): Tensor {
  requireTensor(op.name, "x", given);
  const x = isFloat(given.dtype) ? widened(given) : given.cast("f32");
  const at = normalizeAxis(op.name, axis, x.rank);
  if (x.shape[at] === 0) throw new Error(`${op.name}: axis ${axis} of [${x.shape.join(", ")}] is empty`);
  return new Tensor(build.fused(op, [x.node], { axis: at })[0]);
}

/** exp(x) / Σ exp(x) along `axis` (torch.softmax). Any shape, which stays. */
export function softmax(x: Tensor, axis = -1): Tensor {
  return overAxis(SOFTMAX, x, axis);
}

/** The logarithm of `softmax` of x along `axis`, without overflow (torch.log_softmax). Any shape, which stays. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return overAxis(LOG_SOFTMAX, x, axis);
}

/** log Σ exp(x) along `axis`, which goes unless `keepDims` keeps it as 1 (torch.logsumexp). */
export function logSumExp(x: Tensor, axis = -1, keepDims = false): Tensor {
  const y = overAxis(LOG_SUM_EXP, x, axis);
  return keepDims ? y : y.squeeze(normalizeAxis("logSumExp", axis, x.rank));
}
