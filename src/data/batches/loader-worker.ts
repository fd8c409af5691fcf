/** The thread of a loader: opens the store, and answers a batch's number with the batch. */
import { workerData } from "node:worker_threads";
import { ClipStore } from "../store/store.ts";
import { answerAll } from "../threads.ts";
import type { InputBatch } from "./inputs.ts";
import { BatchMaker } from "./inputs.ts";
import type { LoaderSetup } from "./loader.ts";
import { buffersOf } from "./loader.ts";

const { store, plan } = workerData as LoaderSetup;
const maker = new BatchMaker(ClipStore.open(store), plan);

answerAll<InputBatch>((number, spare) => {
  const batch = maker.make(number, spare);
  return [batch, buffersOf(batch)];
});
