/** Batch normalisation (Ioffe, Szegedy 2015, arXiv 1502.03167): each channel over the batch and all places. */
import type { FusedOp } from "../../tensor/fused.ts";
import * as build from "../../tensor/build.ts";
import { formatShape } from "../../tensor/shape.ts";
import { checkOptions, requireFloat } from "../../tensor/door/door.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { widened } from "../autocast.ts";

interface BatchNormAttrs {
  readonly epsilon: number;
  /** The operands after x are a weight and a bias. */
  readonly affine: boolean;
}

const channels = (v: Tensor): Tensor => v.reshape([1, v.size, 1]);

/** In: x [N, C, P], then weight [C] and bias [C]. Out: y [N, C, P], and the mean and the biased variance [C]. */
const BATCH_NORM: FusedOp<BatchNormAttrs> = {
  name: "batchNorm",
  outputs([x]) {
    const each = { shape: [x.shape[1]], dtype: x.dtype };
    return [x, each, each];
  },
  decompose([x, weight, bias], { epsilon, affine }) {
    const mean = x.mean([0, 2]);
    const centred = x.sub(channels(mean));
    const variance = centred.square().mean([0, 2]);
    const scale = variance.add(epsilon).rsqrt();
    if (!affine) return [centred.mul(channels(scale)), mean, variance];
    return [centred.mul(channels(scale.mul(weight))).add(channels(bias)), mean, variance];
  },
  vjp([x, weight], [, mean, variance], [dy, dmean, dvariance], { epsilon, affine }) {
    // Statistics have cotangents in second derivatives only: those of the decomposition do.
    if (!dy || dmean || dvariance) return undefined;
    const scale = variance.add(epsilon).rsqrt();
    const standard = x.sub(channels(mean)).mul(channels(scale));
    const [dbias, dweight] = [dy.sum([0, 2]), dy.mul(standard).sum([0, 2])];
    const count = x.shape[0] * x.shape[2];
    const rest = dy.sub(channels(dbias.mul(1 / count))).sub(standard.mul(channels(dweight.mul(1 / count))));
    const dx = rest.mul(channels(affine ? scale.mul(weight) : scale));
    return affine ? [dx, dweight, dbias] : [dx];
  },
};

/** Settings of `batchNorm` and `batchNormTraining`. */
export interface BatchNormOptions {
  /** Scale and shift, each [C]; both or neither. */
  readonly weight?: Tensor;
  readonly bias?: Tensor;
  /** Added to the variance; default 1e-5 (PyTorch's). */
  readonly epsilon?: number;
}

/** What a batch says of each channel. */
export interface BatchStatistics {
  /** [C]. */
  readonly mean: Tensor;
  /** [C]; the running variance takes the sample's (correction 1), normalisation the population's. */
  readonly variance: Tensor;
}

function checked(op: string, x: Tensor, vectors: Readonly<Record<string, Tensor | undefined>>): number {
  requireFloat(op, x);
  if (x.rank < 2) throw new Error(`${op}: ${formatShape(x.shape)} must be [N, C, ...]`);
  const c = x.shape[1];
  for (const [name, v] of Object.entries(vectors)) {
    if (v && (v.rank !== 1 || v.size !== c)) {
      throw new Error(`${op}: ${name} has shape ${formatShape(v.shape)}, x ${formatShape(x.shape)} has ${c} channels`);
    }
  }
  return c;
}

/**
 * Normalises each channel of x [N, C, ...] with the batch's own mean and variance (torch.nn.functional.batch_norm with
 * training=True). The statistics come with the result, without gradient, for running averages.
 *
 * @throws Error where a channel has one value only: its variance says nothing.
 */
export function batchNormTraining(
  x: Tensor,
  options: BatchNormOptions = {},
): { y: Tensor; statistics: BatchStatistics } {
  checkOptions("batchNormTraining", options, ["weight", "bias", "epsilon"]);
  // Within autocast it is computed in f32, and kept in the dtype of x.
  const { dtype } = x;
  x = widened(x);
  const { weight, bias, epsilon = 1e-5 } = options;
  const c = checked("batchNorm", x, { weight, bias });
  if ((weight === undefined) !== (bias === undefined)) {
    throw new Error("batchNorm: weight and bias go together; give both or neither");
  }
  const places = x.size / (x.shape[0] * c);
  const count = x.shape[0] * places;
  if (!(count > 1)) {
    throw new Error(
      `batchNorm: ${formatShape(x.shape)} has ${count || 0} values a channel, of which no variance can be taken; ` +
        `take a larger batch, or eval()`,
    );
  }
  const inputs = [x.reshape([x.shape[0], c, places]), ...(weight && bias ? [weight, bias] : [])];
  const [y, mean, variance] = build.fused(
    BATCH_NORM,
    inputs.map((t) => t.node),
    { epsilon, affine: weight !== undefined },
  );
  return {
    y: new Tensor(y).reshape(x.shape).cast(dtype),
    statistics: {
      mean: new Tensor(mean).detach(),
      variance: new Tensor(variance).detach().mul(count / (count - 1)),
    },
  };
}

/** Normalises each channel of x [N, C, ...] with a given mean and variance [C] (batch_norm with training=False). */
export function batchNorm(x: Tensor, mean: Tensor, variance: Tensor, options: BatchNormOptions = {}): Tensor {
  checkOptions("batchNorm", options, ["weight", "bias", "epsilon"]);
  // Within autocast it is computed in f32, and kept in the dtype of x.
  const { dtype } = x;
  x = widened(x);
  const { weight, bias, epsilon = 1e-5 } = options;
  const c = checked("batchNorm", x, { mean, variance, weight, bias });
  const along = (v: Tensor) => v.reshape([1, c, ...x.shape.slice(2).map(() => 1)]);
  const scale = variance.add(epsilon).rsqrt();
  const y = x.sub(along(mean)).mul(along(weight ? scale.mul(weight) : scale));
  return (bias ? y.add(along(bias)) : y).cast(dtype);
}
