/**
 * Units of sources that name none: metres, centimetres or millimetres, by how large their bodies are.
 *
 * A body that is there measures between half a metre and three along its longest side, so its size in numbers tells the
 * unit: up to 10 metres, up to 300 centimetres, beyond that millimetres. The first clips decide for all of a source.
 */
import type { Clip } from "../skeleton/clip.ts";
import { isPresent } from "../skeleton/clip.ts";
import { isLost } from "../skeleton/missing.ts";
import type { ClipSource, Remark, SourceClip } from "./source.ts";

/** Units of coordinates that a user can name, in metres. */
export const UNITS = { m: 1, cm: 0.01, mm: 0.001 } as const;
/** A unit of coordinates. */
export type Unit = keyof typeof UNITS;

/** A body of up to so many units is in metres, of up to so many in centimetres, any larger in millimetres. */
const LARGEST = { m: 10, cm: 300 } as const;
const WORDS = { m: "metres", cm: "centimetres", mm: "millimetres" } as const;
/** Clips that decide, and frames of each that are looked at. */
const [CLIPS, FRAMES] = [8, 16];

/** The unit in which a body measures `size`. */
export function unitBySize(size: number): Unit {
  if (size <= LARGEST.m) return "m";
  return size <= LARGEST.cm ? "cm" : "mm";
}

/**
 * The longest side of the box around each body in some frames of the `clips`: their median, or undefined where nobody
 * is there. Joints at (0, 0, 0) are passed over, since many files write lost ones so.
 */
export function bodySize(clips: readonly Clip[]): number | undefined {
  const sizes: number[] = [];
  for (const clip of clips) {
    const step = Math.max(1, Math.floor(clip.frames / FRAMES));
    for (let t = 0; t < clip.frames; t += step)
      for (let m = 0; m < clip.persons; m++) if (isPresent(clip, t, m)) sizes.push(sizeOf(clip, t, m));
  }
  const there = sizes.filter((size) => size > 0).sort((a, b) => a - b);
  return there[there.length >> 1];
}

function sizeOf({ data, persons, joints }: Clip, t: number, m: number): number {
  const [low, high] = [
    [Infinity, Infinity, Infinity],
    [-Infinity, -Infinity, -Infinity],
  ];
  const start = (t * persons + m) * joints * 3;
  for (let at = start; at < start + joints * 3; at += 3) {
    if (isLost(data, at) || (data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 0)) continue;
    for (let c = 0; c < 3; c++) {
      low[c] = Math.min(low[c], data[at + c]);
      high[c] = Math.max(high[c], data[at + c]);
    }
  }
  return Math.max(...high.map((value, c) => value - low[c]));
}

/** The source with its coordinates in metres: from the unit that is named, else from the one that its first bodies tell. */
export function inMetres(source: ClipSource, named?: Unit): ClipSource {
  const said: Remark[] = [];
  return {
    ...source,
    get leftOut() {
      return source.leftOut;
    },
    get lateRemarks() {
      return [...(source.lateRemarks ?? []), ...said];
    },
    *clips(onBad, onInput) {
      const first: SourceClip[] = [];
      let factor: number | undefined = named && UNITS[named];
      const decide = (): number => {
        const size = bodySize(first.map(({ clip }) => clip));
        const unit = size === undefined ? "m" : unitBySize(size);
        if (unit !== "m")
          said.push({
            what: `unit taken from the size of bodies (${size!.toPrecision(3)}) and converted to metres; --units says otherwise`,
            names: [WORDS[unit]],
            harmless: true,
          });
        return UNITS[unit];
      };
      for (const one of source.clips(onBad, onInput)) {
        if (factor !== undefined) yield scaled(one, factor);
        else if (first.push(one) === CLIPS) {
          factor = decide();
          for (const held of first.splice(0)) yield scaled(held, factor);
        }
      }
      if (factor === undefined && first.length > 0) {
        factor = decide();
        for (const held of first) yield scaled(held, factor);
      }
    },
    close: () => source.close?.(),
  };
}

function scaled(one: SourceClip, factor: number): SourceClip {
  if (factor !== 1) for (let i = 0; i < one.clip.data.length; i++) one.clip.data[i] *= factor;
  return one;
}
