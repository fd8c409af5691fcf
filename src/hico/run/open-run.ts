/**
 * A run opened for use: its model, the store and protocol that it is used on, and the form that clips take for it.
 *
 * The store may be another than the run's. Its clips are then brought to the skeleton that the run was pretrained on:
 * joints by a built-in map, persons by leaving some out or adding absent ones, which are zeros.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { InputSettings } from "../../data/batches/inputs.ts";
import { normalizationWords } from "../../data/skeleton/upright.ts";
import { layoutMap } from "../../data/skeleton/built-in-maps.ts";
import type { SkeletonLayout } from "../../data/skeleton/layout.ts";
import { ClipStore } from "../../data/store/store.ts";
import { loadModel } from "../model/checkpoint.ts";
import { clipsOf } from "./clips.ts";
import type { HiCo } from "../model/model.ts";
import { RunFolder } from "./folder.ts";
import { modelFor } from "./run-model.ts";
import { loadRunModel } from "./state.ts";
import { DamagedCheckpointError } from "../../train/checkpoint/checksum.ts";
import type { RunSettings } from "./settings.ts";
import { inputSettings } from "./settings.ts";

/** Which run is opened, at which checkpoint, on which data. */
export interface OpenOptions {
  /** The run's folder. */
  readonly run: string;
  /** "last" (default), "best", or the path of a checkpoint, ours or the published implementation's `.pth.tar`. */
  readonly checkpoint?: string;
  /** Another store than the run's. */
  readonly data?: string;
  /** Another protocol than the run's. */
  readonly protocol?: string;
}

/** A run opened for evaluation; close its store afterwards. */
export interface OpenedRun {
  readonly folder: RunFolder;
  /** The run's, with the data, protocol and held-out clips that it is used on. */
  readonly settings: RunSettings;
  readonly store: ClipStore;
  readonly model: HiCo;
  /** What the model's inputs are of. */
  readonly skeleton: SkeletonLayout;
  readonly inputs: InputSettings;
  readonly checkpoint: string;
  /** Names of the clips that the run was pretrained on. */
  readonly pretrainedOn: ReadonlySet<string>;
  /** Whether protocol and what is held out are those of the run, on whatever copy of its store. */
  readonly ownProtocol: boolean;
  /** Whether the store is the run's, wherever it lies. */
  readonly ownStore: boolean;
}

/**
 * Opens a store and loads the run's model. @throws Error where a checkpoint does not fit the settings, or the store's
 * clips cannot become inputs of the model.
 */
export function openRun({ run, checkpoint, data, protocol }: OpenOptions): OpenedRun {
  const folder = new RunFolder(run);
  const own = folder.settings();
  const path = folder.checkpoint(checkpoint);
  if (data === undefined) folder.requireData(own.data);
  const store = ClipStore.open(data ?? own.data);
  // A run may have been copied without its store; the given one then stands for it.
  const elsewhere = data !== undefined && existsSync(own.data);
  const origin = elsewhere ? ClipStore.open(own.data) : store;
  try {
    if (data === undefined || elsewhere) folder.requireStore(origin);
    const ownStore = (folder.store()?.checksum ?? origin.checksum) === store.checksum;
    const skeleton = origin.header.layout;
    const settings = settingsFor(store, origin, own, { data, protocol });
    requireForm(store, origin);
    const model = modelFor(settings, skeleton);
    if (path.endsWith(".safetensors")) loadWhole(folder, path, model);
    else loadModel(model, path);
    const inputs = { ...inputSettings(settings), skeleton };
    const ownProtocol =
      protocolName(store, settings.protocol) === protocolName(origin, own.protocol) &&
      JSON.stringify(heldOut(settings)) === JSON.stringify(heldOut(own));
    const pretrainedOn = new Set(namesOfTraining(origin, own));
    return { folder, settings, store, model, skeleton, inputs, checkpoint: path, pretrainedOn, ownProtocol, ownStore };
  } catch (error) {
    store.close();
    throw error;
  } finally {
    if (elsewhere) origin.close();
  }
}

/** @throws Error where the checkpoint is damaged, naming the one before it. */
function loadWhole(folder: RunFolder, path: string, model: HiCo): void {
  try {
    loadRunModel(path, model);
  } catch (error) {
    if (!(error instanceof DamagedCheckpointError)) throw error;
    const all = folder.checkpoints();
    const before = all[all.findIndex((one) => one.path === path) + 1];
    const wayOut = before ? `; the one before it is ${before.path}; name it with --checkpoint` : "";
    throw new Error(error.message + wayOut, { cause: error });
  }
}

/** Of these clips, how many a run was pretrained on (without their labels), by name. */
export function seenInPretraining(
  { store, pretrainedOn }: Pick<OpenedRun, "store" | "pretrainedOn">,
  clips: readonly number[],
): number {
  return clips.filter((i) => pretrainedOn.has(store.facts(i).name)).length;
}

/** What tells one checkpoint from another wherever it lies: a digest of its bytes. */
export function fingerprint(checkpoint: string): string {
  return createHash("sha256").update(readFileSync(checkpoint)).digest("hex").slice(0, 32);
}

/**
 * Protocol and held-out subjects are the run's own where the store knows them: another copy of a data set is used as
 * the run's. In a store of another data set its first protocol counts.
 */
function settingsFor(
  store: ClipStore,
  origin: ClipStore,
  own: RunSettings,
  { data, protocol }: Pick<OpenOptions, "data" | "protocol">,
): RunSettings {
  const settings = { ...own, data: data ?? own.data };
  const whole = { holdOut: [], holdOutCameras: [] };
  if (protocol !== undefined) return { ...settings, protocol, ...whole };
  const name = protocolName(origin, own.protocol);
  const known = store.header.protocols.some((p) => p.name === name);
  if (store !== origin && !known) return { ...settings, protocol: "", ...whole };
  return { ...settings, protocol: known ? name : "" };
}

/** What is held out of a protocol's training clips. */
export function heldOut({ holdOut, holdOutCameras }: RunSettings): object {
  return { holdOut, holdOutCameras };
}

function protocolName(store: ClipStore, protocol: string): string {
  return protocol || (store.header.protocols[0]?.name ?? "");
}

function requireForm(store: ClipStore, origin: ClipStore): void {
  if (store === origin) return;
  const [{ layout }, target] = [store.header, origin.header];
  const [form, wanted] = [store.header, target].map(({ normalization, normalizedPer }) =>
    normalizationWords(normalization, normalizedPer),
  );
  if (form !== wanted) {
    throw new Error(`${store.path} is ${form} and the run's store ${wanted}; prepare it the same way (--normalize)`);
  }
  try {
    layoutMap(layout, target.layout);
  } catch (cause) {
    throw new Error(
      `${store.path} has skeletons of layout "${layout.name}", the run was pretrained on "${target.layout.name}", ` +
        `and there is no built-in map between them; prepare it again with hico data prepare --map FILE`,
      { cause },
    );
  }
}

/** A store given in place of one that is gone need not have the run's protocol; nothing is known then. */
function namesOfTraining(origin: ClipStore, own: RunSettings): string[] {
  const { protocols } = origin.header;
  if (own.protocol !== "" && !protocols.some(({ name }) => name === own.protocol)) return [];
  return clipsOf(origin, "train", own).map((i) => origin.facts(i).name);
}
