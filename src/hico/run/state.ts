/**
 * Everything a run needs to go on as if never interrupted, in one safetensors file.
 *
 * Tensors: `model/*` (both networks, queues and pointers) and `optimizer/*` (momentum buffers). Metadata: how many
 * steps are done, the sums of the epoch under way, the best epoch, the settings that decide what is computed, and a
 * checksum over all of it: a file that has changed is known by it. Order and augmentation of the clips and dropout follow from the seed and the step and need no state.
 */
import type { BytesOrPath } from "../../io/byte-source.ts";
import { FormatError } from "../../io/format-error.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import type { SafetensorsContents } from "../../io/safetensors.ts";
import { readSafetensors, writeSafetensors } from "../../io/safetensors.ts";
import { readState } from "../../nn/state.ts";
import { checksumOf, DamagedCheckpointError } from "../../train/checkpoint/checksum.ts";
import { hicoState } from "../model/checkpoint.ts";
import type { HiCo } from "../model/model.ts";
import type { HiCoTrainer } from "../model/trainer.ts";
import type { RunSettings } from "./settings.ts";
import { decidingSettings } from "./settings.ts";

/** Where a run is. All numbers survive JSON exactly. */
export interface RunProgress {
  /** Steps done. */
  readonly step: number;
  /** Sums over the steps of the epoch under way: loss, five parts, accuracy. */
  readonly sums: readonly number[];
  /** Mean loss of the best epoch that was saved, and the step it ended with. */
  readonly best?: { readonly loss: number; readonly step: number };
}

const FORMAT = "hico-run-1";
const MODEL = "model/";
const OPTIMIZER = "optimizer/";

/** The tensors of a run, on the host. */
export async function readRunState(trainer: HiCoTrainer): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const [name, value] of await hicoState(trainer.model)) tensors.set(MODEL + name, value);
  for (const [name, value] of await readState(trainer.optimizer.stateDict())) tensors.set(OPTIMIZER + name, value);
  return tensors;
}

/** What a checkpoint's file says beside its tensors. */
function metadataOf(
  tensors: ReadonlyMap<string, HostTensor>,
  progress: RunProgress,
  settings: RunSettings,
): Record<string, string> {
  const metadata = {
    format: FORMAT,
    progress: JSON.stringify(progress),
    settings: JSON.stringify(decidingSettings(settings)),
  };
  return { ...metadata, checksum: checksumOf(tensors, Object.entries(metadata)) };
}

/**
 * Writes the state to `path`: the `tensors` by their names, how far the run is and its settings; the file appears whole
 * or not at all.
 */
export function writeRun(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  progress: RunProgress,
  settings: RunSettings,
): void {
  writeSafetensors(path, tensors, metadataOf(tensors, progress, settings));
}

/** Whether `path` is the checkpoint that {@link writeRun} would write. @throws DamagedCheckpointError */
export function isRunOf(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  progress: RunProgress,
  settings: RunSettings,
): boolean {
  return readRun(path).metadata.get("checksum") === metadataOf(tensors, progress, settings).checksum;
}

/**
 * Takes everything back from the checkpoint at `path`. @returns where the run was. @throws Error naming the file and
 * what does not fit.
 */
export function loadRun(path: string, trainer: HiCoTrainer): RunProgress {
  const contents = readRun(path);
  const progress = JSON.parse(contents.metadata.get("progress") ?? "null") as RunProgress | null;
  if (!progress) throw new Error(`${path}: it does not say where the run was`);
  trainer.model.loadStateDict(part(contents, MODEL), { name: `the model of ${path}` });
  const { optimizer } = trainer;
  const state = new Map<number, Map<string, HostTensor>>();
  for (const [name, value] of part(contents, OPTIMIZER)) {
    const match = /^state\.(\d+)\.(\w+)$/.exec(name);
    if (!match) throw new Error(`${path}: the optimizer has no "${name}"`);
    const index = Number(match[1]);
    state.set(index, (state.get(index) ?? new Map<string, HostTensor>()).set(match[2], value));
  }
  optimizer.loadTorchState(
    new Map<string, unknown>([
      ["state", state],
      ["param_groups", [new Map([["params", optimizer.parameters.map((_, i) => i)]])]],
    ]),
  );
  return progress;
}

/**
 * Takes the model alone from the checkpoint at `path`, strictly: another encoder or size is an error that lists what
 * does not fit.
 */
export function loadRunModel(path: string, model: HiCo): void {
  model.loadStateDict(readRunModel(path), { strict: true, name: `the model of ${path}` });
}

/** The model's tensors by their names in it. @throws Error where the file is no checkpoint of a run. */
export function readRunModel(path: string): Map<string, HostTensor> {
  return part(readRun(path), MODEL);
}

/**
 * A checkpoint's tensors and metadata, held against its checksum.
 * @throws DamagedCheckpointError; Error where the file is no checkpoint of a run
 */
export function readRun(input: BytesOrPath, path = String(input)): SafetensorsContents {
  let contents: SafetensorsContents;
  try {
    contents = readSafetensors(input, path);
  } catch (cause) {
    if (cause instanceof FormatError) throw new DamagedCheckpointError(path, cause.fault, { cause });
    throw cause;
  }
  const { tensors, metadata } = contents;
  if (metadata.get("format") === FORMAT) {
    // Checkpoints of earlier versions have none.
    const checksum = metadata.get("checksum");
    if (checksum === undefined || checksum === checksumOf(tensors, metadata)) return contents;
    throw new DamagedCheckpointError(path, "its checksum does not match");
  }
  throw new Error(
    `${path} is no checkpoint of a run: its metadata has no format "${FORMAT}"; name one of a run's checkpoints/, or what hico export wrote as .pth`,
  );
}

function part({ tensors }: SafetensorsContents, prefix: string): Map<string, HostTensor> {
  return new Map(
    [...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]),
  );
}
