/**
 * `Gpu`: one WebGPU device with what a training engine needs around it, the same under Node, Deno and in browsers.
 *
 * Buffers come from a pool, pipelines and bind groups from caches, and a list of commands becomes one command encoder
 * and one submit. Nothing here knows of tensors. Errors of the device arrive late, so they are raised at the next use
 * of the `Gpu`, with the names of the kernels that were running.
 */
import type { AdapterProfile } from "../../../shaders/kernel.ts";
import { debugLevel, isDeno } from "../../environment.ts";
import type { AdapterOptions } from "./adapter.ts";
import { requestAdapter } from "./adapter.ts";
import type { BufferSlice } from "../bindings.ts";
import { BindGroupCache } from "../bindings.ts";
import type { GpuBuffer } from "./buffers.ts";
import { BufferPool } from "./buffers.ts";
import type { Counters } from "./counters.ts";
import { newGpuCounters, snapshot } from "./counters.ts";
import type { AdapterDescription } from "./describe.ts";
import { adapterName, profileOf, usefulFeatures, usefulLimits } from "./describe.ts";
import { DeviceLostError, GpuError, inFlight, KernelError } from "./errors.ts";
import { collectAfterSubmit, prepareCollection } from "../../garbage.ts";
import type { Pipeline, PipelineSource } from "./pipelines.ts";
import { PipelineCache } from "./pipelines.ts";
import type { ReadRequest, Staging } from "./readback.ts";
import { Readback } from "./readback.ts";
import type { GpuKernelTime } from "./timing.ts";
import { KernelTimer } from "./timing.ts";
import { tracer } from "../../trace.ts";
import { waitFor } from "./wait.ts";
import type { GPU, GPUBindGroup, GPUDevice, GPUSupportedLimits } from "../../../shaders/webgpu.ts";

/** Run a kernel over `workgroups` workgroups. A dispatch of no workgroups is left out. */
export interface DispatchCommand {
  readonly kind: "dispatch";
  /** For errors and times; the pipeline's name where absent. */
  readonly name?: string;
  readonly pipeline: Pipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  /** What it does, for `kernelTimes` to add up. */
  readonly work?: { readonly flops: number; readonly bytes: number };
}

/** Copy `bytes` bytes between buffers. Offsets and `bytes` are multiples of 4; the two buffers are different. */
interface CopyCommand {
  readonly kind: "copy";
  readonly from: GpuBuffer;
  readonly fromOffset: number;
  readonly to: GpuBuffer;
  readonly toOffset: number;
  readonly bytes: number;
}

export type Command = DispatchCommand | CopyCommand;

/** How to open a `Gpu`. */
export interface GpuOptions extends AdapterOptions {
  /** Bind groups remembered, default 4096. */
  readonly bindGroupCapacity?: number;
  /** Submits that `throttle` lets be under way at once, default 3. */
  readonly maxSubmitsInFlight?: number;
  /** Whether kernels are those meant for a real GPU or for a software driver; default: whichever the adapter is. */
  readonly profile?: AdapterProfile["kind"];
}

/** Deno looks only every 10 ms whether a submit is done. */
const SUBMITS_A_MARK = isDeno ? 8 : 1;

/** A WebGPU device. Open one with `Gpu.open`. */
export class Gpu {
  /** The adapter it runs on. */
  readonly info: AdapterDescription;
  /** What kernels may assume. */
  readonly profile: AdapterProfile;
  readonly device: GPUDevice;
  /** Measure each dispatch (see `kernelTimes`). On from the start when HICO_DEBUG is at least 2 and the adapter can. */
  timing: boolean;

  // Dawn stops when the object that made it is collected.
  readonly #gpu: GPU;
  readonly #counters = newGpuCounters();
  readonly #buffers: BufferPool;
  readonly #pipelines: PipelineCache;
  readonly #bindGroups: BindGroupCache;
  readonly #readback: Readback;
  readonly #maxInFlight: number;
  #timer: KernelTimer | undefined;
  #closed = false;
  #lost: DeviceLostError | undefined;
  /** The first error of a submit or an allocation that has not been raised yet. */
  #failure: GpuError | undefined;
  /** Called when the device is lost: whoever waits for it. */
  readonly #onLost = new Set<() => void>();
  /** Commands of submits that may not have finished, the oldest first. */
  readonly #inFlight: (readonly Command[])[] = [];
  /** Promises that some submits, and all before them, are done; in order. */
  readonly #marks: { readonly submits: number; readonly done: Promise<unknown> }[] = [];
  /** Submits after the last mark. */
  #unmarked = 0;
  readonly #compiling = new Set<string>();

