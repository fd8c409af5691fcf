/** Gradient clipping by norm (Pascanu, Mikolov, Bengio 2013; torch.nn.utils.clip_grad_norm_). */
import { noGrad } from "../../autograd/grad.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions } from "../../tensor/door/door.ts";
import type { Parameters } from "./parameters.ts";
import { variablesOf } from "./parameters.ts";

/** How `clipGradNorm` takes a norm that is not finite. */
export interface ClipOptions {
  /** Whether a norm that is infinite or NaN is an error; default false. The norm is then read before anything is scaled. */
  readonly errorIfNonfinite?: boolean;
}

/**
 * Scales the gradients of all parameters together so that their Euclidean norm is at most `maxNorm`; call it between
 * `backward()` and `step()`. Parameters without a gradient are left out.
 *
 * A norm that is NaN makes all gradients NaN; one that is infinite makes them 0, and NaN where they were infinite. With
 * `errorIfNonfinite` the promise rejects instead, and the gradients are as they were; await it before `step()`.
 *
 * @returns the norm before clipping, a scalar tensor.
 */
export function clipGradNorm(
  parameters: Parameters,
  maxNorm: number,
  options: ClipOptions & { readonly errorIfNonfinite: true },
): Promise<Tensor>;
export function clipGradNorm(
  parameters: Parameters,
  maxNorm: number,
  options?: ClipOptions & { readonly errorIfNonfinite?: false },
): Tensor;
export function clipGradNorm(
  parameters: Parameters,
  maxNorm: number,
  options: ClipOptions = {},
): Tensor | Promise<Tensor> {
  checkOptions("clipGradNorm", options, ["errorIfNonfinite"]);
  if (!(maxNorm > 0)) throw new Error(`clipGradNorm: maxNorm is ${maxNorm}; it must be above 0`);
  const held = variablesOf("clipGradNorm", "the parameters", parameters).filter((p) => p.grad);
  if (held.length === 0) throw new Error("clipGradNorm: no parameter has a gradient; call backward() first");
  const norm = noGrad(() => {
    const squares = held.map((p) => p.grad!.square().sum().cast(held[0].dtype));
    return squares
      .reduce((sum, s) => sum.add(s))
      .sqrt()
      .contiguous();
  });
  const clip = () =>
    noGrad(() => {
      const scale = norm.add(1e-6).reciprocal().mul(maxNorm).minimum(1);
      for (const p of held) p.grad = p.grad!.mul(scale.cast(p.dtype));
      return norm;
    });
  if (!options.errorIfNonfinite) return clip();
  return norm.item().then((value) => {
    if (Number.isFinite(value)) return clip();
    throw new Error(
      `clipGradNorm: the norm of the gradients is ${value}; leave out errorIfNonfinite to scale by it all the same`,
    );
  });
}
