/**
 * Where writers put their bytes: memory, or a file that appears whole or not at all.
 *
 * The atomic file is written under a temporary name in the same folder, flushed to the disk (fsync) and only then
 * renamed over the target, which POSIX does in one step: a crash, a full disk or a killed process leaves the previous
 * file as it was, so a training run always has a readable last checkpoint.
 */
import { builtin, machineName } from "./builtin.ts";

const fs = (path: string) => builtin<typeof import("node:fs")>("node:fs", path);
const paths = (path: string) => builtin<typeof import("node:path")>("node:path", path);

export interface ByteSink {
  /** Bytes written so far. */
  readonly position: number;
  write(bytes: Uint8Array): void;
}

/** Collects bytes in memory. What is written must stay as it is until {@link toBytes} copies it. */
class MemorySink implements ByteSink {
  position = 0;
  readonly #chunks: Uint8Array[] = [];

  write(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.position += bytes.length;
  }

  toBytes(): Uint8Array {
    const result = new Uint8Array(this.position);
    let offset = 0;
    for (const chunk of this.#chunks) {
      result.set(chunk, offset);
      offset += chunk.length;
    }
    return result;
  }
}

/** writeSync takes at most 2^31-1 bytes at once. */
const WRITE_CHUNK = 2 ** 30;
/** Writes smaller than this are gathered: one system call for many headers and scalars. */
const GATHER = 1 << 16;

/** Temporary files of this process that are neither committed nor aborted. */
const unfinished = new Set<string>();

/** Paths that were found free, which no other process's file may have taken by the time of the commit. */
const free = new Set<string>();

/** Notes that nothing is at a path and that what is written there must not replace what another process puts there. */
export function claimFree(path: string): void {
  free.add(paths(path).resolve(path));
}

/** Removes the temporary files of this process: to be called where it ends in the middle of its work. */
export function removeTemporaries(): void {
  for (const path of unfinished) fs(path).rmSync(path, { force: true });
  unfinished.clear();
}

/**
 * This machine, in a few letters: on a shared disk, a process's number means nothing on another machine. Undefined where
 * the program may not know it.
 */
function machine(): string | undefined {
  const { createHash } = builtin<typeof import("node:crypto")>("node:crypto", "");
  const name = machineName();
  return name === undefined ? undefined : createHash("sha256").update(name).digest("hex").slice(0, 8);
}

/** `.NAME.MACHINE-PROCESS.RANDOM.tmp` beside `path`. */
function temporaryOf(path: string): string {
  const { basename, dirname, join } = paths(path);
  const random = builtin<typeof import("node:crypto")>("node:crypto", path).randomBytes(6).toString("hex");
  return join(dirname(path), `.${basename(path)}.${machine() ?? "unknown"}-${process.pid}.${random}.tmp`);
}

