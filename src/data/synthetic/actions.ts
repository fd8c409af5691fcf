/**
 * The actions of the synthetic data set, as poses over a cycle.
 *
 * An action gives, for a phase (in cycles) and a strength (0: just standing, 1: fully in it), the pose of the actor
 * and, in actions of two, of the partner. Several share their gesture and differ in how it moves, as in real data:
 * drinking and phoning, punching and pushing, waving and throwing.
 */
import type { Pose } from "./body-model.ts";
import { standing } from "./body-model.ts";

/** An action that can be generated: how long it takes, and what the body does. */
export interface SyntheticAction {
  readonly name: string;
  /** Seconds of one cycle, and how many cycles a clip may show. */
  readonly seconds: number;
  readonly cycles: readonly [least: number, most: number];
  /** Metres between actor and partner; absent in actions of one. */
  readonly distance?: number;
  readonly actor: (pose: Pose, phase: number, strength: number) => void;
  readonly partner?: (pose: Pose, phase: number, strength: number) => void;
}

type Limb = "leftHand" | "rightHand" | "leftFoot" | "rightFoot";

/** Moves a limb part of the way to a place. */
function reach(pose: Pose, limb: Limb, to: readonly [number, number, number], strength: number): void {
  const at = pose[limb];
  for (let c = 0; c < 3; c++) at[c] += strength * (to[c] - at[c]);
}

/** Oscillation between -1 and 1. */
function swing(phase: number): number {
  return Math.sin(2 * Math.PI * phase);
}

/** From 0 up to 1 and back within a cycle. */
function pulse(phase: number): number {
  return 0.5 - 0.5 * Math.cos(2 * Math.PI * phase);
}

/** Like `pulse`, with a quick way out and a slow way back. */
function strike(phase: number): number {
  const u = phase - Math.floor(phase);
  return u < 0.25 ? 0.5 - 0.5 * Math.cos((Math.PI * u) / 0.25) : 0.5 + 0.5 * Math.cos((Math.PI * (u - 0.25)) / 0.75);
}

