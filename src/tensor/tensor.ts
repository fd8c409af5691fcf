/**
 * `Tensor`: the lazy array that users hold.
 *
 * A method only adds a node to the graph; nothing runs until a value is read. Nobody has to dispose of anything: the
 * memory of a value that is no longer referenced returns to the device's pool (`dispose` is there for the impatient).
 */
import { inBounds } from "./bounds.ts";
import * as build from "./build.ts";
import type { DType, HostArray } from "./dtype.ts";
import { checkDType, isFloat, resultType } from "./dtype.ts";
import { describeTensor, labelTensor } from "./door/describe.ts";
import { describeValue, requireCount, requireFlag, requireNumber, requireTensor, requireTensors } from "./door/door.ts";
import type { Node } from "./node.ts";
import { gradientTargets } from "./program/history.ts";
import * as promotion from "./promotion.ts";
import { binary, constant, unary } from "./promotion.ts";
import { readValues, realize } from "./program/realize.ts";
import { scatterAddZeros } from "./scatter.ts";
import { broadcastShapes, formatShape, normalizeAxes, normalizeAxis, requireSizes, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { tracing } from "./program/trace.ts";

/** What an operand may be: a tensor, or a number, taken as a constant of the other operand's dtype where that holds it. */
export type Operand = Tensor | number;
export type Axes = number | readonly number[];
/** One axis of an index: a position, `[start, stop]`, `[start, stop, step]`, or `null` for all. */
export type Range =
  | number
  | null
  | readonly [number | null, number | null]
  | readonly [number | null, number | null, number];
export type NestedArray = number | NestedArray[];

/** Hooks that other layers fill in, so that this one need not import them. */
export const hooks: {
  backward?: (loss: Tensor, cotangent?: Tensor) => void;
} = {};

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

  /** Computes the tensor and copies it to the host: a flat typed array in row-major order. */
  async read(): Promise<HostArray> {
    return readValues(this);
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
    return wrap(this, build.cast(this.node, dtype));
  }

  // --- reductions

  sum(axes?: Axes, keepDims = false): Tensor {
    return reduction("sum", this, axes, keepDims);
  }
  prod(axes?: Axes, keepDims = false): Tensor {
    return reduction("prod", this, axes, keepDims);
  }
  /** Ties share the gradient (torch.amax). */
  max(axes?: Axes, keepDims = false): Tensor {
    return reduction("max", this, axes, keepDims);
  }
  min(axes?: Axes, keepDims = false): Tensor {
    return reduction("min", this, axes, keepDims);
  }
  mean(axes?: Axes, keepDims = false): Tensor {
    const count = sizeOf(normalizeAxes("mean", axes, this.rank).map((a) => this.shape[a]));
    if (count === 0) throw new Error(`mean: axes of ${formatShape(this.shape)} hold no element`);
    if (!isFloat(this.dtype)) return this.cast("f32").sum(axes, keepDims).div(count);
    return this.sum(axes, keepDims).mul(1 / count);
  }
  /** Population variance (`correction` 0) or the sample's (1, PyTorch's default for torch.var). */
  variance(axes?: Axes, keepDims = false, correction = 0): Tensor {
    const count = sizeOf(normalizeAxes("variance", axes, this.rank).map((a) => this.shape[a]));
    requireNumber("variance", "correction", correction);
    if (!(count > correction)) throw new Error(`variance: ${count} elements with correction ${correction}`);
    return asFloat(this)
      .sub(this.mean(axes, true))
      .square()
      .sum(axes, keepDims)
      .mul(1 / (count - correction));
  }
  /** Index of the largest element along `axis`, the first of equals, as i32. */
  argmax(axis = -1): Tensor {
    return argExtreme("max", this, axis);
  }
  argmin(axis = -1): Tensor {
    return argExtreme("min", this, axis);
  }
  /** Whether any element is not 0 (bool); false for none. */
  any(axes?: Axes, keepDims = false): Tensor {
    return holding("any", this, axes, keepDims);
  }
  /** Whether no element is 0 (bool); true for none. */
  all(axes?: Axes, keepDims = false): Tensor {
    return holding("all", this, axes, keepDims);
  }

  // --- views (no copies)

  /** One size may be −1: inferred. */
  reshape(shape: Shape): Tensor {
    requireSizes("reshape", shape, -1);
    return wrap(this, build.reshape(this.node, shape));
  }
  flatten(from = 0): Tensor {
    const axis = this.rank === 0 ? 0 : normalizeAxis("flatten", from, this.rank);
    return this.reshape([...this.shape.slice(0, axis), sizeOf(this.shape.slice(axis))]);
  }
  permute(order: readonly number[]): Tensor {
    requireAxisList("permute", order);
    return wrap(
      this,
      build.permute(
        this.node,
        order.map((a) => normalizeAxis("permute", a, this.rank)),
      ),
    );
  }
  /** Two axes exchanged; the last two by default. */
  transpose(a = -2, b = -1): Tensor {
    const [i, j] = [normalizeAxis("transpose", a, this.rank), normalizeAxis("transpose", b, this.rank)];
    const order = this.shape.map((_, k) => (k === i ? j : k === j ? i : k));
    return this.permute(order);
  }
  expand(shape: Shape): Tensor {
    requireSizes("expand", shape);
    return wrap(this, build.expand(this.node, shape));
  }
  squeeze(axis?: number): Tensor {
    if (axis === undefined) return this.reshape(this.shape.filter((n) => n !== 1));
    const at = normalizeAxis("squeeze", axis, this.rank);
    if (this.shape[at] !== 1)
      throw new Error(`squeeze: axis ${axis} of ${formatShape(this.shape)} has size ${this.shape[at]}, not 1`);
    return this.reshape(this.shape.filter((_, i) => i !== at));
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
    if (ranges.length > this.rank) throw new Error(`slice: ${ranges.length} ranges for ${formatShape(this.shape)}`);
    const start: number[] = [];
    const count: number[] = [];
    const step: number[] = [];
    const dropped: number[] = [];
    this.shape.forEach((size, axis) => {
      const range = ranges[axis] ?? null;
      if (typeof range === "number") {
        const at = range < 0 ? range + size : range;
        if (!Number.isInteger(range) || at < 0 || at >= size) {
          throw new Error(`slice: position ${range} is outside axis ${axis} of ${formatShape(this.shape)}`);
        }
        start.push(at);
        count.push(1);
        step.push(1);
        dropped.push(axis);
      } else {
        if (range !== null && !Array.isArray(range)) {
          throw new TypeError(
            `slice: axis ${axis} must be a position, [start, stop], [start, stop, step] or null, not ${describeValue(range)}`,
          );
        }
        const [s, c, d] = pythonSlice(range ?? [null, null], size);
        start.push(s);
        count.push(c);
        step.push(d);
      }
    });
    const taken = new Tensor(build.slice(this.node, start, count, step));
    return dropped.length ? taken.reshape(taken.shape.filter((_, i) => !dropped.includes(i))) : taken;
  }
  flip(axes?: Axes): Tensor {
    const list = normalizeAxes("flip", axes, this.rank);
    return this.slice(...this.shape.map((_, i): Range => (list.includes(i) ? [null, null, -1] : null)));
  }
  /** Zeros before and after each axis: `[[before, after], …]`. */
  pad(widths: readonly (readonly [number, number])[]): Tensor {
    const pairs = Array.isArray(widths) && widths.every((w) => Array.isArray(w) && w.length === 2);
    if (!pairs || widths.length !== this.rank || widths.flat().some((w) => !Number.isInteger(w) || w < 0)) {
      throw new Error(
        `pad: needs ${this.rank} pairs of integers ≥ 0 for ${formatShape(this.shape)}, got ${JSON.stringify(widths)}`,
      );
    }
    const shape = this.shape.map((n, i) => n + widths[i][0] + widths[i][1]);
    return wrap(
      this,
      build.pad(
        this.node,
        widths.map((w) => w[0]),
        shape,
        this.shape.map(() => 1),
      ),
    );
  }
  /** Sliding windows along `axis`; a last axis of `size` is added (torch.Tensor.unfold). */
  window(axis: number, size: number, stride = 1, dilation = 1): Tensor {
    requireCount("window", "size", size, -Infinity);
    requireCount("window", "stride", stride, -Infinity);
    requireCount("window", "dilation", dilation, -Infinity);
    return wrap(this, build.window(this.node, normalizeAxis("window", axis, this.rank), size, stride, dilation));
  }
  /** The value in memory of its own, in row-major order: a barrier to fusion. */
  contiguous(): Tensor {
    return wrap(this, build.makeNode({ kind: "contiguous" }, [this.node], this.shape, this.dtype));
  }

  // --- products and indexing

  /** Matrix product (NumPy's rules: 1-D operands are row and column vectors, batch axes broadcast). */
  matmul(y: Tensor): Tensor {
    requireTensor("matmul", "the operand", y);
    if (this.rank === 0 || y.rank === 0)
      throw new Error(`matmul: ${formatShape(this.shape)} times ${formatShape(y.shape)}: scalars are not matrices`);
    const a = this.rank === 1 ? this.unsqueeze(0) : this;
    const b = y.rank === 1 ? y.unsqueeze(1) : y;
    let product = new Tensor(build.matmul(a.node, b.node));
    if (y.rank === 1) product = product.squeeze(-1);
    if (this.rank === 1) product = product.squeeze(y.rank === 1 ? -1 : -2);
    return product;
  }
  /** torch.gather: `out[i][j] = this[index[i][j]][j]` for axis 0. */
  gather(axis: number, index: Tensor): Tensor {
    requireTensor("gather", "the index", index);
    return this.#gather("gather", normalizeAxis("gather", axis, this.rank), index);
  }
  #gather(op: string, axis: number, index: Tensor): Tensor {
    // Shapes and dtypes are checked before values.
    const found = build.gather(this.node, index.node, axis);
    const checked = inBounds(index.node, { op, what: "index", size: this.shape[axis] });
    return new Tensor(checked === index.node ? found : build.gather(this.node, checked, axis));
  }
  /** Whole slices along `axis` at a 1-D `index` (torch.index_select). */
  take(index: Tensor, axis = 0): Tensor {
    requireTensor("take", "the index", index);
    const at = normalizeAxis("take", axis, this.rank);
    if (index.rank !== 1) throw new Error(`take: the index must have 1 axis, not shape ${formatShape(index.shape)}`);
    const shape = this.shape.map((n, i) => (i === at ? index.size : n));
    const placed = index.reshape(shape.map((_, i) => (i === at ? index.size : 1)));
    return this.#gather("take", at, placed.expand(shape));
  }
  /** Sums `source` into a copy of this tensor at `index` along `axis` (torch.scatter_add); sums are deterministic. */
  scatterAdd(axis: number, index: Tensor, source: Tensor): Tensor {
    requireTensor("scatterAdd", "the index", index);
    requireTensor("scatterAdd", "the source", source);
    if (source.dtype !== this.dtype || (index.dtype !== "i32" && index.dtype !== "u32")) {
      throw new Error(
        `scatterAdd: the source must be ${this.dtype}, as the tensor is, and the index i32 or u32, ` +
          `not ${source.dtype} and ${index.dtype}; cast them`,
      );
    }
    const at = normalizeAxis("scatterAdd", axis, this.rank);
    const checked = new Tensor(inBounds(index.node, { op: "scatterAdd", what: "index", size: this.shape[at] }));
    return this.add(scatterAddZeros(this.shape, at, checked, source));
  }
}