  private constructor(gpu: GPU, device: GPUDevice, info: AdapterDescription, options: GpuOptions) {
    this.#gpu = gpu;
    this.device = device;
    this.info = info;
    const forSoftware = options.profile ? options.profile === "cpu" : info.isSoftware;
    this.profile = profileOf(forSoftware, device.limits, device.features);
    this.#maxInFlight = options.maxSubmitsInFlight ?? 3;
    this.#bindGroups = new BindGroupCache(device, this.#counters, options.bindGroupCapacity ?? 4096);
    this.#pipelines = new PipelineCache(device, this.#counters);
    this.#readback = new Readback(device);
    this.#buffers = new BufferPool(
      device,
      this.#counters,
      (buffer) => this.#bindGroups.forget(buffer),
      (failure) =>
        void failure.then((error) => {
          this.#failure ??= error;
        }),
    );
    this.timing = (debugLevel() >= 2 || tracer() !== undefined) && device.features.has("timestamp-query");
    void device.lost.then(({ reason, message }) => {
      this.#lost = new DeviceLostError(reason, message, this.#runningKernels());
      for (const tell of this.#onLost) tell();
    });
    device.addEventListener?.("uncapturederror", this.#onUncaptured);
  }

  /** An error that no call of ours waits for: the next call throws it. */
  readonly #onUncaptured = (event: GPUUncapturedErrorEvent): void => {
    event.preventDefault();
    this.#failure ??= new KernelError(
      `WebGPU error: ${event.error.message}; ${inFlight(this.#runningKernels())}`,
      this.#runningKernels(),
    );
  };

  /**
   * Opens a device with the adapter's own limits and its useful features.
   * @throws GpuError when no adapter fits the options or it gives no device.
   */
  static async open(options: GpuOptions = {}): Promise<Gpu> {
    await prepareCollection();
    const { gpu, adapter, info } = await requestAdapter(options);
    const requiredFeatures = usefulFeatures.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
    const requiredLimits = Object.fromEntries(
      usefulLimits.map((name) => [name, info.limits[name]]).filter(([, value]) => Number.isFinite(value)),
    );
    try {
      const device = await waitFor(adapter.requestDevice({ label: "hico", requiredFeatures, requiredLimits }));
      return new Gpu(gpu, device, info, options);
    } catch (error) {
      throw new GpuError(`adapter "${adapterName(info)}" gives no device: ${(error as Error).message}`, [], {
        cause: error,
      });
    }
  }

  /** The device's limits. */
  get limits(): GPUSupportedLimits {
    return this.device.limits;
  }

  /** What has been done so far; live numbers, so keep a `snapshot()` to compare with. */
  get counters(): Readonly<Counters> {
    return this.#counters;
  }

  /** A copy of the counters. */
  snapshot(): Counters {
    return snapshot(this.#counters);
  }

  /** True once the device is gone or `close` was called. */
  get isLost(): boolean {
    return this.#closed || this.#lost !== undefined;
  }

  /**
   * A storage buffer of at least `bytes` bytes from the pool. Its contents are undefined.
   * @throws OutOfMemoryError when it is over the adapter's limits. Memory that is used up is told by the next call.
   */
  acquire(bytes: number): GpuBuffer {
    this.#check();
    return this.#buffers.acquire(bytes);
  }

  /** Gives a buffer back to the pool; kernels already submitted may still be using it. Released once only. */
  release(buffer: GpuBuffer): void {
    // Whoever lets go of buffers after a loss or `close` has done nothing wrong.
    if (!this.isLost) this.#buffers.release(buffer);
  }

  /** Frees the buffers that are not in use. */
  trim(): void {
    this.#buffers.trim();
    this.#readback.trim();
  }

  /** The compiled kernel, from the cache when the same text was compiled before. @throws KernelError. */
  async pipeline(source: PipelineSource): Promise<Pipeline> {
    this.#check();
    this.#compiling.add(source.name);
    try {
      return await this.#guard(this.#pipelines.get(source));
    } finally {
      this.#compiling.delete(source.name);
    }
  }

  /** A bind group of the kernel's bindings in order, from the cache when it was made before. @throws KernelError. */
  bindGroup(pipeline: Pipeline, slices: readonly BufferSlice[]): GPUBindGroup {
    this.#check();
    return this.#bindGroups.get(pipeline, slices);
  }

  /** Bind groups remembered now. */
  get bindGroupsCached(): number {
    return this.#bindGroups.size;
  }

  /**
   * Runs the commands in order: one command encoder, one submit, one compute pass for each run of dispatches. Returns
   * at once. What WebGPU finds wrong with them is raised by the next call, as a KernelError naming these kernels.
   */
  submit(commands: readonly Command[]): void {
    this.#check();
    this.#submit(commands, []);
  }

  /**
   * Keeps a loop of submits from running ahead of the GPU: call it after each submit. Resolves when fewer than
   * `maxSubmitsInFlight` are unfinished (in Deno eight times as many, since there it costs a wait of 10 ms to learn
   * that a submit is done). @throws what has gone wrong meanwhile.
   */
  async throttle(): Promise<void> {
    this.#check();
    if (this.#unmarked >= SUBMITS_A_MARK) {
      const done = this.device.queue.onSubmittedWorkDone().catch(() => undefined);
      this.#marks.push({ submits: this.#unmarked, done });
      this.#unmarked = 0;
    }
    collectAfterSubmit();
    while (this.#marks.length >= this.#maxInFlight) {
      const { submits, done } = this.#marks[0]!;
      await this.#guard(done);
      this.#marks.shift();
      this.#inFlight.splice(0, submits);
    }
    if ((this.#timer?.pending ?? 0) > 32) await this.#timer!.collect((promise) => this.#guard(promise));
    this.#check();
  }

  /** Resolves when all submitted work is done. @throws what went wrong meanwhile. */
  async idle(): Promise<void> {
    this.#check();
    await this.#guard(this.device.queue.onSubmittedWorkDone());
    this.#finished();
    this.#check();
  }

  /**
   * Writes `data` into the buffer at `offset` (a multiple of 4), before any later submit. The last word is padded
   * with zero bytes when the length is no multiple of 4.
   */
  write(buffer: GpuBuffer, offset: number, data: ArrayBufferView): void {
    this.#check();
    const { byteLength } = data;
    if (byteLength === 0) return;
    const padded = Math.ceil(byteLength / 4) * 4;
    if (!Number.isInteger(offset) || offset < 0 || offset % 4 !== 0 || offset + padded > buffer.size) {
      throw new RangeError(
        `write: ${byteLength} bytes at offset ${offset} of buffer ${buffer.id} ` +
          `(${buffer.size} bytes); the range must lie inside the buffer and start at a multiple of 4`,
      );
    }
    let bytes = new Uint8Array(data.buffer, data.byteOffset, byteLength);
    // Dawn under Node crashes on a view of shared memory, and takes whole words only.
    if (padded !== byteLength || !(data.buffer instanceof ArrayBuffer)) {
      const copy = new Uint8Array(padded);
      copy.set(bytes);
      bytes = copy;
    }
    this.device.queue.writeBuffer(buffer.handle, offset, bytes as Uint8Array<ArrayBuffer>);
    this.#counters.bytesWritten += byteLength;
  }

  /** The bytes of a buffer's range, after all that was submitted before. `offset` is a multiple of 4. */
  async read(buffer: GpuBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    return (await this.readAfter([], [{ buffer, offset, bytes }]))[0]!;
  }

  /** Runs the commands and reads the ranges afterwards, all in one submit. */
  async readAfter(commands: readonly Command[], requests: readonly ReadRequest[]): Promise<ArrayBuffer[]> {
    this.#check();
    const staging = this.#submit(commands, requests)!;
    this.#counters.reads += requests.length;
    try {
      await this.#guard(this.#readback.map(staging));
      // What has been read is done: its kernels' times are known now.
      if (tracer() && this.#timer) await this.#timer.collect((promise) => this.#guard(promise));
      this.#finished();
      this.#check();
    } catch (error) {
      this.#readback.discard(staging);
      throw error;
    }
    return this.#readback.take(staging);
  }

  /**
   * Times of the kernels that ran while `timing` was on, since the start or `resetKernelTimes`; waits for them.
   * @throws GpuError when the adapter has no timestamp-query.
   */
  async kernelTimes(): Promise<GpuKernelTime[]> {
    this.#check();
    this.#timer ??= new KernelTimer(this.device);
    await this.#timer.collect((promise) => this.#guard(promise));
    return this.#timer.totals();
  }

  resetKernelTimes(): void {
    this.#timer?.reset();
  }

  /** Has the next call throw an error of the device that somebody met who could not tell of it. */
  raiseNext(error: unknown): void {
    if (error instanceof GpuError && !this.isLost) this.#failure ??= error;
  }

  /** Frees the device and everything on it. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#buffers.destroyAll();
    this.#readback.trim();
    // A listener left in place keeps Dawn's device, its thread and its memory for as long as the process lives.
    this.device.removeEventListener?.("uncapturederror", this.#onUncaptured);
    this.device.destroy();
    void this.#gpu;
  }

  #submit(commands: readonly Command[], requests: readonly ReadRequest[]): Staging | undefined {
    const { device } = this;
    const counters = this.#counters;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    if (this.timing) this.#timer ??= new KernelTimer(device);
    const timer = this.timing ? this.#timer : undefined;
    let staging: Staging | undefined;
    let submitted: (() => void) | undefined;
    try {
      let pass: GPUComputePassEncoder | undefined;
      let pipeline: Pipeline | undefined;
      for (const command of commands) {
        if (command.kind === "copy") {
          pass?.end();
          pass = pipeline = undefined;
          encoder.copyBufferToBuffer(
            command.from.handle,
            command.fromOffset,
            command.to.handle,
            command.toOffset,
            command.bytes,
          );
          counters.copies++;
          continue;
        }
        const [x, y, z] = command.workgroups;
        if (x * y * z === 0) continue;
        if (timer !== undefined) {
          pass?.end();
          pass = pipeline = undefined;
        }
        pass ??= encoder.beginComputePass(timer?.pass(command.name ?? command.pipeline.name, command.work));
        if (pipeline !== command.pipeline) {
          pass.setPipeline(command.pipeline.handle);
          pipeline = command.pipeline;
        }
        pass.setBindGroup(0, command.bindGroup);
        pass.dispatchWorkgroups(x, y, z);
        counters.dispatches++;
      }
      pass?.end();
      if (requests.length > 0) staging = this.#readback.encode(encoder, requests);
      counters.copies += requests.length;
      submitted = timer?.finish(encoder);
      const trace = tracer();
      const start = performance.now();
      device.queue.submit([encoder.finish()]);
      counters.submits++;
      trace?.span(`webgpu (${adapterName(this.info)})`, "submit", "submit", start, { kernels: kernelNames(commands) });
    } finally {
      submitted?.();
      this.#watch(device.popErrorScope(), commands);
    }
    this.#unmarked++;
    this.#inFlight.push(commands);
    // Without throttle() nobody tells when a submit is done; what is kept for messages is bounded all the same.
    if (this.#inFlight.length > 64) this.#inFlight.shift();
    return staging;
  }

  /** Notes the error that a scope around `commands` catches, without waiting for it. */
  #watch(scope: Promise<GPUError | null>, commands: readonly Command[]): void {
    scope.then(
      (error) => {
        if (error === null) return;
        const kernels = kernelNames(commands);
        this.#failure ??= new KernelError(`WebGPU refused a submit: ${error.message}; ${inFlight(kernels)}`, kernels);
      },
      () => undefined,
    );
  }

  /** All submits so far are done. */
  #finished(): void {
    this.#inFlight.length = 0;
    this.#marks.length = 0;
    this.#unmarked = 0;
  }

  #runningKernels(): string[] {
    return [...this.#inFlight.flatMap(kernelNames), ...this.#compiling];
  }

  /** Waits for a promise of the device, and no longer than the device lives. */
  async #guard<T>(promise: Promise<T>): Promise<T> {
    let tell: (() => void) | undefined;
    const lost = new Promise<never>((_, reject) => {
      tell = () => reject(this.#lost!);
      this.#onLost.add(tell);
    });
    try {
      return await waitFor(Promise.race([promise, lost]));
    } catch (error) {
      if (error instanceof GpuError) throw error;
      // A mapping is aborted just before the loss is told.
      await new Promise<void>((resolve) => {
        setTimeout(resolve, 0);
      });
      this.#check();
      throw new GpuError(
        `the GPU did not finish: ${(error as Error).message}; ${inFlight(this.#runningKernels())}`,
        this.#runningKernels(),
        { cause: error },
      );
    } finally {
      this.#onLost.delete(tell!);
    }
  }

  /** Raises what has gone wrong since the last call. */
  #check(): void {
    if (this.#closed) throw new GpuError("the webgpu device was closed");
    if (this.#lost !== undefined) throw this.#lost;
    const failure = this.#failure;
    if (failure === undefined) return;
    this.#failure = undefined;
    throw failure;
  }
}

function kernelNames(commands: readonly Command[]): string[] {
  return commands.flatMap((command) => (command.kind === "dispatch" ? [command.name ?? command.pipeline.name] : []));
}
