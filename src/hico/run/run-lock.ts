/**
 * One process at a time writes to a run's folder: a file in it names the process, and goes when that is done.
 *
 * A file left by a process that is dead is taken over. Nothing can be known of a process on another machine, or in
 * another container, but that it touches its file every few seconds: a file that was not touched for two minutes is a
 * dead one's. So a task that its scheduler starts again on another node goes on, and no second one joins a living one.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { requireWritableFolder } from "../../io/byte-sink.ts";

export const LOCK_FILE = "run.lock";

/** A folder that is held. */
interface RunLock {
  /** @throws Error where another process has taken the folder over, while this one stood still. */
  requireHeld(): void;
  release(): void;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Where its number means something: a container counts its own. Absent where the system does not tell. */
  readonly space?: string;
  /** When the process started, as the system tells it: another process may come to the same number later. */
  readonly started?: string;
}

interface LockOptions {
  /** Ends the wait for another machine's process. */
  readonly signal?: AbortSignal;
  /** Is told once that there is a wait, and of whom. */
  readonly onWait?: (words: string) => void;
  /** Milliseconds: between touches of the file, and after the last one until its process is taken for dead. */
  readonly times?: { readonly touch: number; readonly dead: number };
}

/** Twelve touches, and more than the minute for which NFS may keep what it knows of a file. */
const TIMES = { touch: 10_000, dead: 120_000 };

/**
 * Takes the folder, making it where there is none.
 * @throws Error naming the process that holds it; the signal's reason where that ended the wait.
 */
export async function lockRun(folder: string, { signal, onWait, times = TIMES }: LockOptions = {}): Promise<RunLock> {
  mkdirSync(folder, { recursive: true });
  requireWritableFolder(folder);
  const path = join(folder, LOCK_FILE);
  /** When the file was touched as it was first seen: by a later touch its process shows that it lives. */
  let seen: { readonly content: string; readonly touched: number } | undefined;
  for (;;) {
    const taken = take(folder, path, times.touch);
    if (taken !== undefined) return taken;
    const found = lookAt(path);
    if (found === undefined) continue;
    const holder = parseHolder(found.content);
    const who = holder ? `process ${holder.pid} on ${holder.host}` : "another process";
    const living = holder === undefined ? undefined : isAlive(holder);
    const touchedSince = seen?.content === found.content && seen.touched !== found.touched;
    if (living === true || touchedSince)
      throw new Error(
        `${folder} is being written by ${who}; wait for it, name another folder, or remove ${path} if it is no more`,
      );
    if (living === false || found.age >= times.dead) {
      removeLock(path);
      continue;
    }
    if (seen === undefined)
      onWait?.(`${folder}: waiting for a sign of life of ${who}; without one it goes on after ${times.dead / 1000} s`);
    seen ??= found;
    await sleep(Math.min(times.touch / 10, 1000), undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** Makes the file, which appears with its content. Undefined where there is one. */
function take(folder: string, path: string, every: number): RunLock | undefined {
  const own = JSON.stringify({
    pid: process.pid,
    host: hostname(),
    space: processSpace(),
    started: statOf(process.pid)?.started,
  } satisfies Holder);
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  let file = openSync(temporary, "wx");
  const touch = (): void => {
    writeSync(file, own, 0);
    fdatasyncSync(file);
  };
  try {
    touch();
    if (!appear(temporary, path, own)) {
      const named = openSync(path, "r+");
      closeSync(file);
      file = named;
    }
  } catch (error) {
    closeSync(file);
    // Another process that took the folder removes what it finds of others, which then begin again.
    if (["EEXIST", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  for (const name of readdirSync(folder))
    if (name.startsWith(`${LOCK_FILE}.`) && name.endsWith(".tmp")) rmSync(join(folder, name), { force: true });
  const timer = setInterval(() => {
    try {
      touch();
    } catch {
      // A disk that fails says so where something is saved.
    }
  }, every);
  timer.unref();
  const held = (): boolean => contentOf(path) === own;
  return {
    requireHeld: () => {
      if (held()) return;
      throw new Error(
        `${folder} was taken over while this process stood still: ${LOCK_FILE} is ${contentOf(path) === undefined ? "gone" : "another process's"}; nothing more is written there`,
      );
    },
    release: () => {
      clearInterval(timer);
      closeSync(file);
      if (held()) rmSync(path, { force: true });
    },
  };
}

/**
 * Gives the file its name, with its content.
 * @returns false on disks without links (exFAT, some of networks), where a file of its own is written under that name
 */
function appear(temporary: string, path: string, content: string): boolean {
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (!["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? ""))
      throw error;
    writeFileSync(path, content, { flag: "wx" });
    return false;
  }
}

/** The file, and milliseconds since it was touched by the clock of its own disk. */
function lookAt(
  path: string,
): { readonly content: string; readonly touched: number; readonly age: number } | undefined {
  const clock = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  let file: number | undefined;
  try {
    // Opened, not looked up: NFS asks its server for an opened file.
    file = openSync(path, "r");
    const content = readFileSync(file, "utf8");
    const touched = fstatSync(file).mtimeMs;
    const other = openSync(clock, "wx");
    try {
      writeSync(other, " ");
      fdatasyncSync(other);
      return { content, touched, age: fstatSync(other).mtimeMs - touched };
    } finally {
      closeSync(other);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
    rmSync(clock, { force: true });
  }
}

/** Of several that find a dead one's file, the one whose rename succeeds has removed it. */
function removeLock(path: string): void {
  const aside = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    renameSync(path, aside);
    rmSync(aside, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function parseHolder(content: string): Holder | undefined {
  try {
    const { pid, host, space, started } = JSON.parse(content) as Partial<Holder>;
    return Number.isSafeInteger(pid) && typeof host === "string" ? { pid: pid!, host, space, started } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the process lives; undefined where this one cannot know. */
function isAlive({ pid, host, space, started }: Holder): boolean | undefined {
  if (host !== hostname() || (space !== undefined && space !== processSpace())) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = statOf(pid);
  if (now === undefined) return true;
  // What has given its memory back writes no more, also where nobody has asked yet how it ended (a zombie).
  return now.bytes > 0 && (started === undefined || started === now.started);
}

/** The numbering that processes here share (Linux). */
function processSpace(): string | undefined {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return undefined;
  }
}

/** Where the system tells it (Linux): the time a process started, in ticks since boot, and the memory that it can reach. */
function statOf(pid: number): { readonly started: string; readonly bytes: number } | undefined {
  const stat = contentOf(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { started: fields[19]!, bytes: Number(fields[20]) };
}
