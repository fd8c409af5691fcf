/** A tiny store of generated clips, and settings of runs on it that take a second. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatedSource } from "../../../src/data/sources/generated.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import type { GivenSettings, RunSettings } from "../../../src/hico/run/settings.ts";
import { resolveSettings } from "../../../src/hico/run/settings.ts";

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "hico-run-"));
}

/** 14 training clips and 14 test clips of two subjects. */
export async function tinyStore(folder: string): Promise<string> {
  const path = join(folder, "tiny.clips");
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), path);
  return path;
}

/** Sizes of a model that trains in a second. */
export const TINY_SIZES = {
  encoder: "gru",
  hidden: 8,
  projection: 4,
  queue: 16,
  granularity: 2,
  batch: 4,
  frames: 16,
  minFrames: 8,
} as const;

/** Three steps an epoch. */
export function tinySettings(data: string, given: GivenSettings = {}): RunSettings {
  return resolveSettings({
    from: "test",
    given: {
      data,
      ...TINY_SIZES,
      heads: 2,
      epochs: 3,
      saveEvery: 1,
      logEvery: 2,
      seed: 3,
      keep: 2,
      workers: 0,
      ...given,
    },
  });
}
