/**
 * What every environment must do with a `Gpu`, as one function that returns plain data: kernels, copies, reads, errors
 * and loss. The same file is run under Node, by Deno and, bundled, in a browser; the caller compares the result.
 */
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import { DeviceLostError, KernelError } from "../../src/device/webgpu/gpu/errors.ts";
import type { GpuOptions } from "../../src/device/webgpu/gpu/gpu.ts";
import { Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import { affine, counting, dispatch } from "../device/kernels.ts";

export interface SmokeResult {
  /** Names of the adapter, for the log. */
  readonly adapter: string;
  readonly isSoftware: boolean;
  /** Largest difference from the expected result of two kernels and a copy. */
  readonly error: number;
  /** Submits and bind groups of a replayed step. */
  readonly replay: { readonly submits: number; readonly bindGroups: number; readonly buffers: number };
  /** Message of a kernel that does not compile. */
  readonly compileError: string;
  readonly compileErrorIsKernelError: boolean;
  /** Dispatches timed, or -1 without timestamp-query. */
  readonly timed: number;
  readonly lossIsDeviceLostError: boolean;
  /** A second device after the loss of the first computes the same. */
  readonly reopened: boolean;
}

const COUNT = 1000;
const BYTES = COUNT * 4;

async function largestError(gpu: Gpu): Promise<number> {
  const [a, b, c] = [gpu.acquire(BYTES), gpu.acquire(BYTES), gpu.acquire(BYTES)];
  gpu.write(a, 0, counting(COUNT));
  const [bytes] = await gpu.readAfter(
    [
      await dispatch(gpu, affine(3), [a, b], COUNT),
      await dispatch(gpu, affine(5), [b, c], COUNT),
      { kind: "copy", from: a, fromOffset: 0, to: c, toOffset: 2000, bytes: 400 },
    ],
    [{ buffer: c, offset: 0, bytes: BYTES }],
  );
  const expected = counting(COUNT).map((value) => 5 * (3 * value + 1) + 1);
  expected.set(counting(100), 500);
  // The pool hands out what came back last first: so the next call gets the same buffers in the same order.
  for (const buffer of [c, b, a]) gpu.release(buffer);
  return Math.max(...new Uint32Array(bytes!).map((value, i) => Math.abs(value - expected[i]!)));
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Runs through a `Gpu`'s life. */
export async function smoke(options: GpuOptions = {}): Promise<SmokeResult> {
  const gpu = await Gpu.open(options);
  const error = await largestError(gpu);
  const before = gpu.snapshot();
  await largestError(gpu);
  const done = difference(gpu.snapshot(), before);
  const wrong = affine(2).wgsl.replace("2u *", "2.5f *");
  const compileError = await rejection(gpu.pipeline({ ...affine(2), name: "wrong", wgsl: wrong }));
  let timed = -1;
  if (gpu.device.features.has("timestamp-query")) {
    gpu.timing = true;
    await largestError(gpu);
    gpu.timing = false;
    timed = (await gpu.kernelTimes()).reduce((sum, { count }) => sum + count, 0);
  }
  const buffer = gpu.acquire(BYTES);
  gpu.device.destroy();
  const loss = await rejection(gpu.read(buffer, 0, 4));
  gpu.close();
  const again = await Gpu.open(options);
  const reopened = (await largestError(again)) === 0;
  again.close();
  const { vendor, architecture, device, description, isSoftware } = gpu.info;
  return {
    adapter: `${vendor} ${architecture} ${device} ${description}`,
    isSoftware,
    error,
    replay: { submits: done.submits, bindGroups: done.bindGroupsCreated, buffers: done.buffersCreated },
    compileError: (compileError as Error | undefined)?.message ?? "",
    compileErrorIsKernelError: compileError instanceof KernelError,
    timed,
    lossIsDeviceLostError: loss instanceof DeviceLostError,
    reopened,
  };
}
