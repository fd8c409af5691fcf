/**
 * The roofline of the `cpu` device: for every kernel family its bytes and operations, which of the two binds it, and what
 * share of that bound it reaches, in vectors of 128 bits and in pairs of them.
 *
 *     node --import tsx bench/roofline.ts [--rounds 5] [--json FILE]
 *
 * One thread; every width in processes of its own, which take turns. The arithmetic's bound is the rate of the register
 * tile on panels that stay in the first-level cache; operations beside multiply-adds count half of its two. The bound
 * of traffic is the rate of copying 64 MiB, with each tensor counted once; tensors that stay in a cache may exceed it.
 * Times are of the processor, so that what else the machine does counts less; the best of all rounds counts.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import { softmax } from "../src/ops/softmax.ts";
import { compile, realize, setDefaultDevice, tensor } from "../src/tensor/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

/** What a kernel has to do: multiply-adds, other operations on elements, and bytes that it must read and write. */
export interface Work {
  readonly family: string;
  readonly sizes: string;
  readonly multiplyAdds: number;
  readonly operations: number;
  readonly bytes: number;
}

interface Timed extends Work {
  readonly ms: number;
}

/** What a process of one width found. */
interface Found {
  readonly wide: boolean;
  readonly peak: number;
  readonly copy: number;
  readonly kernels: readonly Timed[];
}

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, json: { type: "string" }, child: { type: "boolean" } },
});
const rounds = Number(values.rounds);
/** Rounds of one process. */
const EACH = 7;

if (values.child) {
  console.log(JSON.stringify(await measure()));
  process.exit(0);
}
const found = new Map<boolean, Found>();
for (let round = 0; round < rounds; round++) {
  for (const wide of ["0", "1"]) {
    const env = { ...process.env, HICO_WASM_WIDE: wide };
    const args = ["--import", "tsx", fileURLToPath(import.meta.url), "--child"];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
    if (status !== 0) throw new Error(`a process of width ${wide} failed: ${stderr}`);
    const one = JSON.parse(stdout) as Found;
    const before = found.get(one.wide);
    found.set(one.wide, before ? better(before, one) : one);
  }
}
report([...found.values()]);
if (values.json) writeFileSync(values.json, JSON.stringify([...found.values()], null, 1));

function better(a: Found, b: Found): Found {
  const kernels = a.kernels.map((k, i) => ({ ...k, ms: Math.min(k.ms, b.kernels[i].ms) }));
  return { ...a, peak: Math.max(a.peak, b.peak), copy: Math.max(a.copy, b.copy), kernels };
}

/** The bound's milliseconds, and which it is. */
function boundOf({ multiplyAdds, operations, bytes }: Work, { peak, copy }: Found): { ms: number; by: string } {
  const arithmetic = (2 * multiplyAdds + 2 * operations) / peak / 1e6;
  const traffic = bytes / copy / 1e6;
  return arithmetic >= traffic ? { ms: arithmetic, by: "arithmetic" } : { ms: traffic, by: "traffic" };
}

function report(widths: readonly Found[]): void {
  const bits = ({ wide }: Found) => (wide ? 256 : 128);
  for (const one of widths)
    console.log(`${bits(one)} bits: tile ${one.peak.toFixed(1)} GFLOP/s, copy ${one.copy.toFixed(1)} GB/s`);
  console.log("| kernel | sizes | MFLOP | MB | ms at 128 bits (bound, share) | ms at 256 bits (bound, share) |");
  console.log("|---|---|---|---|---|---|");
  widths[0].kernels.forEach((kernel, i) => {
    const columns = widths.map((one) => {
      const { ms } = one.kernels[i];
      const bound = boundOf(kernel, one);
      return `${ms.toFixed(2)} (${bound.by}, ${((100 * bound.ms) / ms).toFixed(0)} %)`;
    });
    const flops = (2 * kernel.multiplyAdds + kernel.operations) / 1e6;
    const sizes = [flops.toFixed(1), (kernel.bytes / 1e6).toFixed(1)];
    console.log(`| ${[kernel.family, kernel.sizes, ...sizes, ...columns].join(" | ")} |`);
  });
}

