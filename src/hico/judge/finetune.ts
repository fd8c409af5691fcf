/**
 * Supervised training of the whole query network with a classifier of its features: fine-tuning from a run's weights, or
 * from random ones, which shows what pretraining brought.
 *
 * The rate rises at first and falls to a tenth at 5/8 and 7/8, as in the field's linear and fine-tuning settings (HiCo's
 * own; HiCLR, arXiv 2211.13466); AdamW in place of their SGD, whose rate of 0.01 on held-out subjects of NW-UCLA left of
 * pretraining nothing. Training clips are cropped in time and sheared, never corrupted. A set of few clips gets as many
 * epochs as make a least number of steps. One compiled step serves every training: the batch is always full, weights and
 * optimizer are assigned anew.
 */
import { availableParallelism } from "node:os";
import type { InputSettings, SupervisedBatch } from "../../data/batches/inputs.ts";
import { batchesOf, inputShape } from "../../data/batches/inputs.ts";
import { defaultWorkers, Loader } from "../../data/batches/loader.ts";
import type { ClipStore } from "../../data/store/store.ts";
import { noGrad } from "../../autograd/grad.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import { AdamW } from "../../nn/optim/adam.ts";
import { stepSchedule, warmUp } from "../../nn/optim/schedules.ts";
import { SGD } from "../../nn/optim/sgd.ts";
import { readState } from "../../nn/state.ts";
import { crossEntropy } from "../../ops/losses/cross-entropy.ts";
import { compile } from "../../tensor/program/compile.ts";
import { tensor } from "../../tensor/create.ts";
import { realize } from "../../tensor/program/realize.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Classifier, ClassifierKind } from "./classifier.ts";
import { classifierOf } from "./classifier.ts";
import { encodeClips, evaluationBatches, viewsOf } from "./features.ts";
import type { HiCo } from "../model/model.ts";
import { modelFor } from "../run/run-model.ts";
import type { RankedScores } from "./scores.ts";
import { rankedScores, softmaxRows } from "./scores.ts";
import type { RunSettings } from "../run/settings.ts";
import type { SkeletonLayout } from "../../data/skeleton/layout.ts";
import { StepGenerator } from "../run/step-generator.ts";
import { trainLoop } from "../../train/loop.ts";

/** Settings of fine-tuning. */
export interface FinetuneSettings {
  readonly optimizer: "sgd" | "adamw";
  readonly lr: number;
  /** What classifies: a linear layer from random values, or cosines to class means of the labelled clips. */
  readonly classifier: ClassifierKind;
  /** Rate of the classifier. */
  readonly headLr: number;
  /** Of SGD. */
  readonly momentum: number;
  readonly weightDecay: number;
  readonly epochs: number;
  /** A set of few clips is gone through more often, until there were as many steps. */
  readonly leastSteps: number;
  readonly batch: number;
  /** Share of the training over which the rate rises from 0. */
  readonly warmup: number;
  /** Shares of the training after which the rate is a tenth. */
  readonly drops: readonly number[];
  /** Least part of a clip that a temporal crop keeps. */
  readonly minScale: number;
  /** Range of the entries of shear matrices. */
  readonly amplitude: number;
  /** Degrees by which the body is turned at most about the upright axis. */
  readonly rotation: number;
  /** Seed of the classifier's first values, of order, augmentation and dropout, and of random weights. */
  readonly seed: number;
}

/** Settings of fine-tuning where nothing else is said. */
export const FINETUNE_SETTINGS: FinetuneSettings = {
  optimizer: "adamw",
  lr: 5e-4,
  classifier: "linear",
  headLr: 1e-3,
  momentum: 0.9,
  weightDecay: 0.01,
  epochs: 40,
  leastSteps: 200,
  batch: 32,
  warmup: 0.05,
  drops: [5 / 8, 7 / 8],
  minScale: 0.5,
  amplitude: 0.3,
  rotation: 0,
  seed: 0,
};

/** What is trained from: the weights of the run, or first values. */
export type Start = "pretrained" | "scratch";

/** Accuracies of one fine-tuning. */
export interface FinetuneResult {
  readonly settings: FinetuneSettings;
  readonly steps: number;
  /** After the last epoch: the number to report. */
  readonly last: RankedScores & { readonly epoch: number };
  /** Of the best epoch that was looked at, chosen on the test clips: an upper bound. */
  readonly best: RankedScores & { readonly epoch: number };
  /** Mean cross-entropy since the last look, and accuracy on the test clips. */
  readonly curve: readonly { readonly epoch: number; readonly loss: number; readonly accuracy: number }[];
}

