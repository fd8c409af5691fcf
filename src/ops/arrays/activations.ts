/** Activations that are made of the table's: those with a setting, and products of two. The others are methods. */
import { formatShape, normalizeAxis } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { requireFloat } from "../../tensor/door/door.ts";
import { chunk } from "./parts.ts";

/** x for x > 0, else slope·x (torch.nn.functional.leaky_relu). Any shape. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  requireFloat("leakyRelu", x);
  return x.gt(0).where(x, x.mul(slope));
}

/** x for x > 0, else `alpha`·(eˣ − 1) (torch.nn.functional.elu). Any shape. */
export function elu(x: Tensor, alpha = 1): Tensor {
  requireFloat("elu", x);
  return alpha === 1 ? x.elu() : x.gt(0).where(x, x.minimum(0).expm1().mul(alpha));
}

/** x·sigmoid(x) (torch.nn.functional.silu). Any shape. */
export function silu(x: Tensor): Tensor {
  requireFloat("silu", x);
  return x.silu();
}

/** x·tanh(log(1 + eˣ)) (torch.nn.functional.mish; Misra 2019, arXiv 1908.08681). Any shape. */
export function mish(x: Tensor): Tensor {
  requireFloat("mish", x);
  return x.mul(x.softplus().tanh());
}

/** min(max(x + 3, 0), 6) / 6 (torch.nn.functional.hardsigmoid). Any shape. */
export function hardSigmoid(x: Tensor): Tensor {
  requireFloat("hardSigmoid", x);
  // NaN is not outside, and stays what it is.
  const outside = x.le(-3).or(x.ge(3));
  return outside.where(x.detach().ge(3).cast(x.dtype), x.mul(1 / 6).add(0.5));
}

/** x·min(max(x + 3, 0), 6) / 6 (torch.nn.functional.hardswish; Howard et al. 2019, arXiv 1905.02244). Any shape. */
export function hardSwish(x: Tensor): Tensor {
  requireFloat("hardSwish", x);
  const curved = x.mul(x.add(3)).mul(1 / 6);
  return x.ge(3).where(x, x.le(-3).where(x.mul(0), curved));
}

/** The first half of an axis of x times the sigmoid of the second (torch.nn.functional.glu; Dauphin et al. 2017). */
export function glu(x: Tensor, axis = -1): Tensor {
  requireFloat("glu", x);
  const size = x.shape[normalizeAxis("glu", axis, x.rank)];
  if (size % 2 !== 0 || size === 0) throw new Error(`glu: axis ${axis} of ${formatShape(x.shape)} has no two halves`);
  const [value, gate] = chunk(x, 2, axis);
  return value.mul(gate.sigmoid());
}
