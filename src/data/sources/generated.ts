/** Generated actions as a source: data for a demonstration, without any download. */
import { availableParallelism } from "node:os";
import type { GeneratorOptions } from "../synthetic/generator.ts";
import { generateClips, generatedActions, generatedCount, SYNTHETIC_PROTOCOL } from "../synthetic/generator.ts";
import { generateOnThreads } from "../synthetic/on-threads.ts";
import { NTU25 } from "../skeleton/layout.ts";
import type { AsyncClipSource, ClipSource } from "./source.ts";

/** Generated actions as a source of clips. */
export function generatedSource(options: GeneratorOptions = {}): ClipSource {
  return {
    ...factsOf(options),
    *clips(_onBad, onInput) {
      for (const clip of generateClips(options)) {
        yield clip;
        onInput();
      }
    },
  };
}

/** Clips from which threads are worth their start. */
const MANY = 200;
/** Threads at most: what is done with the clips afterwards keeps a core busy at the speed of four. */
const MOST_THREADS = 4;

/** The same clips in the same order, made on threads where they are many: on as many as there are cores, four at most. */
export function generatedOnThreads(
  options: GeneratorOptions = {},
  threads = Math.min(MOST_THREADS, availableParallelism()),
): ClipSource | AsyncClipSource {
  if (generatedCount(options) < MANY) return generatedSource(options);
  return {
    ...factsOf(options),
    async *clips(_onBad, onInput) {
      for await (const clip of generateOnThreads(options, threads)) {
        yield clip;
        onInput();
      }
    },
  };
}

function factsOf(options: GeneratorOptions) {
  return {
    layout: NTU25,
    classes: generatedActions(options).map(({ name }) => name),
    protocols: [SYNTHETIC_PROTOCOL],
    inputs: generatedCount(options),
  };
}
