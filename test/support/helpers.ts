/**
 * What the engine's tests share: properties with a printed seed, the test devices, and the two comparisons that every op
 * is held to (reverse mode with finite differences; a device with the reference device).
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { gradients } from "../../src/autograd/grad.ts";
import { gradcheck } from "../../src/testing/gradcheck.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { WebGpuOptions } from "../../src/device/webgpu/webgpu-device.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import * as build from "../../src/tensor/build.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import { formatShape } from "../../src/tensor/shape.ts";
import { readValues } from "../../src/tensor/program/realize.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { testAdapter } from "../environments/test-gpu.ts";
import { Draw } from "./draw.ts";
import type { LeafData } from "./draw.ts";

/** HICO_RUNS multiplies the runs of every property. */
const MORE = Number(process.env.HICO_RUNS ?? 1);
/** HICO_SEED repeats a failed run: fast-check prints it as `seed`. */
const SEED = process.env.HICO_SEED === undefined ? undefined : Number(process.env.HICO_SEED);

/** Runs `body` on random draws. On failure fast-check's message gives the seed and the draw's number. */
export async function property(runs: number, body: (draw: Draw) => Promise<void> | void): Promise<void> {
  const numbers = fc.noBias(fc.noShrink(fc.integer({ min: 0, max: 0x7fffffff })));
  const checked = fc.asyncProperty(numbers, async (seed) => body(new Draw(seed)));
  try {
    await fc.assert(checked, {
      numRuns: Math.max(1, Math.round(runs * MORE)),
      ...(SEED === undefined ? {} : { seed: SEED }),
    });
  } catch (error) {
    // What was wrong stands in the cause, which test reporters leave out.
    const { message, cause } = error as Error;
    throw new Error(`${message}\n${cause instanceof Error ? cause.message : ""}`, { cause });
  }
}

/** A WebGPU device on the test adapter. `profile: "gpu"` takes the kernels meant for real GPUs. The caller closes it. */
export const openTestDevice = (options: WebGpuOptions = {}): Promise<WebGpuDevice> =>
  WebGpuDevice.open({ adapter: testAdapter, ...options });

/** The devices that compute in float32: WebGPU on the test adapter, and cpu with three threads. The caller closes them. */
export async function openTestDevices(): Promise<[WebGpuDevice, CpuDevice]> {
  return [await openTestDevice(), await CpuDevice.open({ threads: 3 })];
}

/** One op on drawn operands. */
export interface OpCase {
  /** Shown when it fails: the op and its arguments. */
  readonly name: string;
  readonly leaves: readonly LeafData[];
  readonly f: (...tensors: Tensor[]) => Tensor | readonly Tensor[];
  /** Largest error of values on a float32 device; default 1e-5. */
  readonly bound?: number;
  /** Of gradients; default four times `bound`. */
  readonly gradientBound?: number;
  /** Whether errors are relative to max(1, |value|), or to the largest |value| of the tensor (default). */
  readonly each?: boolean;
  /** Whether second derivatives exist; default true. */
  readonly twice?: boolean;
  /** Leaves that gradients are taken of; default all floating ones. */
  readonly differentiable?: boolean;
}

export function leafTensor({ data, shape, dtype }: LeafData): Tensor {
  return new Tensor(build.makeNode({ kind: "data", data }, [], shape, dtype));
}

function describeCase({ name, leaves }: OpCase): string {
  return `${name} of ${leaves.map((l) => l.dtype + formatShape(l.shape)).join(", ")}`;
}

/** Reverse mode against central differences, to 1e-6 relative. */
export async function gradientsAgree(c: OpCase): Promise<void> {
  const leaves = c.leaves.map(leafTensor);
  if (!leaves.some((t) => isFloat(t.dtype) && t.size > 0)) return;
  const result = c.f(...leaves);
  const outputs = result instanceof Tensor ? [result] : result;
  if (!outputs.some((t) => isFloat(t.dtype) && t.size > 0)) return;
  try {
    await gradcheck(c.f, leaves, { order: c.twice === false ? 1 : 2, rtol: 1e-6, atol: 2e-7, samples: 12 });
  } catch (error) {
    throw new Error(`${describeCase(c)}: ${(error as Error).message}`, { cause: error });
  }
}

