/**
 * The `cpu` device: graphs compiled to WebAssembly, remembered by structure, and replayed on all cores.
 */
import type { Graph } from "../../compiler/graph.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { Assignment, Backend, CompiledStep, Storage } from "../../tensor/backend.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { WasmFeatures } from "../../wasm/features.ts";
import { debugLevel } from "../environment.ts";
import { collectGarbage, prepareCollection } from "../webgpu/garbage.ts";
import { fromDevice, toDevice } from "../webgpu/host-data.ts";
import type { CpuCounters } from "./counters.ts";
import { newCounters } from "./counters.ts";
import { chooseThreads, prepareEngine } from "./engine.ts";
import type { Block } from "./memory.ts";
import { CpuMemory, CpuOutOfMemoryError } from "./memory.ts";
import { CpuPlanner } from "./planner.ts";
import { layOut } from "./program-layout.ts";
import type { KernelTime, LeafValue, Machine } from "./runner.ts";
import { Runner } from "./runner.ts";
import { CpuStorage, StorageOwner } from "./storage.ts";
import { Threads } from "./threads.ts";

/** JavaScript does not know how large the tensors are that it could collect: after this many bytes it is told to look. */
const COLLECT_AFTER = 1 << 28;

/** Plans remembered; the least recently used is forgotten. */
const MAX_PLANS = 256;

export interface CpuOptions {
  /** Threads, the calling one among them; default HICO_THREADS, else one a core. */
  readonly threads?: number;
}

export class CpuDevice implements Backend {
  readonly kind = "cpu";
  readonly name: string;
  readonly features: WasmFeatures;
  /** Kernels run one by one on one thread and are timed; see `kernelTimes`. */
  timing = debugLevel() >= 2;
  readonly #counters: CpuCounters = newCounters();
  readonly #memory: CpuMemory;
  readonly #threads: Threads;
  readonly #owner: StorageOwner;
  readonly #planner = new CpuPlanner();
  readonly #runners = new Map<string, Runner>();
  /** How often a host tensor took part in a plan; the second time it is given memory of its own. */
  readonly #uses = new WeakMap<Node, number>();
  readonly #times = new Map<string, KernelTime>();
  readonly #machine: Machine;
  #arena: Block | undefined;
  #closed = false;

