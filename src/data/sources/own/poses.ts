/** What pose estimators and sensors record: OpenPose, Kinetics-skeleton, MediaPipe, Azure Kinect. */
import { basename, dirname, relative, sep } from "node:path";
import { DataError } from "../../errors.ts";
import { parseAzureKinect } from "../../formats/pose/azure-kinect.ts";
import { isObject, parseJson } from "../../json.ts";
import { parseMediaPipe } from "../../formats/pose/mediapipe.ts";
import type { OpenPoseFrame } from "../../formats/pose/openpose.ts";
import { clipOfOpenPose, parseKineticsSkeleton, parseOpenPoseFrame } from "../../formats/pose/openpose.ts";
import { readText } from "../../formats/text.ts";
import { AZURE32, MEDIAPIPE33, OPENPOSE18, OPENPOSE25 } from "../../skeleton/pose-layouts.ts";
import type { Protocol, Split } from "../../store/protocol.ts";
import { ONE_CAMERA } from "../npy.ts";
import type { ClipSource } from "../source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "../source.ts";
import { recordingOf, windowsAt } from "../windows.ts";
import { labelFiles } from "./labelling.ts";
import { cut, recordingsSource, type RecordingOptions } from "./recordings.ts";

/** MediaPipe's landmarks in `folder`, one JSON file a recording. */
export function mediaPipeSource(folder: string, options: RecordingOptions = {}): ClipSource {
  return recordingsSource(folder, {
    ...options,
    extension: ".json",
    layout: { ...MEDIAPIPE33, persons: 2 },
    normalization: ONE_CAMERA,
    read: (file) => parseMediaPipe(readText(file), file).clip,
  });
}

/** Azure Kinect's body tracking in `folder`, one JSON file a recording. */
export function azureKinectSource(folder: string, options: RecordingOptions = {}): ClipSource {
  return recordingsSource(folder, {
    ...options,
    extension: ".json",
    layout: AZURE32,
    normalization: ONE_CAMERA,
    read: (file) => parseAzureKinect(readText(file), file),
  });
}

/** NAME_000000000012_keypoints.json, one file a frame. */
const OPENPOSE_NAME = /^(.*?)_?(\d+)_keypoints\.json$/i;

/**
 * OpenPose's folders. The files of one name that count up are a recording; where every folder holds one recording and
 * lies in another one, that other one is the class, else the folder itself is.
 */
export function openPoseSource(folder: string, options: RecordingOptions = {}): ClipSource {
  requireFolder(folder);
  const files = someFilesBelow(
    folder,
    "_keypoints.json",
    "OpenPose writes NAME_000000000000_keypoints.json, one a frame",
  );
  const groups = new Map<string, { readonly at: number; readonly file: string }[]>();
  for (const file of files) {
    const match = OPENPOSE_NAME.exec(basename(file));
    if (!match) continue;
    const key = `${dirname(file)}${sep}${match[1] || basename(dirname(file))}`;
    groups.set(key, [...(groups.get(key) ?? []), { at: Number(match[2]), file }]);
  }
  const keys = [...groups.keys()];
  const alone = new Set(keys.map(dirname)).size === keys.length;
  const nested = keys.every((key) => relative(folder, key).split(sep).length > 2);
  const shown = new Map(keys.map((key) => [alone && nested ? dirname(key) : key, groups.get(key)!]));
  const recordings = [...shown.keys()];
  const windows = windowsAt(options.windows);
  const labelled = labelFiles(folder, recordings, options.labels, windows ? recordingOf : (name) => name);
  const of18 = jointsOf(files) === 18;
  const layout = of18 ? OPENPOSE18 : OPENPOSE25;
  return {
    layout,
    classes: labelled.classes,
    protocols: [...(options.protocols ?? []), ...labelled.protocols],
    inputs: recordings.length,
    longest: windows?.length,
    normalization: ONE_CAMERA,
    remarks: [...folderRemarks(folder, "_keypoints.json"), ...labelled.remarks],
    *clips(onBad, onInput) {
      for (const recording of recordings) {
        const read = orBad(onBad, () => {
          const frames = [...shown.get(recording)!].sort((a, b) => a.at - b.at);
          const parsed = frames.map(({ file }): OpenPoseFrame => parseOpenPoseFrame(readText(file), file));
          const found = clipOfOpenPose(parsed, recording);
          if (found.layout.name !== layout.name)
            throw new DataError(
              recording,
              "shape",
              `has ${found.clip.joints} joints, others have ${layout.joints.length}`,
            );
          return { facts: labelled.factsOf(recording), clip: found.clip };
        });
        if (read) yield* cut(read, windows);
        onInput();
      }
    },
  };
}

