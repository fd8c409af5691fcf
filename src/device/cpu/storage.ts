/** Tensors in the memory of the cpu device, given back when nobody refers to them any more. */
import type { Backend, Storage } from "../../tensor/backend.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Block, CpuMemory } from "./memory.ts";

export class CpuStorage implements Storage {
  #block: Block | undefined;
  readonly #owner: StorageOwner;

  constructor(
    readonly device: Backend,
    readonly shape: Shape,
    readonly dtype: DType,
    block: Block,
    owner: StorageOwner,
  ) {
    this.#block = block;
    this.#owner = owner;
    owner.watch(this, block);
  }

  /** Where the tensor lies. @throws Error after `dispose`. */
  get address(): number {
    if (!this.#block) throw new Error("the tensor was disposed of: its memory is gone");
    return this.#block.address;
  }

  dispose(): void {
    if (!this.#block) return;
    this.#owner.release(this, this.#block);
    this.#block = undefined;
  }
}

/** Turns of the event loop to wait for what a collection has to tell: some milliseconds. */
const TURNS = 16;

/** Frees blocks of storages that were collected. */
export class StorageOwner {
  readonly #memory: CpuMemory;
  readonly #registry: FinalizationRegistry<Block | (() => void)>;
  /** Bytes handed out and not disposed of since the last collection: what garbage may hold. Set to 0 by who collects. */
  bytesSince = 0;
  /** Whether the witness of the last collection was told of. */
  #heard = false;

  constructor(memory: CpuMemory) {
    this.#memory = memory;
    this.#registry = new FinalizationRegistry((held) => (typeof held === "function" ? held() : memory.free(held)));
    this.#register();
  }

  watch(storage: CpuStorage, block: Block): void {
    this.bytesSince += block.size;
    this.#registry.register(storage, block, storage);
  }

  release(storage: CpuStorage, block: Block): void {
    this.#registry.unregister(storage);
    this.bytesSince -= block.size;
    this.#memory.free(block);
  }

  /**
   * After a collection: waits until it is told what was collected, which happens in tasks that come when the engine
   * sees fit. An object that nobody holds is the witness; where it is not collected at all, the wait ends by itself.
   */
  async told(): Promise<void> {
    this.bytesSince = 0;
    for (let turn = 0; turn < TURNS && !this.#heard; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#heard) this.#register();
  }

  #register(): void {
    this.#heard = false;
    const hear = (): void => {
      this.#heard = true;
    };
    this.#registry.register({}, hear);
  }
}
