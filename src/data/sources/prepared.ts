/**
 * Data sets as others prepared them: ST-GCN's npy with pkl (CrosSCLR's, AimCLR's, HiCo's too), CTR-GCN's npz, and
 * PySKL's and MMAction2's pkl. Which clips train comes with them.
 */
import { basename, dirname } from "node:path";
import { existsSync } from "node:fs";
import { isHostTensor, toFloat32, toFloat64, toIntegers, type HostTensor } from "../../io/host-tensor.ts";
import { FormatError } from "../../io/format-error.ts";
import { openNpy, readNpy } from "../../io/numpy/npy.ts";
import { openNpz } from "../../io/numpy/npz.ts";
import { readPickle } from "../../io/torch/read.ts";
import { formatShape } from "../../tensor/shape.ts";
import { DataError } from "../errors.ts";
import { ntuClasses, parseNtuName } from "../formats/ntu-names.ts";
import type { Clip } from "../skeleton/clip.ts";
import { clipOfBodies, type TrackedBody } from "../formats/pose/bodies.ts";
import { flat } from "../formats/pose/openpose.ts";
import { standInPlane } from "../formats/pose/plane.ts";
import { COCO17, OPENPOSE18, OPENPOSE25 } from "../skeleton/pose-layouts.ts";
import { checkClip, fromChannelsFirst, isPresent, newClip, sliceFrames } from "../skeleton/clip.ts";
import { KINECT_V1_20, NTU25, type SkeletonLayout } from "../skeleton/layout.ts";
import type { ClipFacts } from "../store/format.ts";
import type { Protocol, Split } from "../store/protocol.ts";
import { ONE_CAMERA } from "./npy.ts";
import type { ClipSource } from "./source.ts";
import { numberedClasses, orBad, requireFolder, someFilesBelow } from "./source.ts";

interface Entry {
  readonly facts: ClipFacts;
  readonly read: () => Clip;
}

/** A `folder` in ST-GCN's form: `*_data*.npy` (N, 3, T, V, M), `*_label.pkl` (names, labels), `*_num_frame.npy`. */
export function stGcnSource(folder: string): ClipSource {
  requireFolder(folder);
  const labels = someFilesBelow(folder, "_label.pkl", "ST-GCN's form has train_label.pkl beside train_data_joint.npy");
  if (new Set(labels.map(dirname)).size > 1)
    throw new DataError(folder, "format", `holds several prepared sets, ${labels.join(", ")}; name the folder of one`);
  const closes: (() => void)[] = [];
  const close = (): void => closes.forEach((one) => one());
  try {
    return stGcnParts(labels, closes, close);
  } catch (error) {
    close();
    throw error;
  }
}

/** The parts of a prepared set, each of a table of labels; every file that is opened adds to `closes`. */
function stGcnParts(labels: readonly string[], closes: (() => void)[], close: () => void): ClipSource {
  const entries: Entry[] = [];
  const splits = new Map<string, Split>();
  let layout: SkeletonLayout | undefined;
  for (const path of labels) {
    const start = path.slice(0, -"_label.pkl".length);
    const data = [`${start}_data_joint.npy`, `${start}_data.npy`].find((name) => existsSync(name));
    if (data === undefined) throw new DataError(path, "unreadable", `there is no ${start}_data_joint.npy beside it`);
    const [names, values] = named(path);
    const file = guarded(data, () => openNpy(data));
    closes.push(() => file.close());
    const { shape } = file;
    if (shape.length !== 5 || shape[1] !== 3 || shape[0] !== names.length)
      throw new DataError(data, "shape", `is ${formatShape(shape)}; it must be (${names.length}, 3, T, V, M)`);
    layout = joined(layout, shape[3], shape[4], data);
    const counts = existsSync(`${start}_num_frame.npy`)
      ? guarded(`${start}_num_frame.npy`, () => toIntegers(readNpy(`${start}_num_frame.npy`)))
      : undefined;
    names.forEach((name, i) => {
      const facts = factsOf(name, values[i]);
      enter(splits, facts.name, /^train/i.test(basename(start)) ? "train" : "test", path);
      const read = (): Clip => {
        const rows = toFloat32(guarded(data, () => file.readRows(i, 1)));
        const clip = fromChannelsFirst(rows, shape[2], shape[3], shape[4]);
        const frames = counts?.[i] ?? usedFrames(clip);
        if (!(frames >= 0 && frames <= clip.frames))
          throw new DataError(
            data,
            "shape",
            `clip ${i} has ${frames} frames by its count; there is room for ${clip.frames}`,
          );
        return sliceFrames(clip, 0, frames);
      };
      entries.push({ facts, read });
    });
  }
  return sourceOf(entries, layout!, [given("given", splits)], labels[0], close);
}

