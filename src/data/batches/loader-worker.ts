/** The thread of a loader: opens the store, and answers a batch's number with the batch. */
import { parentPort, workerData } from "node:worker_threads";
import { DataError } from "../errors.ts";
import { BatchMaker } from "./inputs.ts";
import type { LoaderReply, LoaderRequest, LoaderSetup } from "./loader.ts";
import { buffersOf } from "./loader.ts";
import { ClipStore } from "../store/store.ts";

const { store, plan } = workerData as LoaderSetup;
const port = parentPort!;
const maker = new BatchMaker(ClipStore.open(store), plan);

port.on("message", ({ number, spare }: LoaderRequest) => {
  try {
    const batch = maker.make(number, spare);
    port.postMessage({ number, batch } satisfies LoaderReply, buffersOf(batch));
  } catch (error) {
    const data =
      error instanceof DataError ? { file: error.file, reason: error.reason, detail: error.detail } : undefined;
    port.postMessage({ number, error: { message: (error as Error).message, data } } satisfies LoaderReply);
  }
});
