/** What a classifier's answers are worth: accuracy, accuracy by class, and the confusion matrix. */

export interface Scores {
  /** Share of clips answered right. */
  readonly accuracy: number;
  /** Where the accuracy lies with 95 % confidence (`wilsonInterval`). */
  readonly interval: Interval;
  readonly clips: number;
  readonly perClass: readonly { readonly name: string; readonly clips: number; readonly accuracy: number | null }[];
  /** Counts: row the true class, column the answer. */
  readonly confusion: readonly (readonly number[])[];
}

/** Least and greatest, 0 to 1. */
export type Interval = readonly [low: number, high: number];

/** 95 % of a normal distribution lie within so many standard deviations. */
const Z = 1.959963984540054;

/**
 * The 95 % confidence interval of a share, as Wilson has it ("Probable inference, the law of succession, and statistical
 * inference", JASA 1927): p = (s + z²/2n ± z √(s (1 − s)/n + z²/4n²)) / (1 + z²/n). [0, 1] of nothing.
 */
export function wilsonInterval(share: number, count: number): Interval {
  if (count === 0) return [0, 1];
  const z2 = (Z * Z) / count;
  const middle = share + z2 / 2;
  const half = Z * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count));
  return [Math.max(0, (middle - half) / (1 + z2)), Math.min(1, (middle + half) / (1 + z2))];
}

/** What stands below tables whose accuracies have their intervals in brackets. */
export const INTERVAL_NOTE = "in brackets: 95 % confidence intervals (Wilson), of the test clips alone";

/**
 * Accuracy, by class and in all, of answers against labels, with the confusion matrix; `classes` are names, by label.
 */
export function scoresOf(answers: ArrayLike<number>, labels: ArrayLike<number>, classes: readonly string[]): Scores {
  if (answers.length !== labels.length)
    throw new Error(`scoresOf: ${answers.length} answers to ${labels.length} labels; there must be one for each`);
  const confusion = classes.map(() => new Array<number>(classes.length).fill(0));
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    for (const [what, value] of [
      ["label", labels[i]],
      ["answer", answers[i]],
    ] as const)
      if (!(value in confusion))
        throw new Error(`scoresOf: ${what} ${i} is ${value}; it must be from 0 to ${classes.length - 1}`);
    confusion[labels[i]][answers[i]]++;
    if (labels[i] === answers[i]) right++;
  }
  const perClass = classes.map((name, c) => {
    const clips = confusion[c].reduce((sum, count) => sum + count, 0);
    return { name, clips, accuracy: clips > 0 ? confusion[c][c] / clips : null };
  });
  const accuracy = labels.length > 0 ? right / labels.length : 0;
  return { accuracy, interval: wilsonInterval(accuracy, labels.length), clips: labels.length, perClass, confusion };
}

/** Scores of ranked answers. */
export interface RankedScores extends Scores {
  /** Share of clips whose class is among the five that score highest. */
  readonly top5: number;
  readonly top5Interval: Interval;
}

/**
 * Scores of answers given as numbers a class, float [clips, classes]: the largest is the answer. @throws Error where one is
 * not finite: a last step at too high a rate leaves weights that no later loss tells of
 */
export function rankedScores(
  values: ArrayLike<number>,
  labels: ArrayLike<number>,
  classes: readonly string[],
): RankedScores {
  const width = classes.length;
  const answers = new Int32Array(labels.length);
  let among = 0;
  for (let i = 0; i < labels.length; i++) {
    const own = values[i * width + labels[i]];
    let larger = 0;
    let top = 0;
    for (let c = 0; c < width; c++) {
      const value = values[i * width + c];
      if (!Number.isFinite(value))
        throw new Error(`the classifier's number for clip ${i} and class ${classes[c]} is ${value}; use a lower rate`);
      if (values[i * width + c] > values[i * width + top]) top = c;
      if (values[i * width + c] > own) larger++;
    }
    answers[i] = top;
    if (larger < 5) among++;
  }
  const top5 = labels.length > 0 ? among / labels.length : 0;
  return { ...scoresOf(answers, labels, classes), top5, top5Interval: wilsonInterval(top5, labels.length) };
}

/** Softmax of every row of logits [rows, width]. */
export function softmaxRows(logits: Float32Array, width: number): Float32Array {
  const out = new Float32Array(logits.length);
  for (let from = 0; from < logits.length; from += width) {
    const row = logits.subarray(from, from + width);
    const most = row.reduce((m, x) => Math.max(m, x), -Infinity);
    const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
    for (let c = 0; c < width; c++) out[from + c] = Math.exp(row[c] - most) / sum;
  }
  return out;
}

/** Mean and sample standard deviation (0 of a single value). */
export function meanAndDeviation(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}