/** A `folder` in CTR-GCN's form: an npz of x_train (N, T, M·V·C), y_train, x_test, y_test. */
export function ctrGcnSource(folder: string): ClipSource {
  requireFolder(folder);
  const files = someFilesBelow(folder, ".npz", "CTR-GCN's form is one npz with x_train, y_train, x_test, y_test");
  const path = onlyOne(files, folder);
  const entries: Entry[] = [];
  const splits = new Map<string, Split>();
  let layout: SkeletonLayout | undefined;
  const npz = guarded(path, () => openNpz(path));
  try {
    for (const split of ["train", "test"] as const) {
      const [x, y] = [`x_${split}`, `y_${split}`].map((name) => guarded(path, () => npz.read(name)));
      const widths: Readonly<Record<number, readonly [number, number]>> = { 150: [25, 2], 75: [25, 1], 60: [20, 1] };
      const form = widths[x.shape[2]];
      if (x.shape.length !== 3 || form === undefined)
        throw new DataError(path, "shape", `x_${split} is ${formatShape(x.shape)}; it must be (N, T, 150), 75 or 60`);
      const [joints, persons] = form;
      layout = joined(layout, joints, persons, path);
      const labels = oneHot(y, x.shape[0], path);
      const size = x.shape[1] * x.shape[2];
      labels.forEach((label, i) => {
        const name = `${split}_${i}`;
        splits.set(name, split);
        const read = (): Clip => {
          const data = toFloat32({ ...x, shape: [size], data: x.data.slice(i * size, (i + 1) * size) });
          const clip = { data, frames: x.shape[1], persons, joints };
          return sliceFrames(clip, 0, usedFrames(clip));
        };
        entries.push({ facts: { name, label }, read });
      });
    }
  } finally {
    npz.close();
  }
  return sourceOf(entries, layout!, [given("given", splits)], path);
}

/**
 * A `folder` in PySKL's and MMAction2's form: a pickle of {split, annotations: [{frame_dir, label, keypoint
 * (M, T, V, 3)}]}.
 */
