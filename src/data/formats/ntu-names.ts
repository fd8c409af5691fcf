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

/** The 120 actions of NTU RGB+D 120, whose first 60 are those of NTU RGB+D 60, in the order of their numbers. */
const NTU_ACTIONS: readonly string[] = [
  ...["drink water", "eat meal", "brush teeth", "brush hair", "drop", "pick up"],
  ...["throw", "sit down", "stand up", "clapping", "reading", "writing"],
  ...["tear up paper", "put on jacket", "take off jacket", "put on a shoe", "take off a shoe", "put on glasses"],
  ...["take off glasses", "put on a hat", "take off a hat", "cheer up", "hand waving", "kicking something"],
  ...["reach into pocket", "hopping", "jump up", "phone call", "play with phone", "type on a keyboard"],
  ...["point to something", "taking a selfie", "check time", "rub two hands", "nod head", "shake head"],
  ...["wipe face", "salute", "put palms together", "cross hands in front", "sneeze or cough", "staggering"],
  ...["falling down", "headache", "chest pain", "back pain", "neck pain", "nausea"],
  ...["fan self", "punch or slap", "kicking", "pushing", "pat on back", "point finger"],
  ...["hugging", "giving object", "touch pocket", "shaking hands", "walking towards", "walking apart"],
  ...[
    "put on headphone",
    "take off headphone",
    "shoot at basket",
    "bounce ball",
    "tennis bat swing",
    "juggle table tennis ball",
  ],
  ...["hush", "flick hair", "thumb up", "thumb down", "make OK sign", "make victory sign"],
  ...["staple book", "counting money", "cutting nails", "cutting paper", "snap fingers", "open bottle"],
  ...["sniff", "squat down", "toss a coin", "fold paper", "ball up paper", "play magic cube"],
  ...[
    "apply cream on face",
    "apply cream on hand",
    "put on bag",
    "take off bag",
    "put object into bag",
    "take object out of bag",
  ],
  ...["open a box", "move heavy objects", "shake fist", "throw up cap", "capitulate", "cross arms"],
  ...["arm circles", "arm swings", "run on the spot", "butt kicks", "cross toe touch", "side kick"],
  ...["yawn", "stretch oneself", "blow nose", "hit with object", "wield knife", "knock over"],
  ...["grab stuff", "shoot with gun", "step on foot", "high-five", "cheers and drink", "carry object"],
  ...["take a photo", "follow", "whisper", "exchange things", "support somebody", "rock-paper-scissors"],
];

/** The classes of NTU RGB+D, the first 60 `actions` or all 120: number and name, "A001 drink water". */
export function ntuClasses(actions: 60 | 120): string[] {
  return NTU_ACTIONS.slice(0, actions).map((name, i) => `A${String(i + 1).padStart(3, "0")} ${name}`);
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
 * The names in the text of a list of samples to leave out: one a line, with or without `.skeleton`; other lines (the
 * published list has a heading) are passed over. `file` names it in errors. @throws DataError `format` where there is
 * not one name.
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
