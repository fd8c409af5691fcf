/** Windows as columns and back (torch.nn.functional.unfold, fold). */
import { formatShape, sizeOf } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireFloat } from "../../tensor/door/door.ts";
import type { ConvolveAttrs } from "./convolve.ts";
import { columnsOf, sumColumns } from "./convolve.ts";
import type { PerAxis } from "./sizes.ts";
import { perAxis, spanOf, windowCount } from "./sizes.ts";

/** Settings of `unfold` and `fold`. */
export interface FoldOptions {
  /** Default 1. */
  readonly dilation?: PerAxis;
  /** Zeros on both sides; default 0. */
  readonly padding?: PerAxis;
  /** Default 1. */
  readonly stride?: PerAxis;
}

function attrsOf(op: string, size: readonly number[], kernelSize: PerAxis, options: FoldOptions): ConvolveAttrs {
  checkOptions(op, options, ["dilation", "padding", "stride"]);
  const kernel = perAxis(op, "kernelSize", kernelSize, 2, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, 2, 1);
  const padding = perAxis(op, "padding", options.padding ?? 0, 2, 0);
  const stride = perAxis(op, "stride", options.stride ?? 1, 2, 1);
  const count = size.map((s, d) => windowCount(s + 2 * padding[d], spanOf(kernel[d], dilation[d]), stride[d]));
  if (count.some((n) => n < 1)) {
    throw new Error(`${op}: windows of ${formatShape(kernel)} do not fit in ${formatShape(size)} with its padding`);
  }
  return { stride, dilation, low: padding, high: padding, groups: 1, size, kernel, count };
}

/** The windows of x [N, C, H, W] or [C, H, W] as columns [N, C·kH·kW, windows] (torch.nn.functional.unfold). */
export function unfold(x: Tensor, kernelSize: PerAxis, options: FoldOptions = {}): Tensor {
  requireFloat("unfold", x);
  if (x.rank === 3) return unfold(x.unsqueeze(0), kernelSize, options).squeeze(0);
  if (x.rank !== 4) throw new Error(`unfold: x ${formatShape(x.shape)} must be [N, C, H, W] or [C, H, W]`);
  const attrs = attrsOf("unfold", x.shape.slice(2), kernelSize, options);
  return columnsOf(x, attrs).reshape([x.shape[0], x.shape[1] * sizeOf(attrs.kernel), sizeOf(attrs.count)]);
}

/**
 * Columns x [N, C·kH·kW, windows] or [C·kH·kW, windows] summed into images [N, C, H, W] where windows overlap
 * (torch.nn.functional.fold); the adjoint of `unfold`.
 */
export function fold(x: Tensor, outputSize: PerAxis, kernelSize: PerAxis, options: FoldOptions = {}): Tensor {
  requireFloat("fold", x);
  if (x.rank === 2) return fold(x.unsqueeze(0), outputSize, kernelSize, options).squeeze(0);
  const attrs = attrsOf("fold", perAxis("fold", "outputSize", outputSize, 2, 1), kernelSize, options);
  const places = sizeOf(attrs.kernel);
  if (x.rank !== 3 || x.shape[1] % places !== 0 || x.shape[2] !== sizeOf(attrs.count)) {
    throw new Error(
      `fold: x ${formatShape(x.shape)} must be [N, C·${places}, ${sizeOf(attrs.count)}] for windows of ` +
        `${formatShape(attrs.kernel)} in ${formatShape(attrs.size)}`,
    );
  }
  return sumColumns(x.reshape([x.shape[0], x.shape[1] / places, ...attrs.kernel, ...attrs.count]), attrs);
}
