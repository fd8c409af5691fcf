/**
 * A training step of a spatial-temporal graph convolutional network (Yan et al. 2018, arXiv 1801.07455): 9 blocks of 64
 * to 256 channels over 25 joints, 64 frames, batch 16. This package's cpu device, jax-js on wasm with `jit`, and PyTorch
 * on the CPU in one run, from the same weights and clips; SGD. Times by the clock, and of all cores together.
 *
 *   node --import tsx bench/st-gcn.ts [--rounds 3] [--threads 2] [--batch 16] [--blocks 9] [--jax-js windows|lax|none]
 *
 * PYTHON names PyTorch's. jax-js convolves over time by `lax.conv` or by a product with windows, which is faster there.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  compile,
  CpuDevice,
  crossEntropy,
  einsum,
  Generator,
  setDefaultDevice,
  tensor,
  variable,
} from "../src/index.ts";
import type { Tensor, Variable } from "../src/index.ts";
import { hostTensor, writeNpz } from "../src/io/index.ts";
import { BatchNorm2d, Conv2d, Linear, Module, readState, SGD } from "../src/nn/index.ts";
import { openStGcn } from "./engines/jax-js-st-gcn.ts";
import type { StGcnSizes } from "./engines/jax-js-st-gcn.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    batch: { type: "string", default: "16" },
    blocks: { type: "string", default: "9" },
    "jax-js": { type: "string", default: "windows" },
  },
});
const [rounds, threads, batch] = [Number(values.rounds), Number(values.threads), Number(values.batch)];
const [joints, frames, classes, parts] = [25, 64, 10, 3];
/** Channels in and out and the stride over time of each block. */
const BLOCKS: StGcnSizes["blocks"] = (
  [
    [3, 64, 1],
    [64, 64, 1],
    [64, 64, 1],
    [64, 128, 2],
    [128, 128, 1],
    [128, 128, 1],
    [128, 256, 2],
    [256, 256, 1],
    [256, 256, 1],
  ] as const
).slice(0, Number(values.blocks));
const RATE = 0.01;

class Block extends Module {
  readonly gcn: Conv2d;
  readonly importance: Variable;
  readonly norm1: BatchNorm2d;
  readonly tcn: Conv2d;
  readonly norm2: BatchNorm2d;
  readonly shortcut?: Conv2d;
  readonly norm3?: BatchNorm2d;

  constructor(
    readonly from: number,
    readonly to: number,
    readonly stride: number,
    graph: Float32Array,
    generator: Generator,
  ) {
    super();
    this.gcn = new Conv2d(from, parts * to, 1, { generator });
    this.importance = variable(tensor(graph, { shape: [parts, joints, joints] }), { name: "importance" });
    this.norm1 = new BatchNorm2d(to);
    this.tcn = new Conv2d(to, to, [9, 1], { padding: [4, 0], stride: [stride, 1], generator });
    this.norm2 = new BatchNorm2d(to);
    if (from === to && stride === 1) return;
    this.shortcut = new Conv2d(from, to, 1, { stride: [stride, 1], generator });
    this.norm3 = new BatchNorm2d(to);
  }

  /** x [N, from, T, V] → [N, to, T / stride, V]. */
  forward(x: Tensor): Tensor {
    const [n, , t, v] = x.shape;
    const y = this.gcn.forward(x).reshape([n, parts, this.to, t, v]);
    const spread = this.norm1.forward(einsum("nkctv,kvw->nctw", y, this.importance)).relu();
    const out = this.norm2.forward(this.tcn.forward(spread));
    const kept = this.shortcut ? this.norm3!.forward(this.shortcut.forward(x)) : x;
    return out.add(kept).relu();
  }
}

class StGcn extends Module {
  readonly blocks: readonly Block[];
  readonly head: Linear;
  constructor(graph: Float32Array, generator: Generator) {
    super();
    this.blocks = BLOCKS.map(([from, to, stride]) => new Block(from, to, stride, graph, generator));
    this.head = new Linear(BLOCKS.at(-1)![1], classes, { generator });
  }
  /** Clips [N, 3, T, V] → logits [N, classes]. */
  forward(x: Tensor): Tensor {
    return this.head.forward(this.blocks.reduce((y, block) => block.forward(y), x).mean([2, 3]));
  }
}

