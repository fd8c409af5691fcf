/**
 * Skeletons in npy files: `data.npy` (N, 3, T, V, M) with labels, read clip by clip.
 *
 * The form in which prepared data sets of the field are shared. Beside the data lie `labels.npy` (N) and, where there
 * are any, `num_frame.npy`, `subjects.npy`, `views.npy`, `split.npy` (0 train, 1 test), all (N) integers, and
 * `names.json` or `names.npy`. Frames after `num_frame[i]` are padding; without that file, frames after the last in
 * which anybody is present.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readFileText } from "../../io/byte-source.ts";
import { toFloat32, toIntegers } from "../../io/host-tensor.ts";
import type { NpyFile } from "../../io/numpy/npy.ts";
import { openNpy, readNpy, readNpyArray } from "../../io/numpy/npy.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, fromChannelsFirst, isPresent, sliceFrames } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";

/** Paths; `data` and `labels` are required. */
export interface NpyClipFiles {
  readonly data: string;
  readonly labels: string;
  readonly frames?: string;
  readonly subjects?: string;
  readonly cameras?: string;
  readonly split?: string;
  readonly names?: string;
}

/** What is known of one clip besides its coordinates. `label` counts from 0. */
export interface NpyClipFacts {
  readonly name: string;
  readonly label: number;
  readonly subject?: number;
  readonly camera?: number;
  readonly split?: "train" | "test";
}

/** The files of a folder, by their customary names. */
export function npyFilesIn(folder: string): NpyClipFiles {
  const optional = (...names: string[]): string | undefined =>
    names.map((name) => join(folder, name)).find((path) => existsSync(path));
  return {
    data: join(folder, "data.npy"),
    labels: join(folder, "labels.npy"),
    frames: optional("num_frame.npy"),
    subjects: optional("subjects.npy"),
    cameras: optional("views.npy"),
    split: optional("split.npy"),
    names: optional("names.json", "names.npy"),
  };
}

/** A data set in npy files, open for reading. Only one clip at a time is in memory. */
export class NpyClips {
  readonly length: number;
  readonly #facts: readonly NpyClipFacts[];

  readonly #path: string;
  readonly #file: NpyFile;
  readonly #layout: SkeletonLayout;
  readonly #frames: readonly number[] | undefined;
  private constructor(
    path: string,
    file: NpyFile,
    layout: SkeletonLayout,
    facts: readonly NpyClipFacts[],
    frames: readonly number[] | undefined,
  ) {
    this.#path = path;
    this.#file = file;
    this.#layout = layout;
    this.#frames = frames;
    this.length = facts.length;
    this.#facts = facts;
  }

  /**
   * Opens a data set; `classes`, where given, bounds the labels.
   * @throws DataError naming the file: `unreadable`, `format`, `shape` (axes, joints, lengths), `label`.
   */
  static open(files: NpyClipFiles, layout: SkeletonLayout, classes?: number): NpyClips {
    const file = guarded(files.data, () => openNpy(files.data));
    try {
      const { shape, dtype } = file;
      if (shape.length !== 5 || shape[1] !== 3 || !["f16", "f32", "f64"].includes(dtype)) {
        throw new DataError(files.data, "shape", `is ${dtype} ${formatShape(shape)}, not floating (N, 3, T, V, M)`);
      }
      if (shape[3] !== layout.joints.length) {
        throw new DataError(
          files.data,
          "shape",
          `has ${shape[3]} joints; layout "${layout.name}" has ${layout.joints.length}`,
        );
      }
      const count = shape[0];
      const labels = readColumn(files.labels, count, "label", 0, classes === undefined ? undefined : classes - 1);
      const frames = optionalColumn(files.frames, count, "shape", 0, shape[2]);
      const subjects = optionalColumn(files.subjects, count, "label", 0);
      const cameras = optionalColumn(files.cameras, count, "label", 0);
      const splits = optionalColumn(files.split, count, "label", 0, 1);
      const names = files.names === undefined ? undefined : readNames(files.names, count);
      const facts = labels.map((label, i) => ({
        name: names?.[i] ?? String(i),
        label,
        subject: subjects?.[i],
        camera: cameras?.[i],
        split: splits && (splits[i] === 0 ? ("train" as const) : ("test" as const)),
      }));
      return new NpyClips(files.data, file, layout, facts, frames);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Name, label and the like of clip `i`. */
  factsOf(i: number): NpyClipFacts {
    return this.#facts[i];
  }

  /** Clip `i`, without its padding. @throws DataError `empty` or `not-finite`, naming the file and the clip. */
  read(i: number): Clip {
    const { shape } = this.#file;
    const where = `${this.#path}[${i}] (${this.#facts[i].name})`;
    const values = toFloat32(this.#file.readRows(i, 1));
    const stored = fromChannelsFirst(values, shape[2], this.#layout.joints.length, shape[4]);
    const clip = sliceFrames(stored, 0, this.#frames?.[i] ?? usedFrames(stored));
    checkClip(clip, where);
    return clip;
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}

/** Frames up to the last in which anybody is present. */
function usedFrames(clip: Clip): number {
  for (let t = clip.frames - 1; t >= 0; t--) {
    for (let m = 0; m < clip.persons; m++) if (isPresent(clip, t, m)) return t + 1;
  }
  return 0;
}

/** Runs a reader; what it throws becomes a DataError with the path. */
function guarded<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const unreadable = typeof (cause as NodeJS.ErrnoException).code === "string";
    throw new DataError(path, unreadable ? "unreadable" : "format", (cause as Error).message, { cause });
  }
}

/** (N) integers from `low` to `high`. */
function readColumn(path: string, count: number, fault: "label" | "shape", low: number, high?: number): number[] {
  const tensor = guarded(path, () => readNpy(path));
  if (tensor.shape.length !== 1 || tensor.shape[0] !== count) {
    throw new DataError(path, "shape", `is ${formatShape(tensor.shape)}; the data has ${count} clips, so [${count}]`);
  }
  const values = guarded(path, () => toIntegers(tensor));
  values.forEach((value, i) => {
    if (value < low || (high !== undefined && value > high)) {
      throw new DataError(path, fault, `entry ${i} is ${value}, outside ${low}..${high ?? ""}`);
    }
  });
  return values;
}

function optionalColumn(
  path: string | undefined,
  count: number,
  fault: "label" | "shape",
  low: number,
  high?: number,
): number[] | undefined {
  return path === undefined ? undefined : readColumn(path, count, fault, low, high);
}

function readNames(path: string, count: number): string[] {
  const names: unknown = guarded(path, () =>
    path.endsWith(".json") ? JSON.parse(readFileText(path)) : readNpyArray(path).data,
  );
  if (!Array.isArray(names) || names.length !== count || !names.every((name) => typeof name === "string")) {
    throw new DataError(path, "shape", `is not a list of ${count} names, one per clip`);
  }
  return names as string[];
}
