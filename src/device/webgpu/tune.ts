/**
 * Measuring matmul tiles on the device at hand, in the background of the first steps.
 *
 * A plan that has run a few times has its products measured: candidates are printed with the product's own prologue and
 * epilogue and timed on scratch buffers of the right sizes, one for every step that the plan takes, so that training
 * goes on meanwhile and nothing is measured once it ends. What wins is remembered by adapter and driver (./autotune.ts).
 * Another tile adds up in another order, so the last bits of results depend on it.
 */
import type { MatmulKernel } from "../../compiler/kernels.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { Autotuner } from "./autotune.ts";
import type { MatmulTile } from "../../shaders/matmul/product.ts";
import { candidateTiles, chooseTile, formatTile } from "../../shaders/matmul/matmul.ts";
import { problemOf } from "../../shaders/print/matmul.ts";
import { describeKernel, printMatmulProgram } from "../../shaders/print/program.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import { adapterAndDriver } from "./gpu/describe.ts";
import { KernelError } from "./gpu/errors.ts";
import type { DispatchCommand, Gpu } from "./gpu/gpu.ts";

/** Bytes bound for the parameter buffer while tuning: leaves of at most 16 elements, a handful of them. */
const PARAMETER_BYTES = 4096;
/** Products with more operands than this are left to the model: scratch memory must not crowd out the training's. */
const MOST_BYTES = 256 * 2 ** 20;
/** A timed submit repeats a kernel until it takes about so many milliseconds, at most 64 times. */
const SAMPLE_MS = 2;

export class TileTuner {
  readonly #gpu: Gpu;
  readonly #opening: Promise<Autotuner>;
  #tuner: Autotuner | undefined;
  /** Whoever waits for the next step. */
  #waiting: (() => void)[] = [];
  /** Plans that are tuned before the next one. */
  #before: Promise<unknown> = Promise.resolve();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#opening = Autotuner.open({ adapter: adapterAndDriver(gpu.info) });
  }

  /** Resolves when what earlier processes found has been read. */
  async ready(): Promise<void> {
    this.#tuner = await this.#opening;
  }

  /** The tile that was measured to be the fastest, once `ready`; undefined where none was. */
  remembered(kernel: MatmulKernel): MatmulTile | undefined {
    return this.#tuner?.remembered(problemOf(kernel));
  }

  /** A step was taken: one more measurement may be made. */
  step(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /**
   * Measures the products of a plan that nobody has measured, a candidate a step, one plan after the other. Resolves to
   * whether any is faster with another tile than the plan has, which `planned` tells; never where steps end before.
   */
  tune(plan: Plan, planned: (kernel: MatmulKernel) => MatmulTile | undefined): Promise<boolean> {
    const result = this.#before.then(() => this.#tunePlan(plan, planned));
    this.#before = result.catch(() => undefined);
    return result;
  }

  async #tunePlan(plan: Plan, planned: (kernel: MatmulKernel) => MatmulTile | undefined): Promise<boolean> {
    const { profile } = this.#gpu;
    let found = false;
    for (const kernel of plan.steps.flatMap(({ kernels }) => kernels.filter((one) => one.kind === "matmul"))) {
      const problem = problemOf(kernel);
      const candidates = candidateTiles(problem, profile);
      const tile = await this.#tuner!.tune(problem, candidates, (candidate) => this.#measure(kernel, candidate)).catch(
        // No candidate runs: this product keeps what it has.
        () => undefined,
      );
      if (tile === undefined) continue;
      found ||= formatTile(tile) !== formatTile(planned(kernel) ?? chooseTile(problem, profile));
    }
    return found;
  }

  /** Milliseconds of one run, at the next step. */
  async #measure(kernel: MatmulKernel, tile: MatmulTile): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
    const gpu = this.#gpu;
    const program = printMatmulProgram(`tune ${describeKernel(kernel)}`, kernel, tile, gpu.profile, (node) => node);
    const sizes = program.bindings.map(({ node }) => (node === "parameters" ? PARAMETER_BYTES : nodeBytes(node)));
    if (sizes.reduce((sum, bytes) => sum + bytes, 0) > MOST_BYTES) throw new Error("its operands are too large to try");
    const buffers: GpuBuffer[] = [];
    try {
      const bindings = program.bindings.map(({ access }) => ({ access }));
      const pipeline = await gpu.pipeline({ name: program.name, wgsl: program.wgsl, bindings });
      for (const bytes of sizes) buffers.push(gpu.acquire(bytes));
      const slices = buffers.map((buffer) => ({ buffer, offset: 0, size: buffer.size }));
      const bindGroup = gpu.bindGroup(pipeline, slices);
      const { name, workgroups } = program;
      const command: DispatchCommand = { kind: "dispatch", name, pipeline, bindGroup, workgroups };
      const timed = async (runs: number): Promise<number> => {
        await gpu.idle();
        const start = performance.now();
        gpu.submit(new Array<DispatchCommand>(runs).fill(command));
        await gpu.idle();
        return (performance.now() - start) / runs;
      };
      const once = await timed(1);
      return await timed(Math.max(1, Math.min(64, Math.round(SAMPLE_MS / once))));
    } catch (error) {
      // What went wrong with the training must reach whoever trains.
      const own = error instanceof KernelError && error.kernels.every((name) => name === program.name);
      if (!own) gpu.raiseNext(error);
      throw error;
    } finally {
      for (const buffer of buffers) gpu.release(buffer);
    }
  }
}
