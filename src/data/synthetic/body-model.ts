/**
 * A posable 25-joint body: from where hands and feet are to where every joint is.
 *
 * A pose says where the pelvis is, how the trunk bends and where hands and feet go; elbows and knees follow by two-bone
 * inverse kinematics (law of cosines, with a hint for the side they bend to). Geometry is that of the Kinect camera: y
 * up, z away from the sensor, right-handed; a body at yaw 0 faces the sensor, with its right side towards +x.
 */
import { NTU25 } from "../skeleton/layout.ts";

/** A point or direction: x, y, z, in metres where it is a place. */
export type Vec3 = readonly [number, number, number];

/** Sizes of one body, in metres. */
export interface BodySizes {
  readonly spine: number;
  readonly neck: number;
  readonly head: number;
  /** Half the distance between the shoulders, and between the hips. */
  readonly shoulder: number;
  readonly hip: number;
  readonly upperArm: number;
  readonly forearm: number;
  readonly hand: number;
  readonly thigh: number;
  readonly shin: number;
  readonly foot: number;
}

/** An adult of about 1.75 m. */
export const ADULT: BodySizes = {
  spine: 0.52,
  neck: 0.07,
  head: 0.15,
  shoulder: 0.18,
  hip: 0.09,
  upperArm: 0.29,
  forearm: 0.25,
  hand: 0.09,
  thigh: 0.43,
  shin: 0.42,
  foot: 0.16,
};

/**
 * A pose. Directions of limbs are [outward, up, forward] of the trunk (hands) or the pelvis (feet): left and right
 * mirror each other. Angles in radians.
 */
export interface Pose {
  /** Pelvis moved from its standing place: [right, up, forward] of the body, metres. */
  shift: [number, number, number];
  /** Whole body about the vertical. */
  yaw: number;
  /** Trunk bent forward, bent to the right, and turned to the left about the spine. */
  pitch: number;
  roll: number;
  twist: number;
  /** Head bent forward. */
  nod: number;
  /** From the shoulder, in arm lengths. */
  leftHand: [number, number, number];
  rightHand: [number, number, number];
  /** From where the foot stands, in metres. */
  leftFoot: [number, number, number];
  rightFoot: [number, number, number];
}

/** Standing with hanging arms. */
export function standing(): Pose {
  return {
    shift: [0, 0, 0],
    yaw: 0,
    pitch: 0,
    roll: 0,
    twist: 0,
    nod: 0,
    leftHand: [0.12, -0.94, 0.06],
    rightHand: [0.12, -0.94, 0.06],
    leftFoot: [0.04, 0, 0],
    rightFoot: [0.04, 0, 0],
  };
}

/** Left and right exchanged. */
export function mirrored(pose: Pose): Pose {
  return {
    ...pose,
    shift: [-pose.shift[0], pose.shift[1], pose.shift[2]],
    yaw: -pose.yaw,
    roll: -pose.roll,
    twist: -pose.twist,
    leftHand: pose.rightHand,
    rightHand: pose.leftHand,
    leftFoot: pose.rightFoot,
    rightFoot: pose.leftFoot,
  };
}

/** Numbers of joints by name, those of limbs side by side: looked up once, since they are placed in every frame. */
const TRUNK = numbers(["SpineBase", "SpineMid", "SpineShoulder", "Neck", "Head"]);
const LIMBS = ["Shoulder", "Elbow", "Wrist", "Hand", "HandTip", "Thumb", "Hip", "Knee", "Ankle", "Foot"] as const;
const SIDES = [
  { sign: -1, hand: "leftHand", foot: "leftFoot", joints: numbers(LIMBS, "Left") },
  { sign: 1, hand: "rightHand", foot: "rightFoot", joints: numbers(LIMBS, "Right") },
] as const;

function numbers<Name extends string>(names: readonly Name[], side = ""): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, NTU25.joints.indexOf(name + side)])) as Record<Name, number>;
}

/** An orthonormal frame: rows are right, up, forward in the scene. */
type Frame = readonly [Vec3, Vec3, Vec3];

/**
 * Writes the 25 joints of `pose` into `out` at `offset` (metres; the feet stand at height `floor`). The body stands at
 * `at` and is turned about the upright axis by `facing`, in radians.
 */
