/** The commands of a run: an ordinary `hico pretrain`, which goes on where it stopped, and `hico eval` after it. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { ClipStore } from "../data/store/store.ts";
import { RunFolder } from "../hico/run/folder.ts";
import type { GivenSettings } from "../hico/run/settings.ts";
import { differingSettings, flagOf } from "../hico/run/settings.ts";
import type { EvaluationKind } from "./evaluation-plan.ts";
import { EVALUATION_KINDS, evaluationFlags, evaluationOf } from "./evaluation-plan.ts";
import type { Grid, SweepRun } from "./grid.ts";
import { textOf } from "./grid.ts";

export interface RunStage {
  readonly kind: "pretrain" | EvaluationKind;
  /** Of `hico`. */
  readonly args: readonly string[];
  /** Whether there is nothing left to do. */
  readonly done: boolean;
}

export interface CommandOptions {
  /** The sweep's folder. */
  readonly folder: string;
  /** Options that every command gets: a device, a number of threads. */
  readonly common?: readonly string[];
  /** Settings where the grid gives none; only such as change no result. */
  readonly defaults?: GivenSettings;
}

export function runFolder(folder: string, run: SweepRun): RunFolder {
  return new RunFolder(join(folder, "runs", run.name));
}

/** The stages of a run, in order. @throws Error where its folder holds a run of other settings. */
export function stagesOf(
  grid: Grid,
  run: SweepRun,
  { folder, common = [], defaults = {} }: CommandOptions,
): RunStage[] {
  const place = runFolder(folder, run);
  const pretrained = isPretrained(place, run);
  const options = Object.entries({ ...defaults, ...run.given }).map(
    ([name, value]) => `--${flagOf(name)}=${textOf(value)}`,
  );
  const preset = grid.preset === undefined ? [] : [`--preset=${grid.preset}`];
  return [
    {
      kind: "pretrain",
      args: ["pretrain", `--run=${place.path}`, "--resume", "--no-fit", ...preset, ...options, ...common],
      done: pretrained,
    },
    ...EVALUATION_KINDS.filter((kind) => grid.evaluation[kind] !== undefined).map(
      (kind): RunStage => ({
        kind,
        args: ["eval", kind, place.path, ...evaluationFlags(kind, grid.evaluation), ...common],
        done: pretrained && evaluationOf(place, kind, grid.evaluation) !== undefined,
      }),
    ),
  ];
}

/** Whether pretraining has ended. @throws Error where the folder holds a run of other settings, or of other clips. */
export function isPretrained(folder: RunFolder, run: SweepRun): boolean {
  if (!folder.exists) return false;
  const differing = differingSettings(folder.settings(), run.settings);
  if (differing.length > 0) {
    throw new Error(
      `${folder.path} was begun with other settings: ${differing.join(", ")}; name another folder for this grid (--folder), or remove that run`,
    );
  }
  requireSameClips(folder, run.settings.data);
  return folder.pretraining()?.finished === true && folder.checkpoints().length > 0;
}

type StoreMark = Pick<ClipStore, "path" | "checksum" | "length">;
const marks = new Map<string, StoreMark>();

/**
 * A store of the same name may have been made again, of other clips, and what a run came to on the former ones is no result
 * on them. Where there is no store any more, what was computed still counts.
 */
function requireSameClips(folder: RunFolder, data: string | undefined): void {
  const file = data === undefined ? undefined : statSync(data, { throwIfNoEntry: false });
  if (data === undefined || !file?.isFile()) return;
  // All runs of a grid ask, and the index of a large store takes a while to read.
  const key = `${data} ${file.ino} ${file.mtimeMs} ${file.size}`;
  const mark = marks.get(key) ?? markOf(data);
  marks.set(key, mark);
  folder.requireStore(mark);
}

function markOf(path: string): StoreMark {
  const store = ClipStore.open(path);
  const { checksum, length } = store;
  store.close();
  return { path, checksum, length };
}

/** A line for a shell. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`)).join(" ");
}
