/** What a run and its results are of: other data, a second process and files in the way are refused by name. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { generatedSource } from "../../../src/data/sources/generated.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { evaluateKnn, evaluateLinear, pretrain, RunFolder } from "../../../src/hico/index.ts";
import { openRun } from "../../../src/hico/run/open-run.ts";
import { LOCK_FILE, lockRun } from "../../../src/hico/run/run-lock.ts";
import { layeredSettings } from "../../../src/hico/run/setting-layers.ts";
import { collectReport } from "../../../src/report/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { temporaryFolder, tinySettings, tinyStore } from "./run-helpers.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let device: CpuDevice;
let data: string;

before(async () => {
  device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  data = await tinyStore(folder);
  await prepareStore(generatedSource({ subjects: 2, repetitions: 2, seed: 5 }), at("other.clips"));
  await pretrain({ settings: tinySettings(data, { epochs: 1 }), run: at("run") });
});
after(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

describe("a run and its store", () => {
  test("resumed on another store it is refused, and nothing is written", async () => {
    const was = () =>
      readdirSync(at("run"), { recursive: true })
        .sort()
        .map((name) => [name, String(name).includes(".") ? readFileSync(at(`run/${name}`), "hex") : ""]);
    const before = was();
    const settings = tinySettings(at("other.clips"), { epochs: 1 });
    await assert.rejects(
      pretrain({ settings, run: at("run"), resume: true }),
      /other\.clips is not the store that .*run/,
    );
    assert.deepEqual(was(), before);
  });

  test("a moved store of the same checksum is taken, one that changed or went is named", async () => {
    await pretrain({ settings: tinySettings(data, { epochs: 1 }), run: at("mover") });
    copyFileSync(data, at("moved.clips"));
    const settings = tinySettings(at("moved.clips"), { epochs: 1 });
    assert.equal((await pretrain({ settings, run: at("mover"), resume: true })).finished, true);
    rmSync(at("moved.clips"));
    assert.throws(() => openRun({ run: at("mover") }), /its store .*moved\.clips is not there; .*--data/);
    const opened = openRun({ run: at("mover"), data });
    opened.store.close();
    assert.equal(opened.ownStore, true);
    copyFileSync(at("other.clips"), at("moved.clips"));
    assert.throws(() => openRun({ run: at("mover") }), /moved\.clips is not the store/);
  });

  test("a report shows what was evaluated of exactly what it is asked for", async () => {
    const small = { run: at("run"), mapClips: 8, queries: 1, neighbours: 1 };
    await evaluateKnn({ run: at("run"), baselines: false });
    assert.equal((await collectReport(small)).results.length, 1);
    const other = { ...small, data: at("other.clips") };
    const unjudged = await collectReport(other);
    assert.deepEqual([unjudged.results.length, unjudged.results[0].name], [1, "1-NN"], "neighbours are found for it");
    assert.notEqual(unjudged.page, "report");
    const found = await evaluateKnn({ run: at("run"), data: at("other.clips"), baselines: false });
    const judged = await collectReport(other);
    assert.equal(judged.results[0].values.pretrained, found.results.pretrained!.accuracy);
    assert.deepEqual(unjudged.results, judged.results);
    assert.equal(
      judged.confusion!.counts.flat().reduce((sum, count) => sum + count, 0),
      judged.testClips,
    );

    const run = new RunFolder(at("run"));
    const kept = run.evaluation("knn") as { origin: object };
    run.writeEvaluation("knn", { ...kept, origin: { ...kept.origin, checkpoint: "another" } });
    const made = await collectReport(small);
    assert.equal(made.results.length, 1);
    assert.deepEqual(
      run.evaluation("knn"),
      { ...(run.evaluation("knn") as object), origin: kept.origin },
      "made again",
    );

    await evaluateLinear({ run: at("run"), baselines: false, probe: { epochs: 1 } });
    const linear = run.evaluation("linear") as { origin: object };
    run.writeEvaluation("linear", { ...linear, origin: { ...linear.origin, checkpoint: "another" } });
    const left = await collectReport(small);
    assert.deepEqual(
      left.results.map(({ name }) => name),
      ["1-NN"],
    );
    assert.match(left.notes[0], /eval\/linear\.json is of other checkpoint/);
  });

  test("a report of a store without test clips shows its training clips", async () => {
    const source = generatedSource({ subjects: 2, repetitions: 1 });
    await prepareStore({ ...source, protocols: [] }, at("unsplit.clips"));
    await pretrain({ settings: tinySettings(at("unsplit.clips"), { epochs: 1 }), run: at("unsplit") });
    const report = await collectReport({ run: at("unsplit"), mapClips: 8, queries: 2, neighbours: 2 });
    assert.deepEqual([report.shownOf, report.testClips, report.map.clips.length], ["training", 0, 8]);
    for (const { query, nearest } of report.gallery) {
      assert.equal(nearest.length, 2);
      assert.ok(nearest.every(({ clip }) => clip !== query));
    }
  });
});

describe("a run's folder", () => {
  test("is locked while it is written, and free afterwards", async () => {
    const unlock = lockRun(at("locked"));
    const settings = tinySettings(data, { epochs: 1 });
    await assert.rejects(
      pretrain({ settings, run: at("locked") }),
      new RegExp(`being written by process ${process.pid}`),
    );
    unlock();
    assert.equal((await pretrain({ settings, run: at("locked") })).finished, true);
    assert.equal(existsSync(at(`locked/${LOCK_FILE}`)), false);
  });

  test("a lock of a dead process is taken over, one of another machine is not", () => {
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    mkdirSync(at("stale"));
    const lock = at(`stale/${LOCK_FILE}`);
    writeFileSync(lock, JSON.stringify({ pid, host: hostname() }));
    lockRun(at("stale"))();
    // The number of a living process that started at another time is a dead one's.
    writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), started: "1" }));
    if (existsSync("/proc/self/stat")) lockRun(at("stale"))();
    writeFileSync(lock, JSON.stringify({ pid, host: "elsewhere.example" }));
    assert.throws(() => lockRun(at("stale")), /process \d+ on elsewhere\.example/);
  });
});

test("a configuration in the working folder is announced, and stands back for a preset", () => {
  const home = process.cwd();
  mkdirSync(at("here"));
  writeFileSync(at("here/hico.config.json"), JSON.stringify({ encoder: "gru", hidden: 16, seed: 7 }));
  const notices: string[] = [];
  const layers = { from: "option", given: {}, onNotice: (notice: string) => notices.push(notice) };
  process.chdir(at("here"));
  try {
    assert.equal(layeredSettings(layers).seed, 7);
    assert.equal(layeredSettings({ ...layers, preset: "nw-ucla" }).seed, 0);
    assert.equal(layeredSettings({ ...layers, preset: "nw-ucla", config: "hico.config.json" }).seed, 7);
  } finally {
    process.chdir(home);
  }
  assert.equal(notices.length, 2);
  assert.match(notices[0], /taken from hico\.config\.json/);
  assert.match(notices[1], /hico\.config\.json .*left aside/);
});
