/** The layouts that come with the package, by name, and the shorter names that people use. */
import { KINECT_V1_20, NTU25, SBU15, SMPL22, type SkeletonLayout } from "./layout.ts";
import { POSE_LAYOUTS } from "./pose-layouts.ts";

/** The layouts that come with the package. */
export const LAYOUTS: readonly SkeletonLayout[] = [NTU25, KINECT_V1_20, SBU15, SMPL22, ...POSE_LAYOUTS];

/** What else the layouts are called. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  ntu: "ntu25",
  "kinect-v2": "ntu25",
  "kinect-v1": "kinect-v1-20",
  "azure-kinect": "azure-kinect32",
  coco: "coco17",
  mediapipe: "mediapipe33",
  smpl: "smpl22",
  h36m: "h36m17",
  body25: "openpose25",
};

/** A built-in layout by its name or another one of it, or undefined. */
export function knownLayout(name: string): SkeletonLayout | undefined {
  return LAYOUTS.find((known) => known.name === (Object.hasOwn(OTHER_NAMES, name) ? OTHER_NAMES[name] : name));
}

/** A built-in layout by name. @throws Error that lists them. */
export function layoutNamed(name: string): SkeletonLayout {
  const layout = knownLayout(name);
  if (layout) return layout;
  throw new Error(
    `no skeleton layout "${name}"; built in are ${LAYOUTS.map((l) => l.name).join(", ")}, ` +
      `any other is given as a JSON file`,
  );
}