  private constructor(features: WasmFeatures, memory: CpuMemory, threads: Threads, counters: CpuCounters) {
    this.features = features;
    this.#counters = counters;
    this.#memory = memory;
    this.#threads = threads;
    this.#owner = new StorageOwner(memory);
    this.name = `cpu (${threads.count} thread${threads.count === 1 ? "" : "s"})`;
    this.#machine = {
      memory, threads, features, counters,
      arena: (bytes) => this.#arenaOf(bytes),
      store: (node) => this.#empty(node),
    };
  }

  /** Starts the threads. @throws Error where WebAssembly SIMD is missing */
  static async open(options: CpuOptions = {}): Promise<CpuDevice> {
    const features = await prepareEngine();
    await prepareCollection();
    const count = await chooseThreads(options.threads, features);
    const counters = newCounters();
    const memory = new CpuMemory(count > 1, counters);
    return new CpuDevice(features, memory, await Threads.start(memory, count), counters);
  }

  get threads(): number {
    return this.#threads.count;
  }

  supports(dtype: DType): boolean {
    return dtype !== "f64" && dtype !== "f16";
  }

  /** Kernels, modules, bytes so far. */
  get counters(): Readonly<CpuCounters> {
    return this.#counters;
  }

  /** Plans compiled and still remembered. */
  get plans(): number {
    return this.#runners.size;
  }

  /** Time of every kernel that ran while `timing` was on, the longest first. */
  kernelTimes(): KernelTime[] {
    return [...this.#times.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  async realize(outputs: readonly Node[], assignments: readonly Assignment[]): Promise<Storage[]> {
    this.#checkOpen();
    const uploads = outputs.every((n) => n.op.kind === "data") && assignments.every((a) => isFreshUpload(a));
    if (uploads) return this.#upload(outputs, assignments);
    const graph = this.#graph(outputs, assignments);
    const runner = await this.#runner(graph);
    return this.#run(runner, graph.leaves.map((leaf) => this.#leafValue(leaf.source, true)));
  }

  async compile(inputs: readonly Node[], outputs: readonly Node[], assignments: readonly Assignment[]): Promise<CompiledStep> {
    this.#checkOpen();
    const graph = this.#graph(outputs, assignments);
    const runner = await this.#prepare(graph);
    const inputOf = new Map(inputs.map((node, i) => [node, i]));
    // Constants of the function are copied in once.
    const constants = new Map<Node, CpuStorage>();
    for (const { source, role } of graph.leaves) {
      if (role === "buffer" && source.op.kind === "data" && !source.op.refresh && !inputOf.has(source)) {
        constants.set(source, this.#store(source, source.op.data));
      }
    }
    // The first run takes what tracing drew, so that a compiled step draws what a traced one does.
    let traced = true;
    return {
      run: async (given) => {
        this.#checkOpen();
        const values = graph.leaves.map(({ source }) => {
          const at = inputOf.get(source);
          if (at !== undefined) return given[at] as LeafValue;
          if (traced && source.op.kind === "data" && source.op.refresh) return source.op.data;
          return constants.get(source) ?? this.#leafValue(source, false);
        });
        traced = false;
        return this.#run(runner, values);
      },
    };
  }

  async read(storage: Storage): Promise<HostArray> {
    const { address, dtype, shape } = storage as CpuStorage;
    const size = sizeOf(shape);
    this.#counters.reads++;
    return fromDevice(new Uint8Array(this.#memory.bytes.subarray(address, address + 4 * size)).buffer, dtype, size);
  }

  /** Plans run to their end before anything else does: there is nothing to wait for. */
  async synchronize(): Promise<void> {}

  /** Forgets all plans and frees the memory they hold. Tensors and variables stay. */
  trim(): void {
    for (const runner of this.#runners.values()) runner.dispose();
    this.#runners.clear();
    this.#freeArena();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#threads.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("the cpu device was closed");
  }

  // --- planning

  #graph(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    const graph = this.#planner.graph(outputs, assignments);
    for (const node of graph.nodes) {
      if (this.supports(node.dtype)) continue;
      const hint = node.dtype === "f64" ? "it exists on the reference device only" : "WebAssembly computes in 32 bits";
      throw new Error(`${this.name} has no ${node.dtype} tensors: ${hint}; cast to f32 with .cast("f32")`);
    }
    return graph;
  }

  #prepare(graph: Graph): Promise<Runner> {
    const plan = this.#planner.plan(graph);
    return Runner.prepare(this.#machine, plan, layOut(plan, (kernel) => this.#planner.lower(kernel)));
  }

  async #runner(graph: Graph): Promise<Runner> {
    let runner = this.#runners.get(graph.key);
    if (runner) this.#runners.delete(graph.key);
    else runner = await this.#prepare(graph);
    this.#runners.set(graph.key, runner);
    if (this.#runners.size > MAX_PLANS) {
      const [oldest, dropped] = this.#runners.entries().next().value!;
      this.#runners.delete(oldest);
      dropped.dispose();
    }
    return runner;
  }

  async #run(runner: Runner, values: readonly LeafValue[]): Promise<CpuStorage[]> {
    const times = this.timing ? this.#times : undefined;
    if (this.#owner.bytesSince > COLLECT_AFTER) await this.#collect();
    try {
      return runner.run(values, times);
    } catch (error) {
      if (!(error instanceof CpuOutOfMemoryError)) throw error;
      // Memory is taken before anything is computed: with what garbage and other plans held, there may be enough.
      await this.#collect();
      this.#freeArena();
      return runner.run(values, times);
    }
  }

  /** Frees the memory of tensors that nobody refers to. */
  async #collect(): Promise<void> {
    collectGarbage();
    this.#owner.bytesSince = 0;
    // What was collected is told in a task of its own.
    for (let i = 0; i < 2; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  }

  #arenaOf(bytes: number): number {
    if (!this.#arena || this.#arena.size < bytes) {
      this.#freeArena();
      this.#arena = this.#memory.allocate(bytes);
    }
    return this.#arena.address;
  }

  #freeArena(): void {
    if (this.#arena) this.#memory.free(this.#arena);
    this.#arena = undefined;
  }

  // --- leaves

  #leafValue(node: Node, promote: boolean): LeafValue {
    const op = node.op;
    switch (op.kind) {
      case "storage":
        return op.storage as CpuStorage;
      case "variable":
        if (!op.variable.storage) {
          op.variable.storage = this.#empty(node);
          op.variable.device = this;
        }
        return op.variable.storage as CpuStorage;
      case "data": {
        if (op.refresh) return promote ? op.data : op.refresh();
        if (!promote || sizeOf(node.shape) <= 16) return op.data;
        const uses = (this.#uses.get(node) ?? 0) + 1;
        this.#uses.set(node, uses);
        if (uses < 2) return op.data;
        const storage = this.#store(node, op.data);
        node.become({ kind: "storage", storage });
        return storage;
      }
      default:
        throw new Error(`internal: ${op.kind} is no leaf`);
    }
  }

  #empty(node: { readonly shape: Node["shape"]; readonly dtype: DType }): CpuStorage {
    return new CpuStorage(this, node.shape, node.dtype, this.#memory.allocate(nodeBytes(node)), this.#owner);
  }

  #store(node: { readonly shape: Node["shape"]; readonly dtype: DType }, data: HostArray): CpuStorage {
    if (!this.supports(node.dtype)) throw new Error(`${this.name} has no ${node.dtype} tensors; cast to f32 first`);
    const storage = this.#empty(node);
    const view = toDevice(data, node.dtype);
    this.#memory.bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), storage.address);
    this.#counters.bytesWritten += view.byteLength;
    return storage;
  }

  #upload(outputs: readonly Node[], assignments: readonly Assignment[]): Storage[] {
    for (const { variable, value } of assignments) {
      if (value.op.kind !== "data") continue;
      variable.storage = this.#store(value, value.op.data);
      variable.device = this;
    }
    return outputs.map((node) => this.#store(node, node.op.kind === "data" ? node.op.data : new Float32Array(0)));
  }
}

/** A first value that is plain host data: it needs no kernel. */
function isFreshUpload({ variable, value }: Assignment): boolean {
  return !variable.storage && value.op.kind === "data" && !value.op.refresh;
}