/** The actions that can be generated. */
export const SYNTHETIC_ACTIONS: readonly SyntheticAction[] = [
  {
    name: "wave",
    seconds: 0.9,
    cycles: [2, 5],
    actor: (pose, phase, w) => reach(pose, "rightHand", [0.45 + 0.28 * swing(phase), 0.62, 0.25], w),
  },
  {
    name: "drink",
    seconds: 2.2,
    cycles: [1, 3],
    actor: (pose, phase, w) => {
      reach(pose, "rightHand", [-0.12, 0.05, 0.5], w);
      reach(pose, "rightHand", [-0.3, 0.38, 0.34], w * pulse(phase));
      pose.nod -= 0.25 * w * pulse(phase);
    },
  },
  {
    name: "phone",
    seconds: 2.4,
    cycles: [1, 3],
    actor: (pose, phase, w) => {
      reach(pose, "rightHand", [-0.14, 0.4, 0.2], w);
      pose.twist += 0.18 * w * swing(phase);
      pose.nod += 0.08 * w;
    },
  },
  {
    name: "clap",
    seconds: 0.7,
    cycles: [3, 7],
    actor: (pose, phase, w) => {
      const open = 0.34 * pulse(phase);
      reach(pose, "leftHand", [-0.33 + open, -0.15, 0.62], w);
      reach(pose, "rightHand", [-0.33 + open, -0.15, 0.62], w);
    },
  },
  {
    name: "punch",
    seconds: 1.1,
    cycles: [2, 4],
    actor: (pose, phase, w) => {
      reach(pose, "leftHand", [-0.15, 0, 0.35], w);
      reach(pose, "rightHand", [-0.15, 0, 0.35], w);
      reach(pose, "rightHand", [-0.15, 0.08, 0.97], w * strike(phase));
      reach(pose, "leftHand", [-0.15, 0.08, 0.97], w * strike(phase + 0.5));
      pose.twist += 0.3 * w * (strike(phase) - strike(phase + 0.5));
    },
  },
  {
    name: "throw",
    seconds: 1.6,
    cycles: [1, 3],
    actor: (pose, phase, w) => {
      const out = strike(phase + 0.4);
      reach(pose, "rightHand", [0.4, 0.5, -0.3], w);
      reach(pose, "rightHand", [0, 0.25, 0.95], w * out);
      pose.twist += w * (0.5 * out - 0.35);
      pose.pitch += 0.25 * w * out;
      reach(pose, "leftFoot", [0.04, 0, 0.25], w);
    },
  },
  {
    name: "kick",
    seconds: 1.5,
    cycles: [1, 4],
    actor: (pose, phase, w) => {
      const out = w * strike(phase);
      reach(pose, "rightFoot", [0, 0.55, 0.7], out);
      pose.pitch -= 0.2 * out;
      reach(pose, "leftHand", [0.6, -0.5, 0.2], out);
      reach(pose, "rightHand", [0.6, -0.5, -0.2], out);
    },
  },
  {
    name: "squat",
    seconds: 2,
    cycles: [1, 3],
    actor: (pose, phase, w) => {
      const down = w * pulse(phase);
      pose.shift[1] -= 0.38 * down;
      pose.shift[2] -= 0.12 * down;
      pose.pitch += 0.55 * down;
      reach(pose, "leftHand", [0, 0.1, 0.9], down);
      reach(pose, "rightHand", [0, 0.1, 0.9], down);
    },
  },
  {
    name: "bow",
    seconds: 2.2,
    cycles: [1, 3],
    actor: (pose, phase, w) => {
      const down = w * pulse(phase);
      pose.pitch += 0.95 * down;
      pose.nod += 0.3 * down;
      pose.shift[2] -= 0.1 * down;
    },
  },
  {
    name: "walk",
    seconds: 1.1,
    cycles: [2, 5],
    actor: (pose, phase, w) => {
      const s = swing(phase);
      reach(pose, "leftFoot", [0.02, 0.12 * Math.max(0, swing(phase + 0.25)), 0.3 * s], w);
      reach(pose, "rightFoot", [0.02, 0.12 * Math.max(0, -swing(phase + 0.25)), -0.3 * s], w);
      reach(pose, "leftHand", [0.15, -0.88, -0.35 * s], w);
      reach(pose, "rightHand", [0.15, -0.88, 0.35 * s], w);
      pose.shift[1] -= 0.03 * w * pulse(2 * phase);
    },
  },
  {
    name: "shake hands",
    seconds: 0.8,
    cycles: [3, 6],
    distance: 0.95,
    actor: (pose, phase, w) => reach(pose, "rightHand", [-0.25, -0.42 + 0.14 * swing(phase), 0.72], w),
    partner: (pose, phase, w) => reach(pose, "rightHand", [-0.25, -0.42 + 0.14 * swing(phase), 0.72], w),
  },
  {
    name: "high five",
    seconds: 1.2,
    cycles: [1, 4],
    distance: 1,
    actor: (pose, phase, w) => reach(pose, "rightHand", [-0.1, 0.6, 0.35 + 0.4 * strike(phase)], w),
    partner: (pose, phase, w) => reach(pose, "rightHand", [-0.1, 0.6, 0.35 + 0.4 * strike(phase)], w),
  },
  {
    name: "push",
    seconds: 1.4,
    cycles: [1, 4],
    distance: 0.9,
    actor: (pose, phase, w) => {
      const out = w * strike(phase);
      reach(pose, "leftHand", [-0.1, -0.1, 0.4], w);
      reach(pose, "rightHand", [-0.1, -0.1, 0.4], w);
      reach(pose, "leftHand", [-0.1, 0, 0.97], out);
      reach(pose, "rightHand", [-0.1, 0, 0.97], out);
      pose.pitch += 0.2 * out;
    },
    partner: (pose, phase, w) => {
      const back = w * strike(phase - 0.15);
      pose.pitch -= 0.25 * back;
      pose.shift[2] -= 0.2 * back;
      reach(pose, "leftFoot", [0.04, 0, -0.25], back);
    },
  },
  {
    name: "hug",
    seconds: 2.6,
    cycles: [1, 2],
    distance: 0.75,
    actor: (pose, phase, w) => embrace(pose, phase, w),
    partner: (pose, phase, w) => embrace(pose, phase, w),
  },
];

function embrace(pose: Pose, phase: number, w: number): void {
  const close = w * pulse(phase);
  reach(pose, "leftHand", [0.35, -0.05, 0.75], w);
  reach(pose, "rightHand", [0.35, 0.15, 0.75], w);
  reach(pose, "leftHand", [-0.3, -0.15, 0.7], close);
  reach(pose, "rightHand", [-0.3, 0.1, 0.7], close);
  pose.pitch += 0.15 * close;
  pose.shift[2] += 0.22 * close;
}

/**
 * The poses of actor and partner (absent in actions of one) at a `phase`, in cycles, and a `strength`, from 0 for just
 * standing to 1 for fully in the action.
 */
export function actionPoses(action: SyntheticAction, phase: number, strength: number): [Pose, Pose | undefined] {
  const actor = standing();
  action.actor(actor, phase, strength);
  if (!action.partner) return [actor, undefined];
  const partner = standing();
  action.partner(partner, phase, strength);
  return [actor, partner];
}
