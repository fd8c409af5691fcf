/**
 * One process at a time writes to a run's folder: a file in it names the process, and goes when that is done.
 *
 * A file left by a process that is dead is taken over. Of a process on another machine nothing can be known, so its
 * file holds until somebody removes it.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { requireWritableFolder } from "../../io/byte-sink.ts";

export const LOCK_FILE = "run.lock";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process started, as the system tells it: another process may come to the same number later. */
  readonly started?: string;
}

/**
 * Takes the folder, making it where there is none. @returns what gives it back.
 * @throws Error naming the process that holds it.
 */
export function lockRun(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  requireWritableFolder(folder);
  const path = join(folder, LOCK_FILE);
  const own = JSON.stringify({ pid: process.pid, host: hostname(), started: startOf(process.pid) } satisfies Holder);
  for (;;) {
    try {
      writeFileSync(path, own, { flag: "wx" });
      return () => {
        if (contentOf(path) === own) rmSync(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const content = contentOf(path);
    if (content === undefined) continue;
    const holder = parseHolder(content);
    if (holder === undefined || isAlive(holder)) {
      const who = holder ? `process ${holder.pid} on ${holder.host}` : "another process";
      throw new Error(
        `${folder} is being written by ${who}; wait for it, name another folder, or remove ${path} if it is no more`,
      );
    }
    // Of several that find a dead one's file, the one whose rename succeeds has removed it.
    const aside = `${path}.${randomBytes(4).toString("hex")}.tmp`;
    try {
      renameSync(path, aside);
      rmSync(aside, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
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
    const { pid, host, started } = JSON.parse(content) as Partial<Holder>;
    return Number.isSafeInteger(pid) && typeof host === "string" ? { pid: pid!, host, started } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
  const now = startOf(pid);
  return started === undefined || now === undefined || started === now;
}

/** Where the system tells it (Linux): the time a process started, in ticks since boot. */
function startOf(pid: number): string | undefined {
  const stat = contentOf(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
