/**
 * HICO_TRACE=FILE: what a program does on its devices, as a trace that Chrome (chrome://tracing) and Perfetto
 * (ui.perfetto.dev) draw. The form is the array of Chrome's "Trace Event Format".
 *
 * Every write ends with the array's closing bracket, which the next one overwrites: the file is JSON between writes, and
 * a process that is killed loses the last tenth of a second. Killed within a write, it leaves whole lines before the one
 * that is cut; the form lets viewers do without the bracket.
 */
import { environmentVariable } from "./environment.ts";

/** Milliseconds between writes. */
const WRITE_EVERY = 100;
const END = "\n]\n";

type Arguments = Readonly<Record<string, unknown>>;

/** The few functions of Node that are needed; Bun and Deno have them too. */
interface Host {
  readonly pid?: number;
  readonly argv?: readonly string[];
  getBuiltinModule?(name: string): unknown;
  on?(event: "exit", listener: () => void): void;
}

/** Collects events and writes them. Times are those of `performance.now()`, in milliseconds. */
export class Tracer {
  readonly #pid: number;
  readonly #write: (text: string, at: number) => number;
  readonly #tracks = new Map<string, number>();
  #waiting: string[] = [];
  /** Where the next event goes: before the closing bracket. */
  #end: number;
  #written = 0;
  #planned = false;
  #asynchronous = 0;

  /** @param write puts the text at a position of the file, and returns its bytes */
  constructor(pid: number, name: string, write: (text: string, at: number) => number) {
    this.#pid = pid;
    this.#write = write;
    const first = this.#event({ ph: "M", name: "process_name", args: { name } });
    this.#end = write(`[\n${first}${END}`, 0) - END.length;
  }

  /** Something that took from `start` until now, or `duration`; those of one track lie beside or within each other. */
  span(track: string, category: string, name: string, start: number, args: Arguments = {}, duration?: number): void {
    const dur = micro(duration ?? performance.now() - start);
    this.#add({ ph: "X", cat: category, name, ts: micro(start), dur, tid: this.#track(track), args });
  }

  /** Something that others of its kind may run beside; call what is returned when it is done. */
  begin(track: string, category: string, name: string, args: Arguments = {}): () => void {
    const shared = { cat: category, name, id: ++this.#asynchronous, tid: this.#track(track) };
    this.#add({ ph: "b", ts: micro(performance.now()), ...shared, args });
    return () => this.#add({ ph: "e", ts: micro(performance.now()), ...shared });
  }

  /** Writes what waits. */
  flush(): void {
    this.#written = performance.now();
    if (this.#waiting.length === 0) return;
    const text = this.#waiting.map((event) => `,\n${event}`).join("");
    this.#waiting = [];
    this.#end += this.#write(text + END, this.#end) - END.length;
  }

  #track(name: string): number {
    const known = this.#tracks.get(name);
    if (known !== undefined) return known;
    const tid = this.#tracks.size + 1;
    this.#tracks.set(name, tid);
    this.#add({ ph: "M", name: "thread_name", tid, args: { name } });
    return tid;
  }

  #event(fields: Arguments): string {
    return JSON.stringify({ pid: this.#pid, tid: 0, ...fields });
  }

  #add(fields: Arguments): void {
    this.#waiting.push(this.#event(fields));
    // A loop that only ever awaits promises lets no timer run: it writes by itself.
    if (performance.now() - this.#written > WRITE_EVERY) this.flush();
    else if (!this.#planned) {
      this.#planned = true;
      const timer = setTimeout(() => {
        this.#planned = false;
        this.flush();
      }, WRITE_EVERY) as { unref?(): void };
      timer.unref?.();
    }
  }
}

/** Microseconds, to the nanosecond. */
function micro(milliseconds: number): number {
  return Math.round(milliseconds * 1e6) / 1e3;
}

/** A tracer into a file. `%p` in its name is the process's number; a worker thread's file has its number at the end. */
function intoFile(asked: string): Tracer {
  const host = (globalThis as { readonly process?: Host }).process!;
  const fs = host.getBuiltinModule?.("node:fs") as typeof import("node:fs") | undefined;
  const workers = host.getBuiltinModule?.("node:worker_threads") as typeof import("node:worker_threads") | undefined;
  if (!fs) throw new Error("HICO_TRACE needs Node 20.16 or later, Bun, or Deno");
  const named = asked.replaceAll("%p", String(host.pid));
  const file = workers && !workers.isMainThread ? `${named}.${workers.threadId}` : named;
  try {
    const handle = fs.openSync(file, "w");
    const tracer = new Tracer(host.pid ?? 1, host.argv?.[1] ?? "hico", (text, at) => fs.writeSync(handle, text, at));
    host.on?.("exit", () => tracer.flush());
    return tracer;
  } catch (error) {
    const why = (error as Error).message;
    throw new Error(`HICO_TRACE: "${file}" cannot be written (${why}); name a file in a folder that exists`);
  }
}

let current: Tracer | undefined;
let asked = false;

/** The tracer, where HICO_TRACE asks for one. @throws Error where its file cannot be written */
export function tracer(): Tracer | undefined {
  if (!asked) {
    const file = environmentVariable("HICO_TRACE");
    if (file !== undefined) current = intoFile(file);
    asked = true;
  }
  return current;
}

/** Runs `work`, and traces how long it took. */
export async function traced<T>(
  track: string,
  category: string,
  name: () => string,
  args: Arguments,
  work: () => Promise<T>,
): Promise<T> {
  const trace = tracer();
  if (!trace) return work();
  const start = performance.now();
  try {
    return await work();
  } finally {
    trace.span(track, category, name(), start, args);
  }
}
