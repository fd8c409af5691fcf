/**
 * UTKinect-Action3D as downloaded (Xia et al., CVPRW 2012): `joints/joints_s01_e01.txt`, a line a frame with its number
 * and 20 joints of x, y, z in metres in the Kinect SDK's order, and `actionLabel.txt`, which says where actions are.
 *
 * The table names a recording (`s01_e01`) and below it a line for each action, `walk: 252 390`, its first and last frame
 * number; NaN stands where an action was not recorded. Frame numbers skip, and some lines are there twice.
 */
import { DataError } from "../errors.ts";
import { checkClip, newClip, type Clip } from "../skeleton/clip.ts";
import { zerosAreLost } from "../skeleton/missing.ts";
import { parseFinite, splitLines } from "./text.ts";

/** The actions of UTKinect-Action3D, in the order of their labels. */
export const UTKINECT_CLASSES: readonly string[] = [
  ...["walk", "sit down", "stand up", "pick up", "carry", "throw", "push", "pull", "wave hands", "clap hands"],
];

/** An action in a recording of UTKinect-Action3D. */
export interface UtKinectAction {
  /** Of the recording: s01_e01. */
  readonly recording: string;
  readonly label: number;
  readonly subject: number;
  /** Frame numbers, both inclusive. */
  readonly first: number;
  readonly last: number;
}

const letters = (name: string): string => name.replace(/[^a-z]/gi, "").toLowerCase();

/** The actions in the text of `actionLabel.txt`; `file` names it in errors. @throws DataError: `label`, `format`. */
export function parseUtKinectLabels(text: string, file: string): UtKinectAction[] {
  const actions: UtKinectAction[] = [];
  let recording: string | undefined;
  splitLines(text).forEach((line, i) => {
    const words = line.trim();
    if (words === "") return;
    const fail = (detail: string): never => {
      throw new DataError(file, "label", `line ${i + 1}: ${detail}`);
    };
    if (/^s\d\d_e\d\d$/i.test(words)) {
      recording = words.toLowerCase();
      return;
    }
    const match = /^([A-Za-z ]+):\s*(\d{1,9}|NaN)\s+(\d{1,9}|NaN)$/i.exec(words);
    if (!match) return fail(`"${words.slice(0, 40)}" is neither a recording (s01_e01) nor an action (walk: 252 390)`);
    if (recording === undefined) return fail("an action before any recording");
    const label = UTKINECT_CLASSES.findIndex((name) => letters(name) === letters(match[1]));
    if (label < 0) fail(`"${match[1]}" is none of ${UTKINECT_CLASSES.join(", ")}`);
    const [first, last] = [Number(match[2]), Number(match[3])];
    if (Number.isNaN(first) || Number.isNaN(last)) return;
    if (last < first) fail(`frames ${first} to ${last} end before they begin`);
    actions.push({ recording, label, subject: Number(recording.slice(1, 3)), first, last });
  });
  if (actions.length === 0) throw new DataError(file, "format", "lists no action");
  return actions;
}

/**
 * The text of a recording: its frame numbers, ascending, each with 60 coordinates; `file` names it in errors.
 *
 * @throws DataError: `shape`, `format`.
 */
export function parseUtKinect(text: string, file: string): ReadonlyMap<number, readonly number[]> {
  const frames = new Map<number, readonly number[]>();
  splitLines(text).forEach((line, i) => {
    const words = line.trim().split(/\s+/);
    if (words[0] === "") return;
    if (words.length !== 61)
      throw new DataError(
        file,
        "shape",
        `line ${i + 1} has ${words.length} numbers; a frame number and 20 joints make 61`,
      );
    const numbers = words.map((word) => parseFinite(word, file, i + 1));
    if (!frames.has(numbers[0])) frames.set(numbers[0], numbers.slice(1));
  });
  return frames;
}

/** One action's frames out of those of its recording, which `file` names in errors. @throws DataError: `empty`. */
export function cutUtKinect(
  frames: ReadonlyMap<number, readonly number[]>,
  action: UtKinectAction,
  file: string,
): Clip {
  const kept = [...frames].filter(([at]) => at >= action.first && at <= action.last).sort(([a], [b]) => a - b);
  if (kept.length === 0)
    throw new DataError(
      file,
      "empty",
      `holds no frame from ${action.first} to ${action.last}, where the labels have ${UTKINECT_CLASSES[action.label]}`,
    );
  const clip = newClip(kept.length, 1, 20);
  kept.forEach(([, numbers], t) => clip.data.set(numbers, t * 60));
  zerosAreLost(clip);
  checkClip(clip, file);
  return clip;
}
