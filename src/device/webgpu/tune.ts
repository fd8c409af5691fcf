/**
 * Measuring matmul tiles on the device at hand (HICO_AUTOTUNE=1, or the option `autotune`).
 *
 * A candidate is printed with the product's own prologue and epilogue and timed on scratch buffers of the right sizes.
 * Off by default: another tile adds up in another order, so results would depend on what the tuner found.
 */
import type { MatmulKernel } from "../../compiler/kernels.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { Autotuner } from "./autotune.ts";
import type { MatmulTile } from "../../shaders/matmul/product.ts";
import { candidateTiles } from "../../shaders/matmul/matmul.ts";
import { problemOf } from "../../shaders/print/matmul.ts";
import { describeKernel, printMatmulProgram } from "../../shaders/print/program.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import { adapterName } from "./gpu/describe.ts";
import type { Gpu } from "./gpu/gpu.ts";

/** Bytes bound for the parameter buffer while tuning: leaves of at most 16 elements, a handful of them. */
const PARAMETER_BYTES = 4096;

export class TileTuner {
  readonly #gpu: Gpu;
  readonly #tuner: Promise<Autotuner>;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#tuner = Autotuner.open({ adapter: adapterName(gpu.info) });
  }

  /** The remembered tile of the problem, or the fastest candidate. */
  async tileFor(kernel: MatmulKernel): Promise<MatmulTile> {
    const tuner = await this.#tuner;
    const problem = problemOf(kernel);
    const candidates = candidateTiles(problem, this.#gpu.profile);
    return tuner.tune(problem, candidates, (tile) => this.#measure(kernel, tile));
  }

  /** Milliseconds of one run, after one that warms up. */
  async #measure(kernel: MatmulKernel, tile: MatmulTile): Promise<number> {
    const gpu = this.#gpu;
    const program = printMatmulProgram(`tune ${describeKernel(kernel)}`, kernel, tile, gpu.profile, (node) => node);
    const bindings = program.bindings.map(({ access }) => ({ access }));
    const pipeline = await gpu.pipeline({ name: program.name, wgsl: program.wgsl, bindings });
    const buffers: GpuBuffer[] = program.bindings.map(({ node }) =>
      gpu.acquire(node === "parameters" ? PARAMETER_BYTES : nodeBytes(node)),
    );
    try {
      const bindGroup = gpu.bindGroup(
        pipeline,
        buffers.map((buffer) => ({ buffer, offset: 0, size: buffer.size })),
      );
      const command = {
        kind: "dispatch",
        name: program.name,
        pipeline,
        bindGroup,
        workgroups: program.workgroups,
      } as const;
      gpu.submit([command]);
      await gpu.idle();
      const start = performance.now();
      gpu.submit([command]);
      await gpu.idle();
      return performance.now() - start;
    } finally {
      for (const buffer of buffers) gpu.release(buffer);
    }
  }
}
