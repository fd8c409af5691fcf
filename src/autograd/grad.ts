/**
 * Reverse-mode differentiation over the graph.
 *
 * The output's ancestors are walked from last to first; a node's cotangent is complete when all its users are done.
 * Only nodes from which a target can be reached take part. The result is more graph: it can be differentiated again.
 */
import * as build from "../tensor/build.ts";
import { ones, zerosLike } from "../tensor/create.ts";
import { isFloat } from "../tensor/dtype.ts";
import { requireFunction, requireTensor } from "../tensor/door/door.ts";
import type { Node } from "../tensor/node.ts";
import { countUsers, producerOf, topologicalOrder, uncounted } from "../tensor/node.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { compiledEdges, differentiableInputs, gradientTarget } from "../tensor/program/history.ts";
import { assignedTo } from "../tensor/program/pending.ts";
import { Tensor, hooks } from "../tensor/tensor.ts";
import { tracing } from "../tensor/program/trace.ts";
import { Variable } from "../tensor/variable.ts";
import { leavesOf, mapTree, requireTree } from "./tree.ts";
import type { Tree } from "./tree.ts";
import { total } from "./total.ts";
import { vjp } from "./vjp.ts";

/**
 * Cotangents of `targets` from those of `outputs`; zeros where a target has no influence.
 *
 * @throws Error where the outputs were not built on a target, but on what it is a view of, or where it is a constant
 *   that they do not hold: views of a view and arithmetic of constants are simplified as they are built, so that a
 *   dependence there may be, and is not seen. `grad(f)` differentiates with respect to any tensor.
 */
export function gradients(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  targets: readonly Tensor[],
): Tensor[] {
  if (![outputs, cotangents, targets].every((list) => Array.isArray(list)) || outputs.length !== cotangents.length)
    throw new TypeError(
      "gradients: takes arrays of outputs, of a cotangent for each, and of targets: gradients([loss], [scalar(1)], [w])",
    );
  const nodes = targets.map((t) => nodesOf(t, outputs));
  return counting(() => {
    const found = accumulate(outputs, cotangents, new Set(nodes.flat()));
    return targets.map((t, i) => {
      const parts = nodes[i].flatMap((n) => found.get(n) ?? []);
      if (parts.length > 0) return total(parts);
      refuseSimplified(t, outputs);
      return zerosLike(t);
    });
  });
}

/** @throws Error where a target may have been simplified away between what it was made of and the outputs */
function refuseSimplified(target: Tensor, outputs: readonly Tensor[]): void {
  const { node } = target;
  const base = producerOf(node);
  if (base === node && node.op.kind !== "full") return;
  // A batch of no rows: its gradient has no element that could be another.
  if (target.size === 0) return;
  const held = new Set(
    topologicalOrder(
      outputs.map((t) => t.node),
      differentiableInputs,
    ),
  );
  if (held.has(node) || (base !== node && !held.has(base))) return;
  const what = base === node ? "a constant" : "a view";
  throw new Error(
    `gradients: ${target.toString()} is ${what} that the outputs do not hold: views of a view and constants are ` +
      `simplified as expressions are built; differentiate with grad(f), whose argument is kept`,
  );
}

/** Of all that reverse mode builds, only what the gradients are computed from counts as a user of others. */
function counting(f: () => Tensor[]): Tensor[] {
  const found = uncounted(f);
  countUsers(found.map((t) => t.node));
  return found;
}

/** The nodes behind a tensor: of a variable, its value at every time the outputs read it. */
function nodesOf(target: Tensor, outputs: readonly Tensor[]): Node[] {
  if (!(target instanceof Variable)) return [target.node];
  const order = topologicalOrder(
    outputs.map((t) => t.node),
    differentiableInputs,
  );
  return order.filter((n) => (n.op.kind === "variable" ? n.op.variable : assignedTo.get(n)) === target.state);
}

function refuseCompiled({ dtype, shape, traced }: Node): never {
  throw new Error(
    traced
      ? `gradient: a ${dtype}${formatShape(shape)} argument of the compiled function has a history, or asks for a gradient, ` +
          "outside of it, where no gradient reaches; hand over a variable, or stop the gradient with .detach()"
      : `gradient: a ${dtype}${formatShape(shape)} result of a compiled function has no history to differentiate; ` +
          "differentiate inside the function, or stop the gradient with .detach()",
  );
}

