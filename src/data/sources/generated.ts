/** Generated actions as a source: data for a demonstration, without any download. */
import type { GeneratorOptions } from "../synthetic/generator.ts";
import { generateClips, generatedActions, SYNTHETIC_PROTOCOL } from "../synthetic/generator.ts";
import { NTU25 } from "../skeleton/layout.ts";
import type { ClipSource } from "./source.ts";

/** Generated actions as a source of clips. */
export function generatedSource(options: GeneratorOptions = {}): ClipSource {
  const actions = generatedActions(options);
  return {
    layout: NTU25,
    classes: actions.map(({ name }) => name),
    protocols: [SYNTHETIC_PROTOCOL],
    inputs: actions.length * (options.subjects ?? 16) * (options.repetitions ?? 4),
    *clips(_onBad, onInput) {
      for (const clip of generateClips(options)) {
        yield clip;
        onInput();
      }
    },
  };
}
