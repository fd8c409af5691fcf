/**
 * `Tensor`: the lazy array that users hold.
 *
 * A method only adds a node to the graph; nothing runs until a value is read. Nobody has to dispose of anything: the
 * memory of a value that is no longer referenced returns to the device's pool (`dispose` is there for the impatient).
 */
import * as build from "./build.ts";
import type { DType, HostArray, HostArrayOf } from "./dtype.ts";
import { checkDType } from "./dtype.ts";
import { describeTensor, labelTensor } from "./door/describe.ts";
import { requireSameDType, requireTensor } from "./door/door.ts";
import type { Axes, NestedArray, Range } from "./methods/arguments.ts";
import { nested } from "./methods/arguments.ts";
import * as indexing from "./methods/indexing.ts";
import * as reductions from "./methods/reductions.ts";
import * as views from "./methods/views.ts";
import { type Node, held, isMovement } from "./node.ts";
import { gradientTargets } from "./program/history.ts";
import * as promotion from "./promotion.ts";
import { binary, constant, unary } from "./promotion.ts";
import { readValues, realize } from "./program/realize.ts";
import { formatShape, requireSizes, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { tracing } from "./program/trace.ts";

/** What an operand may be: a tensor, or a number, taken as a constant of the other operand's dtype where that holds it. */
export type Operand = Tensor | number;

/** Hooks that other layers fill in, so that this one need not import them. */
export const hooks: {
  backward?: (loss: Tensor, cotangent?: Tensor) => void;
} = {};

/** A lazy array, the value of a graph's `node`: methods describe what to compute, `read` and its like compute it. */
export class Tensor {
  #node: Node;
  #grad: Tensor | undefined;

  constructor(node: Node) {
    this.#node = held(node);
  }

  /** The graph node this tensor stands for. A `Variable`'s changes when it is assigned. */
  get node(): Node {
    return this.#node;
  }
  /** Sizes of the axes. */
  get shape(): Shape {
    return this.node.shape;
  }
  /** Type of the elements. */
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
   * Computes the tensor and copies it to the host: a flat typed array in row-major order, on every device of the type
   * that its dtype travels in. Where the dtype is named, TypeScript knows it: `await x.read("f32")` is a Float32Array.
   *
   * @throws Error where the tensor is of another dtype than the one named
   */
  read(): Promise<HostArray>;
  read<D extends DType>(dtype: D): Promise<HostArrayOf<D>>;
  async read(dtype?: DType): Promise<HostArray> {
    if (dtype !== undefined) requireSameDType("read", this, dtype);
    const values = await readValues(this);
    // The reference device has every floating dtype in double precision; numbers (item, toArray) keep it.
    return this.dtype !== "f64" && values instanceof Float64Array ? Float32Array.from(values) : values;
  }
  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new Error(`item: shape ${formatShape(this.shape)} has ${this.size} elements, not 1; use read()`);
    return (await readValues(this))[0];
  }
  /** The values as nested arrays; a number for a scalar. */
  async toArray(): Promise<NestedArray> {
    return nested(await readValues(this), this.shape);
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
    tracing()?.checkGradient(this, this.#grad);
    return this.#grad;
  }
  set grad(value: Tensor | undefined) {
    tracing()?.noteGradient(this, this.#grad, value);
    this.#grad = value;
  }

  /** Asks `backward()` to set this tensor's `grad`; a view or a constant is then no more simplified past. */
  requireGrad(): this {
    if (isMovement(this.node.op) || this.node.op.kind === "full")
      this.#node = build.makeNode({ kind: "alias" }, [this.node], this.shape, this.dtype);
    gradientTargets.set(this.node, new WeakRef(this));
    return this;
  }
  /** Sets `grad` of every trainable variable and every tensor that asked for it. `cotangent` defaults to 1 (scalars). */
  backward(cotangent?: Tensor): void {
    if (cotangent !== undefined) requireTensor("backward", "the cotangent", cotangent);
    if (!hooks.backward) throw new Error('backward: this bundle imports no gradients: use backward of "hico-webgpu"');
    hooks.backward(this, cotangent);
  }
  /** The same values, through which no gradient flows. */
  detach(): Tensor {
    return new Tensor(build.makeNode({ kind: "detach" }, [this.node], this.shape, this.dtype));
  }

  // --- elementwise (see elementwise.ts for the table; binary ops broadcast)

  /** x + y. */
  add(y: Operand): Tensor {
    return binary("add", this, y);
  }
  /** x − y. */
  sub(y: Operand): Tensor {
    return binary("sub", this, y);
  }
  /** x · y. */
  mul(y: Operand): Tensor {
    return binary("mul", this, y);
  }
  /** x / y; whole numbers become f32 first. */
  div(y: Operand): Tensor {
    return binary("div", this, y);
  }
  /** ⌊x / y⌋. */
  floorDiv(y: Operand): Tensor {
    return promotion.floorDiv(this, y);
  }
  /** x − y·⌊x / y⌋: the sign of y. */
  mod(y: Operand): Tensor {
    return promotion.mod(this, y);
  }
  /** The larger; ties share the gradient. */
  maximum(y: Operand): Tensor {
    return binary("maximum", this, y);
  }
  /** The smaller; ties share the gradient. */
  minimum(y: Operand): Tensor {
    return binary("minimum", this, y);
  }
  /** Whether x = y (bool). */
  eq(y: Operand): Tensor {
    return binary("eq", this, y);
  }
  /** Whether x ≠ y (bool). */
  ne(y: Operand): Tensor {
    return binary("ne", this, y);
  }
  /** Whether x < y (bool). */
  lt(y: Operand): Tensor {
    return binary("lt", this, y);
  }
  /** Whether x ≤ y (bool). */
  le(y: Operand): Tensor {
    return binary("le", this, y);
  }
  /** Whether x > y (bool). */
  gt(y: Operand): Tensor {
    return binary("gt", this, y);
  }
  /** Whether x ≥ y (bool). */
  ge(y: Operand): Tensor {
    return binary("ge", this, y);
  }
  /** Whether this and `y` both hold, of bools. */
  and(y: Tensor): Tensor {
    return binary("and", this, y);
  }
  /** Whether this or `y` holds, or both, of bools. */
  or(y: Tensor): Tensor {
    return binary("or", this, y);
  }
  /** Bitwise and, of integers. */
  bitAnd(y: Operand): Tensor {
    return binary("bitAnd", this, y);
  }
  /** Bitwise or, of integers. */
  bitOr(y: Operand): Tensor {
    return binary("bitOr", this, y);
  }
  /** Bitwise exclusive or, of integers. */
  bitXor(y: Operand): Tensor {
    return binary("bitXor", this, y);
  }
  /** x · 2^y of integers, wrapping; 0 ≤ y < 32. */
  shiftLeft(y: Operand): Tensor {
    return binary("shiftLeft", this, y);
  }
  /** ⌊x / 2^y⌋ of integers; 0 ≤ y < 32. */
  shiftRight(y: Operand): Tensor {
    return binary("shiftRight", this, y);
  }
  /** x^y. Small whole and half exponents become products and roots. */
  pow(y: Operand): Tensor {
    return promotion.pow(this, y);
  }
  /** −x. */
  neg(): Tensor {
    return unary("neg", this);
  }
  /** |x|. */
  abs(): Tensor {
    return unary("abs", this);
  }
  /** −1, 0 or 1. */
  sign(): Tensor {
    return unary("sign", this);
  }
  /** x². */
  square(): Tensor {
    return unary("square", this);
  }
  /** 1 / x. */
  reciprocal(): Tensor {
    return unary("reciprocal", this);
  }
  /** √x. */
  sqrt(): Tensor {
    return unary("sqrt", this);
  }
  /** 1 / √x. */
  rsqrt(): Tensor {
    return unary("rsqrt", this);
  }
  /** eˣ. */
  exp(): Tensor {
    return unary("exp", this);
  }
  /** Natural logarithm. */
  log(): Tensor {
    return unary("log", this);
  }
  /** eˣ − 1, exact near 0. */
  expm1(): Tensor {
    return unary("expm1", this);
  }
  /** log(1 + x), exact near 0. */
  log1p(): Tensor {
    return unary("log1p", this);
  }
  /** Sine. */
  sin(): Tensor {
    return unary("sin", this);
  }
  /** Cosine. */
  cos(): Tensor {
    return unary("cos", this);
  }
  /** Tangent. */
  tan(): Tensor {
    return unary("tan", this);
  }
  /** Arc tangent. */
  atan(): Tensor {
    return unary("atan", this);
  }
  /** Hyperbolic tangent. */
  tanh(): Tensor {
    return unary("tanh", this);
  }
  /** Error function. */
  erf(): Tensor {
    return unary("erf", this);
  }
  /** 1 / (1 + e⁻ˣ). */
  sigmoid(): Tensor {
    return unary("sigmoid", this);
  }
  /** log(1 + eˣ). */
  softplus(): Tensor {
    return unary("softplus", this);
  }
  /** max(x, 0). */
  relu(): Tensor {
    return unary("relu", this);
  }
  /** x for x > 0, else eˣ − 1 (torch.nn.functional.elu). */
  elu(): Tensor {
    return unary("elu", this);
  }
  /** x · sigmoid(x). */
  silu(): Tensor {
    return unary("silu", this);
  }
  /** `approximate: "tanh"` is PyTorch's approximation; the default is exact. */
  gelu(approximate: "none" | "tanh" = "none"): Tensor {
    return unary(approximate === "tanh" ? "geluTanh" : "gelu", this);
  }
  /** Largest whole number ≤ x. */
  floor(): Tensor {
    return unary("floor", this);
  }
  /** Smallest whole number ≥ x. */
  ceil(): Tensor {
    return unary("ceil", this);
  }
  /** x without its fraction. */
  trunc(): Tensor {
    return unary("trunc", this);
  }
  /** Nearest whole number, halves to even. */
  round(): Tensor {
    return unary("round", this);
  }
  /** Not, of bools. */
  not(): Tensor {
    return unary("not", this);
  }
  /** Whether x is not a number (bool). */
  isNaN(): Tensor {
    return unary("isNaN", this);
  }
  /** Whether x is neither infinite nor NaN (bool). */
  isFinite(): Tensor {
    return unary("isFinite", this);
  }
  /** At least `low` and at most `high`. */
  clamp(low: number, high: number): Tensor {
    return promotion.clamp(this, low, high);
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
  /** The values as another dtype: floats to integers without their fraction, numbers to bool as ≠ 0. */
  cast(dtype: DType): Tensor {
    checkDType("cast", dtype);
    return views.wrap(this, build.cast(this.node, dtype));
  }

  // --- reductions

  /** Sum over `axes`, all by default; they are dropped, or with `keepDims` of length 1. */
  sum(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("sum", this, axes, keepDims);
  }
  /** Product over `axes`, 1 of no element; `keepDims` as for `sum`. */
  prod(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("prod", this, axes, keepDims);
  }
  /** Largest over `axes`, `keepDims` as for `sum`; ties share the gradient (torch.amax). */
  max(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("max", this, axes, keepDims);
  }
  /** Smallest over `axes`, `keepDims` as for `sum`; ties share the gradient (torch.amin). */
  min(axes?: Axes, keepDims = false): Tensor {
    return reductions.reduction("min", this, axes, keepDims);
  }
  /** Mean over `axes`, NaN of no element as in PyTorch; `keepDims` as for `sum`. */
  mean(axes?: Axes, keepDims = false): Tensor {
    return reductions.mean(this, axes, keepDims);
  }
  /** Population variance (`correction` 0) or the sample's (1, as torch.var); `axes`, `keepDims` as for `sum`. */
  variance(axes?: Axes, keepDims = false, correction = 0): Tensor {
    return reductions.variance(this, axes, keepDims, correction);
  }
  /** Index of the largest element along `axis`, the first of equals, as i32. */
  argmax(axis = -1): Tensor {
    return reductions.argExtreme("max", this, axis);
  }
  /** Index of the smallest element along `axis`, the first of equals, as i32. */
  argmin(axis = -1): Tensor {
    return reductions.argExtreme("min", this, axis);
  }
  /** Whether any element is not 0 (bool), false for none; `axes` and `keepDims` as for `sum`. */
  any(axes?: Axes, keepDims = false): Tensor {
    return reductions.holding("any", this, axes, keepDims);
  }
  /** Whether no element is 0 (bool), true for none; `axes` and `keepDims` as for `sum`. */
  all(axes?: Axes, keepDims = false): Tensor {
    return reductions.holding("all", this, axes, keepDims);
  }

  // --- views (no copies)

  /** One size may be −1: inferred. */
  reshape(shape: Shape): Tensor {
    requireSizes("reshape", shape, -1);
    return views.wrap(this, build.reshape(this.node, shape));
  }
  /** Axes `from` and after made one: [a, b, c] from 1 → [a, b·c]. */
  flatten(from = 0): Tensor {
    return views.flatten(this, from);
  }
  /** Axes in another order: axis i of the result is axis `order[i]` of x. */
  permute(order: readonly number[]): Tensor {
    return views.permute(this, order);
  }
  /** Axes `a` and `b` exchanged; the last two by default. */
  transpose(a = -2, b = -1): Tensor {
    return views.transpose(this, a, b);
  }
  /** Axes of length 1 repeated to `shape`; further axes may stand in front (torch.Tensor.expand). */
  expand(shape: Shape): Tensor {
    requireSizes("expand", shape);
    return views.wrap(this, build.expand(this.node, shape));
  }
  /** Without the axis, which must have length 1; without all such axes by default. */
  squeeze(axis?: number): Tensor {
    return views.squeeze(this, axis);
  }
  /** With an axis of length 1 at `axis`. */
  unsqueeze(axis: number): Tensor {
    return views.unsqueeze(this, axis);
  }
  /**
   * Basic indexing by `ranges`, axis by axis; missing axes are taken whole. A number drops its axis; negative
   * positions count from the end; `[start, stop, step]` follows Python's slices (a negative step flips).
   */
  slice(...ranges: Range[]): Tensor {
    return views.slice(this, ranges);
  }
  /** The other way round along `axes`, all by default. */
  flip(axes?: Axes): Tensor {
    return views.flip(this, axes);
  }
  /** Zeros before and after each axis: `widths` are `[[before, after], …]`. */
  pad(widths: readonly (readonly [number, number])[]): Tensor {
    return views.pad(this, widths);
  }
  /** Windows of `size` elements, `dilation` apart, every `stride` of `axis`, as a last axis (torch.Tensor.unfold). */
  window(axis: number, size: number, stride = 1, dilation = 1): Tensor {
    return views.window(this, axis, size, stride, dilation);
  }
  /** The value in memory of its own, in row-major order: a barrier to fusion. */
  contiguous(): Tensor {
    return views.wrap(this, build.makeNode({ kind: "contiguous" }, [this.node], this.shape, this.dtype));
  }

  // --- products and indexing

  /** Matrix product with `y` (NumPy's rules: 1-D operands are row and column vectors, batch axes broadcast). */
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
