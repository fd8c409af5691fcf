/**
 * Bind groups, made once for each (pipeline, buffer ranges) and remembered, the least recently used dropped first.
 *
 * A buffer that is destroyed takes its bind groups with it, since they hold it.
 */
import type { GpuBuffer } from "./gpu/buffers.ts";
import type { Counters } from "./gpu/counters.ts";
import { KernelError } from "./gpu/errors.ts";
import type { Pipeline } from "./gpu/pipelines.ts";
import type { GPUBindGroup, GPUDevice, GPUSupportedLimits } from "../../shaders/webgpu.ts";

/** A range of a buffer. `offset` (bytes, default 0) is a multiple of 256; `size` defaults to the rest of the buffer. */
export interface BufferSlice {
  readonly buffer: GpuBuffer;
  readonly offset?: number;
  readonly size?: number;
}

/** Makes bind groups and remembers the most recently used. */
export class BindGroupCache {
  readonly #device: GPUDevice;
  readonly #counters: Counters;
  readonly #capacity: number;
  /** In order of use, the oldest first. */
  readonly #groups = new Map<string, { group: GPUBindGroup; buffers: readonly number[] }>();
  readonly #keysOfBuffer = new Map<number, Set<string>>();

  constructor(device: GPUDevice, counters: Counters, capacity: number) {
    this.#device = device;
    this.#counters = counters;
    this.#capacity = capacity;
  }

  /** Bind groups remembered now. */
  get size(): number {
    return this.#groups.size;
  }

  /** @throws KernelError when the number of slices is not the kernel's number of bindings, or a slice is no range. */
  get(pipeline: Pipeline, slices: readonly BufferSlice[]): GPUBindGroup {
    let key = String(pipeline.id);
    for (const { buffer, offset, size } of slices) {
      key += `|${buffer.id}:${offset ?? 0}:${size ?? buffer.size - (offset ?? 0)}`;
    }
    const found = this.#groups.get(key);
    if (found !== undefined) {
      this.#groups.delete(key);
      this.#groups.set(key, found);
      return found.group;
    }
    check(pipeline, slices, this.#device.limits);
    const group = this.#device.createBindGroup({
      label: pipeline.name,
      layout: pipeline.layout,
      entries: slices.map(({ buffer, offset = 0, size = buffer.size - offset }, binding) => ({
        binding,
        resource: { buffer: buffer.handle, offset, size },
      })),
    });
    this.#counters.bindGroupsCreated++;
    this.#remember(key, group, [...new Set(slices.map((slice) => slice.buffer.id))]);
    return group;
  }

  /** Drops the bind groups of a buffer that is about to be destroyed. */
  forget(buffer: GpuBuffer): void {
    for (const key of this.#keysOfBuffer.get(buffer.id) ?? []) this.#drop(key);
  }

  #remember(key: string, group: GPUBindGroup, buffers: readonly number[]): void {
    this.#groups.set(key, { group, buffers });
    for (const id of buffers) {
      const keys = this.#keysOfBuffer.get(id);
      if (keys === undefined) this.#keysOfBuffer.set(id, new Set([key]));
      else keys.add(key);
    }
    if (this.#groups.size > this.#capacity) this.#drop(this.#groups.keys().next().value as string);
  }

  #drop(key: string): void {
    const entry = this.#groups.get(key);
    if (entry === undefined) return;
    this.#groups.delete(key);
    for (const id of entry.buffers) {
      const keys = this.#keysOfBuffer.get(id)!;
      keys.delete(key);
      if (keys.size === 0) this.#keysOfBuffer.delete(id);
    }
  }
}

function check(pipeline: Pipeline, slices: readonly BufferSlice[], limits: GPUSupportedLimits): void {
  const fail = (message: string): never => {
    throw new KernelError(`bind group of kernel "${pipeline.name}": ${message}`, [pipeline.name]);
  };
  if (slices.length !== pipeline.bindings) fail(`${slices.length} buffers for ${pipeline.bindings} bindings`);
  slices.forEach(({ buffer, offset = 0, size = buffer.size - offset }, i) => {
    const alignment = limits.minStorageBufferOffsetAlignment;
    if (offset % alignment !== 0) fail(`binding ${i}: offset ${offset} is not a multiple of ${alignment}`);
    if (size <= 0 || size % 4 !== 0) fail(`binding ${i}: size ${size} is not a positive multiple of 4`);
    if (offset < 0 || offset + size > buffer.size) {
      fail(`binding ${i}: bytes ${offset} to ${offset + size} are outside buffer ${buffer.id} of ${buffer.size} bytes`);
    }
    if (size > limits.maxStorageBufferBindingSize) {
      fail(`binding ${i}: ${size} bytes are over maxStorageBufferBindingSize ${limits.maxStorageBufferBindingSize}`);
    }
  });
}
