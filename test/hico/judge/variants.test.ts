/** Several classifiers of one run side by side, confidence intervals, classes that nothing was learned of. */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accuracyWords, knnText, linearText } from "../../../src/cli/eval/evaluation.ts";
import { generatedSource, prepareStore } from "../../../src/data/index.ts";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { evaluateKnn, evaluateLinear, pretrain, RunFolder } from "../../../src/hico/index.ts";
import { scoresOf, wilsonInterval } from "../../../src/hico/judge/scores.ts";
import { collectReport, reportPage } from "../../../src/report/index.ts";
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
  const { results } = await collectReport({ run, mapClips: 8, queries: 1, neighbours: 1 });
  for (const { note } of results)
    assert.match(note, new RegExp(`; no training clip of ${found.untrained[0]}, whose test clips count as wrong`));
  assert.match(knnText(found), /pretrained\s+[\d.]+ % \([\d.]+–[\d.]+\)\n.*95 % confidence/);
  const linear = await evaluateLinear({ run, baselines: false, probe: { epochs: 1, drops: [] } });
  assert.match(linearText(linear), /pretrained(\s+[\d.]+ % \([\d.]+–[\d.]+\)){3}/);
});

test("scores of test clips stay beside the result that they are of, whatever it is called", async () => {
  const { path } = new RunFolder(run);
  const own = readFileSync(join(path, "eval", "linear-scores.npz"));
  const moved = { run, name: "moved", baselines: false };
  await evaluateLinear({ ...moved, probe: { epochs: 2, drops: [] } });
  const first = readFileSync(join(path, "eval", "moved-scores.npz"));
  await evaluateLinear({ ...moved, probe: { epochs: 1, drops: [] } });
  assert.deepEqual(readFileSync(join(path, "eval", "moved-scores-epochs2-batch1.npz")), first);
  assert.notDeepEqual(readFileSync(join(path, "eval", "moved-scores.npz")), first);
  assert.deepEqual(readFileSync(join(path, "eval", "linear-scores.npz")), own);
});

test("a run is compared with another's last checkpoint, by the same classifier", async () => {
  const other = join(folder, "other");
  cpSync(run, other, { recursive: true });
  const compared = { run, compare: other, mapClips: 8, queries: 1, neighbours: 1 };
  assert.equal((await collectReport(compared)).comparison!.from, "linear classifier, last epoch");
  // The neighbours are the same still.
  await evaluateLinear({ run: other, baselines: false, probe: { epochs: 1, drops: [], lr: 0.5 } });
  assert.equal((await collectReport(compared)).comparison!.from, "1-NN");
  await evaluateKnn({ run: other, baselines: false, k: 2 });
  await assert.rejects(
    collectReport(compared),
    /not judged alike \(their linear classifiers have other lr\); run hico eval/,
  );
  await pretrain({ settings: { ...new RunFolder(other).settings(), epochs: 2 }, run: other, resume: true });
  await assert.rejects(
    collectReport(compared),
    /other cannot be compared with: eval\/linear\.json is of other checkpoint, .*hico eval linear/,
  );
});

test("a gallery asks with every clip once, and says where the clips that ask were trained on", async () => {
  const report = await collectReport({ run, mapClips: 8, queries: 400, neighbours: 1 });
  const asked = report.gallery.map(({ query }) => query);
  assert.equal(new Set(asked).size, asked.length);
  assert.equal(asked.length, report.testClips);
  const page = reportPage({ ...report, shownOf: "training" });
  assert.match(page, /Map of the training clips/);
  assert.match(page, /A training clip, and the other training clips/);
});

test("a line of metrics that is cut off is not drawn; a result that is cut off is named", async () => {
  const cut = join(folder, "cut");
  cpSync(run, cut, { recursive: true });
  const options = { run: cut, mapClips: 8, queries: 1, neighbours: 1 };
  const whole = (await collectReport(options)).curves;
  appendFileSync(new RunFolder(cut).metricsPath, '{"kind":"epoch","step":9,"epoch":2,"lo');
  assert.deepEqual((await collectReport(options)).curves, whole);
  writeFileSync(new RunFolder(cut).evaluationPath("knn.json"), '{"kind":"knn",');
  await assert.rejects(collectReport(options), /knn\.json is no JSON: .*; mend or remove it/);
});
