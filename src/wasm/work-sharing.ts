/**
 * How threads share the kernels of a program. Every thread calls `run` and goes through the same phases; in each it
 * claims units until none is left, and goes on when all are done, no matter by whom. A thread that comes late, or loses
 * its core, holds nobody up unless it is within a unit.
 *
 * A claim counter carries the number of the run in its upper half. A thread that slept through the end of its run finds
 * another number there, and leaves: it can take no unit of a later run.
 */
import type { Callee, FunctionBuilder } from "./assembler/function.ts";
import type { Value } from "./assembler/instructions.ts";
import { i32, i64, select } from "./assembler/instructions.ts";
import type { ModuleBuilder } from "./assembler/module.ts";

/** A call of a kernel, by number. */
export interface Call {
  readonly kernel: number;
  readonly units: number;
  /** Bytes into the table of addresses where those of this call begin; default 0. */
  readonly table?: number;
}

/** Calls that may run side by side. */
export interface Phase {
  readonly kernels: readonly Call[];
  /** Set where the kernels wait for each other all the same: they have one unit each, and one thread runs them. */
  readonly serial?: boolean;
}

/** Phases run again and again: for each time the table of addresses has a row. */
interface LoopPhase {
  readonly body: readonly Phase[];
  readonly times: number;
  /**
   * Set where every kernel has this many units, and units of one number need those of no other: whoever takes a number
   * runs its units of the whole loop.
   */
  readonly apart?: number;
  /** Bytes into the table where the first row begins, and bytes of a row. Calls count from the beginning of a row. */
  readonly table: number;
  readonly row: number;
}

/** What a program does next. */
export type Stage = Phase | LoopPhase;

/** Every phase there is, in order, those of loops once: what `CONTROL.phaseOfThread` counts. */
export function phasesOf(stages: readonly Stage[]): Phase[] {
  return stages.flatMap((stage) => ("body" in stage ? stage.body : [stage]));
}

/** Whether a loop is one phase, of its parts that need each other for nothing, or of one where nothing can be shared. */
const isOnePhase = ({ apart, body }: LoopPhase): number | boolean =>
  apart ?? body.every((phase) => unitsOf(phase) === 1);

/** Counters that a run needs, one for every phase each time it runs. */
export function countersOf(stages: readonly Stage[]): number {
  return stages.reduce((sum, s) => sum + ("body" in s && !isOnePhase(s) ? s.times * s.body.length : 1), 0);
}

/** Addresses of words that all threads know. */
export const CONTROL = {
  /** Bumped when a phase is done or a thread has failed; threads sleep on it. */
  progress: 128,
  /** Not 0: a kernel has failed, and everybody leaves. */
  failed: 192,
  /** The phase that thread t is in: this address + 64·t. */
  phaseOfThread: 256,
} as const;

/** Bytes of counters a phase has: how many units are claimed, in which run, and how many are done. */
export const COUNTER_BYTES = 32;
const RUN = 4;
const DONE = 8;

/** Looks at a counter before a thread goes to sleep: some tens of microseconds. */
const SPINS = 4000;
/** Claims that share a phase among threads evenly enough. */
const CLAIMS = 256;
/** Pieces of a kernel on one thread: an engine that has made faster code of it meanwhile runs it from the next call on. */
const PIECES = 16;

/** Readies as many counters as a run needs, of which no other run is under way. */
export function resetCounters(words: Int32Array, address: number, count: number, run: number): void {
  for (let at = address / 4; count-- > 0; at += COUNTER_BYTES / 4) {
    // The number of the run first: by it a thread that slept through the end of its own knows.
    Atomics.store(words, at + RUN / 4, run);
    words[at] = words[at + DONE / 4] = 0;
  }
}

export function unitsOf({ kernels, serial }: Phase): number {
  return serial ? 1 : kernels.reduce((sum, k) => sum + k.units, 0);
}

/** Puts neighbouring phases of one unit together: one thread runs them, and nobody waits in between. */
export function joinPhases(phases: readonly Phase[]): Phase[];
export function joinPhases(stages: readonly Stage[]): Stage[];
export function joinPhases(stages: readonly Stage[]): Stage[] {
  const joined: Stage[] = [];
  for (const phase of stages) {
    if ("body" in phase) {
      joined.push(phase);
      continue;
    }
    const last = joined[joined.length - 1];
    const single = phase.kernels.every((k) => k.units === 1) && (phase.kernels.length === 1 || phase.serial);
    if (single && last && !("body" in last) && last.serial)
      joined[joined.length - 1] = { kernels: [...last.kernels, ...phase.kernels], serial: true };
    else joined.push(single ? { ...phase, serial: true } : phase);
  }
  return joined;
}

