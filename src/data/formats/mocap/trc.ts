/**
 * TRC, the marker positions of OpenSim, Pose2Sim and Motion Analysis: five lines of heading, then a line a frame.
 *
 * Line 2 names the values of line 3 (DataRate, NumFrames, NumMarkers, Units among them), line 4 the markers, line 5
 * their axes; a line of data is the frame's number, its time, and x, y, z of each marker, separated by tabs. Empty cells
 * are markers that were not seen. Fewer frames than the heading announces are a file that was cut off. Y is up, as
 * OpenSim has it, or Z.
 */
import { DataError } from "../../errors.ts";
import { checkClip, newClip } from "../../skeleton/clip.ts";
import { markMissing } from "../../skeleton/missing.ts";
import { parseFinite, splitLines } from "../text.ts";
import { metresIn, MOST_MARKERS, type MarkerRecording } from "./markers.ts";

/**
 * The markers in the text of a TRC file, in metres; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseTrc(text: string, file: string): MarkerRecording {
  const lines = splitLines(text);
  const fail = (detail: string): never => {
    throw new DataError(file, "format", detail);
  };
  if (!/^PathFileType/i.test(lines[0] ?? "")) fail(`line 1 must begin with PathFileType, as a TRC file's does`);
  const [keys, values] = [1, 2].map((i) => (lines[i] ?? "").trim().split(/\s+/));
  const said = (key: string): string =>
    values[keys.findIndex((k) => k.toLowerCase() === key)] ?? fail(`line 2 names no ${key}`);
  const rate = parseFinite(said("datarate"), file, 3);
  if (!(rate > 0)) fail(`line 3: DataRate is ${rate}`);
  const unit = said("units");
  const scale = metresIn(unit) ?? fail(`line 3: Units is "${unit.slice(0, 20)}"; known are mm, cm, m, in`);
  const names = (lines[3] ?? "")
    .split("\t")
    .slice(2)
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (names.length < 2 || names.length > MOST_MARKERS)
    fail(`line 4 names ${names.length} markers; 2 to ${MOST_MARKERS} are read`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) fail(`line 4 names marker "${twice.slice(0, 40)}" twice`);
  const rows = lines
    .map((line, i) => ({ line: i + 1, cells: line.split("\t") }))
    .slice(5)
    .filter(({ cells }) => cells.some((cell) => cell.trim() !== ""));
  if (rows.length === 0) throw new DataError(file, "empty", "no frames after the heading");
  const announced = parseFinite(said("numframes"), file, 3);
  if (rows.length < announced)
    throw new DataError(file, "shape", `is cut off: ${rows.length} of the ${announced} frames that line 3 announces`);
  const clip = newClip(rows.length, 1, names.length);
  rows.forEach(({ line, cells }, t) => {
    const width = 2 + 3 * names.length;
    if (cells.slice(width).some((cell) => cell.trim() !== ""))
      throw new DataError(file, "shape", `line ${line} has more than the ${width} cells of ${names.length} markers`);
    names.forEach((_, v) => {
      const at = (t * names.length + v) * 3;
      const xyz = [0, 1, 2].map((c) => (cells[2 + 3 * v + c] ?? "").trim());
      if (xyz.every((cell) => cell === "" || /^nan$/i.test(cell))) return markMissing(clip.data, at);
      xyz.forEach((cell, c) => (clip.data[at + c] = scale * parseFinite(cell, file, line)));
    });
  });
  checkClip(clip, file);
  return { names, clip, rate };
}
