/**
 * What `console.log(tensor)` shows: dtype, shape, device, and the values that are there.
 *
 * Nothing is computed for it: values are shown where they lie on the host or in memory that the host can read at once.
 */
import type { Storage } from "../backend.ts";
import type { HostArray } from "../dtype.ts";
import { formatShape, sizeOf } from "../shape.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** Elements of an axis shown at each end of a long one. */
const EDGE = 3;
/** Axes up to this size are shown whole. */
const WHOLE = 8;

/** `Tensor(f32[2, 3])`, or the name of a variable with it. */
export function labelTensor(x: Tensor): string {
  return `${kindOf(x)}(${nameOf(x)}${x.dtype}${formatShape(x.shape)})`;
}

export function describeTensor(x: Tensor): string {
  const { device, values } = whereabouts(x);
  const shown = values ? formatValues(values, x.shape, x.dtype === "bool") : undefined;
  const inside = `${nameOf(x)}${x.dtype}${formatShape(x.shape)}${device ? ` on ${device}` : ""}`;
  return `${kindOf(x)}(${inside}${shown === undefined ? "" : `: ${shown}`})`;
}

const kindOf = (x: Tensor) => ("state" in x ? "Variable" : "Tensor");
const nameOf = (x: Tensor) => ("name" in x ? `${String(x.name)}: ` : "");

interface Whereabouts {
  /** A device, or what is the case where the tensor lies on none. */
  readonly device?: string;
  readonly values?: ArrayLike<number>;
}

function whereabouts(x: Tensor): Whereabouts {
  const { op } = x.node;
  switch (op.kind) {
    case "data":
      return op.refresh ? { device: "the host" } : { device: "the host", values: op.data };
    case "full":
      return { device: "the host", values: new RepeatedValue(op.value, sizeOf(x.shape)) as ArrayLike<number> };
    case "storage":
      return { device: op.storage.device.name, values: peek(op.storage) };
    case "variable": {
      const { storage, device, version } = op.variable;
      if (storage && version === op.version) return { device: storage.device.name, values: peek(storage) };
      return { device: device?.name };
    }
    default:
      return { device: "no device yet" };
  }
}

function peek(storage: Storage): HostArray | undefined {
  try {
    return storage.device.peek?.(storage);
  } catch {
    // Disposed of: there is nothing to show, and showing must not throw.
    return undefined;
  }
}

/** One value, as an array of `length`. */
class RepeatedValue {
  [index: number]: number;
  constructor(
    readonly value: number,
    readonly length: number,
  ) {}
}

function formatValues(values: ArrayLike<number>, shape: Shape, bool: boolean): string {
  const at = (i: number) => {
    const value = values instanceof RepeatedValue ? values.value : values[i];
    return bool ? String(value !== 0) : formatNumber(value);
  };
  const nest = (axis: number, from: number): string => {
    if (axis === shape.length) return at(from);
    const stride = sizeOf(shape.slice(axis + 1));
    const size = shape[axis];
    const items: string[] = [];
    for (let i = 0; i < size; i++) {
      if (size > WHOLE && i === EDGE) {
        items.push("…");
        i = size - EDGE;
      }
      items.push(nest(axis + 1, from + i * stride));
    }
    return `[${items.join(", ")}]`;
  };
  return nest(0, 0);
}

function formatNumber(value: number): string {
  if (Object.is(value, -0)) return "-0";
  return String(Number.isInteger(value) || !Number.isFinite(value) ? value : Number(value.toPrecision(6)));
}
