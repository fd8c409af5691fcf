/**
 * A plan made ready to run: its kernels compiled to one module. Replaying it copies the inputs in, fills the table of
 * addresses, and runs the phases on all threads.
 */
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { outside } from "../../tensor/bounds.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { WasmFeatures } from "../../wasm/assembler/features.ts";
import { emitProgram } from "../../wasm/program.ts";
import type { Phase } from "../../wasm/work-sharing.ts";
import { countersOf, emitPhases, phasesOf, unitsOf } from "../../wasm/work-sharing.ts";
import { toDevice } from "../host-data.ts";
import { tracer } from "../trace.ts";
import type { CpuCounters } from "./counters.ts";
import { reportCpuPlan } from "./debug.ts";
import type { Block, CpuMemory } from "./memory.ts";
import type { Location } from "../../wasm/loop-layout.ts";
import type { ProgramLayout, Replay } from "./program-layout.ts";
import { CpuStorage } from "./storage.ts";
import type { ProgramExports, SharedProgram, Threads } from "./threads.ts";
import { PhaseError } from "./threads.ts";

/** What stands behind a leaf in one run. */
export type CpuLeafValue = HostArray | CpuStorage;

/** What runners share. */
export interface Machine {
  readonly memory: CpuMemory;
  readonly threads: Threads;
  readonly features: WasmFeatures;
  readonly counters: CpuCounters;
  /** The arena of this many bytes at least; what was in it is gone. */
  arena(bytes: number): number;
  /** A tensor with memory of its own. */
  store(spec: ValueSpec): CpuStorage;
}

/** Time of one kernel, summed over runs. */
export interface CpuKernelTime {
  readonly name: string;
  runs: number;
  milliseconds: number;
}

let programs = 0;

export class CpuRunner {
  readonly #machine: Machine;
  readonly #replay: Replay;
  /** Names of the functions. */
  readonly #names: readonly string[];
  readonly #exports: ProgramExports;
  readonly #threadBytes: number;
  readonly #kernels: number;
  readonly #table: Block;
  /** Set where several threads have something to do. */
  readonly #shared: SharedProgram | undefined;

