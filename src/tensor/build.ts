/**
 * Builders of graph nodes: every check of shapes and dtypes, and the small simplifications that keep graphs lean.
 *
 * Errors are thrown here, at the call that made them, naming the op, the shapes and the rule.
 */
import type { DType, HostArray } from "./dtype.ts";
import { castValue, isFloat } from "./dtype.ts";
import { elementwise, hostForm, inClass } from "./elementwise.ts";
import { VALUES } from "./elementwise/values.ts";
import type { ElementwiseName } from "./elementwise/values.ts";
import type { FusedOp } from "./fused.ts";
import type { Op, ReduceName } from "./node.ts";
import { Node } from "./node.ts";
import { broadcastShapes, formatShape, sameShape, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { tracing } from "./program/trace.ts";

let stopGradients = false;

/** Runs `f` with gradients stopped: reverse mode does not pass through what it builds. */
export function withoutGradients<T>(f: () => T): T {
  return withStop(true, f);
}

/** Runs `f` with gradients on, whatever surrounds it: what is differentiated at once needs its history. */
export function withGradients<T>(f: () => T): T {
  return withStop(false, f);
}

function withStop<T>(stop: boolean, f: () => T): T {
  const before = stopGradients;
  stopGradients = stop;
  try {
    return f();
  } finally {
    stopGradients = before;
  }
}

/** Whether reverse mode does not pass through what is built now. */
export function gradientsStopped(): boolean {
  return stopGradients;
}

export function makeNode(op: Op, inputs: readonly Node[], shape: Shape, dtype: DType): Node {
  // Without elements there is nothing to compute, and no index expression that would hold.
  const nothing = inputs.length > 0 && op.kind !== "fused" && op.kind !== "pick" && sizeOf(shape) === 0;
  if (nothing) return new Node({ kind: "full", value: 0 }, [], shape, dtype, stopGradients);
  return new Node(op, inputs, shape, dtype, stopGradients);
}

/** A leaf whose value is asked for now, and anew at every call of a compiled function that uses it. */
export function drawn(draw: () => HostArray, shape: Shape, dtype: DType): Node {
  const node = makeNode({ kind: "data", data: draw(), refresh: draw }, [], shape, dtype);
  if (collected) collected.push(node);
  else tracing()?.draws.push(node);
  return node;
}

let collected: Node[] | undefined;

/** The draws that are handed out while a step of a loop is traced, see {@link collectingDraws}. */
export const drawsHandedOut = (): object | undefined => collected;

/** @throws Error while a step of a loop is traced, whose effects later steps would not repeat */
export function refuseInStep(op: string, instead: string): void {
  if (collected) throw new Error(`${op}: a scan's cell runs once, for all steps; ${instead}`);
}

/** Runs `f`, whose draws are not repeated by a traced function but handed out: whoever asks draws for all of them. */
export function collectingDraws<T>(f: () => T): [result: T, draws: readonly Node[]] {
  const before = collected;
  const own: Node[] = [];
  collected = own;
  try {
    return [f(), own];
  } finally {
    collected = before;
  }
}

/** The value of a constant node, or `undefined` where the node is not constant. */
export function constantValue(node: Node): number | undefined {
  return node.op.kind === "full" ? node.op.value : undefined;
}

/** A tensor of one value. Values are rounded to the dtype; NaN is refused, since kernels cannot spell it. */
export function full(shape: Shape, value: number, dtype: DType): Node {
  if (Number.isNaN(value)) throw new Error("full: NaN cannot be a constant; build it from data with tensor([NaN])");
  let v = value;
  if (dtype === "bool") v = value ? 1 : 0;
  else if (dtype === "i32") v = Math.trunc(value) | 0;
  else if (dtype === "u32") v = Math.trunc(value) >>> 0;
  return makeNode({ kind: "full", value: v }, [], shape, dtype);
}

// --- movement

export function reshape(x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  const size = sizeOf(x.shape);
  const unknown = shape.indexOf(-1);
  let target = shape;
  if (unknown >= 0) {
    const rest = sizeOf(shape.filter((_, i) => i !== unknown));
    const known = rest > 0 && size % rest === 0 && shape.lastIndexOf(-1) === unknown;
    if (!known) {
      throw new Error(
        `reshape: cannot infer the -1 of ${formatShape(shape)} for ${size} elements of shape ${formatShape(x.shape)}`,
      );
    }
    target = shape.map((n) => (n === -1 ? size / rest : n));
    if (sameShape(x.shape, target)) return x;
  }
  if (sizeOf(target) !== size || target.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new Error(
      `reshape: ${formatShape(x.shape)} has ${size} elements, ${formatShape(target)} ${sizeOf(target)}; they must be equal`,
    );
  }
  const value = constantValue(x);
  if (value !== undefined) return full(target, value, x.dtype);
  if (x.op.kind === "reshape" && !x.stopped) return reshape(x.inputs[0], target);
  return makeNode({ kind: "reshape" }, [x], target, x.dtype);
}

export function permute(x: Node, order: readonly number[]): Node {
  const rank = x.shape.length;
  const seen = new Set(order);
  if (order.length !== rank || seen.size !== rank || order.some((a) => !Number.isInteger(a) || a < 0 || a >= rank)) {
    throw new Error(
      `permute: order ${formatShape(order)} must name each of the ${rank} axes of ${formatShape(x.shape)} once`,
    );
  }
  if (order.every((a, i) => a === i)) return x;
  if (x.op.kind === "permute" && !x.stopped) {
    const first = x.op.order;
    return permute(
      x.inputs[0],
      order.map((a) => first[a]),
    );
  }
  const shape = order.map((a) => x.shape[a]);
  const value = constantValue(x);
  if (value !== undefined) return full(shape, value, x.dtype);
  return makeNode({ kind: "permute", order: [...order] }, [x], shape, x.dtype);
}

/** Repeats axes of size 1, after adding leading axes where `shape` has more. */
export function expand(x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  const extra = shape.length - x.shape.length;
  const fits = extra >= 0 && x.shape.every((n, i) => n === shape[i + extra] || n === 1);
  if (!fits) {
    throw new Error(
      `expand: ${formatShape(x.shape)} cannot be expanded to ${formatShape(shape)}: aligned at the last axis, sizes must be equal or 1`,
    );
  }
  const value = constantValue(x);
  if (value !== undefined) return full(shape, value, x.dtype);
  const aligned = extra > 0 ? reshape(x, [...new Array<number>(extra).fill(1), ...x.shape]) : x;
  if (sameShape(aligned.shape, shape)) return aligned;
  return makeNode({ kind: "expand" }, [aligned], shape, x.dtype);
}

/** `count[i]` elements of axis i from `start[i]`, `step[i]` apart. */
export function slice(x: Node, start: readonly number[], count: readonly number[], step: readonly number[]): Node {
  const rank = x.shape.length;
  for (let i = 0; i < rank; i++) {
    const last = start[i] + (count[i] - 1) * step[i];
    const inside = count[i] === 0 || (start[i] >= 0 && start[i] < x.shape[i] && last >= 0 && last < x.shape[i]);
    if (!inside || step[i] === 0) {
      throw new Error(
        `slice: axis ${i} of ${formatShape(x.shape)}: start ${start[i]}, ${count[i]} elements, step ${step[i]} runs outside 0..${x.shape[i] - 1}`,
      );
    }
  }
  if (start.every((s) => s === 0) && step.every((s) => s === 1) && sameShape(count, x.shape)) return x;
  const value = constantValue(x);
  if (value !== undefined) return full([...count], value, x.dtype);
  if (sizeOf(count) === 0) return full([...count], 0, x.dtype);
  return makeNode({ kind: "slice", start: [...start], step: [...step] }, [x], [...count], x.dtype);
}

/** Places x at `low + i·step` of zeros of `shape`. */
export function pad(x: Node, low: readonly number[], shape: Shape, step: readonly number[]): Node {
  for (let i = 0; i < shape.length; i++) {
    const last = low[i] + (x.shape[i] - 1) * step[i];
    const inside = x.shape[i] === 0 || (Math.min(low[i], last) >= 0 && Math.max(low[i], last) < shape[i]);
    if (step[i] === 0 || !inside) {
      throw new Error(
        `pad: axis ${i}: ${x.shape[i]} elements from ${low[i]} in steps of ${step[i]} do not fit in ${shape[i]}`,
      );
    }
  }
  if (low.every((l) => l === 0) && step.every((s) => s === 1) && sameShape(shape, x.shape)) return x;
  if (constantValue(x) === 0 || sizeOf(x.shape) === 0) return full(shape, 0, x.dtype);
  return makeNode({ kind: "pad", low: [...low], step: [...step] }, [x], [...shape], x.dtype);
}

/** Windows of `size` along `axis`: the axis keeps the window's position, a last axis is added for the place in it. */
export function window(x: Node, axis: number, size: number, stride: number, dilation: number): Node {
  const span = (size - 1) * dilation + 1;
  const length = x.shape[axis];
  if (size < 1 || stride < 1 || dilation < 1 || span > length) {
    throw new Error(
      `window: size ${size}, stride ${stride}, dilation ${dilation} on axis ${axis} of ${formatShape(x.shape)}: ` +
        `all must be ≥ 1 and (size − 1)·dilation + 1 = ${span} at most ${length}`,
    );
  }
  const shape = [...x.shape, size];
  shape[axis] = Math.floor((length - span) / stride) + 1;
  const value = constantValue(x);
  if (value !== undefined) return full(shape, value, x.dtype);
  return makeNode({ kind: "window", axis, stride, dilation }, [x], shape, x.dtype);
}

/** The adjoint of `window` up to the sum over its last axis; `length` is the size of the axis windows were taken of. */
export function unwindow(x: Node, axis: number, length: number, stride: number, dilation: number): Node {
  const shape = [...x.shape];
  shape[axis] = length;
  if (constantValue(x) === 0) return full(shape, 0, x.dtype);
  return makeNode({ kind: "unwindow", axis, stride, dilation }, [x], shape, x.dtype);
}

// --- elementwise

/** An elementwise op on operands that broadcast. */
export function apply(name: ElementwiseName, operands: readonly Node[]): Node {
  const row = elementwise(name);
  const compared = name === "where" ? operands.slice(1) : operands;
  const dtype = compared[0].dtype;
  if (name === "where" && operands[0].dtype !== "bool") {
    throw new Error(`where: the condition must be bool, not ${operands[0].dtype}; compare first, for example x.gt(0)`);
  }
  for (const operand of compared) {
    if (operand.dtype !== dtype) {
      throw new Error(
        `${name}: dtypes ${compared.map((n) => n.dtype).join(" and ")} differ; cast one with .cast("${dtype}")`,
      );
    }
  }
  if (!inClass(dtype, row.takes)) {
    const hint = row.takes === "float" ? '; cast it with .cast("f32")' : "";
    throw new Error(`${name}: takes ${row.takes} operands, not ${dtype}${hint}`);
  }
  const resultDtype = row.gives ?? dtype;
  const shape = broadcastShapes(name, ...operands.map((n) => n.shape));
  if (sizeOf(shape) === 0) return full(shape, 0, resultDtype);

  const constants = operands.map(constantValue);
  if (constants.every((c) => c !== undefined)) {
    const value = hostForm(row, dtype)(constants[0]!, constants[1] ?? 0, constants[2] ?? 0);
    if (!Number.isNaN(value)) return full(shape, value, resultDtype);
  }
  const simple = simplify(name, operands, constants, shape);
  if (simple) return expand(simple, shape);
  return makeNode(
    { kind: "elementwise", name },
    operands.map((n) => expand(n, shape)),
    shape,
    resultDtype,
  );
}

/** Identities that reverse mode produces all the time: x + 0, x · 1, finite x · 0, select by a constant. */
function simplify(
  name: ElementwiseName,
  x: readonly Node[],
  constant: readonly (number | undefined)[],
  shape: Shape,
): Node | undefined {
  switch (name) {
    case "add":
      return constant[0] === 0 ? x[1] : constant[1] === 0 ? x[0] : undefined;
    case "sub":
      return constant[1] === 0 ? x[0] : undefined;
    case "mul":
      if (constant[0] === 1) return x[1];
      if (constant[1] === 1) return x[0];
      return (constant[0] === 0 && finite(x[1])) || (constant[1] === 0 && finite(x[0]))
        ? full(shape, 0, x[0].dtype)
        : undefined;
    case "div":
      return constant[1] === 1 ? x[0] : undefined;
    case "where":
      return constant[0] !== undefined ? (constant[0] ? x[1] : x[2]) : undefined;
    case "neg":
      return x[0].op.kind === "elementwise" && x[0].op.name === "neg" ? x[0].inputs[0] : undefined;
    default:
      return undefined;
  }
}

/** Whether nothing in x can be NaN or infinite, so that 0 times it is 0. */
function finite(x: Node): boolean {
  if (!isFloat(x.dtype)) return true;
  const value = constantValue(x);
  if (value !== undefined) return Number.isFinite(value);
  return x.op.kind === "iota" || (x.op.kind === "cast" && x.inputs[0].dtype === "bool");
}

export function cast(x: Node, dtype: DType): Node {
  if (x.dtype === dtype) return x;
  const value = constantValue(x);
  if (value !== undefined) return full(x.shape, castValue(value, x.dtype, dtype), dtype);
  return makeNode({ kind: "cast" }, [x], x.shape, dtype);
}

// --- reductions

const REDUCE_IDENTITY: Record<ReduceName, (dtype: DType) => number | undefined> = {
  sum: () => 0,
  prod: () => 1,
  max: () => undefined,
  min: () => undefined,
};

/** Reduces `axes` (sorted, distinct) away. Sums of an empty axis are 0, products 1; max and min of one are an error. */
export function reduce(name: ReduceName, x: Node, axes: readonly number[]): Node {
  if (x.dtype === "bool") throw new Error(`${name}: takes numbers, not bool; cast with .cast("i32") to count`);
  const shape = x.shape.filter((_, i) => !axes.includes(i));
  const reduced = sizeOf(axes.map((a) => x.shape[a]));
  if (sizeOf(shape) === 0) return full(shape, 0, x.dtype);
  if (reduced === 0) {
    const identity = REDUCE_IDENTITY[name](x.dtype);
    if (identity === undefined) {
      throw new Error(
        `${name}: axes ${formatShape(axes)} of ${formatShape(x.shape)} hold no element, and ${name} of nothing is undefined`,
      );
    }
    return full(shape, identity, x.dtype);
  }
  if (reduced === 1) return reshape(x, shape);
  const value = constantValue(x);
  if (value !== undefined) {
    if (name === "sum") return full(shape, value * reduced, x.dtype);
    if (name !== "prod") return full(shape, value, x.dtype);
  }
  return makeNode({ kind: "reduce", name, axes: [...axes] }, [x], shape, x.dtype);
}

// --- matrix product

/** Batched matrix product of a [..., m, k] and b [..., k, n]; batch axes broadcast. */
export function matmul(a: Node, b: Node): Node {
  const bad = (rule: string) => new Error(`matmul: ${formatShape(a.shape)} times ${formatShape(b.shape)}: ${rule}`);
  if (a.shape.length < 2 || b.shape.length < 2) throw bad("both operands need at least 2 axes");
  if (a.dtype !== b.dtype || !isFloat(a.dtype))
    throw bad(`operands must be of one floating dtype, not ${a.dtype} and ${b.dtype}`);
  const [m, k] = a.shape.slice(-2);
  const [k2, n] = b.shape.slice(-2);
  if (k !== k2) throw bad(`inner sizes ${k} and ${k2} must be equal`);
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...batch, m, n];
  if (sizeOf(shape) === 0 || k === 0) return full(shape, 0, a.dtype);
  return makeNode({ kind: "matmul" }, [expand(a, [...batch, m, k]), expand(b, [...batch, k, n])], shape, a.dtype);
}

