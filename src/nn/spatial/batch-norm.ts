/**
 * Batch normalisation layers with running statistics (torch.nn.BatchNorm1d, BatchNorm2d).
 *
 * The running statistics are variables that every forward pass in training assigns, so they follow compiled steps, and
 * what is frozen or runs under `noGrad`, such as a momentum network, keeps its own.
 */
import { batchNorm, batchNormTraining } from "../../ops/spatial/index.ts";
import type { BatchStatistics } from "../../ops/spatial/index.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { LayerOptions } from "../initialize.ts";
import { ChannelNorm, moveToward } from "./channel-norm.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";

/** Settings of `BatchNorm1d` and `BatchNorm2d`. */
export interface BatchNormSettings extends Pick<LayerOptions, "dtype"> {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
  /** Share of the batch's statistics in the running ones; null: the mean over all batches. Default 0.1. */
  readonly momentum?: number | null;
  /** Scale and shift; default true. */
  readonly affine?: boolean;
  /** Keep running statistics and normalise with them in evaluation; default true. */
  readonly trackRunningStats?: boolean;
}

/** Its variables are those of `ChannelNorm`. */
abstract class BatchNorm extends ChannelNorm {
  readonly #epsilon: number;
  readonly #momentum: number | null;
  readonly #channels: number;

  /** @param channels C, the size of axis 1 of x. */
  constructor(channels: number, settings: BatchNormSettings = {}) {
    checkOptions(new.target.name, settings, ["dtype", "epsilon", "momentum", "affine", "trackRunningStats"]);
    const { dtype = "f32", epsilon = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = settings;
    super(channels, { dtype, affine, trackRunningStats });
    if (momentum !== null && !(momentum >= 0 && momentum <= 1)) {
      throw new Error(
        `${this.constructor.name}: momentum is ${momentum}; it must be in [0, 1], or null for the mean over all batches`,
      );
    }
    this.#epsilon = epsilon;
    this.#momentum = momentum;
    this.#channels = channels;
  }

  /** Ranks of x that the layer takes. */
  protected abstract readonly ranks: readonly number[];

  /** x [N, C, ...] → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor(this.constructor.name, "x", x);
    if (!this.ranks.includes(x.rank) || x.shape[1] !== this.#channels) {
      const axes = this.ranks.map((rank) => `[N, ${this.#channels}${", …".repeat(rank - 2)}]`).join(" or ");
      throw new Error(`${this.constructor.name}: x is ${formatShape(x.shape)}, not ${axes}`);
    }
    const options = { weight: this.weight, bias: this.bias, epsilon: this.#epsilon };
    if (!this.training && this.running_mean && this.running_var) {
      return batchNorm(x, this.running_mean, this.running_var, options);
    }
    const { y, statistics } = batchNormTraining(x, options);
    this.#track(statistics);
    return y;
  }

  /** Moves the running statistics towards the batch's. */
  #track({ mean, variance }: BatchStatistics): void {
    const { running_mean, running_var, num_batches_tracked: count } = this;
    if (!running_mean || !running_var || !count) return;
    count.assign(count.detach().add(1));
    const share = this.#momentum ?? count.detach().cast(running_mean.dtype).reciprocal();
    moveToward(running_mean, mean, share);
    moveToward(running_var, variance, share);
  }
}

/** Over [N, C] or [N, C, L] (torch.nn.BatchNorm1d). */
export class BatchNorm1d extends BatchNorm {
  protected readonly ranks = [2, 3];
}
/** Over images [N, C, H, W] (torch.nn.BatchNorm2d). */
export class BatchNorm2d extends BatchNorm {
  protected readonly ranks = [4];
}
