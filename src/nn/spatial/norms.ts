/** Normalisation within a sample: groups of channels, single channels, and root mean squares of the last axis. */
import { batchNorm } from "../../ops/spatial/index.ts";
import { groupNorm, instanceNorm, rmsNorm } from "../../ops/normalization.ts";
import { ones, zeros } from "../../tensor/create.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { LayerOptions } from "../initialize.ts";
import { parameter, requireCount } from "../initialize.ts";
import { Module } from "../module.ts";
import { ChannelNorm, moveToward } from "./channel-norm.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";

/** Settings of `GroupNorm`. */
export interface GroupNormSettings extends Pick<LayerOptions, "dtype"> {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
  /** Scale and shift by channel; default true. */
  readonly affine?: boolean;
}

/** torch.nn.GroupNorm. `weight` and `bias` [channels], first 1 and 0. */
export class GroupNorm extends Module {
  readonly weight?: Variable;
  readonly bias?: Variable;
  readonly #epsilon: number;

  constructor(
    /** How many groups, of equally many channels, are normalised each by itself. */
    readonly groups: number,
    channels: number,
    settings: GroupNormSettings = {},
  ) {
    super();
    checkOptions("GroupNorm", settings, ["dtype", "epsilon", "affine"]);
    const { dtype = "f32", epsilon = 1e-5, affine = true } = settings;
    requireCount("GroupNorm", "groups", groups);
    requireCount("GroupNorm", "channels", channels);
    if (channels % groups !== 0) throw new Error(`GroupNorm: ${channels} channels do not divide into ${groups} groups`);
    if (affine) {
      this.weight = parameter("weight", ones([channels], dtype));
      this.bias = parameter("bias", zeros([channels], dtype));
    }
    this.#epsilon = epsilon;
  }

  /** x [N, C, ...] → the same shape. */
  forward(x: Tensor): Tensor {
    return groupNorm(x, this.groups, { weight: this.weight, bias: this.bias, epsilon: this.#epsilon });
  }
}

/** Settings of `InstanceNorm1d` and `InstanceNorm2d`. */
export interface InstanceNormSettings extends Pick<LayerOptions, "dtype"> {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
  /** Share of the batch in the running statistics; default 0.1. */
  readonly momentum?: number;
  /** Scale and shift by channel; default false. */
  readonly affine?: boolean;
  /** Keep running statistics and normalise with them in evaluation; default false. */
  readonly trackRunningStats?: boolean;
}

/** Its variables are those of `ChannelNorm`. */
abstract class InstanceNorm extends ChannelNorm {
  readonly #epsilon: number;
  readonly #momentum: number;
  readonly #channels: number;
  /** Of a batch; an unbatched x has one axis less. */
  protected abstract readonly rank: number;

  /** @param channels C, the size of axis 1 of x [N, C, ...]. */
  constructor(channels: number, settings: InstanceNormSettings = {}) {
    checkOptions(new.target.name, settings, ["dtype", "epsilon", "momentum", "affine", "trackRunningStats"]);
    const { dtype = "f32", epsilon = 1e-5, momentum = 0.1, affine = false, trackRunningStats = false } = settings;
    super(channels, { dtype, affine, trackRunningStats });
    this.#epsilon = epsilon;
    this.#momentum = momentum;
    this.#channels = channels;
  }

  /** x [N, C, ...] or [C, ...] → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor(this.constructor.name, "x", x);
    if (x.rank === this.rank - 1) return this.forward(x.unsqueeze(0)).squeeze(0);
    if (x.rank !== this.rank || x.shape[1] !== this.#channels) {
      throw new Error(
        `${this.constructor.name}: x is ${formatShape(x.shape)}, not [N, ${this.#channels}${", …".repeat(this.rank - 2)}]`,
      );
    }
    const { running_mean, running_var, weight, bias } = this;
    const options = { weight, bias, epsilon: this.#epsilon };
    if (running_mean && running_var && !this.training) return batchNorm(x, running_mean, running_var, options);
    const y = instanceNorm(x, options);
    if (running_mean && running_var) this.#track(x.detach(), running_mean, running_var);
    return y;
  }

  /** Moves the running statistics towards the means of the samples'. */
  #track(x: Tensor, mean: Variable, variance: Variable): void {
    const places = x.shape.slice(2).map((_, i) => i + 2);
    moveToward(mean, x.mean(places).mean(0), this.#momentum);
    moveToward(variance, x.variance(places, false, 1).mean(0), this.#momentum);
  }
}

/** Over [N, C, L] or [C, L] (torch.nn.InstanceNorm1d). */
export class InstanceNorm1d extends InstanceNorm {
  protected readonly rank = 3;
}
/** Over images [N, C, H, W] or [C, H, W] (torch.nn.InstanceNorm2d). */
export class InstanceNorm2d extends InstanceNorm {
  protected readonly rank = 4;
}

/** Settings of `RMSNorm`. */
export interface RmsNormSettings extends Pick<LayerOptions, "dtype"> {
  /** Added to the mean square; default the dtype's machine epsilon. */
  readonly epsilon?: number;
  /** Scale by element; default true. */
  readonly elementwiseAffine?: boolean;
}

/** Root-mean-square normalisation of the last axis (torch.nn.RMSNorm). `weight` [size], first 1. */
export class RMSNorm extends Module {
  readonly weight?: Variable;
  readonly #epsilon?: number;

  constructor(size: number, settings: RmsNormSettings = {}) {
    super();
    checkOptions("RMSNorm", settings, ["dtype", "epsilon", "elementwiseAffine"]);
    const { dtype = "f32", epsilon, elementwiseAffine = true } = settings;
    requireCount("RMSNorm", "size", size);
    if (elementwiseAffine) this.weight = parameter("weight", ones([size], dtype));
    this.#epsilon = epsilon;
  }

  /** x [..., size] → the same shape. */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, { weight: this.weight, epsilon: this.#epsilon });
  }
}
