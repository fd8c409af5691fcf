/**
 * NTU RGB+D sample names: SsssCcccPpppRrrrAaaa is setup, camera, performer (subject), replication, action.
 *
 * Shahroudy et al. (CVPR 2016) for setups 1-17 and actions 1-60, Liu et al. (TPAMI 2019) for the rest of 32 and 120.
 * The data set's authors publish a list of samples whose skeletons are missing or wrong; it is an input file.
 */
import { DataError } from "../errors.ts";
import { stem } from "./text.ts";

/** What the name of an NTU RGB+D sample says: setup, camera, performer, repetition, action. */
export interface NtuSample {
  /** SsssCcccPpppRrrrAaaa. */
  readonly name: string;
  readonly setup: number;
  readonly camera: number;
  readonly subject: number;
  readonly replication: number;
  /** 1-based, as in the name; the label is `action - 1`. */
  readonly action: number;
}

const NAME = /^S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})$/;

/** The sample a path names. `actions` is 60 or 120. @throws DataError `label`. */
export function parseNtuName(path: string, actions: 60 | 120 = 120): NtuSample {
  const name = stem(path, ".skeleton");
  const match = NAME.exec(name);
  if (!match) {
    throw new DataError(path, "label", `the name is not of the form SsssCcccPpppRrrrAaaa.skeleton`);
  }
  const [setup, camera, subject, replication, action] = match.slice(1).map(Number);
  const limits: [string, number, number][] = [
    ["setup", setup, actions === 60 ? 17 : 32],
    ["camera", camera, 3],
    ["performer", subject, actions === 60 ? 40 : 106],
    ["replication", replication, 2],
    ["action", action, actions],
  ];
  for (const [what, value, most] of limits) {
    if (value < 1 || value > most) {
      throw new DataError(path, "label", `${what} ${value} is outside 1..${most} of NTU RGB+D ${actions}`);
    }
  }
  return { name, setup, camera, subject, replication, action };
}

/**
 * The names in a list of samples to leave out: one a line, with or without `.skeleton`; other lines (the published
 * list has a heading) are passed over. @throws DataError `format` where there is not one name.
 */
export function parseMissingList(text: string, file: string): Set<string> {
  const names = new Set<string>();
  for (const line of text.split(/\r?\n/)) {
    const name = stem(line.trim(), ".skeleton");
    if (NAME.test(name)) names.add(name);
  }
  if (names.size === 0) throw new DataError(file, "format", "no line is a sample name SsssCcccPpppRrrrAaaa");
  return names;
}
