/**
 * What a `Gpu` has done, as plain numbers: the basis of tests such as "a replayed step makes no new buffer".
 *
 * Read with `snapshot()`, and compare two snapshots with `difference`.
 */
export interface Counters {
  /** Dispatches encoded. */
  dispatches: number;
  /** Command buffers submitted. */
  submits: number;
  /** Buffer-to-buffer copies encoded, those of reads included. */
  copies: number;
  /** Buffers made by the driver (a buffer out of the pool is not counted). */
  buffersCreated: number;
  bindGroupsCreated: number;
  pipelinesCreated: number;
  /** Bytes of buffers handed out by `acquire` and not yet released. */
  bytesLive: number;
  /** The largest `bytesLive + bytesPooled` so far: what the device has held at once. */
  bytesPeak: number;
  /** Bytes of released buffers kept for reuse. */
  bytesPooled: number;
  /** Bytes uploaded by `write`. */
  bytesWritten: number;
  /** Buffer ranges read back. */
  reads: number;
}

/** Counters at zero. */
export function newGpuCounters(): Counters {
  return {
    dispatches: 0,
    submits: 0,
    copies: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    pipelinesCreated: 0,
    bytesLive: 0,
    bytesPeak: 0,
    bytesPooled: 0,
    bytesWritten: 0,
    reads: 0,
  };
}

/** A copy of the counters as they are. */
export function snapshot(counters: Readonly<Counters>): Counters {
  return { ...counters };
}

/** `after - before`, field by field. */
export function difference(after: Readonly<Counters>, before: Readonly<Counters>): Counters {
  const result = newGpuCounters();
  for (const key of Object.keys(result) as (keyof Counters)[]) result[key] = after[key] - before[key];
  return result;
}
