/**
 * What a folder of raw input is, from the names of its files and the head of one: the kind, and why it is believed.
 *
 * Each rule looks for what only its data set has. A user who gives no kind is told what was seen; one who gives the
 * kind of another data set is stopped before clips get the wrong labels.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { readFileText } from "../../io/byte-source.ts";
import { openNpy, readNpy } from "../../io/numpy/npy.ts";
import { toIntegers } from "../../io/host-tensor.ts";
import { formatShape } from "../../tensor/shape.ts";
import { DataError } from "../errors.ts";
import { parseNwUclaName } from "../formats/nw-ucla.ts";
import { parseMsrName } from "../formats/msr-action3d.ts";
import { parseSbuPath } from "../formats/sbu.ts";
import { readText } from "../formats/text.ts";
import { parseUtdMhadName } from "../formats/utd-mhad.ts";
import { utKinectName } from "./own/markers.ts";
import { KIND_TITLES } from "./kind-names.ts";
import type { SourceKind } from "./kind-names.ts";
import { filesBelow, requireFolder } from "./source.ts";

/** What a folder seems to hold, and why. */
export interface Detected {
  readonly kind: SourceKind;
  /** What was seen, as the end of "because ...". */
  readonly why: string;
}

type Rule = (folder: string, files: readonly string[]) => Detected | undefined;

/** The kind of a folder, or undefined where nothing known is in it. @throws DataError where it cannot be read. */
export function detectKind(folder: string): Detected | undefined {
  requireFolder(folder);
  const files = filesBelow(folder, "");
  for (const rule of RULES) {
    const found = rule(folder, files);
    if (found) return found;
  }
  return undefined;
}

/** As `detectKind` of this `folder`; where nothing is recognised, an error that says what was there. */
export function requireKind(folder: string): Detected {
  const found = detectKind(folder);
  if (found) return found;
  const held = readdirSync(folder).slice(0, 5).join(", ") || "nothing";
  throw new DataError(
    folder,
    "format",
    `is of no known kind; it holds ${held}. Name the kind: ${Object.keys(KIND_TITLES).join(", ")}`,
  );
}

/** Refuses a folder that is plainly another data set than the kind it is said to be. */
export function checkKind(kind: SourceKind, folder: string): void {
  if (!DATA_SETS.includes(kind)) return;
  const found = detectKind(folder);
  if (!found || !DATA_SETS.includes(found.kind) || family(found.kind) === family(kind)) return;
  throw new DataError(
    folder,
    "label",
    `this is ${KIND_TITLES[found.kind]}, not ${KIND_TITLES[kind]} (${found.why}); prepare it as ${found.kind}, or without a kind`,
  );
}

/** Data sets that are told by what only they have; other kinds are forms that anybody's files may have. */
const DATA_SETS: readonly SourceKind[] = ["nw-ucla", "utd-mhad", "sbu", "ntu60", "ntu120", "pku-mmd", "msr-action3d"];

/** Both parts of NTU RGB+D hold files of the same names. */
const family = (kind: SourceKind): string => (kind.startsWith("ntu") ? "ntu" : kind);

/** A rule by the names of files. */
function named(kind: SourceKind, fits: (name: string, path: string) => boolean, form: string): Rule {
  return (_folder, files) => {
    const fitting = files.filter((file) => fits(basename(file), file));
    if (fitting.length === 0) return undefined;
    return { kind, why: `${fitting.length} files are named like ${form}, such as ${basename(fitting[0])}` };
  };
}

const RULES: readonly Rule[] = [
  packed,
  ntu,
  named("nw-ucla", (name) => /\.json$/i.test(name) && !!parseNwUclaName(name.slice(0, -5)), "aAA_sSS_eEE_vVV.json"),
  named("utd-mhad", (name) => parseUtdMhadName(name) !== undefined, "aA_sS_tT_skeleton.mat"),
  named("sbu", (_name, path) => parseSbuPath(path) !== undefined, "sXXsYY/AA/NNN/skeleton_pos.txt"),
  named("pku-mmd", (name) => /^(?:\d{4}|A\d{2}N\d{2})-[LMR]\.txt$/i.test(name), "NNNN-V.txt or AnnNnn-V.txt"),
  named("msr-action3d", (name) => parseMsrName(name) !== undefined, "aAA_sSS_eEE_skeleton3D.txt"),
  named("utkinect", (name) => utKinectName(name) !== undefined, "joints_sSS_eEE.txt"),
  named("trc", (name) => /\.trc$/i.test(name), "NAME.trc"),
  named("c3d", (name) => /\.c3d$/i.test(name), "NAME.c3d"),
  named("st-gcn", (name) => name.endsWith("_label.pkl"), "NAME_label.pkl"),
  named("ctr-gcn", (name) => /\.npz$/i.test(name), "NAME.npz"),
  named("pyskl", (name) => /\.pkl$/i.test(name), "NAME.pkl"),
  named("bvh", (name) => /\.bvh$/i.test(name), "NAME.bvh"),
  named("smpl", (name, path) => /\.npy$/i.test(name) && isSmpl(path), "NAME.npy of [T, 22, 3] or [T, 17, 3]"),
  named("openpose", (name) => /_keypoints\.json$/i.test(name), "NAME_000000000000_keypoints.json"),
  json,
  named("csv", (name) => /\.csv$/i.test(name), "NAME.csv"),
  named("csv", (name) => /\.tsv$/i.test(name), "NAME.tsv"),
];