/** A chain of joints: itself, towards the centre, away from it; rows sum to 1. */
function chain(): Float32Array {
  const graph = new Float32Array(parts * joints * joints);
  for (let v = 0; v < joints; v++) {
    graph[v * joints + v] = 1;
    if (v > 0) graph[(joints + v) * joints + v - 1] = 1;
    if (v + 1 < joints) graph[(2 * joints + v) * joints + v + 1] = 1;
  }
  return graph;
}

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;
const clips = Float32Array.from(
  { length: batch * 3 * frames * joints },
  (_, i) => Math.sin(i * 0.37) * Math.cos(i * 0.011),
);
const labels = Int32Array.from({ length: batch }, (_, i) => i % classes);

const device = await CpuDevice.open({ threads });
setDefaultDevice(device);
const model = new StGcn(chain(), new Generator(0));
const initial = new Map((await readState(model.stateDict())).entries());
const folder = mkdtempSync(join(tmpdir(), "hico-st-gcn-"));
try {
  writeNpz(join(folder, "weights.npz"), await readState(model.stateDict()));
  writeNpz(join(folder, "batch.npz"), {
    x: hostTensor("f32", [batch, 3, frames, joints], clips),
    y: hostTensor("i32", [batch], labels),
  });
  writeFileSync(join(folder, "settings.json"), JSON.stringify({ blocks: BLOCKS, parts, classes, rate: RATE }));

  const sgd = new SGD(model.parameters(), { lr: RATE });
  const x = await tensor(clips, { shape: [batch, 3, frames, joints] }).realize();
  const y = await tensor(labels).realize();
  const step = compile((a: Tensor, b: Tensor) => {
    sgd.zeroGrad();
    const loss = crossEntropy(model.forward(a), b);
    loss.backward();
    sgd.step();
    return loss;
  });
  const sizes: StGcnSizes = { batch, frames, joints, parts, classes, blocks: BLOCKS, rate: RATE };
  const form = values["jax-js"] as "windows" | "lax" | "none";
  const peer = form === "none" ? undefined : await openStGcn(sizes, initial as never, clips, labels, form);

  const found = { ours: [] as number[], peer: [] as number[] };
  const clock = { ours: [] as number[], peer: [] as number[] };
  const cores = { ours: [] as number[], peer: [] as number[] };
  const timed = async (who: "ours" | "peer", run: () => Promise<number>): Promise<void> => {
    const [begun, cpu] = [performance.now(), process.cpuUsage()];
    found[who].push(await run());
    clock[who].push(performance.now() - begun);
    const { user, system } = process.cpuUsage(cpu);
    cores[who].push((user + system) / 1000);
  };
  for (let i = 0; i <= rounds; i++) {
    await timed("ours", async () => (await step(x, y)).item());
    if (peer) await timed("peer", () => peer());
    console.error(`step ${i}: loss ${found.ours[i]!.toFixed(6)}, jax-js ${found.peer[i]?.toFixed(6) ?? "left out"}`);
  }
  const script = fileURLToPath(new URL("torch/st_gcn.py", import.meta.url));
  const python = process.env.PYTHON ?? "/usr/bin/python3";
  const said = execFileSync(python, [script, folder, String(threads), String(rounds + 1)], { encoding: "utf8" });
  const torch = JSON.parse(said) as { losses: number[]; clock: number[]; cores: number[] };

  const apart = (other: readonly number[]): number => Math.max(...other.map((v, i) => Math.abs(v - found.ours[i]!)));
  console.log(
    `largest difference of a loss: jax-js ${peer ? apart(found.peer).toExponential(1) : "–"}, PyTorch ${apart(torch.losses).toExponential(1)}`,
  );
  const row = (name: string, wall: readonly number[], all: readonly number[]): void => {
    const [a, b] = [median(wall.slice(1)), median(all.slice(1))];
    const ratio = (mine: readonly number[], theirs: number) => (theirs / median(mine.slice(1))).toFixed(2);
    console.log(
      `${name}: ${a.toFixed(0)} ms a step, ${b.toFixed(0)} ms of all cores: ` +
        `${ratio(clock.ours, a)} and ${ratio(cores.ours, b)} times ours`,
    );
  };
  row(`cpu (${threads} threads)`, clock.ours, cores.ours);
  if (peer) row(`jax-js wasm jit, ${form}`, clock.peer, cores.peer);
  row("PyTorch", torch.clock, torch.cores);
} finally {
  device.close();
  rmSync(folder, { recursive: true, force: true });
}
