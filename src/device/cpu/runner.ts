/**
 * A plan made ready to run: its kernels compiled to one module. Replaying it copies the inputs in, fills the table of
 * addresses, and runs the phases on all threads.
 */
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { outside } from "../../tensor/bounds.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
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
import type { ProgramLayout } from "./program-layout.ts";
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
  store(node: { readonly shape: Node["shape"]; readonly dtype: Node["dtype"] }): CpuStorage;
}

/** Time of one kernel, summed over runs. */
export interface CpuKernelTime {
  readonly name: string;
  runs: number;
  milliseconds: number;
}

let programs = 0;

export class CpuRunner {
  readonly plan: Plan;
  readonly #machine: Machine;
  readonly #layout: ProgramLayout;
  readonly #exports: ProgramExports;
  readonly #threadBytes: number;
  readonly #kernels: number;
  readonly #table: Block;
  /** Set where several threads have something to do. */
  readonly #shared: SharedProgram | undefined;

  private constructor(
    machine: Machine,
    plan: Plan,
    layout: ProgramLayout,
    instance: WebAssembly.Instance,
    bytes: Uint8Array,
  ) {
    this.#machine = machine;
    this.plan = plan;
    this.#layout = layout;
    this.#exports = instance.exports as unknown as ProgramExports;
    this.#threadBytes = Math.max(0, ...layout.entries.map((e) => e.kernel.threadBytes));
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
    return new CpuRunner(
      machine,
      plan,
      layout,
      new WebAssembly.Instance(module, { env: { memory: memory.memory } }),
      bytes,
    );
  }

  /**
   * Runs the plan. `given` values are in the order of the graph's leaves; variables have memory.
   *
   * @param times runs kernel by kernel on one thread, and adds what each took
   */
  run(given: readonly CpuLeafValue[], times?: Map<string, CpuKernelTime>): CpuStorage[] {
    const machine = this.#machine;
    const values = given.map((value, i) => this.#inMemory(value, i));
    const { counters, memory, threads } = machine;
    const { graph } = this.plan;
    const layout = this.#layout;
    // All memory is taken before anything is written: taking may move the view of it.
    const storages = graph.outputs.map((node) => machine.store(node));
    const arena = machine.arena(layout.arenaBytes);
    const own = threads.threadMemory(this.#threadBytes);
    const address = (location: Location): number => {
      switch (location.kind) {
        case "arena":
          return arena + location.offset;
        case "output":
          return storages[location.output].address + (location.offset ?? 0);
        case "leaf": {
          const value = values[location.leaf];
          const at = value instanceof CpuStorage ? value.address : arena + layout.staging[location.leaf]!;
          return at + (location.offset ?? 0);
        }
      }
    };
    this.#writeInputs(values, arena);
    const table = new Uint32Array(memory.bytes.buffer, this.#table.address, layout.tableLength);
    layout.table.forEach((location, i) => (table[i] = address(location)));
    for (const { first, base, offset, bases } of layout.loops) {
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
    try {
      for (const { output, bounds, dtype } of graph.checks) {
        if (output === undefined) continue;
        const [found] = new Uint32Array(memory.bytes.buffer, address(layout.locate(graph.outputs[output])), 1);
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
    for (const { from, leaf } of this.plan.copies)
      copy(address(layout.locate(from)), address({ kind: "leaf", leaf }), nodeBytes(from));
    graph.outputs.forEach((node, i) => copy(address(layout.locate(node)), storages[i].address, nodeBytes(node)));
    // What only says how large indices were is not asked for by anyone.
    return storages.filter((_, i) => graph.checks.every((c) => c.output !== i));
  }

  /** A host value that the plan has no place for, with memory of its own. */
  #inMemory(value: CpuLeafValue, leaf: number): CpuLeafValue {
    const { role, node } = this.plan.graph.leaves[leaf];
    if (value instanceof CpuStorage || role === "parameter" || this.#layout.staging[leaf] !== undefined) return value;
    const storage = this.#machine.store(node);
    this.#write(value, node, storage.address);
    return storage;
  }

  #write(value: HostArray, { dtype }: Node, address: number): void {
    const view = toDevice(value, dtype);
    this.#machine.memory.bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), address);
    this.#machine.counters.bytesWritten += view.byteLength;
  }

  #writeInputs(values: readonly CpuLeafValue[], arena: number): void {
    const { bytes } = this.#machine.memory;
    const { parameters, staging } = this.#layout;
    this.plan.graph.leaves.forEach(({ role, node, offset }, i) => {
      const value = values[i];
      const word = arena + parameters + 4 * offset;
      if (!(value instanceof CpuStorage)) this.#write(value, node, role === "parameter" ? word : arena + staging[i]!);
      else if (role === "parameter") bytes.copyWithin(word, value.address, value.address + nodeBytes(node));
    });
  }

  #runTimed(own: number, times: Map<string, CpuKernelTime>): void {
    const functions = this.#exports as unknown as Record<
      string,
      (table: number, begin: number, end: number, own: number) => void
    >;
    const runPhase = ({ kernels }: Phase, row: number): void => {
      for (const { kernel, units, table = 0 } of kernels) {
        const { name } = this.#layout.entries[kernel].kernel;
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
    for (const stage of this.#layout.phases) {
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
      const { kernels } = phasesOf(this.#layout.phases)[error.phase];
      const names = kernels.map(({ kernel }) => this.#layout.entries[kernel].kernel.name).join(" + ");
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
