/**
 * A generator of skeleton clips: people of different build and style do simple actions in front of a noisy sensor.
 *
 * For a demonstration that needs no download, and for tests. A subject has a build, a tempo, a size of movement, a
 * posture and a preferred hand; a clip adds its own speed, start in the cycle, pauses, place, viewpoint and bystander;
 * the sensor adds jitter, slow drift of limbs and short losses of track. Every clip depends only on its seed and its
 * place in the set, so any of them can be made alone.
 */
import type { BodySizes, Pose } from "./body-model.ts";
import { ADULT, mirrored, placeBody, standing } from "./body-model.ts";
import { mainBodies } from "../skeleton/bodies.ts";
import type { Clip } from "../skeleton/clip.ts";
import { newClip } from "../skeleton/clip.ts";
import { NTU25 } from "../skeleton/layout.ts";
import type { Protocol } from "../store/protocol.ts";
import { factProtocol } from "../store/protocol.ts";
import { CounterRandom } from "../rng.ts";
import type { ClipFacts } from "../store/format.ts";
import type { SyntheticAction } from "./actions.ts";
import { actionPoses, SYNTHETIC_ACTIONS } from "./actions.ts";

/** How many clips are generated, of which actions, by whom. */
export interface GeneratorOptions {
  readonly seed?: number;
  /** Default 16, half of whom train. */
  readonly subjects?: number;
  /** Clips of each action by each subject. Default 4. */
  readonly repetitions?: number;
  /** Frames a second. Default 20. */
  readonly rate?: number;
  /** Factor on sensor noise: 0 none, 1 like a Kinect at 3 m. Default 1. */
  readonly noise?: number;
  /** Factor on how much people, speeds and viewpoints differ. Default 1. */
  readonly variety?: number;
  /** Which of the actions, by name. Default all. */
  readonly actions?: readonly string[];
}

/** A generated clip, with what is known of it. */
export interface GeneratedClip {
  readonly facts: ClipFacts;
  readonly clip: Clip;
}

/** Subjects with odd numbers train, those with even numbers test. */
export const SYNTHETIC_PROTOCOL: Protocol = factProtocol(
  "synthetic-xsub",
  "odd subjects train, even subjects test",
  "subject",
  10000,
  (subject) => subject % 2 === 1,
);

/** The actions that the options name. */
export function generatedActions(options: GeneratorOptions = {}): SyntheticAction[] {
  if (!options.actions) return [...SYNTHETIC_ACTIONS];
  return options.actions.map((name) => {
    const action = SYNTHETIC_ACTIONS.find((known) => known.name === name);
    if (action) return action;
    throw new Error(`no synthetic action "${name}"; there are ${SYNTHETIC_ACTIONS.map((a) => a.name).join(", ")}`);
  });
}

/** How many clips the whole set has: every action, by every subject, as often as asked for. */
export function generatedCount({ subjects = 16, repetitions = 4, actions }: GeneratorOptions = {}): number {
  return generatedActions({ actions }).length * subjects * repetitions;
}

/** The clips of the whole set from number `from` up to but not including `until`: subject by subject, action by action. */
export function* generateClips(
  options: GeneratorOptions = {},
  from = 0,
  until = generatedCount(options),
): Generator<GeneratedClip> {
  const actions = generatedActions(options);
  const repetitions = options.repetitions ?? 4;
  for (let i = from; i < until; i++) {
    const [of, repetition] = [Math.floor(i / repetitions), i % repetitions];
    const [subject, label] = [Math.floor(of / actions.length), of % actions.length];
    yield generateClip(actions[label], label, subject + 1, repetition + 1, options);
  }
}

/** What stays the same about a person. */
interface Person {
  readonly sizes: BodySizes;
  readonly tempo: number;
  readonly reach: number;
  readonly leftHanded: boolean;
  readonly stoop: number;
  readonly armsOut: number;
}

