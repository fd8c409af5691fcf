/**
 * Linear evaluation: one linear classifier on features that do not change.
 *
 * The paper's settings: weights drawn from N(0, 0.01²), bias 0, SGD with rate 2 and momentum 0.9, batches of 1024, 80
 * epochs, the rate falling to a tenth at 50 and 70. A set of so few clips that an epoch would have less than 16 steps
 * gets smaller batches: one step an epoch does not train a classifier. Accuracy is told for the last epoch, and,
 * labelled as what it is, for the epoch that was best on the test clips.
 */
import { CounterRandom } from "../../data/rng.ts";
import { Linear } from "../../nn/linear.ts";
import { stepSchedule } from "../../nn/optim/schedules.ts";
import { SGD } from "../../nn/optim/sgd.ts";
import { noGrad } from "../../autograd/grad.ts";
import { crossEntropy } from "../../ops/losses/cross-entropy.ts";
import { requireCount } from "../../tensor/door/door.ts";
import { compile } from "../../tensor/program/compile.ts";
import { tensor } from "../../tensor/create.ts";
import { Generator } from "../../tensor/random.ts";
import { realize } from "../../tensor/program/realize.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { FeatureTable } from "./features.ts";
import { requireFinite, requireLabels } from "./features.ts";
import type { RankedScores } from "./scores.ts";
import { rankedScores, softmaxRows } from "./scores.ts";
import { trainLoop } from "../../train/loop.ts";

/** Settings of the linear classifier: SGD on features that stay as they are. */
export interface ProbeSettings {
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly epochs: number;
  readonly batch: number;
  readonly drops: readonly number[];
  readonly seed: number;
}

/** Least steps of an epoch, where the batch is not given. */
const STEPS = 16;

/** The batch for a number of training clips: 1024, or the largest power of two that gives an epoch its steps. */
export function probeBatch(clips: number): number {
  return Math.max(1, Math.min(PROBE_SETTINGS.batch, 2 ** Math.floor(Math.log2(clips / (STEPS - 1)))));
}

/** Settings of the linear classifier where nothing else is said. */
export const PROBE_SETTINGS: ProbeSettings = {
  lr: 2,
  momentum: 0.9,
  weightDecay: 0,
  epochs: 80,
  batch: 1024,
  drops: [50, 70],
  seed: 0,
};

/** Accuracies of a linear classifier. */
export interface ProbeResult {
  readonly settings: ProbeSettings;
  /** After the last epoch: the number to report. */
  readonly last: RankedScores & { readonly epoch: number };
  /** Of the epoch that was best on the test clips: an upper bound that looked at them. */
  readonly best: RankedScores & { readonly epoch: number };
  /** Mean cross-entropy of the training clips, epoch by epoch, and test accuracy. */
  readonly curve: readonly { readonly epoch: number; readonly loss: number; readonly accuracy: number }[];
}

/** How a linear classifier is trained. */
export interface ProbeOptions {
  readonly settings?: Partial<ProbeSettings>;
  readonly onEpoch?: (epoch: number, epochs: number, loss: number, accuracy: number) => void;
}

/** The settings with defaults, for a number of training clips. */
export function resolveProbe(settings: Partial<ProbeSettings> | undefined, clips: number): ProbeSettings {
  const resolved = { ...PROBE_SETTINGS, ...settings, batch: settings?.batch ?? probeBatch(clips) };
  for (const name of ["epochs", "batch"] as const) requireCount("linear evaluation", name, resolved[name], 1);
  return resolved;
}

/**
 * Trains a linear classifier on the features of `train` and judges it on those of `test`; `classes` are names, by
 * label.
 */
export async function linearProbe(
  train: FeatureTable,
  test: FeatureTable,
  classes: readonly string[],
  options: ProbeOptions = {},
): Promise<ProbeResult> {
  return (await probe(train, test, classes, options)).result;
}

