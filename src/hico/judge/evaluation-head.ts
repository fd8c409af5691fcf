/** What every evaluation of a run begins with: what was judged, on what, and where. */
import type { ClipStore } from "../../data/store/store.ts";
import { defaultDevice } from "../../tensor/backend.ts";
import { protocolOf } from "../run/clips.ts";
import type { Origin } from "./clip-table.ts";
import { featureOrigin } from "./kept.ts";
import type { OpenedRun } from "../run/open-run.ts";
import { heldOut, seenInPretraining } from "../run/open-run.ts";

/** What was judged, on what, and where. */
export interface EvaluationHead {
  readonly run: string;
  readonly checkpoint: string;
  readonly data: string;
  readonly protocol: string;
  readonly device: string;
  readonly classes: readonly string[];
  readonly trainClips: number;
  readonly testClips: number;
  /** Test clips that the run was pretrained on, without their labels: 0 where the protocol is the run's. */
  readonly seenInPretraining: number;
  /** Classes that have test clips and no training clip: their clips cannot be answered right. */
  readonly untrained: readonly string[];
  readonly seconds: number;
  /** All that the results follow from: checkpoint, store, protocol and inputs by their contents. */
  readonly origin: Origin;
}

function untrainedClasses(store: ClipStore, train: readonly number[], test: readonly number[]): string[] {
  const trained = new Set(train.map((i) => store.label(i)));
  const tested = new Set(test.map((i) => store.label(i)));
  return store.header.classes.filter((_, label) => tested.has(label) && !trained.has(label));
}

/** @param start when the evaluation began, as `performance.now()` tells it */
export async function evaluationHead(
  opened: OpenedRun,
  { train, test }: { readonly train: readonly number[]; readonly test: readonly number[] },
  start: number,
): Promise<EvaluationHead> {
  const { folder, store, settings, checkpoint } = opened;
  return {
    run: folder.path,
    checkpoint,
    data: store.path,
    protocol: protocolOf(store, settings) ?? "",
    ...heldOut(settings),
    device: (await defaultDevice()).name,
    classes: store.header.classes,
    trainClips: train.length,
    testClips: test.length,
    seenInPretraining: seenInPretraining(opened, test),
    untrained: untrainedClasses(store, train, test),
    seconds: (performance.now() - start) / 1000,
    origin: featureOrigin(opened),
  };
}