function person(random: CounterRandom, variety: number): Person {
  const around = (spread: number): number => 1 + variety * spread * clampedNormal(random);
  const height = around(0.08);
  const arms = height * around(0.05);
  const legs = height * around(0.05);
  const trunk = height * around(0.05);
  const width = height * around(0.08);
  return {
    sizes: {
      spine: ADULT.spine * trunk,
      neck: ADULT.neck * trunk,
      head: ADULT.head * height,
      shoulder: ADULT.shoulder * width,
      hip: ADULT.hip * width,
      upperArm: ADULT.upperArm * arms,
      forearm: ADULT.forearm * arms,
      hand: ADULT.hand * arms,
      thigh: ADULT.thigh * legs,
      shin: ADULT.shin * legs,
      foot: ADULT.foot * height,
    },
    tempo: around(0.15),
    reach: around(0.12),
    leftHanded: random.uniform() < 0.3 * variety,
    stoop: 0.08 * variety * clampedNormal(random),
    armsOut: 0.05 * variety * Math.abs(clampedNormal(random)),
  };
}

/** A normal draw held within two standard deviations, so that no body is impossible. */
function clampedNormal(random: CounterRandom): number {
  return Math.min(2, Math.max(-2, random.normal()));
}

/** One clip. `label` goes into the facts; `subject` and `repetition` count from 1. */
export function generateClip(
  action: SyntheticAction,
  label: number,
  subject: number,
  repetition: number,
  options: GeneratorOptions = {},
): GeneratedClip {
  const { rate = 20, noise = 1, variety = 1, seed = 0 } = options;
  const people = CounterRandom.fromSeed(seed).fold(1);
  const actionIndex = SYNTHETIC_ACTIONS.indexOf(action);
  const random = CounterRandom.fromSeed(seed).fold(2, actionIndex, subject, repetition);
  const actor = person(people.fold(subject), variety);
  const other = person(random.fold(3), variety);

  const tempo = actor.tempo * (1 + 0.2 * variety * clampedNormal(random));
  const cycles = random.between(...action.cycles);
  const active = (cycles * action.seconds) / tempo;
  const before = random.between(0.1, 0.1 + 1.6 * variety);
  const behind = random.between(0.1, 0.1 + 1.6 * variety);
  const startPhase = random.uniform();
  const strength = Math.min(1.1, Math.max(0.5, actor.reach * (1 + 0.15 * variety * clampedNormal(random))));
  const swapHands = actor.leftHanded !== random.uniform() < 0.1 * variety;

  const camera = 1 + random.integer(3);
  const facing = variety * ((camera - 2) * 0.8 + random.between(-0.35, 0.35));
  const place = [random.between(-0.6, 0.6), 0, random.between(2.6, 4)] as const;
  const bystander = !action.partner && random.uniform() < 0.35 * variety;
  const distance = (action.distance ?? 1.2) * (1 + 0.08 * variety * clampedNormal(random));
  // A partner stands in front of the actor and faces back; a bystander does so, too, or is anywhere.
  const attentive = random.uniform() < 0.5;
  const bearing = bystander && !attentive ? random.between(-Math.PI, Math.PI) : facing;
  const turned = bystander && !attentive ? random.between(-Math.PI, Math.PI) : facing + Math.PI;

  const beside = [place[0] - Math.sin(bearing) * distance, 0, place[2] - Math.cos(bearing) * distance] as const;

  const frames = Math.max(16, Math.round((before + active + behind) * rate));
  const persons = action.partner || bystander ? 2 : 1;
  const clip = newClip(frames, 2, NTU25.joints.length);
  const idle = [idleMotion(random.fold(4), variety), idleMotion(random.fold(5), variety)];
  for (let t = 0; t < frames; t++) {
    const time = t / rate;
    const envelope = rampUp((time - before) / 0.5) * rampUp((before + active - time) / 0.5);
    const phase = startPhase + ((time - before) / active) * cycles;
    const [pose, partnerPose = standing()] = actionPoses(action, phase, strength * envelope);
    applyStyle(pose, actor);
    idle[0](pose, time);
    const at = t * 2 * 75;
    placeBody(clip.data, at, actor.sizes, swapHands ? mirrored(pose) : pose, place, facing);
    if (persons === 1) continue;
    applyStyle(partnerPose, other);
    idle[1](partnerPose, time);
    placeBody(clip.data, at + 75, other.sizes, swapHands ? mirrored(partnerPose) : partnerPose, beside, turned);
  }
  for (let m = 0; m < persons; m++) addSensorNoise(clip, m, noise, random.fold(6, m));
  const name = `${action.name.replace(/ /g, "-")}_p${subject}_r${repetition}`;
  return { facts: { name, label, subject, camera }, clip: mainBodies(clip, 2) };
}

