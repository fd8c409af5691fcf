/**
 * Indices that only the device has: every run says how large they were, and the next read looks.
 *
 * Waiting for a run to look at its indices would stop the host, so what is read next brings the four bytes along, in the
 * same submit.
 */
import type { BoundsCheck } from "../../compiler/graph.ts";
import { outside } from "../../tensor/bounds.ts";
import type { Gpu } from "./gpu/gpu.ts";
import type { ReadRequest } from "./gpu/readback.ts";
import type { GpuStorage } from "./storage.ts";

/** Runs whose indices wait for a read; one more, and they are read by themselves. */
const MOST_WAITING = 256;

interface Waiting {
  readonly check: BoundsCheck;
  /** The greatest index, as u32. */
  readonly greatest: GpuStorage;
}

/** What is known of the indices of runs since the last read. */
export class IndexChecks {
  readonly #gpu: Gpu;
  #waiting: Waiting[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Takes the outputs that only say how large indices were, and gives the others. */
  async note(checks: readonly BoundsCheck[], storages: readonly GpuStorage[]): Promise<GpuStorage[]> {
    const own = new Map(
      checks.flatMap((check) => (check.output === undefined ? [] : [[check.output, check] as const])),
    );
    if (own.size === 0) return [...storages];
    for (const [output, check] of own) this.#waiting.push({ check, greatest: storages[output] });
    if (this.#waiting.length > MOST_WAITING) await this.look();
    return storages.filter((_, i) => !own.has(i));
  }

  /** The bytes asked for. @throws RangeError where a run since the last read was given an index outside */
  async read(wanted: ReadRequest): Promise<ArrayBuffer> {
    return (await this.#readWith([wanted]))[0];
  }

  /** @throws RangeError as `read` does */
  async look(): Promise<void> {
    if (this.#waiting.length > 0) await this.#readWith([]);
  }

  async #readWith(wanted: readonly ReadRequest[]): Promise<ArrayBuffer[]> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const flags = waiting.map(({ greatest: { slice } }) => ({
      buffer: slice.buffer,
      offset: slice.offset ?? 0,
      bytes: 4,
    }));
    const found = await this.#gpu.readAfter([], [...wanted, ...flags]);
    let stray: RangeError | undefined;
    waiting.forEach(({ check, greatest }, i) => {
      const value = new Uint32Array(found[wanted.length + i])[0];
      greatest.dispose();
      if (value >= check.bounds.size) stray ??= outside(check.bounds, check.dtype === "i32" ? value | 0 : value);
    });
    if (stray) throw stray;
    return found.slice(0, wanted.length);
  }
}
