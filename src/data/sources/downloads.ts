/** Small data sets as their users download them, one file a clip: NW-UCLA's JSON, UTD-MHAD's MATLAB files. */
import { basename } from "node:path";
import { DataError } from "../errors.ts";
import { NW_UCLA_CLASSES, parseNwUcla } from "../formats/nw-ucla.ts";
import { readText } from "../formats/text.ts";
import { parseUtdMhad, parseUtdMhadName, UTD_MHAD_CLASSES } from "../formats/utd-mhad.ts";
import { KINECT_V1_20 } from "../skeleton/layout.ts";
import { perFileSource, publishedProtocols, readBytes } from "./per-file.ts";
import type { ClipSource } from "./source.ts";

/** NW-UCLA's `all_sqe`. */
export function nwUclaSource(folder: string): ClipSource {
  return perFileSource(folder, {
    extension: ".json",
    what: "NW-UCLA comes as one JSON file a clip (all_sqe), or as data.npy with labels.npy",
    layout: KINECT_V1_20,
    classes: NW_UCLA_CLASSES,
    protocols: publishedProtocols("nw-ucla-"),
    read: (file) => parseNwUcla(readText(file), file),
  });
}

/** UTD-MHAD's `Skeleton` folder. */
export function utdMhadSource(folder: string): ClipSource {
  return perFileSource(folder, {
    extension: ".mat",
    what: "UTD-MHAD comes as one aA_sS_tT_skeleton.mat a clip, or as data.npy with labels.npy",
    layout: KINECT_V1_20,
    classes: UTD_MHAD_CLASSES,
    protocols: publishedProtocols("utd-mhad-"),
    read: (file) => {
      const facts = parseUtdMhadName(basename(file));
      if (!facts)
        throw new DataError(file, "label", "the name is not aA_sS_tT_skeleton.mat, with action A from 1 to 27");
      return { facts, clip: parseUtdMhad(readBytes(file), file) };
    },
  });
}
