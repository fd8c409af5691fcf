/** `hico data prepare`: raw input of any known form to one clip store. */
import { closeSync, existsSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, relative, sep } from "node:path";
import { prepareStore } from "../../data/sources/prepare.ts";
import { requireKind } from "../../data/sources/detect.ts";
import { KIND_TITLES, SOURCE_KINDS } from "../../data/sources/kind-names.ts";
import type { SourceKind } from "../../data/sources/kind-names.ts";
import { openSourceOf } from "../../data/sources/kinds.ts";
import type { Normalization } from "../../data/skeleton/upright.ts";
import { NORMALIZATIONS, NORMALIZED_PER } from "../../data/skeleton/upright.ts";
import { MAGIC } from "../../data/store/format.ts";
import { defineHicoCommand } from "../command.ts";
import { choiceOption, FORCE_ARG, JSON_ARG, listOption, requireNew, wholeOption } from "../options.ts";
import { formatPrepareReport } from "./prepare-report.ts";
import { interruption } from "../process-life.ts";
import { bar, ProgressLine } from "../progress.ts";

/** The exit code where a store was written without some of the clips. */
const SKIPPED = 3;

/** What is read is not written over, by force neither: of the recordings there may be no copy. */
function requireNoRecording(store: string, source: string): void {
  if (!statSync(store, { throwIfNoEntry: false })?.isFile() || !existsSync(source)) return;
  const within = relative(realpathSync(source), realpathSync(store));
  if (within === ".." || within.startsWith(`..${sep}`) || isAbsolute(within)) return;
  const start = Buffer.alloc(MAGIC.length);
  const file = openSync(store, "r");
  readSync(file, start);
  closeSync(file);
  if (start.toString("latin1") === MAGIC) return;
  throw new Error(
    `${store} is one of the files of ${source} and no clip store: it is not written over; name another file`,
  );
}

