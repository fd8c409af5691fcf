/**
 * The `webgpu` device: graphs compiled to WGSL plans, remembered by structure, and replayed.
 */
import { greatestOf } from "../../compiler/graph.ts";
import type { Graph } from "../../compiler/graph.ts";
import type { Plan } from "../../compiler/plan.ts";
import type { FusedKernel, MatmulKernel } from "../../compiler/kernels.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { MatmulTile } from "../../shaders/matmul/product.ts";
import { parseTile } from "../../shaders/matmul/matmul.ts";
import type { Assignment, Storage } from "../../tensor/backend.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import type { Bounds } from "../../tensor/bounds.ts";
import { Node } from "../../tensor/node.ts";
import type { Shape } from "../../tensor/shape.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { environmentVariable } from "../environment.ts";
import { PlanDevice } from "../plan-device.ts";
import { adapterName } from "./gpu/describe.ts";
import type { Counters } from "./gpu/counters.ts";
import type { GpuOptions } from "./gpu/gpu.ts";
import { Gpu } from "./gpu/gpu.ts";
import { fromDevice, toDevice } from "../host-data.ts";
import { tracer } from "../trace.ts";
import { IndexChecks } from "./index-checks.ts";
import { Planner } from "./planner.ts";
import type { WebGpuLeafValue } from "./runner.ts";
import { WebGpuRunner } from "./runner.ts";
import { GpuMemory, GpuStorage } from "./storage.ts";
import { TileTuner } from "./tune.ts";
import type { GpuKernelTime } from "./gpu/timing.ts";

/** How to open a `WebGpuDevice`: which adapter, and what is remembered. */
export interface WebGpuOptions extends GpuOptions {
  /**
   * Measure matmul tiles in the background of the first steps and remember the fastest, by adapter and driver, in the
   * cache folder. Default HICO_AUTOTUNE (1 or 0), else on real GPUs. Last bits of results depend on the tiles.
   */
  readonly autotune?: boolean;
  /**
   * Whether indices and labels that only the device has (computed, or results of earlier runs) are held to their range;
   * default true, unless HICO_CHECK_INDICES=0. A RangeError comes with the next read, since nobody waits for a run.
   */
  readonly checkIndices?: boolean;
}

/** Runs of a plan after which its products are measured: what is computed once is not worth it. */
const RUNS_BEFORE_TUNING = 3;

/** A plan that is not tuned yet. */
interface Untuned {
  readonly plan: Plan;
  runs: number;
}

/**
 * The device `webgpu`: plans as WGSL kernels on a WebGPU adapter. Open one with `WebGpuDevice.open` or
 * `device("webgpu")`.
 */
export class WebGpuDevice extends PlanDevice<GpuStorage, WebGpuRunner> {
  readonly kind = "webgpu";
  readonly name: string;
  readonly gpu: Gpu;
  readonly #memory: GpuMemory;
  readonly #planner: Planner;
  readonly #untuned = new WeakMap<WebGpuRunner, Untuned>();
  readonly #tuner: TileTuner | undefined;

  /** What runs have found of indices, until somebody reads. */
  readonly #indices: IndexChecks;
  readonly #checksIndices: boolean;
  /** Indices in memory, and what they have been held to. */
  readonly #looked = new WeakMap<GpuStorage, Bounds[]>();

  private constructor(gpu: Gpu, autotune: boolean, checksIndices: boolean) {
    super();
    this.gpu = gpu;
    this.name = `webgpu (${adapterName(gpu.info)})`;
    this.#memory = new GpuMemory(gpu);
    const given = environmentVariable("HICO_MATMUL_TILE");
    const tile: MatmulTile | undefined = given ? parseTile(given) : undefined;
    this.#tuner = autotune && !tile ? new TileTuner(gpu) : undefined;
    const tileOf = (kernel: MatmulKernel): MatmulTile | undefined => tile ?? this.#tuner?.remembered(kernel);
    this.#planner = new Planner(gpu, { tileOf, checksIndices });
    this.#indices = new IndexChecks(gpu);
    this.#checksIndices = checksIndices;
  }

  /** Opens the adapter that fits the options. @throws GpuError where there is none. */
  static async open(options: WebGpuOptions = {}): Promise<WebGpuDevice> {
    const { autotune, checkIndices } = options;
    const gpu = await Gpu.open(options);
    const asked = environmentVariable("HICO_AUTOTUNE");
    return new WebGpuDevice(
      gpu,
      autotune ?? (asked ? asked === "1" : !gpu.info.isSoftware),
      checkIndices ?? environmentVariable("HICO_CHECK_INDICES") !== "0",
    );
  }

  /** Dispatches, submits, buffers, bind groups, pipelines and bytes so far. */
  get counters(): Readonly<Counters> {
    return this.gpu.counters;
  }

