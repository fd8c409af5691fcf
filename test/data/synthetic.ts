/**
 * Made-up recordings for the format tests, and writers of the text formats that share no code with the parsers.
 */
import type { Clip } from "../../src/data/skeleton/clip.ts";
import { newClip } from "../../src/data/skeleton/clip.ts";
import { KINECT_V1_20 } from "../../src/data/skeleton/layout.ts";
import type { SkeletonLayout } from "../../src/data/skeleton/layout.ts";
import type { PrepareReport } from "../../src/data/sources/prepare.ts";
import { prepareStore } from "../../src/data/sources/prepare.ts";
import { CounterRandom } from "../../src/data/rng.ts";

/** A clip of random joints (no zeros), every person in every frame. */
export function randomClip(seed: number, frames: number, persons: number, joints: number): Clip {
  const random = CounterRandom.fromSeed(seed);
  const clip = newClip(frames, persons, joints);
  for (let i = 0; i < clip.data.length; i++) clip.data[i] = random.between(-1, 1) + (i % 3 === 2 ? 3 : 0);
  return clip;
}

/** Makes person `m` absent in frame `t`. */
export function erase(clip: Clip, t: number, m: number): void {
  const stride = clip.joints * 3;
  clip.data.fill(0, (t * clip.persons + m) * stride, (t * clip.persons + m + 1) * stride);
}

/** Who is where in a frame of a made-up `.skeleton` file: tracking ID and the person of `clip` it shows. */
export type Appearance = readonly [id: string, person: number];

/** `.skeleton` text; `appearances[t]` lists the bodies of frame t in file order. */
export function skeletonText(clip: Clip, appearances: readonly (readonly Appearance[])[], lineEnd = "\n"): string {
  const lines = [String(clip.frames)];
  appearances.forEach((bodies, t) => {
    lines.push(String(bodies.length));
    for (const [id, m] of bodies) {
      lines.push(`${id} 0 1 1 1 1 0 0.02 0.05 2`, String(clip.joints));
      for (let v = 0; v < clip.joints; v++) {
        const at = ((t * clip.persons + m) * clip.joints + v) * 3;
        const xyz = [...clip.data.subarray(at, at + 3)].join(" ");
        lines.push(`${xyz} 277.4 191.8 1036.2 519.1 -0.2 0.05 0.9 -0.1 2`);
      }
    }
  });
  return lines.join(lineEnd) + lineEnd;
}

/** Folds of made-up stores: fold 1 or 2 tests, by the clip's subject. */
const FOLDS = [1, 2].map((fold) => ({
  name: `made-up-fold${fold}`,
  rule: `subject ${fold} tests`,
  split: ({ subject }: { readonly subject?: number }) => (subject === fold ? "test" : "train") as "test" | "train",
}));

/** A store of `count` random clips of one person, two classes and two subjects in turn, with two folds. */
export function kinectStore(
  path: string,
  count: number,
  layout: SkeletonLayout = KINECT_V1_20,
  order = (i: number): number => i,
): Promise<PrepareReport> {
  const source = {
    layout,
    classes: ["even", "odd"],
    protocols: FOLDS,
    inputs: count,
    *clips() {
      for (let place = 0; place < count; place++) {
        const i = order(place);
        const facts = { name: `clip-${i}`, label: i % 2, subject: 1 + (Math.floor(i / 2) % 2) };
        yield { facts, clip: randomClip(i, 20, layout.persons, layout.joints.length) };
      }
    },
  };
  return prepareStore(source, path);
}
