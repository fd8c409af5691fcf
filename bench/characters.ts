/**
 * A causal character Transformer (4 layers, width 128, 128 characters) on `cpu` beside PyTorch, from the same weights and
 * batches: the largest difference of any step's loss, and characters a second sampled through the key-value cache.
 *
 * node --import tsx bench/characters.ts [--steps 500] [--batch 4] [--text FILE] [--torch-threads 2]; PyTorch is
 * `python3`'s, or HICO_PYTHON's. Where other programs run, its threads wait for each other: one is faster then.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compile, CpuDevice, Generator, setDefaultDevice, tensor } from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { hostTensor, writeNpz } from "../src/io/index.ts";
import {
  AdamW,
  crossEntropy,
  Embedding,
  KeyValueCache,
  LayerNorm,
  Linear,
  Module,
  readState,
  TransformerEncoderLayer,
} from "../src/nn/index.ts";

const { values: asked } = parseArgs({
  options: {
    steps: { type: "string", default: "500" },
    batch: { type: "string", default: "4" },
    text: { type: "string" },
    "torch-threads": { type: "string" },
  },
});
const [steps, batch] = [Number(asked.steps), Number(asked.batch)];
const settings = { width: 128, heads: 4, layers: 4, lr: 5e-4, weightDecay: 0.01 };
const { width, heads, layers } = settings;
const length = 128;

/** The text that is learned: a file, or this project's own pages. */
function readText(): string {
  if (asked.text !== undefined) return readFileSync(asked.text, "utf8");
  const folder = fileURLToPath(new URL("../docs", import.meta.url));
  const pages = readdirSync(folder)
    .filter((name) => name.endsWith(".md"))
    .sort();
  return pages.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
}

const text = [...readText()];
const alphabet = [...new Set(text)].sort();
const numberOf = new Map(alphabet.map((letter, i) => [letter, i]));
const ids = Int32Array.from(text, (letter) => numberOf.get(letter)!);

class Characters extends Module {
  readonly embedding: Embedding;
  readonly places: Embedding;
  readonly blocks: readonly TransformerEncoderLayer[];
  readonly norm: LayerNorm;
  readonly head: Linear;

  constructor(generator: Generator) {
    super();
    this.embedding = new Embedding(alphabet.length, width, { generator });
    this.places = new Embedding(length, width, { generator });
    const options = {
      feedForward: 4 * width,
      dropout: 0,
      activation: "gelu",
      normFirst: true,
      batchFirst: true,
      generator,
    } as const;
    this.blocks = Array.from({ length: layers }, () => new TransformerEncoderLayer(width, heads, options));
    this.norm = new LayerNorm(width);
    this.head = new Linear(width, alphabet.length, { generator });
  }

  /** Characters [B, T] → logits [B, T, alphabet]; with a cache, those of the next T after what it holds. */
  forward(tokens: Tensor, cache?: KeyValueCache): Tensor {
    const count = tokens.shape[1]!;
    const places = cache ? cache.positions(count) : tensor(Int32Array.from({ length: count }, (_, i) => i));
    let h = this.embedding.forward(tokens).add(this.places.forward(places));
    this.blocks.forEach((block, i) => {
      h = block.forward(h, { causal: true, cache: cache?.layers[i] });
    });
    cache?.advance(count);
    return this.head.forward(this.norm.forward(h));
  }
}

const device = await CpuDevice.open();
setDefaultDevice(device);
const folder = mkdtempSync(join(tmpdir(), "hico-characters-"));
try {
  const model = new Characters(new Generator(0));
  const draw = await new Generator(1).integers([steps * batch], 0, ids.length - length - 1).read();
  const tokens = new Int32Array(steps * batch * (length + 1));
  draw.forEach((from, i) => tokens.set(ids.subarray(from, from + length + 1), i * (length + 1)));
  writeNpz(join(folder, "weights.npz"), await readState(model.stateDict()));
  writeNpz(join(folder, "batches.npz"), { tokens: hostTensor("i32", [steps, batch, length + 1], tokens) });
  writeFileSync(join(folder, "settings.json"), JSON.stringify(settings));

  const optimizer = new AdamW(model.parameters(), { lr: settings.lr, weightDecay: settings.weightDecay });
  const step = compile((given: Tensor) => {
    const logits = model.forward(given.slice(null, [0, length]));
    const wanted = given.slice(null, [1, length + 1]);
    const loss = crossEntropy(logits.reshape([batch * length, alphabet.length]), wanted.reshape([batch * length]));
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  });
  const losses: number[] = [];
  const size = batch * (length + 1);
  let begun = performance.now();
  for (let i = 0; i < steps; i++) {
    const given = tensor(tokens.slice(i * size, (i + 1) * size), { shape: [batch, length + 1] });
    losses.push(await (await step(given)).item());
    if (i % 50 === 0) console.error(`step ${i}: loss ${losses[i]!.toFixed(4)}`);
  }
  const seconds = (performance.now() - begun) / 1000;

  const script = fileURLToPath(new URL("torch/characters.py", import.meta.url));
  const python = process.env.HICO_PYTHON ?? "python3";
  const said = execFileSync(python, [script, folder, asked["torch-threads"] ?? String(device.threads ?? 1)], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  const torch = JSON.parse(said) as { losses: number[]; seconds: number };
  const differences = losses.map((loss, i) => Math.abs(loss - torch.losses[i]!));
  console.log(
    `${steps} steps of ${batch} × ${length} characters of ${alphabet.length}: loss ${losses[0]!.toFixed(4)} → ${losses.at(-1)!.toFixed(4)}`,
  );
  console.log(
    `largest difference to PyTorch's loss: ${Math.max(...differences).toExponential(2)} (step ${differences.indexOf(Math.max(...differences))})`,
  );
  console.log(
    `${((1000 * seconds) / steps).toFixed(0)} ms a step, PyTorch ${((1000 * torch.seconds) / steps).toFixed(0)} ms`,
  );

  // Sampling: the most probable character each time, through the cache and without it.
  model.eval();
  const cache = new KeyValueCache({ layers, batch: 1, heads, steps: length, dim: width / heads });
  const next = compile((given: Tensor) => model.forward(given, cache).slice(null, [-1, null]).argmax(-1));
  const whole = compile((given: Tensor) => model.forward(given).argmax(-1));
  const sample = async (count: number): Promise<number[]> => {
    cache.reset();
    const found: number[] = [];
    let token = await next(tensor(ids.slice(0, 8), { shape: [1, 8] }));
    for (let i = 0; i < count; i++) {
      found.push((await token.read())[0]!);
      token = await next(token);
    }
    return found;
  };
  await sample(4);
  const rounds = 8;
  const cpu = process.cpuUsage();
  begun = performance.now();
  let through: number[] = [];
  for (let i = 0; i < rounds; i++) through = await sample(length - 9);
  const took = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const count = rounds * (length - 9);
  const without: number[] = [];
  const padded = new Int32Array(length);
  padded.set(ids.slice(0, 8));
  for (let i = 8; i < length - 1; i++) {
    const all = await (await whole(tensor(padded, { shape: [1, length] }))).read();
    padded[i] = all[i - 1]!;
    without.push(all[i - 1]!);
  }
  assert.deepEqual(through, without, "characters through the cache are those without it");
  console.log(
    `sampled ${(count / took).toFixed(0)} characters a second through the cache (${(((user + system) / 1e6 / count) * 1e3).toFixed(2)} ms of CPU time each), equal to those without it`,
  );
} finally {
  device.close();
  rmSync(folder, { recursive: true, force: true });
}