/** 0 up to 0, 1 from 1 on, smooth between. */
function rampUp(u: number): number {
  const x = Math.min(1, Math.max(0, u));
  return x * x * (3 - 2 * x);
}

function applyStyle(pose: Pose, { stoop, armsOut }: Person): void {
  pose.pitch += stoop;
  pose.leftHand[0] += armsOut;
  pose.rightHand[0] += armsOut;
}

/** Swaying and small movements of somebody who stands: slow sines with drawn periods. */
function idleMotion(random: CounterRandom, variety: number): (pose: Pose, time: number) => void {
  const wave = (size: number): ((time: number) => number) => {
    const rate = random.between(0.15, 0.5);
    const start = random.uniform();
    return (time) => size * variety * Math.sin(2 * Math.PI * (rate * time + start));
  };
  const parts = {
    yaw: wave(0.2),
    roll: wave(0.04),
    pitch: wave(0.03),
    twist: wave(0.08),
    nod: wave(0.06),
    sideways: wave(0.02),
    left: [wave(0.04), wave(0.03), wave(0.05)],
    right: [wave(0.04), wave(0.03), wave(0.05)],
  };
  return (pose, time) => {
    pose.yaw += parts.yaw(time);
    pose.roll += parts.roll(time);
    pose.pitch += parts.pitch(time);
    pose.twist += parts.twist(time);
    pose.nod += parts.nod(time);
    pose.shift[0] += parts.sideways(time);
    for (let c = 0; c < 3; c++) {
      pose.leftHand[c] += parts.left[c](time);
      pose.rightHand[c] += parts.right[c](time);
    }
  };
}

/** Standard deviation of the jitter of a joint, in metres: ends of limbs are worse than the trunk. */
function jitterOf(joint: number): number {
  const name = NTU25.joints[joint];
  if (/^(Hand|Thumb|Foot)/.test(name)) return 0.016;
  return /^(Wrist|Ankle|Elbow|Knee)/.test(name) ? 0.01 : 0.005;
}

/** Which joints are lost together when a limb is hidden. */
const LIMBS: readonly (readonly number[])[] = [
  [5, 6, 7, 21, 22],
  [9, 10, 11, 23, 24],
  [13, 14, 15],
  [17, 18, 19],
];

/** Jitter in every frame, drift that lasts about a second, and limbs that freeze off their place for a while. */
function addSensorNoise(clip: Clip, m: number, noise: number, random: CounterRandom): void {
  if (noise === 0) return;
  const { data, frames, persons, joints } = clip;
  const at = (t: number, v: number): number => ((t * persons + m) * joints + v) * 3;
  for (const limb of LIMBS) {
    if (random.uniform() >= 0.25 * noise) continue;
    const from = random.integer(frames);
    const until = Math.min(frames, from + Math.ceil(frames * random.between(0.05, 0.25)));
    const off = Array.from({ length: 3 }, () => 0.08 * noise * clampedNormal(random));
    for (const v of limb) {
      const held = Array.from(data.subarray(at(from, v), at(from, v) + 3), (x, c) => x + off[c]);
      for (let t = from; t < until; t++) data.set(held, at(t, v));
    }
  }
  for (let v = 0; v < joints; v++) {
    const jitter = noise * jitterOf(v);
    for (let c = 0; c < 3; c++) {
      let drift = 1.5 * jitter * clampedNormal(random);
      for (let t = 0; t < frames; t++) {
        drift = 0.95 * drift + 0.47 * jitter * clampedNormal(random);
        data[at(t, v) + c] += drift + jitter * clampedNormal(random);
      }
    }
  }
}
