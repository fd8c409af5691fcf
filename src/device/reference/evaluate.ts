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

/**
 * Calls `visit(flat, place)` for every position of `shape`, in row-major order: `flat` counts them, `place` is `start` at
 * the first and moves by `strides[axis]` with each step along an axis.
 */
function walk(
  shape: Shape,
  start: number,
  strides: readonly number[],
  visit: (flat: number, place: number) => void,
): void {
  const size = sizeOf(shape);
  const index = new Array<number>(shape.length).fill(0);
  let place = start;
  for (let flat = 0; flat < size; flat++) {
    visit(flat, place);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += strides[axis];
      if (++index[axis] < shape[axis]) break;
      place -= index[axis] * strides[axis];
      index[axis] = 0;
    }
  }
}

/** Where the element at these indices stands. */
const placeAt = (index: readonly number[], strides: readonly number[]): number =>
  index.reduce((sum, i, axis) => sum + i * strides[axis], 0);

/** The value of `node` from those of its inputs. Leaves that live outside the graph are not handled here. */
export function evaluate(node: Node, inputs: readonly HostArray[]): HostArray {
  const op = node.op;
  const size = sizeOf(node.shape);
  const out = valueArray(node.dtype, size);
  const x = inputs[0];
  /** Every element is the first input's at a place that moves with the index. */
  const viewOf = (start: number, strides: readonly number[]) => {
    walk(node.shape, start, strides, (flat, place) => (out[flat] = x[place]));
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
      const stride = inStrides[op.axis];
      const others = inStrides.map((s, axis) => (axis === op.axis ? 0 : s));
      walk(node.shape, 0, others, (flat, place) => {
        out[flat] = x[place + stride * Math.min(Math.max(inputs[1][flat], 0), last)];
      });
      return out;
    }
    case "concat": {
      const strides = contiguousStrides(node.shape);
      let start = 0;
      node.inputs.forEach(({ shape }, part) => {
        walk(shape, start, strides, (flat, place) => (out[place] = inputs[part][flat]));
        start += shape[op.axis] * strides[op.axis];
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
      return viewOf(
        0,
        op.order.map((axis) => inStrides[axis]),
      );
    case "expand":
      if (x.length === 1) return out.fill(x[0]);
      return viewOf(
        0,
        inStrides.map((s, axis) => (inShape[axis] === 1 ? 0 : s)),
      );
    case "slice":
      return viewOf(
        placeAt(op.start, inStrides),
        inStrides.map((s, axis) => s * op.step[axis]),
      );
    case "pad": {
      const strides = contiguousStrides(node.shape);
      const apart = strides.map((s, axis) => s * op.step[axis]);
      walk(inShape, placeAt(op.low, strides), apart, (flat, place) => (out[place] = x[flat]));
      return out;
    }
    case "window":
      return viewOf(0, [
        ...inStrides.map((s, axis) => (axis === op.axis ? s * op.stride : s)),
        inStrides[op.axis] * op.dilation,
      ]);
    case "unwindow": {
      const strides = contiguousStrides(node.shape);
      const apart = strides.map((s, axis) => (axis === op.axis ? s * op.stride : s));
      apart[apart.length - 1] += strides[op.axis] * op.dilation;
      const past = (inShape[op.axis] - 1) * op.stride + (inShape[inShape.length - 1] - 1) * op.dilation;
      if (past >= node.shape[op.axis]) throw new Error("internal: windows reach beyond the axis they were taken of");
      walk(inShape, 0, apart, (flat, place) => (out[place] = x[flat]));
      return out;
    }
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
  walk(shape, 0, strides, (flat, to) => {
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
