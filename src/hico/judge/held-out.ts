/**
 * Training clips held out from themselves, to choose by without looking at test clips: groups of whole subjects where
 * subjects are known, else groups of clips drawn at random. Every clip is in one group.
 */
import { CounterRandom } from "../../data/rng.ts";

/** Group of each clip, `groups` of them at most; `subjectOf` gives undefined where nothing is known. */
export function heldOutGroups(
  clips: readonly number[],
  subjectOf: (clip: number) => number | undefined,
  groups: number,
  seed = 0,
): Int32Array {
  const random = CounterRandom.fromSeed(seed);
  const subjects = [...new Set(clips.map(subjectOf))].sort((a, b) => (a ?? 0) - (b ?? 0));
  if (subjects.length > 1 && !subjects.includes(undefined)) {
    const order = random.distinct(subjects.length, subjects.length);
    const groupOf = new Map(order.map((subject, i) => [subjects[subject], i % groups]));
    return Int32Array.from(clips, (clip) => groupOf.get(subjectOf(clip))!);
  }
  const group = new Int32Array(clips.length);
  random.distinct(clips.length, clips.length).forEach((row, i) => (group[row] = i % groups));
  return group;
}
