/** Several classifiers of one run side by side, confidence intervals, classes that nothing was learned of. */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accuracyWords, knnText, linearText } from "../../../src/cli/eval/evaluation.ts";
import { generatedSource, prepareStore } from "../../../src/data/index.ts";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { evaluateKnn, evaluateLinear, pretrain, RunFolder } from "../../../src/hico/index.ts";
import { scoresOf, wilsonInterval } from "../../../src/hico/judge/scores.ts";
import { collectReport } from "../../../src/report/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { temporaryFolder, tinySettings } from "../run/run-helpers.ts";

const folder = temporaryFolder();
const run = join(folder, "run");
let device: CpuDevice;

before(async () => {
  device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  const source = generatedSource({ subjects: 2, repetitions: 1 });
  // The first class has test clips only.
  const [protocol] = source.protocols;
  const split = { ...protocol, split: (facts: Parameters<typeof protocol.split>[0]) => splitOf(facts) };
  const splitOf = (facts: Parameters<typeof protocol.split>[0]) =>
    first.has(facts.name) ? ("test" as const) : protocol.split(facts);
  const first = new Set<string>();
  for (const { facts } of generatedSource({ subjects: 2, repetitions: 1 }).clips(assert.ifError, () => {}))
    if (facts.label === 0) first.add(facts.name);
  const data = join(folder, "odd.clips");
  await prepareStore({ ...source, protocols: [split] }, data);
  await pretrain({ settings: tinySettings(data, { epochs: 1 }), run });
});
after(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

test("Wilson's interval: known values, and what it is of nothing", () => {
  // Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20.
  for (const [right, of, low, high] of [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
  ]) {
    const [l, h] = wilsonInterval(right / of, of);
    assert.ok(Math.abs(l - low) < 5e-5 && Math.abs(h - high) < 5e-5, `${right} of ${of}: ${l} to ${h}`);
  }
  assert.deepEqual(wilsonInterval(0, 0), [0, 1]);
  assert.deepEqual(scoresOf([0, 1], [0, 0], ["a", "b"]).interval, wilsonInterval(0.5, 2));
  assert.equal(accuracyWords(0.5, [0.25, 0.751]), "50.0 % (25.0–75.1)");
});

test("another classifier's results stand beside the first's, the page shows both and says which", async () => {
  const first = await evaluateLinear({ run, baselines: false, probe: { epochs: 2, drops: [] } });
  const second = await evaluateLinear({ run, baselines: false, probe: { epochs: 2, drops: [], lr: 0.3 } });
  const results = new RunFolder(run);
  assert.deepEqual(
    results.evaluations(),
    ["linear", "linear-epochs2-batch1"].map((name) => name),
  );
  assert.deepEqual(results.evaluation("linear"), JSON.parse(JSON.stringify(second)));
  assert.deepEqual(results.evaluation("linear-epochs2-batch1"), JSON.parse(JSON.stringify(first)));
  assert.ok(existsSync(results.evaluationPath("linear-scores-epochs2-batch1.npz")));
  await evaluateKnn({ run, baselines: false });
  await evaluateKnn({ run, baselines: false, k: 3 });
  const report = await collectReport({ run, mapClips: 8, queries: 1, neighbours: 1 });
  const names = report.results.map(({ name, note }) => `${name}: ${note}`);
  assert.equal(names.filter((name) => /^Linear classifier: last epoch \(lr 0\.3, /.test(name)).length, 1);
  assert.equal(names.filter((name) => /^Linear classifier: last epoch \(lr 2, /.test(name)).length, 1);
  assert.deepEqual(
    report.results.filter(({ name }) => name.endsWith("NN")).map(({ name }) => name),
    ["3-NN", "1-NN"],
  );
  for (const { values, intervals } of report.results)
    assert.ok(intervals!.pretrained![0] <= values.pretrained! && values.pretrained! <= intervals!.pretrained![1]);
  // The same again takes no other name.
  await evaluateKnn({ run, baselines: false, k: 3 });
  assert.deepEqual(
    results.evaluations().filter((name) => name.startsWith("knn")),
    ["knn", "knn-k1"],
  );
});

test("classes without a training clip are named, and accuracies have their intervals", async () => {
  const found = await evaluateKnn({ run, baselines: false });
  assert.equal(found.untrained.length, 1);
  assert.match(knnText(found), new RegExp(`no training clip of ${found.untrained[0]}; their test clips`));
  assert.match(knnText(found), /pretrained\s+[\d.]+ % \([\d.]+–[\d.]+\)\n.*95 % confidence/);
  const linear = await evaluateLinear({ run, baselines: false, probe: { epochs: 1, drops: [] } });
  assert.match(linearText(linear), /pretrained(\s+[\d.]+ % \([\d.]+–[\d.]+\)){3}/);
});
