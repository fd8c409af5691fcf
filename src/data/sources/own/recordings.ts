/**
 * Recordings of anybody's own as a source: one file a clip, or cut into windows, labelled by a table or by folders.
 */
import { sliceFrames, type Clip } from "../../skeleton/clip.ts";
import type { SkeletonLayout } from "../../skeleton/layout.ts";
import type { Protocol } from "../../store/protocol.ts";
import type { ClipSource, SourceClip } from "../source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "../source.ts";
import { recordingOf, windowsAt, windowsOf, type Windows, type WindowsAtRate } from "../windows.ts";
import { labelFiles, withoutTable } from "./labelling.ts";

/** What a user says of recordings. */
export interface RecordingOptions {
  /** The table of labels. */
  readonly labels?: string;
  readonly protocols?: readonly Protocol[];
  /** Cuts every recording into windows. Default: a recording is a clip. */
  readonly windows?: WindowsAtRate;
}

/** A form that recordings have. */
interface Recordings extends RecordingOptions {
  readonly extension: string;
  readonly layout: SkeletonLayout;
  /** Files that are a recording, by name. Default: all of the extension. */
  readonly isRecording?: (file: string) => boolean;
  readonly normalization?: ClipSource["normalization"];
  readonly up?: "y" | "z";
  /** Frames a second that the first recording says it has; windows in seconds go by it. Default 30. */
  readonly rate?: number;
  /** One recording. @throws DataError */
  readonly read: (file: string) => Clip;
}

/** @throws DataError where the folder holds no recording, or the table is wrong */
export function recordingsSource(folder: string, form: Recordings): ClipSource {
  requireFolder(folder);
  const all = withoutTable(someFilesBelow(folder, form.extension, "there is one file a clip"), form.labels);
  const files = form.isRecording ? all.filter(form.isRecording) : all;
  const windows = windowsAt(form.windows, form.rate);
  const labelled = labelFiles(folder, files, form.labels, windows ? recordingOf : (name) => name);
  return {
    layout: form.layout,
    classes: labelled.classes,
    protocols: [...(form.protocols ?? []), ...labelled.protocols],
    inputs: files.length,
    longest: windows?.length,
    normalization: form.normalization,
    up: form.up,
    remarks: [...folderRemarks(folder, form.extension), ...labelled.remarks],
    *clips(onBad, onInput) {
      for (const file of files) {
        const read = orBad(onBad, () => ({ facts: labelled.factsOf(file), clip: form.read(file) }));
        if (read) yield* cut(read, windows);
        onInput();
      }
    },
  };
}

/** The windows of a recording, or all of it. */
export function* cut({ facts, clip }: SourceClip, windows: Windows | undefined): Generator<SourceClip> {
  if (!windows) return yield { facts, clip };
  for (const [start, end] of windowsOf(clip.frames, windows)) {
    yield { facts: { ...facts, name: `${facts.name}@${start}` }, clip: sliceFrames(clip, start, end) };
  }
}
