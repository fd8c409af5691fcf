/** Generation on threads: a clip follows from its number, so any thread may make it. */
import { Threads } from "../threads.ts";
import type { GeneratedClip, GeneratorOptions } from "./generator.ts";
import { generateClips, generatedCount } from "./generator.ts";

/** Which clips make up the pieces. */
export interface PiecesSetup {
  readonly options: GeneratorOptions;
  readonly count: number;
}

/** Clips that a thread makes at a time: a tenth of a second of work, two megabytes. */
const PIECE = 32;

/** The clips of piece `number`. */
export function pieceOf({ options, count }: PiecesSetup, number: number): GeneratedClip[] {
  return [...generateClips(options, number * PIECE, Math.min(count, (number + 1) * PIECE))];
}

/** All clips of the set, in the order and with the values of `generateClips`. Ending the loop over them ends the threads. */
export async function* generateOnThreads(options: GeneratorOptions, threads: number): AsyncGenerator<GeneratedClip> {
  const count = generatedCount(options);
  const setup: PiecesSetup = { options, count };
  const program = new URL("./generator-worker.js", import.meta.url);
  const pieces = Math.ceil(count / PIECE);
  const made = new Threads<readonly GeneratedClip[]>({
    program,
    setup,
    from: 0,
    until: pieces,
    threads,
    ahead: 2 * threads,
  });
  try {
    for (let piece = await made.next(); piece; piece = await made.next()) yield* piece;
  } finally {
    await made.close();
  }
}