export function pySklSource(folder: string): ClipSource {
  requireFolder(folder);
  const path = onlyOne(someFilesBelow(folder, ".pkl", "PySKL's form is one pickle of split and annotations"), folder);
  const value = guarded(path, () => readPickle(path));
  const [annotations, split] = value instanceof Map ? [value.get("annotations"), value.get("split")] : [];
  if (!Array.isArray(annotations) || !(split instanceof Map))
    throw new DataError(path, "format", "is no pickle of PySKL: a dict of split and annotations");
  let layout: SkeletonLayout | undefined;
  const entries = annotations.map((one: unknown, i): Entry => {
    const map = one instanceof Map ? one : new Map();
    const [name, label, keypoint] = [map.get("frame_dir"), map.get("label"), map.get("keypoint")];
    if (typeof name !== "string" || !Number.isInteger(label) || !isHostTensor(keypoint))
      throw new DataError(path, "format", `annotation ${i} lacks frame_dir, label or keypoint`);
    const { shape } = keypoint;
    const score = map.get("keypoint_score");
    const inPicture = shape[3] === 2;
    if (shape.length !== 4 || (shape[3] !== 3 && !inPicture))
      throw new DataError(
        path,
        "shape",
        `keypoint of ${name} is ${formatShape(shape)}; it must be (M, T, V, 3), or (M, T, V, 2) in pictures`,
      );
    if (inPicture && (!isHostTensor(score) || score.shape.join() !== shape.slice(0, 3).join()))
      throw new DataError(path, "shape", `${name} lacks a keypoint_score of ${formatShape(shape.slice(0, 3))}`);
    // An annotation of nobody or of no frame may name any size for the other.
    const nobody = shape[0] === 0 || shape[1] === 0;
    layout = joined(layout, shape[2], nobody ? 1 : shape[0], path, inPicture);
    const own = layout;
    const read = (): Clip => {
      if (nobody) throw new DataError(name, "empty", `keypoint is ${formatShape(shape)}: nobody, or no frames`);
      return inPicture ? poses2d(keypoint, score as HostTensor, own, name) : personsFirst(keypoint);
    };
    return { facts: factsOf(name, label as number), read };
  });
  const protocols = [...split.keys()].flatMap((key) => {
    const start = typeof key === "string" && key.endsWith("_train") ? key.slice(0, -6) : undefined;
    const testing = start === undefined ? undefined : (split.get(`${start}_val`) ?? split.get(`${start}_test`));
    if (start === undefined || !Array.isArray(split.get(key)) || !Array.isArray(testing)) return [];
    const splits = new Map<string, Split>();
    for (const name of split.get(key) as unknown[]) enter(splits, splitName(name, path), "train", path);
    for (const name of testing as unknown[]) enter(splits, splitName(name, path), "test", path);
    return [given(start, splits)];
  });
  if (layout === undefined) throw new DataError(path, "empty", "holds no annotation");
  return sourceOf(entries, layout, protocols, path);
}

function sourceOf(
  entries: readonly Entry[],
  layout: SkeletonLayout,
  protocols: readonly Protocol[],
  path: string,
  close?: () => void,
): ClipSource {
  const labels = entries.map(({ facts }) => facts.label);
  const ntu = entries.every(({ facts }) => facts.setup !== undefined);
  const numbered = numberedClasses(labels, path);
  const classes = ntu ? ntuClasses(numbered.length > 60 ? 120 : 60) : numbered;
  return {
    layout,
    classes,
    protocols,
    inputs: entries.length,
    keepsEmptyFrames: true,
    normalization: layout.name === NTU25.name || layout.name === KINECT_V1_20.name ? undefined : ONE_CAMERA,
    *clips(onBad, onInput) {
      for (const { facts, read } of entries) {
        const clip = orBad(onBad, () => {
          const found = read();
          checkClip(found, facts.name);
          return found;
        });
        if (clip) yield { facts, clip };
        onInput();
      }
    },
    close,
  };
}

function guarded<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const detail = cause instanceof FormatError ? cause.fault : (cause as Error).message;
    throw new DataError(path, cause instanceof FormatError ? "format" : "unreadable", detail, { cause });
  }
}

function onlyOne(files: readonly string[], folder: string): string {
  if (files.length === 1) return files[0];
  throw new DataError(folder, "format", `holds ${files.length} such files, ${files.slice(0, 4).join(", ")}; keep one`);
}

function enter(splits: Map<string, Split>, name: string, split: Split, path: string): void {
  if (splits.has(name) && splits.get(name) !== split) throw new DataError(path, "label", `${name} trains and tests`);
  splits.set(name, split);
}

function given(name: string, splits: ReadonlyMap<string, Split>): Protocol {
  return {
    name,
    rule: "the split that comes with the data",
    split: (sample) => {
      const split = splits.get(sample.name);
      if (!split) throw new DataError(sample.name, "label", `is in no split of protocol ${name}`);
      return split;
    },
  };
}

/** The names and labels of an ST-GCN pickle. */
function named(path: string): [string[], number[]] {
  const value = guarded(path, () => readPickle(path));
  const [names, labels] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!Array.isArray(names) || !Array.isArray(labels) || names.length !== labels.length || names.length === 0)
    throw new DataError(path, "format", "is no pickle of two lists, names and labels, of one length");
  if (!names.every((name) => typeof name === "string") || !labels.every((x) => Number.isInteger(x) && Number(x) >= 0))
    throw new DataError(path, "label", "names must be text, and labels whole numbers from 0");
  return [names as string[], labels as number[]];
}

