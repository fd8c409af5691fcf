/**
 * NTU RGB+D `.skeleton` text files.
 *
 * A file is: number of frames; per frame the number of bodies; per body a line of state whose first word is the
 * body's tracking ID, the number of joints, and per joint a line whose first three numbers are x, y, z in metres
 * (then projections, orientation and tracking state; 0 is a joint that was not seen, as is one at (0, 0, 0)). Line ends are LF or CRLF. A frame may have no body, and a body
 * may appear, vanish and return. Format: github.com/shahroudy/NTURGB-D, Matlab/read_skeleton_file.m.
 */
import { mainBodies } from "../skeleton/bodies.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import { NTU25 } from "../skeleton/layout.ts";
import { markMissing, zerosAreLost } from "../skeleton/missing.ts";
import { parseCount, parseFinite, splitLines } from "./text.ts";

/** One body in one frame. */
export interface BodyObservation {
  readonly frame: number;
  /** Position among the bodies of its frame. */
  readonly slot: number;
  /** The sensor's 64-bit tracking ID, as text. */
  readonly id: string;
  /** float32, 25 x 3. */
  readonly xyz: Float32Array;
}

/** A `.skeleton` file of NTU RGB+D: the bodies that the sensor saw, frame by frame. */
export interface NtuRecording {
  readonly frames: number;
  /** In file order. */
  readonly bodies: readonly BodyObservation[];
}

const JOINTS = NTU25.joints.length;
const MAX_TRACKED = 4;
/** A joint's line of twelve words whose last, the tracking state, is 0: the sensor did not see the joint. */
const UNTRACKED = /^\s*(?:\S+\s+){11}0\s*$/;

/** @throws DataError `format` (cut off, or more lines than frames), `shape` (not 25 joints), `not-finite`. */
/** Reads the text of an NTU RGB+D `.skeleton` file. @throws DataError where it is malformed */
export function parseNtuSkeleton(text: string, file: string): NtuRecording {
  const lines = splitLines(text);
  let at = 0;
  const count = (what: string): number => parseCount(lines[at], what, file, ++at);
  const frames = count("number of frames");
  const bodies: BodyObservation[] = [];
  for (let frame = 0; frame < frames; frame++) {
    const here = count(`number of bodies of frame ${frame} (the file announces ${frames} frames)`);
    for (let slot = 0; slot < here; slot++) {
      const state = lines[at++];
      const id = state?.trim().split(/\s+/, 1)[0] ?? "";
      if (!/^\d+$/.test(id)) {
        const found = state === undefined ? "the file is cut off" : `found ${JSON.stringify(state.slice(0, 40))}`;
        throw new DataError(file, "format", `line ${at} should begin with a body's ID (frame ${frame}); ${found}`);
      }
      const joints = count("number of joints");
      if (joints !== JOINTS) {
        throw new DataError(file, "shape", `line ${at}: a body of ${joints} joints; NTU RGB+D has ${JOINTS}`);
      }
      const xyz = new Float32Array(JOINTS * 3);
      for (let joint = 0; joint < JOINTS; joint++) {
        const line = lines[at++];
        if (line === undefined) {
          throw new DataError(file, "format", `cut off in frame ${frame} of ${frames}, at joint ${joint} of a body`);
        }
        readTriple(line, xyz, joint * 3, file, at);
        if (UNTRACKED.test(line)) markMissing(xyz, joint * 3);
      }
      bodies.push({ frame, slot, id, xyz });
    }
  }
  for (; at < lines.length; at++) {
    if (lines[at].trim() !== "") {
      throw new DataError(file, "format", `line ${at + 1} goes on after the ${frames} frames that the file announces`);
    }
  }
  return { frames, bodies };
}

/** The first three words of a joint's line. Found by hand: splitting off all twelve would cost most of the parsing. */
function readTriple(line: string, out: Float32Array, to: number, file: string, lineNumber: number): void {
  let start = 0;
  for (let c = 0; c < 3; c++) {
    while (line.charCodeAt(start) === 32 || line.charCodeAt(start) === 9) start++;
    let end = start;
    while (end < line.length && line.charCodeAt(end) !== 32 && line.charCodeAt(end) !== 9) end++;
    if (end === start) {
      throw new DataError(file, "format", `line ${lineNumber} has ${c} numbers; a joint needs x, y and z`);
    }
    out[to + c] = parseFinite(line.slice(start, end), file, lineNumber);
    start = end;
  }
}

/**
 * What one person is, over time:
 * - `id`: the observations of one tracking ID. Right where people swap places in the sensor's list;
 * - `slot`: the n-th body of each frame, of at most 4. What the published numbers of the field were computed with;
 *   keeps a person whole whom the sensor lost and found again under another ID;
 * - `person`: the tracking IDs, and those joined that follow each other in time and begin near where the one before
 *   ended. Right in both cases.
 */
export type Tracking = "id" | "slot" | "person";

/** Metres that somebody may have gone while the sensor had lost them. */
const NEAR = 1;

/** Every tracked body over all frames, in order of first appearance: (frames, bodies, 25, 3), zeros where absent. */
export function trackedBodies(recording: NtuRecording, by: Tracking = "id"): { readonly ids: string[]; clip: Clip } {
  const bodies = recording.bodies.filter((body) => by !== "slot" || body.slot < MAX_TRACKED);
  const keyOf = by === "slot" ? ({ slot }: BodyObservation): string => String(slot) : personOf(bodies, by);
  const ids = [...new Set(bodies.map(keyOf))];
  const clip = newClip(recording.frames, ids.length, JOINTS);
  for (const body of bodies) clip.data.set(body.xyz, (body.frame * ids.length + ids.indexOf(keyOf(body))) * JOINTS * 3);
  return { ids, clip };
}

/** The first tracking ID of the person whom a body is. */
function personOf(bodies: readonly BodyObservation[], by: "id" | "person"): (body: BodyObservation) => string {
  if (by === "id") return ({ id }) => id;
  const persons = new Map<string, string>();
  const last = new Map<string, BodyObservation>();
  const ends = new Map(bodies.map((body) => [body.id, body.frame]));
  for (const body of bodies) {
    if (!persons.has(body.id)) {
      // Persons whose last ID has ended, the nearest of them first.
      const left = [...last].filter(([, { id, frame }]) => ends.get(id) === frame && frame < body.frame);
      const near = left.map(([person, before]) => ({ person, far: distance(before.xyz, body.xyz) }));
      near.sort((a, b) => a.far - b.far);
      persons.set(body.id, near[0] && near[0].far < NEAR ? near[0].person : body.id);
    }
    last.set(persons.get(body.id)!, body);
  }
  return ({ id }) => persons.get(id)!;
}

/** Between the first joints, the base of the spine. */
function distance(a: Float32Array, b: Float32Array): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/**
 * The clip of a recording: its `options.persons` main bodies, most energetic first; fewer leave zeros.
 * `options.tracking` says how tracks are joined. `file` names the recording in errors.
 *
 * @throws DataError `empty` where no frame has a body.
 */
export function ntuClip(
  recording: NtuRecording,
  file: string,
  options: { readonly persons?: number; readonly tracking?: Tracking } = {},
): Clip {
  if (recording.bodies.length === 0) {
    throw new DataError(file, "empty", `no body in any of ${recording.frames} frames`);
  }
  const { clip: all } = trackedBodies(recording, options.tracking);
  zerosAreLost(all);
  const clip = mainBodies(all, options.persons ?? 2);
  checkClip(clip, file);
  return clip;
}
