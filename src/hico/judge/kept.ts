/**
 * What evaluations keep of a run beside their results: features of its clips, which do not change, and scores of test
 * clips, which ensembles fuse. Everything kept says which checkpoint, store and protocol it is of.
 */
import type { Split } from "../../data/store/protocol.ts";
import type { Origin } from "./clip-table.ts";
import { readClipTable, tableOf, writeClipTable } from "./clip-table.ts";
import { labelledClips, protocolOf } from "../run/clips.ts";
import type { FeatureTable } from "./features.ts";
import { encodeClips } from "./features.ts";
import type { ProbeSettings } from "./linear-probe.ts";
import type { OpenedRun } from "../run/open-run.ts";
import { hex } from "../run/folder.ts";
import { fingerprint, heldOut } from "../run/open-run.ts";

/** Features of more bytes than this are not kept: 4,096 numbers of 40,000 clips are computed in less time than read. */
const KEPT_BYTES = 128e6;

/** Of what evaluations compute: raised when the same inputs come to give other numbers. */
const KEPT_VERSION = 1;

/** The name of a result: under another protocol than the run's, or on another store, it says which. */
export function resultName(kind: string, { store, settings, ownProtocol, ownStore }: OpenedRun): string {
  const protocol = ownProtocol ? "" : `-${protocolOf(store, settings) ?? "all"}`;
  return `${kind}${protocol}${ownStore ? "" : `-${hex(store.checksum)}`}`;
}

/** What features of a run on a store follow from. */
export function featureOrigin({ checkpoint, store, settings, inputs }: OpenedRun): Origin {
  const { stream, augmentation, skeleton } = inputs;
  return {
    checkpoint: fingerprint(checkpoint),
    store: store.checksum,
    protocol: protocolOf(store, settings) ?? "",
    ...heldOut(settings),
    stream,
    frames: augmentation?.size,
    persons: skeleton?.persons,
    version: KEPT_VERSION,
  };
}

/** What scores of a linear classifier follow from. */
export function linearOrigin(opened: OpenedRun, probe: ProbeSettings): Origin {
  return { ...featureOrigin(opened), probe };
}

/** Whose features are kept: the run's, or those of its network before the first step. */
type Encoded = "pretrained" | "random";

/**
 * Features of the labelled clips of a split: those that were kept, or what the opened run's model makes of them, kept
 * where they are small. That model has the weights of `whose`.
 */
export async function keptFeatures(
  opened: OpenedRun,
  split: Split,
  onProgress?: (done: number, total: number) => void,
  whose: Encoded = "pretrained",
): Promise<FeatureTable> {
  const found = featuresFound(opened, split, whose);
  if (found) return found;
  const { folder, store, settings, model, inputs } = opened;
  folder.requireWritable();
  const clips = labelledClips(store, split, settings);
  const table = await encodeClips(model, store, clips, { inputs, onProgress });
  if (table.data.byteLength <= KEPT_BYTES)
    writeClipTable(pathOf(opened, split, whose), tableOf(store, table, table.data), featureOrigin(opened));
  return table;
}

/** The features that `keptFeatures` kept; undefined where there are none of this checkpoint, store and protocol. */
export function featuresFound(
  opened: OpenedRun,
  split: Split,
  whose: Encoded = "pretrained",
): FeatureTable | undefined {
  const kept = readClipTable(pathOf(opened, split, whose), featureOrigin(opened));
  if (!kept) return undefined;
  const clips = labelledClips(opened.store, split, opened.settings);
  return { data: kept.data, rows: clips.length, width: kept.width, labels: kept.labels, clips };
}

function pathOf(opened: OpenedRun, split: Split, whose: Encoded): string {
  const kind = whose === "random" ? `features-random-${split}` : `features-${split}`;
  return opened.folder.evaluationPath(`${resultName(kind, opened)}.npz`);
}
