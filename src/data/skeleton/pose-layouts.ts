/**
 * The joints that pose estimators give: COCO's 17, OpenPose's 18 and 25, Human3.6M's 17, MediaPipe's 33, and the 32 of
 * Azure Kinect. Names and bones are those of the tools' own documentation.
 */
import type { SkeletonLayout } from "./layout.ts";

/** COCO keypoints, as PySKL, MMPose, AlphaPose, YOLO and ViTPose give them. */
export const COCO17: SkeletonLayout = {
  name: "coco17",
  joints: [
    ...["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"],
    ...["right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"],
    "right_ankle",
  ],
  parents: [-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14],
  persons: 2,
  axes: {
    centre: [11, 12],
    up: [
      [11, 12],
      [5, 6],
    ],
    across: [[5], [6]],
  },
};

/** OpenPose's COCO model, as in Kinetics-skeleton (Yan et al., AAAI 2018). */
export const OPENPOSE18: SkeletonLayout = {
  name: "openpose18",
  joints: [
    ...["nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"],
    ...["right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye"],
    ...["right_ear", "left_ear"],
  ],
  parents: [1, -1, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15],
  persons: 2,
  axes: { centre: [8, 11], up: [[8, 11], [1]], across: [[5], [2]] },
};

/** OpenPose's BODY_25. */
export const OPENPOSE25: SkeletonLayout = {
  name: "openpose25",
  joints: [
    ...["nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"],
    ...["mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye"],
    ...["left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe"],
    ...["right_small_toe", "right_heel"],
  ],
  parents: [1, 8, 1, 2, 3, 1, 5, 6, -1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 19, 14, 11, 22, 11],
  persons: 2,
  axes: { centre: [8], up: [[8], [1]], across: [[5], [2]] },
};

/** Human3.6M's 17 joints in the order of VideoPose3D and MotionBERT. */
export const H36M17: SkeletonLayout = {
  name: "h36m17",
  joints: [
    ...["pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax"],
    ...["neck", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"],
  ],
  parents: [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15],
  persons: 1,
  axes: { centre: [0], up: [[0], [8]], across: [[11], [14]] },
};

/** MediaPipe Pose. */
export const MEDIAPIPE33: SkeletonLayout = {
  name: "mediapipe33",
  joints: [
    ...["nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"],
    ...["left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow"],
    ...["right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index"],
    ...["left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"],
    ...["left_heel", "right_heel", "left_foot_index", "right_foot_index"],
  ],
  parents: [
    ...[11, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, -1, 11, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23, 24, 25, 26],
    ...[27, 28, 29, 30],
  ],
  persons: 1,
  axes: {
    centre: [23, 24, 11, 12],
    up: [
      [23, 24],
      [11, 12],
    ],
    across: [[11], [12]],
  },
};

/** Azure Kinect's body tracking. */
export const AZURE32: SkeletonLayout = {
  name: "azure-kinect32",
  joints: [
    ...["PELVIS", "SPINE_NAVEL", "SPINE_CHEST", "NECK", "CLAVICLE_LEFT", "SHOULDER_LEFT", "ELBOW_LEFT", "WRIST_LEFT"],
    ...["HAND_LEFT", "HANDTIP_LEFT", "THUMB_LEFT", "CLAVICLE_RIGHT", "SHOULDER_RIGHT", "ELBOW_RIGHT", "WRIST_RIGHT"],
    ...["HAND_RIGHT", "HANDTIP_RIGHT", "THUMB_RIGHT", "HIP_LEFT", "KNEE_LEFT", "ANKLE_LEFT", "FOOT_LEFT"],
    ...["HIP_RIGHT", "KNEE_RIGHT", "ANKLE_RIGHT", "FOOT_RIGHT", "HEAD", "NOSE", "EYE_LEFT", "EAR_LEFT", "EYE_RIGHT"],
    "EAR_RIGHT",
  ],
  parents: [
    ...[-1, 0, 1, 2, 2, 4, 5, 6, 7, 8, 7, 2, 11, 12, 13, 14, 15, 14, 0, 18, 19, 20, 0, 22, 23, 24, 3, 26, 26, 26],
    ...[26, 26],
  ],
  persons: 2,
  axes: { centre: [0], up: [[0], [2]], across: [[5], [12]] },
};

/** The layouts of pose estimators: of images, and of depth cameras that are read as they are. */
export const POSE_LAYOUTS: readonly SkeletonLayout[] = [COCO17, OPENPOSE18, OPENPOSE25, H36M17, MEDIAPIPE33, AZURE32];