/** As `linearProbe`, and what the classifier of the last epoch makes of every test clip: softmax [clips, classes]. */
export async function probe(
  train: FeatureTable,
  test: FeatureTable,
  classes: readonly string[],
  options: ProbeOptions = {},
): Promise<{ readonly result: ProbeResult; readonly probabilities: Float32Array }> {
  for (const table of [train, test]) {
    requireFinite(table, "linear evaluation");
    requireLabels(table, classes.length, "linear evaluation");
  }
  const settings = resolveProbe(options.settings, train.rows);
  const generator = new Generator(settings.seed);
  const layer = new Linear(train.width, classes.length, { generator });
  layer.weight.assign(generator.normal([classes.length, train.width], 0, 0.01));
  layer.bias!.assign(layer.bias!.mul(0));
  await realize([layer.weight, layer.bias!]);
  const optimizer = new SGD(layer.parameters(), {
    lr: settings.lr,
    momentum: settings.momentum,
    weightDecay: settings.weightDecay,
  });
  const rate = stepSchedule(settings.lr, settings.drops);
  const step = compile((x: Tensor, labels: Tensor) => {
    optimizer.zeroGrad();
    const loss = crossEntropy(layer.forward(x), labels);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  const classify = compile((x: Tensor) => noGrad(() => layer.forward(x)));
  const [rows, tests] = [await resident(train), await testBlocks(test)];
  const order = CounterRandom.fromSeed(settings.seed).fold(0);
  const batch = Math.min(settings.batch, train.rows);
  const perEpoch = Math.ceil(train.rows / batch);
  const steps = perEpoch * settings.epochs;

  const curve: ProbeResult["curve"][number][] = [];
  let best: ProbeResult["best"] | undefined;
  let last: ProbeResult["last"] | undefined;
  let logits: Float32Array = new Float32Array(0);
  let sum = 0;
  await trainLoop<FeatureBatch>({
    ...{ steps, batches: batchesOf(train, batch, order, rows), readEvery: perEpoch },
    step: ({ x, labels }, at) => {
      optimizer.lr = rate(Math.floor((at - 1) / perEpoch));
      return step(x, labels);
    },
    onValues: (read) => {
      const rows = (at: number): number => (at % perEpoch === 0 ? train.rows - (perEpoch - 1) * batch : batch);
      for (const { step: at, values } of read) sum += values[0] * rows(at);
    },
    stopsAt: (done) => done % perEpoch === 0,
    onStop: async (done) => {
      const epoch = done / perEpoch;
      const loss = sum / train.rows;
      sum = 0;
      if (!Number.isFinite(loss))
        throw new Error(
          `linear evaluation: the loss is ${loss} in epoch ${epoch}; use a lower rate than ${settings.lr}`,
        );
      logits = await logitsOf(classify, tests(), test.rows, classes.length);
      const scores = { ...rankedScores(logits, test.labels, classes), epoch };
      curve.push({ epoch, loss, accuracy: scores.accuracy });
      if (!best || scores.accuracy > best.accuracy) best = scores;
      last = scores;
      options.onEpoch?.(epoch, settings.epochs, loss, scores.accuracy);
    },
  });
  const result = { settings, last: last!, best: best!, curve };
  return { result, probabilities: softmaxRows(logits, classes.length) };
}

interface FeatureBatch {
  readonly x: Tensor;
  readonly labels: Tensor;
}

/** Tables of at most so many bytes lie on the device while a classifier is trained on them. */
const RESIDENT_BYTES = 128e6;

/** The table on the device, where it is small: rows are then taken there and not copied to it step by step. */
async function resident({ data, rows, width }: FeatureTable): Promise<Tensor | undefined> {
  if (data.byteLength > RESIDENT_BYTES) return undefined;
  const x = tensor(data, { shape: [rows, width] });
  await realize([x]);
  return x;
}

/** Batches of one epoch after another, in an order of its own each; one that holds all rows stays on the device. */
async function* batchesOf(
  train: FeatureTable,
  batch: number,
  order: CounterRandom,
  held: Tensor | undefined,
): AsyncGenerator<FeatureBatch> {
  const rows = Array.from({ length: train.rows }, (_, i) => i);
  const whole = batch === train.rows ? batchOf(train, rows) : undefined;
  if (whole) await realize([whole.x, whole.labels]);
  for (let epoch = 1; ; epoch++) {
    const shuffled = whole ? rows : order.fold(epoch).distinct(train.rows, train.rows);
    for (let from = 0; from < train.rows; from += batch)
      yield whole ?? batchOf(train, shuffled.slice(from, from + batch), held);
  }
}

function batchOf(table: FeatureTable, rows: readonly number[], held?: Tensor): FeatureBatch {
  const labels = tensor(Int32Array.from(rows, (row) => table.labels[row]));
  if (held) return { x: held.take(tensor(Int32Array.from(rows)), 0), labels };
  const { width } = table;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => data.set(table.data.subarray(row * width, (row + 1) * width), i * width));
  return { x: tensor(data, { shape: [rows.length, width] }), labels };
}

/** The clips that test, in blocks; those of a small table stay on the device from epoch to epoch. */
async function testBlocks(test: FeatureTable): Promise<() => Iterable<Tensor>> {
  function* blocks(): Iterable<Tensor> {
    for (let from = 0; from < test.rows; from += 1024) {
      const rows = Math.min(1024, test.rows - from);
      yield tensor(test.data.slice(from * test.width, (from + rows) * test.width), { shape: [rows, test.width] });
    }
  }
  if (test.data.byteLength > RESIDENT_BYTES) return blocks;
  const held = [...blocks()];
  await realize(held);
  return () => held;
}

async function logitsOf(
  classify: (x: Tensor) => Promise<Tensor>,
  blocks: Iterable<Tensor>,
  rows: number,
  classes: number,
): Promise<Float32Array> {
  const logits = new Float32Array(rows * classes);
  let at = 0;
  for (const x of blocks) {
    const scores = await classify(x);
    const values = (await scores.read()) as ArrayLike<number>;
    logits.set(values, at);
    at += values.length;
    scores.dispose();
  }
  return logits;
}