async function measure(): Promise<Found> {
  const { features, loadKernels, peakRate } = await import("./cpu-kernel.ts");
  const { kernelWork } = await import("./roofline-kernels.ts");
  const device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  const runs: { work: Work; run: () => Promise<number> | number; best: number }[] = [];
  const core = async (run: () => Promise<unknown>): Promise<number> => {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e3;
  };
  for (const { work, inputs, result } of expressionWork()) {
    const given = inputs.map((shape) => tensor(filled(shape), { shape: [...shape] }));
    await realize(given);
    const step = compile((...x: Tensor[]) => result(...x));
    const run = async () => {
      for (const t of [await step(...given)].flat()) t.dispose();
    };
    runs.push({ work, run: () => core(run), best: Infinity });
  }
  for (const { work, lowering, inputs, outputs } of kernelWork(features.wide === true)) {
    const { run } = loadKernels(lowering, inputs, outputs, 0.1);
    runs.push({ work, run: () => run().reduce((a, b) => a + b, 0), best: Infinity });
  }
  let peak = 0;
  for (const one of runs) for (let i = 0; i < 3; i++) await one.run();
  for (let round = 0; round < EACH; round++) {
    for (const one of runs) one.best = Math.min(one.best, await one.run());
    peak = Math.max(peak, peakRate());
  }
  const copy = runs.find(({ work }) => work.family === "copy")!;
  return {
    wide: features.wide === true,
    peak,
    copy: copy.work.bytes / copy.best / 1e6,
    kernels: runs.map(({ work, best }) => ({ ...work, ms: best })),
  };
}

interface ExpressionWork {
  readonly work: Work;
  readonly inputs: readonly (readonly number[])[];
  readonly result: (...inputs: Tensor[]) => Tensor | Tensor[];
}

function expressionWork(): ExpressionWork[] {
  const [rows, columns] = [4096, 512];
  const n = rows * columns;
  const product = (
    family: string,
    m: number,
    k: number,
    width: number,
    turned: "NN" | "NT" | "TN",
  ): ExpressionWork => ({
    work: {
      family,
      sizes: `${m}×${width}×${k} ${turned}`,
      multiplyAdds: m * k * width,
      operations: 0,
      bytes: 4 * (m * k + k * width + m * width),
    },
    inputs: [turned === "TN" ? [k, m] : [m, k], turned === "NT" ? [width, k] : [k, width]],
    result: (a, b) => (turned === "TN" ? a.transpose() : a).matmul(turned === "NT" ? b.transpose() : b),
  });
  /** @param passes how many tensors of n elements are read and written, each once */
  const loop = (
    family: string,
    operations: number,
    passes: number,
    inputs: readonly (readonly number[])[],
    result: ExpressionWork["result"],
  ): ExpressionWork => ({
    work: { family, sizes: `${rows}×${columns}`, multiplyAdds: 0, operations: operations * n, bytes: 4 * n * passes },
    inputs,
    result,
  });
  const full = [rows, columns];
  return [
    product("product", 1024, 1024, 1024, "NN"),
    product("product, a layer", 4096, 512, 512, "NT"),
    product("product, its weight's gradient", 512, 4096, 512, "TN"),
    {
      work: { family: "copy", sizes: "16 Mi", multiplyAdds: 0, operations: 0, bytes: 8 * (1 << 24) },
      inputs: [[4096, 4096]],
      result: (x) => x.mul(1.0001),
    },
    loop("add and multiply", 2, 3, [full, full], (x, y) => x.mul(0.9).add(y)),
    loop("exp", 12, 2, [full], (x) => x.exp()),
    loop("gelu", 34, 2, [full], (x) => x.gelu()),
    loop("softmax", 16, 2, [full], (x) => softmax(x, 1)),
    loop("layer norm", 8, 2, [full, [columns]], (x, gain) => {
      const centred = x.sub(x.mean(1, true));
      return centred.div(centred.square().mean(1, true).add(1e-5).sqrt()).mul(gain);
    }),
    loop("sum along rows", 1, 1, [full], (x) => x.sum(1)),
    loop("sum across rows", 1, 1, [full], (x) => x.sum(0)),
    loop("SGD with momentum", 5, 5, [full, full, full], (p, v, g) => {
      const next = v.mul(0.9).add(g.add(p.mul(1e-4)));
      return [next, p.sub(next.mul(0.1))];
    }),
  ];
}

function filled(shape: readonly number[]): Float32Array {
  let state = 1;
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}
