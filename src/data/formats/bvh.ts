/**
 * BVH motion capture: a hierarchy of joints with offsets and channels, and a line of channel values a frame.
 *
 * Positions come by forward kinematics: a joint's frame is its parent's, moved by the offset (or, where it has position
 * channels, by those) and turned by its rotation channels in the order they are listed. End sites are joints named
 * `PARENT_End`. BVH names no unit: a body of more than 10 units in its first frame is in centimetres.
 */
import { DataError } from "../errors.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { parseFinite } from "./text.ts";

/** A recording out of a BVH file: its skeleton, and the positions of its joints frame by frame. */
export interface BvhClip {
  readonly joints: readonly string[];
  readonly parents: readonly number[];
  readonly clip: Clip;
  /** Seconds. */
  readonly frameTime: number;
  /** Metres in the file's unit. */
  readonly unit: number;
}

interface Joint {
  readonly name: string;
  readonly parent: number;
  offset: readonly number[];
  channels: readonly string[];
}

const CHANNEL = /^[XYZ](position|rotation)$/;
const MAX_JOINTS = 1024;
/** A body taller than so many units is not in metres. */
const TALLEST = 10;

/**
 * Reads a BVH text (Biovision hierarchy) and places its joints by forward kinematics; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseBvh(text: string, file: string): BvhClip {
  const words = text.split(/\s+/).filter((word) => word !== "");
  let at = 0;
  const fail = (detail: string): never => {
    throw new DataError(file, "format", `word ${at}: ${detail}`);
  };
  const take = (): string => words[at++] ?? fail("cut off");
  const expect = (...wanted: string[]): void => {
    for (const word of wanted) {
      const found = take();
      if (found.toUpperCase() !== word) fail(`${JSON.stringify(found.slice(0, 40))} where ${word} belongs`);
    }
  };
  const number = (): number => parseFinite(take(), file, at);
  const count = (most: number, what: string): number => {
    const value = number();
    return Number.isInteger(value) && value >= 0 && value <= most ? value : fail(`${value} ${what}; at most ${most}`);
  };

  const joints: Joint[] = [];
  expect("HIERARCHY", "ROOT");
  const open: number[] = [];
  const begin = (name: string): void => {
    if (joints.length === MAX_JOINTS) fail(`more than ${MAX_JOINTS} joints`);
    joints.push({ name, parent: open.at(-1) ?? -1, offset: [0, 0, 0], channels: [] });
    open.push(joints.length - 1);
    expect("{");
  };
  // Names may have blanks ("Bip01 L Thigh", as 3ds Max calls its bones), and go up to the brace.
  const takeName = (): string => {
    const name = [take()];
    while (at < words.length && words[at] !== "{") name.push(take());
    return name.join(" ");
  };
  begin(takeName());
  while (open.length > 0) {
    const joint = joints[open[open.length - 1]];
    const word = take().toUpperCase();
    if (word === "OFFSET") joint.offset = [number(), number(), number()];
    else if (word === "CHANNELS") {
      joint.channels = Array.from({ length: count(6, "channels") }, take);
      const odd = joint.channels.find((channel) => !CHANNEL.test(channel));
      if (odd !== undefined) fail(`${JSON.stringify(odd.slice(0, 40))} is no channel such as Xposition or Zrotation`);
    } else if (word === "JOINT") begin(takeName());
    else if (word === "END") {
      expect("SITE");
      begin(`${joint.name}_End`);
    } else if (word === "}") open.pop();
    else fail(`${JSON.stringify(word.slice(0, 40))} inside a joint`);
  }
  const names = joints.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) fail(`joint ${twice} is there twice`);

  expect("MOTION", "FRAMES:");
  const frames = count(1e7, "frames");
  expect("FRAME", "TIME:");
  const frameTime = number();
  const width = joints.reduce((sum, { channels }) => sum + channels.length, 0);
  if (words.length - at !== frames * width)
    throw new DataError(
      file,
      "shape",
      `${words.length - at} numbers of motion; ${frames} frames of ${width} channels need ${frames * width}`,
    );
  if (frames === 0) throw new DataError(file, "empty", "no frames");
  const positions = new Float64Array(frames * joints.length * 3);
  const turns: number[][] = new Array(joints.length);
  for (let t = 0; t < frames; t++) {
    joints.forEach((joint, v) => {
      const move = [...joint.offset];
      let turn = [1, 0, 0, 0, 1, 0, 0, 0, 1];
      for (const channel of joint.channels) {
        const axis = "XYZ".indexOf(channel[0]);
        const value = number();
        if (channel.endsWith("position")) move[axis] = value;
        else turn = times(turn, rotation(axis, (value * Math.PI) / 180));
      }
      const to = (t * joints.length + v) * 3;
      if (joint.parent < 0) positions.set(move, to);
      else {
        const up = turns[joint.parent];
        const from = (t * joints.length + joint.parent) * 3;
        for (let r = 0; r < 3; r++)
          positions[to + r] =
            positions[from + r] + up[3 * r] * move[0] + up[3 * r + 1] * move[1] + up[3 * r + 2] * move[2];
        turn = times(up, turn);
      }
      turns[v] = turn;
    });
  }
  const unit = extent(positions.subarray(0, joints.length * 3)) > TALLEST ? 0.01 : 1;
  const clip = newClip(frames, 1, joints.length);
  for (let i = 0; i < positions.length; i++) clip.data[i] = positions[i] * unit;
  checkClip(clip, file);
  return { joints: names, parents: joints.map(({ parent }) => parent), clip, frameTime, unit };
}

function rotation(axis: number, angle: number): number[] {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  if (axis === 0) return [1, 0, 0, 0, c, -s, 0, s, c];
  return axis === 1 ? [c, 0, s, 0, 1, 0, -s, 0, c] : [c, -s, 0, s, c, 0, 0, 0, 1];
}

function times(a: readonly number[], b: readonly number[]): number[] {
  return a.map((_, i) => {
    const [row, column] = [i - (i % 3), i % 3];
    return a[row] * b[column] + a[row + 1] * b[3 + column] + a[row + 2] * b[6 + column];
  });
}

/** The longest side of the box around a frame. */
function extent(frame: Float64Array): number {
  let longest = 0;
  for (let c = 0; c < 3; c++) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = c; i < frame.length; i += 3) [low, high] = [Math.min(low, frame[i]), Math.max(high, frame[i])];
    longest = Math.max(longest, high - low);
  }
  return longest;
}
