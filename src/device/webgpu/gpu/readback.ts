/**
 * Reading buffers back, through mappable staging buffers that are kept for the next read.
 *
 * A storage buffer cannot be mapped; its bytes are copied to a staging buffer by a command that can ride on the same
 * submit as the kernels that produce them.
 */
import type { GpuBuffer } from "./buffers.ts";
import { sizeClass } from "./buffers.ts";
import { BufferUsage, MapMode } from "./constants.ts";
import type { GPUBuffer, GPUCommandEncoder, GPUDevice } from "../../../shaders/webgpu.ts";

/** A byte range of a buffer to read. `offset` is a multiple of 4; `bytes` may be any number. */
export interface ReadRequest {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** One staging buffer that holds the ranges of one read, each from a multiple of 8 on. */
export interface Staging {
  readonly handle: GPUBuffer;
  readonly size: number;
  readonly offsets: readonly number[];
  readonly requests: readonly ReadRequest[];
}

/** Staging buffers kept for reuse; more than this many bytes are destroyed instead. */
const KEEP_BYTES = 64 * 2 ** 20;

/** Copies ranges into staging buffers, and takes them out when the GPU is done. */
export class Readback {
  readonly #device: GPUDevice;
  readonly #free = new Map<number, GPUBuffer[]>();
  #kept = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Encodes the copies. @throws RangeError when a range is not aligned to 4 bytes or not inside its buffer. */
  encode(encoder: GPUCommandEncoder, requests: readonly ReadRequest[]): Staging {
    const offsets: number[] = [];
    let total = 0;
    for (const { buffer, offset, bytes } of requests) {
      if (
        !Number.isInteger(offset) ||
        offset < 0 ||
        offset % 4 !== 0 ||
        !Number.isInteger(bytes) ||
        bytes < 0 ||
        offset + bytes > buffer.size
      ) {
        throw new RangeError(
          `read: bytes ${offset} to ${offset + bytes} of buffer ${buffer.id} ` +
            `(${buffer.size} bytes); the range must lie inside the buffer and start at a multiple of 4`,
        );
      }
      offsets.push(total);
      total += Math.ceil(bytes / 8) * 8;
    }
    const size = sizeClass(total);
    let handle = this.#free.get(size)?.pop();
    if (handle !== undefined) this.#kept -= size;
    handle ??= this.#device.createBuffer({
      label: "readback",
      size,
      usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST,
    });
    requests.forEach(({ buffer, offset, bytes }, i) => {
      if (bytes > 0) encoder.copyBufferToBuffer(buffer.handle, offset, handle, offsets[i]!, Math.ceil(bytes / 4) * 4);
    });
    return { handle, size, offsets, requests };
  }

  /** Starts mapping; the copies must be submitted. */
  map({ handle }: Staging): Promise<void> {
    return handle.mapAsync(MapMode.READ);
  }

  /** The bytes of each range, copied out of the mapped staging buffer, which is kept for the next read. */
  take(staging: Staging): ArrayBuffer[] {
    const { handle, offsets, requests } = staging;
    const mapped = handle.getMappedRange();
    const results = requests.map(({ bytes }, i) => mapped.slice(offsets[i], offsets[i]! + bytes));
    handle.unmap();
    this.discard(staging, true);
    return results;
  }

  /** Gives a staging buffer up, or back for reuse. */
  discard({ handle, size }: Staging, reusable = false): void {
    if (!reusable || this.#kept + size > KEEP_BYTES) {
      handle.destroy();
      return;
    }
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [handle]);
    else list.push(handle);
    this.#kept += size;
  }

  /** Destroys what is kept. */
  trim(): void {
    for (const list of this.#free.values()) for (const handle of list) handle.destroy();
    this.#free.clear();
    this.#kept = 0;
  }
}
