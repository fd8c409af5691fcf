/**
 * Maps between skeleton layouts: each target joint is a weighted mean of source joints.
 *
 * The JSON form is a list with one entry per target joint, each a list of `[source joint, weight]`:
 * `[[[0, 1]], [[2, 0.5], [3, 0.5]], ...]`. A model of 25 joints then runs on a sensor that has fewer.
 */
import { readFileBytes } from "../../io/byte-source.ts";
import type { Clip } from "./clip.ts";
import { newClip } from "./clip.ts";
import { isLost } from "./missing.ts";
import { DataError } from "../errors.ts";
import { parseJson } from "../json.ts";
import type { SkeletonLayout } from "./layout.ts";

/** How joints of one layout become those of another: each is a weighted mean of others. */
export interface LayoutMap {
  readonly from: SkeletonLayout;
  readonly to: SkeletonLayout;
  /** Per target joint: source joints and their weights, which sum to 1. */
  readonly sources: readonly (readonly (readonly [joint: number, weight: number])[])[];
}

/** A map between two layouts from a user's JSON file at `path`. @throws DataError naming the file and the rule. */
export function loadLayoutMap(path: string, from: SkeletonLayout, to: SkeletonLayout): LayoutMap {
  let text: string;
  try {
    text = new TextDecoder().decode(readFileBytes(path));
  } catch (cause) {
    throw new DataError(path, "unreadable", (cause as Error).message, { cause });
  }
  return parseLayoutMap(parseJson(text, path), from, to, path);
}

/**
 * Checks a map read from JSON, the `value`: one entry per joint of `to`, joints of `from` that exist, weights that sum
 * to 1. `file` names it in errors. @throws DataError naming the rule.
 */
export function parseLayoutMap(value: unknown, from: SkeletonLayout, to: SkeletonLayout, file = "map"): LayoutMap {
  const fail = (detail: string): never => {
    throw new DataError(file, "format", detail);
  };
  if (!Array.isArray(value) || value.length !== to.joints.length) {
    return fail(`a map to "${to.name}" is a list of ${to.joints.length} entries, one per joint`);
  }
  const sources = value.map((entry: unknown, target) => {
    const name = to.joints[target];
    if (!Array.isArray(entry) || entry.length === 0) {
      return fail(`joint ${name} needs a non-empty list of [source joint, weight]`);
    }
    let total = 0;
    const list = entry.map((pair: unknown) => {
      const [joint, weight] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
      if (!Number.isInteger(joint) || (joint as number) < 0 || (joint as number) >= from.joints.length) {
        return fail(`joint ${name}: ${JSON.stringify(pair)} is not [joint below ${from.joints.length}, weight]`);
      }
      if (typeof weight !== "number" || !Number.isFinite(weight)) {
        return fail(`joint ${name}: weight ${JSON.stringify(weight)} is not a finite number`);
      }
      total += weight;
      return [joint as number, weight] as const;
    });
    if (Math.abs(total - 1) > 1e-6) fail(`joint ${name}: weights sum to ${total}; they must sum to 1`);
    return list;
  });
  return { from, to, sources };
}

/** The clip in the target layout; persons and frames as they are. A lost joint has no weight in a mean of several. */
export function mapClip(clip: Clip, map: LayoutMap): Clip {
  const from = map.from.joints.length;
  if (clip.joints !== from) {
    throw new Error(`mapClip: a clip of ${clip.joints} joints; the map is from "${map.from.name}" with ${from}`);
  }
  const out = newClip(clip.frames, clip.persons, map.to.joints.length);
  const bodies = clip.frames * clip.persons;
  let to = 0;
  for (let body = 0; body < bodies; body++) {
    const start = body * from * 3;
    const seen = (joint: number): boolean => !isLost(clip.data, start + joint * 3);
    for (const all of map.sources) {
      // Nearly all joints of nearly all maps.
      if (all.length === 1) {
        const [[joint, weight]] = all;
        const first = start + joint * 3;
        for (let i = first; i < first + 3; i++) out.data[to++] = 0 + weight * clip.data[i];
        continue;
      }
      const there = all.filter(([joint]) => seen(joint));
      const total = there.reduce((sum, [, weight]) => sum + weight, 0);
      const part = there.length < all.length && Math.abs(total) > 1e-6;
      const sources = part ? there.map(([joint, weight]) => [joint, weight / total] as const) : all;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (const [joint, weight] of sources) sum += weight * clip.data[start + joint * 3 + c];
        out.data[to++] = sum;
      }
    }
  }
  return out;
}
