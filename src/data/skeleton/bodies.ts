/**
 * Which of the tracked bodies are the people of a clip: those that move most.
 *
 * Kinect also tracks furniture and bystanders. Custom in the field (2s-AGCN's preparation of NTU RGB+D): the energy of
 * a body is the sum over x, y, z of the standard deviation over its non-empty frames and all joints that were seen; the `persons`
 * bodies of largest energy are kept, in that order, so that the first is the main person.
 */
import type { Clip } from "./clip.ts";
import { newClip, personStride, presentFrames } from "./clip.ts";
import { isLost } from "./missing.ts";

/** std(x) + std(y) + std(z) of person `m` (population form, float64); 0 for somebody never present. */
export function bodyEnergy(clip: Clip, m: number): number {
  const { data, joints, persons } = clip;
  const places: number[] = [];
  for (const t of presentFrames(clip, m)) {
    const start = (t * persons + m) * joints * 3;
    for (let at = start; at < start + joints * 3; at += 3) if (!isLost(data, at)) places.push(at);
  }
  if (places.length === 0) return 0;
  let energy = 0;
  for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (const at of places) sum += data[at + c];
    const mean = sum / places.length;
    let squares = 0;
    for (const at of places) squares += (data[at + c] - mean) ** 2;
    energy += Math.sqrt(squares / places.length);
  }
  return energy;
}

/** The `persons` most energetic bodies by number, most energetic first (equals keep their order). */
export function mainPersons(clip: Clip, persons = 2): number[] {
  return Array.from({ length: clip.persons }, (_, m) => ({ m, energy: bodyEnergy(clip, m) }))
    .sort((a, b) => b.energy - a.energy)
    .slice(0, persons)
    .map(({ m }) => m);
}

/** The clip with room for `persons`, of whom the first are `chosen`, in that order. */
export function pickPersons(clip: Clip, chosen: readonly number[], persons = chosen.length): Clip {
  const out = newClip(clip.frames, persons, clip.joints);
  const stride = personStride(clip);
  chosen.forEach((m, to) => {
    for (let t = 0; t < clip.frames; t++) {
      const from = (t * clip.persons + m) * stride;
      out.data.set(clip.data.subarray(from, from + stride), (t * persons + to) * stride);
    }
  });
  return out;
}

/** The clip with the `persons` most energetic bodies, most energetic first (equals keep their order). */
export function mainBodies(clip: Clip, persons = 2): Clip {
  return pickPersons(clip, mainPersons(clip, persons), persons);
}
