/**
 * A model trains to the same bits by this Node and by the newest, in vectors of 128 bits and in pairs of them, on any
 * number of threads.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { cached } from "./cached.ts";
import type { CpuTraining } from "./cpu-training.ts";

/** Where scripts/node-versions.sh puts it. */
const newest = cached("node/node_modules/node/bin/node");
const training = new URL("./cpu-training.ts", import.meta.url).href;

async function train(node: string, threads: number, wide: 0 | 1): Promise<CpuTraining> {
  const code = `const { trainOnCpu } = await import(${JSON.stringify(training)});
    console.log(JSON.stringify(await trainOnCpu({ threads: ${threads} })));`;
  const args = ["--import", "tsx", "--input-type=module", "-e", code];
  const { stdout } = await promisify(execFile)(node, args, { env: { ...process.env, HICO_WASM_WIDE: String(wide) } });
  return JSON.parse(stdout) as CpuTraining;
}

const skip = existsSync(newest) ? false : "no newer Node in the cache folder: scripts/node-versions.sh gets it";

test("the newest Node trains to this one's bits at either width, on 1, 2 and 3 threads", { skip }, async () => {
  const wanted = await train(process.execPath, 1, 0);
  assert.ok(wanted.bits.length > 0);
  for (const [node, threads, wide] of [
    [newest, 1, 0],
    [newest, 1, 1],
    [newest, 2, 1],
    [newest, 3, 1],
    [process.execPath, 3, 0],
  ] as const) {
    const { bits, losses, wide: ran } = await train(node, threads, wide);
    const where = `${node}, ${threads} threads, HICO_WASM_WIDE=${wide}`;
    assert.equal(ran, wide === 1, where);
    assert.deepEqual(losses, wanted.losses, where);
    assert.deepEqual(bits, wanted.bits, where);
  }
});
