/** Gradient clipping by norm (Pascanu, Mikolov, Bengio 2013; torch.nn.utils.clip_grad_norm_). */
import { noGrad } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";

/**
 * Scales the gradients of all parameters together so that their Euclidean norm is at most `maxNorm`; call it between
 * `backward()` and `step()`. Parameters without a gradient are left out.
 *
 * @returns the norm before clipping, a scalar tensor.
 */
export function clipGradNorm(parameters: readonly Variable[], maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw new Error(`clipGradNorm: maxNorm is ${maxNorm}; it must be above 0`);
  const held = parameters.filter((p) => p.grad);
  if (held.length === 0) throw new Error("clipGradNorm: no parameter has a gradient; call backward() first");
  return noGrad(() => {
    const squares = held.map((p) => p.grad!.square().sum().cast(held[0].dtype));
    const norm = squares
      .reduce((sum, s) => sum.add(s))
      .sqrt()
      .contiguous();
    const scale = norm.add(1e-6).reciprocal().mul(maxNorm).minimum(1);
    for (const p of held) p.grad = p.grad!.mul(scale.cast(p.dtype));
    return norm;
  });
}
