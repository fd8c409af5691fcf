/**
 * A checkpoint of the published implementation as a run: its sizes are inferred from its tensors, and the folder that
 * is written is one like any other, for evaluation, features, search and reports.
 *
 * The run stands at its step 0 with these weights: resumed, it pretrains from them.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { SkeletonLayout } from "../../data/skeleton/layout.ts";
import type { Stream } from "../../data/skeleton/streams.ts";
import { ClipStore } from "../../data/store/store.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import type { PythonValue } from "../../io/torch/python-values.ts";
import { readTorchCheckpoint, stateDictOf } from "../../io/torch/read.ts";
import type { ModelSizes } from "./infer-sizes.ts";
import { inferSizes } from "./infer-sizes.ts";
import { zeroSums } from "../run/measures.ts";
import { RunFolder } from "../run/folder.ts";
import { modelFor } from "../run/run-model.ts";
import { isRunOf, readRunState, writeRun } from "../run/state.ts";
import type { RunSettings } from "../run/settings.ts";
import { resolveSettings } from "../run/settings.ts";
import { HiCoTrainer } from "../model/trainer.ts";
import { nonFiniteTensor } from "../../train/non-finite.ts";

/** Which checkpoint becomes which run. */
export interface ImportOptions {
  /** The checkpoint, as `torch.save` wrote it. */
  readonly file: string;
  /** The run's folder; it must not hold another run. */
  readonly run: string;
  /** The clip store that the run works on. */
  readonly data: string;
  /** Heads of the Transformer's attention, which no shape tells. Default 4. */
  readonly heads?: number;
  /** What the checkpoint was trained on. Default joint. */
  readonly stream?: Stream;
  /** Protocol of the store. Default its first. */
  readonly protocol?: string;
}

/** What `importCheckpoint` found and wrote. */
export interface ImportReport extends ModelSizes {
  readonly run: string;
  readonly checkpoint: string;
  /** Epochs that the file says it was trained for, if it says so. */
  readonly epoch?: number;
  /** For the Transformer: taken as given, since it cannot be inferred. */
  readonly heads?: number;
  /** Frames that clips are resampled to. */
  readonly frames: number;
  /** Joints × persons. */
  readonly tokens: number;
  readonly layout: string;
}

/** Batches are at most this, and divide the queue as the published bookkeeping needs. */
const BATCH = 64;

/**
 * Makes a run of a checkpoint that the published PyTorch implementation saved. Where the folder holds just this run
 * already, it stays, and the report is the same: a job that is started again may import again.
 *
 * @throws Error naming what is missing, left over, or fits no model; nothing is written then
 */
export async function importCheckpoint(options: ImportOptions): Promise<ImportReport> {
  const { file, run, data } = options;
  const folder = new RunFolder(run);
  const begun = folder.exists;
  if (begun && folder.pretraining()?.imported !== file) throw holdsAnother(run);
  const value = readTorchCheckpoint(file);
  const state = withoutModulePrefix(stateDictOf(value, "state_dict", file));
  const sizes = inferSizes(state, file);
  const [frames, tokens] = [wholeThird(sizes.spatialInput, "s", file), wholeThird(sizes.temporalInput, "t", file)];
  const layout = layoutOf(data);
  if (layout.persons * layout.joints.length !== tokens) {
    throw new Error(
      `${file} takes ${tokens} joints a frame (persons × joints); ${data} has ${layout.persons} × ` +
        `${layout.joints.length} of layout "${layout.name}". Prepare the data in the layout it was trained on (--map, --persons)`,
    );
  }
  const settings = resolveSettings({
    from: file,
    given: { ...settingsOf(sizes, options), ...trainedWith(value), frames },
  });
  const { lr, momentum, weightDecay } = settings;
  const trainer = new HiCoTrainer(modelFor(settings, layout), { lr, momentum, weightDecay });
  trainer.model.loadStateDict(state, {
    strict: true,
    name: `a HiCo of encoder "${sizes.encoder}" and width ${sizes.hidden}`,
  });
  const tensors = await readRunState(trainer);
  const spoilt = nonFiniteTensor(tensors);
  if (spoilt) throw new Error(`${file}: "${spoilt.name}" holds ${spoilt.value}`);

  const epoch = epochOf(value);
  const checkpoint = folder.checkpointPath(0);
  const progress = { step: 0, sums: zeroSums() };
  if (begun) {
    // A job that is started again after its end finds its own work, and says so.
    const own = folder.checkpoints().length === 1 && folder.settings().data === resolve(data);
    if (!own || !existsSync(checkpoint) || !isRunOf(checkpoint, tensors, progress, settings)) throw holdsAnother(run);
  } else {
    folder.create();
    writeRun(checkpoint, tensors, progress, settings);
    folder.writePretraining({ imported: file, epoch });
    // The settings make the folder a run: an import that is killed before them leaves none, and may be repeated.
    folder.writeSettings(settings);
  }
  const heads = sizes.encoder === "transformer" ? settings.heads : undefined;
  return { run, checkpoint, epoch, ...sizes, heads, frames, tokens, layout: layout.name };
}

function holdsAnother(run: string): Error {
  return new Error(`${run} already holds a run; name another folder`);
}

/** The names as they are without the wrapper for several GPUs (torch.nn.DataParallel), where all have its prefix. */
function withoutModulePrefix(state: Map<string, HostTensor>): Map<string, HostTensor> {
  const prefix = "module.";
  if (state.size === 0 || ![...state.keys()].every((name) => name.startsWith(prefix))) return state;
  return new Map([...state].map(([name, value]) => [name.slice(prefix.length), value]));
}

/** Inputs are coordinates: three for every joint, or for every frame. */
function wholeThird(width: number, domain: "t" | "s", file: string): number {
  if (width % 3 === 0) return width / 3;
  throw new Error(`${file}: "${domain}_embedding.0.weight" takes ${width} numbers, no multiple of the 3 coordinates`);
}

function layoutOf(path: string): SkeletonLayout {
  const store = ClipStore.open(path);
  store.close();
  return store.header.layout;
}

function settingsOf(sizes: ModelSizes, options: ImportOptions): Partial<RunSettings> {
  const { encoder, hidden, layers, granularity, projection, queue } = sizes;
  const { data, heads, stream, protocol } = options;
  let batch = Math.min(BATCH, queue);
  while (queue % batch !== 0) batch--;
  return {
    ...{ data, heads, stream, protocol, encoder, hidden, layers, granularity, projection, queue, batch },
    variant: "released",
  };
}

/** The optimizer's settings, where the file has them. */
function trainedWith(value: PythonValue): Partial<RunSettings> {
  const groups = field(field(value, "optimizer"), "param_groups");
  const group = Array.isArray(groups) ? (groups[0] as unknown) : undefined;
  const number = (name: string): number | undefined => {
    const found = field(group, name);
    return typeof found === "number" ? found : undefined;
  };
  return { lr: number("lr"), momentum: number("momentum"), weightDecay: number("weight_decay") };
}

function epochOf(value: PythonValue): number | undefined {
  const epoch = field(value, "epoch");
  return typeof epoch === "number" ? epoch : undefined;
}

function field(value: unknown, name: string): unknown {
  return value instanceof Map ? (value as ReadonlyMap<unknown, unknown>).get(name) : undefined;
}