function accumulate(
  outputs: readonly Tensor[],
  seeds: readonly Tensor[],
  targets: ReadonlySet<Node>,
): Map<Node, Tensor> {
  const order = topologicalOrder(
    outputs.map((t) => t.node),
    differentiableInputs,
  );
  const reaches = new Set<Node>();
  for (const node of order) {
    if (targets.has(node) || differentiableInputs(node).some((n) => reaches.has(n))) reaches.add(node);
  }
  const cotangents = new Map<Node, Tensor[]>();
  const add = (node: Node, dy: Tensor) => {
    const before = cotangents.get(node);
    if (before) before.push(dy);
    else cotangents.set(node, [dy]);
  };
  /** Of fused nodes: one cotangent an output, gathered from their picks. */
  const picked = new Map<Node, Map<number, { pick: Node; dy: Tensor }>>();
  outputs.forEach((output, i) => {
    if (!sameShape(output.shape, seeds[i].shape)) {
      throw new Error(
        `gradient: the cotangent ${formatShape(seeds[i].shape)} must have the output's shape ${formatShape(output.shape)}`,
      );
    }
    if (reaches.has(output.node)) add(output.node, seeds[i]);
  });
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i];
    if (!reaches.has(node)) continue;
    const inputs = differentiableInputs(node);
    if (inputs.length === 0) continue;
    let results: readonly (Tensor | undefined)[];
    const { op } = node.formula;
    if (op.kind === "fused") {
      const parts = picked.get(node);
      if (!parts) continue;
      results = fusedVjp(node, parts);
    } else {
      const parts = cotangents.get(node);
      if (!parts) continue;
      const dy = total(parts);
      cotangents.set(node, [dy]);
      if (op.kind === "pick") {
        const parts = picked.get(inputs[0]) ?? new Map<number, { pick: Node; dy: Tensor }>();
        parts.set(op.index, { pick: node, dy });
        picked.set(inputs[0], parts);
        continue;
      }
      results = vjp(node, dy);
    }
    inputs.forEach((input, k) => {
      const dx = results[k];
      if (dx && reaches.has(input)) add(input, dx);
    });
  }
  return new Map([...cotangents].map(([node, parts]) => [node, total(parts)]));
}

function fusedVjp(node: Node, parts: ReadonlyMap<number, { pick: Node; dy: Tensor }>): readonly (Tensor | undefined)[] {
  const { op, inputs: sources } = node.formula;
  if (op.kind !== "fused") return [];
  const { fused, attrs } = op;
  const inputs = sources.map((n) => new Tensor(n));
  const specs = fused.outputs(sources, attrs);
  if (fused.vjp) {
    // Outputs as picks of this very node, so that the backward pass reads what the forward pass computed.
    const outputs = specs.map(
      (spec, index) =>
        new Tensor(parts.get(index)?.pick ?? build.makeNode({ kind: "pick", index }, [node], spec.shape, spec.dtype)),
    );
    const found = fused.vjp(
      inputs,
      outputs,
      specs.map((_, index) => parts.get(index)?.dy),
      attrs,
    );
    if (found) return found;
  }
  return decompositionVjp(node, parts);
}

/** The gradient of a fused op through its decomposition. */
function decompositionVjp(node: Node, parts: ReadonlyMap<number, { dy: Tensor }>): (Tensor | undefined)[] {
  const { op, inputs: sources } = node.formula;
  if (op.kind !== "fused") return [];
  const { fused, attrs } = op;
  const inputs = sources.map((n) => alias(new Tensor(n)));
  const outputs = fused.decompose(inputs, attrs);
  const used = [...parts.keys()].filter((index) => isFloat(outputs[index].dtype));
  const wanted = inputs.filter((t) => isFloat(t.dtype));
  const found = accumulate(
    used.map((index) => outputs[index]),
    used.map((index) => parts.get(index)!.dy),
    new Set(wanted.map((t) => t.node)),
  );
  return inputs.map((t) => found.get(t.node));
}