function splitName(name: unknown, path: string): string {
  if (typeof name !== "string") throw new DataError(path, "format", "a split lists something that is no clip's name");
  return clipName(name);
}

const clipName = (name: string): string => name.replace(/\.skeleton$/, "");

function factsOf(given: string, label: number): ClipFacts {
  const name = clipName(given);
  if (!/^S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}$/.test(name)) return { name, label };
  const { action, subject, camera, setup } = parseNtuName(name, 120);
  if (action - 1 !== label) throw new DataError(name, "label", `has label ${label}; its name says ${action - 1}`);
  return { name, label, subject, camera, setup };
}

/** The layout of so many joints, with room for all persons. */
function joined(
  known: SkeletonLayout | undefined,
  joints: number,
  persons: number,
  path: string,
  inPicture = false,
): SkeletonLayout {
  const forms = inPicture ? [COCO17, OPENPOSE18, OPENPOSE25] : [NTU25, KINECT_V1_20];
  const layout = forms.find((one) => one.joints.length === joints);
  if (!layout || (known && known.name !== layout.name)) {
    const words = inPicture ? "17 (COCO), 18 or 25 (OpenPose)" : "25 (Kinect v2) or 20 (v1)";
    throw new DataError(path, "shape", `has ${joints} joints; prepared forms are read with ${words}`);
  }
  // Poses of a crowd are followed, and two persons kept.
  return { ...layout, persons: inPicture ? layout.persons : Math.max(1, known?.persons ?? 1, persons) };
}

/** Joints in pictures (M, T, V, 2) with scores (M, T, V), where 0 is a joint that was not seen, to a clip. */
function poses2d(keypoint: HostTensor, score: HostTensor, layout: SkeletonLayout, name: string): Clip {
  const [persons, frames, joints] = keypoint.shape;
  const [places, scores] = [toFloat32(keypoint), toFloat32(score)];
  const bodies = Array.from({ length: frames }, (_, t) =>
    Array.from({ length: persons }, (_body, m): TrackedBody => {
      const at = (m * frames + t) * joints;
      const joint = (v: number): [number, number] | undefined =>
        scores[at + v] > 0 ? [places[2 * (at + v)], places[2 * (at + v) + 1]] : undefined;
      return { joints: flat(joints, joint) };
    }).filter((body) => body.joints.some((x) => !Number.isNaN(x))),
  );
  return standInPlane(clipOfBodies(bodies, joints, layout.persons, name), layout);
}

function oneHot(y: HostTensor, count: number, path: string): number[] {
  if (y.shape[0] !== count || y.shape.length > 2)
    throw new DataError(path, "shape", `labels are ${formatShape(y.shape)} for ${count} clips`);
  const values = toFloat64(y);
  if (y.shape.length === 1) return Array.from(values);
  const classes = y.shape[1];
  return Array.from({ length: count }, (_, i) => {
    const row = values.subarray(i * classes, (i + 1) * classes);
    const label = row.indexOf(1);
    if (label < 0 || row.some((value, k) => value !== (k === label ? 1 : 0)))
      throw new DataError(path, "label", `the labels of clip ${i} are not one-hot: one 1, the rest 0`);
    return label;
  });
}

function usedFrames(clip: Clip): number {
  for (let t = clip.frames - 1; t >= 0; t--)
    for (let m = 0; m < clip.persons; m++) if (isPresent(clip, t, m)) return t + 1;
  return 0;
}

/** (M, T, V, 3) to a clip. */
function personsFirst(keypoint: HostTensor): Clip {
  const [persons, frames, joints] = keypoint.shape;
  const values = toFloat32(keypoint);
  const clip = newClip(frames, persons, joints);
  const stride = joints * 3;
  for (let m = 0; m < persons; m++)
    for (let t = 0; t < frames; t++) {
      const from = (m * frames + t) * stride;
      clip.data.set(values.subarray(from, from + stride), (t * persons + m) * stride);
    }
  return clip;
}
