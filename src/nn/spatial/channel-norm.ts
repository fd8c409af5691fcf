/**
 * What layers that normalise by channel share: scale and shift, and running statistics that evaluation normalises with.
 */
import { ones, zeros } from "../../tensor/create.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import { variable } from "../../tensor/variable.ts";
import { parameter, requireCount } from "../initialize.ts";
import { Module } from "../module.ts";

/** What a layer of channels keeps. */
interface ChannelState {
  readonly dtype: DType;
  /** Whether there are `weight` and `bias`. */
  readonly affine: boolean;
  /** Whether there are running statistics. */
  readonly trackRunningStats: boolean;
}

/**
 * `weight` and `bias` [C], first 1 and 0; buffers `running_mean`, `running_var` [C], first 0 and 1, and
 * `num_batches_tracked`, i32; where asked for.
 */
export abstract class ChannelNorm extends Module {
  readonly weight?: Variable;
  readonly bias?: Variable;
  readonly running_mean?: Variable;
  readonly running_var?: Variable;
  readonly num_batches_tracked?: Variable;

  protected constructor(channels: number, { dtype, affine, trackRunningStats }: ChannelState) {
    super();
    requireCount(this.constructor.name, "channels", channels);
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
  }
}

/** Moves a running statistic by `share` of the way towards what it is now. */
export function moveToward(running: Variable, now: Tensor, share: Tensor | number): void {
  running.assign(running.detach().add(now.sub(running.detach()).mul(share)));
}
