/** Values that wait: what a plan may not compute before something else is there. */
import * as build from "../tensor/build.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * A function that gives the same values, to be had only when all of `before` are there: a plan computes nothing of them
 * earlier, and does not take what is computed of them for what was computed of the values themselves.
 */
export function waitingFor(before: readonly Tensor[]): (x: Tensor) => Tensor {
  // True of every number, which no rule of the graph knows.
  const ready = before
    .map((one) => {
      const element = one.detach().reshape([-1]).slice([0, 1]).reshape([]);
      return element.eq(element).or(element.isNaN());
    })
    .reduce((all, one) => all.and(one));
  return (x) => (x.dtype === "bool" ? ready.and(x) : ready.where(x, new Tensor(build.full([], 0, x.dtype))));
}