/**
 * Adds `alone(table, threadMemory)`, which runs everything, and, where the memory is shared,
 * `run(table, run, counters, thread, threadMemory, mayBlock)`.
 */
export function emitPhases(
  module: ModuleBuilder,
  kernels: readonly Callee[],
  stages: readonly Stage[],
  shared: boolean,
): void {
  module.function(
    { parameters: ["i32", "i32"] },
    (f) => {
      const [table, threadMemory] = f.parameters;
      for (const stage of stages) {
        if ("body" in stage) {
          emitAlone(f, kernels, stage, table, threadMemory);
          continue;
        }
        for (const call of stage.kernels) {
          // Of few units none takes long.
          const piece = call.units > PIECES ? Math.ceil(call.units / PIECES) : call.units;
          f.scope(() =>
            f.for(i32.const(0), i32.const(call.units), piece, (first) => {
              const past = f.least(i32.add(first, i32.const(piece)), call.units);
              f.call(kernels[call.kernel], [tableOf(table, call), first, past, threadMemory]);
            }),
          );
        }
      }
    },
    "alone",
  );
  if (!shared) return;
  const emitPhase = phaseWriter(module);
  module.function(
    { parameters: ["i32", "i32", "i32", "i32", "i32", "i32"] },
    (f) => {
      const [table, , counters, , threadMemory] = f.parameters;
      let [number, counter] = [0, 0];
      for (const stage of stages) {
        const first = i32.add(counters, i32.const(counter * COUNTER_BYTES));
        counter += countersOf([stage]);
        if (!("body" in stage)) {
          emitPhase(f, unitsOf(stage), first, number, (from, past) =>
            emitUnits(f, kernels, stage, from, past, { table, threadMemory }),
          );
        } else if (isOnePhase(stage)) {
          emitPhase(f, stage.apart ?? 1, first, number, (from, past) =>
            emitAlone(f, kernels, stage, table, threadMemory, [from, past]),
          );
        } else {
          const { body, times, row } = stage;
          f.for(i32.const(0), i32.const(times), 1, (k) => {
            const own = f.local("i32", i32.add(rowsOf(table, stage), i32.mul(k, i32.const(row))));
            const from = f.local("i32", i32.add(first, i32.mul(k, i32.const(body.length * COUNTER_BYTES))));
            body.forEach((phase, b) => {
              const counter = i32.add(from, i32.const(b * COUNTER_BYTES));
              emitPhase(f, unitsOf(phase), counter, number + b, (begin, past) =>
                emitUnits(f, kernels, phase, begin, past, { table: own, threadMemory }),
              );
            });
          });
        }
        number += phasesOf([stage]).length;
      }
    },
    "run",
  );
}

const rowsOf = (table: Value, { table: at }: LoopPhase): Value => i32.add(table, i32.const(at));

/** Runs a loop on this thread: all of it, or some units of every kernel. */
function emitAlone(
  f: FunctionBuilder,
  kernels: readonly Callee[],
  stage: LoopPhase,
  table: Value,
  threadMemory: Value,
  units?: readonly [first: Value, past: Value],
): void {
  f.for(i32.const(0), i32.const(stage.times), 1, (k) => {
    const own = f.local("i32", i32.add(rowsOf(table, stage), i32.mul(k, i32.const(stage.row))));
    for (const call of stage.body.flatMap((phase) => phase.kernels)) {
      const [first, past] = units ?? [i32.const(0), i32.const(call.units)];
      f.call(kernels[call.kernel], [tableOf(own, call), first, past, threadMemory]);
    }
  });
}

const tableOf = (table: Value, call: Call): Value => i32.add(table, i32.const(call.table ?? 0));

/** Writes a phase of so many units into `run`; `share` writes what a thread does with the units that it has claimed. */
type PhaseWriter = (
  f: FunctionBuilder,
  units: number,
  counter: Value,
  number: number,
  share: (first: Value, past: Value) => void,
) => void;