export default defineHicoCommand({
  examples: [
    "hico data prepare NW-UCLA/all_sqe nw-ucla.clips",
    "hico data prepare nw-ucla ../shared/data/nw_ucla nw-ucla.clips",
    "hico data prepare ntu60 nturgb+d_skeletons ntu60.clips --missing NTU_RGBD_samples_with_missing_skeletons.txt",
    "hico data prepare pku-mmd PKU_Skeleton pku.clips --labels Train_Label_PKU_final --split-list cross_subject_v2.txt",
    "hico data prepare npy my-folder my.clips --layout coco17.json --map coco17-to-ntu25.json",
    "hico data prepare csv recordings my.clips --spec columns.json --labels labels.csv",
    "hico data prepare csv recordings my.clips --labels labels.csv --window 4s --hop 1s",
    "hico data prepare csv recordings my.clips --labels labels.csv --folds subject    leave one subject out",
  ],
  args: {
    kind: {
      type: "positional",
      description: `Left out: seen from the folder. One of ${SOURCE_KINDS.join(", ")}`,
      required: false,
    },
    source: { type: "positional", description: "Folder of the raw input", required: false },
    store: { type: "positional", description: "The clip store to write", required: false },
    layout: { type: "string", description: "npy: the skeleton, a built-in name or a JSON file (ntu25)" },
    map: {
      type: "string",
      description: "ntu25 (or another layout there is a map to), a JSON map to NTU's 25 joints, or none",
    },
    missing: { type: "string", description: "ntu: the published list of samples to leave out" },
    labels: {
      type: "string",
      description: "pku-mmd: folder of label files; recordings: table file,label[,subject,camera,split]",
    },
    units: {
      type: "string",
      description: "csv, npy, smpl, prepared files: m, cm or mm (by the size of bodies)",
    },
    "split-list": { type: "string", description: "pku-mmd: the list of recordings that train and test" },
    spec: { type: "string", description: "csv: how columns are read, as JSON (raw Kinect v2)" },
    "test-subjects": { type: "string", description: "Subjects that test; the others train" },
    window: { type: "string", description: "Recordings: cut into windows of so many frames (90) or seconds (3s)" },
    hop: { type: "string", description: "From one window to the next, likewise (half a window)" },
    folds: {
      type: "string",
      description:
        "Own folds: subject (leave one out), subject:5 (groups), or a file: JSON of lists, or a table file,fold",
    },
    persons: { type: "string", description: "Persons kept, those that move most" },
    "max-frames": { type: "string", description: "Frames kept of a clip (all; ntu: the published 300)" },
    normalize: {
      type: "string",
      description:
        "none, centre, yaw (turned about the upright axis), upright (levelled as well) or full (NTU's form); by the data set",
    },
    "normalize-per": { type: "string", description: "centre, yaw, upright: over the clip or in every frame" },
    up: { type: "string", description: "The sensor's upright axis, y or z (y)" },
    "on-bad": { type: "string", description: "What to do with a clip that cannot be used: skip (default) or fail" },
    "on-same": {
      type: "string",
      description: "What to do with a clip that is the same recording as one before: keep (default) or skip",
    },
    strict: {
      type: "boolean",
      description: "Refuse what is otherwise left out, skipped or taken otherwise, and named",
    },
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const { kind, folder, store } = named(args.kind, args.source, args.store);
    requireNew(store, args.force);
    requireNoRecording(store, folder);
    const { source, map } = openSourceOf(kind, folder, {
      layout: args.layout,
      map: args.map,
      missing: args.missing,
      labels: args.labels,
      splitList: args["split-list"],
      spec: args.spec,
      units: choiceOption("units", args.units, ["m", "cm", "mm"]),
      window: args.window,
      hop: args.hop,
      testSubjects: listOption("test-subjects", args["test-subjects"]),
    });
    const stop = interruption();
    const line = new ProgressLine();
    try {
      const report = await prepareStore(source, store, {
        map,
        normalize: normalizeOption(args.normalize),
        normalizePer: choiceOption("normalize-per", args["normalize-per"], NORMALIZED_PER),
        up: choiceOption("up", args.up, ["y", "z"]),
        signal: stop.signal,
        persons: wholeOption("persons", args.persons),
        maxFrames: wholeOption("max-frames", args["max-frames"]),
        onBad: choiceOption("on-bad", args["on-bad"], ["skip", "fail"]),
        onSame: choiceOption("on-same", args["on-same"], ["keep", "skip"]),
        strict: args.strict,
        folds: args.folds,
        notes: { kind, source: folder },
        onProgress: ({ done, total, clips, bad }) =>
          line.update(() => `${bar(done / total)} ${done}/${total}  ${clips} clips, ${bad} bad`),
      });
      line.clear();
      if (report.bad.length > 0) process.exitCode = SKIPPED;
      console.log(args.json ? JSON.stringify(report, null, 2) : formatPrepareReport(report));
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      console.error("hico: interrupted; nothing was written");
      process.exitCode = stop.code();
    } finally {
      line.clear();
      stop.done();
    }
  },
});

/** A normalisation's name; `--no-normalize` gives false and means none. */
function normalizeOption(value: unknown): Normalization | boolean | undefined {
  if (typeof value === "boolean") return value;
  return choiceOption("normalize", value as string | undefined, NORMALIZATIONS);
}

/** `KIND FOLDER OUT` as given, or `FOLDER OUT` with the kind that the folder shows; says which, on stderr. */
function named(first?: string, second?: string, third?: string): { kind: SourceKind; folder: string; store: string } {
  const usage = "hico data prepare [KIND] FOLDER STORE";
  if (first === undefined)
    throw new Error(`FOLDER is missing, the raw input, and STORE, the clip store to write: ${usage}`);
  const isKind = (SOURCE_KINDS as readonly string[]).includes(first) && !existsSync(first);
  if (second === undefined)
    throw new Error(`${isKind ? "FOLDER and STORE are" : "STORE, the clip store to write, is"} missing: ${usage}`);
  if (third !== undefined) return { kind: choiceOption("kind", first, SOURCE_KINDS)!, folder: second, store: third };
  if (isKind) {
    throw new Error(
      `prepare ${first} ${second}: the store to write is not named; hico data prepare ${first} FOLDER STORE`,
    );
  }
  const { kind, why } = requireKind(first);
  console.error(`${first}: read as ${kind} (${KIND_TITLES[kind]}), because ${why}`);
  return { kind, folder: first, store: second };
}
