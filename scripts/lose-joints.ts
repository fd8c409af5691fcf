/** Joints lost on purpose: a source whose clips miss a share of their joints in bursts, as a sensor loses them. */
import type { SourceClip, ClipSource } from "../src/data/sources/source.ts";
import { presentFrames } from "../src/data/skeleton/clip.ts";
import { markMissing } from "../src/data/skeleton/missing.ts";

/** Most frames of a burst, in which one joint is not seen. */
const LONGEST = 20;

/** The source with `share` of all joints of present bodies marked as missing; the same for the same seed. */
export function loseInBursts(source: ClipSource, share: number, seed: number): ClipSource {
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const lose = ({ facts, clip }: SourceClip): SourceClip => {
    const data = clip.data.slice();
    for (let m = 0; m < clip.persons; m++) {
      const present = presentFrames(clip, m);
      const gone = new Set<number>();
      while (gone.size < share * present.length * clip.joints) {
        const [joint, from, length] = [random() * clip.joints, random() * present.length, 1 + random() * LONGEST];
        for (const t of present.slice(Math.floor(from), Math.floor(from + length)))
          gone.add((t * clip.persons + m) * clip.joints + Math.floor(joint));
      }
      for (const place of gone) markMissing(data, place * 3);
    }
    return { facts, clip: { ...clip, data } };
  };
  return {
    ...source,
    *clips(onBad, onInput) {
      for (const one of source.clips(onBad, onInput)) yield lose(one);
    },
    close: () => source.close?.(),
  };
}