/** What one fine-tuning works on. */
export interface FinetuneTask {
  readonly store: ClipStore;
  readonly train: readonly number[];
  readonly test: readonly number[];
  readonly from: Start;
  /** Default: the tuner's. */
  readonly seed?: number;
  /** How often the test clips are looked at, the last epoch included. Default 20. */
  readonly looks?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Seeds are the high word of the generator's step, which is a whole number below 2^53. */
const MOST_SEED = 2 ** 20;

/** Test inputs of more bytes than this are read anew at every look. */
const HELD_BYTES = 512e6;

/** Trains one model again and again, from the run's weights or from first values. */
export class Finetuner {
  readonly settings: FinetuneSettings;
  readonly head: Classifier;
  readonly #optimizer: SGD | AdamW;
  readonly #generator: StepGenerator;
  readonly #model: HiCo;
  readonly #inputs: InputSettings;
  readonly #step: (temporal: Tensor, spatial: Tensor, labels: Tensor) => Promise<Tensor>;
  readonly #classify: (temporal: Tensor, spatial: Tensor) => Promise<Tensor>;
  readonly #first: (seed: number) => HiCo;
  readonly #workers: number;
  readonly #readPretrained: () => Promise<Map<string, HostTensor>>;
  /** Read at the first training that begins with it: where every result is kept, nothing is left under way. */
  #pretrained: Promise<Map<string, HostTensor>> | undefined;
  #held: { readonly key: string; readonly batches: HeldBatch[] } | undefined;

