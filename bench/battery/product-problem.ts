/** One product on the adapter: operands in memory, kernels for it made ready, checked against float64, and timed. */
import type { Sampling } from "../../src/bench/measure.ts";
import type { GpuBuffer } from "../../src/device/webgpu/gpu/buffers.ts";
import type { Command, Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import type { Product } from "../../test/shaders/matmul/matmul-problem.ts";
import { values } from "../../test/shaders/matmul/matmul-problem.ts";
import { float32ToF16 } from "../../src/tensor/float16.ts";
import { prepareKernel } from "./kernels.ts";
import { timeLists } from "./timing.ts";

/** What a kernel binds: an operand whole, its copy in float16, the n-th of its batches alone, or scratch memory. */
export type Bound =
  | "a"
  | "b"
  | "c"
  | "a16"
  | "b16"
  | "scratch"
  | { readonly a: number }
  | { readonly b: number }
  | { readonly c: number };

/** Kernels that together compute C from A and B. */
export interface Candidate {
  readonly name: string;
  /** Floats of scratch memory, bound after C. */
  readonly scratch?: number;
  readonly kernels: readonly {
    readonly wgsl: string;
    readonly workgroups: readonly [number, number, number];
    /** What is bound in order, by default A, B and C. */
    readonly binds?: readonly Bound[];
    readonly writes?: "c" | "scratch";
  }[];
}

export interface MeasuredCandidate {
  readonly name: string;
  readonly ms: number;
  readonly compileMs: number;
  /** The largest error of the rows looked at, in units of the sum of absolute products. */
  readonly error: number;
}

/** Errors that rounding of float32 does not explain; float16 operands are exact here, their sums are not. */
export const TOLERANCE = 2e-6;

export class ProductProblem {
  readonly #gpu: Gpu;
  readonly #product: Product;
  readonly #counts: readonly [number, number, number];
  readonly #buffers: readonly GpuBuffer[];
  readonly #data: readonly [Float32Array, Float32Array];
  /** A and B in float16, which is exact for them; made when first asked for. */
  #halves: readonly GpuBuffer[] | undefined;

  constructor(gpu: Gpu, product: Product) {
    const { batch, m, n, k } = product;
    this.#gpu = gpu;
    this.#product = product;
    this.#counts = [batch * m * k, batch * k * n, batch * m * n];
    this.#buffers = this.#counts.map((count) => gpu.acquire(4 * count));
    this.#data = [values(this.#counts[0], 1), values(this.#counts[1], 2)];
    this.#data.forEach((data, i) => void gpu.write(this.#buffers[i], 0, data));
  }

  get flops(): number {
    const { batch, m, n, k } = this.#product;
    return 2 * batch * m * n * k;
  }

  get bytes(): number {
    return 4 * this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** Compiles the candidates, checks three rows of what each computes, and times them by turns. */
  async measure(
    candidates: readonly Candidate[],
    sampling: Sampling,
    timeLeft: () => number,
    tell: (name: string) => void,
  ): Promise<{ found: MeasuredCandidate[]; failed: string[] }> {
    const gpu = this.#gpu;
    const ready: { name: string; list: Command[]; compileMs: number; error: number; scratch?: GpuBuffer }[] = [];
    const failed: string[] = [];
    for (const { name, scratch: floats, kernels } of candidates) {
      if (ready.length > 0 && timeLeft() < 0) {
        failed.push(`${name}: no time left`);
        continue;
      }
      tell(name);
      const scratch = floats === undefined ? undefined : gpu.acquire(4 * floats);
      try {
        const start = performance.now();
        const list: Command[] = [];
        for (const { wgsl, workgroups, binds = ["a", "b", "c"] as const, writes = "c" } of kernels) {
          const buffers = binds.map((which) => {
            const written = typeof which === "string" ? which === writes : "c" in which;
            const kept = which === "scratch" ? { buffer: scratch!, bytes: 4 * floats! } : this.#bound(which);
            return { ...kept, written };
          });
          list.push(await prepareKernel(gpu, { name, wgsl, workgroups, buffers }));
        }
        const compileMs = performance.now() - start;
        ready.push({ name, list, compileMs, error: await this.#error(list), scratch });
      } catch (error) {
        failed.push(`${name}: ${(error as Error).message.split("\n")[0]}`);
        if (scratch) gpu.release(scratch);
      }
    }
    tell("times");
    const times = await timeLists(
      gpu,
      ready.map(({ list }) => list),
      sampling,
      timeLeft,
    );
    const found = ready.map(({ name, compileMs, error }, i) => ({ name, compileMs, error, ms: times[i] }));
    for (const { scratch } of ready) if (scratch) gpu.release(scratch);
    return { found, failed };
  }

  #bound(which: Exclude<Bound, "scratch">): { buffer: GpuBuffer; bytes: number; offset?: number } {
    if (which === "a16" || which === "b16") {
      this.#halves ??= this.#data.map((data) => {
        const buffer = this.#gpu.acquire(2 * data.length);
        this.#gpu.write(buffer, 0, float32ToF16(data));
        return buffer;
      });
      const i = which === "a16" ? 0 : 1;
      return { buffer: this.#halves[i], bytes: 2 * this.#counts[i] };
    }
    const [name, member] = typeof which === "string" ? [which, undefined] : Object.entries(which)[0];
    const i = ["a", "b", "c"].indexOf(name);
    const bytes = 4 * this.#counts[i];
    if (member === undefined) return { buffer: this.#buffers[i], bytes };
    const each = bytes / this.#product.batch;
    return { buffer: this.#buffers[i], bytes: each, offset: member * each };
  }

  /** The first, a middle and the last row of C after the commands, against float64. NaN counts as infinite. */
  async #error(list: readonly Command[]): Promise<number> {
    const { batch, m, n, k, transposeA, transposeB } = this.#product;
    const [a, b] = this.#data;
    const rows = [...new Set([0, Math.floor((batch * m) / 2), batch * m - 1])];
    const c = this.#buffers[2];
    const nothing = new Float32Array(n).fill(Number.NaN);
    for (const row of rows) this.#gpu.write(c, 4 * row * n, nothing);
    const read = await this.#gpu.readAfter(
      list,
      rows.map((row) => ({ buffer: c, offset: 4 * row * n, bytes: 4 * n })),
    );
    let worst = 0;
    rows.forEach((row, at) => {
      const got = new Float32Array(read[at]);
      const [s, i] = [Math.floor(row / m), row % m];
      for (let j = 0; j < n; j++) {
        let [sum, absolute] = [0, 1e-30];
        for (let q = 0; q < k; q++) {
          const term =
            a[transposeA ? (s * k + q) * m + i : (s * m + i) * k + q] *
            b[transposeB ? (s * n + j) * k + q : (s * k + q) * n + j];
          sum += term;
          absolute += Math.abs(term);
        }
        const error = Math.abs(got[j] - sum) / absolute;
        worst = Number.isNaN(error) ? Infinity : Math.max(worst, error);
      }
    });
    return worst;
  }

  dispose(): void {
    for (const buffer of [...this.#buffers, ...(this.#halves ?? [])]) this.#gpu.release(buffer);
  }
}
