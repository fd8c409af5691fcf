/**
 * `customGradient`: a function with a gradient of one's own.
 *
 * The function runs once, when it is called. Its results enter the graph again as those of a fused op whose meaning is
 * to hand them on and whose gradient is the given one; so nothing is computed twice, no kernel is cut by it, and what
 * the gradient is made of can be differentiated in turn.
 */
import * as build from "../tensor/build.ts";
import { zeros } from "../tensor/create.ts";
import { isFloat } from "../tensor/dtype.ts";
import { describeValue, requireTensor } from "../tensor/door/door.ts";
import type { FusedOp } from "../tensor/fused.ts";
import type { Node } from "../tensor/node.ts";
import { topologicalOrder } from "../tensor/node.ts";
import { differentiableInputs, gradientTarget } from "../tensor/program/history.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { cellLeaves } from "./cells.ts";
import { alias } from "./grad.ts";

/**
 * Cotangents of the inputs from those of the outputs: `undefined` where no gradient flows to an input. `cotangents` has
 * one tensor an output of the function, zeros where nothing depends on it; `inputs` and `outputs` are the function's.
 * Of a function of one input the gradient may be returned without an array.
 */
export type CustomVjp<I extends readonly Tensor[]> = (
  cotangents: readonly Tensor[],
  inputs: I,
  outputs: readonly Tensor[],
) => Tensor | readonly (Tensor | undefined)[];

const label = (t: { readonly dtype: string; readonly shape: readonly number[] }) => `${t.dtype}${formatShape(t.shape)}`;

/**
 * A function that computes what `f` computes and whose gradient is what `vjp` says: a straight-through estimator, a
 * gradient that is clipped or reversed, a formula that is steadier than the one the rules give.
 *
 * The result takes the inputs of `f`, tensors of any shapes and dtypes, and gives what it gives, a tensor or an array
 * of tensors; it may be called anywhere, in `compile` too. `f` runs once a call. Gradients of gradients go through the
 * operations of `vjp`, which is given cotangents of the shapes and dtypes of the outputs and must give, for every
 * floating input, a tensor of that input's shape and dtype or `undefined`.
 *
 * Source: jax.custom_vjp, torch.autograd.Function.
 *
 * @throws Error at the call where `f` gives no tensors, or uses a trainable variable, a tensor with `requireGrad()`
 * or an outer function's input that is not among its inputs, since `vjp` has no gradient for it; at the gradient where
 * `vjp` gives another number of gradients than there are inputs, or one of another shape or dtype.
 */
export function customGradient<I extends readonly Tensor[], O extends Tensor | readonly Tensor[]>(
  f: (...inputs: I) => O,
  vjp: CustomVjp<I>,
): (...inputs: I) => O {
  for (const [name, value] of Object.entries({ f, vjp })) {
    if (typeof value !== "function") {
      throw new TypeError(`customGradient: ${name} must be a function, not ${describeValue(value)}`);
    }
  }
  const title = f.name ? `customGradient of ${f.name}` : "customGradient";
  return (...inputs) => {
    inputs.forEach((x, i) => requireTensor(title, `input ${i}`, x));
    const own = inputs.map(alias);
    const given: unknown = f(...(own as unknown as I));
    const results: readonly unknown[] = Array.isArray(given) ? given : [given];
    if (results.length === 0) throw new Error(`${title}: the function must give at least one tensor`);
    results.forEach((y, i) => requireTensor(title, Array.isArray(given) ? `result ${i}` : "the result", y));
    const ys = results as readonly Tensor[];
    refuseCaptured(title, ys, own);
    const outputs = withVjp(title, inputs, ys, vjp);
    return (Array.isArray(given) ? outputs : outputs[0]) as O;
  };
}

/** Results equal to `ys` whose gradient with respect to `inputs` is `vjp`'s. */
function withVjp<I extends readonly Tensor[]>(
  title: string,
  inputs: I,
  ys: readonly Tensor[],
  vjp: CustomVjp<I>,
): Tensor[] {
  const values = ys.map((y) => y.detach());
  const floating = values.flatMap((y, i) => (isFloat(y.dtype) ? [i] : []));
  if (floating.length === 0) return values;
  const op: FusedOp = {
    name: "customGradient",
    outputs: (all) => floating.map((at) => all[inputs.length + at]),
    decompose: (all) => floating.map((at) => all[inputs.length + at]),
    vjp(all, picks, cotangents) {
      const outputs = all.slice(inputs.length);
      const given = values.map((y) => zeros(y.shape, isFloat(y.dtype) ? y.dtype : "f32"));
      floating.forEach((at, k) => {
        outputs[at] = picks[k];
        given[at] = cotangents[k] ?? given[at];
      });
      const xs = all.slice(0, inputs.length);
      return cotangentsOf(title, vjp(given, xs as unknown as I, outputs), xs);
    },
  };
  // Integers are operands as well: `vjp` reads them, and a loop's body has its own at every step.
  const operands = [...inputs, ...values].map((t) => t.node);
  build.fused(op, operands, {}).forEach((node, k) => {
    values[floating[k]] = new Tensor(node);
  });
  return values;
}

/** What a vjp gave, as one gradient an input. @throws Error naming the input whose gradient is wrong */
export function cotangentsOf(title: string, result: unknown, inputs: readonly Tensor[]): (Tensor | undefined)[] {
  const found: readonly unknown[] = result instanceof Tensor ? [result] : Array.isArray(result) ? result : [];
  if (!(result instanceof Tensor) && !Array.isArray(result)) {
    throw new TypeError(
      `${title}: vjp must give an array with one gradient an input, not ${describeValue(result)}; ` +
        "an input without a gradient has undefined in its place",
    );
  }
  if (found.length !== inputs.length) {
    throw new Error(
      `${title}: vjp gave ${found.length} gradients for ${inputs.length} inputs; ` +
        "give one an input, undefined where no gradient flows",
    );
  }
  return found.map((dx, i) => {
    if (dx === undefined) return undefined;
    const x = inputs[i];
    requireTensor(title, `the gradient that vjp gives for input ${i}`, dx);
    if (!isFloat(x.dtype)) {
      throw new Error(`${title}: vjp gave a gradient for input ${i}, which is ${x.dtype}; give undefined for it`);
    }
    if (dx.dtype === x.dtype && sameShape(dx.shape, x.shape)) return dx;
    const fix = sameShape(dx.shape, x.shape) ? `.cast("${x.dtype}")` : "sum over broadcast axes";
    throw new Error(`${title}: vjp gave ${label(dx)} as the gradient of input ${i}, which is ${label(x)}; ${fix}`);
  });
}

/** Throws where a gradient would have flowed to something besides the inputs: it would be silently missing. */
export function refuseCaptured(title: string, ys: readonly Tensor[], own: readonly Tensor[]): void {
  const mine = new Set(own.map((t) => t.node));
  const first = Math.min(...own.map((t) => t.node.id));
  const order = topologicalOrder(
    ys.map((t) => t.node),
    (node: Node) => (mine.has(node) ? [] : differentiableInputs(node)),
  );
  for (const node of order) {
    if (mine.has(node)) continue;
    const asked = gradientTarget(node);
    const outer = node.formula.op.kind === "alias" && node.id < first;
    const cell = cellLeaves.get(node);
    if (!asked && !outer && !cell) continue;
    const what = asked
      ? asked.toString()
      : (cell ?? `an input ${label(node)} of a function that is being differentiated`);
    throw new Error(
      `${title}: the function uses ${what}, which is not among its inputs, so that no gradient would reach it; ` +
        "hand it in as an input, or use it with .detach()",
    );
  }
}
