/** A thread that generates clips: answers the number of a piece with its clips. */
import { workerData } from "node:worker_threads";
import { answerAll } from "../threads.ts";
import type { PiecesSetup } from "./on-threads.ts";
import { pieceOf } from "./on-threads.ts";
import type { GeneratedClip } from "./generator.ts";

const setup = workerData as PiecesSetup;

answerAll<readonly GeneratedClip[]>((number) => {
  const clips = pieceOf(setup, number);
  return [clips, clips.map(({ clip }) => clip.data.buffer as ArrayBuffer)];
});
