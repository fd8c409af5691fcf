/**
 * Forward mode by transposing reverse mode, and what is made of it: Jacobians, Hessians, Hessian–vector products.
 *
 * Reverse mode maps a cotangent u to Jᵀu, which is linear in u and ordinary graph; the gradient of ⟨Jᵀu, v⟩ with respect
 * to u is J v. So every op and fused op that has a gradient has a forward derivative by construction, exact to rounding,
 * and no rule is written twice. Of the graph of Jᵀu only what the result needs is computed. Source: Townsend, "A new
 * trick for calculating Jacobian vector products" (2017); names and forms are torch.func's and torch.autograd.functional's.
 */
import * as build from "../tensor/build.ts";
import { arange, zerosLike } from "../tensor/create.ts";
import { isFloat } from "../tensor/dtype.ts";
import { describeValue } from "../tensor/door/door.ts";
import { stack } from "../tensor/methods/join.ts";
import { Tensor } from "../tensor/tensor.ts";
import { alias, grad, gradients } from "./grad.ts";
import { leavesLike, leavesOf, mapTree, requireTree } from "./tree.ts";
import type { Tree } from "./tree.ts";

/**
 * `f(…inputs)` and the linear map from tangents of the inputs to those of the outputs, the Jacobian at this point: what
 * `f` computes is built once for any number of tangents.
 *
 * Inputs and outputs are tensors, or arrays and records of tensors; tangents have the form, shapes and dtypes of what
 * they belong to. Tangents of integer and bool inputs are ignored, those of integer and bool outputs are zeros. A map
 * costs about what a gradient costs. Source: torch.func.linearize, jax.linearize.
 *
 * @throws Error where a tangent has another form, shape or dtype than its input.
 */
export function linearize<I extends readonly Tree[], O extends Tree>(
  f: (...inputs: I) => O,
  inputs: readonly [...I],
): [outputs: O, pushforward: (tangents: readonly [...I]) => O] {
  return linearized("linearize", f, inputs);
}

/**
 * `[f(…inputs), J v]`: the function's value and its derivative along the tangents v of the inputs.
 *
 * Forms, shapes and dtypes are as for `linearize`. Works under `noGrad` too, in `compile`, and on its own results: the
 * gradient of a `jvp` is a second derivative. Source: torch.func.jvp, jax.jvp.
 *
 * @throws Error where a tangent has another form, shape or dtype than its input.
 */
export function jvp<I extends readonly Tree[], O extends Tree>(
  f: (...inputs: I) => O,
  inputs: readonly [...I],
  tangents: readonly [...I],
): [outputs: O, tangents: O] {
  const [outputs, pushforward] = linearized("jvp", f, inputs);
  return [outputs, pushforward(tangents)];
}

function linearized<I extends readonly Tree[], O extends Tree>(
  op: string,
  f: (...inputs: I) => O,
  inputs: readonly [...I],
): [O, (tangents: readonly [...I]) => O] {
  if (!Array.isArray(inputs)) {
    const given = inputs instanceof Tensor ? "a tensor" : describeValue(inputs);
    throw new TypeError(`${op}: inputs must be the array of the function's arguments, not ${given}; write [x]`);
  }
  requireTree(op, "inputs", inputs);
  const stopped = build.gradientsStopped();
  const result = (tree: O): O => (stopped ? mapTree(tree, (t) => t.detach()) : tree);
  const { outputs, seeds, pulled } = build.withGradients(() => {
    const own = mapTree(inputs as unknown as I & Tree, alias);
    const outputs = f(...(own as unknown as I));
    requireTree(op, "the function's result", outputs);
    // Behind an alias, since what is built from plain zeros folds away.
    const seeds = new Map(
      leavesOf(outputs)
        .filter((t) => isFloat(t.dtype))
        .map((t) => [t, alias(zerosLike(t))] as const),
    );
    const targets = leavesOf(own).filter((t) => isFloat(t.dtype));
    const pulled = gradients([...seeds.keys()], [...seeds.values()], targets);
    return { outputs, seeds, pulled };
  });
  const pushforward = (tangents: readonly [...I]): O => {
    const given = leavesLike(op, "tangents", tangents, inputs as Tree, "inputs").filter((t) => isFloat(t.dtype));
    return build.withGradients(() => {
      const found = gradients(pulled, given, [...seeds.values()]);
      const byOutput = new Map([...seeds.keys()].map((y, i) => [y, found[i]] as const));
      return result(mapTree(outputs, (y) => byOutput.get(y) ?? zerosLike(y)));
    });
  };
  return [result(outputs), pushforward];
}

