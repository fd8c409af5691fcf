/**
 * Markers of motion capture as a skeleton: bones and body axes from what markers are called.
 *
 * Files of markers name no bones: markers are joined by the tree of least total length, over distances averaged in time,
 * which runs along the body since its parts are rigid.
 */
import type { Clip } from "../../skeleton/clip.ts";
import { isLost } from "../../skeleton/missing.ts";
import type { Anchor, SkeletonLayout } from "../../skeleton/layout.ts";

/** A recording of named markers, in metres. */
export interface MarkerRecording {
  readonly names: readonly string[];
  readonly clip: Clip;
  /** Frames a second. */
  readonly rate: number;
}

/** The layout of a recording's markers. */
export function markerLayout({ names, clip }: MarkerRecording): SkeletonLayout {
  const find = (...words: RegExp[]): number[] =>
    words.map((word) => names.findIndex((name) => word.test(name))).filter((v) => v >= 0);
  const all = names.map((_, v) => v);
  const or = (found: number[], other: Anchor): Anchor => (found.length > 0 ? found : other);
  const hips = find(/^(l_?asis?|l.*hip|left.*hip)/i, /^(r_?asis?|r.*hip|right.*hip)/i);
  const left = find(/^(l_?sh|l_?acr|l.*shoulder|left.*shoulder)/i);
  const right = find(/^(r_?sh|r_?acr|r.*shoulder|right.*shoulder)/i);
  const shoulders = [...left, ...right];
  return {
    name: "markers",
    joints: names,
    parents: tree(clip),
    persons: 1,
    axes: {
      centre: or(hips, all),
      up: [or(hips, [0]), or(shoulders, [names.length - 1])],
      across: [or(left, [0]), or(right, [names.length - 1])],
    },
  };
}

/** The minimum spanning tree of mean distances over some frames, rooted at the first marker (Prim's algorithm). */
function tree(clip: Clip): number[] {
  const { data, frames, joints } = clip;
  const step = Math.max(1, Math.floor(frames / 10));
  const far = (a: number, b: number): number => {
    let [sum, count] = [0, 0];
    for (let t = 0; t < frames; t += step) {
      const [i, j] = [(t * joints + a) * 3, (t * joints + b) * 3];
      if (isLost(data, i) || isLost(data, j)) continue;
      sum += Math.hypot(data[i] - data[j], data[i + 1] - data[j + 1], data[i + 2] - data[j + 2]);
      count++;
    }
    return count === 0 ? 1e9 : sum / count;
  };
  const parents = new Array<number>(joints).fill(-1);
  const best = Array.from({ length: joints }, (_, v) => ({ from: 0, far: far(0, v) }));
  const left = new Set(parents.map((_, v) => v).slice(1));
  while (left.size > 0) {
    const next = [...left].reduce((a, b) => (best[b].far < best[a].far ? b : a));
    left.delete(next);
    parents[next] = best[next].from;
    for (const v of left) {
      const distance = far(next, v);
      if (distance < best[v].far) best[v] = { from: next, far: distance };
    }
  }
  return parents;
}

/** Metres in a unit by its name, or undefined. */
export function metresIn(unit: string): number | undefined {
  const units: Readonly<Record<string, number>> = { m: 1, mm: 0.001, cm: 0.01, dm: 0.1, in: 0.0254, ft: 0.3048 };
  const word = unit
    .trim()
    .toLowerCase()
    .replace(/^(milli|centi)?met(er|re)s?$/, (_, part: string | undefined) =>
      part === "milli" ? "mm" : part === "centi" ? "cm" : "m",
    );
  return Object.hasOwn(units, word) ? units[word] : undefined;
}

/** Markers that one file may name. */
export const MOST_MARKERS = 512;
