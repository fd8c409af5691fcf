/**
 * PKU-MMD: long recordings as text, and label files that cut them into clips (Liu et al., arXiv 1703.07475).
 *
 * A skeleton file has one line a frame of 150 blank-separated numbers: two persons x 25 Kinect v2 joints x (x, y, z)
 * in metres, the second person zero when absent. A label file of the same name has one line an action:
 * `action,start,end,confidence`, actions 1..51, frames counted from 0 and `end` not included, as the preparation
 * scripts of the field read them. Phase I names are `0002-L`, phase II `A01N01-L` (view L, M or R).
 */
import { mainBodies } from "../skeleton/bodies.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip, sliceFrames } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import { zerosAreLost } from "../skeleton/missing.ts";
import { NTU25 } from "../skeleton/layout.ts";
import { parseFinite, splitLines, stem } from "./text.ts";

/** Number of classes of PKU-MMD. */
export const PKU_CLASSES = 51;

/** The 51 actions of PKU-MMD in the order of their numbers. */
const PKU_ACTIONS: readonly string[] = [
  ...["bow", "brushing hair", "brushing teeth", "check time", "cheer up", "clapping"],
  ...["cross hands in front", "drink water", "drop", "eat meal", "falling", "giving something"],
  ...["hand waving", "handshaking", "hopping", "hugging", "jump up", "kicking somebody"],
  ...[
    "kicking something",
    "make a phone call",
    "pat on back",
    "pick up",
    "playing with phone",
    "point finger at somebody",
  ],
  ...["pointing to something", "punching", "pushing", "put on a hat", "put something into pocket", "reading"],
  ...["rub two hands", "salute", "sitting down", "standing up", "take off a hat", "take off glasses"],
  ...["take off jacket", "take something out of pocket", "taking a selfie", "tear up paper", "throw", "touch back"],
  ...["touch chest", "touch head", "touch neck", "typing on a keyboard", "use a fan", "wear jacket"],
  ...["wear glasses", "wipe face", "writing"],
];

/** The classes of PKU-MMD: number and name, "A01 bow". */
export const PKU_CLASS_NAMES: readonly string[] = PKU_ACTIONS.map(
  (name, i) => `A${String(i + 1).padStart(2, "0")} ${name}`,
);

const PERSONS = 2;
const COLUMNS = PERSONS * NTU25.joints.length * 3;

/**
 * The text of a whole recording as a clip, (frames, 2, 25, 3), persons as they stand there; `file` names it in errors.
 * @throws DataError.
 */
export function parsePkuSkeleton(text: string, file: string): Clip {
  const lines = splitLines(text);
  while (lines.length > 0 && lines[lines.length - 1].trim() === "") lines.pop();
  if (lines.length === 0) throw new DataError(file, "empty", "no frames");
  const clip = newClip(lines.length, PERSONS, NTU25.joints.length);
  lines.forEach((line, frame) => {
    const words = line.trim().split(/\s+/);
    if (words.length !== COLUMNS) {
      const held = line.trim() === "" ? 0 : words.length;
      throw new DataError(file, "shape", `line ${frame + 1} holds ${held} numbers; a frame has 2 x 25 x 3 = 150`);
    }
    for (let i = 0; i < COLUMNS; i++) clip.data[frame * COLUMNS + i] = parseFinite(words[i], file, frame + 1);
  });
  zerosAreLost(clip);
  return clip;
}

/** One labelled action of a recording: frames [start, end). */
export interface PkuAction {
  /** 0-based class. */
  readonly label: number;
  readonly start: number;
  readonly end: number;
  readonly confidence: number;
}

/**
 * The actions in the text of a label file; `file` names it in errors. @throws DataError `format`, or `label` for a
 * class or an interval that cannot be.
 */
export function parsePkuLabels(text: string, file: string): PkuAction[] {
  const actions: PkuAction[] = [];
  splitLines(text).forEach((line, i) => {
    if (line.trim() === "") return;
    const words = line.split(",");
    if (words.length !== 3 && words.length !== 4) {
      throw new DataError(file, "format", `line ${i + 1} is not action,start,end,confidence`);
    }
    const [action, start, end, confidence = 0] = words.map((word) => parseFinite(word.trim(), file, i + 1));
    if (!Number.isInteger(action) || action < 1 || action > PKU_CLASSES) {
      throw new DataError(file, "label", `line ${i + 1}: action ${action} is outside 1..${PKU_CLASSES}`);
    }
    if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end <= start) {
      throw new DataError(file, "label", `line ${i + 1}: frames ${start} to ${end} are not an interval`);
    }
    actions.push({ label: action - 1, start, end, confidence });
  });
  if (actions.length === 0) throw new DataError(file, "empty", "no labelled action");
  return actions;
}

/** One action cut out of a recording of PKU-MMD. */
export interface PkuClip {
  /** Recording and number of the action in its label file, e.g. `A01N01-L_3`. */
  readonly name: string;
  readonly label: number;
  readonly clip: Clip;
}

/**
 * The frames of one action, main person first. An `end` past the recording (labels were made on the video, which may
 * run on) is held to its last frame. `name` stands for the clip in errors. @throws DataError `label` where the action
 * starts after the recording's end, `empty` where nobody is tracked in it.
 */
export function cutPkuAction(recording: Clip, action: PkuAction, name: string): Clip {
  if (action.start >= recording.frames) {
    throw new DataError(name, "label", `starts at frame ${action.start}; the recording has ${recording.frames}`);
  }
  const cut = sliceFrames(recording, action.start, Math.min(action.end, recording.frames));
  checkClip(cut, name);
  return mainBodies(cut, PERSONS);
}

/**
 * The clips of a recording, one for each of the `actions` of its label file, in their order, named `recordingName` and
 * the action's number; what is wrong with one is told to `onBad`, not thrown.
 */
export function cutPkuRecording(
  recording: Clip,
  actions: readonly PkuAction[],
  recordingName: string,
  onBad: (error: DataError) => void,
): PkuClip[] {
  const clips: PkuClip[] = [];
  actions.forEach((action, i) => {
    const name = `${recordingName}_${i}`;
    try {
      clips.push({ name, label: action.label, clip: cutPkuAction(recording, action, name) });
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      onBad(error);
    }
  });
  return clips;
}

/** What a recording's name says. Phase I names carry no subject. */
export interface PkuName {
  readonly name: string;
  readonly phase: 1 | 2;
  readonly view: "L" | "M" | "R";
  readonly subject?: number;
}

/**
 * What the name of the file at `path`, a PKU-MMD recording, says.
 *
 * @throws DataError `label` where it is of neither phase.
 */
export function parsePkuName(path: string): PkuName {
  const name = stem(path, ".txt");
  const match = /^(?:(\d{4})|A\d{2}N(\d{2}))-([LMR])$/.exec(name);
  if (!match) {
    throw new DataError(path, "label", "the name is neither NNNN-V (phase I) nor AnnNnn-V (phase II), V = L, M or R");
  }
  const view = match[3] as PkuName["view"];
  return match[1] !== undefined ? { name, phase: 1, view } : { name, phase: 2, view, subject: Number(match[2]) };
}
