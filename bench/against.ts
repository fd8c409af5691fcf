/**
 * This tree against another checkout of it: the same training steps of both, in one process, interleaved.
 *
 *     node --import tsx bench/against.ts ../before [--cases mlp,encoder,gru,gru-128,…] [--device cpu|webgpu]
 *                                        [--rounds 15] [--sample-ms 200] [--threads 1]
 *
 * A case is a workload of `bench/run.ts` or a HiCo pretraining step, `ENCODER-WIDTH`. In every round each tree runs one
 * sample, and they take turns in going first; the ratio is the median over rounds of this tree's time to the other's in
 * the same round, so that a busy moment of the machine falls on both. Times of all cores come beside the clock's: they
 * hold where others use the machine too. Below 1, this tree is faster.
 */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { EncoderName, HiCoBatch } from "../src/hico/index.ts";
import { BATCH, QUEUE, shapesOf } from "./hico-shapes.ts";
import { median } from "../src/bench/measure.ts";

const CASES = ["mlp", "encoder", "gru", "gru-128", "lstm-128", "transformer-128", "gru-512"];
const WARM_UP = 4;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: "string" },
    device: { type: "string", default: "cpu" },
    rounds: { type: "string", default: "15" },
    "sample-ms": { type: "string", default: "200" },
    threads: { type: "string", default: "1" },
  },
});
const other = positionals[0];
if (other === undefined) throw new Error("name the other checkout: node --import tsx bench/against.ts ../before");
const trees = [resolve(import.meta.dirname, ".."), resolve(other)];
const [rounds, sampleMs] = [Number(values.rounds), Number(values["sample-ms"])];
const kind = values.device as "cpu" | "webgpu";

/** Runs `steps` training steps and waits for the last. */
type Train = (steps: number) => Promise<number>;

const load = (tree: string, file: string) => import(pathToFileURL(resolve(tree, file)).href);
/** What the other checkout exports is taken to have the types of this one. */
const oursOf = (tree: string): Promise<typeof import("./engines/ours.ts")> => load(tree, "bench/engines/ours.ts");
const engineOf = (tree: string): Promise<typeof import("../src/index.ts")> => load(tree, "src/index.ts");
const hicoModule = (tree: string): Promise<typeof import("../src/hico/index.ts")> => load(tree, "src/hico/index.ts");
const workloads = (tree: string): Promise<typeof import("./workloads.ts")> => load(tree, "bench/workloads.ts");

async function workloadOf(tree: string, name: string): Promise<Train> {
  const { workload } = await workloads(tree);
  const run = await (await oursOf(tree)).ours(kind).prepare(workload(name as Parameters<typeof workload>[0]));
  return async (steps) => {
    for (let i = 0; i < steps; i++) await run.step();
    return run.loss();
  };
}

async function hicoOf(tree: string, name: string): Promise<Train> {
  const [encoder, width] = name.split("-");
  const { Generator, realize, setDefaultDevice } = await engineOf(tree);
  const { HiCo, HiCoTrainer } = await hicoModule(tree);
  setDefaultDevice(await (await oursOf(tree)).open(kind));
  const random = new Generator(7);
  const trainer = new HiCoTrainer(
    new HiCo({ encoder: encoder as EncoderName, hidden: Number(width), queue: QUEUE, generator: random }),
  );
  const shapes = Object.entries(shapesOf(BATCH));
  const batch = Object.fromEntries(
    shapes.map(([key, shape]) => [key, random.normal([...shape])]),
  ) as unknown as HiCoBatch;
  await realize(Object.values(batch));
  return async (steps) => {
    let loss = NaN;
    for (let i = 0; i < steps; i++) loss = await (await trainer.step(batch)).loss.item();
    return loss;
  };
}

async function timed(train: Train, steps: number) {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await train(steps);
  const { user, system } = process.cpuUsage(before);
  return { ms: (performance.now() - start) / steps, coreMs: (user + system) / 1e3 / steps };
}

process.env.HICO_THREADS = values.threads;
console.log(`${kind}, ${rounds} rounds of ${sampleMs} ms, ratios to ${other}: clock, time of all cores`);
for (const name of (values.cases ?? CASES.join(",")).split(",")) {
  const make = name.includes("-") ? hicoOf : workloadOf;
  const trains: Train[] = [];
  const losses: number[] = [];
  for (const [i, tree] of trees.entries()) {
    trains.push(await make(tree, name));
    losses.push(await trains[i](WARM_UP));
  }
  // The Transformer has dropout, which the other tree may draw otherwise: that moves the loss a little.
  const bound = name.startsWith("transformer") ? 1e-3 : 1e-4;
  if (!(Math.abs(losses[0] - losses[1]) <= bound * Math.abs(losses[1]))) {
    throw new Error(`${name}: the losses after ${WARM_UP} steps differ: ${losses.join(" and ")}`);
  }
  const { ms } = await timed(trains[0], 2);
  const steps = Math.max(1, Math.round(sampleMs / ms));
  const samples: { ms: number; coreMs: number }[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (const i of round % 2 ? [1, 0] : [0, 1]) samples[i].push(await timed(trains[i], steps));
  }
  const ratio = (of: "ms" | "coreMs") => median(samples[0].map((sample, i) => sample[of] / samples[1][i][of]));
  const times = samples.map((list) => median(list.map((sample) => sample.ms)).toFixed(2)).join(" against ");
  const bits = losses[0] === losses[1] ? "losses equal to the bit" : `losses equal to ${bound}`;
  console.log(
    `${name.padEnd(16)} ${ratio("ms").toFixed(3)}  ${ratio("coreMs").toFixed(3)}   ${times} ms a step, ${bits}`,
  );
}
process.exit(0);