// --- indexing by data

/** Elements of x along `axis` at `index` (i32 or u32); shapes agree on the other axes. Source: torch.gather. */
export function gather(x: Node, index: Node, axis: number): Node {
  const same = index.shape.length === x.shape.length && index.shape.every((n, i) => i === axis || n === x.shape[i]);
  if (!same) {
    throw new Error(
      `gather: index ${formatShape(index.shape)} and x ${formatShape(x.shape)} must have equal sizes except along axis ${axis}`,
    );
  }
  if (index.dtype !== "i32" && index.dtype !== "u32")
    throw new Error(`gather: the index must be i32 or u32, not ${index.dtype}`);
  if (sizeOf(index.shape) > 0 && x.shape[axis] === 0) {
    throw new Error(`gather: axis ${axis} of ${formatShape(x.shape)} is empty: there is nothing to index`);
  }
  const value = constantValue(x);
  if (value !== undefined) return full(index.shape, value, x.dtype);
  if (sizeOf(index.shape) === 0) return full(index.shape, 0, x.dtype);
  return makeNode({ kind: "gather", axis }, [x, index], index.shape, x.dtype);
}

/** At most this many tensors in one concat node, so that a kernel's bindings suffice. */
const CONCAT_ARITY = 6;

export function concat(parts: readonly Node[], axis: number): Node {
  const first = parts[0];
  for (const part of parts) {
    const fits =
      part.shape.length === first.shape.length && part.shape.every((n, i) => i === axis || n === first.shape[i]);
    if (!fits || part.dtype !== first.dtype) {
      throw new Error(
        `concat: ${parts.map((p) => p.dtype + formatShape(p.shape)).join(", ")}: ` +
          `dtypes must be one, and sizes equal except along axis ${axis}`,
      );
    }
  }
  const filled = parts.filter((p) => p.shape[axis] > 0);
  if (filled.length === 0) return first;
  if (filled.length === 1) return filled[0];
  if (filled.length > CONCAT_ARITY) {
    const groups: Node[] = [];
    const width = Math.ceil(filled.length / Math.ceil(filled.length / CONCAT_ARITY));
    for (let i = 0; i < filled.length; i += width) groups.push(concat(filled.slice(i, i + width), axis));
    return concat(groups, axis);
  }
  const shape = [...first.shape];
  shape[axis] = filled.reduce((sum, p) => sum + p.shape[axis], 0);
  if (sizeOf(shape) === 0) return full(shape, 0, first.dtype);
  return makeNode({ kind: "concat", axis }, filled, shape, first.dtype);
}

// --- the rest

/** The flat index of every element of `shape`, as i32. */
export function iota(shape: Shape): Node {
  if (sizeOf(shape) === 0) return full(shape, 0, "i32");
  return makeNode({ kind: "iota" }, [], shape, "i32");
}

/** A fused op's results, as nodes that pick them. */
export function fused<A extends object>(op: FusedOp<A>, inputs: readonly Node[], attrs: A): Node[] {
  const specs = op.outputs(inputs, attrs);
  const node = makeNode(
    { kind: "fused", fused: op as unknown as FusedOp, attrs },
    inputs,
    specs[0].shape,
    specs[0].dtype,
  );
  return specs.map((spec, index) => makeNode({ kind: "pick", index }, [node], spec.shape, spec.dtype));
}

export function isElementwiseName(name: string): name is ElementwiseName {
  return name in VALUES;
}