  private constructor(machine: Machine, layout: ProgramLayout, instance: WebAssembly.Instance, bytes: Uint8Array) {
    const { entries, ...replay } = layout;
    this.#machine = machine;
    this.#replay = replay;
    this.#names = entries.map(({ kernel }) => kernel.name);
    this.#exports = instance.exports as unknown as ProgramExports;
    this.#threadBytes = Math.max(0, ...entries.map(({ kernel }) => kernel.threadBytes));
    this.#kernels = layout.phases.reduce(
      (sum, stage) =>
        sum + phasesOf([stage]).reduce((n, p) => n + p.kernels.length, 0) * ("body" in stage ? stage.times : 1),
      0,
    );
    this.#table = machine.memory.allocate(4 * layout.tableLength);
    if (machine.threads.count > 1 && phasesOf(layout.phases).some((p) => unitsOf(p) > 1)) {
      const module = machine.memory.allocate(bytes.length);
      machine.memory.bytes.set(bytes, module.address);
      this.#shared = {
        id: ++programs,
        exports: this.#exports,
        module,
        moduleBytes: bytes.length,
        counters: countersOf(layout.phases),
        threadBytes: this.#threadBytes,
      };
    }
  }

  static async prepare(machine: Machine, plan: Plan, layout: ProgramLayout): Promise<CpuRunner> {
    const { memory, features, counters } = machine;
    const { shared } = memory;
    const bytes = emitProgram(layout.entries, features, shared, (module, kernels) =>
      emitPhases(module, kernels, layout.phases, shared),
    );
    counters.modulesCompiled++;
    counters.moduleBytes += bytes.length;
    reportCpuPlan(plan, layout, bytes);
    const module = await WebAssembly.compile(bytes);
    const instance = new WebAssembly.Instance(module, { env: { memory: memory.memory } });
    return new CpuRunner(machine, layout, instance, bytes);
  }

  /**
   * Runs the plan. `given` values are in the order of the graph's leaves; variables have memory.
   *
   * @param times runs kernel by kernel on one thread, and adds what each took
   */
  run(given: readonly CpuLeafValue[], times?: Map<string, CpuKernelTime>): CpuStorage[] {
    const machine = this.#machine;
    const replay = this.#replay;
    const { checks, outputs } = replay;
    const values = given.map((value, i) => this.#inMemory(value, i));
    const { counters, memory, threads } = machine;
    // All memory is taken before anything is written: taking may move the view of it.
    const storages = outputs.map(({ spec }) => machine.store(spec));
    const arena = machine.arena(replay.arenaBytes);
    const own = threads.threadMemory(this.#threadBytes);
    const address = (location: Location): number => {
      const { offset = 0 } = location;
      if (location.kind === "number") return offset;
      if (location.kind === "arena") return arena + offset;
      if (location.kind === "output") return storages[location.output].address + offset;
      const value = values[location.leaf];
      return offset + (value instanceof CpuStorage ? value.address : arena + replay.leaves[location.leaf].at!);
    };
    this.#writeInputs(values, arena);
    const table = new Uint32Array(memory.bytes.buffer, this.#table.address, replay.tableLength);
    replay.table.forEach((location, i) => (table[i] = address(location)));
    for (const { first, base, offset, bases } of replay.loops) {
      const starts = bases.map(address);
      for (let i = 0; i < base.length; i++) table[first + i] = starts[base[i]] + offset[i];
    }

    counters.runs++;
    counters.kernels += this.#kernels;
    try {
      if (times) this.#runTimed(own, times);
      else if (this.#shared) threads.run(this.#shared, this.#table.address);
      else this.#exports.alone(this.#table.address, own);
    } catch (error) {
      throw this.#explain(error);
    }
    machine.features.settle?.();
    try {
      for (const { output, bounds, dtype } of checks) {
        if (output === undefined) continue;
        const [found] = new Uint32Array(memory.bytes.buffer, address(outputs[output].at), 1);
        if (found >= bounds.size) throw outside(bounds, dtype === "i32" ? found | 0 : found);
      }
    } catch (error) {
      for (const storage of storages) storage.dispose();
      throw error;
    }
    const copy = (from: number, to: number, bytes: number): void => {
      if (from === to) return;
      counters.copies++;
      memory.bytes.copyWithin(to, from, from + bytes);
    };
    for (const { from, leaf, bytes } of replay.copies) copy(address(from), address({ kind: "leaf", leaf }), bytes);
    outputs.forEach(({ spec, at }, i) => copy(address(at), storages[i].address, nodeBytes(spec)));
    // What only says how large indices were is not asked for by anyone.
    return storages.filter((_, i) => checks.every((c) => c.output !== i));
  }

  /** A host value that the plan has no place for, with memory of its own. */
  #inMemory(value: CpuLeafValue, leaf: number): CpuLeafValue {
    const { spec, at } = this.#replay.leaves[leaf];
    if (value instanceof CpuStorage || at !== undefined) return value;
    const storage = this.#machine.store(spec);
    this.#write(value, spec, storage.address);
    return storage;
  }

  #write(value: HostArray, { dtype }: ValueSpec, address: number): void {
    const view = toDevice(value, dtype);
    this.#machine.memory.bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), address);
    this.#machine.counters.bytesWritten += view.byteLength;
  }

  #writeInputs(values: readonly CpuLeafValue[], arena: number): void {
    const { bytes } = this.#machine.memory;
    this.#replay.leaves.forEach(({ spec, role, at }, i) => {
      const value = values[i];
      if (!(value instanceof CpuStorage)) this.#write(value, spec, arena + at!);
      else if (role === "parameter") bytes.copyWithin(arena + at!, value.address, value.address + nodeBytes(spec));
    });
  }

  #runTimed(own: number, times: Map<string, CpuKernelTime>): void {
    const functions = this.#exports as unknown as Record<
      string,
      (table: number, begin: number, end: number, own: number) => void
    >;
    const runPhase = ({ kernels }: Phase, row: number): void => {
      for (const { kernel, units, table = 0 } of kernels) {
        const name = this.#names[kernel];
        const start = performance.now();
        functions[`kernel${kernel}`](row + table, 0, units, own);
        const time = times.get(name) ?? { name, runs: 0, milliseconds: 0 };
        times.set(name, time);
        time.runs++;
        const took = performance.now() - start;
        time.milliseconds += took;
        tracer()?.span("kernels (cpu)", "kernel", name, start, { units }, took);
      }
    };
    const { address } = this.#table;
    for (const stage of this.#replay.phases) {
      if (!("body" in stage)) runPhase(stage, address);
      else {
        for (let k = 0; k < stage.times; k++)
          for (const phase of stage.body) runPhase(phase, address + stage.table + k * stage.row);
      }
    }
  }

  /** What went wrong, with the kernel's name where it is known. */
  #explain(error: unknown): unknown {
    if (error instanceof PhaseError) {
      const { kernels } = phasesOf(this.#replay.phases)[error.phase];
      const names = kernels.map(({ kernel }) => this.#names[kernel]).join(" + ");
      const why = error.cause instanceof Error ? `: ${error.cause.message}` : " on a worker thread";
      return new Error(`the cpu device failed in ${names}${why}`, { cause: error.cause });
    }
    if (!(error instanceof WebAssembly.RuntimeError)) return error;
    return new Error(`the cpu device failed in a plan of ${this.#kernels} kernels: ${error.message}`, { cause: error });
  }

  /** Gives the runner's memory back. */
  dispose(): void {
    const { memory, threads } = this.#machine;
    if (this.#shared) {
      threads.forget(this.#shared);
      memory.free(this.#shared.module);
    }
    memory.free(this.#table);
  }
}
