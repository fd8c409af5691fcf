/**
 * The one memory of the cpu device, and who has which part of it.
 *
 * Blocks begin on multiples of 64 bytes and are followed by at least 16 that belong to nobody else: a vector that is read
 * at a tensor's end stays within its block. Freed blocks join their free neighbours; a request takes the smallest block
 * that fits. The memory grows when there is none, up to the 4 GiB that WebAssembly can address.
 */
import { MAX_PAGES } from "../../wasm/assembler/module.ts";
import type { CpuCounters } from "./counters.ts";

const PAGE = 65536;
const ALIGN = 64;
const PADDING = 16;
/** Addresses below hold the words that threads share. */
const HEAP = PAGE;
/** Growing is a system call: the memory grows by this much at least. */
const GROWTH_PAGES = 256;

/** There is no memory left for a tensor or plan. */
export class CpuOutOfMemoryError extends Error {
  constructor(
    /** Bytes that were asked for. */
    readonly bytes: number,
    /** Bytes in use then. */
    readonly live: number,
  ) {
    const mib = (n: number) => `${(n / 2 ** 20).toFixed(1)} MiB`;
    super(
      `the cpu device has no room for ${mib(bytes)} (${bytes} bytes): ${mib(live)} are in use, and WebAssembly addresses ` +
        "4 GiB at most; use a smaller batch, or let go of tensors",
    );
    this.name = "CpuOutOfMemoryError";
  }
}

/** @throws Error with what limits it, where the system gives no addresses. */
export function reserveMemory(shared: boolean, initial = 1): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial, maximum: MAX_PAGES, shared });
  } catch (error) {
    throw new Error(
      "the cpu device got no WebAssembly memory: an engine reserves about 10 GB of addresses; raise their limit " +
        "(ulimit -v unlimited)",
      { cause: error },
    );
  }
}

export interface Block {
  readonly address: number;
  /** Bytes it takes, padding included. */
  readonly size: number;
}

export class CpuMemory {
  readonly memory: WebAssembly.Memory;
  readonly #counters: CpuCounters;
  /** Free blocks by their first address, and the first address by the address past their end. */
  readonly #free = new Map<number, number>();
  readonly #freeEnds = new Map<number, number>();
  /** First addresses of free blocks whose size is at least 2^k and less than 2^(k+1). */
  readonly #bins: Set<number>[] = Array.from({ length: 33 }, () => new Set<number>());
  #end: number;
  #bytes: Uint8Array<ArrayBufferLike>;
  #words: Int32Array<ArrayBufferLike>;

  /** @param shared whether threads shall share it */
  constructor(
    readonly shared: boolean,
    counters: CpuCounters,
  ) {
    this.memory = reserveMemory(shared);
    this.#counters = counters;
    this.#end = HEAP;
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
  }

  /** The whole memory; ask for it anew after every allocation. */
  get bytes(): Uint8Array {
    if (this.#bytes.buffer !== this.memory.buffer) this.#bytes = new Uint8Array(this.memory.buffer);
    return this.#bytes;
  }

  /** The same in 32-bit words. */
  get words(): Int32Array {
    if (this.#words.buffer !== this.memory.buffer) this.#words = new Int32Array(this.memory.buffer);
    return this.#words;
  }

  /** @throws CpuOutOfMemoryError */
  allocate(bytes: number): Block {
    const size = Math.ceil((Math.max(4, bytes) + PADDING) / ALIGN) * ALIGN;
    const address = this.#take(size) ?? this.#grow(size);
    if (address === undefined) throw new CpuOutOfMemoryError(bytes, this.#counters.bytesLive);
    this.#counters.allocations++;
    this.#counters.bytesLive += size;
    this.#counters.bytesPeak = Math.max(this.#counters.bytesPeak, this.#counters.bytesLive);
    return { address, size };
  }

  free({ address, size }: Block): void {
    this.#counters.bytesLive -= size;
    this.#release(address, size);
  }

  #release(address: number, size: number): void {
    let first = address;
    let past = address + size;
    const before = this.#freeEnds.get(first);
    if (before !== undefined) {
      this.#remove(before);
      first = before;
    }
    const after = this.#free.get(past);
    if (after !== undefined) {
      this.#remove(past);
      past += after;
    }
    this.#add(first, past - first);
  }

  #add(address: number, size: number): void {
    this.#free.set(address, size);
    this.#freeEnds.set(address + size, address);
    this.#bins[binOf(size)].add(address);
  }

  #remove(address: number): void {
    const size = this.#free.get(address)!;
    this.#free.delete(address);
    this.#freeEnds.delete(address + size);
    this.#bins[binOf(size)].delete(address);
  }

  #take(size: number): number | undefined {
    for (let bin = binOf(size); bin < this.#bins.length; bin++) {
      let best: number | undefined;
      for (const address of this.#bins[bin]) {
        const has = this.#free.get(address)!;
        if (has >= size && (best === undefined || has < this.#free.get(best)!)) best = address;
      }
      if (best === undefined) continue;
      const has = this.#free.get(best)!;
      this.#remove(best);
      if (has > size) this.#add(best + size, has - size);
      return best;
    }
    return undefined;
  }

  /** Makes a block at the end of the memory. */
  #grow(size: number): number | undefined {
    const lastFree = this.#freeEnds.get(this.#end);
    const first = lastFree ?? this.#end;
    const missing = first + size - this.#end;
    const wanted = Math.ceil((this.#end + missing) / PAGE) - this.memory.buffer.byteLength / PAGE;
    if (wanted > 0 && !this.#growBy(Math.max(wanted, GROWTH_PAGES)) && !this.#growBy(wanted)) return undefined;
    if (lastFree !== undefined) this.#remove(lastFree);
    this.#end = first + size;
    return first;
  }

  #growBy(pages: number): boolean {
    if (this.memory.buffer.byteLength / PAGE + pages > MAX_PAGES) return false;
    try {
      this.memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }
}

function binOf(size: number): number {
  return Math.floor(Math.log2(size));
}
