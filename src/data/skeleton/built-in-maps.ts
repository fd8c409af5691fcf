/**
 * The maps that come with the package: sensors' and pose estimators' joints to the 25 of NTU.
 *
 * What a layout does not track is the mean of what lies about it: the pelvis of the hips, the middle of the spine of hips
 * and shoulders, the neck of shoulders and ears. Hands and feet that are not tracked stand at wrists and ankles.
 */
import type { LayoutMap } from "./layout-map.ts";
import { KINECT_V1_20, NTU25, SBU15, SMPL22, type SkeletonLayout } from "./layout.ts";
import { AZURE32, COCO17, H36M17, MEDIAPIPE33, OPENPOSE18, OPENPOSE25 } from "./pose-layouts.ts";

/** A joint, several of equal weight, or several with their weights. */
type From = number | readonly number[] | readonly (readonly [joint: number, weight: number])[];

function toNtu(from: SkeletonLayout, sources: readonly From[]): LayoutMap {
  const weighted = (s: From): readonly (readonly [number, number])[] => {
    if (typeof s === "number") return [[s, 1]];
    return s.map((one) => (typeof one === "number" ? ([one, 1 / s.length] as const) : one));
  };
  return { from, to: NTU25, sources: sources.map(weighted) };
}

/** Hand tips and thumbs, which Kinect v1 does not track, copy the hand; the neck lies midway to the head. */
export const KINECT_V1_20_TO_NTU25 = toNtu(KINECT_V1_20, [
  ...[0, 1, [2, 3], 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 2, 7, 7, 11, 11],
]);

/** OpenNI has no pelvis, wrists or ankles: the mean of the hips, the hands, the feet. */
export const SBU15_TO_NTU25 = toNtu(SBU15, [
  ...[[9, 12], 2, [1, 0], 0, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11, 12, 13, 14, 14, 1, 5, 5, 8, 8],
]);

/** A neck a third of the way from the shoulders to the ears. */
const neck = (shoulders: readonly [number, number], ears: readonly [number, number]): From => [
  [shoulders[0], 0.35],
  [shoulders[1], 0.35],
  [ears[0], 0.15],
  [ears[1], 0.15],
];

const COCO_17_TO_NTU25 = toNtu(COCO17, [
  ...[[11, 12], [5, 6, 11, 12], neck([5, 6], [3, 4]), [3, 4], 5, 7, 9, 9, 6, 8, 10, 10],
  ...[11, 13, 15, 15, 12, 14, 16, 16, [5, 6], 9, 9, 10, 10],
]);

const OPENPOSE_18_TO_NTU25 = toNtu(OPENPOSE18, [
  ...[[8, 11], [2, 5, 8, 11], neck([2, 5], [16, 17]), [16, 17], 5, 6, 7, 7, 2, 3, 4, 4],
  ...[11, 12, 13, 13, 8, 9, 10, 10, [2, 5], 7, 7, 4, 4],
]);

const OPENPOSE_25_TO_NTU25 = toNtu(OPENPOSE25, [
  ...[8, [2, 5, 9, 12], neck([2, 5], [17, 18]), [17, 18], 5, 6, 7, 7, 2, 3, 4, 4],
  ...[12, 13, 14, 19, 9, 10, 11, 22, [2, 5], 7, 7, 4, 4],
]);

const H36M_17_TO_NTU25 = toNtu(H36M17, [
  ...[0, 7, 9, 10, 11, 12, 13, 13, 14, 15, 16, 16, 4, 5, 6, 6, 1, 2, 3, 3, 8, 13, 13, 16, 16],
]);

const MEDIAPIPE_33_TO_NTU25 = toNtu(MEDIAPIPE33, [
  ...[[23, 24], [11, 12, 23, 24], neck([11, 12], [7, 8]), [7, 8], 11, 13, 15, [17, 19], 12, 14, 16, [18, 20]],
  ...[23, 25, 27, 31, 24, 26, 28, 32, [11, 12], 19, 21, 20, 22],
]);

/** SMPL's spine joints lie low: Kinect's middle of the spine is its second. */
const SMPL_22_TO_NTU25 = toNtu(SMPL22, [
  ...[0, 6, 12, 15, 16, 18, 20, 20, 17, 19, 21, 21, 1, 4, 7, 10, 2, 5, 8, 11],
  ...[[9, 12], 20, 20, 21, 21],
]);

const AZURE_32_TO_NTU25 = toNtu(AZURE32, [
  ...[0, 1, 3, 26, 5, 6, 7, 8, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24, 25, [2, 3], 9, 10, 16, 17],
]);

/** The maps between layouts that come with the package. */
export const LAYOUT_MAPS: readonly LayoutMap[] = [
  KINECT_V1_20_TO_NTU25,
  SBU15_TO_NTU25,
  COCO_17_TO_NTU25,
  OPENPOSE_18_TO_NTU25,
  OPENPOSE_25_TO_NTU25,
  H36M_17_TO_NTU25,
  MEDIAPIPE_33_TO_NTU25,
  SMPL_22_TO_NTU25,
  AZURE_32_TO_NTU25,
];

/** The map between two layouts: built in, or the identity. @throws Error where there is none */
export function layoutMap(from: SkeletonLayout, to: SkeletonLayout): LayoutMap {
  if (from.name === to.name) return { from, to, sources: from.joints.map((_, v) => [[v, 1]]) };
  const known = LAYOUT_MAPS.find((map) => map.from.name === from.name && map.to.name === to.name);
  if (known) return known;
  throw new Error(`no built-in map from layout "${from.name}" to "${to.name}"; give one as a JSON file`);
}
