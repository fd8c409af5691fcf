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

/** Bytes of counters a phase has: its claims (64 bits) and how many units are done. */
export const COUNTER_BYTES = 32;
const DONE = 8;

/** Looks at a counter before a thread goes to sleep: some tens of microseconds. */
const SPINS = 4000;
/** Claims that share a phase among threads evenly enough. */
const CLAIMS = 256;
/** Pieces of a kernel on one thread: an engine that has made faster code of it meanwhile runs it from the next call on. */
const PIECES = 16;

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
 * `reset(counters, run)` and `run(table, run, counters, thread, threadMemory, mayBlock)`.
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
          const [kernel, at] = [kernels[call.kernel], tableOf(table, call)];
          const piece = Math.ceil(call.units / PIECES);
          // Of few units none takes long.
          if (piece === 1) f.call(kernel, [at, i32.const(0), i32.const(call.units), threadMemory]);
          else
            f.for(i32.const(0), i32.const(call.units), piece, (first) =>
              f.call(kernel, [at, first, f.least(i32.add(first, i32.const(piece)), call.units), threadMemory]),
            );
        }
      }
    },
    "alone",
  );
  if (!shared) return;
  module.function(
    { parameters: ["i32", "i32"] },
    (f) => {
      const [counters, run] = f.parameters;
      const fresh = f.name(i64.shl(i64.extendI32U(run), i64.const(32)));
      f.for(i32.const(0), i32.const(countersOf(stages) * COUNTER_BYTES), COUNTER_BYTES, (at) => {
        const counter = f.name(i32.add(counters, at));
        f.store(counter, i32.const(0), DONE);
        f.store(counter, fresh);
      });
    },
    "reset",
  );
  module.function(
    { parameters: ["i32", "i32", "i32", "i32", "i32", "i32"] },
    (f) => {
      const [table, , counters, , threadMemory] = f.parameters;
      let [number, counter] = [0, 0];
      stages.forEach((stage, at) => {
        const first = f.name(i32.add(counters, i32.const(counter * COUNTER_BYTES)));
        const isLast = at === stages.length - 1;
        counter += countersOf([stage]);
        if (!("body" in stage)) {
          emitPhase(f, unitsOf(stage), { number, counter: first, isLast }, (from, past) =>
            emitUnits(f, kernels, stage, from, past, { table, threadMemory }),
          );
        } else if (isOnePhase(stage)) {
          emitPhase(f, stage.apart ?? 1, { number, counter: first, isLast }, (from, past) =>
            emitAlone(f, kernels, stage, table, threadMemory, stage.apart ? [from, past] : undefined),
          );
        } else {
          const { body, times, row } = stage;
          const here = number;
          f.for(i32.const(0), i32.const(times), 1, (k) => {
            const own = f.local("i32", i32.add(rowsOf(table, stage), i32.mul(k, i32.const(row))));
            const from = f.local("i32", i32.add(first, i32.mul(k, i32.const(body.length * COUNTER_BYTES))));
            body.forEach((phase, b) => {
              const counter = f.local("i32", i32.add(from, i32.const(b * COUNTER_BYTES)));
              emitPhase(f, unitsOf(phase), { number: here + b, counter, isLast: false }, (begin, past) =>
                emitUnits(f, kernels, phase, begin, past, { table: own, threadMemory }),
              );
            });
          });
        }
        number += "body" in stage ? stage.body.length : 1;
      });
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

/** A phase in the course of a run. */
interface PhaseRun {
  readonly number: number;
  /** Address of its counter. */
  readonly counter: Value;
  readonly isLast: boolean;
}

function emitPhase(
  f: FunctionBuilder,
  units: number,
  { number, counter, isLast }: PhaseRun,
  emitShare: (first: Value, past: Value) => void,
): void {
  const [, run, , thread, , mayBlock] = f.parameters;
  const runOf = (claims: Value): Value => i64.wrap(i64.shrU(claims, i64.const(32)));
  const chunk = Math.max(1, Math.floor(units / CLAIMS));

  f.doWhile(() => {
    const claims = f.local("i64", i64.atomicLoad(counter));
    const first = f.local("i32", i64.wrap(claims));
    f.if(i32.ne(runOf(claims), run), () => f.return());
    const left = f.local("i32", i32.sub(i32.const(units), first));
    f.if(i32.gtS(left, i32.const(0)), () => {
      const count = chunk === 1 ? i32.const(1) : f.least(left, chunk);
      const claimed = i64.add(claims, i64.extendI32U(count));
      f.if(i64.eq(i64.atomicCompareExchange(counter, claims, claimed), claims), () => {
        f.store(i32.shl(thread, i32.const(6)), i32.const(number), CONTROL.phaseOfThread);
        emitShare(first, f.name(i32.add(first, count)));
        const before = i32.atomicAdd(counter, count, DONE);
        f.if(i32.eq(i32.add(before, count), i32.const(units)), () => {
          f.drop(i32.atomicAdd(i32.const(0), i32.const(1), CONTROL.progress));
          f.drop(i32.atomicNotify(i32.const(0), i32.const(-1), CONTROL.progress));
        });
      });
    });
    return i32.gtS(left, i32.const(0));
  });

  const wait = () => {
    const spins = f.local("i32", i32.const(0));
    const unfinished = () => i32.ne(i32.atomicLoad(counter, DONE), i32.const(units));
    f.while(unfinished, () => {
      f.if(i32.ne(runOf(i64.atomicLoad(counter)), run), () => f.return());
      const progress = f.local("i32", i32.atomicLoad(i32.const(0), CONTROL.progress));
      f.if(i32.atomicLoad(i32.const(0), CONTROL.failed), () => f.return());
      f.set(spins, i32.add(spins, i32.const(1)));
      f.if(i32.and(mayBlock, i32.gtS(spins, i32.const(SPINS))), () =>
        f.if(unfinished(), () => f.drop(i32.atomicWait(i32.const(0), progress, CONTROL.progress))),
      );
    });
  };
  // After the last phase only the thread that asked for the run (number 0) has to know that it is over.
  if (isLast) f.if(i32.eqz(thread), wait);
  else wait();
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
    if (parts.length === 1) {
      f.call(kernels[kernel], [tableOf(table, call), first, past, threadMemory]);
      return;
    }
    const at = (x: Value): Value => f.name(i32.sub(x, i32.const(start)));
    const from = at(first);
    const to = at(past);
    const begin = f.name(select(i32.gtS(from, i32.const(0)), from, i32.const(0)));
    const end = f.least(to, units);
    f.if(i32.ltS(begin, end), () => f.call(kernels[kernel], [tableOf(table, call), begin, end, threadMemory]));
    start += units;
  }
}
