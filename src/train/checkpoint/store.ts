/** Where a training's checkpoints lie: a folder, memory, or whatever has the same four functions. */
import { writeFileAtomic } from "../../io/byte-sink.ts";
import { readFileBytes } from "../../io/byte-source.ts";
import { builtin } from "../../io/builtin.ts";

/** Bytes by name. A write must appear whole or not at all. In a browser it may stand before IndexedDB or OPFS. */
export interface CheckpointStore {
  /** The names of all that is there, in any order. */
  names(): readonly string[] | Promise<readonly string[]>;
  /** @throws Error where there is nothing of this name. */
  read(name: string): Uint8Array | Promise<Uint8Array>;
  /** Puts bytes under a name, in place of those that were there. */
  write(name: string, bytes: Uint8Array): void | Promise<void>;
  /** Takes a name away; one that is not there is none. */
  remove(name: string): void | Promise<void>;
}

/** Checkpoints as files of a folder, which is made where it is not there. Node, Bun and Deno. */
export class FolderStore implements CheckpointStore {
  readonly #files: typeof import("node:fs");
  readonly #join: (...parts: string[]) => string;

  constructor(
    /** The folder. */
    readonly path: string,
  ) {
    this.#files = builtin<typeof import("node:fs")>("node:fs", path);
    this.#join = builtin<typeof import("node:path")>("node:path", path).join;
  }

  /** Files of the folder that end in `.safetensors`. */
  names(): string[] {
    if (!this.#files.existsSync(this.path)) return [];
    // What a process that was killed left behind begins with a point.
    return this.#files.readdirSync(this.path).filter((name) => /^[^.].*\.safetensors$/.test(name));
  }
  /** The bytes of a file. */
  read(name: string): Uint8Array {
    return readFileBytes(this.#join(this.path, name));
  }
  /** Writes the bytes under another name, flushes them to the disk and renames the file: whole or not at all. */
  write(name: string, bytes: Uint8Array): void {
    this.#files.mkdirSync(this.path, { recursive: true });
    writeFileAtomic(this.#join(this.path, name), (sink) => sink.write(bytes));
  }
  /** Deletes the file of this name; one that is not there is none. */
  remove(name: string): void {
    this.#files.rmSync(this.#join(this.path, name), { force: true });
  }
}

/** Checkpoints in memory: for trainings that keep their best weights, and for tests. */
export class MemoryStore implements CheckpointStore {
  readonly #held = new Map<string, Uint8Array>();

  /** The names of all that is held. */
  names(): string[] {
    return [...this.#held.keys()];
  }
  /** The bytes under a name. @throws Error where there are none. */
  read(name: string): Uint8Array {
    const bytes = this.#held.get(name);
    if (bytes) return bytes;
    throw new Error(`MemoryStore: there is no "${name}"; there are ${this.names().join(", ") || "none"}`);
  }
  /** Holds bytes under a name, in place of those that were there. */
  write(name: string, bytes: Uint8Array): void {
    this.#held.set(name, bytes);
  }
  /** Lets go of a name. */
  remove(name: string): void {
    this.#held.delete(name);
  }
}
