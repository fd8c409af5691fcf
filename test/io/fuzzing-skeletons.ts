/**
 * What skeleton readers are fuzzed with: a small valid file of each format, how to mutate it, and a read that throws
 * where a clip that was read is not whole. Readers that take a path read a scratch file.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClipSource, DataError } from "../../src/data/index.ts";
import {
  ctrGcnSource,
  parseBvh,
  parseMsrAction3d,
  parseNwUcla,
  parseSbu,
  parseUtdMhad,
  pySklSource,
  smplSource,
  stGcnSource,
} from "../../src/data/index.ts";
import { readLabelTable } from "../../src/data/formats/label-table.ts";
import { hostTensor } from "../../src/io/host-tensor.ts";
import { encodeNpy } from "../../src/io/numpy/npy.ts";
import { encodeNpz } from "../../src/io/numpy/npz.ts";
import { matFile, matVariable } from "../data/formats/mat-file.ts";
import { POSE_TARGETS } from "./fuzzing-poses.ts";
import { encode, requireWholeClip, textTarget } from "./fuzzing-text.ts";
import { numpyPickle } from "./numpy/numpy-pickle.ts";
import { mutateBytes, mutateNpyHeader, mutatePickle, mutateZipEntry, type Draw, type FuzzTarget } from "./mutation.ts";

let scratch: string | undefined;

/** A folder that holds `bytes` as a file, its only one unless `place` is shared. */
function scratchFile(
  name: string,
  bytes: Uint8Array,
  place = name.replace(/.*\./, ""),
): { folder: string; file: string } {
  if (scratch === undefined) {
    const made = mkdtempSync(join(tmpdir(), "hico-fuzz-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    scratch = made;
  }
  const folder = join(scratch, place);
  const file = join(folder, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, bytes);
  return { folder, file };
}

/** Reads all clips; the first fault ends it. */
function drain(source: ClipSource): void {
  const fail = (error: DataError): never => {
    throw error;
  };
  try {
    for (const { facts, clip } of source.clips(fail, () => {})) {
      if (!(facts.label >= 0 && facts.label < source.classes.length))
        throw new Error(`label ${facts.label} is no class`);
      if (clip.joints !== source.layout.joints.length || clip.persons > source.layout.persons)
        throw new Error(`${facts.name} is not of the layout ${source.layout.name}`);
      requireWholeClip(clip);
    }
  } finally {
    source.close?.();
  }
}

const triples = (joints: number, t: number): number[][] =>
  Array.from({ length: joints }, (_, v) => [v / 8 + t, 1 - v / 16, 2.5]);

function nwUcla(): FuzzTarget {
  const file = (name: string, label?: number): string =>
    JSON.stringify({ file_name: name, skeletons: [triples(20, 0), triples(20, 1)], label });
  return textTarget([file("a08_s03_e01_v02", 7), file("a01_s01_e00_v03")], (text) =>
    requireWholeClip(parseNwUcla(text, "x.json").clip),
  );
}

function msrAction3d(): FuzzTarget {
  const frames = [0, 1].flatMap((t) => triples(20, t).map(([x, y, z]) => `${x} ${y} ${z} 1`));
  return textTarget([frames.join("\n"), frames.slice(0, 20).join("\r\n")], (text) =>
    requireWholeClip(parseMsrAction3d(text, "x.txt")),
  );
}

function sbu(): FuzzTarget {
  const line = (t: number): string => [t + 1, ...triples(15, t).flat(), ...triples(15, t).flat()].join(",");
  return textTarget([`${line(0)}\n${line(1)}\n`, `${line(0)},\r\n`], (text) =>
    requireWholeClip(parseSbu(text, "x.txt")),
  );
}

function labelTable(): FuzzTarget {
  const seeds = ["file,label\na.csv,wave\n", 'file,label,subject,camera,split\n"a,b.csv","say ""hi""",1,2,train\n'];
  return textTarget(seeds, (text) => {
    for (const [name, row] of readLabelTable(scratchFile("labels.csv", encode(text)).file))
      if (name === "" || row.label === "" || row.subject === 0)
        throw new Error(`read a row that is not whole: ${name}`);
  });
}

function bvh(): FuzzTarget {
  const channels = "CHANNELS 3 Zrotation Xrotation Yrotation";
  const text = `HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Neck
  { OFFSET 0 20 0 ${channels} End Site { OFFSET 0 9 0 } }
  JOINT LeftArm { OFFSET 5 0 0 ${channels} }
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3 90 0 0 0 90 0 1 1 1
1 2 3 80 0 0 0 80 0 1 1 1
`;
  return textTarget([text], (input) => requireWholeClip(parseBvh(input, "x.bvh").clip));
}

function mat(): FuzzTarget {
  const values = Array.from({ length: 120 }, (_, i) => i + 1);
  const variables = [matVariable("d_skel", [20, 3, 2], values)];
  const small = [matVariable("d_skel", [20, 3, 2], values, { small: true })];
  const files = [matFile(variables), matFile(small), matFile(variables, true), matFile([...small, ...variables])];
  // A Buffer's slice is a view, which a mutation would write through.
  const seeds = files.map((file) => Uint8Array.from(file));
  return {
    seeds,
    mutate: (draw, bytes) => mutateBytes(draw, bytes, seeds),
    read: (bytes) => requireWholeClip(parseUtdMhad(bytes, "x.mat")),
  };
}

function ctrGcn(): FuzzTarget {
  const x = (n: number): ReturnType<typeof hostTensor> =>
    hostTensor("f32", [n, 2, 60], new Float32Array(n * 120).fill(1.5));
  const y = (n: number): ReturnType<typeof hostTensor> =>
    hostTensor(
      "f64",
      [n, 2],
      Float64Array.from({ length: 2 * n }, (_, i) => +(i % 2 === 0)),
    );
  const plain = { x_train: x(2), y_train: y(2), x_test: x(1), y_test: y(1) };
  const seeds = [encodeNpz(plain), encodeNpz(plain, { compress: true })];
  const mutateEntry = (draw: Draw, _name: string, content: Uint8Array): Uint8Array =>
    draw.below(2) === 0 ? mutateNpyHeader(draw, content) : mutateBytes(draw, content, seeds);
  return {
    seeds,
    mutate: (draw, bytes) =>
      draw.below(4) === 0 ? mutateBytes(draw, bytes, seeds) : mutateZipEntry(draw, bytes, mutateEntry),
    read: (bytes) => drain(ctrGcnSource(scratchFile("x.npz", bytes).folder)),
  };
}

function pySkl(): FuzzTarget {
  const annotation = (name: string, label: number): object => ({
    frame_dir: name,
    label,
    total_frames: 2,
    keypoint: hostTensor("f32", [1, 2, 20, 3], new Float32Array(120).fill(0.5)),
  });
  const split = { xsub_train: ["a"], xsub_val: ["b"] };
  const seeds = [numpyPickle({ split, annotations: [annotation("a", 0), annotation("b", 1)] } as never)];
  return {
    seeds,
    mutate: (draw, bytes) => (draw.below(4) === 0 ? mutateBytes(draw, bytes, seeds) : mutatePickle(draw, bytes)),
    read: (bytes) => drain(pySklSource(scratchFile("x.pkl", bytes).folder)),
  };
}

function pySkl2d(): FuzzTarget {
  const annotation = (name: string, label: number): object => ({
    frame_dir: name,
    label,
    img_shape: [480, 640],
    keypoint: hostTensor(
      "f32",
      [2, 2, 17, 2],
      Float32Array.from({ length: 136 }, (_, i) => 10 + (i % 34)),
    ),
    keypoint_score: hostTensor("f32", [2, 2, 17], new Float32Array(68).fill(0.9)),
  });
  const split = { xsub_train: ["a"], xsub_val: ["b"] };
  const seeds = [numpyPickle({ split, annotations: [annotation("a", 0), annotation("b", 1)] } as never)];
  return {
    seeds,
    mutate: (draw, bytes) => (draw.below(4) === 0 ? mutateBytes(draw, bytes, seeds) : mutatePickle(draw, bytes)),
    read: (bytes) => drain(pySklSource(scratchFile("x.pkl", bytes).folder)),
  };
}

/** Either file of ST-GCN's form, by its first byte, beside a whole one of the other. */
function stGcn(): FuzzTarget {
  const labels = numpyPickle([
    ["a", "b"],
    [0, 1],
  ] as never);
  const data = encodeNpy(hostTensor("f32", [2, 3, 2, 20, 1], new Float32Array(240).fill(1.5)));
  const counts = encodeNpy(hostTensor("i64", [2], BigInt64Array.of(2n, 1n)));
  const seeds = [labels, data, data];
  const isNpy = (bytes: Uint8Array): boolean => bytes[0] === 0x93;
  return {
    seeds,
    mutate: (draw, bytes) => {
      if (draw.below(4) === 0) return mutateBytes(draw, bytes, seeds);
      return isNpy(bytes) ? mutateNpyHeader(draw, bytes) : mutatePickle(draw, bytes);
    },
    read: (bytes) => {
      scratchFile("train_num_frame.npy", counts, "st-gcn");
      scratchFile("train_data_joint.npy", isNpy(bytes) ? bytes : data, "st-gcn");
      drain(stGcnSource(scratchFile("train_label.pkl", isNpy(bytes) ? labels : bytes, "st-gcn").folder));
    },
  };
}

/** HumanML3D's and MotionBERT's npy. */
function smpl(): FuzzTarget {
  const motion = (joints: number): Uint8Array =>
    encodeNpy(
      hostTensor(
        "f32",
        [2, joints, 3],
        Float32Array.from({ length: 6 * joints }, (_, i) => i / 50),
      ),
    );
  const seeds = [motion(22), motion(17)];
  return {
    seeds,
    mutate: (draw, bytes) => (draw.below(3) === 0 ? mutateBytes(draw, bytes, seeds) : mutateNpyHeader(draw, bytes)),
    read: (bytes) => drain(smplSource(scratchFile("x.npy", bytes, "smpl").folder)),
  };
}

/** The targets by format. */
export const SKELETON_TARGETS = {
  "nw-ucla": nwUcla,
  mat,
  "msr-action3d": msrAction3d,
  sbu,
  labels: labelTable,
  bvh,
  "st-gcn": stGcn,
  smpl,
  "ctr-gcn": ctrGcn,
  pyskl: pySkl,
  "pyskl-2d": pySkl2d,
  ...POSE_TARGETS,
} as const satisfies Record<string, () => FuzzTarget>;
