/**
 * The `webgpu` device: graphs compiled to WGSL plans, remembered by structure, and replayed.
 */
import type { Graph } from "../../compiler/graph.ts";
import type { FusedKernel, MatmulKernel } from "../../compiler/kernels.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { MatmulTile } from "../../shaders/matmul.ts";
import { parseTile } from "../../shaders/matmul.ts";
import type { Assignment, Backend, CompiledStep, Storage } from "../../tensor/backend.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { environmentVariable } from "../environment.ts";
import { adapterName } from "./describe.ts";
import type { Counters } from "./counters.ts";
import type { GpuOptions } from "./gpu.ts";
import { Gpu } from "./gpu.ts";
import { fromDevice, toDevice } from "./host-data.ts";
import { Planner } from "./planner.ts";
import type { LeafValue } from "./runner.ts";
import { Runner } from "./runner.ts";
import { GpuMemory, GpuStorage } from "./storage.ts";
import { TileTuner } from "./tune.ts";
import type { KernelTime } from "./timing.ts";

/** Plans remembered; the least recently used gives its memory back. */
const MAX_PLANS = 256;

export interface WebGpuOptions extends GpuOptions {
  /** Measure matmul tiles and remember the fastest; default HICO_AUTOTUNE=1. Results may differ in their last bits. */
  readonly autotune?: boolean;
}

export class WebGpuDevice implements Backend {
  readonly kind = "webgpu";
  readonly name: string;
  readonly gpu: Gpu;
  readonly #memory: GpuMemory;
  readonly #runners = new Map<string, Runner>();
  /** How often a host tensor took part in a plan; the second time it is given memory of its own. */
  readonly #uses = new WeakMap<Node, number>();
  readonly #planner: Planner;
  readonly #tile: MatmulTile | undefined;
  readonly #tuner: TileTuner | undefined;

  private constructor(gpu: Gpu, autotune: boolean) {
    this.gpu = gpu;
    this.name = `webgpu (${adapterName(gpu.info)})`;
    this.#memory = new GpuMemory(gpu);
    const tile = environmentVariable("HICO_MATMUL_TILE");
    this.#tile = tile ? parseTile(tile) : undefined;
    this.#tuner = autotune ? new TileTuner(gpu) : undefined;
    this.#planner = new Planner(gpu, { tile: this.#tile, measuresTiles: autotune });
  }

  /** Opens the adapter that fits the options. @throws GpuError where there is none. */
  static async open(options: WebGpuOptions = {}): Promise<WebGpuDevice> {
    return new WebGpuDevice(await Gpu.open(options), options.autotune ?? environmentVariable("HICO_AUTOTUNE") === "1");
  }

  supports(dtype: DType): boolean {
    return dtype !== "f64" && (dtype !== "f16" || this.gpu.profile.f16);
  }

  /** Dispatches, submits, buffers, bind groups, pipelines and bytes so far. */
  get counters(): Readonly<Counters> {
    return this.gpu.counters;
  }

  /** Plans compiled and still remembered. */
  get plans(): number {
    return this.#runners.size;
  }

  /** Time of every kernel that ran while timing was on (HICO_DEBUG ≥ 2, or `gpu.timing = true`). */
  kernelTimes(): Promise<KernelTime[]> {
    return this.gpu.kernelTimes();
  }

