/** Pooling, resampling, folding, flattening and dropout of whole channels: layers without parameters. */
import { requireTensor } from "../../tensor/door/door.ts";
import type {
  AdaptiveSize,
  AvgPoolOptions,
  FoldOptions,
  InterpolateOptions,
  MaxPoolOptions,
  PerAxis,
} from "../../ops/spatial/index.ts";
import {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  avgPool1d,
  avgPool2d,
  fold,
  interpolate,
  maxPool2d,
  unfold,
} from "../../ops/spatial/index.ts";
import type { Generator } from "../../tensor/random.ts";
import { rng } from "../../tensor/random.ts";
import { formatShape, normalizeAxis, sizeOf } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { requireGenerator, requireProbability } from "../initialize.ts";
import { Module } from "../module.ts";

/** Largest of each window of the last two axes (torch.nn.MaxPool2d). */
export class MaxPool2d extends Module {
  constructor(
    readonly size: PerAxis,
    readonly options: MaxPoolOptions = {},
  ) {
    super();
  }
  /** x [..., H, W] → [..., H', W']. */
  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.size, this.options);
  }
}

/** Mean of each window of the last axis (torch.nn.AvgPool1d). */
export class AvgPool1d extends Module {
  constructor(
    readonly size: PerAxis,
    /** How windows lie and what counts in their means. */
    readonly options: Omit<AvgPoolOptions, "divisorOverride"> = {},
  ) {
    super();
  }
  /** x [..., L] → [..., L']. */
  forward(x: Tensor): Tensor {
    return avgPool1d(x, this.size, this.options);
  }
}

/** Mean of each window of the last two axes (torch.nn.AvgPool2d). */
export class AvgPool2d extends Module {
  constructor(
    readonly size: PerAxis,
    readonly options: AvgPoolOptions = {},
  ) {
    super();
  }
  /** x [..., H, W] → [..., H', W']. */
  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.size, this.options);
  }
}

abstract class AdaptivePool extends Module {
  constructor(readonly size: AdaptiveSize) {
    super();
  }
}

/** torch.nn.AdaptiveAvgPool1d: x [..., L] → [..., size]. */
export class AdaptiveAvgPool1d extends AdaptivePool {
  /** x [..., L] → [..., size]. */
  forward(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.size);
  }
}
/** torch.nn.AdaptiveAvgPool2d: x [..., H, W] → [..., size, size]. */
export class AdaptiveAvgPool2d extends AdaptivePool {
  /** x [..., H, W] → [..., size, size]. */
  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.size);
  }
}
/** torch.nn.AdaptiveMaxPool1d: x [..., L] → [..., size]. */
export class AdaptiveMaxPool1d extends AdaptivePool {
  /** x [..., L] → [..., size]. */
  forward(x: Tensor): Tensor {
    return adaptiveMaxPool1d(x, this.size);
  }
}
/** torch.nn.AdaptiveMaxPool2d: x [..., H, W] → [..., size, size]. */
export class AdaptiveMaxPool2d extends AdaptivePool {
  /** x [..., H, W] → [..., size, size]. */
  forward(x: Tensor): Tensor {
    return adaptiveMaxPool2d(x, this.size);
  }
}

/** Axes `startDim` to `endDim` made one (torch.nn.Flatten); by default all but the batch's. */
export class Flatten extends Module {
  constructor(
    readonly startDim = 1,
    readonly endDim = -1,
  ) {
    super();
  }
  /** x → the same values, axes `startDim` to `endDim` as one. */
  forward(x: Tensor): Tensor {
    requireTensor("Flatten", "x", x);
    const [from, to] = [normalizeAxis("Flatten", this.startDim, x.rank), normalizeAxis("Flatten", this.endDim, x.rank)];
    if (from > to) throw new Error(`Flatten: axis ${from} lies behind axis ${to} of ${formatShape(x.shape)}`);
    return x.reshape([...x.shape.slice(0, from), sizeOf(x.shape.slice(from, to + 1)), ...x.shape.slice(to + 1)]);
  }
}

/** Dropout of whole channels of x [N, C, ...] (`rank` spatial axes) or, unbatched, [C, ...]. */
abstract class ChannelDropout extends Module {
  protected abstract readonly rank: number;
  /**
   * @param p how probable it is that a channel becomes 0; default 0.5.
   * @param generator default: the shared one at the time of the call.
   */
  constructor(
    readonly p = 0.5,
    readonly generator?: Generator,
  ) {
    super();
    requireProbability(this.constructor.name, p);
    requireGenerator(this.constructor.name, generator);
  }
  /** x [N, C, ...] or [C, ...] → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor(this.constructor.name, "x", x);
    if (x.rank !== this.rank + 1 && x.rank !== this.rank + 2) {
      throw new Error(
        `${this.constructor.name}: ${formatShape(x.shape)} must have ${this.rank + 2} axes, or ${this.rank + 1} unbatched`,
      );
    }
    if (!this.training || this.p === 0) return x;
    const channels = x.shape.map((n, i) => (i < x.rank - this.rank ? n : 1));
    return x.mul((this.generator ?? rng()).dropoutMask(channels, this.p, x.dtype));
  }
}

/** In training, zeroes whole channels with probability p and scales the others by 1/(1 − p) (torch.nn.Dropout1d). */
export class Dropout1d extends ChannelDropout {
  protected readonly rank = 1;
}
/** As `Dropout1d` for images [N, C, H, W] (torch.nn.Dropout2d; Tompson et al. 2015). */
export class Dropout2d extends ChannelDropout {
  protected readonly rank = 2;
}

/** Resampling to another size (torch.nn.Upsample). */
export class Upsample extends Module {
  constructor(readonly options: InterpolateOptions) {
    super();
  }
  /** x [N, C, L] or [N, C, H, W]. */
  forward(x: Tensor): Tensor {
    return interpolate(x, this.options);
  }
}

/** Windows as columns (torch.nn.Unfold). */
export class Unfold extends Module {
  constructor(
    readonly kernelSize: PerAxis,
    readonly options: FoldOptions = {},
  ) {
    super();
  }
  /** x [N, C, H, W] → [N, C·kH·kW, windows]. */
  forward(x: Tensor): Tensor {
    return unfold(x, this.kernelSize, this.options);
  }
}

/** Columns summed into images (torch.nn.Fold). */
export class Fold extends Module {
  constructor(
    readonly outputSize: PerAxis,
    readonly kernelSize: PerAxis,
    readonly options: FoldOptions = {},
  ) {
    super();
  }
  /** x [N, C·kH·kW, windows] → [N, C, H, W]. */
  forward(x: Tensor): Tensor {
    return fold(x, this.outputSize, this.kernelSize, this.options);
  }
}
