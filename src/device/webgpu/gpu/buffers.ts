/**
 * A pool of storage buffers.
 *
 * Making a buffer costs a driver call and, in some runtimes, memory that only a garbage collection gives back; so a
 * released buffer is kept and handed out again for a request of its size class. Work is executed in the order it was
 * submitted, so a buffer may be released and reused while kernels that use it are still in the queue.
 */
import { BufferUsage } from "./constants.ts";
import type { Counters } from "./counters.ts";
import { OutOfMemoryError } from "./errors.ts";
import type { GPUBuffer, GPUDevice } from "../../../shaders/webgpu.ts";

/** A storage buffer of a `Gpu`. */
export interface GpuBuffer {
  /** Small integer, never used twice by one `Gpu`. */
  readonly id: number;
  /** Bytes allocated: at least what was asked for, a multiple of 256. */
  readonly size: number;
  readonly handle: GPUBuffer;
}

const GRAIN = 256;

/**
 * Bytes that a request of `bytes` gets: a multiple of 256, with four classes to a doubling, so that at most 25 % (or
 * 255 bytes) is wasted.
 */
export function sizeClass(bytes: number): number {
  const grains = Math.max(1, Math.ceil(bytes / GRAIN));
  if (grains <= 4) return grains * GRAIN;
  const step = 2 ** (Math.floor(Math.log2(grains - 1)) - 2);
  return Math.ceil(grains / step) * step * GRAIN;
}

/** Hands out, takes back and counts storage buffers. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #counters: Counters;
  readonly #limit: number;
  readonly #limitName: string;
  readonly #onDestroy: (buffer: GpuBuffer) => void;
  readonly #onFailure: (error: Promise<OutOfMemoryError | undefined>) => void;
  readonly #free = new Map<number, GpuBuffer[]>();
  readonly #live = new Set<GpuBuffer>();
  /** Buffers in use that have no memory behind them. */
  readonly #hollow = new WeakSet<GpuBuffer>();
  #nextId = 1;

  /**
   * @param onDestroy told of each buffer before it is destroyed.
   * @param onFailure given, for each buffer made, a promise of the error if memory was used up.
   */
  constructor(
    device: GPUDevice,
    counters: Counters,
    onDestroy: (buffer: GpuBuffer) => void,
    onFailure: (error: Promise<OutOfMemoryError | undefined>) => void,
  ) {
    this.#device = device;
    this.#counters = counters;
    this.#onDestroy = onDestroy;
    this.#onFailure = onFailure;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.#limit = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / 4) * 4;
    this.#limitName = maxBufferSize <= maxStorageBufferBindingSize ? "maxBufferSize" : "maxStorageBufferBindingSize";
  }

  /**
   * A buffer of at least `bytes`. A reused one holds what was last in it.
   * @throws OutOfMemoryError when `bytes` is over the adapter's limit; RangeError when it is no size at all.
   */
  acquire(bytes: number): GpuBuffer {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new RangeError(`acquire: ${bytes} is not a size in bytes; give a whole number, at least 0`);
    }
    if (bytes > this.#limit) {
      throw new OutOfMemoryError(
        bytes,
        `a buffer of ${bytes} bytes is over this adapter's ${this.#limitName} ` +
          `of ${this.#limit} bytes; split the tensor or make the batch smaller`,
      );
    }
    const size = Math.min(sizeClass(bytes), this.#limit);
    const buffer = this.#free.get(size)?.pop();
    if (buffer !== undefined) this.#counters.bytesPooled -= buffer.size;
    const result = buffer ?? this.#create(size);
    this.#live.add(result);
    const { bytesLive, bytesPooled, bytesPeak } = this.#counters;
    this.#counters.bytesLive = bytesLive + size;
    this.#counters.bytesPeak = Math.max(bytesPeak, bytesLive + size + bytesPooled);
    return result;
  }

  /** @throws Error when the buffer is not out on loan: released before, or another `Gpu`'s. */
  release(buffer: GpuBuffer): void {
    if (!this.#live.delete(buffer)) {
      throw new Error(`release: buffer ${buffer.id} (${buffer.size} bytes) is not in use here; release a buffer once`);
    }
    this.#counters.bytesLive -= buffer.size;
    if (this.#hollow.has(buffer)) {
      this.#destroy(buffer);
      return;
    }
    const list = this.#free.get(buffer.size);
    if (list === undefined) this.#free.set(buffer.size, [buffer]);
    else list.push(buffer);
    this.#counters.bytesPooled += buffer.size;
  }

  /** Destroys every buffer that is not in use. */
  trim(): void {
    for (const list of this.#free.values()) for (const buffer of list) this.#destroy(buffer);
    this.#free.clear();
    this.#counters.bytesPooled = 0;
  }

  /** Destroys every buffer, in use or not. */
  destroyAll(): void {
    this.trim();
    for (const buffer of this.#live) this.#destroy(buffer);
    this.#live.clear();
    this.#counters.bytesLive = 0;
  }

  #destroy(buffer: GpuBuffer): void {
    this.#onDestroy(buffer);
    buffer.handle.destroy();
  }

  #create(size: number): GpuBuffer {
    const id = this.#nextId++;
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
    this.#device.pushErrorScope("out-of-memory");
    const handle = this.#device.createBuffer({ label: `buffer ${id}`, size, usage });
    const buffer: GpuBuffer = { id, size, handle };
    const { bytesLive, bytesPooled } = this.#counters;
    this.#onFailure(
      this.#device.popErrorScope().then(
        (error) => {
          if (error === null) return undefined;
          this.#withdraw(buffer);
          return new OutOfMemoryError(
            size,
            `no memory for a buffer of ${size} bytes; ${bytesLive} bytes were in use and ` +
              `${bytesPooled} pooled (trim() frees those): ${error.message}`,
          );
        },
        () => undefined,
      ),
    );
    this.#counters.buffersCreated++;
    return buffer;
  }

  /** Sees to it that a buffer without memory is not handed out again. */
  #withdraw(buffer: GpuBuffer): void {
    this.#hollow.add(buffer);
    const list = this.#free.get(buffer.size);
    const at = list?.indexOf(buffer) ?? -1;
    if (at < 0) return;
    list!.splice(at, 1);
    this.#counters.bytesPooled -= buffer.size;
    this.#destroy(buffer);
  }
}