  /** Time of every kernel that ran while timing was on (HICO_DEBUG ≥ 2, or `gpu.timing = true`). */
  kernelTimes(): Promise<GpuKernelTime[]> {
    return this.gpu.kernelTimes();
  }

  /**
   * A copy of the values on the host, in row-major order, once the device has come to them.
   *
   * @throws RangeError where a run since the last read was given an index outside its range
   */
  async read(storage: Storage): Promise<HostArray> {
    const { slice, dtype, shape } = storage as GpuStorage;
    const size = sizeOf(shape);
    if (size === 0) return fromDevice(new ArrayBuffer(0), dtype, 0);
    const done = tracer()?.begin(this.name, "read", "read", { dtype, shape });
    const bytes = await this.#indices.read({
      buffer: slice.buffer,
      offset: slice.offset ?? 0,
      bytes: nodeBytes({ shape, dtype }),
    });
    done?.();
    return fromDevice(bytes, dtype, size);
  }

  /** Waits until everything submitted has run. @throws RangeError as `read` does */
  async synchronize(): Promise<void> {
    await this.#indices.look();
    await this.gpu.idle();
  }

  override trim(): void {
    super.trim();
    this.gpu.trim();
  }

  /** Destroys the device; tensors on it can no longer be used. */
  close(): void {
    this.gpu.close();
  }

  protected missing(dtype: DType): string | undefined {
    if (dtype === "f64") return "it exists on the reference device only";
    return dtype === "f16" && !this.gpu.profile.f16 ? "the adapter has no shader-f16" : undefined;
  }

  protected graphOf(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    return this.#planner.graph(outputs, assignments);
  }

  protected async prepare(graph: Graph): Promise<WebGpuRunner> {
    await this.#tuner?.ready();
    const plan = this.#planner.plan(graph);
    const runner = await this.#prepareRunner(plan);
    const hasProducts = plan.steps.some(({ kernels }) => kernels.some(({ kind }) => kind === "matmul"));
    if (this.#tuner && hasProducts) this.#untuned.set(runner, { plan, runs: 0 });
    return runner;
  }

  #prepareRunner(plan: Plan): Promise<WebGpuRunner> {
    return WebGpuRunner.prepare(this.gpu, this.#memory, plan, {
      lower: (kernel: FusedKernel) => this.#planner.lower(kernel),
      loop: (kernel: FusedKernel) => this.#planner.loop(kernel),
      plan: (inner: Graph) => this.#planner.plan(inner),
      tileOf: (kernel: MatmulKernel) => this.#planner.tileOf(kernel),
    });
  }

  protected async run(runner: WebGpuRunner, values: readonly WebGpuLeafValue[]): Promise<GpuStorage[]> {
    const storages = runner.current.run(this, values);
    if (this.#tuner) this.#tuneAfter(runner, this.#tuner);
    await this.gpu.throttle();
    return this.#indices.note(runner.checks, storages);
  }

  protected override async checkUnseen(indices: GpuStorage, bounds: Bounds): Promise<void> {
    const looked = this.#looked.get(indices) ?? [];
    // What lies in memory does not change: once is enough.
    if (!this.#checksIndices || looked.some((b) => b.size === bounds.size && b.ignore === bounds.ignore)) return;
    this.#looked.set(indices, [...looked, bounds]);
    const { shape, dtype } = indices;
    const node = new Node({ kind: "storage", storage: indices }, [], shape, dtype);
    const [greatest] = await this.realize([greatestOf(new Tensor(node), bounds).node], []);
    await this.#indices.note([{ bounds, dtype, output: 0 }], [greatest]);
  }

  /** A plan that runs again and again is tuned meanwhile, and made anew with what was found. */
  #tuneAfter(runner: WebGpuRunner, tuner: TileTuner): void {
    tuner.step();
    const untuned = this.#untuned.get(runner);
    if (!untuned || ++untuned.runs < RUNS_BEFORE_TUNING) return;
    this.#untuned.delete(runner);
    void (async () => {
      try {
        const isFaster = await tuner.tune(untuned.plan, (kernel) => this.#planner.tileOf(kernel));
        if (isFaster) runner.replace(await this.#prepareRunner(this.#planner.plan(untuned.plan.graph)));
      } catch {
        // The device is gone, or memory for a second plan is: the plan stays as it is.
      }
    })();
  }

  protected empty({ shape, dtype }: { readonly shape: Shape; readonly dtype: DType }): GpuStorage {
    // Variables have a buffer of their own even when small: they are bound, not copied.
    const buffer = this.gpu.acquire(nodeBytes({ shape, dtype }));
    return new GpuStorage(
      this,
      shape,
      dtype,
      { slice: { buffer }, free: () => this.gpu.release(buffer) },
      this.#memory,
    );
  }

  protected write({ slice, dtype }: GpuStorage, data: HostArray): void {
    this.gpu.write(slice.buffer, 0, toDevice(data, dtype));
  }

  /** A lost device says so itself, with the reason. */
  protected checkOpen(): void {}
}