  /**
   * @param pretrained the model with the weights of the run; it is not changed.
   * @param given the run's settings, the skeleton and inputs of its model, how many classes there are, and settings of
   * the fine-tuning that differ from `FINETUNE_SETTINGS`.
   */
  constructor(
    pretrained: HiCo,
    given: {
      readonly run: RunSettings;
      readonly skeleton: SkeletonLayout;
      readonly inputs: InputSettings;
      readonly classes: number;
      readonly settings?: Partial<FinetuneSettings>;
    },
  ) {
    const { run, skeleton, classes } = given;
    const defined = Object.entries(given.settings ?? {}).filter(([, value]) => value !== undefined);
    this.settings = { ...FINETUNE_SETTINGS, ...Object.fromEntries(defined) };
    const { optimizer, lr, headLr, classifier, momentum, weightDecay, minScale, amplitude, rotation } = this.settings;
    this.#inputs = {
      ...given.inputs,
      augmentation: { ...given.inputs.augmentation, minScale, minFrames: 1, amplitude, rotation, corruption: 0 },
    };
    this.#workers = run.workers < 0 ? defaultWorkers(availableParallelism()) : run.workers;
    this.#generator = new StepGenerator(this.settings.seed);
    this.#model = modelFor(run, skeleton, this.#generator);
    this.#first = (seed) => modelFor({ ...run, seed }, skeleton);
    this.#readPretrained = () => readState(pretrained.encoder_q.hi_encoder.stateDict());
    const network = this.#model.encoder_q;
    this.head = classifierOf(classifier, 2 * run.granularity * run.hidden, classes, this.#generator);
    const groups = [
      { params: network.hi_encoder.parameters(), lr },
      { params: this.head.parameters(), lr: headLr },
    ];
    this.#optimizer =
      optimizer === "sgd" ? new SGD(groups, { lr, momentum, weightDecay }) : new AdamW(groups, { lr, weightDecay });
    this.#step = compile((temporal: Tensor, spatial: Tensor, labels: Tensor) => {
      this.#optimizer.zeroGrad();
      const loss = crossEntropy(this.head.forward(network.features(temporal, spatial)), labels);
      loss.backward();
      this.#optimizer.step();
      this.#optimizer.zeroGrad();
      return loss;
    });
    this.#classify = compile((temporal: Tensor, spatial: Tensor) => {
      const { training } = network;
      network.eval();
      const logits = noGrad(() => this.head.forward(network.features(temporal, spatial)));
      network.train(training);
      return logits;
    });
  }

  /** Trains on `train`, judges on `test`. @throws Error where the loss is no number any more, or the signal aborts. */
  async run(task: FinetuneTask): Promise<{ readonly result: FinetuneResult; readonly probabilities: Float32Array }> {
    const { store, train, test, from, signal, onProgress } = task;
    const { batch, epochs, leastSteps, lr, headLr, warmup, drops } = this.settings;
    const seed = task.seed ?? this.settings.seed;
    if (!(Number.isInteger(seed) && seed >= 0 && seed < MOST_SEED))
      throw new Error(`fine-tuning: the seed is ${seed}; it must be a whole number below ${MOST_SEED}`);
    const { classes, layout } = store.header;
    await this.#begin(task, seed);

    const plan = { kind: "supervised", clips: train, batch, inputs: this.#inputs, seed } as const;
    const perEpoch = batchesOf(plan);
    const rounds = Math.max(epochs, Math.ceil(leastSteps / perEpoch));
    const steps = rounds * perEpoch;
    const looks = lookEpochs(rounds, task.looks ?? 20);
    const rise = warmup * rounds;
    const part = warmUp(
      rise,
      stepSchedule(
        1,
        drops.map((share) => share * rounds - rise),
      ),
    );
    const shape = inputShape(layout, this.#inputs);
    const workers = this.#workers;
    const loader = new Loader<SupervisedBatch>({ store: store.path, plan }, { from: 0, until: steps, workers });

    const curve: FinetuneResult["curve"][number][] = [];
    let best: FinetuneResult["best"] | undefined;
    let last: FinetuneResult["last"] | undefined;
    let logits: Float32Array = new Float32Array(0);
    let losses: number[] = [];
    const trained = await trainLoop<SupervisedBatch>({
      ...{ steps, batches: loader, signal },
      step: async (next, at) => {
        [lr, headLr].forEach((rate, i) => (this.#optimizer.groups[i].lr = rate * part((at - 1) / perEpoch)));
        this.#generator.begin(stepOf(seed, at));
        const measured = await this.#step(...viewsOf(next, shape), tensor(next.labels));
        loader.release(next);
        return measured;
      },
      onStep: (done) => onProgress?.(done, steps),
      onValues: (read, done) => {
        losses.push(...read.map(({ values }) => values[0]));
        const sum = losses.reduce((total, loss) => total + loss, 0);
        if (Number.isFinite(sum)) return;
        throw new Error(`fine-tuning (${from}): the loss is ${sum} by step ${done}; use a lower rate than ${lr}`);
      },
      stopsAt: (done) => looks.has(done / perEpoch),
      onStop: async (done) => {
        if (done < steps) signal?.throwIfAborted();
        const epoch = done / perEpoch;
        logits = await this.#logits(store, test);
        last = { ...rankedScores(logits, labelsOf(store, test), classes), epoch };
        if (!best || last.accuracy > best.accuracy) best = last;
        const loss = losses.reduce((total, value) => total + value, 0) / losses.length;
        curve.push({ epoch, loss, accuracy: last.accuracy });
        losses = [];
      },
    });
    // The signal may have come while the test clips were looked at.
    if (trained < steps) signal?.throwIfAborted();
    const result = { settings: { ...this.settings, seed }, steps, last: last!, best: best!, curve };
    return { result, probabilities: softmaxRows(logits, classes.length) };
  }

  /** First values of a training. */
  async #begin({ from, store, train }: FinetuneTask, seed: number): Promise<void> {
    const { hi_encoder } = this.#model.encoder_q;
    if (from === "pretrained") this.#pretrained ??= this.#readPretrained();
    const source = from === "pretrained" ? await this.#pretrained! : this.#first(seed).encoder_q.hi_encoder.stateDict();
    hi_encoder.loadStateDict(source);
    this.#generator.begin(stepOf(seed, 0));
    await this.head.begin(this.#generator, () =>
      encodeClips(this.#model, store, train, { inputs: this.#inputs, workers: this.#workers }),
    );
    this.#optimizer.reset();
    await realize([...hi_encoder.parameters(), ...this.head.parameters(), ...this.#optimizer.stateDict().values()]);
  }

  async #logits(store: ClipStore, clips: readonly number[]): Promise<Float32Array> {
    const classes = store.header.classes.length;
    const logits = new Float32Array(clips.length * classes);
    for await (const { views, first, count } of this.#testBatches(store, clips)) {
      const found = await this.#classify(...views);
      logits.set(((await found.read()) as Float32Array).subarray(0, count * classes), first * classes);
      found.dispose();
    }
    return logits;
  }

  /** Views of test clips; small sets stay on the device from one look to the next. */
  async *#testBatches(store: ClipStore, clips: readonly number[]): AsyncGenerator<HeldBatch> {
    const key = `${store.path} ${clips.join()}`;
    if (this.#held?.key === key) return yield* this.#held.batches;
    const shape = inputShape(store.header.layout, this.#inputs);
    const batches: HeldBatch[] = [];
    const holds = clips.length * shape.temporal[0] * shape.temporal[1] * 8 <= HELD_BYTES;
    for await (const { batch, first } of evaluationBatches(store, clips, {
      inputs: this.#inputs,
      workers: this.#workers,
    })) {
      const held = { views: viewsOf(batch, shape), first, count: batch.count };
      if (holds) {
        await realize(held.views);
        batches.push(held);
      }
      yield held;
    }
    if (holds) this.#held = { key, batches };
  }
}

interface HeldBatch {
  readonly views: [temporal: Tensor, spatial: Tensor];
  readonly first: number;
  readonly count: number;
}

/** The epochs after which test clips are looked at, evenly over all; the last one is among them. */
function lookEpochs(epochs: number, looks: number): ReadonlySet<number> {
  const count = Math.max(1, Math.min(looks, epochs));
  return new Set(Array.from({ length: count }, (_, i) => Math.round(((i + 1) * epochs) / count)));
}

/** The generator's step for a step of the training with a seed: no two trainings share draws. */
function stepOf(seed: number, step: number): number {
  return (seed + 1) * 2 ** 32 + step;
}

function labelsOf(store: ClipStore, clips: readonly number[]): Int32Array {
  return Int32Array.from(clips, (clip) => store.label(clip));
}
