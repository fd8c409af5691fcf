/** What fuzzing of text formats shares: targets of text, and the check of a clip that was read. */
import type { Clip } from "../../src/data/index.ts";
import { mutateBytes, mutateText, type FuzzTarget } from "./mutation.ts";

/** Throws where a clip's numbers are not as many as its sizes say, or not all places or lost joints. */
export function requireWholeClip({ data, frames, persons, joints }: Clip): void {
  if (data.length !== frames * persons * joints * 3) throw new Error(`a clip of ${data.length} numbers is not whole`);
  for (let at = 0; at < data.length; at += 3) {
    const joint = data.subarray(at, at + 3);
    if (!joint.every(Number.isFinite) && !joint.every(Number.isNaN))
      throw new Error("a clip that was read holds a joint that is neither a place nor lost");
  }
}

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A format of text; `read` gets what a file of these bytes holds. */
export function textTarget(seeds: readonly string[], read: (text: string) => void): FuzzTarget {
  const bytes = seeds.map(encode);
  return {
    seeds: bytes,
    mutate: (draw, input) =>
      draw.below(3) === 0 ? mutateBytes(draw, input, bytes) : encode(mutateText(draw, decode(input))),
    read: (input) => read(decode(input)),
  };
}