/** A tensor for `node`, or `x` itself where nothing changed. */
function wrap(x: Tensor, node: Node): Tensor {
  return node === x.node && x.constructor === Tensor ? x : new Tensor(node);
}

/** A floating tensor as it is, others as f32. */
function asFloat(x: Tensor): Tensor {
  return isFloat(x.dtype) ? x : x.cast("f32");
}

function requireAxisList(op: string, axes: unknown): asserts axes is readonly number[] {
  if (Array.isArray(axes)) return;
  throw new TypeError(`${op}: the axes must be an array, not ${describeValue(axes)}; write ${op}([0, 1])`);
}

/** Sums and products of bools count as i32; the largest and smallest of bools are bools. */
function reduction(name: "sum" | "prod" | "max" | "min", x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  requireFlag(name, "keepDims", keepDims, `; several axes go in an array: ${name}([0, 1])`);
  const list = normalizeAxes(name, axes, x.rank);
  if (x.dtype === "bool") {
    const counted = reduction(name, x.cast("i32"), axes, keepDims);
    return name === "max" || name === "min" ? counted.cast("bool") : counted;
  }
  const reduced = new Tensor(build.reduce(name, x.node, list));
  return keepDims ? reduced.reshape(x.shape.map((n, i) => (list.includes(i) ? 1 : n))) : reduced;
}

