/** What every evaluation of a run begins with: what was judged, on what, and where. */
import { defaultDevice } from "../../tensor/backend.ts";
import { protocolOf } from "../run/clips.ts";
import type { Origin } from "./clip-table.ts";
import { featureOrigin } from "./kept.ts";
import type { OpenedRun } from "../run/open-run.ts";
import { heldOut, seenInPretraining } from "../run/open-run.ts";

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
  readonly seconds: number;
  /** All that the results follow from: checkpoint, store, protocol and inputs by their contents. */
  readonly origin: Origin;
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
    seconds: (performance.now() - start) / 1000,
    origin: featureOrigin(opened),
  };
}
