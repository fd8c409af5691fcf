/** A run's folder that takes no results is refused before anything is computed; it is another user's here. */
import assert from "node:assert/strict";
import { chmodSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import { evaluateFinetune } from "../../../src/hico/judge/evaluate-finetune.ts";
import { evaluateKnn, evaluateLinear } from "../../../src/hico/judge/evaluate.ts";
import { keptFeatures } from "../../../src/hico/judge/kept.ts";
import { evaluateSemi } from "../../../src/hico/judge/semi.ts";
import { openRun } from "../../../src/hico/run/open-run.ts";
import { pretrain } from "../../../src/hico/run/pretrain.ts";
import { requireWritable } from "../../../src/io/byte-sink.ts";
import { writeReport } from "../../../src/report/index.ts";
import { setDefaultDevice } from "../../../src/tensor/index.ts";
import { temporaryFolder, tinySettings, tinyStore } from "../run/run-helpers.ts";

const folder = temporaryFolder();
const run = join(folder, "run");
/** Root may write anywhere, whatever modes say: another user's rights are taken for the calls. */
const root = process.getuid?.() === 0;
const NOBODY = 65534;

let data: string;
before(async () => {
  setDefaultDevice(new ReferenceDevice());
  data = await tinyStore(folder);
  await pretrain({ settings: tinySettings(data, { epochs: 1 }), run });
});
after(() => {
  chmodSync(run, 0o755);
  rmSync(folder, { recursive: true });
});

test("evaluations, reports and outputs say at once that the folder may not be written", {
  skip: process.getuid === undefined ? "modes are POSIX's" : false,
}, async () => {
  let computed = 0;
  const onProgress = (): void => void computed++;
  chmodSync(folder, 0o755);
  chmodSync(run, 0o555);
  const listed = readdirSync(run, { recursive: true }).sort();
  if (root) process.seteuid!(NOBODY);
  try {
    const refused = { message: `${run} cannot be written: this user may not write there` };
    await assert.rejects(evaluateLinear({ run, onProgress }), refused);
    await assert.rejects(evaluateKnn({ run, onProgress }), refused);
    await assert.rejects(evaluateFinetune({ run, onProgress }), refused);
    await assert.rejects(evaluateSemi({ run, onProgress }), refused);
    await assert.rejects(keptFeatures(openRun({ run }), "train", onProgress), refused);
    await assert.rejects(writeReport({ run, onProgress }), refused);
    const out = join(run, "features.npy");
    assert.throws(() => requireWritable(out), { message: `${out} cannot be written: this user may not write there` });
    await assert.rejects(
      pretrain({ settings: tinySettings(data, { epochs: 2 }), run, resume: true, onEvent: onProgress }),
      refused,
    );
  } finally {
    if (root) process.seteuid!(0);
  }
  assert.equal(computed, 0);
  assert.deepEqual(readdirSync(run, { recursive: true }).sort(), listed);
});
