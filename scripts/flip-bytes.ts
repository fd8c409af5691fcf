/**
 * Flips one byte of a clip store, and of a run's checkpoint, at a random place, again and again: each is found, or what
 * is read is what was written. Prints the counts; exit code 1 where a change came through.
 *
 *     node --import tsx scripts/flip-bytes.ts [--draws 1000] [--seed 1] [--store FILE.clips] [--checkpoint FILE]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import { generatedSource } from "../src/data/sources/generated.ts";
import { prepareStore } from "../src/data/sources/prepare.ts";
import { pretrain } from "../src/hico/run/pretrain.ts";
import { resolveSettings } from "../src/hico/run/settings.ts";
import { setDefaultDevice } from "../src/tensor/backend.ts";
import { loseInBursts } from "./lose-joints.ts";
import { checkpointContents, flips, storeContents } from "./flips.ts";

const { values } = parseArgs({
  options: {
    draws: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    store: { type: "string" },
    checkpoint: { type: "string" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "hico-flip-"));
const device = await CpuDevice.open();
setDefaultDevice(device);
try {
  const store = values.store ?? join(folder, "lost.clips");
  if (values.store === undefined)
    await prepareStore(loseInBursts(generatedSource({ subjects: 2, repetitions: 1 }), 0.1, 1), store);
  let { checkpoint } = values;
  if (checkpoint === undefined) {
    const given = { data: store, encoder: "gru", hidden: 8, projection: 4, queue: 16, batch: 4, frames: 16, epochs: 1 };
    checkpoint = (await pretrain({ settings: resolveSettings({ from: "script", given }), run: join(folder, "run") }))
      .checkpoint;
  }
  const [draws, seed] = [Number(values.draws), Number(values.seed)];
  for (const [name, path, contents] of [
    ["store", store, storeContents],
    ["checkpoint", checkpoint, checkpointContents],
  ] as const) {
    const { found, harmless, changed } = flips(readFileSync(path), contents, draws, seed);
    console.log(
      `${name}: ${draws} flipped bytes, ${found} found, ${harmless} harmless, ${changed.length} came through`,
    );
    if (changed.length > 0) console.log(`  at bytes ${changed.join(", ")}`);
    if (changed.length > 0) process.exitCode = 1;
  }
} finally {
  device.close();
  rmSync(folder, { recursive: true });
}