/** JSON files by what the first one holds. */
function json(_folder: string, files: readonly string[]): Detected | undefined {
  const first = files.find((file) => /\.json$/i.test(file) && !/_label\.json$/i.test(file));
  if (first === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readText(first));
  } catch {
    return undefined;
  }
  const held = (kind: SourceKind, what: string): Detected => ({ kind, why: `${basename(first)} holds ${what}` });
  const { data, frames = value } = (value ?? {}) as Record<string, unknown>;
  const head = Array.isArray(frames) ? (frames as unknown[]).find((one) => one !== null) : undefined;
  const has = (one: unknown, word: RegExp): boolean =>
    typeof one === "object" && one !== null && !Array.isArray(one) && Object.keys(one).some((key) => word.test(key));
  if (Array.isArray(data) && (has(value, /^label/) || has(data[0], /^skeleton$/)))
    return held("kinetics-skeleton", `"data" of frames with "skeleton"`);
  if (has(head, /^bodies$/)) return held("azure-kinect", `frames with "bodies"`);
  if (has(head, /landmarks$/i)) return held("mediapipe", "frames with landmarks");
  if (isLandmarks(head)) return held("mediapipe", "frames of 33 landmarks");
  return undefined;
}

const isLandmarks = (one: unknown): boolean =>
  Array.isArray(one) && (one.length === 33 || (Array.isArray(one[0]) && one[0].length === 33));

function ntu(_folder: string, files: readonly string[]): Detected | undefined {
  const names = files.map((file) => basename(file)).filter((name) => /^S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}\./.test(name));
  const skeletons = names.filter((name) => /\.skeleton$/i.test(name));
  if (skeletons.length === 0) return undefined;
  const large = skeletons.some((name) => Number(name.slice(17, 20)) > 60 || Number(name.slice(1, 4)) > 17);
  const why = `${skeletons.length} files are named like SsssCcccPpppRrrrAaaa.skeleton, ${large ? "some of" : "none of"} an action past 60`;
  return { kind: large ? "ntu120" : "ntu60", why };
}

/** data.npy with labels.npy: which data set, by its clips' names, its joints and its columns. */
function packed(folder: string): Detected | undefined {
  const data = join(folder, "data.npy");
  if (!existsSync(data) || !existsSync(join(folder, "labels.npy"))) return undefined;
  let shape: readonly number[];
  try {
    const file = openNpy(data);
    shape = file.shape;
    file.close();
  } catch {
    return { kind: "npy", why: "there are data.npy and labels.npy" };
  }
  const held = `data.npy is ${formatShape(shape)}`;
  const name = firstName(join(folder, "names.json"));
  if (name !== undefined && parseNwUclaName(name)) return { kind: "nw-ucla", why: `${held}, clips are named ${name}` };
  if (name !== undefined && parseUtdMhadName(name))
    return { kind: "utd-mhad", why: `${held}, clips are named ${name}` };
  if (name !== undefined && /^s\d\ds\d\d\/\d\d\/\d{3}$/.test(name) && shape[3] === 15)
    return { kind: "sbu", why: `${held}, clips are named ${name}` };
  const subjects = most(join(folder, "subjects.npy"));
  const views = most(join(folder, "views.npy"));
  const labels = most(join(folder, "labels.npy"));
  if (shape[3] === 20 && views === 3 && labels === 9 && subjects !== undefined && subjects <= 10)
    return { kind: "nw-ucla", why: `${held}: 20 joints, with 3 views, 10 classes and ${subjects} subjects` };
  if (shape[3] === 20 && views === undefined && labels === 26 && subjects !== undefined && subjects <= 8)
    return { kind: "utd-mhad", why: `${held}: 20 joints, with 27 classes and ${subjects} subjects` };
  return { kind: "npy", why: `there are data.npy and labels.npy; ${held}` };
}

function firstName(path: string): string | undefined {
  try {
    const names: unknown = JSON.parse(readFileText(path));
    return Array.isArray(names) && typeof names[0] === "string" ? names[0] : undefined;
  } catch {
    return undefined;
  }
}

function most(path: string): number | undefined {
  try {
    return toIntegers(readNpy(path)).reduce((a, b) => Math.max(a, b), -1);
  } catch {
    return undefined;
  }
}

function isSmpl(path: string): boolean {
  try {
    const file = openNpy(path);
    file.close();
    return file.shape.length === 3 && [17, 22].includes(file.shape[1]) && file.shape[2] === 3;
  } catch {
    return false;
  }
}