/** The same value under another identity: gradients with respect to it do not count other uses of `x`. */
export function alias(x: Tensor): Tensor {
  return new Tensor(build.makeNode({ kind: "alias" }, [x.node], x.shape, x.dtype));
}

/**
 * `(x, …rest) => [f(x, …rest), df/dx]` for a scalar-valued f; x may be a tensor, an array or a record of tensors, and
 * the gradient has the same form. Source: jax.value_and_grad.
 */
export function valueAndGrad<X extends Tree, R extends readonly unknown[]>(
  f: (x: X, ...rest: R) => Tensor,
): (x: X, ...rest: R) => [Tensor, X] {
  requireFunction("grad", f);
  return (x, ...rest) => {
    requireTree("grad", "x", x);
    const inputs = mapTree(x, alias);
    const leaves = leavesOf(inputs);
    for (const leaf of leaves) {
      if (!isFloat(leaf.dtype)) throw new Error(`grad: cannot differentiate with respect to a ${leaf.dtype} tensor`);
    }
    const value = f(inputs, ...rest);
    requireScalar("grad", value);
    const found = gradients([value], [ones(value.shape, value.dtype)], leaves);
    let next = 0;
    return [value, mapTree(inputs, () => found[next++])];
  };
}

/** `(x, …rest) => df/dx` of a scalar-valued function `f`; apply it twice for second derivatives. Source: jax.grad. */
export function grad<X extends Tree, R extends readonly unknown[]>(
  f: (x: X, ...rest: R) => Tensor,
): (x: X, ...rest: R) => X {
  const both = valueAndGrad(f);
  return (x, ...rest) => both(x, ...rest)[1];
}

/**
 * Runs `f` with gradients stopped at everything it builds. `f` may give a Promise, as a compiled function and `read()` do.
 *
 * @throws Error where `f` is an async function, whose part after the first `await` would not be covered
 */
export function noGrad<T>(f: () => T): T {
  requireFunction("noGrad", f);
  if (Object.prototype.toString.call(f) === "[object AsyncFunction]")
    throw new Error("noGrad: the function is async; give one that builds at once, and await what it returned");
  return build.withoutGradients(f);
}

function requireScalar(op: string, value: Tensor): void {
  requireTensor(op, "the function's value", value);
  if (value.size !== 1) {
    throw new Error(
      `${op}: the function must give one number, not shape ${formatShape(value.shape)}; reduce it, for example with .mean()`,
    );
  }
  if (!isFloat(value.dtype)) throw new Error(`${op}: a ${value.dtype} value has no gradient`);
}

/**
 * Adds the gradient of `loss` to `grad` of every trainable variable and every tensor that asked with `requireGrad()`.
 * Several calls before `grad` is cleared accumulate, as in PyTorch. `cotangent`, of the shape of `loss`, is the
 * gradient with respect to `loss` itself; without it `loss` is a scalar, and that is 1.
 */
export function backward(loss: Tensor, cotangent?: Tensor): void {
  if (!cotangent) requireScalar("backward", loss);
  build.refuseInStep("backward", "take gradients in it by grad(…), and hand on what is needed as state or output");
  // A variable whose assignment has not run yet is a leaf all the same, as it will be afterwards.
  const targets = new Map<Node, Tensor>();
  for (const node of topologicalOrder([loss.node], differentiableInputs)) {
    const asked = gradientTarget(node);
    if (asked) targets.set(node, asked);
    else if (compiledEdges.has(node)) refuseCompiled(node);
  }
  if (targets.size === 0) {
    throw new Error(
      "backward: no trainable variable leads to this value; it may have been computed under noGrad, or detached",
    );
  }
  counting(() => {
    const found = accumulate([loss], [cotangent ?? ones(loss.shape, loss.dtype)], new Set(targets.keys()));
    const reached = new Set<Tensor>();
    for (const [node, target] of targets) {
      const dx = found.get(node);
      if (!dx) continue;
      // Detached, as in PyTorch: a sum of gradients over many steps has no history.
      target.grad = (target.grad ? target.grad.add(dx) : dx).detach();
      tracing()?.name(target.grad.node, `the gradient of ${target.toString()}`);
      reached.add(target);
    }
    return [...reached].map((target) => target.grad!);
  });
}

hooks.backward = backward;