/** Removes what killed processes of this machine left of `path`. */
function removeLeftOver(path: string): void {
  const { basename, dirname, join } = paths(path);
  const own = machine();
  if (own === undefined) return;
  const start = `.${basename(path)}.${own}-`;
  for (const name of fs(path).readdirSync(dirname(path))) {
    if (!name.startsWith(start)) continue;
    const [, pid] = /^(\d+)\.[0-9a-f]{12}\.tmp$/.exec(name.slice(start.length)) ?? [];
    const file = join(dirname(path), name);
    if (pid === undefined || unfinished.has(file) || (Number(pid) !== process.pid && isAlive(Number(pid)))) continue;
    fs(path).rmSync(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Another user's process lives too, and so may one that this program is not allowed to ask for (Deno).
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** A file that replaces `path` at {@link commit}, or leaves no trace at {@link abort}. */
export class AtomicFile implements ByteSink {
  position = 0;
  readonly #temporary: string;
  readonly #gathered = new Uint8Array(GATHER);
  #gatheredLength = 0;
  #descriptor: number | undefined;

  constructor(readonly path: string) {
    this.#temporary = temporaryOf(path);
    requirePlace(path);
    removeLeftOver(path);
    try {
      this.#descriptor = fs(path).openSync(this.#temporary, "wx");
      unfinished.add(this.#temporary);
    } catch (cause) {
      throw writeError(path, cause);
    }
  }

  write(bytes: Uint8Array): void {
    this.position += bytes.length;
    if (this.#gatheredLength + bytes.length <= GATHER) {
      this.#gathered.set(bytes, this.#gatheredLength);
      this.#gatheredLength += bytes.length;
      return;
    }
    this.#flush();
    if (bytes.length < GATHER) {
      this.#gathered.set(bytes);
      this.#gatheredLength = bytes.length;
    } else {
      this.#writeAll(bytes);
    }
  }

  /**
   * Flushes to the disk and takes the place of `path`.
   * @throws Error where `path` was claimed free and is taken: what was written is then beside it, under a name of its own
   */
  commit(): void {
    this.#flush();
    const descriptor = this.#open();
    const { closeSync, fsyncSync, rmSync } = fs(this.path);
    fsyncSync(descriptor);
    closeSync(descriptor);
    this.#descriptor = undefined;
    unfinished.delete(this.#temporary);
    try {
      this.#place();
    } catch (error) {
      rmSync(this.#temporary, { force: true });
      throw writeError(this.path, error);
    }
    syncFolder(paths(this.path).dirname(this.path));
  }

  /** Gives the temporary file its name. */
  #place(): void {
    const { linkSync, renameSync, rmSync, statSync } = fs(this.path);
    if (!free.delete(paths(this.path).resolve(this.path))) return renameSync(this.#temporary, this.path);
    try {
      // Unlike a rename, a second name fails where there is one already.
      linkSync(this.#temporary, this.path);
    } catch {
      // Some disks have no second names.
      if (!statSync(this.path, { throwIfNoEntry: false })) return renameSync(this.#temporary, this.path);
      const beside = `${this.path}.${process.pid}`;
      renameSync(this.#temporary, beside);
      throw new Error(`another process has made it meanwhile; what this one wrote is ${beside}`);
    }
    rmSync(this.#temporary);
  }

  /** Removes the temporary file. Does nothing after {@link commit}. */
  abort(): void {
    if (this.#descriptor === undefined) return;
    const { closeSync, rmSync } = fs(this.path);
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
    unfinished.delete(this.#temporary);
    rmSync(this.#temporary, { force: true });
  }

  #open(): number {
    if (this.#descriptor === undefined) throw new Error(`${this.path}: write after commit or abort`);
    return this.#descriptor;
  }

  #flush(): void {
    this.#writeAll(this.#gathered.subarray(0, this.#gatheredLength));
    this.#gatheredLength = 0;
  }

  #writeAll(bytes: Uint8Array): void {
    const descriptor = this.#open();
    const { writeSync } = fs(this.path);
    let done = 0;
    try {
      while (done < bytes.length)
        done += writeSync(descriptor, bytes, done, Math.min(WRITE_CHUNK, bytes.length - done));
    } catch (cause) {
      throw writeError(this.path, cause);
    }
  }
}

/** Refuses a path where no file can be put, before the work that would end there. @throws Error saying why. */
export function requireWritable(path: string): void {
  new AtomicFile(path).abort();
}

/** Refuses a folder in which this process can make no file: another user's, or one on a disk that can only be read. */
export function requireWritableFolder(folder: string): void {
  try {
    requireWritable(paths(folder).join(folder, "writable"));
  } catch (error) {
    throw writeError(folder, (error as Error).cause ?? error);
  }
}

/** Refuses a path whose folder is none, or that is a folder itself. */
function requirePlace(path: string): void {
  const { statSync } = fs(path);
  const folder = paths(path).dirname(path);
  const parent = statSync(folder, { throwIfNoEntry: false });
  if (parent === undefined) throw new Error(`${path} cannot be written: there is no folder ${folder}; make it first`);
  if (!parent.isDirectory()) throw new Error(`${path} cannot be written: ${folder} is a file, not a folder`);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Error(`${path} cannot be written: it is a folder; name a file in it, or another name`);
  }
}

const WRITE_FAULTS: Readonly<Record<string, string>> = {
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  EROFS: "the disk can only be read",
  ENOSPC: "the disk is full",
  EDQUOT: "this user's share of the disk is full",
  ENOENT: "its folder is gone",
  ENAMETOOLONG: "its name is too long",
  EMFILE: "this process has as many files open as it may; raise the limit (ulimit -n 1024)",
};

/** A system's error in words about the file that was asked for. */
function writeError(path: string, cause: unknown): Error {
  const words = WRITE_FAULTS[(cause as NodeJS.ErrnoException).code ?? ""];
  return new Error(`${path} cannot be written: ${words ?? (cause as Error).message}`, { cause });
}

/** Makes the rename itself durable. Some platforms (Windows) cannot open a folder; there the rename is enough. */
function syncFolder(folder: string): void {
  const { closeSync, fsyncSync, openSync } = fs(folder);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(folder, "r");
    fsyncSync(descriptor);
  } catch {
    // The file itself is already on the disk, and its rename is ordered after it.
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Writes `path` whole or not at all: `fill` gets the sink; an error out of it removes the temporary file. */
export function writeFileAtomic(path: string, fill: (sink: ByteSink) => void): void {
  const file = new AtomicFile(path);
  try {
    fill(file);
    file.commit();
  } catch (error) {
    file.abort();
    throw error;
  }
}

/** Writes `path` as UTF-8, whole or not at all. @returns the bytes written. */
export function writeTextAtomic(path: string, text: string): number {
  const bytes = new TextEncoder().encode(text);
  writeFileAtomic(path, (sink) => sink.write(bytes));
  return bytes.length;
}

/** What `fill` writes, as bytes. */
export function collectBytes(fill: (sink: ByteSink) => void): Uint8Array {
  const sink = new MemorySink();
  fill(sink);
  return sink.toBytes();
}
