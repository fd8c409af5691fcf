/**
 * Kernel times by timestamp queries: one compute pass for each dispatch, with a timestamp at its start and end.
 *
 * Passes of their own cost some speed, so this is for looking, not for training. The feature is `timestamp-query`.
 */
import { BufferUsage, MapMode } from "./constants.ts";
import { GpuError } from "./errors.ts";
import { tracer } from "../../trace.ts";
import type { GPUBuffer, GPUCommandEncoder, GPUComputePassDescriptor, GPUDevice } from "../../../shaders/webgpu.ts";

/** Total time of one kernel name. */
export interface GpuKernelTime {
  readonly name: string;
  /** Dispatches measured. */
  readonly count: number;
  /** Milliseconds, all dispatches together. */
  readonly ms: number;
  /** Floating-point operations and bytes of all dispatches, where they are known: see `workOf`. */
  readonly flops: number;
  readonly bytes: number;
}

/** A dispatch that is measured. */
interface Timed {
  readonly name: string;
  readonly work: { readonly flops: number; readonly bytes: number };
}

const UNKNOWN_WORK = { flops: 0, bytes: 0 };

/** WebGPU's largest query set. */
const MAX_QUERIES = 4096;

interface QueryBlock {
  readonly timed: Timed[];
  readonly querySet: GPUQuerySet;
}

interface Pending {
  readonly timed: readonly Timed[];
  readonly staging: GPUBuffer;
  /** `performance.now()` when it was submitted. */
  readonly at: number;
}

/** Measures dispatches of submits and adds them up by kernel name. */
export class KernelTimer {
  readonly #device: GPUDevice;
  readonly #totals = new Map<string, { count: number; ns: number; flops: number; bytes: number }>();
  readonly #spare: GPUQuerySet[] = [];
  #blocks: QueryBlock[] = [];
  #pending: Pending[] = [];
  /** The device's clock behind the host's, milliseconds: no kernel begins before it is submitted. */
  #behind = -Infinity;
  /** End of the last kernel that was traced, on the host's clock. */
  #traced = 0;

  /** @throws GpuError when the device has no timestamps. */
  constructor(device: GPUDevice) {
    if (!device.features.has("timestamp-query")) {
      throw new GpuError("kernel times need the feature timestamp-query, which this adapter does not have");
    }
    this.#device = device;
  }

  /** Submits whose times have not been read. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Descriptor of the compute pass for the next dispatch of `name`, which does `work`. */
  pass(name: string, work: Timed["work"] = UNKNOWN_WORK): GPUComputePassDescriptor {
    let block = this.#blocks.at(-1);
    if (block === undefined || block.timed.length * 2 === MAX_QUERIES) {
      const querySet = this.#spare.pop() ?? this.#device.createQuerySet({ type: "timestamp", count: MAX_QUERIES });
      block = { timed: [], querySet };
      this.#blocks.push(block);
    }
    const at = block.timed.push({ name, work }) * 2 - 2;
    return {
      label: name,
      timestampWrites: { querySet: block.querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
    };
  }

  /** Encodes what brings this submit's timestamps back. Returns what must be called once it is submitted. */
  finish(encoder: GPUCommandEncoder): () => void {
    const blocks = this.#blocks;
    this.#blocks = [];
    const resolved: GPUBuffer[] = [];
    for (const { timed, querySet } of blocks) {
      const size = timed.length * 16;
      const resolve = this.#device.createBuffer({ size, usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC });
      const staging = this.#device.createBuffer({ size, usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST });
      encoder.resolveQuerySet(querySet, 0, timed.length * 2, resolve, 0);
      encoder.copyBufferToBuffer(resolve, 0, staging, 0, size);
      resolved.push(resolve);
      this.#pending.push({ timed, staging, at: performance.now() });
      this.#spare.push(querySet);
    }
    return () => {
      for (const buffer of resolved) buffer.destroy();
    };
  }

  /** Waits for the submits so far and adds their times up. `wait` waits for a promise of the device. */
  async collect(wait: <T>(promise: Promise<T>) => Promise<T>): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await wait(Promise.all(pending.map(({ staging }) => staging.mapAsync(MapMode.READ))));
    for (const { timed, staging, at } of pending) {
      const stamps = new BigUint64Array(staging.getMappedRange());
      timed.forEach(({ name, work }, i) => {
        const total = this.#totals.get(name) ?? { count: 0, ns: 0, flops: 0, bytes: 0 };
        total.count++;
        total.flops += work.flops;
        total.bytes += work.bytes;
        // Some drivers give an end before its start when the clock wraps or resets; such a time is no time.
        const ns = Number(BigInt.asIntN(64, stamps[2 * i + 1]! - stamps[2 * i]!));
        total.ns += Math.max(0, ns);
        this.#totals.set(name, total);
        this.#trace(name, at, Number(stamps[2 * i]) / 1e6, Math.max(0, ns) / 1e6);
      });
      staging.unmap();
      staging.destroy();
    }
  }

  /** A kernel on the host's clock; kernels of one device do not overlap, though their clock is only estimated. */
  #trace(name: string, submitted: number, stamp: number, milliseconds: number): void {
    const trace = tracer();
    if (!trace) return;
    this.#behind = Math.max(this.#behind, submitted - stamp);
    const start = Math.max(this.#traced, stamp + this.#behind);
    this.#traced = start + milliseconds;
    trace.span("kernels (webgpu)", "kernel", name, start, {}, milliseconds);
  }

  /** Times by kernel, the longest total first. */
  totals(): GpuKernelTime[] {
    const times = [...this.#totals].map(([name, { ns, ...total }]) => ({ name, ...total, ms: ns / 1e6 }));
    return times.sort((a, b) => b.ms - a.ms);
  }

  /** Forgets the times so far. */
  reset(): void {
    this.#totals.clear();
  }
}
