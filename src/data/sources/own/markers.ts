/** Motion capture by markers, TRC and C3D, and UTKinect's recordings cut by its table of actions. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DataError } from "../../errors.ts";
import { parseC3d } from "../../formats/mocap/c3d.ts";
import { markerLayout, type MarkerRecording } from "../../formats/mocap/markers.ts";
import { parseTrc } from "../../formats/mocap/trc.ts";
import { readText } from "../../formats/text.ts";
import { cutUtKinect, parseUtKinect, parseUtKinectLabels, UTKINECT_CLASSES } from "../../formats/utkinect.ts";
import type { Clip } from "../../skeleton/clip.ts";
import { KINECT_V1_20 } from "../../skeleton/layout.ts";
import { isLost } from "../../skeleton/missing.ts";
import { factProtocol } from "../../store/protocol.ts";
import { ONE_CAMERA } from "../npy.ts";
import { readBytes } from "../per-file.ts";
import type { ClipSource } from "../source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "../source.ts";
import { recordingsSource, type RecordingOptions } from "./recordings.ts";

/** A folder of TRC files, one a recording. */
export function trcSource(folder: string, options: RecordingOptions = {}): ClipSource {
  return markersSource(folder, ".trc", options, (file) => parseTrc(readText(file), file));
}

/** A folder of C3D files, one a recording. */
export function c3dSource(folder: string, options: RecordingOptions = {}): ClipSource {
  return markersSource(folder, ".c3d", options, (file) => parseC3d(readBytes(file), file));
}

function markersSource(
  folder: string,
  extension: string,
  options: RecordingOptions,
  parse: (file: string) => MarkerRecording,
): ClipSource {
  requireFolder(folder);
  const [first] = someFilesBelow(folder, extension, "there is one file a recording");
  const known = parse(first);
  return recordingsSource(folder, {
    ...options,
    extension,
    layout: markerLayout(known),
    normalization: ONE_CAMERA,
    up: tallAxis(known.clip),
    rate: known.rate,
    read: (file) => {
      const { names, clip } = parse(file);
      if (names.join("\n") !== known.names.join("\n"))
        throw new DataError(file, "shape", `has other markers than ${first}; put those of each kind in a folder`);
      return clip;
    },
  });
}

/** The upright axis of who stands: y or z, whichever is longer in the first frame that has markers. */
function tallAxis({ data, joints }: Clip): "y" | "z" {
  const side = (c: number, start: number): number => {
    const values = Array.from({ length: joints }, (_, v) => start + v * 3)
      .filter((at) => !isLost(data, at))
      .map((at) => data[at + c]);
    return values.length < 2 ? 0 : Math.max(...values) - Math.min(...values);
  };
  for (let start = 0; start < data.length; start += joints * 3) {
    const [y, z] = [side(1, start), side(2, start)];
    if (y > 0 || z > 0) return z > y ? "z" : "y";
  }
  return "y";
}

/** UTKinect's `joints` folder with `actionLabel.txt` in it or beside it; odd subjects train. */
export function utKinectSource(folder: string): ClipSource {
  requireFolder(folder);
  const found = someFilesBelow(folder, ".txt", "UTKinect comes as joints/joints_sSS_eEE.txt and actionLabel.txt");
  const table =
    found.find((file) => /^actionlabel\.txt$/i.test(basename(file))) ?? join(dirname(folder), "actionLabel.txt");
  if (!existsSync(table)) throw new DataError(folder, "label", "actionLabel.txt is neither in it nor beside it");
  const files = new Map(
    found.flatMap((file) => {
      const name = utKinectName(basename(file));
      return name === undefined ? [] : [[name, file] as const];
    }),
  );
  const actions = parseUtKinectLabels(readText(table), table);
  const rule = "odd subjects train, even subjects test";
  return {
    layout: KINECT_V1_20,
    classes: UTKINECT_CLASSES,
    protocols: [factProtocol("utkinect-xsub", rule, "subject", 10, (subject) => subject % 2 === 1)],
    inputs: actions.length,
    normalization: ONE_CAMERA,
    remarks: folderRemarks(folder, ".txt"),
    *clips(onBad, onInput) {
      for (const action of actions) {
        const read = orBad(onBad, () => {
          const file = files.get(action.recording);
          if (file === undefined)
            throw new DataError(
              table,
              "label",
              `names ${action.recording}; there is no joints_${action.recording}.txt`,
            );
          const name = `${action.recording}/${UTKINECT_CLASSES[action.label]}@${action.first}`;
          const facts = { name, label: action.label, subject: action.subject };
          return { facts, clip: cutUtKinect(parseUtKinect(readText(file), file), action, file) };
        });
        if (read) yield read;
        onInput();
      }
    },
  };
}

/** The recording that a file `name` stands for, s01_e01 of joints_s01_e01.txt; undefined of other names. */
export function utKinectName(name: string): string | undefined {
  return /^joints_(s\d\d_e\d\d)\.txt$/i.exec(name)?.[1].toLowerCase();
}
