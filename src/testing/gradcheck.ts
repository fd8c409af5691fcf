/**
 * `gradcheck`: reverse mode held to central differences.
 *
 * Everything runs in float64 on a reference device, whatever device the tensors live on: the function is traced once,
 * its leaves are carried over, and the same graph is evaluated at the inputs and at inputs moved a little along one
 * element. The slope (F(x + eps) − F(x − eps)) / 2·eps has an error of the order of eps², far below that of a wrong
 * gradient. Where F bends so much that this shows, the slope for eps / 2 takes it away (Richardson's extrapolation, whose
 * error is of the order of eps⁴). Besides, the transposed of reverse mode is held to it exactly: ⟨u, J v⟩ = ⟨Jᵀu, v⟩ for
 * random u and v, which fails where a gradient is not linear in its cotangent. Source: torch.autograd.gradcheck and
 * gradgradcheck.
 */
import { ReferenceDevice } from "../device/reference/reference.ts";
import type { Backend, Storage } from "../tensor/backend.ts";
import * as build from "../tensor/build.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import { isFloat } from "../tensor/dtype.ts";
import { Node, topologicalOrder } from "../tensor/node.ts";
import { threefry2x32 } from "../tensor/threefry.ts";
import { formatShape, sizeOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { describeValue, requireTensor } from "../tensor/door/door.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Variable } from "../tensor/variable.ts";
import { alias, gradients } from "../autograd/grad.ts";

/** How gradients are compared, and how close they must be. */
export interface GradcheckOptions {
  /** How far an element is moved to each side; default 1e-5. */
  readonly eps?: number;
  /** Allowed difference relative to the larger of the two values; default 1e-6. */
  readonly rtol?: number;
  /** Allowed difference besides; default 1e-8, for the rounding of differences of values of about 1. */
  readonly atol?: number;
  /** Where it runs: a device that computes in float64. Default: a reference device of its own. */
  readonly device?: Backend;
  /** 1 (default): first derivatives. 2: second derivatives too, by differences of the gradient along a random direction. */
  readonly order?: 1 | 2;
  /** Elements checked of an input; of a larger one a random sample of this many. Default 256. */
  readonly samples?: number;
  /** Of the random weights of the outputs, and of samples; default 0. */
  readonly seed?: number;
}

/** What `gradcheck` found where all derivatives agreed. */
export interface GradcheckResult {
  /** Derivatives compared. */
  readonly checked: number;
  /** Largest difference, relative to the larger of the two values or 1. */
  readonly largestError: number;
}

/**
 * Reverse mode and differences disagree at one element; `message` says at which, by how much, and how it was compared.
 */
export class GradcheckError extends Error {
  override readonly name = "GradcheckError";
  constructor(
    message: string,
    /** Position or name of the input. */
    readonly input: string,
    /** Index of the element, one number an axis. */
    readonly index: readonly number[],
    /** The derivative by reverse mode. */
    readonly analytic: number,
    /** The derivative by central differences. */
    readonly numeric: number,
    /** 1: a first derivative. 2: a second one. */
    readonly order: 1 | 2,
  ) {
    super(message);
  }
}

/** What a checked function may return; outputs that are not floating are ignored. */
export type GradcheckOutputs = Tensor | readonly Tensor[];

/**
 * Compares the gradient of `f` by reverse mode with central differences, at every element of every floating input.
 *
 * `inputs`: an array, handed to `f` as its arguments, or a record of tensors, handed to it as one. Outputs of any shape
 * are weighted at random and summed, so that all of them count. Inputs, and tensors and variables that `f` uses besides,
 * may live on any device; random draws are held at what they were when `f` was traced.
 *
 * @returns how many derivatives were compared, and the largest difference.
 * @throws GradcheckError naming the input, the element's index and both values; Error where there is nothing to check.
 */
export async function gradcheck<T extends readonly Tensor[]>(
  f: (...inputs: T) => GradcheckOutputs,
  inputs: T,
  options?: GradcheckOptions,
): Promise<GradcheckResult>;
export async function gradcheck<T extends Readonly<Record<string, Tensor>>>(
  f: (inputs: T) => GradcheckOutputs,
  inputs: T,
  options?: GradcheckOptions,
): Promise<GradcheckResult>;
export async function gradcheck(
  f: (...inputs: never[]) => GradcheckOutputs,
  inputs: readonly Tensor[] | Readonly<Record<string, Tensor>>,
  options: GradcheckOptions = {},
): Promise<GradcheckResult> {
  const { eps = 1e-5, rtol = 1e-6, atol = 1e-8, order = 1, samples = 256, seed = 0 } = options;
  for (const [name, value] of Object.entries({ eps, rtol, samples })) {
    if (typeof value !== "number" || !(value > 0))
      throw new Error(`gradcheck: ${name} must be above 0, not ${describeValue(value)}`);
  }
  if (samples < 1) throw new Error(`gradcheck: samples must be at least 1, not ${samples}`);
  if (order !== 1 && order !== 2) throw new Error(`gradcheck: order must be 1 or 2, not ${String(order)}`);
  const device = options.device ?? new ReferenceDevice();
  if (!device.supports("f64"))
    throw new Error(`gradcheck: ${device.name} does not compute in float64; leave out "device"`);

  const names = Object.keys(inputs);
  const originals = names.map((name) => (inputs as Record<string, Tensor>)[name]);
  originals.forEach((t, i) => requireTensor("gradcheck", `input ${names[i]}`, t));
  if (!originals.some((t) => isFloat(t.dtype) && t.size > 0))
    throw new Error("gradcheck: no input has a floating element to move");
  const point = await valuesOf(originals, device);
  const leaves = originals.map((t, i) => dataLeaf(point[i], t.shape, t.dtype));
  const list = leaves.map((node) => new Tensor(node));
  const given = Array.isArray(inputs) ? list : [Object.fromEntries(names.map((name, i) => [name, list[i]]))];
  const result: unknown = f(...(given as never[]));
  const all: readonly unknown[] = Array.isArray(result) ? result : [result];
  all.forEach((t, i) => requireTensor("gradcheck", Array.isArray(result) ? `result ${i}` : "the result", t));
  const outputs = (all as readonly Tensor[]).filter((t) => isFloat(t.dtype));
  if (outputs.length === 0) throw new Error("gradcheck: the function gives no floating tensor");
  refuseOwnInputs(outputs, leaves, originals, names);

  const draw = uniformDraws(seed);
  const moved = names.flatMap((_, i) => (isFloat(originals[i].dtype) && originals[i].size > 0 ? [i] : []));
  const targets = moved.map((i) => list[i]);
  let largestError = 0;
  let checked = 0;
  let functions = outputs;
  for (const at of [1, 2] as const) {
    if (at > order) break;
    const weights = functions.map((t) => weightsLike(t, draw));
    const terms = functions.map((t, i) => t.mul(weights[i]));
    const slopes = gradients(functions, weights, targets);
    const nodes = await carryOver(
      [...terms, ...slopes].map((t) => t.node),
      device,
    );
    const slopeNodes = nodes.slice(terms.length);
    const atPoint = await run(device, leaves, slopeNodes, point);
    if (at === 1) await adjointAgrees({ device, leaves, point, functions, weights, targets, slopes, draw });
    const forward = await device.compile(leaves, nodes.slice(0, terms.length), []);
    const evaluate = async (input: number, element: number, by: number): Promise<HostArray[]> => {
      const values = point.slice();
      values[input] = values[input].slice();
      values[input][element] += by;
      return Promise.all((await forward.run(values)).map((storage) => device.read(storage)));
    };
    for (const [k, input] of moved.entries()) {
      for (const element of chosen(point[input].length, samples, draw)) {
        const around = (by: number) => Promise.all([evaluate(input, element, by), evaluate(input, element, -by)]);
        const [above, below] = await around(eps);
        let numeric = sumOfDifferences(above, below) / (2 * eps);
        const analytic = atPoint[k][element];
        // Written so that NaN fails.
        const agrees = (value: number): boolean =>
          Math.abs(analytic - value) <= atol + rtol * Math.max(Math.abs(analytic), Math.abs(value));
        if (!agrees(numeric)) {
          const [nearAbove, nearBelow] = await around(eps / 2);
          const extrapolated = (4 * (sumOfDifferences(nearAbove, nearBelow) / eps) - numeric) / 3;
          if (agrees(extrapolated)) numeric = extrapolated;
        }
        const error = Math.abs(analytic - numeric);
        checked++;
        if (agrees(numeric)) {
          largestError = Math.max(largestError, error / Math.max(1, Math.abs(analytic), Math.abs(numeric)));
          continue;
        }
        const here = await evaluate(input, element, 0);
        const [left, right] = [sumOfDifferences(here, below), sumOfDifferences(above, here)];
        const { shape } = originals[input];
        const index = positionOf(element, shape);
        const name = Array.isArray(inputs) ? names[input] : `"${names[input]}"`;
        const what = at === 1 ? "gradient" : "second derivative";
        throw new GradcheckError(
          `gradcheck: the ${what} with respect to input ${name}, element ${formatShape(index)} of ${formatShape(shape)}: ` +
            `reverse mode gives ${analytic}, central differences ${numeric} (eps ${eps}, rtol ${rtol}, atol ${atol}); ` +
            `slopes to the left and right are ${left / eps} and ${right / eps}` +
            (Math.abs(right - left) > 0.01 * Math.abs(right + left) ? ": is there a kink?" : ""),
          names[input],
          index,
          analytic,
          numeric,
          at,
        );
      }
    }
    functions = slopes;
  }
  return { checked, largestError };
}

/**
 * `gradcheck` of first and second derivatives, of the same `f` at the same `inputs`. Source:
 * torch.autograd.gradgradcheck.
 */
export const gradgradcheck = ((f: never, inputs: never, options: GradcheckOptions = {}) =>
  gradcheck(f, inputs, { ...options, order: 2 })) as typeof gradcheck;

/** ⟨u, J v⟩ = ⟨Jᵀu, v⟩, to rounding: u are the weights of the outputs, v is drawn. */
async function adjointAgrees(at: {
  readonly device: Backend;
  readonly leaves: readonly Node[];
  readonly point: readonly HostArray[];
  readonly functions: readonly Tensor[];
  readonly weights: readonly Tensor[];
  readonly targets: readonly Tensor[];
  readonly slopes: readonly Tensor[];
  readonly draw: () => number;
}): Promise<void> {
  const seeds = at.weights.map(alias);
  const along = at.targets.map((t) => weightsLike(t, at.draw));
  const pushed = gradients(gradients(at.functions, seeds, at.targets), along, seeds);
  const terms = (a: readonly Tensor[], b: readonly Tensor[]) => a.map((t, i) => t.mul(b[i]).cast("f64"));
  const sums = [terms(pushed, at.weights), terms(at.slopes, along)].flatMap((list) => [
    list.map((t) => t.sum()).reduce((a, b) => a.add(b)),
    list.map((t) => t.abs().sum()).reduce((a, b) => a.add(b)),
  ]);
  const nodes = await carryOver(
    sums.map((t) => t.node),
    at.device,
  );
  const [forward, forwardSize, reverse, reverseSize] = (await run(at.device, at.leaves, nodes, at.point)).map(
    (v) => v[0],
  );
  // Written so that NaN fails; differences will have more to say where reverse mode gives NaN.
  if (Math.abs(forward - reverse) <= 1e-9 * Math.max(1, forwardSize, reverseSize) || !Number.isFinite(reverse)) return;
  throw new GradcheckError(
    `gradcheck: forward and reverse mode disagree: ⟨u, J v⟩ is ${forward} and ⟨Jᵀu, v⟩ is ${reverse} for random u and v; ` +
      "is a gradient not linear in its cotangent, or cut off from it?",
    "all",
    [],
    reverse,
    forward,
    1,
  );
}

/** A leaf that keeps double precision under a narrower dtype, which a reference device computes with as it is. */
function dataLeaf(data: HostArray, shape: Shape, dtype: DType): Node {
  return build.makeNode({ kind: "data", data }, [], shape, dtype);
}

/** The tensors' values in float64 (integers and bools as they are). */
async function valuesOf(tensors: readonly Tensor[], device: Backend): Promise<HostArray[]> {
  const nodes = await carryOver(
    tensors.map((t) => t.node),
    device,
  );
  return run(device, [], nodes, []);
}

async function run(
  device: Backend,
  leaves: readonly Node[],
  nodes: readonly Node[],
  point: readonly HostArray[],
): Promise<HostArray[]> {
  if (nodes.length === 0) return [];
  const step = await device.compile(leaves, nodes, []);
  const storages = await step.run(point);
  return Promise.all(storages.map((s) => device.read(s)));
}

/** The graph with every leaf that has memory on another device, or changes from run to run, as host data. */
export async function carryOver(roots: readonly Node[], device: Backend): Promise<Node[]> {
  const carried = new Map<Node, Node>();
  const onHost = async (storage: Storage, node: Node) =>
    dataLeaf(await storage.device.read(storage), node.shape, node.dtype);
  for (const node of topologicalOrder(roots)) {
    const { op } = node;
    if (op.kind === "storage" && op.storage.device !== device) carried.set(node, await onHost(op.storage, node));
    else if (op.kind === "variable" && op.variable.storage) carried.set(node, await onHost(op.variable.storage, node));
    else if (op.kind === "variable") carried.set(node, (await carryOver([op.variable.initial!], device))[0]);
    else if (op.kind === "data" && op.refresh) carried.set(node, dataLeaf(op.data, node.shape, node.dtype));
    else {
      const inputs = node.inputs.map((n) => carried.get(n)!);
      const same = inputs.every((n, i) => n === node.inputs[i]);
      carried.set(node, same ? node : new Node(op, inputs, node.shape, node.dtype, node.stopped));
    }
  }
  return roots.map((n) => carried.get(n)!);
}

/** Weights in ±[0.5, 1.5), so that no output is lost and none cancels another throughout. */
function weightsLike(t: Tensor, draw: () => number): Tensor {
  const values = Float64Array.from({ length: t.size }, () => (draw() + 0.5) * (draw() < 0.5 ? -1 : 1));
  return new Tensor(dataLeaf(values, t.shape, t.dtype));
}

/** Σ a − b: subtracted before they are summed, so that large values which stay do not round away small ones which move. */
function sumOfDifferences(a: readonly HostArray[], b: readonly HostArray[]): number {
  let sum = 0;
  a.forEach((values, n) => values.forEach((value, i) => (sum += value - b[n][i])));
  return sum;
}

/** Throws where the function uses an input from outside and not what it was handed: it would not move with it. */
function refuseOwnInputs(
  outputs: readonly Tensor[],
  leaves: readonly Node[],
  originals: readonly Tensor[],
  names: readonly string[],
): void {
  const held = new Set(topologicalOrder(outputs.map((t) => t.node)));
  const variables = new Set([...held].flatMap(({ op }) => (op.kind === "variable" ? [op.variable] : [])));
  originals.forEach((t, i) => {
    if (held.has(leaves[i]) || !(t instanceof Variable ? variables.has(t.state) : held.has(t.node))) return;
    throw new Error(
      `gradcheck: the function uses input ${names[i]}, ${t.toString()}, from outside and not the argument it is handed, ` +
        "which is another tensor; use the argument",
    );
  });
}

/** Numbers in [0, 1), the same for a seed. */
function uniformDraws(seed: number): () => number {
  let call = 0;
  return () => threefry2x32(seed, 0x67726164, call++, 0)[0] / 2 ** 32;
}

/** All elements, or a random sample of `limit`. */
function chosen(size: number, limit: number, draw: () => number): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  if (size <= limit) return all;
  for (let i = 0; i < limit; i++) {
    const j = i + Math.floor(draw() * (size - i));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all.slice(0, limit);
}

function positionOf(flat: number, shape: Shape): number[] {
  const index: number[] = [];
  let rest = flat;
  for (let axis = 0; axis < shape.length; axis++) {
    const stride = sizeOf(shape.slice(axis + 1));
    index.push(Math.floor(rest / stride));
    rest %= stride;
  }
  return index;
}
