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
  cutPkuRecording,
  parsePkuLabels,
  parsePkuName,
  parsePkuSkeleton,
  PKU_CLASS_NAMES,
} from "../formats/pku-mmd.ts";
import { parseSplitList } from "../store/protocol.ts";
import type { ClipSource } from "./source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "./source.ts";
import { readText, stem } from "../formats/text.ts";

/** How a folder of PKU-MMD is read. */
export interface PkuSourceOptions {
  /** The folder of label files. */
  readonly labels: string;
  /** The list of recordings that train and test, e.g. `cross_subject_v2.txt`. */
  readonly splitList?: string;
}

const VIEWS = { L: 1, M: 2, R: 3 } as const;

/** A folder of PKU-MMD recordings, cut into actions by their label files, as a source of clips. */
export function pkuSource(folder: string, options: PkuSourceOptions): ClipSource {
  requireFolder(folder);
  requireFolder(options.labels);
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
    classes: PKU_CLASS_NAMES,
    protocols,
    inputs: files.length,
    remarks: folderRemarks(folder, ".txt"),
    *clips(onBad, onInput) {
      for (const file of files) {
        const recording = orBad(onBad, () => {
          const name = parsePkuName(file);
          const labels = join(options.labels, basename(file));
          if (!existsSync(labels)) throw new DataError(file, "label", `there is no label file ${labels}`);
          return {
            name,
            actions: parsePkuLabels(readText(labels), labels),
            clip: parsePkuSkeleton(readText(file), file),
          };
        });
        if (recording) {
          const {
            name: { name, subject, view },
            actions,
            clip,
          } = recording;
          for (const cut of cutPkuRecording(clip, actions, name, onBad)) {
            yield { facts: { name: cut.name, label: cut.label, subject, camera: VIEWS[view] }, clip: cut.clip };
          }
        }
        onInput();
      }
    },
  };
}
