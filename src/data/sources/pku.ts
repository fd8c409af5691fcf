/**
 * PKU-MMD as a source: long recordings and the label files that cut them into clips.
 *
 * The data set is handed out as folders of skeleton text files, label files of the same names, and lists of the
 * recordings that train and test.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { DataError } from "../errors.ts";
import { NTU25 } from "../skeleton/layout.ts";
import {
  type PkuAction,
  cutPkuRecording,
  parsePkuLabels,
  parsePkuName,
  parsePkuSkeleton,
  PKU_CLASS_NAMES,
} from "../formats/pku-mmd.ts";
import { parseSplitList } from "../store/protocol.ts";
import { cut } from "./own/recordings.ts";
import type { ClipSource, Remark } from "./source.ts";
import type { Windows } from "./windows.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "./source.ts";
import { readText, stem } from "../formats/text.ts";

/** How a folder of PKU-MMD is read. */
export interface PkuSourceOptions {
  /** The folder of label files, which cut recordings into actions. Default: recordings whole, without labels. */
  readonly labels?: string;
  /** Cuts recordings without labels into windows. */
  readonly windows?: Windows;
  /** The list of recordings that train and test, e.g. `cross_subject_v2.txt`. */
  readonly splitList?: string;
}

const VIEWS = { L: 1, M: 2, R: 3 } as const;

/** A folder of PKU-MMD recordings as a source of clips: cut into actions by label files, or without any whole. */
export function pkuSource(folder: string, options: PkuSourceOptions): ClipSource {
  requireFolder(folder);
  const { labels: labelled, windows } = options;
  if (labelled !== undefined) requireFolder(labelled);
  if (labelled !== undefined && windows)
    throw new Error("pku-mmd: --labels cuts recordings into actions, --window into windows; give one of them");
  const files = someFilesBelow(folder, ".txt", "PKU-MMD comes as one text file a recording");
  const { splitList } = options;
  const protocols =
    splitList === undefined
      ? []
      : [
          parseSplitList(
            readText(splitList),
            splitList,
            `pku-mmd-${stem(splitList, ".txt").replace(/[^a-z0-9]+/gi, "-")}`,
          ),
        ];
  return {
    layout: NTU25,
    classes: labelled === undefined ? [] : PKU_CLASS_NAMES,
    protocols,
    inputs: files.length,
    longest: windows?.length,
    remarks: [...folderRemarks(folder, ".txt"), ...(labelled === undefined ? unlabelled(files) : [])],
    *clips(onBad, onInput) {
      for (const file of files) {
        const recording = orBad(onBad, () => {
          const name = parsePkuName(file);
          return { name, actions: actionsOf(file, labelled), clip: parsePkuSkeleton(readText(file), file) };
        });
        if (recording) {
          const {
            name: { name, subject, view },
            actions,
            clip,
          } = recording;
          const facts = { subject, camera: VIEWS[view] };
          if (!actions) yield* cut({ facts: { ...facts, name, label: -1 }, clip }, windows);
          else
            for (const action of cutPkuRecording(clip, actions, name, onBad))
              yield { facts: { ...facts, name: action.name, label: action.label }, clip: action.clip };
        }
        onInput();
      }
    },
  };
}

function actionsOf(file: string, folder: string | undefined): PkuAction[] | undefined {
  if (folder === undefined) return undefined;
  const labels = join(folder, basename(file));
  if (!existsSync(labels)) throw new DataError(file, "label", `there is no label file ${labels}`);
  return parsePkuLabels(readText(labels), labels);
}

const unlabelled = (files: readonly string[]): Remark[] => [
  {
    what: "recordings without labels, which are learned from and not evaluated; --labels FOLDER cuts them into actions",
    names: files.map((file) => basename(file)),
    harmless: true,
  },
];
