/** NTU RGB+D as a source: a folder of `.skeleton` files, one clip each, with the published protocols. */
import type { Protocol } from "../store/protocol.ts";
import { PROTOCOLS } from "../store/protocol.ts";
import { MAX_FRAMES } from "../skeleton/clip.ts";
import { NTU25 } from "../skeleton/layout.ts";
import type { Tracking } from "../formats/ntu-skeleton.ts";
import { ntuClip, parseNtuSkeleton } from "../formats/ntu-skeleton.ts";
import { ntuClasses, parseMissingList, parseNtuName } from "../formats/ntu-names.ts";
import type { ClipSource } from "./source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "./source.ts";
import { readText, stem } from "../formats/text.ts";

/** How a folder of NTU RGB+D is read. */
export interface NtuSourceOptions {
  /** The published list of samples whose skeletons are missing or wrong. */
  readonly missing?: string;
  /** What one person is over time. Default "person"; "slot" is what the published numbers were computed with. */
  readonly tracking?: Tracking;
}

/** The `.skeleton` files of NTU RGB+D in `folder`. `actions` is 60 or 120: the first or both parts of the data set. */
export function ntuSource(folder: string, actions: 60 | 120, options: NtuSourceOptions = {}): ClipSource {
  requireFolder(folder);
  const missing =
    options.missing === undefined ? new Set<string>() : parseMissingList(readText(options.missing), options.missing);
  const files = someFilesBelow(folder, ".skeleton", "NTU RGB+D comes as one .skeleton file a clip");
  const protocols: Protocol[] = PROTOCOLS.filter((protocol) => protocol.name.startsWith(`ntu${actions}-`));
  let leftOut = 0;
  return {
    layout: NTU25,
    classes: ntuClasses(actions),
    protocols,
    inputs: files.length,
    remarks: folderRemarks(folder, ".skeleton"),
    publishedFrames: MAX_FRAMES,
    keepsEmptyFrames: true,
    get leftOut() {
      return leftOut;
    },
    *clips(onBad, onInput) {
      for (const file of files) {
        if (missing.has(stem(file, ".skeleton"))) leftOut++;
        else {
          const read = orBad(onBad, () => {
            const { name, action, subject, camera, setup } = parseNtuName(file, actions);
            const recording = parseNtuSkeleton(readText(file), file);
            const clip = ntuClip(recording, file, { tracking: options.tracking ?? "person" });
            return { facts: { name, label: action - 1, subject, camera, setup }, clip };
          });
          if (read) yield read;
        }
        onInput();
      }
    },
  };
}
