/**
 * Runs a `Lowering` alone on the adapter that GPU tests run on.
 *
 * Kernel tests and benchmarks use it below the engine, so that a kernel is held to its own contract (bindings, sizes,
 * scratch of undefined content) and not to what a planner happens to do with it.
 */
import { adapterName } from "../../src/device/webgpu/gpu/describe.ts";
import { requestAdapter } from "../../src/device/webgpu/gpu/adapter.ts";
import type { AdapterProfile, Lowering } from "../../src/shaders/kernel.ts";
import { testAdapter } from "../environments/test-gpu.ts";

export interface Runner {
  /** Held because Dawn frees its instance, with every device of it, once this object is collected. */
  readonly gpu: GPU;
  readonly device: GPUDevice;
  /** Adapter and runtime, for example `Dawn / SwiftShader Device`. */
  readonly title: string;
}

const isDeno = "Deno" in globalThis;

/** A profile of the given kind with the limits of the WebGPU specification (what every adapter has). */
export function testProfile(kind: "cpu" | "gpu", overrides: Partial<AdapterProfile> = {}): AdapterProfile {
  return {
    kind,
    maxStorageBuffers: 10,
    maxInvocations: 256,
    maxWorkgroupBytes: 16384,
    maxBindingBytes: 128 << 20,
    subgroups: false,
    f16: false,
    ...overrides,
  };
}

let opened: Promise<Runner> | undefined;

/** The one device of this process, with the adapter's maximum storage-buffer and workgroup limits. */
export function openRunner(): Promise<Runner> {
  opened ??= open();
  return opened;
}

async function open(): Promise<Runner> {
  if (!isDeno) Object.assign(globalThis, (await import("webgpu")).globals);
  const { gpu, adapter, info } = await requestAdapter({ adapter: testAdapter });
  const device = await adapter.requestDevice({
    requiredLimits: {
      maxStorageBuffersPerShaderStage: Math.min(adapter.limits.maxStorageBuffersPerShaderStage, 10),
      maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
      maxBufferSize: adapter.limits.maxBufferSize,
      maxComputeInvocationsPerWorkgroup: adapter.limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: adapter.limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize,
    },
  });
  return { gpu, device, title: `${isDeno ? "Deno" : "Dawn"} / ${adapterName(info)}` };
}

/** Resolves when `pending` does, without Dawn's busy wait (which steals a core from a software driver). */
export async function settle<T>(pending: Promise<T>): Promise<T> {
  if (isDeno) return pending;
  let done = false;
  const watched = pending.finally(() => (done = true));
  watched.catch(() => undefined);
  const cell = new Int32Array(new SharedArrayBuffer(4));
  while (!done) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!done) Atomics.wait(cell, 0, 0, 0.5);
  }
  return watched;
}

const bytes = (elements: number): number => Math.max(4, elements * 4);

/** A compiled lowering with its buffers: `write` inputs, `submit` any number of times, `read` outputs. */
export class LoadedLowering {
  private readonly inputs: GPUBuffer[];
  private readonly outputs: GPUBuffer[];
  private readonly scratch: GPUBuffer[];
  private readonly steps: { pipeline: GPUComputePipeline; group: GPUBindGroup; size: readonly number[] }[] = [];

  private constructor(
    readonly runner: Runner,
    readonly lowering: Lowering,
    inputSizes: readonly number[],
    readonly outputSizes: readonly number[],
  ) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = (elements: number): GPUBuffer => runner.device.createBuffer({ size: bytes(elements), usage });
    this.inputs = inputSizes.map(buffer);
    this.outputs = outputSizes.map(buffer);
    this.scratch = lowering.scratch.map((spec) => buffer(spec.shape.reduce((a, b) => a * b, 1)));
    // Scratch and outputs start as NaN: a kernel that reads or skips what it should have written shows.
    for (const target of [...this.outputs, ...this.scratch]) {
      const words = Math.min(target.size / 4, 1 << 22);
      runner.device.queue.writeBuffer(target, 0, new Uint32Array(words).fill(0x7fc00000));
    }
  }

  /** Compiles; throws with the kernel's name and the compiler's message when the text is not valid. */
  static async load(
    runner: Runner,
    lowering: Lowering,
    inputSizes: readonly number[],
    outputSizes: readonly number[],
  ): Promise<LoadedLowering> {
    const { device } = runner;
    const loaded = new LoadedLowering(runner, lowering, inputSizes, outputSizes);
    for (const kernel of lowering.kernels) {
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ code: kernel.wgsl });
      const layout = device.createBindGroupLayout({
        entries: kernel.bindings.map((b, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: b.access === "read" ? "read-only-storage" : "storage" },
        })),
      });
      const pipeline = device.createComputePipeline({
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      const group = device.createBindGroup({
        layout,
        entries: kernel.bindings.map((b, binding) => {
          const pool = b.role === "in" ? loaded.inputs : b.role === "out" ? loaded.outputs : loaded.scratch;
          if (pool[b.index] === undefined) throw new Error(`${kernel.name}: no buffer ${b.role} ${b.index}`);
          return { binding, resource: { buffer: pool[b.index] } };
        }),
      });
      const error = await settle(device.popErrorScope());
      if (error) throw new Error(`${kernel.name}: ${error.message}\n${kernel.wgsl}`);
      loaded.steps.push({ pipeline, group, size: kernel.workgroups });
    }
    return loaded;
  }

  write(inputs: readonly Float32Array[]): void {
    inputs.forEach((data, i) => {
      if (data.length > 0) this.runner.device.queue.writeBuffer(this.inputs[i], 0, data as Float32Array<ArrayBuffer>);
    });
  }

  /** Encodes the whole lowering `times` times in one submit. */
  submit(times = 1): void {
    const encoder = this.runner.device.createCommandEncoder();
    for (let n = 0; n < times; n++) {
      const pass = encoder.beginComputePass();
      for (const step of this.steps) {
        pass.setPipeline(step.pipeline);
        pass.setBindGroup(0, step.group);
        pass.dispatchWorkgroups(step.size[0], step.size[1], step.size[2]);
      }
      pass.end();
    }
    this.runner.device.queue.submit([encoder.finish()]);
  }

  async read(): Promise<Float32Array[]> {
    const { device } = this.runner;
    const results: Float32Array[] = [];
    for (let i = 0; i < this.outputs.length; i++) {
      const size = this.outputs[i].size;
      const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.outputs[i], 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await settle(staging.mapAsync(GPUMapMode.READ));
      results.push(new Float32Array(staging.getMappedRange().slice(0)).slice(0, this.outputSizes[i]));
      staging.destroy();
    }
    return results;
  }

  /** Milliseconds of one run: the best of `rounds`, each long enough to time. */
  async time(rounds: number, times = 1): Promise<number> {
    let best = Infinity;
    for (let round = 0; round < rounds; round++) {
      const start = performance.now();
      this.submit(times);
      await settle(this.runner.device.queue.onSubmittedWorkDone());
      best = Math.min(best, (performance.now() - start) / times);
    }
    return best;
  }

  destroy(): void {
    for (const buffer of [...this.inputs, ...this.outputs, ...this.scratch]) buffer.destroy();
  }
}

/** Loads, runs once and reads the outputs. */
export async function runLowering(
  lowering: Lowering,
  inputs: readonly Float32Array[],
  outputSizes: readonly number[],
): Promise<Float32Array[]> {
  const sizes = inputs.map((data) => data.length);
  const loaded = await LoadedLowering.load(await openRunner(), lowering, sizes, outputSizes);
  loaded.write(inputs);
  loaded.submit();
  const results = await loaded.read();
  loaded.destroy();
  return results;
}
