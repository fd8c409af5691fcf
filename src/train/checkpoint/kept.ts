/** A training's own checkpoints in a store: `step-NNNNNNNN.safetensors`, of which the last few are kept, and the best. */
import { encodeSafetensors } from "../../io/safetensors.ts";
import { NonFiniteError, nonFiniteTensor } from "../non-finite.ts";
import { contentsOf, loadCheckpoint } from "./checkpoint.ts";
import type { CheckpointParts } from "./checkpoint.ts";
import { DamagedCheckpointError } from "./checksum.ts";
import { FolderStore, MemoryStore } from "./store.ts";
import type { CheckpointStore } from "./store.ts";

const BEST = "best.safetensors";
const STEP = /^step-(\d+)\.safetensors$/;

export class KeptCheckpoints {
  readonly #store: CheckpointStore;
  readonly #folder: string | undefined;
  readonly #parts: CheckpointParts;
  readonly #keep: number;
  /** The checkpoint written or loaded last, as errors name it. */
  latest: string | undefined;
  #saved: number | undefined;

  /** @param place a folder or a store; without one, checkpoints lie in memory. */
  constructor(place: string | CheckpointStore | undefined, parts: CheckpointParts, keep: number) {
    this.#folder = typeof place === "string" ? place : undefined;
    this.#store = typeof place === "string" ? new FolderStore(place) : (place ?? new MemoryStore());
    this.#parts = parts;
    this.#keep = keep;
  }

  /** The name of the last one; undefined where there is none. */
  async find(): Promise<string | undefined> {
    return (await this.#steps())[0];
  }

  async load(name: string): Promise<void> {
    await this.#load(name);
    this.#saved = Number(STEP.exec(name)![1]);
    this.latest = this.#shown(name);
    // A process that was killed after it wrote one left the oldest to the next.
    await this.#prune();
  }

  /** Writes one, unless that of this step is there. @throws NonFiniteError where a tensor is not finite, if asked to look */
  async save(step: number, guard: boolean): Promise<void> {
    if (step === this.#saved) return;
    const { tensors, metadata } = await contentsOf(this.#parts);
    const spoilt = guard ? nonFiniteTensor(tensors) : undefined;
    if (spoilt) throw new NonFiniteError(step, `"${spoilt.name}"`, spoilt.value, this.latest);
    const name = `step-${String(step).padStart(8, "0")}.safetensors`;
    await this.#store.write(name, encodeSafetensors(tensors, metadata));
    this.#saved = step;
    this.latest = this.#shown(name);
    await this.#prune();
  }

  /** Removes all but the last ones. */
  async #prune(): Promise<void> {
    for (const old of (await this.#steps()).slice(this.#keep)) await this.#store.remove(old);
  }

  async saveBest(): Promise<void> {
    const { tensors, metadata } = await contentsOf(this.#parts);
    await this.#store.write(BEST, encodeSafetensors(tensors, metadata));
  }
  loadBest(): Promise<void> {
    return this.#load(BEST);
  }

  async #load(name: string): Promise<void> {
    try {
      await loadCheckpoint(await this.#store.read(name), this.#parts);
    } catch (error) {
      if (!(error instanceof DamagedCheckpointError)) throw error;
      const before = (await this.#steps()).filter((other) => other < name)[0];
      const wayOut = before ? `remove it, and ${this.#shown(before)} is gone on from` : "there is none before it";
      throw new DamagedCheckpointError(this.#shown(name), `${error.fault}; ${wayOut}`, { cause: error });
    }
  }

  /** Names, the last step first. */
  async #steps(): Promise<string[]> {
    const stepOf = (name: string): number => Number(STEP.exec(name)![1]);
    return [...(await this.#store.names())].filter((name) => STEP.test(name)).sort((a, b) => stepOf(b) - stepOf(a));
  }

  #shown(name: string): string {
    return this.#folder === undefined ? name : `${this.#folder}/${name}`;
  }
}
