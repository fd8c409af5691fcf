/**
 * A run's checkpoint in forms that other programs read: the published implementation's own (`pth`), the query network
 * alone with what is to know of it (`safetensors`), and the query encoder as a graph that any ONNX runtime runs (`onnx`).
 */
import { statSync } from "node:fs";
import { basename, posix, resolve, sep } from "node:path";
import { pathWithin } from "../../io/path-within.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import { writeOnnx } from "../../io/protobuf/onnx.ts";
import { writeSafetensors } from "../../io/safetensors.ts";
import { readTorchCheckpoint, stateDictOf } from "../../io/torch/read.ts";
import { hicoState, saveCheckpoint } from "../model/checkpoint.ts";
import type { ModelSizes } from "./infer-sizes.ts";
import { inferSizes } from "./infer-sizes.ts";
import type { HiCo } from "../model/model.ts";
import { encoderGraph } from "./onnx-graph.ts";
import { RunFolder } from "../run/folder.ts";
import { modelOfInputs } from "../run/run-model.ts";
import { loadRun, readRunModel } from "../run/state.ts";
import type { RunSettings } from "../run/settings.ts";
import { decidingSettings } from "../run/settings.ts";
import { HiCoTrainer } from "../model/trainer.ts";

/** Formats that a run is exported to. */
export const EXPORT_FORMATS = ["safetensors", "pth", "onnx"] as const;
/** A format that a run is exported to, see `EXPORT_FORMATS`. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** What of a run is exported, and to where. */
export interface ExportOptions {
  readonly run: string;
  /** The file to write. */
  readonly out: string;
  /** Default: what the ending of `out` says. */
  readonly format?: ExportFormat;
  /** "last" (default), "best", or the path of a checkpoint, ours or the published implementation's. */
  readonly checkpoint?: string;
}

/** What `exportRun` wrote. */
export interface ExportReport {
  readonly out: string;
  readonly format: ExportFormat;
  readonly bytes: number;
  readonly checkpoint: string;
  readonly encoder: string;
  /** Of features: 2·G·d. */
  readonly width: number;
  /** Tokens × features of a clip in both views. */
  readonly temporal: readonly [number, number];
  readonly spatial: readonly [number, number];
}

/** Version of what is written as safetensors. */
const FORMAT = "hico-query-network-1";
const QUERY = "encoder_q.";

/** Writes `out`; it appears whole or not at all. The run's store is not needed. */
export async function exportRun(options: ExportOptions): Promise<ExportReport> {
  const { run, out, format = formatOf(out) } = options;
  const folder = new RunFolder(run);
  const settings = folder.settings();
  const checkpoint = folder.checkpoint(options.checkpoint);
  const ours = checkpoint.endsWith(".safetensors");
  const given = ours
    ? readRunModel(checkpoint)
    : stateDictOf(readTorchCheckpoint(checkpoint), "state_dict", checkpoint);
  const sizes = inferSizes(given, checkpoint);
  const { lr, momentum, weightDecay } = settings;
  const trainer = new HiCoTrainer(modelOfInputs(settings, sizes), { lr, momentum, weightDecay });
  const { model } = trainer;
  let epoch = epochsOf(folder, 0);
  if (ours) epoch = epochsOf(folder, loadRun(checkpoint, trainer).step);
  else model.loadStateDict(given, { strict: true, name: `the run ${run}` });

  const temporal = [sizes.spatialInput / 3, sizes.temporalInput] as const;
  const spatial = [sizes.temporalInput / 3, sizes.spatialInput] as const;
  const metadata = metadataOf(settings, sizes, nameOf(checkpoint, run));
  if (format === "pth") await saveCheckpoint(out, trainer, epoch);
  else {
    const state = await queryState(model);
    if (format === "safetensors") writeSafetensors(out, state, { format: FORMAT, ...metadata });
    else
      writeOnnx(out, encoderGraph({ state, config: model.config, frames: temporal[0], tokens: spatial[0], metadata }));
  }
  const width = 2 * sizes.granularity * sizes.hidden;
  return { out, format, bytes: statSync(out).size, checkpoint, encoder: settings.encoder, width, temporal, spatial };
}

function formatOf(out: string): ExportFormat {
  if (out.endsWith(".onnx")) return "onnx";
  if (out.endsWith(".safetensors")) return "safetensors";
  if (/\.(pth|pt)(\.tar)?$/.test(out)) return "pth";
  throw new Error(`export: the ending of ${out} names no format; use .safetensors, .pth or .onnx, or say --format`);
}

/** The query network's tensors by their names in it. */
async function queryState(model: HiCo): Promise<Map<string, HostTensor>> {
  return new Map(
    [...(await hicoState(model))]
      .filter(([name]) => name.startsWith(QUERY))
      .map(([name, value]) => [name.slice(QUERY.length), value]),
  );
}

/** A checkpoint's name in its run, from the run's folder on: where that lies on this machine is nobody else's business. */
function nameOf(checkpoint: string, run: string): string {
  const within = pathWithin(run, checkpoint);
  return within === undefined ? basename(checkpoint) : posix.join(basename(resolve(run)), ...within.split(sep));
}

/** What it takes to make the inputs and the network again. */
function metadataOf(settings: RunSettings, sizes: ModelSizes, checkpoint: string): Record<string, string> {
  const { temporalInput, spatialInput } = sizes;
  return {
    checkpoint,
    inputs: JSON.stringify({ temporalInput, spatialInput }),
    settings: JSON.stringify(decidingSettings(settings)),
  };
}

/** Whole epochs that the run had done at a step: from its metrics, or what an imported checkpoint said. */
function epochsOf(folder: RunFolder, step: number): number {
  const imported = folder.pretraining()?.epoch;
  const done = folder.metrics().filter((line) => line.kind === "epoch" && line.step <= step);
  return Math.max(typeof imported === "number" ? imported : 0, ...done.map(({ epoch }) => epoch));
}
