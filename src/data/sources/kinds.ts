/** The kinds of raw input there are, each opened from a folder and the options that it takes. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LayoutMap } from "../skeleton/layout-map.ts";
import { loadLayoutMap } from "../skeleton/layout-map.ts";
import { layoutMap } from "../skeleton/built-in-maps.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { loadLayout, NTU25 } from "../skeleton/layout.ts";
import { knownLayout, LAYOUTS } from "../skeleton/layouts.ts";
import { factProtocol } from "../store/protocol.ts";
import type { Protocol } from "../store/protocol.ts";
import type { SourceKind } from "./kind-names.ts";
import type { ClipSource } from "./source.ts";
import type { CsvSourceOptions } from "./csv.ts";
import { loadCsvSpec } from "../formats/csv-spec.ts";
import { csvFileSource, csvSource } from "./csv.ts";
import { checkKind } from "./detect.ts";
import { bvhSource, smplSource } from "./motion.ts";
import { ctrGcnSource, pySklSource, stGcnSource } from "./prepared.ts";
import { msrAction3dSource, nwUclaSource, sbuSource, utdMhadSource } from "./downloads.ts";
import { c3dSource, trcSource, utKinectSource } from "./own/markers.ts";
import { azureKinectSource, kineticsSource, mediaPipeSource, openPoseSource } from "./own/poses.ts";
import type { RecordingOptions } from "./own/recordings.ts";
import { namedNpySource, NPY_SETS, npySource } from "./npy.ts";
import { ntuSource } from "./ntu.ts";
import { pkuSource } from "./pku.ts";
import { inMetres, type Unit } from "./units.ts";
import { parseWindows, type WindowsAtRate } from "./windows.ts";

/** Paths and choices, as a user gives them. */
export interface SourceKindOptions {
  /** A built-in layout's name, or a JSON file. */
  readonly layout?: string;
  /** A JSON file that maps to NTU's 25 joints; "none" for no map where there would be one. */
  readonly map?: string;
  readonly missing?: string;
  readonly labels?: string;
  readonly splitList?: string;
  readonly spec?: string;
  /** The unit of coordinates, where the files name none. Default: by the size of bodies. */
  readonly units?: Unit;
  readonly testSubjects?: readonly number[];
  /** Frames ("90") or seconds ("3s") of the windows that recordings are cut into, and from one to the next. */
  readonly window?: string;
  readonly hop?: string;
}

/** What recordings of anybody's own take. */
const RECORDINGS: readonly (keyof SourceKindOptions)[] = ["labels", "testSubjects", "window", "hop"];

/** Which options a kind takes, besides `map`. */
const TAKES: Readonly<Record<SourceKind, readonly (keyof SourceKindOptions)[]>> = {
  "nw-ucla": [],
  "utd-mhad": [],
  sbu: [],
  ntu60: ["missing"],
  ntu120: ["missing"],
  "pku-mmd": ["labels", "splitList", "window", "hop"],
  npy: ["layout", "testSubjects", "units"],
  csv: ["spec", "labels", "testSubjects", "window", "hop", "units"],
  "msr-action3d": [],
  "st-gcn": ["units"],
  "ctr-gcn": ["units"],
  pyskl: ["units"],
  bvh: RECORDINGS,
  smpl: [...RECORDINGS, "units"],
  openpose: RECORDINGS,
  "kinetics-skeleton": [],
  mediapipe: RECORDINGS,
  "azure-kinect": RECORDINGS,
  trc: RECORDINGS,
  c3d: RECORDINGS,
  utkinect: [],
};

/**
 * Opens the raw data of a kind in `folder`: its clips, and the map to the layout that results are published in, where
 * that is another.
 *
 * @throws Error for an option that the kind does not take; DataError naming the file that is wrong
 */
export function openSourceOf(
  kind: SourceKind,
  folder: string,
  options: SourceKindOptions = {},
): { source: ClipSource; map: LayoutMap | undefined } {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || name === "map" || TAKES[kind].includes(name as keyof SourceKindOptions)) continue;
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new Error(`${kind} takes no --${flag}; it takes ${["map", ...TAKES[kind]].join(", ")}`);
  }
  checkKind(kind, folder);
  const opened = sourceOf(kind, folder, options);
  const source = TAKES[kind].includes("units") ? inUnits(opened, options) : opened;
  try {
    return { source, map: mapOf(kind, source.layout, options.map) };
  } catch (error) {
    source.close?.();
    throw error;
  }
}

/** Kinds that need nothing but their folder. */
const DOWNLOADS: Partial<Record<SourceKind, (folder: string) => ClipSource>> = {
  "nw-ucla": nwUclaSource,
  "utd-mhad": utdMhadSource,
  sbu: sbuSource,
  "msr-action3d": msrAction3dSource,
  "st-gcn": stGcnSource,
  "ctr-gcn": ctrGcnSource,
  pyskl: pySklSource,
  "kinetics-skeleton": kineticsSource,
  utkinect: utKinectSource,
};

