/** Small data sets as their users download them, one file a clip: NW-UCLA, UTD-MHAD, SBU, MSR-Action3D. */
import { basename } from "node:path";
import { DataError } from "../errors.ts";
import { NW_UCLA_CLASSES, parseNwUcla } from "../formats/nw-ucla.ts";
import { MSR_ACTION3D_CLASSES, parseMsrAction3d, parseMsrName } from "../formats/msr-action3d.ts";
import { parseSbu, parseSbuPath, SBU_CLASSES } from "../formats/sbu.ts";
import { factProtocol } from "../store/protocol.ts";
import { readText } from "../formats/text.ts";
import { parseUtdMhad, parseUtdMhadName, UTD_MHAD_CLASSES } from "../formats/utd-mhad.ts";
import { KINECT_V1_20, SBU15 } from "../skeleton/layout.ts";
import { ACROSS_VIEWS, ONE_CAMERA } from "./npy.ts";
import { perFileSource, publishedProtocols, readBytes } from "./per-file.ts";
import type { ClipSource } from "./source.ts";

/** The clips of NW-UCLA's `all_sqe` in `folder`. */
export function nwUclaSource(folder: string): ClipSource {
  return perFileSource(folder, {
    extension: ".json",
    what: "NW-UCLA comes as one JSON file a clip (all_sqe), or as data.npy with labels.npy",
    layout: KINECT_V1_20,
    classes: NW_UCLA_CLASSES,
    protocols: publishedProtocols("nw-ucla-"),
    normalization: ACROSS_VIEWS,
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
    normalization: ONE_CAMERA,
    read: (file) => {
      const facts = parseUtdMhadName(basename(file));
      if (!facts)
        throw new DataError(file, "label", "the name is not aA_sS_tT_skeleton.mat, with action A from 1 to 27");
      return { facts, clip: parseUtdMhad(readBytes(file), file) };
    },
  });
}

/** SBU's folders of `skeleton_pos.txt`. */
export function sbuSource(folder: string): ClipSource {
  return perFileSource(folder, {
    extension: "skeleton_pos.txt",
    what: "SBU comes as folders sXXsYY/AA/NNN with skeleton_pos.txt, or as data.npy with labels.npy",
    layout: SBU15,
    classes: SBU_CLASSES,
    protocols: publishedProtocols("sbu-"),
    normalization: ACROSS_VIEWS,
    read: (file) => {
      const facts = parseSbuPath(file);
      if (!facts)
        throw new DataError(file, "label", "the folders above are not sXXsYY/AA/NNN, with action AA from 01 to 08");
      return { facts, clip: parseSbu(readText(file), file) };
    },
  });
}

/** MSR-Action3D's text files in `folder`, split as its users do: odd subjects train. */
export function msrAction3dSource(folder: string): ClipSource {
  const rule = "odd subjects train, even subjects test";
  return perFileSource(folder, {
    extension: ".txt",
    what: "MSR-Action3D comes as one aAA_sSS_eEE_skeleton3D.txt a clip",
    layout: KINECT_V1_20,
    classes: MSR_ACTION3D_CLASSES,
    protocols: [factProtocol("msr-action3d-xsub", rule, "subject", 10, (subject) => subject % 2 === 1)],
    normalization: ONE_CAMERA,
    read: (file) => {
      const facts = parseMsrName(basename(file));
      if (!facts)
        throw new DataError(file, "label", "the name is not aAA_sSS_eEE_skeleton3D.txt, with action AA from 01 to 20");
      return { facts, clip: parseMsrAction3d(readText(file), file) };
    },
  });
}
