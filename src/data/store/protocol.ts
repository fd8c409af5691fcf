/**
 * Published evaluation protocols: which samples train and which test.
 *
 * NTU RGB+D 60 (Shahroudy et al., CVPR 2016), NTU RGB+D 120 (Liu et al., TPAMI 2019), NW-UCLA (Wang et al., CVPR
 * 2014: two cameras train, the third tests), UTD-MHAD (Chen et al., ICIP 2015: odd subjects train), SBU Kinect
 * Interaction (Yun et al., CVPRW 2012: 5 folds over the 21 pairs of actors), PKU-MMD (arXiv 1703.07475: lists of
 * recordings that come with the data set).
 */
import { DataError } from "../errors.ts";

/** The two sides of a protocol. */
export type Split = "train" | "test";

/** What a protocol may decide by. All counted from 1, as the data sets do. */
export interface SampleFacts {
  readonly name: string;
  readonly subject?: number;
  readonly camera?: number;
  readonly setup?: number;
}

/** A rule by which clips train or test. */
export interface Protocol {
  readonly name: string;
  /** One line for a user: the rule. */
  readonly rule: string;
  /** Made by the user for these clips, so that a side without any is a mistake. Default: a published protocol. */
  readonly own?: boolean;
  /** Subjects that the rule names one by one; one that no clip is of is likely a slip. */
  readonly subjects?: readonly number[];
  /** @throws DataError `label` where the sample lacks what the rule needs or is outside the data set. */
  readonly split: (sample: SampleFacts) => Split;
}

/** The 20 subjects of NTU RGB+D 60 that train in the protocol cross-subject. */
export const NTU60_TRAIN_SUBJECTS: readonly number[] = [
  1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,
];

/** The 53 subjects of NTU RGB+D 120 that train in the protocol cross-subject. */
export const NTU120_TRAIN_SUBJECTS: readonly number[] = [
  ...NTU60_TRAIN_SUBJECTS,
  45,
  46,
  47,
  49,
  50,
  52,
  53,
  54,
  55,
  56,
  57,
  58,
  59,
  70,
  74,
  78,
  80,
  81,
  82,
  83,
  84,
  85,
  86,
  89,
  91,
  92,
  93,
  94,
  95,
  97,
  98,
  100,
  103,
];

/** Per fold the pairs of actors it holds out, by the names of their folders. */
export const SBU_FOLDS: readonly (readonly string[])[] = [
  ["s01s02", "s03s04", "s05s02", "s06s04"],
  ["s02s03", "s02s07", "s03s05", "s05s03"],
  ["s01s03", "s01s07", "s07s01", "s07s03"],
  ["s02s01", "s02s06", "s03s02", "s03s06"],
  ["s04s02", "s04s03", "s04s06", "s06s02", "s06s03"],
];

/**
 * A protocol that decides by one fact, an integer from 1 to `most`: `trains` says of a value whether its clips are
 * trained on.
 *
 * @param name what the protocol is called, such as ntu60-xsub.
 * @param rule what it does, in words for people.
 */
export function factProtocol(
  name: string,
  rule: string,
  fact: "subject" | "camera" | "setup",
  most: number,
  trains: (value: number) => boolean,
): Protocol {
  return {
    name,
    rule,
    split: (sample) => {
      const value = sample[fact];
      if (value === undefined || !Number.isInteger(value) || value < 1 || value > most) {
        throw new DataError(sample.name, "label", `protocol ${name} needs a ${fact} from 1 to ${most}, got ${value}`);
      }
      return trains(value) ? "train" : "test";
    },
  };
}

function inList(list: readonly number[]): (value: number) => boolean {
  const set = new Set(list);
  return (value) => set.has(value);
}

/** Folds as the data set's users share them: fold 1..5 tests, the other four train. */
function sbuFold(fold: number): Protocol {
  const name = `sbu-fold${fold}`;
  return {
    name,
    rule: `tests the actor pairs ${SBU_FOLDS[fold - 1].join(", ")}, trains on the other folds`,
    split: (sample) => {
      const pair = sample.name.split("/")[0];
      const found = SBU_FOLDS.findIndex((pairs) => pairs.includes(pair)) + 1;
      if (found === 0) {
        throw new DataError(sample.name, "label", `protocol ${name}: actor pair "${pair}" is in none of the 5 folds`);
      }
      return found === fold ? "test" : "train";
    },
  };
}

/** The published protocols that come with the package. */
export const PROTOCOLS: readonly Protocol[] = [
  factProtocol("ntu60-xsub", "20 of 40 subjects train", "subject", 40, inList(NTU60_TRAIN_SUBJECTS)),
  factProtocol("ntu60-xview", "cameras 2 and 3 train, camera 1 tests", "camera", 3, (camera) => camera !== 1),
  factProtocol("ntu120-xsub", "53 of 106 subjects train", "subject", 106, inList(NTU120_TRAIN_SUBJECTS)),
  factProtocol("ntu120-xset", "even setups train, odd setups test", "setup", 32, (setup) => setup % 2 === 0),
  factProtocol("nw-ucla-xview", "cameras 1 and 2 train, camera 3 tests", "camera", 3, (camera) => camera !== 3),
  factProtocol("utd-mhad-xsub", "odd subjects train, even subjects test", "subject", 8, (subject) => subject % 2 === 1),
  ...[1, 2, 3, 4, 5].map(sbuFold),
];

/** A published protocol by name. PKU-MMD's come from a list file: `parseSplitList`. */
export function protocolNamed(name: string): Protocol {
  const found = PROTOCOLS.find((protocol) => protocol.name === name);
  if (!found) throw new Error(`no protocol "${name}"; there are ${PROTOCOLS.map((p) => p.name).join(", ")}`);
  return found;
}

/**
 * The text of one of PKU-MMD's split files (`cross_subject.txt`, `cross_view.txt`, and their `_v2`) as a protocol of
 * this `name`: a heading, the training recordings separated by commas, a heading, the validation recordings. A clip
 * belongs where its recording does: the part of its name before `_`. `file` names the text in errors.
 */
export function parseSplitList(text: string, file: string, name = "pku-mmd-xsub"): Protocol {
  const lists: string[][] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === "") continue;
    const heading = /^[^,:]*:/.exec(line)?.[0];
    if (heading !== undefined) lists.push([]);
    if (lists.length === 0) throw new DataError(file, "format", `starts without a heading such as "Training videos:"`);
    const names = heading === undefined ? line : line.slice(heading.length);
    lists[lists.length - 1].push(
      ...names
        .split(",")
        .map((word) => word.trim())
        .filter((word) => word !== ""),
    );
  }
  if (lists.length !== 2 || lists[0].length === 0 || lists[1].length === 0) {
    throw new DataError(file, "format", `should hold two headed lists (training, validation), holds ${lists.length}`);
  }
  const splits = new Map<string, Split>();
  for (const recording of lists[0]) splits.set(recording, "train");
  for (const recording of lists[1]) {
    if (splits.has(recording)) throw new DataError(file, "label", `${recording} is in both lists`);
    splits.set(recording, "test");
  }
  return {
    name,
    own: true,
    rule: `the lists of ${file}: ${lists[0].length} recordings train, ${lists[1].length} test`,
    split: (sample) => {
      const recording = sample.name.split("_")[0];
      const split = splits.get(recording);
      if (!split) throw new DataError(sample.name, "label", `recording ${recording} is in neither list of ${file}`);
      return split;
    },
  };
}
