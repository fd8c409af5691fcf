/**
 * Does a shape that was never met before cost memory for good? Trains a GRU whose every step has a length and a batch of
 * its own, and compares resident memory at a quarter of the steps with that at the end.
 *
 *     node --import tsx scripts/varying-shapes.ts [--steps 2000] [--mode eager|compiled] [--device cpu] [--limit 1.1]
 *
 * Plans, pipelines and traces are remembered up to a bound (docs/semantics.md), so memory grows until these caches are
 * full and no further. It is that of the whole process, a software adapter's buffers and compiled shaders included, read
 * after a garbage collection. Exit code 1 where the last is more than `--limit` times that at the quarter.
 */
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Tensor } from "../src/index.ts";
import { compile, crossEntropy, seed, tensor, useDevice } from "../src/index.ts";
import { Adam, GRU, Linear } from "../src/nn/index.ts";

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "2000" },
    mode: { type: "string", default: "eager" },
    device: { type: "string", default: process.env.HICO_DEVICE ?? "cpu" },
    limit: { type: "string", default: "1.1" },
  },
});
const steps = Number(values.steps);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const device = await useDevice(values.device);
seed(0);
const [gru, head] = [new GRU(6, 16), new Linear(16, 4)];
const optimizer = new Adam([...gru.parameters(), ...head.parameters()], { lr: 1e-2 });
const work = (x: Tensor, labels: Tensor): Tensor => {
  optimizer.zeroGrad();
  const loss = crossEntropy(head.forward(gru.forward(x).hn.slice(0)), labels);
  loss.backward();
  optimizer.step();
  return loss;
};
const step = values.mode === "compiled" ? compile(work) : (x: Tensor, labels: Tensor) => work(x, labels);

// Source: mulberry32, a 32-bit mixing generator in the public domain.
let state = 12345;
function below(n: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

/** Resident memory in MB once garbage is gone: finalizers of what one collection frees run in a later turn and free more. */
async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage.rss() / 1e6;
}

let settled = NaN;
let last = NaN;
const start = performance.now();
for (let i = 1; i <= steps; i++) {
  const [length, batch] = [1 + below(40), 1 + below(24)];
  const frames = Float32Array.from({ length: length * batch * 6 }, () => below(1000) / 500 - 1);
  const labels = Int32Array.from({ length: batch }, () => below(4));
  const loss = await (await step(tensor(frames, { shape: [length, batch, 6] }), tensor(labels))).item();
  if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss} at step ${i}`);
  if (i % Math.ceil(steps / 8) && i !== Math.floor(steps / 4) && i !== steps) continue;
  last = await resident();
  if (i === Math.floor(steps / 4)) settled = last;
  const { heapUsed, external } = process.memoryUsage();
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `step ${i}: ${last.toFixed(1)} MB resident, heap ${(heapUsed / 1e6).toFixed(1)}, external ` +
      `${(external / 1e6).toFixed(1)}; ${seconds} s`,
  );
}
const ratio = last / settled;
console.log(
  `${values.device}, ${values.mode}: ${steps} steps, ${settled.toFixed(1)} MB at step ${Math.floor(steps / 4)}, ` +
    `${last.toFixed(1)} MB at the end: ${ratio.toFixed(3)} (limit ${values.limit})`,
);
device.close();
process.exit(ratio <= Number(values.limit) ? 0 : 1);