/** Joints of the first person of all; 25 where nobody is seen in the first files. */
function jointsOf(files: readonly string[]): number {
  for (const file of files.slice(0, 1000)) {
    const found = orBad(
      () => {},
      () => parseOpenPoseFrame(readText(file), file).joints,
    );
    if (found) return found;
  }
  return 25;
}

/** Kinetics-skeleton: kinetics_train/ID.json and kinetics_val/ID.json, whose folders are the split. */
export function kineticsSource(folder: string): ClipSource {
  requireFolder(folder);
  const found = someFilesBelow(folder, ".json", "Kinetics-skeleton is one JSON file a clip");
  const files = found.filter((file) => !/_label\.json$/i.test(file));
  const { classes, labels } = kineticsLabels(found, files);
  const splitOf = (file: string): Split | undefined => {
    const word = /(train|val|test)(?![a-z])/i.exec(basename(dirname(file)))?.[1].toLowerCase();
    return word === undefined ? undefined : word === "train" ? "train" : "test";
  };
  const nameOf = (file: string): string => basename(file).replace(/\.json$/i, "");
  const splits = new Map(files.map((file) => [nameOf(file), splitOf(file)]));
  const whole = [...splits.values()].every((split) => split !== undefined);
  return {
    layout: OPENPOSE18,
    classes,
    protocols: whole ? [folderProtocol(splits)] : [],
    inputs: files.length,
    normalization: ONE_CAMERA,
    remarks: folderRemarks(folder, ".json"),
    *clips(onBad, onInput) {
      for (const file of files) {
        const read = orBad(onBad, () => {
          const { clip, label } = parseKineticsSkeleton(readText(file), file);
          return { facts: { name: nameOf(file), label: label >= 0 ? label : (labels.get(nameOf(file)) ?? -1) }, clip };
        });
        if (read) yield read;
        onInput();
      }
    },
  };
}

function folderProtocol(splits: ReadonlyMap<string, Split | undefined>): Protocol {
  return {
    name: "kinetics",
    rule: "the folders that clips lie in: train, and val or test",
    split: ({ name }) => {
      const split = splits.get(name);
      if (!split) throw new DataError(name, "label", "lies in no folder of train, val or test");
      return split;
    },
  };
}

/** More classes than Kinetics has. */
const MOST_CLASSES = 10_000;

/** Names of the classes and labels by clip: from kinetics_*_label.json where there is one, else from the clips. */
function kineticsLabels(
  found: readonly string[],
  files: readonly string[],
): { classes: string[]; labels: ReadonlyMap<string, number> } {
  const names: string[] = [];
  const labels = new Map<string, number>();
  const enter = (clip: string, entry: unknown, file: string): void => {
    if (!isObject(entry)) return;
    const { label_index: index, label } = entry;
    if (index === undefined || index === -1) return;
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= MOST_CLASSES)
      throw new DataError(file, "label", `label_index of ${clip} is ${JSON.stringify(index)}; it counts from 0`);
    labels.set(clip, index);
    while (names.length <= index) names.push("");
    if (typeof label === "string") names[index] ||= label;
  };
  const tables = found.filter((file) => /_label\.json$/i.test(file));
  for (const table of tables) {
    const value = parseJson(readText(table), table);
    if (!isObject(value)) throw new DataError(table, "format", "must be a JSON object of clips by name");
    for (const [clip, entry] of Object.entries(value)) enter(clip, entry, table);
  }
  if (tables.length === 0)
    for (const file of files)
      orBad(
        () => {},
        () => enter(basename(file).replace(/\.json$/i, ""), parseJson(readText(file), file), file),
      );
  return { classes: names.map((name, i) => name || `class ${i}`), labels };
}
