/**
 * The `cpu` device: graphs compiled to WebAssembly, remembered by structure, and replayed on all cores.
 */
import type { Graph } from "../../compiler/graph.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { Assignment, Storage } from "../../tensor/backend.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import type { Shape } from "../../tensor/shape.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { WasmFeatures } from "../../wasm/assembler/features.ts";
import { debugLevel } from "../environment.ts";
import { traced, tracer } from "../trace.ts";
import { PlanDevice } from "../plan-device.ts";
import { collectGarbage, prepareCollection } from "../garbage.ts";
import { fromDevice, toDevice } from "../host-data.ts";
import type { CpuCounters } from "./counters.ts";
import { newCpuCounters } from "./counters.ts";
import { chooseThreads, prepareEngine } from "./engine.ts";
import type { Block } from "./memory.ts";
import { CpuMemory, CpuOutOfMemoryError } from "./memory.ts";
import { CpuPlanner } from "./planner.ts";
import { layOut } from "./program-layout.ts";
import type { CpuKernelTime, CpuLeafValue, Machine } from "./runner.ts";
import { CpuRunner } from "./runner.ts";
import { CpuStorage, StorageOwner } from "./storage.ts";
import { Threads } from "./threads.ts";

/** JavaScript does not know how large the tensors are that it could collect: after this many bytes it is told to look. */
const COLLECT_AFTER = 1 << 28;

/**
 * Collections that a run which finds no room waits for: one that meets a marking under way keeps what died during it,
 * and finalizers run in tasks of their own.
 */
const COLLECTIONS = 6;

/** How to open a `CpuDevice`. */
export interface CpuOptions {
  /** Threads, the calling one among them; default HICO_THREADS, else one a core. */
  readonly threads?: number;
}

/** The device `cpu`: plans as WebAssembly SIMD, run by all cores. Open one with `CpuDevice.open` or `device("cpu")`. */
export class CpuDevice extends PlanDevice<CpuStorage, CpuRunner> {
  readonly kind = "cpu";
  readonly name: string;
  readonly features: WasmFeatures;
  /** Kernels run one by one on one thread and are timed; see `kernelTimes`. */
  timing = debugLevel() >= 2 || tracer() !== undefined;
  readonly #counters: CpuCounters = newCpuCounters();
  readonly #memory: CpuMemory;
  readonly #threads: Threads;
  readonly #owner: StorageOwner;
  readonly #planner: CpuPlanner;
  readonly #times = new Map<string, CpuKernelTime>();
  readonly #machine: Machine;
  #arena: Block | undefined;
  #closed = false;

  private constructor(features: WasmFeatures, memory: CpuMemory, threads: Threads, counters: CpuCounters) {
    super();
    this.features = features;
    this.#planner = new CpuPlanner(features);
    this.#counters = counters;
    this.#memory = memory;
    this.#threads = threads;
    this.#owner = new StorageOwner(memory);
    this.name = `cpu (${threads.count} thread${threads.count === 1 ? "" : "s"})`;
    this.#machine = {
      memory,
      threads,
      features,
      counters,
      arena: (bytes) => this.#arenaOf(bytes),
      store: (node) => this.empty(node),
    };
  }

  /** Starts the threads. @throws Error where WebAssembly SIMD is missing */
  static async open(options: CpuOptions = {}): Promise<CpuDevice> {
    const features = await prepareEngine();
    await prepareCollection();
    const count = await chooseThreads(options.threads, features);
    const counters = newCpuCounters();
    const memory = new CpuMemory(count > 1, counters);
    return new CpuDevice(features, memory, await Threads.start(memory, count), counters);
  }

  /** Threads that compute, the calling one among them. */
  get threads(): number {
    return this.#threads.count;
  }

  /** Kernels, modules, bytes so far. */
  get counters(): Readonly<CpuCounters> {
    return this.#counters;
  }

  /** Time of every kernel that ran while `timing` was on, the longest first. */
  kernelTimes(): CpuKernelTime[] {
    return [...this.#times.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  /** A copy of the values on the host, in row-major order. */
  async read(storage: Storage): Promise<HostArray> {
    this.#counters.reads++;
    const { dtype, shape } = storage;
    return traced(
      this.name,
      "read",
      () => "read",
      { dtype, shape },
      async () => this.peek(storage),
    );
  }

  /** As `read`, at once: plans run to their end before anything else does. */
  peek(storage: Storage): HostArray {
    const { address, dtype, shape } = storage as CpuStorage;
    const size = sizeOf(shape);
    return fromDevice(new Uint8Array(this.#memory.bytes.subarray(address, address + 4 * size)).buffer, dtype, size);
  }

  /** Plans run to their end before anything else does: there is nothing to wait for. */
  async synchronize(): Promise<void> {}

  override trim(): void {
    super.trim();
    this.#freeArena();
  }

  /** Ends the threads; tensors on the device can no longer be used. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#threads.close();
  }

  protected checkOpen(): void {
    if (this.#closed) throw new Error("the cpu device was closed");
  }

  protected missing(dtype: DType): string | undefined {
    if (dtype === "f64") return "it exists on the reference device only";
    return dtype === "f16" ? "WebAssembly computes in 32 bits" : undefined;
  }

  protected graphOf(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    return this.#planner.graph(outputs, assignments);
  }

  protected prepare(graph: Graph): Promise<CpuRunner> {
    const plan = this.#planner.plan(graph);
    return CpuRunner.prepare(this.#machine, plan, layOut(plan, this.#planner));
  }

  protected async run(runner: CpuRunner, values: readonly CpuLeafValue[]): Promise<CpuStorage[]> {
    const times = this.timing ? this.#times : undefined;
    if (this.#owner.bytesSince > COLLECT_AFTER) await this.#collect();
    // Memory is taken before anything is computed: with what garbage and other plans held, there may be enough.
    for (let tries = 0; tries < COLLECTIONS; tries++) {
      try {
        return runner.run(values, times);
      } catch (error) {
        if (!(error instanceof CpuOutOfMemoryError)) throw error;
        await this.#collect();
        if (tries > 0) this.#freeArena();
      }
    }
    return runner.run(values, times);
  }

  /** Frees the memory of tensors that nobody refers to. */
  async #collect(): Promise<void> {
    collectGarbage();
    await this.#owner.told();
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

  protected empty({ shape, dtype }: { readonly shape: Shape; readonly dtype: DType }): CpuStorage {
    return new CpuStorage(this, shape, dtype, this.#memory.allocate(nodeBytes({ shape, dtype })), this.#owner);
  }

  protected write({ address, dtype }: CpuStorage, data: HostArray): void {
    const view = toDevice(data, dtype);
    this.#memory.bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), address);
    this.#counters.bytesWritten += view.byteLength;
  }
}
