/**
 * Tensors in device memory, given back to the pool when nobody refers to them any more.
 *
 * Results of a few bytes (losses, counts) would each take a buffer; they share slabs instead, so that a training loop
 * that keeps its losses makes no buffers.
 */
import type { Backend, Storage } from "../../tensor/backend.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Shape } from "../../tensor/shape.ts";
import { noteTensor } from "../garbage.ts";
import type { BufferSlice } from "./bindings.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/gpu.ts";

/** Results of at most this many bytes live in slabs. */
export const SMALL_BYTES = 256;
const SLAB_SLOTS = 1024;

/** A range of device memory, and what to do when it is no longer needed. */
interface Allocation {
  /** Bytes that wait for a collection where nobody disposes of the tensor; a variable's do not. */
  readonly bytes?: number;
  readonly slice: BufferSlice;
  free(): void;
}

export class GpuStorage implements Storage {
  #allocation: Allocation | undefined;
  readonly #memory: GpuMemory;

  constructor(
    readonly device: Backend,
    readonly shape: Shape,
    readonly dtype: DType,
    allocation: Allocation,
    memory: GpuMemory,
  ) {
    this.#allocation = allocation;
    this.#memory = memory;
    memory.watch(this, allocation);
  }

  /** Where the tensor lies. @throws Error after `dispose`. */
  get slice(): BufferSlice {
    if (!this.#allocation) throw new Error("the tensor was disposed of: its memory is gone");
    return this.#allocation.slice;
  }

  dispose(): void {
    if (!this.#allocation) return;
    this.#memory.unwatch(this);
    noteTensor(-(this.#allocation.bytes ?? 0));
    this.#allocation.free();
    this.#allocation = undefined;
  }
}

/** Memory of one `Gpu` for tensors. */
export class GpuMemory {
  readonly #gpu: Gpu;
  readonly #freeSlots: BufferSlice[] = [];
  readonly #registry = new FinalizationRegistry<Allocation>((allocation) => allocation.free());

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  allocate(bytes: number): Allocation {
    if (bytes > SMALL_BYTES) {
      const buffer = this.#gpu.acquire(bytes);
      noteTensor(bytes);
      return { bytes, slice: { buffer }, free: () => this.#gpu.release(buffer) };
    }
    if (this.#freeSlots.length === 0) {
      const slab: GpuBuffer = this.#gpu.acquire(SLAB_SLOTS * SMALL_BYTES);
      for (let slot = SLAB_SLOTS - 1; slot >= 0; slot--) {
        this.#freeSlots.push({ buffer: slab, offset: slot * SMALL_BYTES, size: SMALL_BYTES });
      }
    }
    const slice = this.#freeSlots.pop()!;
    return { slice, free: () => this.#freeSlots.push(slice) };
  }

  watch(storage: GpuStorage, allocation: Allocation): void {
    this.#registry.register(storage, allocation, storage);
  }

  unwatch(storage: GpuStorage): void {
    this.#registry.unregister(storage);
  }
}
