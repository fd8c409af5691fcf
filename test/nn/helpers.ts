/** What the tests of layers share: devices, values, and plain loops to compare with. */
import { test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { tensor } from "../../src/tensor/create.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Draw } from "../support/draw.ts";
import { property } from "../support/helpers.ts";

/** Runs `body` with a fresh reference device as the default. */
export async function onReference<T>(body: () => Promise<T>): Promise<T> {
  setDefaultDevice(new ReferenceDevice());
  try {
    return await body();
  } finally {
    setDefaultDevice(undefined);
  }
}

/** A property on random draws, on the reference device. */
export function holds(name: string, runs: number, body: (draw: Draw) => Promise<void>): void {
  test(name, () => property(runs, (draw) => onReference(() => body(draw))));
}

/** A test with each of the devices as the default; `gpu` is asked for when the test runs. */
export function onEach(name: string, gpu: () => WebGpuDevice, body: (device: Backend) => Promise<void>): void {
  test(name, async () => {
    const cpu = await CpuDevice.open({ threads: 2 });
    for (const device of [new ReferenceDevice(), gpu(), cpu]) {
      setDefaultDevice(device);
      try {
        await body(device);
      } catch (error) {
        throw new Error(`on ${device.name}: ${(error as Error).message}`, { cause: error });
      } finally {
        setDefaultDevice(undefined);
      }
    }
    cpu.close();
  });
}

/** Values in (−1, 1) that f32 holds exactly, as f64. */
export function drawn(draw: Draw, shape: readonly number[]): Tensor {
  return tensor(
    Float64Array.from({ length: sizeOf(shape) }, () => Math.fround(2 * draw.unit() - 1)),
    { shape, dtype: "f64" },
  );
}
