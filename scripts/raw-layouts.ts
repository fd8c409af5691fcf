/**
 * Generated actions as files in the real layouts of NTU RGB+D 120 and PKU-MMD: names, line ends, columns, label files and
 * lists as the data sets are handed out, so that preparing them is what preparing the real ones is.
 *
 * Formats: headers of src/data/formats/ntu-skeleton.ts and src/data/formats/pku-mmd.ts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clip } from "../src/data/skeleton/clip.ts";
import { isPresent } from "../src/data/skeleton/clip.ts";
import type { GeneratedClip } from "../src/data/synthetic/generator.ts";
import { generateClip } from "../src/data/synthetic/generator.ts";
import { PKU_CLASSES } from "../src/data/formats/pku-mmd.ts";
import { SYNTHETIC_ACTIONS } from "../src/data/synthetic/actions.ts";

const NTU_ACTIONS = 120;
const NTU_SUBJECTS = 106;
/** Frames a second of both sensors. */
const RATE = 30;
/** Labelled actions of a recording of PKU-MMD: about 20 (Liu et al., arXiv 1703.07475). */
const PKU_ACTIONS_A_RECORDING = 20;
/** Frames between two actions. */
const PKU_PAUSE = 20;

const number = (value: number, width: number): string => String(value).padStart(width, "0");

/** Clip `i` of an endless set: an action of one's own, whatever the class is called. */
function clipOf(i: number, actions: number, subjects: number): GeneratedClip & { readonly action: number } {
  const action = i % actions;
  const [subject, repetition] = [(Math.floor(i / actions) % subjects) + 1, Math.floor(i / (actions * subjects)) + 1];
  const shown = SYNTHETIC_ACTIONS[action % SYNTHETIC_ACTIONS.length];
  return { ...generateClip(shown, action, subject, repetition, { rate: RATE, seed: action }), action };
}

/** Writes one `.skeleton` file a clip, `SsssCcccPpppRrrrAaaa.skeleton`. @returns their paths. At most 12,720 clips. */
export function writeNtu120(folder: string, clips: number): string[] {
  if (clips > NTU_ACTIONS * NTU_SUBJECTS)
    throw new Error(`${clips} clips; names are made for ${NTU_ACTIONS * NTU_SUBJECTS}`);
  mkdirSync(folder, { recursive: true });
  return Array.from({ length: clips }, (_, i) => {
    const { clip, facts, action } = clipOf(i, NTU_ACTIONS, NTU_SUBJECTS);
    const name = `S${number((i % 32) + 1, 3)}C${number(facts.camera!, 3)}P${number(facts.subject!, 3)}R001A${number(action + 1, 3)}`;
    const path = join(folder, `${name}.skeleton`);
    writeFileSync(path, skeletonText(clip, i));
    return path;
  });
}

/** Frames, bodies, and per joint twelve columns: place, projections to depth and colour pictures, orientation, state. */
function skeletonText(clip: Clip, serial: number): string {
  const lines = [String(clip.frames)];
  for (let t = 0; t < clip.frames; t++) {
    const present = Array.from({ length: clip.persons }, (_, m) => m).filter((m) => isPresent(clip, t, m));
    lines.push(String(present.length));
    for (const m of present) {
      lines.push(
        `${72057594037900000n + BigInt(2 * serial + m)} 0 1 1 1 1 0 0.02764709 0.05745083 2`,
        String(clip.joints),
      );
      for (let v = 0; v < clip.joints; v++) {
        const at = ((t * clip.persons + m) * clip.joints + v) * 3;
        const [x, y, z] = clip.data.subarray(at, at + 3);
        const seen = [256 + (366 * x) / z, 212 - (366 * y) / z, 960 + (1060 * x) / z, 540 - (1060 * y) / z];
        lines.push(
          `${[x, y, z, ...seen].map((value) => value.toPrecision(7)).join(" ")} -0.2059419 0.05349901 0.9692109 -0.1239193 2`,
        );
      }
    }
  }
  return `${lines.join("\r\n")}\r\n`;
}

/** Where the files of PKU-MMD lie. */
export interface PkuFiles {
  /** Skeleton files, `AnnNnn-V.txt`. */
  readonly recordings: readonly string[];
  readonly labels: string;
  readonly splitList: string;
}

/** Writes recordings of 20 actions each, their label files and the list of those that train and test. */
export function writePkuMmd(folder: string, clips: number): PkuFiles {
  const [skeletons, labels, splitList] = [
    join(folder, "skeleton"),
    join(folder, "label"),
    join(folder, "cross_subject_v2.txt"),
  ];
  for (const path of [skeletons, labels]) mkdirSync(path, { recursive: true });
  const recordings: string[] = [];
  for (let from = 0; from < clips; from += PKU_ACTIONS_A_RECORDING) {
    const n = recordings.length;
    const name = `A${number((Math.floor(n / 3) % 26) + 1, 2)}N${number((Math.floor(n / 78) % 13) + 1, 2)}-${"LMR"[n % 3]}`;
    const rows: string[] = [];
    const labelled: string[] = [];
    for (let i = from; i < Math.min(clips, from + PKU_ACTIONS_A_RECORDING); i++) {
      const { clip, action } = clipOf(i, PKU_CLASSES, NTU_SUBJECTS);
      labelled.push(`${action + 1},${rows.length},${rows.length + clip.frames},2`);
      const frame = (t: number): string =>
        [...clip.data.subarray(t * 150, (t + 1) * 150)].map((value) => value.toFixed(6)).join(" ");
      for (let t = 0; t < clip.frames; t++) rows.push(frame(t));
      for (let t = 0; t < PKU_PAUSE; t++) rows.push(rows[rows.length - 1]);
    }
    recordings.push(join(skeletons, `${name}.txt`));
    // As in the real files, lines after the first begin with a blank.
    writeFileSync(recordings[n], `${rows.join("\n ")}\n`);
    writeFileSync(join(labels, `${name}.txt`), `${labelled.join("\n")}\n`);
  }
  const names = recordings.map((path) => path.slice(skeletons.length + 1, -".txt".length));
  const [train, test] = [names.filter((_, i) => i % 4 !== 3), names.filter((_, i) => i % 4 === 3)];
  writeFileSync(splitList, `Training videos:\n${train.join(", ")}, \n\nValidation videos:\n${test.join(", ")}, \n`);
  return { recordings, labels, splitList };
}
