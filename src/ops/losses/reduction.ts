/** What every loss shares: what becomes of the losses of single examples, and checks of its arguments. */
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { requireTensor, requireFloat } from "../../tensor/door/door.ts";

/** What becomes of the losses of single examples: their mean, their sum, or all of them. */
export type Reduction = "mean" | "sum" | "none";

/** How a loss ends. */
export interface LossOptions {
  /** Default "mean": over all elements that the loss has one value for. */
  readonly reduction?: Reduction;
}

/** The losses as asked for. @throws Error for a reduction of another name. */
export function reduceLoss(loss: Tensor, reduction: Reduction = "mean"): Tensor {
  if (reduction === "mean") return loss.mean();
  if (reduction === "sum") return loss.sum();
  if (reduction === "none") return loss;
  throw new Error(`reduction is ${JSON.stringify(reduction)}; it must be "mean", "sum" or "none"`);
}

/** @throws Error unless both are floating tensors of one shape. */
export function requirePair(op: string, names: readonly [string, string], x: Tensor, y: Tensor): void {
  requireTensor(op, names[0], x);
  requireTensor(op, names[1], y);
  requireFloat(op, x);
  requireFloat(op, y);
  if (sameShape(x.shape, y.shape)) return;
  throw new Error(
    `${op}: ${names[0]} is ${formatShape(x.shape)} and ${names[1]} ${formatShape(y.shape)}; they must be of one shape ` +
      "(expand one of them where it is meant to be repeated)",
  );
}

/** @throws Error unless `value` is a finite number above `least`. */
export function requireAbove(op: string, name: string, value: number, least: number): void {
  if (Number.isFinite(value) && value > least) return;
  throw new Error(`${op}: ${name} is ${value}; it must be a number above ${least}`);
}

/** @throws Error unless `value` is a finite number of at least `least`. */
export function requireAtLeast(op: string, name: string, value: number, least: number): void {
  if (Number.isFinite(value) && value >= least) return;
  throw new Error(`${op}: ${name} is ${value}; it must be a number of at least ${least}`);
}
