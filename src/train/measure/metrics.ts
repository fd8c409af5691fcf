/** Measures of a batch, computed on the device inside a compiled step, and their means over batches. */
import { arange } from "../../tensor/create.ts";
import { requireCount, requireTensor } from "../../tensor/door/door.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/**
 * The share of samples whose largest logit is that of their label: logits [N, C], labels [N] (i32 or u32) → a scalar.
 * With the options `{ topK: k }` a sample is right where its label is among the k largest (torchmetrics' Accuracy with
 * top_k).
 */
export function accuracy(logits: Tensor, labels: Tensor, options: { readonly topK?: number } = {}): Tensor {
  requireTensor("accuracy", "logits", logits);
  requireTensor("accuracy", "labels", labels);
  const { topK = 1 } = options;
  requireCount("accuracy", "topK", topK, 1);
  if (logits.rank !== 2 || labels.rank !== 1 || logits.shape[0] !== labels.shape[0]) {
    throw new Error(
      `accuracy: logits are ${formatShape(logits.shape)}, labels ${formatShape(labels.shape)}; [N, C] and [N] are needed`,
    );
  }
  if (topK === 1) return logits.argmax(-1).eq(labels.cast("i32")).cast("f32").mean();
  // A label is among the k largest where fewer than k logits do not come after its own, which smaller ones do, and
  // equal ones from its number on. NaN comes after nothing, and nothing after it: no sample of it is right.
  const classes = logits.shape[1];
  const label = labels.cast("i32").unsqueeze(1);
  const places = arange(classes).unsqueeze(0);
  const own = places.eq(label).where(logits, 0).sum(1).unsqueeze(1);
  const after = logits.lt(own).or(logits.eq(own).and(places.ge(label)));
  return after.not().cast("i32").sum(1).lt(topK).cast("f32").mean();
}

/**
 * How often samples of each of C `classes` were taken for each: predicted and labels [N] (i32 or u32) → i32 [C, C], a
 * row a true class (sklearn.metrics.confusion_matrix). Those of several batches add up.
 */
export function confusionMatrix(predicted: Tensor, labels: Tensor, classes: number): Tensor {
  requireTensor("confusionMatrix", "predicted", predicted);
  requireTensor("confusionMatrix", "labels", labels);
  requireCount("confusionMatrix", "classes", classes, 1);
  const hot = (x: Tensor): Tensor => x.cast("i32").unsqueeze(-1).eq(arange(classes)).cast("f32");
  return hot(labels).transpose().matmul(hot(predicted)).cast("i32");
}

/** Means of measures over batches of different sizes. */
export class RunningMeans {
  #sums = new Map<string, number>();
  #weight = 0;

  /** Takes in measures of a batch that counts `weight`, its number of samples. */
  add(measures: Readonly<Record<string, number>>, weight = 1): void {
    for (const [name, value] of Object.entries(measures)) {
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + value * weight);
    }
    this.#weight += weight;
  }
  /** What was added, divided by the sum of weights; empty before anything was. */
  means(): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.#weight]));
  }
  /** Begins anew. */
  reset(): void {
    this.#sums.clear();
    this.#weight = 0;
  }
  /** Sums so far, as JSON: for checkpoints. */
  state(): RunningMeansState {
    return { sums: Object.fromEntries(this.#sums), weight: this.#weight };
  }
  /** Goes on from a saved state. */
  load({ sums, weight }: RunningMeansState): void {
    this.#sums = new Map(Object.entries(sums));
    this.#weight = weight;
  }
}

/** What `RunningMeans` has summed. */
export interface RunningMeansState {
  readonly sums: Readonly<Record<string, number>>;
  readonly weight: number;
}
