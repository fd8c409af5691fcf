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

/** Features of the clips of a split: those that were kept, or computed, and kept where they are small. */
export async function keptFeatures(
  opened: OpenedRun,
  split: Split,
  onProgress?: (done: number, total: number) => void,
): Promise<FeatureTable> {
  const { folder, store, settings, model, inputs } = opened;
  const clips = labelledClips(store, split, settings);
  const path = folder.evaluationPath(`${resultName(`features-${split}`, opened)}.npz`);
  const origin = featureOrigin(opened);
  const kept = readClipTable(path, origin);
  if (kept) return { data: kept.data, rows: clips.length, width: kept.width, labels: kept.labels, clips };
  folder.requireWritable();
  const table = await encodeClips(model, store, clips, { inputs, onProgress });
  if (table.data.byteLength <= KEPT_BYTES) writeClipTable(path, tableOf(store, table, table.data), origin);
  return table;
}
