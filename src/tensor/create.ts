/** Tensors from host data and from constants. What of host data becomes which dtype stands in host-values.ts. */
import type { Backend } from "./backend.ts";
import { inBounds } from "./bounds.ts";
import * as build from "./build.ts";
import { checkOptions, describeValue, requireCount, requireNumber, requireTensor } from "./door/door.ts";
import type { DType, HostArray } from "./dtype.ts";
import { castValue, checkDType, hostArray, holds, isFloat } from "./dtype.ts";
import {
  convertValues,
  dtypeOfArray,
  fromNested,
  fromTyped,
  isNumberArray,
  isTypedValues,
} from "./door/host-values.ts";
import type { HostValues, NestedValues, TypedTexts, TypedValues } from "./door/host-values.ts";
import { constant } from "./promotion.ts";
import { readValues, realize } from "./program/realize.ts";
import { requireSizes, formatShape, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/** Shape, dtype and ownership of a tensor made from host data. */
export interface TensorOptions {
  /** Default: one axis for typed arrays, the nesting for arrays. */
  readonly shape?: Shape;
  /** Default: that of a typed array; f32 for numbers, bool for booleans. */
  readonly dtype?: DType;
  /**
   * Whether the tensor has a copy of a typed array (default) or is lent the array itself. Nobody may write to a lent
   * array for as long as the tensor, or anything not yet computed from it, is in use.
   */
  readonly copy?: boolean;
}

/**
 * A tensor with these values. They belong to it from now on: what is written to the array afterwards is not seen
 * (unless it was lent, with `{ copy: false }`).
 *
 * Besides arrays it takes what readers of files give (dtype, shape and data), and a tensor, whose values it takes over
 * without its history (torch.tensor).
 *
 * @throws Error where nested arrays are not of one length an axis, an element is no number, or a file's array is of text
 */
export function tensor(
  values: HostValues | TypedValues | TypedTexts | Tensor | NestedValues,
  options: TensorOptions = {},
): Tensor {
  checkOptions("tensor", options, ["shape", "dtype", "copy"]);
  if (options.dtype !== undefined) checkDType("tensor", options.dtype);
  if (values instanceof Tensor) {
    const own = values.detach().cast(options.dtype ?? values.dtype);
    return options.shape === undefined ? own : own.reshape([...options.shape]);
  }
  if (isTypedValues(values)) {
    const { data, dtype: own } = fromTyped(values);
    const dtype = options.dtype ?? own;
    return leaf(convertValues(data, dtype, options.copy ?? true), options.shape ?? values.shape, dtype);
  }
  if (isNumberArray(values)) {
    const dtype = options.dtype ?? dtypeOfArray(values);
    return leaf(convertValues(values, dtype, options.copy ?? true), options.shape ?? [values.length], dtype);
  }
  const { flat, shape, booleans } = fromNested(values);
  const dtype = options.dtype ?? (booleans ? "bool" : "f32");
  return leaf(convertValues(flat, dtype, true), options.shape ?? shape, dtype);
}

function leaf(data: HostArray, shape: Shape, dtype: DType): Tensor {
  requireSizes("tensor", shape);
  if (sizeOf(shape) !== data.length) {
    throw new Error(`tensor: shape ${formatShape(shape)} has ${sizeOf(shape)} elements, the data ${data.length}`);
  }
  return new Tensor(build.makeNode({ kind: "data", data }, [], [...shape], dtype));
}

/** A one-element tensor whose value may change from run to run without recompiling (unlike a plain number). */
export function scalar(value: number, dtype: DType = "f32"): Tensor {
  requireNumber("scalar", "the value", value);
  return tensor([value], { dtype, shape: [] });
}

/** A tensor of shape [] whose value is asked for anew each time a plan runs: learning rates, counters. */
export function liveScalar(value: () => number, dtype: DType = "f32"): Tensor {
  if (typeof value !== "function") {
    throw new TypeError(
      "liveScalar: takes a function that gives the value, such as () => rate; scalar(x) takes a number",
    );
  }
  checkDType("liveScalar", dtype);
  const refresh = () => {
    const data = hostArray(dtype, 1);
    const now = value();
    requireNumber("liveScalar", "the function's value", now);
    data[0] = castValue(now, "f64", dtype);
    return data;
  };
  return new Tensor(build.drawn(refresh, [], dtype));
}

/** A tensor of this shape with one value everywhere. The value is cast where an integer dtype cannot hold it. */
export function full(shape: Shape, value: number | boolean, dtype: DType = "f32"): Tensor {
  return filled("full", shape, typeof value === "boolean" ? Number(value) : value, dtype);
}

/** Values that an integer dtype cannot hold become the nearest that it can, as in a cast. */
function filled(op: string, shape: Shape, value: number, dtype: DType): Tensor {
  requireSizes(op, shape);
  checkDType(op, dtype);
  requireNumber(op, "the value", value);
  return new Tensor(build.expand(constant(castValue(value, "f64", dtype), dtype), [...shape]));
}
/** Zeros of this shape and `dtype` (torch.zeros). */
export function zeros(shape: Shape, dtype: DType = "f32"): Tensor {
  return filled("zeros", shape, 0, dtype);
}
/** Ones of this shape and `dtype` (torch.ones). */
export function ones(shape: Shape, dtype: DType = "f32"): Tensor {
  return filled("ones", shape, 1, dtype);
}
/** Zeros in the shape and dtype of `x`. */
export function zerosLike(x: Tensor): Tensor {
  requireTensor("zerosLike", "x", x);
  return full(x.shape, 0, x.dtype);
}
/** Ones in the shape and dtype of `x`. */
export function onesLike(x: Tensor): Tensor {
  requireTensor("onesLike", "x", x);
  return full(x.shape, 1, x.dtype);
}
/**
 * One axis of `start, start + step, …` below `stop` (above it for a negative step); with one argument,
 * `0 … stop − 1`. By default i32 where all of them are whole numbers of 32 bits, else f32.
 */
export function arange(start: number, stop?: number, step = 1, dtype?: DType): Tensor {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  for (const [name, value] of [
    ["start", from],
    ["stop", to],
    ["step", step],
  ] as const) {
    requireNumber("arange", name, value);
    if (!Number.isFinite(value)) throw new Error(`arange: ${name} must be finite, not ${value}`);
  }
  if (step === 0) throw new Error("arange: step must not be 0");
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (count > 2 ** 31 - 1) throw new Error(`arange: ${count} elements are more than a tensor holds`);
  const last = from + Math.max(0, count - 1) * step;
  const whole = [from, step, last].every((v) => holds("i32", v));
  const wanted = dtype ?? (whole ? "i32" : "f32");
  checkDType("arange", wanted);
  const positions = new Tensor(build.iota([count]));
  if (isFloat(wanted)) return positions.cast(wanted).mul(step).add(from);
  if (wanted === "bool" || ![from, last].every((v) => holds(wanted, v)) || !Number.isInteger(step)) {
    throw new Error(`arange: ${wanted} cannot hold ${from}, ${from + step} … ${last}; leave dtype out or take "f32"`);
  }
  // Below 0 only the steps are: they are taken in i32, whose bits are those of u32.
  return positions
    .mul(holds("i32", step) ? step : step - 2 ** 32)
    .cast(wanted)
    .add(from);
}
/** An [n, m] matrix of `dtype` with ones on its diagonal, else zeros (torch.eye). */
export function eye(n: number, m = n, dtype: DType = "f32"): Tensor {
  requireCount("eye", "n", n);
  requireCount("eye", "m", m);
  checkDType("eye", dtype);
  return arange(n).unsqueeze(1).eq(arange(m).unsqueeze(0)).cast(dtype);
}
/**
 * 1 at `index`, else 0, along a fresh last axis (torch.nn.functional.one_hot): index [...] i32 or u32 → [..., classes]
 * of `dtype`.
 */
export function oneHot(index: Tensor, classes: number, dtype: DType = "f32"): Tensor {
  requireTensor("oneHot", "the index", index);
  requireCount("oneHot", "classes", classes);
  checkDType("oneHot", dtype);
  if (index.dtype !== "i32" && index.dtype !== "u32") {
    throw new Error(`oneHot: the index must be i32 or u32, not ${index.dtype}; cast it with .cast("i32")`);
  }
  const checked = new Tensor(inBounds(index.node, { op: "oneHot", what: "index", size: classes }));
  return checked.unsqueeze(-1).eq(arange(classes).cast(index.dtype)).cast(dtype);
}

/** The value of x on another device: the same shape and dtype. */
export async function to(x: Tensor, device: Backend): Promise<Tensor> {
  requireTensor("to", "x", x);
  if (typeof (device as Partial<Backend> | undefined)?.realize !== "function") {
    throw new TypeError(`to: the device must be one that device(…) opened, not ${describeValue(device)}`);
  }
  const data = await readValues(x);
  const moved = tensor(data, { shape: x.shape, dtype: x.dtype, copy: false });
  const [storage] = await device.realize([moved.node], []);
  moved.node.become({ kind: "storage", storage });
  await realize([moved]);
  return moved;
}
