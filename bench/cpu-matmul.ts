/**
 * Matrix products of the `cpu` device: GFLOP/s a core-second and in wall time, with one thread and with several.
 *
 *     node --import tsx bench/cpu-matmul.ts [--threads 2] [--rounds 7] [--shapes NAME,…] [--json FILE]
 *
 * A core-second counts the time that all threads of the process were on a core, the pauses between kernels among it:
 * it says what the code is worth where others use the machine too. Wall times need quiet cores. Rounds are interleaved;
 * the best sample of each counts. 32 entries of every product are held to float64.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import { compile, setDefaultDevice, tensor } from "../src/tensor/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

interface Shape {
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Whether an operand is the transpose of what lies in memory. */
  readonly transposed: readonly [boolean, boolean];
}

const SHAPES: readonly Shape[] = [
  { name: "square", batch: 1, m: 1024, n: 1024, k: 1024, transposed: [false, false] },
  { name: "square of transposes", batch: 1, m: 1024, n: 1024, k: 1024, transposed: [true, true] },
  { name: "linear of tokens", batch: 1, m: 13632, n: 512, k: 512, transposed: [false, true] },
  { name: "linear", batch: 1, m: 4096, n: 512, k: 128, transposed: [false, true] },
  { name: "its input's gradient", batch: 1, m: 4096, n: 128, k: 512, transposed: [false, false] },
  { name: "its weight's gradient", batch: 1, m: 512, n: 128, k: 4096, transposed: [true, false] },
  { name: "small weight's gradient", batch: 1, m: 150, n: 128, k: 4096, transposed: [true, false] },
  { name: "queue", batch: 1, m: 64, n: 2048, k: 512, transposed: [false, false] },
  { name: "attention scores", batch: 256, m: 64, n: 64, k: 32, transposed: [false, true] },
  { name: "attention values", batch: 256, m: 64, n: 32, k: 64, transposed: [false, false] },
  { name: "classes", batch: 1, m: 4096, n: 10, k: 512, transposed: [false, true] },
  { name: "matrix and vector", batch: 1, m: 4096, n: 1, k: 512, transposed: [false, false] },
  { name: "vector and matrix", batch: 1, m: 1, n: 4096, k: 512, transposed: [false, true] },
];

const CHECKED = 32;
/** Least time of a sample, in ms. */
const SAMPLE = 20;

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "7" },
    shapes: { type: "string" },
    json: { type: "string" },
  },
});
const threads = Number(options.threads);
const wanted = options.shapes?.split(",");
const unknown = wanted?.find((name) => !SHAPES.some((s) => s.name === name));
if (unknown !== undefined || !(threads >= 1)) {
  console.error(
    unknown === undefined
      ? `--threads: "${options.threads}" is not a number of at least 1`
      : `--shapes: there is no "${unknown}"; choose from ${SHAPES.map((s) => s.name).join(", ")}`,
  );
  process.exit(1);
}
const devices = await Promise.all([1, threads].map((count) => CpuDevice.open({ threads: count })));
console.log(`GFLOP/s a core-second with 1 and ${threads} threads, in wall time with 1 and ${threads}, and their ratio`);
const rows = [];
for (const shape of SHAPES) if (!wanted || wanted.includes(shape.name)) rows.push(await measure(shape));
if (options.json) writeFileSync(options.json, JSON.stringify(rows, null, 1));
for (const device of devices) device.close();

async function measure(shape: Shape) {
  const { name, batch, m, n, k, transposed } = shape;
  const flops = 2 * batch * m * n * k;
  const [a, b] = [filled(batch * m * k, 1), filled(batch * k * n, 2)];
  const runs: { run(): Promise<Tensor>; repeats: number; wall: number; core: number }[] = [];
  for (const device of devices) {
    setDefaultDevice(device);
    const x = await tensor(a, { shape: transposed[0] ? [batch, k, m] : [batch, m, k] }).realize();
    const y = await tensor(b, { shape: transposed[1] ? [batch, n, k] : [batch, k, n] }).realize();
    const product = compile((left: Tensor, right: Tensor) =>
      (transposed[0] ? left.transpose() : left).matmul(transposed[1] ? right.transpose() : right),
    );
    const run = async (): Promise<Tensor> => {
      setDefaultDevice(device);
      return product(x, y);
    };
    check(shape, a, b, (await (await run()).read()) as Float32Array);
    // Until the optimising compiler has done its part.
    for (let i = 0; i < 6; i++) await run();
    const start = performance.now();
    await run();
    const repeats = Math.max(1, Math.ceil(SAMPLE / (performance.now() - start)));
    runs.push({ run, repeats, wall: Infinity, core: Infinity });
  }
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const one of runs) {
      const [from, before] = [performance.now(), process.cpuUsage()];
      for (let i = 0; i < one.repeats; i++) await one.run();
      const used = process.cpuUsage(before);
      one.wall = Math.min(one.wall, (performance.now() - from) / one.repeats);
      one.core = Math.min(one.core, (used.user + used.system) / 1e3 / one.repeats);
    }
  }
  const speed = (ms: number): number => flops / ms / 1e6;
  const [one, more] = runs;
  const figures = {
    core: [speed(one.core), speed(more.core)],
    wall: [speed(one.wall), speed(more.wall)],
    ratio: one.wall / more.wall,
  };
  const letters = transposed.some(Boolean) ? ` ${transposed.map((t) => (t ? "T" : "N")).join("")}` : "";
  const size = `${batch > 1 ? `${batch} × ` : ""}${m}×${n}×${k}${letters}`;
  const columns = [...figures.core, ...figures.wall].map((x) => x.toFixed(1).padStart(6)).join(" ");
  console.log(`${name.padEnd(24)} ${size.padEnd(20)} ${columns}  ${figures.ratio.toFixed(2)}`);
  return { ...shape, ...figures };
}

function filled(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

/** @throws Error where an entry is not the product's */
function check({ name, batch, m, n, k, transposed }: Shape, a: Float32Array, b: Float32Array, c: Float32Array): void {
  for (let i = 0; i < CHECKED; i++) {
    const at = Math.floor((i * c.length) / CHECKED);
    const [matrix, row, column] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n];
    let sum = 0;
    for (let s = 0; s < k; s++) {
      sum +=
        a[matrix * m * k + (transposed[0] ? s * m + row : row * k + s)] *
        b[matrix * k * n + (transposed[1] ? column * k + s : s * n + column)];
    }
    const close = Math.abs(c[at] - sum) <= 1e-5 * Math.sqrt(k);
    if (!close) throw new Error(`${name}: entry ${at} is ${c[at]}, not ${sum} (batch ${batch})`);
  }
}