/** Adds what threads share a phase by, as functions of their own: a program has hundreds of phases. */
function phaseWriter(module: ModuleBuilder): PhaseWriter {
  const isOf = (run: Value, counter: Value): Value => i32.eq(i32.atomicLoad(counter, RUN), run);
  // Takes `chunk` units, or what is left; the first, or −1 where nothing is or the run is over.
  const claim = module.function({ parameters: ["i32", "i32", "i32", "i32"], result: "i32" }, (f) => {
    const [counter, run, units, chunk] = f.parameters;
    const claims = f.local("i64");
    const first = f.local("i32");
    const look = (): Value => {
      f.set(claims, i64.atomicLoad(counter));
      f.set(first, i64.wrap(claims));
      return i32.and(isOf(run, counter), i32.ltS(first, units));
    };
    f.while(look, () => {
      const claimed = i64.add(claims, i64.extendI32U(chunk));
      f.if(i64.eq(i64.atomicCompareExchange(counter, claims, claimed), claims), () => f.return(first));
    });
    f.result(i32.const(-1));
  });
  // So many units more are done.
  const finish = module.function({ parameters: ["i32", "i32", "i32"] }, (f) => {
    const [counter, count, units] = f.parameters;
    const before = i32.atomicAdd(counter, count, DONE);
    f.if(i32.eq(i32.add(before, count), units), () => {
      f.drop(i32.atomicAdd(i32.const(0), i32.const(1), CONTROL.progress));
      f.drop(i32.atomicNotify(i32.const(0), i32.const(-1), CONTROL.progress));
    });
  });
  // Until all units are done; 1 where the thread shall leave, else 0.
  const wait = module.function({ parameters: ["i32", "i32", "i32", "i32"], result: "i32" }, (f) => {
    const [counter, run, units, mayBlock] = f.parameters;
    const spins = f.local("i32");
    const progress = f.local("i32");
    const unfinished = () => i32.ne(i32.atomicLoad(counter, DONE), units);
    const leave = () => f.return(i32.const(1));
    f.while(unfinished, () => {
      f.if(i32.eqz(isOf(run, counter)), leave);
      f.set(progress, i32.atomicLoad(i32.const(0), CONTROL.progress));
      f.if(i32.atomicLoad(i32.const(0), CONTROL.failed), leave);
      f.set(spins, i32.add(spins, i32.const(1)));
      f.if(i32.and(mayBlock, i32.gtS(spins, i32.const(SPINS))), () =>
        f.if(unfinished(), () => f.drop(i32.atomicWait(i32.const(0), progress, CONTROL.progress))),
      );
    });
    f.result(i32.const(0));
  });
  return (f, units, counter, number, share) => {
    const [, run, , thread, , mayBlock] = f.parameters;
    const chunk = i32.const(Math.max(1, Math.floor(units / CLAIMS)));
    const all = i32.const(units);
    f.store(i32.shl(thread, i32.const(6)), i32.const(number), CONTROL.phaseOfThread);
    f.scope(() => {
      const first = f.local("i32", i32.const(0));
      const claimed = (): Value => {
        f.set(first, f.call(claim, [counter, run, all, chunk])!);
        return i32.geS(first, i32.const(0));
      };
      f.while(claimed, () => {
        const past = f.least(i32.add(first, chunk), units);
        share(first, past);
        f.call(finish, [counter, i32.sub(past, first), all]);
      });
    });
    f.if(f.call(wait, [counter, run, all, mayBlock])!, () => f.return());
  };
}

/** Units `first` up to `past` of a phase, its kernels' units counted one kernel after the other. */
function emitUnits(
  f: FunctionBuilder,
  kernels: readonly Callee[],
  { kernels: parts, serial }: Phase,
  first: Value,
  past: Value,
  { table, threadMemory }: { table: Value; threadMemory: Value },
): void {
  if (serial) {
    for (const call of parts)
      f.call(kernels[call.kernel], [tableOf(table, call), i32.const(0), i32.const(1), threadMemory]);
    return;
  }
  let start = 0;
  for (const call of parts) {
    const { kernel, units } = call;
    const at = (x: Value): Value => f.name(i32.sub(x, i32.const(start)));
    if (parts.length === 1) f.call(kernels[kernel], [tableOf(table, call), first, past, threadMemory]);
    else
      f.scope(() => {
        const [from, to] = [at(first), at(past)];
        const begin = f.name(select(i32.gtS(from, i32.const(0)), from, i32.const(0)));
        const end = f.least(to, units);
        f.if(i32.ltS(begin, end), () => f.call(kernels[kernel], [tableOf(table, call), begin, end, threadMemory]));
      });
    start += units;
  }
}