  async realize(outputs: readonly Node[], assignments: readonly Assignment[]): Promise<Storage[]> {
    const uploads = outputs.every((n) => n.op.kind === "data") && assignments.every((a) => isFreshUpload(a));
    if (uploads) return this.#upload(outputs, assignments);
    const graph = this.#graph(outputs, assignments);
    const runner = await this.#runner(graph);
    const values = graph.leaves.map((leaf) => this.#leafValue(leaf.source, true));
    const storages = runner.run(this, values);
    await this.gpu.throttle();
    return storages;
  }

  async compile(inputs: readonly Node[], outputs: readonly Node[], assignments: readonly Assignment[]): Promise<CompiledStep> {
    const graph = this.#graph(outputs, assignments);
    const plan = this.#planner.plan(graph);
    const runner = await Runner.prepare(this.gpu, this.#memory, plan, this.#runnerOptions());
    const inputOf = new Map(inputs.map((node, i) => [node, i]));
    // Constants of the function are uploaded once.
    const constants = new Map<Node, GpuStorage>();
    for (const { source, role } of graph.leaves) {
      if (role === "buffer" && source.op.kind === "data" && !source.op.refresh && !inputOf.has(source)) {
        constants.set(source, this.#store(source, source.op.data));
      }
    }
    // The first run takes what tracing drew, so that a compiled step draws what a traced one does.
    let traced = true;
    return {
      run: async (given) => {
        const values = graph.leaves.map(({ source }) => {
          const at = inputOf.get(source);
          if (at !== undefined) return given[at] as LeafValue;
          if (traced && source.op.kind === "data" && source.op.refresh) return source.op.data;
          return constants.get(source) ?? this.#leafValue(source, false);
        });
        traced = false;
        const storages = runner.run(this, values);
        await this.gpu.throttle();
        return storages;
      },
    };
  }

  async read(storage: Storage): Promise<HostArray> {
    const { slice, dtype, shape } = storage as GpuStorage;
    const size = sizeOf(shape);
    if (size === 0) return fromDevice(new ArrayBuffer(0), dtype, 0);
    const bytes = await this.gpu.read(slice.buffer, slice.offset ?? 0, nodeBytes({ shape, dtype }));
    return fromDevice(bytes, dtype, size);
  }

  synchronize(): Promise<void> {
    return this.gpu.idle();
  }

  /** Forgets all plans and frees the memory they and the pool hold. Tensors and variables stay. */
  trim(): void {
    for (const runner of this.#runners.values()) runner.dispose();
    this.#runners.clear();
    this.gpu.trim();
  }

  close(): void {
    this.gpu.close();
  }

  // --- planning

  #graph(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    const graph = this.#planner.graph(outputs, assignments);
    for (const node of graph.nodes) {
      if (!this.supports(node.dtype)) {
        const hint = node.dtype === "f64" ? "it exists on the reference device only" : "the adapter has no shader-f16";
        throw new Error(`${this.name} has no ${node.dtype} tensors: ${hint}; cast to f32 with .cast("f32")`);
      }
    }
    return graph;
  }

  async #runner(graph: Graph): Promise<Runner> {
    let runner = this.#runners.get(graph.key);
    if (runner) this.#runners.delete(graph.key);
    else runner = await Runner.prepare(this.gpu, this.#memory, this.#planner.plan(graph), this.#runnerOptions());
    this.#runners.set(graph.key, runner);
    if (this.#runners.size > MAX_PLANS) {
      const [oldest, dropped] = this.#runners.entries().next().value!;
      this.#runners.delete(oldest);
      dropped.dispose();
    }
    return runner;
  }

  #runnerOptions() {
    return {
      lower: (kernel: FusedKernel) => this.#planner.lower(kernel),
      tileFor: async (kernel: MatmulKernel) => this.#tile ?? (await this.#tuner?.tileFor(kernel)),
    };
  }

  // --- leaves

  #leafValue(node: Node, promote: boolean): LeafValue {
    const op = node.op;
    switch (op.kind) {
      case "storage":
        return op.storage as GpuStorage;
      case "variable":
        if (!op.variable.storage) {
          op.variable.storage = this.#empty(node);
          op.variable.device = this;
        }
        return op.variable.storage as GpuStorage;
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

  #empty(node: { shape: Node["shape"]; dtype: DType }): GpuStorage {
    // Variables have a buffer of their own even when small: they are bound, not copied.
    const buffer = this.gpu.acquire(nodeBytes(node));
    return new GpuStorage(this, node.shape, node.dtype, { slice: { buffer }, free: () => this.gpu.release(buffer) }, this.#memory);
  }

  #store(node: { shape: Node["shape"]; dtype: DType }, data: HostArray): GpuStorage {
    if (!this.supports(node.dtype)) throw new Error(`${this.name} has no ${node.dtype} tensors; cast to f32 first`);
    const storage = this.#empty(node);
    this.gpu.write(storage.slice.buffer, 0, toDevice(data, node.dtype));
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
