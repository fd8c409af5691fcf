/**
 * What the kernels of a fused op are held to: the op's own decomposition, evaluated in float64 by the reference device.
 */
import assert from "node:assert/strict";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import * as build from "../../src/tensor/build.ts";
import type { FusedOp, ValueSpec } from "../../src/tensor/fused.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

/** A leaf of float64 values, which the reference device keeps as they are. */
export function leaf({ shape, dtype }: ValueSpec, data: Float64Array): Tensor {
  assert.equal(data.length, sizeOf(shape), `${data.length} values of a leaf [${shape.join(", ")}]`);
  return new Tensor(build.makeNode({ kind: "data", data }, [], shape, dtype));
}

/** Values in float64. */
export async function float64(tensors: readonly Tensor[]): Promise<Float64Array[]> {
  const device = new ReferenceDevice();
  const storages = await device.realize(
    tensors.map((t) => t.node),
    [],
  );
  return Promise.all(storages.map(async (s) => (await device.read(s)) as Float64Array));
}

/** The results of an op's decomposition in float64; `specs` and `operands` are those of its inputs. */
export function decomposed<A extends object>(
  op: FusedOp<A>,
  specs: readonly ValueSpec[],
  attrs: A,
  operands: readonly Float64Array[],
): Promise<Float64Array[]> {
  assert.equal(operands.length, specs.length, `${op.name}: operands`);
  const results = op.decompose(
    specs.map((spec, i) => leaf(spec, operands[i])),
    attrs,
  );
  assert.deepEqual(
    results.map((t) => t.shape),
    op.outputs(specs, attrs).map((s) => s.shape),
  );
  return float64(results);
}

/** Operands of one pass and what kernels must give, in the order of the op's inputs and outputs. */
export interface Pass {
  readonly inputs: readonly Float32Array[];
  /** Names and numbers of elements of the outputs. */
  readonly names: readonly string[];
  readonly sizes: readonly number[];
  readonly expected: readonly Float64Array[];
}

/** A pass of `op`: the operands as kernels read them, and the decomposition's results. */
export async function passOf<A extends object>(
  op: FusedOp<A>,
  specs: readonly ValueSpec[],
  attrs: A,
  operands: readonly Float64Array[],
  names: readonly string[],
): Promise<Pass> {
  const expected = await decomposed(op, specs, attrs, operands);
  assert.equal(names.length, expected.length, `${op.name}: names of outputs`);
  const inputs = operands.map((data) => Float32Array.from(data));
  return { inputs, names, sizes: expected.map((data) => data.length), expected };
}

/** How close float32 results must come. */
export interface Closeness {
  /** Largest error, as a part of the scale; default 1e-5. */
  readonly bound?: number;
  /** What the scale is the largest magnitude of; default the expected values. */
  readonly terms?: Float64Array;
  /** The least scale; default 1e-30. */
  readonly least?: number;
}

/** Asserts that no element is further from the expected one than `bound` of the scale. */
export function assertNear(
  what: string,
  actual: Float32Array,
  expected: Float64Array,
  { bound = 1e-5, terms = expected, least = 1e-30 }: Closeness = {},
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = terms.reduce((most, x) => Math.max(most, Math.abs(x)), least);
  expected.forEach((x, i) => {
    const error = Math.abs(actual[i] - x) / scale;
    assert.ok(error <= bound, `${what}[${i}] is ${actual[i]}, expected ${x} (error ${error} of scale ${scale})`);
  });
}
