/**
 * One plain loop an op, in float64: the meaning of every node kind, and the oracle of every test.
 *
 * Nothing is fused or reordered. Floating dtypes are all computed and kept in double precision; integers wrap at 32
 * bits; bools are 0 and 1.
 */
import { checkBounds } from "../../tensor/bounds.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import { castValue, isFloat } from "../../tensor/dtype.ts";
import { elementwise, hostForm } from "../../tensor/elementwise.ts";
import type { Node, ReduceName } from "../../tensor/node.ts";
import { threefry2x32 } from "../../tensor/threefry.ts";
import { contiguousStrides, sizeOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";

/** The array a value of `dtype` is kept in here. */
export function valueArray(dtype: DType, length: number): HostArray {
  if (isFloat(dtype)) return new Float64Array(length);
  if (dtype === "i32") return new Int32Array(length);
  if (dtype === "u32") return new Uint32Array(length);
  return new Uint8Array(length);
}

/** Calls `visit(flat, index)` for every position of `shape`, in row-major order. The index array is reused. */
function forEachIndex(shape: Shape, visit: (flat: number, index: readonly number[]) => void): void {
  const size = sizeOf(shape);
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < size; flat++) {
    visit(flat, index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

/** The value of `node` from those of its inputs. Leaves that live outside the graph are not handled here. */
export function evaluate(node: Node, inputs: readonly HostArray[]): HostArray {
  const op = node.op;
  const size = sizeOf(node.shape);
  const out = valueArray(node.dtype, size);
  const x = inputs[0];
  /** Reads the first input at an index of its own, or gives 0 where `at` says there is none. */
  const viewOf = (at: (index: readonly number[]) => number) => {
    forEachIndex(node.shape, (flat, index) => {
      const from = at(index);
      out[flat] = from < 0 ? 0 : x[from];
    });
    return out;
  };
  const inShape = node.inputs[0]?.shape ?? [];
  const inStrides = contiguousStrides(inShape);

  switch (op.kind) {
    case "full":
      return out.fill(op.value);
    case "iota":
      for (let i = 0; i < size; i++) out[i] = i;
      return out;
    case "bits":
      // A block of the generator is two words.
      for (let i = 0; i < size; i += 2) {
        const [even, odd] = threefry2x32(x[0], x[1], i >>> 1, x[2]);
        out[i] = even;
        if (i + 1 < size) out[i + 1] = odd;
      }
      return out;
    case "elementwise": {
      const f = hostForm(elementwise(op.name), node.inputs[node.inputs.length - 1].dtype);
      const [a, b, c] = [inputs[0], inputs[1] ?? inputs[0], inputs[2] ?? inputs[0]];
      for (let i = 0; i < size; i++) out[i] = f(a[i], b[i], c[i]);
      return out;
    }
    case "cast":
      for (let i = 0; i < size; i++) out[i] = castValue(x[i], node.inputs[0].dtype, node.dtype);
      return out;
    case "reduce":
      return reduce(op.name, x, inShape, op.axes, out);
    case "matmul":
      return matmul(inputs[0], inputs[1], node.inputs[0].shape, node.inputs[1].shape, out as Float64Array);
    case "gather": {
      const last = inShape[op.axis] - 1;
      forEachIndex(node.shape, (flat, index) => {
        let from = 0;
        for (let a = 0; a < index.length; a++) {
          from += inStrides[a] * (a === op.axis ? Math.min(Math.max(inputs[1][flat], 0), last) : index[a]);
        }
        out[flat] = x[from];
      });
      return out;
    }
    case "concat": {
      const offsets: number[] = [];
      let total = 0;
      for (const input of node.inputs) {
        offsets.push(total);
        total += input.shape[op.axis];
      }
      const strides = node.inputs.map((n) => contiguousStrides(n.shape));
      forEachIndex(node.shape, (flat, index) => {
        let part = node.inputs.length - 1;
        while (index[op.axis] < offsets[part]) part--;
        let from = 0;
        for (let a = 0; a < index.length; a++)
          from += strides[part][a] * (a === op.axis ? index[a] - offsets[part] : index[a]);
        out[flat] = inputs[part][from];
      });
      return out;
    }
    case "inBounds":
      checkBounds(x, op.bounds);
      return x;
    case "reshape":
    case "contiguous":
    case "alias":
    case "detach":
      out.set(x as Float64Array);
      return out;
    case "permute":
      return viewOf((index) => index.reduce((sum, i, axis) => sum + i * inStrides[op.order[axis]], 0));
    case "expand":
      if (x.length === 1) return out.fill(x[0]);
      return viewOf((index) =>
        index.reduce((sum, i, axis) => sum + (inShape[axis] === 1 ? 0 : i) * inStrides[axis], 0),
      );
    case "slice":
      return viewOf((index) => index.reduce((sum, i, a) => sum + (op.start[a] + i * op.step[a]) * inStrides[a], 0));
    case "pad":
      return viewOf((index) => {
        let from = 0;
        for (let a = 0; a < index.length; a++) {
          const shifted = index[a] - op.low[a];
          const i = shifted / op.step[a];
          if (shifted < 0 || !Number.isInteger(i) || i >= inShape[a]) return -1;
          from += i * inStrides[a];
        }
        return from;
      });
    case "window":
      return viewOf((index) => {
        const place = index[index.length - 1];
        let from = 0;
        for (let a = 0; a < inShape.length; a++) {
          from += inStrides[a] * (a === op.axis ? index[a] * op.stride + place * op.dilation : index[a]);
        }
        return from;
      });
    case "unwindow":
      return viewOf((index) => {
        const place = index[index.length - 1];
        const t = (index[op.axis] - place * op.dilation) / op.stride;
        if (t < 0 || !Number.isInteger(t) || t >= inShape[op.axis]) return -1;
        let from = 0;
        for (let a = 0; a < index.length; a++) from += inStrides[a] * (a === op.axis ? t : index[a]);
        return from;
      });
    default:
      throw new Error(`internal: the reference device cannot evaluate "${op.kind}"`);
  }
}

const COMBINE: Record<ReduceName, (a: number, b: number) => number> = {
  sum: (a, b) => a + b,
  prod: (a, b) => a * b,
  max: Math.max,
  min: Math.min,
};

function reduce(name: ReduceName, x: HostArray, shape: Shape, axes: readonly number[], out: HostArray): HostArray {
  const kept = shape.map((n, i) => (axes.includes(i) ? 1 : n));
  const strides = contiguousStrides(kept).map((s, i) => (axes.includes(i) ? 0 : s));
  const started = new Uint8Array(out.length);
  const combine = name === "prod" && !(x instanceof Float64Array) ? Math.imul : COMBINE[name];
  if (out.length === 1 && x.length > 0) {
    let value = x[0];
    for (let i = 1; i < x.length; i++) out[0] = value = combine(value, x[i]);
    out[0] = value;
    return out;
  }
  forEachIndex(shape, (flat, index) => {
    let to = 0;
    for (let a = 0; a < index.length; a++) to += index[a] * strides[a];
    out[to] = started[to] ? combine(out[to], x[flat]) : x[flat];
    started[to] = 1;
  });
  return out;
}

function matmul(a: HostArray, b: HostArray, aShape: Shape, bShape: Shape, out: Float64Array): Float64Array {
  const [m, k] = aShape.slice(-2);
  const n = bShape[bShape.length - 1];
  const batches = sizeOf(aShape.slice(0, -2));
  for (let batch = 0; batch < batches; batch++) {
    for (let i = 0; i < m; i++) {
      const row = (batch * m + i) * n;
      for (let p = 0; p < k; p++) {
        const factor = a[(batch * m + i) * k + p];
        const from = (batch * k + p) * n;
        for (let j = 0; j < n; j++) out[row + j] += factor * b[from + j];
      }
    }
  }
  return out;
}