/** One 1 among zeros, of the shape and dtype of `like`. */
const unit = (like: Tensor, at: number): Tensor => arange(like.size).eq(at).cast(like.dtype).reshape(like.shape);

/** Throws unless x is a floating tensor that has elements. */
function requireFloating(op: string, x: unknown): asserts x is Tensor {
  if (!(x instanceof Tensor)) throw new TypeError(`${op}: x must be a tensor, not ${describeValue(x)}`);
  if (!isFloat(x.dtype)) throw new Error(`${op}: cannot differentiate with respect to a ${x.dtype} tensor`);
}

/**
 * The Jacobian of a tensor-valued function at x: `[…f(x).shape, …x.shape]`, of x's dtype.
 *
 * By reverse mode, a row an element of f(x), or by forward mode, a column an element of x, whichever are fewer. The
 * graph grows with that number: a Jacobian of more than some hundred rows and columns is one to ask products of
 * (`jvp`, `linearize`, `gradients`). Source: torch.func.jacrev and jacfwd, torch.autograd.functional.jacobian.
 *
 * @throws Error where x or f(x) is not floating.
 */
export function jacobian(f: (x: Tensor) => Tensor, x: Tensor): Tensor {
  return jacobianNamed("jacobian", f, x);
}

function jacobianNamed(op: string, f: (x: Tensor) => Tensor, x: Tensor): Tensor {
  requireFloating(op, x);
  const stopped = build.gradientsStopped();
  const whole = build.withGradients(() => {
    const own = alias(x);
    const y: Tensor = f(own);
    if (!(y instanceof Tensor)) {
      throw new TypeError(`${op}: the function must give a tensor, not ${describeValue(y)}`);
    }
    if (!isFloat(y.dtype)) throw new Error(`${op}: a ${y.dtype} value has no gradient`);
    const shape = [...y.shape, ...x.shape];
    if (x.size === 0 || y.size === 0) return zerosLike(x).sum().expand(shape);
    if (y.size <= x.size) {
      const rows = Array.from({ length: y.size }, (_, i) => gradients([y], [unit(y, i)], [own])[0]);
      return stack(rows).reshape(shape);
    }
    const seed = alias(zerosLike(y));
    const [pulled] = gradients([y], [seed], [own]);
    const columns = Array.from({ length: x.size }, (_, i) => gradients([pulled], [unit(x, i)], [seed])[0]);
    return stack(columns, y.rank).reshape(shape);
  });
  return stopped ? whole.detach() : whole;
}

/**
 * The Hessian of a scalar-valued function at x: `[…x.shape, …x.shape]`, the second derivatives, of x's dtype.
 *
 * The Jacobian of the gradient, whose graph grows with the elements of x; `hvp` gives products with it for any size.
 * Source: torch.func.hessian, torch.autograd.functional.hessian.
 *
 * @throws Error where x is not floating, or f(x) is not one floating number.
 */
export function hessian(f: (x: Tensor) => Tensor, x: Tensor): Tensor {
  return jacobianNamed("hessian", grad(f), x);
}

/**
 * The Hessian of a scalar-valued function times v, without the Hessian: of the form of x, at about twice the cost of a
 * gradient. x is a tensor, or an array or record of tensors, and v has its form, shapes and dtypes. Source:
 * torch.autograd.functional.hvp (whose second result this is); Pearlmutter, "Fast exact multiplication by the Hessian"
 * (1994).
 *
 * @throws Error where v has another form, shape or dtype than x, or f(x) is not one floating number.
 */
export function hvp<X extends Tree>(f: (x: X) => Tensor, x: X, v: X): X {
  requireTree("hvp", "x", x);
  const along = leavesLike("hvp", "v", v, x, "x");
  const stopped = build.gradientsStopped();
  return build.withGradients(() => {
    const own = mapTree(x, alias);
    const slopes = leavesOf(grad(f)(own));
    const found = gradients(slopes, along, leavesOf(own));
    let next = 0;
    return mapTree(own, () => (stopped ? found[next++].detach() : found[next++]));
  });
}