interface Wanted {
  readonly label: string;
  readonly node: Tensor["node"];
  readonly bound: number;
  readonly each: boolean;
}

/** Values and gradients of all cases, computed by each device in one plan, against the reference device's. */
export async function devicesAgree(devices: Backend | readonly Backend[], cases: readonly OpCase[]): Promise<void> {
  const wanted: Wanted[] = [];
  for (const c of cases) {
    const { bound = 1e-5, each = false } = c;
    const leaves = c.leaves.map(leafTensor);
    const result = c.f(...leaves);
    const outputs = result instanceof Tensor ? [result] : [...result];
    outputs.forEach((t, i) => wanted.push({ label: `${describeCase(c)}: output ${i}`, node: t.node, bound, each }));
    if (c.differentiable === false) continue;
    const floats = outputs.filter((t) => isFloat(t.dtype));
    const targets = leaves.filter((t) => isFloat(t.dtype));
    if (floats.length === 0 || targets.length === 0) continue;
    const draw = new Draw(floats.length);
    const seeds = floats.map((t) => leafTensor(draw.data(t.shape, { domain: [-1, 1], dtype: t.dtype })));
    gradients(floats, seeds, targets).forEach((t, i) => {
      wanted.push({
        label: `${describeCase(c)}: gradient ${i}`,
        node: t.node,
        bound: c.gradientBound ?? 4 * bound,
        each: false,
      });
    });
  }
  const nodes = wanted.map((w) => w.node);
  const reference = new ReferenceDevice();
  const expected = await valuesOf(reference, nodes);
  for (const device of [devices].flat()) {
    const found = await valuesOf(device, nodes);
    const failures = wanted.flatMap((w, i) => {
      const message = disagreement(found[i], expected[i], w.bound, w.each);
      return message ? [`${w.label} ${w.node.dtype}${formatShape(w.node.shape)}: ${message}`] : [];
    });
    const list = failures.slice(0, 12).join("\n");
    assert.equal(
      failures.length,
      0,
      `${device.name} and reference disagree on ${failures.length} of ${wanted.length}:\n${list}`,
    );
  }
}

/** Values of nodes on a device, in one plan. */
export async function valuesOf(device: Backend, nodes: readonly Tensor["node"][]): Promise<HostArray[]> {
  const storages = await device.realize(nodes, []);
  const values: HostArray[] = [];
  for (const storage of storages) values.push(await device.read(storage));
  for (const storage of storages) storage.dispose();
  return values;
}

/** Says where two arrays differ by more than the bound; integers and bools must be equal. */
export function disagreement(found: HostArray, expected: HostArray, bound: number, each: boolean): string | undefined {
  if (found.length !== expected.length) return `${found.length} elements instead of ${expected.length}`;
  const exact = !(found instanceof Float32Array || found instanceof Float64Array);
  let largest = 1;
  if (!each) for (const v of expected) if (Number.isFinite(v)) largest = Math.max(largest, Math.abs(v));
  let worst = -1;
  let excess = 0;
  for (let i = 0; i < found.length; i++) {
    if (Object.is(found[i], expected[i]) || found[i] === expected[i]) continue;
    const error = Math.abs(found[i] - expected[i]) / (each ? Math.max(1, Math.abs(expected[i])) : largest);
    if (exact || !(error <= bound)) {
      if (worst < 0 || error > excess) [worst, excess] = [i, error];
    }
  }
  return worst < 0
    ? undefined
    : `element ${worst} is ${found[worst]}, reference ${expected[worst]}, relative error ${excess.toExponential(2)}, bound ${bound}`;
}

/** Values of `t` as its device has them, as plain numbers: of the reference device in double precision. */
export async function numbers(t: Tensor): Promise<number[]> {
  return Array.from(await readValues(t));
}

/** Largest |difference| of two lists, relative to the larger scale. */
export function assertClose(found: ArrayLike<number>, expected: ArrayLike<number>, bound = 1e-6): void {
  const message = disagreement(
    Float64Array.from(found as number[]),
    Float64Array.from(expected as number[]),
    bound,
    false,
  );
  assert.equal(message, undefined, message);
}