/** Recordings of anybody's own, with what is said of them. */
const OWN: Partial<Record<SourceKind, (folder: string, options: RecordingOptions) => ClipSource>> = {
  bvh: bvhSource,
  smpl: smplSource,
  openpose: openPoseSource,
  mediapipe: mediaPipeSource,
  "azure-kinect": azureKinectSource,
  trc: trcSource,
  c3d: c3dSource,
};

function sourceOf(kind: SourceKind, folder: string, options: SourceKindOptions): ClipSource {
  const protocols = options.testSubjects === undefined ? [] : [subjectsProtocol(options.testSubjects)];
  if (Object.hasOwn(NPY_SETS, kind) && (!Object.hasOwn(DOWNLOADS, kind) || existsSync(join(folder, "data.npy"))))
    return namedNpySource(kind, folder);
  if (Object.hasOwn(DOWNLOADS, kind)) return DOWNLOADS[kind]!(folder);
  if (Object.hasOwn(OWN, kind))
    return OWN[kind]!(folder, {
      labels: options.labels,
      protocols,
      windows: windowsGiven(options),
    });
  switch (kind) {
    case "ntu60":
    case "ntu120":
      return ntuSource(folder, kind === "ntu60" ? 60 : 120, { missing: options.missing });
    case "pku-mmd":
      return pkuSource(folder, {
        labels: options.labels,
        splitList: options.splitList,
        windows: parseWindows(options.window, options.hop),
      });
    case "csv":
      return csvSource(folder, { ...csvReading(options), labels: options.labels, protocols });
    default:
      return npySource(folder, {
        layout: options.layout === undefined ? undefined : layoutOf(options.layout),
        protocols,
      });
  }
}

/** One CSV `file`, a recording by itself, read with the options as `openSourceOf("csv", …)` reads a folder of them. */
export function openRecording(
  file: string,
  options: Pick<SourceKindOptions, "spec" | "map" | "window" | "hop" | "units">,
): { source: ClipSource; map: LayoutMap | undefined } {
  const source = inUnits(csvFileSource(file, csvReading(options)), options);
  return { source, map: mapOf("csv", source.layout, options.map) };
}

/** In metres: as a specification scales, as the unit is named, or as the bodies show. */
function inUnits(source: ClipSource, { spec, units }: Pick<SourceKindOptions, "spec" | "units">): ClipSource {
  const scaled = spec !== undefined && loadCsvSpec(spec).scale !== undefined;
  if (!scaled) return inMetres(source, units);
  if (units === undefined) return source;
  source.close?.();
  throw new Error(`--units ${units} meets the "scale" of ${spec}; give one of them`);
}

function csvReading(
  options: Pick<SourceKindOptions, "spec" | "window" | "hop">,
): Pick<CsvSourceOptions, "spec" | "windows"> {
  const spec = options.spec === undefined ? undefined : loadCsvSpec(options.spec);
  return { spec, windows: windowsGiven(options) };
}

/** Windows as they are given, checked before a recording says how fast it is. */
function windowsGiven({ window, hop }: Pick<SourceKindOptions, "window" | "hop">): WindowsAtRate | undefined {
  return parseWindows(window, hop) && ((rate) => parseWindows(window, hop, rate));
}

function layoutOf(name: string): SkeletonLayout {
  const known = knownLayout(name);
  if (known) return known;
  if (existsSync(name)) return loadLayout(name);
  throw new Error(
    `no layout "${name}": neither built in (${LAYOUTS.map((layout) => layout.name).join(", ")}) nor a file`,
  );
}

/**
 * The name of a layout, or a JSON file. The small data sets are mapped to NTU's joints unless told otherwise, others only
 * when told.
 */
function mapOf(kind: SourceKind, from: SkeletonLayout, given: string | undefined): LayoutMap | undefined {
  if (given === "none") return undefined;
  if (given !== undefined) {
    const to = knownLayout(given);
    return to ? layoutMap(from, to) : loadLayoutMap(given, from, NTU25);
  }
  return Object.hasOwn(NPY_SETS, kind) ? layoutMap(from, NTU25) : undefined;
}

function subjectsProtocol(testing: readonly number[]): Protocol {
  if (testing.includes(0)) throw new Error("--test-subjects names subject 0; subjects count from 1");
  const protocol = factProtocol(
    "xsub",
    `subjects ${testing.join(", ")} test, the others train`,
    "subject",
    1e9,
    (subject) => !testing.includes(subject),
  );
  return { ...protocol, own: true, subjects: testing };
}
