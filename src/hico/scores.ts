/** What a classifier's answers are worth: accuracy, accuracy by class, and the confusion matrix. */

export interface Scores {
  /** Share of clips answered right. */
  readonly accuracy: number;
  readonly clips: number;
  readonly perClass: readonly { readonly name: string; readonly clips: number; readonly accuracy: number | null }[];
  /** Counts: row the true class, column the answer. */
  readonly confusion: readonly (readonly number[])[];
}

export function scoresOf(answers: ArrayLike<number>, labels: ArrayLike<number>, classes: readonly string[]): Scores {
  const confusion = classes.map(() => new Array<number>(classes.length).fill(0));
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    confusion[labels[i]][answers[i]]++;
    if (labels[i] === answers[i]) right++;
  }
  const perClass = classes.map((name, c) => {
    const clips = confusion[c].reduce((sum, count) => sum + count, 0);
    return { name, clips, accuracy: clips > 0 ? confusion[c][c] / clips : null };
  });
  return { accuracy: labels.length > 0 ? right / labels.length : 0, clips: labels.length, perClass, confusion };
}
