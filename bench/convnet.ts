/**
 * A training step of a small convolutional network (conv 1→32, conv 32→64, 3×3, each with batch norm, relu and a 2×2
 * pool, then a linear layer; batch 128), side by side: this package's cpu device, jax-js on wasm with `jit`, PyTorch on
 * the CPU where `python3` has it. The same weights and images; SGD. Times by the clock, and of all cores together, which
 * say more where other programs run.
 *
 *   node --import tsx bench/convnet.ts [--size 28] [--rounds 9] [--threads 2]
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { blockUntilReady, defaultDevice, init, jit, lax, nn as jnn, numpy as np, valueAndGrad } from "@jax-js/jax";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import * as nn from "../src/nn/index.ts";
import { compile, crossEntropy, seed, setDefaultDevice, tensor } from "../src/index.ts";
import type { Tensor } from "../src/index.ts";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "28" },
    rounds: { type: "string", default: "9" },
    threads: { type: "string", default: "2" },
  },
});
const [size, rounds, threads] = [Number(values.size), Number(values.rounds), Number(values.threads)];
const BATCH = 128;
const RATE = 0.05;
const side = Math.floor(Math.floor(size / 2) / 2);

const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1];
const pixels = Float32Array.from({ length: BATCH * size * size }, (_, i) => Math.sin(i * 0.37) * Math.cos(i * 0.011));
const labels = Int32Array.from({ length: BATCH }, (_, i) => i % 10);

const device = await CpuDevice.open({ threads });
setDefaultDevice(device);
seed(1);
const net = new nn.Sequential(
  new nn.Conv2d(1, 32, 3, { padding: 1 }),
  new nn.BatchNorm2d(32),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Conv2d(32, 64, 3, { padding: 1 }),
  new nn.BatchNorm2d(64),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Flatten(),
  new nn.Linear(64 * side * side, 10),
);
const initial = new Map<string, { shape: readonly number[]; data: Float32Array }>();
for (const [name, v] of net.namedParameters()) {
  initial.set(name, { shape: v.shape, data: Float32Array.from((await v.read()) as Float32Array) });
}
const sgd = new nn.SGD(net.parameters(), { lr: RATE });
const x = await tensor(pixels, { shape: [BATCH, 1, size, size] }).realize();
const y = await tensor(labels).realize();
const step = compile((a: Tensor, b: Tensor) => {
  sgd.zeroGrad();
  const loss = crossEntropy(net.forward(a), b);
  loss.backward();
  sgd.step();
  return loss;
});

await init("wasm");
defaultDevice("wasm");
type Arrays = Record<string, np.Array>;
let parameters: Arrays = Object.fromEntries(
  [...initial].map(([name, { shape, data }]) => [name, np.array(data, { shape: [...shape], device: "wasm" })]),
);
const images = np.array(pixels, { shape: [BATCH, 1, size, size], device: "wasm" });
const oneHot = new Float32Array(BATCH * 10);
labels.forEach((k, i) => (oneHot[10 * i + k] = 1));
const targets = np.array(oneHot, { shape: [BATCH, 10], device: "wasm" });
const block = (p: Arrays, at: number, input: np.Array, channels: number, edge: number): np.Array => {
  const along = (v: np.Array) => v.reshape([1, channels, 1, 1]);
  const c = lax.conv(input, p[`${at}.weight`], [1, 1], "SAME").add(along(p[`${at}.bias`]));
  const mean = c.ref.mean([0, 2, 3], { keepdims: true });
  const centred = c.sub(mean);
  const variance = centred.ref.mul(centred.ref).mean([0, 2, 3], { keepdims: true });
  const standard = centred.div(np.sqrt(variance.add(1e-5)));
  const out = jnn.relu(standard.mul(along(p[`${at + 1}.weight`])).add(along(p[`${at + 1}.bias`])));
  const half = Math.floor(edge / 2);
  return out
    .slice([], [], [0, 2 * half], [0, 2 * half])
    .reshape([BATCH, channels, half, 2, half, 2])
    .max([3, 5]);
};
const loss = (p: Arrays, input: np.Array, wanted: np.Array): np.Array => {
  const a = block(p, 0, input, 32, size);
  const b = block(p, 4, a, 64, Math.floor(size / 2)).reshape([BATCH, 64 * side * side]);
  const logits = np.matmul(b, p["9.weight"].transpose()).add(p["9.bias"]);
  return jnn
    .logSoftmax(logits, -1)
    .mul(wanted)
    .sum()
    .mul(-1 / BATCH);
};
const both = valueAndGrad(loss);
const train = jit((p: Arrays, input: np.Array, wanted: np.Array): [Arrays, np.Array] => {
  const copies = Object.fromEntries(Object.entries(p).map(([name, array]) => [name, array.ref]));
  const [value, gradients] = both(copies, input, wanted) as [np.Array, Arrays];
  return [Object.fromEntries(Object.keys(p).map((name) => [name, p[name].sub(gradients[name].mul(RATE))])), value];
});

/** Milliseconds of each step after the first two. */
class Times {
  readonly clock: number[] = [];
  readonly cores: number[] = [];
  async take<T>(round: number, work: () => Promise<T>): Promise<T> {
    const [start, before] = [performance.now(), process.cpuUsage()];
    const result = await work();
    const { user, system } = process.cpuUsage(before);
    if (round >= 2) {
      this.clock.push(performance.now() - start);
      this.cores.push((user + system) / 1000);
    }
    return result;
  }
}
const ours = new Times();
const theirs = new Times();
for (let i = 0; i < rounds + 2; i++) {
  const value = await ours.take(i, async () => (await step(x, y)).item());
  const found = await theirs.take(i, async () => {
    const [next, loss] = train(parameters, images.ref, targets.ref) as [Arrays, np.Array];
    parameters = next;
    await blockUntilReady([...Object.values(parameters), loss]);
    return loss;
  });
  const other = Number((await found.data())[0]);
  if (i < 3) console.log(`step ${i}: loss ${value.toFixed(6)}, jax-js ${other.toFixed(6)}`);
}
const before = { ...device.counters };
await (await step(x, y)).item();
console.log(`kernels a step: ${device.counters.kernels - before.kernels}`);
const say = (name: string, clock: readonly number[], cores: readonly number[]): void => {
  const ratio = (other: readonly number[], mine: readonly number[]) => (median(other) / median(mine)).toFixed(2);
  console.log(
    `${name}: ${median(clock).toFixed(1)} ms (least ${Math.min(...clock).toFixed(1)}), ${median(cores).toFixed(1)} ms of all cores: ` +
      `${ratio(clock, ours.clock)} and ${ratio(cores, ours.cores)} times ours`,
  );
};
say(`cpu, ${threads} threads`, ours.clock, ours.cores);
say("jax-js wasm jit", theirs.clock, theirs.cores);
const torch = spawnSync(
  process.env.PYTHON ?? "/usr/bin/python3",
  [
    "-c",
    `
import json, time, torch
torch.set_num_threads(${threads})
nn = torch.nn
net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
    nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(${64 * side * side}, 10))
opt = torch.optim.SGD(net.parameters(), lr=${RATE})
x, y = torch.randn(${BATCH}, 1, ${size}, ${size}), torch.arange(${BATCH}) % 10
clock, cores = [], []
for i in range(${rounds + 2}):
    start, used = time.perf_counter(), time.process_time()
    opt.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
    loss.item()
    clock.append((time.perf_counter() - start) * 1e3)
    cores.append((time.process_time() - used) * 1e3)
print(json.dumps([clock[2:], cores[2:]]))
`,
  ],
  { encoding: "utf8" },
);
if (torch.status === 0) {
  const [clock, cores] = JSON.parse(torch.stdout) as [number[], number[]];
  say("PyTorch", clock, cores);
} else console.log("PyTorch: not found");
device.close();