function holding(name: "any" | "all", x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  requireFlag(name, "keepDims", keepDims, `; several axes go in an array: ${name}([0, 1])`);
  const list = normalizeAxes(name, axes, x.rank);
  const truth = x.cast("bool").cast("i32");
  if (list.some((a) => x.shape[a] === 0)) {
    const shape = keepDims
      ? x.shape.map((n, i) => (list.includes(i) ? 1 : n))
      : x.shape.filter((_, i) => !list.includes(i));
    return new Tensor(build.full(shape, name === "all" ? 1 : 0, "bool"));
  }
  return (name === "any" ? truth.max(axes, keepDims) : truth.min(axes, keepDims)).cast("bool");
}

function argExtreme(name: "max" | "min", x: Tensor, axis: number): Tensor {
  if (x.dtype === "bool") return argExtreme(name, x.cast("i32"), axis);
  const at = normalizeAxis(`arg${name}`, axis, x.rank);
  const size = x.shape[at];
  if (size === 0) throw new Error(`arg${name}: axis ${axis} of ${formatShape(x.shape)} is empty`);
  const extreme = reduction(name, x.detach(), at, true);
  const positions = new Tensor(build.iota([size])).reshape(x.shape.map((_, i) => (i === at ? size : 1)));
  // Where no element equals the extreme (all NaN), the last position.
  return x
    .detach()
    .eq(extreme)
    .where(positions.expand(x.shape), size - 1)
    .min(at);
}

