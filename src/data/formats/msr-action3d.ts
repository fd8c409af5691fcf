/**
 * MSR-Action3D's text skeletons (Li et al., CVPRW 2010): `aAA_sSS_eEE_skeleton3D.txt`, a line `x y z confidence` a
 * joint in metres, 20 joints a frame in an order of the data set's own; put here into the Kinect v1 SDK's order.
 */
import { DataError } from "../errors.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { zerosAreLost } from "../skeleton/missing.ts";
import type { ClipFacts } from "../store/format.ts";
import { parseFinite, splitLines } from "./text.ts";

/** The 20 classes of MSR Action3D, in the order of their numbers. */
export const MSR_ACTION3D_CLASSES: readonly string[] = [
  ...["high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x"],
  ...["draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick"],
  ...["jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw"],
];

/** For each joint of Kinect v1 the line of a frame that holds it. */
const LINES: readonly number[] = [6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18];

/** What a file's name says; undefined where it is none of this data set. */
export function parseMsrName(name: string): ClipFacts | undefined {
  const match = /^(a(\d\d)_s(\d\d)_e\d\d)_skeleton3D\.txt$/i.exec(name);
  const action = Number(match?.[2]);
  if (!match || action < 1 || action > MSR_ACTION3D_CLASSES.length) return undefined;
  return { name: match[1], label: action - 1, subject: Number(match[3]) };
}

/**
 * Reads the text of a skeleton file of MSR Action3D: 20 lines a frame, one a joint; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseMsrAction3d(text: string, file: string): Clip {
  const lines = splitLines(text).filter((line) => line.trim() !== "");
  if (lines.length === 0 || lines.length % 20 !== 0)
    throw new DataError(file, "shape", `holds ${lines.length} lines; frames have 20, one a joint`);
  const clip = newClip(lines.length / 20, 1, 20);
  for (let i = 0; i < lines.length; i++) {
    const line = Math.floor(i / 20) * 20 + LINES[i % 20];
    const words = lines[line].trim().split(/\s+/);
    if (words.length !== 4)
      throw new DataError(file, "shape", `line ${line + 1} holds ${words.length} words; it must be x y z confidence`);
    const [x, y, z] = words.map((word) => parseFinite(word, file, line + 1));
    clip.data.set([x, y, z], i * 3);
  }
  checkClip(clip, file);
  zerosAreLost(clip);
  return clip;
}
