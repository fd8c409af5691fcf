/**
 * Batch normalisation layers with running statistics (torch.nn.BatchNorm1d, BatchNorm2d).
 *
 * The running statistics are variables that every forward pass in training assigns, so they follow compiled steps, and
 * what is frozen or runs under `noGrad`, such as a momentum network, keeps its own.
 */
import { batchNorm, batchNormTraining } from "../../ops/spatial/index.ts";
import type { BatchStatistics } from "../../ops/spatial/index.ts";
import { ones, zeros } from "../../tensor/create.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import { variable } from "../../tensor/variable.ts";
import type { LayerOptions } from "../initialize.ts";
import { parameter, requireCount } from "../initialize.ts";
import { Module } from "../module.ts";

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

/**
 * `weight` and `bias` [C], first 1 and 0; buffers `running_mean`, `running_var` [C], first 0 and 1, and
 * `num_batches_tracked`, i32.
 */
abstract class BatchNorm extends Module {
  readonly weight?: Variable;
  readonly bias?: Variable;
  readonly running_mean?: Variable;
  readonly running_var?: Variable;
  readonly num_batches_tracked?: Variable;
  readonly #epsilon: number;
  readonly #momentum: number | null;
  readonly #channels: number;

  constructor(channels: number, settings: BatchNormSettings = {}) {
    super();
    const { dtype = "f32", epsilon = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = settings;
    const layer = this.constructor.name;
    requireCount(layer, "channels", channels);
    if (momentum !== null && !(momentum >= 0 && momentum <= 1)) {
      throw new Error(`${layer}: momentum is ${momentum}; it must be in [0, 1], or null for the mean over all batches`);
    }
    if (affine) {
      this.weight = parameter("weight", ones([channels], dtype));
      this.bias = parameter("bias", zeros([channels], dtype));
    }
    if (trackRunningStats) {
      const buffer = (name: string, initial: Tensor) => variable(initial, { name, trainable: false });
      this.running_mean = buffer("running_mean", zeros([channels], dtype));
      this.running_var = buffer("running_var", ones([channels], dtype));
      this.num_batches_tracked = buffer("num_batches_tracked", zeros([], "i32"));
    }
    this.#epsilon = epsilon;
    this.#momentum = momentum;
    this.#channels = channels;
  }

  /** Ranks of x that the layer takes. */
  protected abstract readonly ranks: readonly number[];

  /** x [N, C, ...] → the same shape. */
  forward(x: Tensor): Tensor {
    if (!this.ranks.includes(x.rank) || x.shape[1] !== this.#channels) {
      const axes = this.ranks.map((rank) => `[N, ${this.#channels}${", …".repeat(rank - 2)}]`).join(" or ");
      throw new Error(`${this.constructor.name}: x is ${formatShape(x.shape)}, not ${axes}`);
    }
    const options = { weight: this.weight, bias: this.bias, epsilon: this.#epsilon };
    if (!this.training && this.running_mean && this.running_var) {
      return batchNorm(x, this.running_mean, this.running_var, options);
    }
    const { y, statistics } = batchNormTraining(x, options);
    if (this.training) this.#track(statistics);
    return y;
  }

  /** Moves the running statistics towards the batch's. */
  #track({ mean, variance }: BatchStatistics): void {
    const { running_mean, running_var, num_batches_tracked: count } = this;
    if (!running_mean || !running_var || !count) return;
    count.assign(count.detach().add(1));
    const share = this.#momentum ?? count.detach().cast(running_mean.dtype).reciprocal();
    const toward = (running: Variable, now: Tensor) =>
      running.assign(running.detach().add(now.sub(running.detach()).mul(share)));
    toward(running_mean, mean);
    toward(running_var, variance);
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
