/** Tensors from host data and from constants. */
import type { Backend } from "./backend.ts";
import * as build from "./build.ts";
import type { DType, HostArray } from "./dtype.ts";
import { dtypeOfArray, hostArray } from "./dtype.ts";
import { realize } from "./realize.ts";
import { checkShape, formatShape, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import type { NestedArray } from "./tensor.ts";
import { Tensor } from "./tensor.ts";

export interface TensorOptions {
  /** Default: one axis for typed arrays, the nesting for arrays. */
  readonly shape?: Shape;
  /** Default: that of a typed array; f32 for numbers, bool for booleans. */
  readonly dtype?: DType;
}

/**
 * A tensor with these values. Typed arrays are taken by reference until the tensor is first used on a device: do not
 * write to them before that.
 */
export function tensor(
  values: HostArray | NestedArray | boolean | readonly boolean[],
  options: TensorOptions = {},
): Tensor {
  if (ArrayBuffer.isView(values)) return fromArray(values as HostArray, options);
  const shape: number[] = [];
  for (let at: unknown = values; Array.isArray(at); at = at[0]) shape.push(at.length);
  const flat: number[] = [];
  let booleans = 0;
  const walk = (value: unknown, axis: number): void => {
    if (Array.isArray(value)) {
      if (axis >= shape.length || value.length !== shape[axis]) {
        throw new Error(
          `tensor: ragged array: axis ${axis} has rows of ${value.length} and of ${shape[axis] ?? 0} elements`,
        );
      }
      for (const item of value) walk(item, axis + 1);
    } else {
      if (axis !== shape.length || (typeof value !== "number" && typeof value !== "boolean")) {
        throw new Error(`tensor: ragged array, or an element that is no number: ${String(value)}`);
      }
      if (typeof value === "boolean") booleans++;
      flat.push(Number(value));
    }
  };
  walk(values, 0);
  const dtype = options.dtype ?? (booleans > 0 && booleans === flat.length ? "bool" : "f32");
  const data = hostArray(dtype, flat.length);
  data.set(flat);
  return fromArray(data, { shape: options.shape ?? shape, dtype });
}

function fromArray(data: HostArray, options: TensorOptions): Tensor {
  const dtype = options.dtype ?? dtypeOfArray(data);
  const shape = options.shape ?? [data.length];
  checkShape("tensor", shape);
  if (sizeOf(shape) !== data.length) {
    throw new Error(`tensor: shape ${formatShape(shape)} has ${sizeOf(shape)} elements, the data ${data.length}`);
  }
  let held = data;
  if (dtypeOfArray(data) !== dtype && !(dtype === "f16" && data instanceof Float32Array)) {
    held = hostArray(dtype, data.length);
    held.set(data as Float32Array);
  }
  return new Tensor(build.makeNode({ kind: "data", data: held }, [], [...shape], dtype));
}

/** A one-element tensor whose value may change from run to run without recompiling (unlike a plain number). */
export function scalar(value: number, dtype: DType = "f32"): Tensor {
  return tensor([value], { dtype, shape: [] });
}

/** A leaf whose value is asked for anew each time a plan runs: learning rates, counters. */
export function liveScalar(value: () => number, dtype: DType = "f32"): Tensor {
  const refresh = () => {
    const data = hostArray(dtype, 1);
    data[0] = value();
    return data;
  };
  return new Tensor(build.drawn(refresh, [], dtype));
}

export function full(shape: Shape, value: number, dtype: DType = "f32"): Tensor {
  checkShape("full", shape);
  return new Tensor(build.full([...shape], value, dtype));
}
export function zeros(shape: Shape, dtype: DType = "f32"): Tensor {
  return full(shape, 0, dtype);
}
export function ones(shape: Shape, dtype: DType = "f32"): Tensor {
  return full(shape, 1, dtype);
}
export function zerosLike(x: Tensor): Tensor {
  return full(x.shape, 0, x.dtype);
}
export function onesLike(x: Tensor): Tensor {
  return full(x.shape, 1, x.dtype);
}
/** `start, start + step, …` below `stop`; with one argument, `0 … stop − 1`. */
export function arange(start: number, stop?: number, step = 1, dtype: DType = "i32"): Tensor {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw new Error("arange: step must not be 0");
  const count = Math.max(0, Math.ceil((to - from) / step));
  return new Tensor(build.iota([count])).cast(dtype).mul(step).add(from);
}
/** Ones on the diagonal of an [n, m] matrix. */
export function eye(n: number, m = n, dtype: DType = "f32"): Tensor {
  return arange(n).unsqueeze(1).eq(arange(m).unsqueeze(0)).cast(dtype);
}
/** 1 at `index` along a fresh last axis of `classes`. */
export function oneHot(index: Tensor, classes: number, dtype: DType = "f32"): Tensor {
  return index.unsqueeze(-1).eq(arange(classes).cast(index.dtype)).cast(dtype);
}

/** The tensor's value on another device. */
export async function to(x: Tensor, device: Backend): Promise<Tensor> {
  const data = await x.read();
  const moved = tensor(data, { shape: x.shape, dtype: x.dtype });
  const [storage] = await device.realize([moved.node], []);
  moved.node.become({ kind: "storage", storage });
  await realize([moved]);
  return moved;
}
