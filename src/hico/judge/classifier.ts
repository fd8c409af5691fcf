/**
 * What classifies features when a whole network is trained: a linear layer, or the cosine to one vector a class.
 *
 * The cosine classifier can begin from the labelled clips themselves, each class from the mean of its normalised features
 * (Qi et al., "Low-shot learning with imprinted weights", CVPR 2018). It then answers as the nearest class mean does
 * before the first step, so that few labels need not first undo a random layer's gradients.
 */
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { l2Normalize } from "../../ops/normalization.ts";
import { tensor, zeros } from "../../tensor/create.ts";
import type { Generator } from "../../tensor/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import { variable } from "../../tensor/variable.ts";
import type { FeatureTable } from "./features.ts";
import { rowLength } from "./features.ts";

/** Kinds of classifiers that fine-tuning puts on an encoder. */
export const CLASSIFIERS = ["linear", "cosine"] as const;
/** A kind of classifier, see `CLASSIFIERS`. */
export type ClassifierKind = (typeof CLASSIFIERS)[number];

/** Classes from features: [N, width] to logits [N, classes]. */
export interface Classifier extends Module {
  /** [classes, width]. */
  readonly weight: Variable;
  /** features [B, width] → logits [B, classes]. */
  forward(features: Tensor): Tensor;
  /** First values. `labelled` gives the features of the labelled clips, for those that begin from them. */
  begin(generator: Generator, labelled: () => Promise<FeatureTable>): Promise<void>;
}

export function classifierOf(kind: ClassifierKind, width: number, classes: number, generator: Generator): Classifier {
  return kind === "cosine" ? new CosineClassifier(width, classes) : new LinearClassifier(width, classes, { generator });
}

class LinearClassifier extends Linear implements Classifier {
  begin(generator: Generator): Promise<void> {
    this.weight.assign(generator.normal(this.weight.shape, 0, 0.01));
    this.bias!.assign(zeros(this.bias!.shape));
    return Promise.resolve();
  }
}

/** Logits are cosines times this. */
const SCALE = 16;

class CosineClassifier extends Module implements Classifier {
  readonly weight: Variable;

  constructor(width: number, classes: number) {
    super();
    this.weight = variable(zeros([classes, width]));
  }

  /** features [B, width] → logits [B, classes]. */
  forward(features: Tensor): Tensor {
    return l2Normalize(features).matmul(l2Normalize(this.weight).transpose()).mul(SCALE);
  }

  async begin(_generator: Generator, labelled: () => Promise<FeatureTable>): Promise<void> {
    const [classes, width] = this.weight.shape;
    this.weight.assign(tensor(classMeans(await labelled(), classes), { shape: [classes, width] }));
  }
}

/** Means of normalised features by class, [classes, width]; zeros for a class without a clip. */
export function classMeans(table: FeatureTable, classes: number): Float32Array {
  const { data, rows, width, labels } = table;
  const sums = new Float64Array(classes * width);
  const counts = new Int32Array(classes);
  for (let row = 0; row < rows; row++) {
    const length = rowLength(table, row);
    counts[labels[row]]++;
    for (let j = 0; j < width; j++) sums[labels[row] * width + j] += data[row * width + j] / length;
  }
  return Float32Array.from(sums, (sum, i) => sum / (counts[Math.floor(i / width)] || 1));
}
