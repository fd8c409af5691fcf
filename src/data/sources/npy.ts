/**
 * Data sets in npy files as sources: NW-UCLA, UTD-MHAD and SBU by name, and anybody's own folder.
 *
 * A folder holds the files that `skeleton-npy.ts` describes, and may hold `class_names.json` and `split.npy`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { toIntegers } from "../../io/host-tensor.ts";
import { readFileText } from "../../io/byte-source.ts";
import { readNpy } from "../../io/numpy/npy.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { KINECT_V1_20, NTU25, SBU15 } from "../skeleton/layout.ts";
import { losesAtZero, originJoints, zerosAreLost } from "../skeleton/missing.ts";
import type { Protocol } from "../store/protocol.ts";
import { PROTOCOLS } from "../store/protocol.ts";
import { NpyClips, npyFilesIn } from "../formats/skeleton-npy.ts";
import type { ClipSource } from "./source.ts";
import { numberedClasses, orBad, requireFolder } from "./source.ts";

/**
 * What raw neighbours like best (docs/results.md): another view needs the turns; with one camera it takes the heading
 * away, which is part of an action.
 */
export const ACROSS_VIEWS = { kind: "upright", per: "clip" } as const;
/** Motion capture has a level floor, and a heading that means nothing. */
export const LEVEL_FLOOR = { kind: "yaw", per: "clip" } as const;
/** How recordings are normalised that come without the camera's place. */
export const ONE_CAMERA = { kind: "centre", per: "frame" } as const;

/** Data sets known by name: their layout, and how the names of their protocols begin. */
export const NPY_SETS: Readonly<
  Record<
    string,
    {
      readonly layout: SkeletonLayout;
      readonly protocols: string;
      readonly normalization?: ClipSource["normalization"];
    }
  >
> = {
  "nw-ucla": { layout: KINECT_V1_20, protocols: "nw-ucla-", normalization: ACROSS_VIEWS },
  "utd-mhad": { layout: KINECT_V1_20, protocols: "utd-mhad-", normalization: ONE_CAMERA },
  sbu: { layout: SBU15, protocols: "sbu-", normalization: ACROSS_VIEWS },
};

/** How a folder of npy files is read. */
export interface NpySourceOptions {
  /** Default ntu25. */
  readonly layout?: SkeletonLayout;
  /** Protocols besides the one of `split.npy`. Default none. */
  readonly protocols?: readonly Protocol[];
  /** Joints that may be the origin of a whole clip and are then not lost. Default: the layout's centre and roots. */
  readonly origins?: readonly number[];
}

/** The data set of this `name` in `NPY_SETS`, out of the npy files in `folder`. */
export function namedNpySource(name: string, folder: string): ClipSource {
  const { layout, protocols, normalization } = NPY_SETS[name];
  const published = PROTOCOLS.filter((protocol) => protocol.name.startsWith(protocols));
  return { ...npySource(folder, { layout, protocols: published, origins: [] }, false), normalization };
}

/**
 * Any folder of npy files. `split.npy`, where there is one, becomes the protocol `given`, unless `useSplit` is false.
 */
export function npySource(folder: string, options: NpySourceOptions = {}, useSplit = true): ClipSource {
  requireFolder(folder);
  const files = npyFilesIn(folder);
  for (const path of [files.data, files.labels]) {
    if (!existsSync(path))
      throw new DataError(path, "unreadable", "there is no such file; a folder of npy files needs it");
  }
  const classes = readClasses(folder, files.labels);
  const clips = NpyClips.open(files, options.layout ?? NTU25, classes.length);
  const protocols = [...(options.protocols ?? [])];
  const zero = Array.from({ length: clips.length }, (_, i) => clips.factsOf(i)).find(({ subject }) => subject === 0);
  if (zero && protocols.some(({ own }) => own)) {
    clips.close();
    throw new DataError(
      files.subjects!,
      "label",
      `clip ${zero.name} is of subject 0; subjects count from 1: add 1 to all of them`,
    );
  }
  if (useSplit && files.split !== undefined) protocols.push(givenProtocol(clips));
  const layout = options.layout ?? NTU25;
  const origins = options.origins ?? originJoints(layout);
  return {
    layout,
    classes,
    protocols,
    inputs: clips.length,
    *clips(onBad, onInput) {
      for (let i = 0; i < clips.length; i++) {
        const clip = orBad(onBad, () => clips.read(i));
        if (clip && losesAtZero(layout)) zerosAreLost(clip, origins);
        if (clip) yield { facts: clips.factsOf(i), clip };
        onInput();
      }
    },
    close: () => clips.close(),
  };
}

function givenProtocol(clips: NpyClips): Protocol {
  const splits = new Map(
    Array.from({ length: clips.length }, (_, i) => {
      const { name, split } = clips.factsOf(i);
      return [name, split] as const;
    }),
  );
  return {
    name: "given",
    own: true,
    rule: "split.npy: 0 trains, 1 tests",
    split: ({ name }) => {
      const split = splits.get(name);
      if (!split) throw new DataError(name, "label", "has no entry in split.npy");
      return split;
    },
  };
}

/** `class_names.json`, or as many numbered classes as the labels need. */
function readClasses(folder: string, labels: string): string[] {
  const path = join(folder, "class_names.json");
  if (existsSync(path)) {
    let names: unknown;
    try {
      names = JSON.parse(readFileText(path));
    } catch (cause) {
      throw new DataError(path, "format", `not JSON: ${(cause as Error).message}`, { cause });
    }
    if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === "string")) {
      throw new DataError(path, "format", "must be a list of class names");
    }
    return names as string[];
  }
  let values: number[];
  try {
    values = toIntegers(readNpy(labels));
  } catch (cause) {
    throw new DataError(labels, "format", (cause as Error).message, { cause });
  }
  return numberedClasses(values, labels);
}