/** Start, count and step of a Python slice on an axis of `size`. */
function pythonSlice(range: readonly (number | null)[], size: number): [number, number, number] {
  const step = range[2] ?? 1;
  if (!Number.isInteger(step) || step === 0) throw new Error(`slice: step ${step} must be a non-zero integer`);
  const bound = (value: number | null | undefined, fallback: number) => {
    if (value === null || value === undefined) return fallback;
    if (!Number.isInteger(value)) throw new Error(`slice: bound ${value} must be an integer`);
    const at = value < 0 ? value + size : value;
    return step > 0 ? Math.min(Math.max(at, 0), size) : Math.min(Math.max(at, -1), size - 1);
  };
  const start = bound(range[0], step > 0 ? 0 : size - 1);
  const stop = bound(range[1], step > 0 ? size : -1);
  const count = Math.max(0, Math.ceil((stop - start) / step));
  return count === 0 ? [0, 0, step] : [start, count, step];
}

/** Tensors of equal shape along a fresh axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  requireTensors("stack", "the list", tensors);
  const at = normalizeAxis("stack", axis, tensors[0].rank + 1);
  return concat(
    tensors.map((t) => t.unsqueeze(at)),
    at,
  );
}

/** Tensors joined along `axis`, in the dtype they meet in; sizes agree elsewhere. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  requireTensors("concat", "the list", tensors);
  const at = normalizeAxis("concat", axis, tensors[0].rank);
  const dtype = resultType("concat", tensors);
  return new Tensor(
    build.concat(
      tensors.map((t) => build.cast(t.node, dtype)),
      at,
    ),
  );
}

/** The shape tensors broadcast to, checked. */
export function broadcastAll(op: string, ...tensors: Tensor[]): Tensor[] {
  const shape = broadcastShapes(op, ...tensors.map((t) => t.shape));
  return tensors.map((t) => t.expand(shape));
}

/** Throws unless the dtype is a floating one. */
export function requireFloat(op: string, x: Tensor): void {
  requireTensor(op, "x", x);
  if (!isFloat(x.dtype)) throw new Error(`${op}: takes floating tensors, not ${x.dtype}`);
}
