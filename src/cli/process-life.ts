/**
 * The life of a `hico` process: signals and exit codes, standard error that may fail, temporary files, and the parent
 * that started it. Every command is a user of this module; none listens to signals of its own.
 *
 * The first signal asks for an end after what is saved, a second Ctrl-C ends at once. Further words of a scheduler say
 * the same again: Slurm and systemd signal every process of a job, a shell passes the signal on, and npm's end follows
 * it. A log that takes no more words (a full disk, a `tee` that died, a terminal that was closed) ends no work: the words
 * go to a file of the run instead.
 */
import { appendFileSync } from "node:fs";
import { constants } from "node:os";
import { removeTemporaries } from "../io/byte-sink.ts";

/** What asks a process to stop: Ctrl-C, a scheduler, a terminal that closes. */
const STOPPING = ["SIGINT", "SIGTERM", "SIGHUP"] as const satisfies readonly NodeJS.Signals[];

type Stopping = (typeof STOPPING)[number];

/** The exit code of a process that a signal ended, as shells have it: 130, 143, 129. */
function exitCodeOf(signal: Stopping): number {
  return 128 + constants.signals[signal];
}

interface Interruption {
  readonly signal: AbortSignal;
  /** The exit code of the signal that came. */
  readonly code: () => number;
  done(): void;
}

/**
 * Aborted by the first Ctrl-C, SIGTERM or SIGHUP, or by the end of npx. A Ctrl-C after it ends the process at once; one
 * wish to stop may reach a process as several SIGTERMs, none of which takes the time to save.
 */
export function interruption(): Interruption {
  const controller = new AbortController();
  let code = exitCodeOf("SIGINT");
  const stop = (name: Stopping): void => {
    if (controller.signal.aborted) {
      if (name === "SIGINT") process.exit(exitCodeOf(name));
      return;
    }
    code = exitCodeOf(name);
    process.stderr.write("\nstopping after this step; press Ctrl-C again to stop at once\n");
    controller.abort(new Error("interrupted"));
  };
  for (const name of STOPPING) process.on(name, stop);
  return {
    signal: controller.signal,
    code: () => code,
    done: () => {
      for (const name of STOPPING) process.off(name, stop);
    },
  };
}

/** Long work that stores what is done as it goes: stopped by Ctrl-C it exits with its code, and goes on when called again. */
export async function interruptible(
  work: (signal: AbortSignal) => Promise<void>,
  words = "stopped; the same command goes on after what is done",
): Promise<void> {
  const stop = interruption();
  try {
    await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.stderr.write(`${words}\n`);
    process.exitCode = stop.code();
  } finally {
    stop.done();
  }
}

/** What standard error did not take: kept until a command names a file for it. */
let untold: string[] = [];
let refuge: string | undefined;

/** Lines kept for a file that no command has named. */
const UNTOLD = 100;

/** Names the file that gets what standard error takes no more. */
export function keepWordsIn(path: string): void {
  refuge = path;
  for (const words of untold.splice(0)) keepWords(words);
}

function keepWords(words: string): void {
  if (refuge === undefined) {
    untold = [...untold, words].slice(-UNTOLD);
    return;
  }
  try {
    appendFileSync(refuge, words);
  } catch {
    // The run's disk is full as well: its next checkpoint says so.
  }
}

/** What a terminal would obey: control characters but tabs and ends of lines, and sequences but colours and "clear the line". */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for.
const COMMANDS = /\x1b(?!\[[\d;]*m|\[2K)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]/g;

/** Text with a mark in place of what a terminal would obey: names of classes and files come from data of others. */
export function printable(text: string): string {
  return text.replace(COMMANDS, "\ufffd");
}

let broken = false;

function errorStreamFailed(error: NodeJS.ErrnoException): void {
  if (broken) return;
  broken = true;
  keepWords(`standard error takes no more words (${error.code ?? error.message}); they are kept here\n`);
}

/**
 * Makes failures of standard error and standard output words in place of the process's end. Node's streams to files and
 * devices throw in `write`, those to pipes and terminals emit "error" later.
 */
function guardStreams(): void {
  const { stdout, stderr } = process;
  const write = stderr.write.bind(stderr) as (...args: unknown[]) => boolean;
  stderr.write = ((...args: unknown[]): boolean => {
    const words = printable(typeof args[0] === "string" ? args[0] : Buffer.from(args[0] as Uint8Array).toString());
    const then = args.find((arg) => typeof arg === "function") as ((error?: Error | null) => void) | undefined;
    if (!broken) {
      try {
        return write(words, (error?: Error | null) => {
          if (error) {
            errorStreamFailed(error);
            keepWords(words);
          }
          then?.(error);
        });
      } catch (error) {
        errorStreamFailed(error as NodeJS.ErrnoException);
      }
    }
    keepWords(words);
    return true;
  }) as typeof stderr.write;
  stderr.on("error", errorStreamFailed);

  const print = stdout.write.bind(stdout) as (...args: unknown[]) => boolean;
  stdout.write = ((...args: unknown[]): boolean => {
    try {
      return typeof args[0] === "string" ? print(printable(args[0]), ...args.slice(1)) : print(...args);
    } catch (error) {
      resultLost(error as NodeJS.ErrnoException);
      return true;
    }
  }) as typeof stdout.write;
  stdout.on("error", resultLost);
}

let lost = false;

/** A reader that has seen enough (`hico … | head`) ends the command in peace; a result that found no room is a failure. */
function resultLost(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  if (lost) return;
  lost = true;
  process.exitCode ||= 1;
  process.stderr.write(`hico: the result could not be printed: standard output takes no more (${error.code})\n`);
}

/** Milliseconds between looks at who the parent is. */
const PARENT_EVERY = 250;

/**
 * npx and `npm run` die of a signal and pass it to nobody: the command they started is told by its parent being another.
 * Anywhere else a parent's end means nothing: a shell may start work and go.
 */
function watchStarter(): void {
  const { npm_command: command, npm_lifecycle_event: event } = process.env;
  if (command === undefined && event === undefined) return;
  const first = process.ppid;
  if (process.channel || first === 1) return;
  const timer = setInterval(() => {
    if (process.ppid === first) return;
    clearInterval(timer);
    process.stderr.write("npm, which started this, is gone\n");
    process.kill(process.pid, "SIGTERM");
  }, PARENT_EVERY);
  timer.unref();
}

/** To be called once, before a command runs. */
export function beginLife(): void {
  guardStreams();
  process.on("exit", removeTemporaries);
  // A command that was started with a channel, as a sweep starts its runs, ends when the other end does.
  process.once("disconnect", () => process.exit(1));
  process.channel?.unref();
  watchStarter();
}