export function placeBody(
  out: Float32Array | Float64Array,
  offset: number,
  sizes: BodySizes,
  pose: Pose,
  at: Vec3,
  facing: number,
  floor = -0.9,
): void {
  const put = (joint: number, p: Vec3): void => {
    const to = offset + joint * 3;
    out[to] = p[0];
    out[to + 1] = p[1];
    out[to + 2] = p[2];
  };
  const pelvis = turned(BASIS, 1, facing + pose.yaw);
  const legs = sizes.thigh + sizes.shin;
  const standingHeight = floor + legs * 0.985 + 0.07;
  const ground: Vec3 = [at[0], standingHeight, at[2]];
  const base = along(ground, pelvis, pose.shift);
  put(TRUNK.SpineBase, base);

  // Half of the bend is in the hips, all of it above the waist.
  const waist = turned(turned(pelvis, 0, pose.pitch / 2), 2, pose.roll / 2);
  const chest = turned(turned(turned(pelvis, 0, pose.pitch), 2, pose.roll), 1, pose.twist);
  const mid = along(base, waist, [0, sizes.spine * 0.48, 0]);
  const top = along(mid, chest, [0, sizes.spine * 0.52, 0]);
  const skull = turned(chest, 0, pose.nod);
  const neck = along(top, skull, [0, sizes.neck, 0]);
  put(TRUNK.SpineMid, mid);
  put(TRUNK.SpineShoulder, top);
  put(TRUNK.Neck, neck);
  put(TRUNK.Head, along(neck, skull, [0, sizes.head, sizes.head * 0.15]));

  for (const { sign, hand: ownHand, foot: ownFoot, joints } of SIDES) {
    const outward = ([x, y, z]: Vec3): Vec3 => [sign * x, y, z];

    const shoulder = along(top, chest, [sign * sizes.shoulder, -0.03, 0]);
    const reach = sizes.upperArm + sizes.forearm;
    const hand = pose[ownHand];
    const target = along(shoulder, chest, outward([hand[0] * reach, hand[1] * reach, hand[2] * reach]));
    const elbowHint = along([0, 0, 0], chest, outward([0.45, -0.6, -0.6]));
    const [elbow, wrist] = bend(shoulder, target, sizes.upperArm, sizes.forearm, elbowHint);
    const forearm = direction(elbow, wrist, [0, -1, 0]);
    const palm = step(wrist, forearm, sizes.hand * 0.6);
    put(joints.Shoulder, shoulder);
    put(joints.Elbow, elbow);
    put(joints.Wrist, wrist);
    put(joints.Hand, palm);
    put(joints.HandTip, step(palm, forearm, sizes.hand * 0.9));
    put(joints.Thumb, along(palm, chest, outward([-0.03, 0.01, 0.03])));

    const hip = along(base, pelvis, [sign * sizes.hip, -0.05, 0]);
    const foot = pose[ownFoot];
    const ankleHeight = floor + 0.08 - ground[1];
    const ankleAt = along(ground, pelvis, outward([sizes.hip + foot[0], ankleHeight + foot[1], foot[2]]));
    const kneeHint = along([0, 0, 0], pelvis, outward([0.15, 0, 1]));
    const [knee, ankle] = bend(hip, ankleAt, sizes.thigh, sizes.shin, kneeHint);
    put(joints.Hip, hip);
    put(joints.Knee, knee);
    put(joints.Ankle, ankle);
    put(joints.Foot, along(ankle, pelvis, outward([0.02, -0.05, sizes.foot * 0.8])));
  }
}

/** Facing the sensor: right is +x, up is +y, forward is -z. */
const BASIS: Frame = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, -1],
];

/**
 * The frame turned about its own axis: 0 right (a positive angle bends forward), 1 up (turns to the left), 2 forward
 * (bends to the right).
 */
function turned(frame: Frame, axis: 0 | 1 | 2, angle: number): Frame {
  const c = Math.cos(angle);
  const s = Math.sin(angle);
  const mix = (a: Vec3, b: Vec3, x: number, y: number): Vec3 => [
    x * a[0] + y * b[0],
    x * a[1] + y * b[1],
    x * a[2] + y * b[2],
  ];
  const [right, up, forward] = frame;
  if (axis === 0) return [right, mix(up, forward, c, s), mix(forward, up, c, -s)];
  if (axis === 1) return [mix(right, forward, c, s), up, mix(forward, right, c, -s)];
  return [mix(right, up, c, -s), mix(up, right, c, s), forward];
}

/** `origin` + a vector given in a frame's own directions. */
function along(origin: Vec3, frame: Frame, [r, u, f]: Vec3): Vec3 {
  const [right, up, forward] = frame;
  return [
    origin[0] + r * right[0] + u * up[0] + f * forward[0],
    origin[1] + r * right[1] + u * up[1] + f * forward[1],
    origin[2] + r * right[2] + u * up[2] + f * forward[2],
  ];
}

function step(origin: Vec3, by: Vec3, length: number): Vec3 {
  return [origin[0] + by[0] * length, origin[1] + by[1] * length, origin[2] + by[2] * length];
}

/** The unit vector from one point to another, or `otherwise` where they coincide. */
function direction(from: Vec3, to: Vec3, otherwise: Vec3): Vec3 {
  const [x, y, z] = [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
  const length = Math.hypot(x, y, z);
  return length < 1e-9 ? otherwise : [x / length, y / length, z / length];
}

/** The middle and end joint of a two-bone limb that reaches for `target`, its middle bent towards `hint`. */
function bend(root: Vec3, target: Vec3, upper: number, lower: number, hint: Vec3): [Vec3, Vec3] {
  const towards = direction(root, target, [0, -1, 0]);
  const wanted = Math.hypot(target[0] - root[0], target[1] - root[1], target[2] - root[2]);
  const distance = Math.min(Math.max(wanted, Math.abs(upper - lower) + 0.02), (upper + lower) * 0.999);
  const forward = (upper * upper - lower * lower + distance * distance) / (2 * distance);
  const aside = Math.sqrt(Math.max(0, upper * upper - forward * forward));
  const parallel = hint[0] * towards[0] + hint[1] * towards[1] + hint[2] * towards[2];
  // Any perpendicular will do where the limb reaches exactly along the hint.
  const [x, y, z] = towards;
  const perpendicular = direction([0, 0, 0], [z, 0, -x], [1, 0, 0]);
  const offHint: Vec3 = [hint[0] - parallel * x, hint[1] - parallel * y, hint[2] - parallel * z];
  const side = direction([0, 0, 0], offHint, perpendicular);
  return [step(step(root, towards, forward), side, aside), step(root, towards, distance)];
}
