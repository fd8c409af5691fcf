/** Features of all clips of a store as npy, with what is known of each clip beside them. */
import { writeNpy } from "../../io/numpy/npy.ts";
import { hostTensor } from "../../io/host-tensor.ts";
import { clipsOf } from "../run/clips.ts";
import { encodeClips } from "../judge/features.ts";
import { openRun } from "../run/open-run.ts";
import { writeJson } from "../run/folder.ts";

/** Which clips are encoded, by which run, and where the features go. */
export interface EmbedOptions {
  readonly run: string;
  readonly checkpoint?: string;
  readonly data?: string;
  readonly protocol?: string;
  /** Which clips: those that train, those that test, or all (default). */
  readonly split?: "train" | "test" | "all";
  /** The npy file; what describes its rows is written beside it, with the ending `.json`. */
  readonly out: string;
  readonly onProgress?: (done: number, total: number) => void;
}

/** What `embed` wrote. */
export interface EmbedReport {
  readonly out: string;
  readonly facts: string;
  readonly clips: number;
  readonly width: number;
  readonly checkpoint: string;
}

/** Writes float32 [clips, 2·G·d] to `out`. */
export async function embed(options: EmbedOptions): Promise<EmbedReport> {
  const { out, split = "all" } = options;
  if (!out.endsWith(".npy")) throw new Error(`embed: the output ${out} must end in .npy`);
  const { settings, store, model, inputs, checkpoint } = openRun(options);
  try {
    const clips = split === "all" ? Array.from({ length: store.length }, (_, i) => i) : clipsOf(store, split, settings);
    if (clips.length === 0)
      throw new Error(`${store.path}: no clip to ${split} with under protocol "${settings.protocol}"`);
    const table = await encodeClips(model, store, clips, { inputs, onProgress: options.onProgress });
    const facts = out.replace(/\.npy$/, ".json");
    writeJson(facts, {
      checkpoint,
      data: store.path,
      classes: store.header.classes,
      clips: clips.map((i) => ({ index: i, ...store.facts(i) })),
    });
    // The features come last: where they are, the work is done, and a killed one may be started again.
    writeNpy(out, hostTensor("f32", [table.rows, table.width], table.data));
    return { out, facts, clips: table.rows, width: table.width, checkpoint };
  } finally {
    store.close();
  }
}
