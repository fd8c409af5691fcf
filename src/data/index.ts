/**
 * Skeleton data: formats, layouts, protocols, pre-normalisation, streams, augmentation, views.
 *
 * @module hico-webgpu/data
 */
export * from "./batches/augment.ts";
export * from "./skeleton/bodies.ts";
export * from "./synthetic/body-model.ts";
export * from "./skeleton/clip.ts";
export * from "./store/describe.ts";
export * from "./batches/draws.ts";
export * from "./errors.ts";
export * from "./synthetic/generator.ts";
export * from "./batches/inputs.ts";
export * from "./skeleton/layout.ts";
export * from "./skeleton/layouts.ts";
export * from "./skeleton/pose-layouts.ts";
export * from "./skeleton/layout-map.ts";
export * from "./skeleton/built-in-maps.ts";
export * from "./batches/loader.ts";
export * from "./skeleton/normalize.ts";
export * from "./skeleton/missing.ts";
export * from "./skeleton/upright.ts";
export * from "./formats/bvh.ts";
export * from "./formats/msr-action3d.ts";
export * from "./formats/nw-ucla.ts";
export * from "./formats/sbu.ts";
export * from "./formats/utd-mhad.ts";
export * from "./formats/ntu-names.ts";
export * from "./formats/ntu-skeleton.ts";
export * from "./formats/pku-mmd.ts";
export * from "./sources/prepare.ts";
export * from "./store/protocol.ts";
export * from "./store/folds.ts";
export * from "./rng.ts";
export * from "./formats/skeleton-csv.ts";
export * from "./formats/csv-spec.ts";
export * from "./formats/skeleton-npy.ts";
export * from "./sources/source.ts";
export * from "./sources/csv.ts";
export * from "./sources/generated.ts";
export * from "./sources/detect.ts";
export * from "./sources/downloads.ts";
export * from "./sources/motion.ts";
export * from "./sources/prepared.ts";
export * from "./sources/kind-names.ts";
export * from "./sources/kinds.ts";
export * from "./sources/npy.ts";
export * from "./sources/ntu.ts";
export * from "./sources/pku.ts";
export * from "./store/store.ts";
export type { ClipFacts } from "./store/format.ts";
export * from "./store/writer.ts";
export * from "./skeleton/streams.ts";
export * from "./synthetic/actions.ts";
export * from "./formats/text.ts";
export * from "./batches/views.ts";
export * from "./sources/windows.ts";
export * from "./sources/units.ts";
export * from "./formats/pose/azure-kinect.ts";
export * from "./formats/pose/mediapipe.ts";
export {
  type KineticsClip,
  parseKineticsSkeleton,
  parseOpenPoseFrame,
  clipOfOpenPose,
  type OpenPoseFrame,
} from "./formats/pose/openpose.ts";
export type { TrackedBody } from "./formats/pose/bodies.ts";
export { standInPlane } from "./formats/pose/plane.ts";
export * from "./sources/own/poses.ts";
export type { RecordingOptions } from "./sources/own/recordings.ts";
export * from "./formats/mocap/c3d.ts";
export * from "./formats/mocap/trc.ts";
export type { MarkerRecording } from "./formats/mocap/markers.ts";
export * from "./formats/utkinect.ts";
export * from "./sources/own/markers.ts";
