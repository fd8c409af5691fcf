/**
 * Which of the tracked bodies are the people of a clip: those that move most.
 *
 * Kinect also tracks furniture and bystanders. Custom in the field (2s-AGCN's preparation of NTU RGB+D): the energy of
 * a body is the sum over x, y, z of the standard deviation over its non-empty frames and all joints; the `persons`
 * bodies of largest energy are kept, in that order, so that the first is the main person.
 */
import type { Clip } from "./clip.ts";
import { newClip, personStride, presentFrames } from "./clip.ts";

/** std(x) + std(y) + std(z) of person `m` (population form, float64); 0 for somebody never present. */
export function bodyEnergy(clip: Clip, m: number): number {
  const present = presentFrames(clip, m);
  if (present.length === 0) return 0;
  const stride = personStride(clip);
  const count = present.length * clip.joints;
  let energy = 0;
  for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (const t of present) {
      const start = (t * clip.persons + m) * stride;
      for (let i = start + c; i < start + stride; i += 3) sum += clip.data[i];
    }
    const mean = sum / count;
    let squares = 0;
    for (const t of present) {
      const start = (t * clip.persons + m) * stride;
      for (let i = start + c; i < start + stride; i += 3) squares += (clip.data[i] - mean) ** 2;
    }
    energy += Math.sqrt(squares / count);
  }
  return energy;
}

/** The clip with the `persons` most energetic bodies, most energetic first (equals keep their order). */
export function mainBodies(clip: Clip, persons = 2): Clip {
  const ranked = Array.from({ length: clip.persons }, (_, m) => ({ m, energy: bodyEnergy(clip, m) }))
    .sort((a, b) => b.energy - a.energy)
    .slice(0, persons);
  const out = newClip(clip.frames, persons, clip.joints);
  const stride = personStride(clip);
  ranked.forEach(({ m }, to) => {
    for (let t = 0; t < clip.frames; t++) {
      const from = (t * clip.persons + m) * stride;
      out.data.set(clip.data.subarray(from, from + stride), (t * persons + to) * stride);
    }
  });
  return out;
}
