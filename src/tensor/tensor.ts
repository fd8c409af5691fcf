/**
 * `Tensor`: the lazy array that users hold.
 *
 * A method only adds a node to the graph; nothing runs until a value is read. Nobody has to dispose of anything: the
 * memory of a value that is no longer referenced returns to the device's pool (`dispose` is there for the impatient).
 */
import * as build from "./build.ts";
import type { DType, HostArray, HostArrayOf } from "./dtype.ts";
import { checkDType, isFloat } from "./dtype.ts";
import { describeTensor, labelTensor } from "./door/describe.ts";
import { requireNumber, requireTensor } from "./door/door.ts";
import * as indexing from "./methods/indexing.ts";
import * as reductions from "./methods/reductions.ts";
import * as views from "./methods/views.ts";
import type { Node } from "./node.ts";
import { gradientTargets } from "./program/history.ts";
import * as promotion from "./promotion.ts";
import { binary, constant, unary } from "./promotion.ts";
import { readValues, realize } from "./program/realize.ts";
import { formatShape, normalizeAxes, normalizeAxis, requireSizes, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { tracing } from "./program/trace.ts";

/** What an operand may be: a tensor, or a number, taken as a constant of the other operand's dtype where that holds it. */
export type Operand = Tensor | number;
/** One axis or several; negative ones count from the end. */
export type Axes = number | readonly number[];
/** One axis of an index: a position, `[start, stop]`, `[start, stop, step]`, or `null` for all. */
export type Range =
  | number
  | null
  | readonly [number | null, number | null]
  | readonly [number | null, number | null, number];
/** Numbers nested as a tensor's axes are. */
export type NestedArray = number | NestedArray[];

/** Hooks that other layers fill in, so that this one need not import them. */
export const hooks: {
  backward?: (loss: Tensor, cotangent?: Tensor) => void;
} = {};

/** A lazy array: methods describe what to compute, `read` and its like compute it. */
export class Tensor {
  #node: Node;
  #grad: Tensor | undefined;

  constructor(node: Node) {
    this.#node = node;
  }

  /** The graph node this tensor stands for. A `Variable`'s changes when it is assigned. */
  get node(): Node {
    return this.#node;
  }
  get shape(): Shape {
    return this.node.shape;
  }
  get dtype(): DType {
    return this.node.dtype;
  }
  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  // --- values

  /**
   * Computes the tensor and copies it to the host: a flat typed array in row-major order. Where the dtype is named,
   * the array's type is known: `await x.read("f32")` is a Float32Array.
   *
   * @throws Error where the tensor is of another dtype than the one named
   */
  read(): Promise<HostArray>;
  read<D extends DType>(dtype: D): Promise<HostArrayOf<D>>;
  async read(dtype?: DType): Promise<HostArray> {
    if (dtype === undefined) return readValues(this);
    checkDType("read", dtype);
    if (dtype !== this.dtype) {
      throw new Error(`read: ${this.label()} is not ${dtype}; read("${this.dtype}"), or cast it: .cast("${dtype}")`);
    }
    const values = await readValues(this);
    // The reference device keeps every floating dtype in double precision.
    return dtype !== "f64" && values instanceof Float64Array ? Float32Array.from(values) : values;
  }
  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new Error(`item: shape ${formatShape(this.shape)} has ${this.size} elements, not 1; use read()`);
    return (await this.read())[0];
  }
  /** The values as nested arrays; a number for a scalar. */
  async toArray(): Promise<NestedArray> {
    const data = await this.read();
    let at = 0;
    const nest = (axis: number): NestedArray =>
      axis === this.rank ? data[at++] : Array.from({ length: this.shape[axis] }, () => nest(axis + 1));
    return nest(0);
  }
  /** Computes the tensor and keeps it on the device. */
  async realize(): Promise<this> {
    await realize([this]);
    return this;
  }
  /** Gives device memory back now rather than at garbage collection. The tensor must not be used afterwards. */
  dispose(): void {
    const op = this.node.op;
    if (op.kind === "storage") op.storage.dispose();
  }
  /** Dtype and shape, for errors: `Tensor(f32[2, 3])`. */
  label(): string {
    return labelTensor(this);
  }
  /** Dtype, shape, device, and the values where they can be had without computing anything. */
  toString(): string {
    return describeTensor(this);
  }
  /** What `console.log` shows (Node and Deno). */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
  [Symbol.for("Deno.customInspect")](): string {
    return this.toString();
  }
  /** A tensor is no number: `x > 0`, `x * 2` and `Math.exp(x)` are mistakes. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint !== "number") return this.toString();
    throw new TypeError(
      `${this.label()} is no number: write x.add(y) or x.gt(y) for operators, and await x.item() for its value`,
    );
  }

  // --- gradients

  /** Set by `backward()` on tensors that asked for it with `requireGrad()`, and on variables. */
  get grad(): Tensor | undefined {
    const trace = tracing();
    if (trace && this.#grad && !trace.gradients.has(this)) {
      throw new Error(
        `grad: the gradient of ${this.toString()} was set before compile traced the function, which would keep this one ` +
          `for all calls; clear it in the function (zeroGrad) and compute it there`,
      );
    }
    return this.#grad;
  }
  set grad(value: Tensor | undefined) {
    const trace = tracing();
    if (trace && !trace.gradients.has(this)) trace.before.set(this, this.#grad);
    trace?.gradients.set(this, value);
    this.#grad = value;
  }

  /** Asks `backward()` to set this tensor's `grad`. */
  requireGrad(): this {
    gradientTargets.set(this.node, new WeakRef(this));
    return this;
  }
  /** Sets `grad` of every trainable variable and every tensor that asked for it. `cotangent` defaults to 1 (scalars). */
  backward(cotangent?: Tensor): void {
    if (cotangent !== undefined) requireTensor("backward", "the cotangent", cotangent);
    if (!hooks.backward) throw new Error('backward: import "hico-webgpu" (the autograd module is not loaded)');
    hooks.backward(this, cotangent);
  }
  /** The same values, through which no gradient flows. */
  detach(): Tensor {
    return new Tensor(build.makeNode({ kind: "detach" }, [this.node], this.shape, this.dtype));
  }

  // --- elementwise (see elementwise.ts for the table; binary ops broadcast)

  add(y: Operand): Tensor {
    return binary("add", this, y);
  }
  sub(y: Operand): Tensor {
    return binary("sub", this, y);
  }
  mul(y: Operand): Tensor {
    return binary("mul", this, y);
  }
  div(y: Operand): Tensor {
    return binary("div", this, y);
  }
  floorDiv(y: Operand): Tensor {
    return promotion.floorDiv(this, y);
  }
  mod(y: Operand): Tensor {
    return promotion.mod(this, y);
  }
  maximum(y: Operand): Tensor {
    return binary("maximum", this, y);
  }
  minimum(y: Operand): Tensor {
    return binary("minimum", this, y);
  }
  eq(y: Operand): Tensor {
    return binary("eq", this, y);
  }
  ne(y: Operand): Tensor {
    return binary("ne", this, y);
  }
  lt(y: Operand): Tensor {
    return binary("lt", this, y);
  }
  le(y: Operand): Tensor {
    return binary("le", this, y);
  }
  gt(y: Operand): Tensor {
    return binary("gt", this, y);
  }
  ge(y: Operand): Tensor {
    return binary("ge", this, y);
  }
  and(y: Tensor): Tensor {
    return binary("and", this, y);
  }
  or(y: Tensor): Tensor {
    return binary("or", this, y);
  }
  bitAnd(y: Operand): Tensor {
    return binary("bitAnd", this, y);
  }
  bitOr(y: Operand): Tensor {
    return binary("bitOr", this, y);
  }
  bitXor(y: Operand): Tensor {
    return binary("bitXor", this, y);
  }
  shiftLeft(y: Operand): Tensor {
    return binary("shiftLeft", this, y);
  }
  shiftRight(y: Operand): Tensor {
    return binary("shiftRight", this, y);
  }
  /** x^y. Small whole and half exponents become products and roots. */
  pow(y: Operand): Tensor {
    return promotion.pow(this, y);
  }
  neg(): Tensor {
    return unary("neg", this);
  }
  abs(): Tensor {
    return unary("abs", this);
  }
  sign(): Tensor {
    return unary("sign", this);
  }
  square(): Tensor {
    return unary("square", this);
  }
  reciprocal(): Tensor {
    return unary("reciprocal", this);
  }
  sqrt(): Tensor {
    return unary("sqrt", this);
  }
  rsqrt(): Tensor {
    return unary("rsqrt", this);
  }
  exp(): Tensor {
    return unary("exp", this);
  }
  log(): Tensor {
    return unary("log", this);
  }
  expm1(): Tensor {
    return unary("expm1", this);
  }
  log1p(): Tensor {
    return unary("log1p", this);
  }
  sin(): Tensor {
    return unary("sin", this);
  }
  cos(): Tensor {
    return unary("cos", this);
  }
  tan(): Tensor {
    return unary("tan", this);
  }
  atan(): Tensor {
    return unary("atan", this);
  }
  tanh(): Tensor {
    return unary("tanh", this);
  }
  erf(): Tensor {
    return unary("erf", this);
  }
  sigmoid(): Tensor {
    return unary("sigmoid", this);
  }
  softplus(): Tensor {
    return unary("softplus", this);
  }
  relu(): Tensor {
    return unary("relu", this);
  }
  elu(): Tensor {
    return unary("elu", this);
  }
  silu(): Tensor {
    return unary("silu", this);
  }
  /** `approximate: "tanh"` is PyTorch's approximation; the default is exact. */
  gelu(approximate: "none" | "tanh" = "none"): Tensor {
    return unary(approximate === "tanh" ? "geluTanh" : "gelu", this);
  }
  floor(): Tensor {
    return unary("floor", this);
  }
  ceil(): Tensor {
    return unary("ceil", this);
  }
  trunc(): Tensor {
    return unary("trunc", this);
  }
  round(): Tensor {
    return unary("round", this);
  }
  not(): Tensor {
    return unary("not", this);
  }
  isNaN(): Tensor {
    return unary("isNaN", this);
  }
  isFinite(): Tensor {
    return unary("isFinite", this);
  }
  clamp(low: number, high: number): Tensor {
    requireNumber("clamp", "low", low);
    requireNumber("clamp", "high", high);
    const within = this.maximum(low).minimum(high);
    // Within the bounds, and at them, it is x itself, whose gradient is whole; where maximum meets its bound it would
    // be shared.
    return isFloat(this.dtype) ? this.ge(low).and(this.le(high)).where(this, within.detach()) : within;
  }
  /** `this` is the condition (bool): x where it holds, else y. */
  where(x: Operand, y: Operand): Tensor {
    promotion.requireCondition("where", this);
    return promotion.where(this, x, y);
  }
  /** The values where `keep` (bool) holds, 0 elsewhere. */
  mask(keep: Tensor): Tensor {
    promotion.requireCondition("mask", keep);
    return new Tensor(build.apply("where", [keep.node, this.node, constant(0, this.dtype)]));
  }
  cast(dtype: DType): Tensor {
    checkDType("cast", dtype);
    return views.wrap(this, build.cast(this.node, dtype));
  }

  // --- reductions

  sum(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("sum", this, axes, keepDims);
  }
  prod(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("prod", this, axes, keepDims);
  }
  /** Ties share the gradient (torch.amax). */
  max(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("max", this, axes, keepDims);
  }
  min(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("min", this, axes, keepDims);
  }
  mean(axes?: Axes, keepDims = false): Tensor {
    return reductions.mean(this, axes, keepDims);
  }
  /** Population variance (`correction` 0) or the sample's (1, PyTorch's default for torch.var). */
  variance(axes?: Axes, keepDims = false, correction = 0): Tensor {
    return reductions.variance(this, axes, keepDims, correction);
  }
  /** Index of the largest element along `axis`, the first of equals, as i32. */
  argmax(axis = -1): Tensor {
    return reductions.argExtreme("max", this, axis);
  }
  argmin(axis = -1): Tensor {
    return reductions.argExtreme("min", this, axis);
  }
  /** Whether any element is not 0 (bool); false for none. */
  any(axes?: Axes, keepDims = false): Tensor {
    return reductions.holding("any", this, axes, keepDims);
  }
  /** Whether no element is 0 (bool); true for none. */
  all(axes?: Axes, keepDims = false): Tensor {
    return reductions.holding("all", this, axes, keepDims);
  }

  // --- views (no copies)

  /** One size may be −1: inferred. */
  reshape(shape: Shape): Tensor {
    requireSizes("reshape", shape, -1);
    return views.wrap(this, build.reshape(this.node, shape));
  }
  flatten(from = 0): Tensor {
    const axis = this.rank === 0 ? 0 : normalizeAxis("flatten", from, this.rank);
    return this.reshape([...this.shape.slice(0, axis), sizeOf(this.shape.slice(axis))]);
  }
  permute(order: readonly number[]): Tensor {
    return views.permute(this, order);
  }
  /** Two axes exchanged; the last two by default. */
  transpose(a = -2, b = -1): Tensor {
    const [i, j] = [normalizeAxis("transpose", a, this.rank), normalizeAxis("transpose", b, this.rank)];
    const order = this.shape.map((_, k) => (k === i ? j : k === j ? i : k));
    return this.permute(order);
  }
  expand(shape: Shape): Tensor {
    requireSizes("expand", shape);
    return views.wrap(this, build.expand(this.node, shape));
  }
  squeeze(axis?: number): Tensor {
    return views.squeeze(this, axis);
  }
  unsqueeze(axis: number): Tensor {
    const at = normalizeAxis("unsqueeze", axis, this.rank + 1);
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)]);
  }
  /**
   * Basic indexing, axis by axis; missing axes are taken whole. A number drops its axis; negative positions count from
   * the end; `[start, stop, step]` follows Python's slices (a negative step flips).
   */
  slice(...ranges: Range[]): Tensor {
    return views.slice(this, ranges);
  }
  flip(axes?: Axes): Tensor {
    const list = normalizeAxes("flip", axes, this.rank);
    return this.slice(...this.shape.map((_, i): Range => (list.includes(i) ? [null, null, -1] : null)));
  }
  /** Zeros before and after each axis: `[[before, after], …]`. */
  pad(widths: readonly (readonly [number, number])[]): Tensor {
    return views.pad(this, widths);
  }
  /** Sliding windows along `axis`; a last axis of `size` is added (torch.Tensor.unfold). */
  window(axis: number, size: number, stride = 1, dilation = 1): Tensor {
    return views.window(this, axis, size, stride, dilation);
  }
  /** The value in memory of its own, in row-major order: a barrier to fusion. */
  contiguous(): Tensor {
    return views.wrap(this, build.makeNode({ kind: "contiguous" }, [this.node], this.shape, this.dtype));
  }

  // --- products and indexing

  /** Matrix product (NumPy's rules: 1-D operands are row and column vectors, batch axes broadcast). */
  matmul(y: Tensor): Tensor {
    return indexing.matmul(this, y);
  }
  /** torch.gather: `out[i][j] = this[index[i][j]][j]` for axis 0. */
  gather(axis: number, index: Tensor): Tensor {
    return indexing.gather(this, axis, index);
  }
  /** Whole slices along `axis` at a 1-D `index` (torch.index_select). */
  take(index: Tensor, axis = 0): Tensor {
    return indexing.take(this, index, axis);
  }
  /** Sums `source` into a copy of this tensor at `index` along `axis` (torch.scatter_add); sums are deterministic. */
  scatterAdd(axis: number, index: Tensor, source: Tensor): Tensor {
    return indexing.scatterAdd(this, axis, index, source);
  }
}

/** Throws unless the dtype is a floating one. */
export function requireFloat(op: string, x: Tensor): void {
  requireTensor(op, "x", x);
  if (!isFloat(x.dtype)) throw new Error(`${op}: takes floating tensors, not ${x.dtype}`);
}
