/**
 * Which clips keep their labels where only a part is labelled.
 *
 * `balanced`: the same share of every class, at least one clip of each. `random`: a share of all clips, whatever their
 * classes. Draws of a number are nested: the clips of a smaller share are among those of a larger one.
 */
import { CounterRandom } from "../../data/rng.ts";

/** How the labelled share of the clips is drawn. */
export const LABEL_DRAWS = ["balanced", "random"] as const;
/** A way to draw the labelled clips, see `LABEL_DRAWS`. */
export type LabelDraw = (typeof LABEL_DRAWS)[number];

/**
 * The clips of `share` (above 0, at most 1) in draw `number` of a seed, ascending. `labelOf` gives the class of a clip.
 */
export function drawLabelled(
  clips: readonly number[],
  labelOf: (clip: number) => number,
  share: number,
  { draw, seed, number }: { readonly draw: LabelDraw; readonly seed: number; readonly number: number },
): number[] {
  if (!(share > 0 && share <= 1)) throw new Error(`the labelled share is ${share}; it must be above 0 and at most 1`);
  if (!LABEL_DRAWS.includes(draw)) throw new Error(`the draw is "${draw}"; it must be ${LABEL_DRAWS.join(" or ")}`);
  const random = CounterRandom.fromSeed(seed).fold(number);
  const some = (from: readonly number[], stream: CounterRandom): number[] =>
    stream
      .distinct(from.length, from.length)
      .slice(0, Math.max(1, Math.round(share * from.length)))
      .map((i) => from[i]);
  if (draw === "random") return some(clips, random).sort((a, b) => a - b);
  const byClass = new Map<number, number[]>();
  for (const clip of clips) byClass.set(labelOf(clip), [...(byClass.get(labelOf(clip)) ?? []), clip]);
  return [...byClass].flatMap(([label, members]) => some(members, random.fold(label))).sort((a, b) => a - b);
}
