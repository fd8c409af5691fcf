/**
 * SBU Kinect Interaction as its users download it (Yun et al., CVPRW 2012): folders `sXXsYY/AA/NNN` of a pair of
 * actors, an action and a take, each with `skeleton_pos.txt`.
 *
 * A line is the frame's number and 2 persons x 15 OpenNI joints x (x, y, z), normalised; the published way back gives
 * x = 1280 - 2560 x, y = 960 - 1920 y and z = 1280 z, in millimetres.
 */
import { basename, dirname } from "node:path";
import { DataError } from "../errors.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { zerosAreLost } from "../skeleton/missing.ts";
import type { ClipFacts } from "../store/format.ts";
import { parseFinite, splitLines } from "./text.ts";

/** The eight interactions of SBU Kinect, in the order of their labels. */
export const SBU_CLASSES: readonly string[] = [
  ...["approaching", "departing", "kicking", "pushing", "shaking hands", "hugging", "exchanging object", "punching"],
];

const PERSONS = 2;
const JOINTS = 15;
/** Numbers of a frame. */
const WIDTH = PERSONS * JOINTS * 3;

/** What the folders in the path `file` of a `skeleton_pos.txt` say; undefined where they are none of this data set. */
export function parseSbuPath(file: string): ClipFacts | undefined {
  if (!/^skeleton_pos\.txt$/i.test(basename(file))) return undefined;
  const take = dirname(file);
  const [action, pair] = [dirname(take), dirname(dirname(take))];
  const match = /^s\d\ds\d\d\/(\d\d)\/\d{3}$/i.exec([pair, action, take].map((path) => basename(path)).join("/"));
  const label = Number(match?.[1]) - 1;
  if (!match || !(label >= 0 && label < SBU_CLASSES.length)) return undefined;
  return { name: match[0].toLowerCase(), label };
}

/**
 * Reads the text of a skeleton file of SBU Kinect: a line a frame, two persons of 15 joints; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseSbu(text: string, file: string): Clip {
  const lines = splitLines(text)
    .map((line, i) => ({ line: i + 1, words: line.split(/[\s,]+/).filter((word) => word !== "") }))
    .filter(({ words }) => words.length > 0);
  const clip = newClip(lines.length, PERSONS, JOINTS);
  lines.forEach(({ line, words }, t) => {
    if (words.length !== WIDTH + 1)
      throw new DataError(
        file,
        "shape",
        `line ${line} holds ${words.length} numbers; it must hold the frame's and ${PERSONS} x ${JOINTS} x 3 more`,
      );
    const values = words.map((word) => parseFinite(word, file, line));
    for (let i = 0; i < WIDTH; i += 3) {
      const [x, y, z] = values.slice(i + 1, i + 4);
      // All zero is a joint that was lost; put back into millimetres it would be a place.
      const lost = x === 0 && y === 0 && z === 0;
      clip.data.set(lost ? [0, 0, 0] : [1.28 - 2.56 * x, 0.96 - 1.92 * y, 1.28 * z], t * WIDTH + i);
    }
  });
  checkClip(clip, file);
  zerosAreLost(clip);
  return clip;
}
