/**
 * One clip as preparation leaves it: lost joints filled in time, the main persons, another layout, normalised by the
 * joints that are there, and what is lost throughout filled from the body. Which joints were lost comes with it.
 */
import { mainPersons, pickPersons } from "../skeleton/bodies.ts";
import type { Clip } from "../skeleton/clip.ts";
import { newClip, presentFrames } from "../skeleton/clip.ts";
import type { LayoutMap } from "../skeleton/layout-map.ts";
import { mapClip } from "../skeleton/layout-map.ts";
import type { BodyAxes, SkeletonLayout } from "../skeleton/layout.ts";
import { fillFromBody, fillInTime, isLost, lostJoints, nearestJoints } from "../skeleton/missing.ts";
import { frameOrders, normalizeClip, takeFrames } from "../skeleton/normalize.ts";
import type { Normalization, NormalizedPer } from "../skeleton/upright.ts";
import { centreClip, sidePairs, uprightClip, yawClip } from "../skeleton/upright.ts";

interface ClipPreparation {
  /** What the clip is brought to; its persons are how many are kept. */
  readonly layout: SkeletonLayout;
  readonly map?: LayoutMap;
  readonly normalization: Normalization;
  readonly normalizedPer?: NormalizedPer;
  readonly up?: "y" | "z";
}

export interface PreparedClip {
  readonly clip: Clip;
  /** Per frame, person and joint of the prepared clip 1 where it was lost and is filled; undefined where none was. */
  readonly lost?: Uint8Array;
  /** Joints of the clip as it was read: lost, and how many of them time filled; the rest came from the body. */
  readonly missing: number;
  readonly inTime: number;
}

/** Changes the data of `clip` in place where joints are lost. */
export function prepareClip(
  clip: Clip,
  { layout, map, normalization, normalizedPer, up }: ClipPreparation,
): PreparedClip {
  const flags = lostJoints(clip);
  const inTime = flags ? fillInTime(clip, (map?.from ?? layout).parents) : 0;
  const missing = flags ? countLost(flags, clip) : 0;
  const chosen = clip.persons > layout.persons ? mainPersons(clip, layout.persons) : undefined;
  const persons = (one: Clip): Clip => (chosen ? pickPersons(one, chosen) : one);
  const mapped = (one: Clip): Clip => (map ? mapClip(one, map) : one);
  const placed = mapped(persons(clip));
  const seen = flags ? { ...layout, axes: axesSeen(placed, layout) } : layout;
  const marks = flags && mapped(persons(asClip(flags, clip)));
  const moved = marks && normalization !== "none" ? takeFrames(marks, frameOrders(placed)) : marks;
  const upright = { per: normalizedPer, up, filled: moved };
  let out = placed;
  if (normalization === "full") out = normalizeClip(placed, seen.axes);
  else if (normalization === "yaw") out = yawClip(placed, seen, upright);
  else if (normalization === "upright") out = uprightClip(placed, seen, upright);
  else if (normalization === "centre") out = centreClip(placed, seen, upright);
  if (!moved) return { clip: out, missing, inTime };
  if (out === clip) out = { ...clip, data: clip.data.slice() };
  fillFromBody(out, layout.parents);
  return { clip: out, lost: fromClip(moved, out), missing, inTime };
}

function countLost(flags: Uint8Array, clip: Clip): number {
  const { persons, joints } = clip;
  let lost = 0;
  for (let m = 0; m < persons; m++)
    for (const t of presentFrames(clip, m)) {
      const start = (t * persons + m) * joints;
      for (let i = start; i < start + joints; i++) lost += flags[i];
    }
  return lost;
}

/** Flags as a clip of ones, so that whatever moves joints moves them as well. */
function asClip(flags: Uint8Array, { frames, persons, joints }: Clip): Clip {
  const marks = newClip(frames, persons, joints);
  flags.forEach((flag, i) => marks.data.fill(flag, i * 3, i * 3 + 3));
  return marks;
}

/** A joint is lost where all that it is the mean of are, of bodies that are there. */
function fromClip(marks: Clip, clip: Clip): Uint8Array | undefined {
  const flags = new Uint8Array(marks.data.length / 3);
  const { persons, joints } = clip;
  for (let m = 0; m < persons; m++)
    for (const t of presentFrames(clip, m)) {
      const start = (t * persons + m) * joints;
      for (let i = start; i < start + joints; i++) if (marks.data[i * 3] > 1 - 1e-6) flags[i] = 1;
    }
  return flags.some((flag) => flag !== 0) ? flags : undefined;
}

/**
 * Axes by joints that the main person has at all: for one lost throughout the joints nearest to it, and for the line
 * across the body another pair of left and right.
 */
function axesSeen(clip: Clip, layout: SkeletonLayout): BodyAxes {
  const [first] = presentFrames(clip, 0);
  if (first === undefined) return layout.axes;
  const start = first * clip.persons * clip.joints * 3;
  const isThere = (v: number): boolean => !isLost(clip.data, start + v * 3);
  const there = (anchor: readonly number[], but: readonly number[] = []): readonly number[] => {
    const own = anchor.filter(isThere);
    if (own.length > 0) return own;
    const near = [
      ...new Set(anchor.flatMap((v) => nearestJoints(v, layout.parents, isThere).map(({ joint }) => joint))),
    ];
    const others = near.filter((joint) => !but.includes(joint));
    return others.length > 0 ? others : anchor;
  };
  const { centre, up, across } = layout.axes;
  const pairs = sidePairs(layout)
    .flat()
    .filter((pair) => pair.every(isThere));
  const turned = across.every((anchor) => anchor.some(isThere));
  return {
    centre: there(centre),
    up: [there(up[0], up[1]), there(up[1], up[0])],
    across: turned ? [there(across[0]), there(across[1])] : pairs.length > 0 ? [[pairs[0][0]], [pairs[0][1]]] : across,
  };
}
