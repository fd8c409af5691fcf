/** What a run and its results are of: other data, a second process and files in the way are refused by name. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
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
    await assert.rejects(
      pretrain({ settings, run: at("mover"), resume: true }),
      /its store .*moved\.clips is not there; .*--data/,
    );
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
    const last = { ...kept, origin: { ...kept.origin, checkpoint: "another" } };
    run.writeEvaluation("knn", last);
    const best = await collectReport({ ...small, checkpoint: "best" });
    assert.deepEqual(
      best.results.map(({ name }) => name),
      ["1-NN"],
    );
    assert.match(best.notes[0], /eval\/knn\.json is of other checkpoint/);
    assert.deepEqual(run.evaluation("knn"), last, "a report of another checkpoint leaves the result of the last");
    run.writeEvaluation("knn", kept);

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
    const lock = await lockRun(at("locked"));
    const settings = tinySettings(data, { epochs: 1 });
    await assert.rejects(
      pretrain({ settings, run: at("locked") }),
      new RegExp(`being written by process ${process.pid}`),
    );
    lock.release();
    assert.equal((await pretrain({ settings, run: at("locked") })).finished, true);
    assert.equal(existsSync(at(`locked/${LOCK_FILE}`)), false);
  });

  const lockOf = (name: string): string => at(`${name}/${LOCK_FILE}`);
  /** A folder with the file of another process, touched so many seconds ago. */
  const heldBy = (name: string, holder: unknown, ago = 0): string => {
    mkdirSync(at(name), { recursive: true });
    writeFileSync(lockOf(name), typeof holder === "string" ? holder : JSON.stringify(holder));
    const time = Date.now() / 1000 - ago;
    utimesSync(lockOf(name), time, time);
    return at(name);
  };
  const { pid: dead } = spawnSync(process.execPath, ["-e", ""]);
  const elsewhere = { pid: dead, host: "elsewhere.example" };
  const SHORT = { touch: 50, dead: 1000 };

  test("left locked by a process of this machine that is dead is taken at once, also where its number lives again", async () => {
    (await lockRun(heldBy("stale", { pid: dead, host: hostname() }))).release();
    const numbered = { pid: process.pid, host: hostname(), started: "1" };
    if (existsSync("/proc/self/stat")) (await lockRun(heldBy("stale", numbered))).release();
    // What a process leaves that is killed while it takes the folder goes with the next.
    writeFileSync(`${lockOf("stale")}.0badcafe.tmp`, "");
    (await lockRun(at("stale"))).release();
    assert.deepEqual(readdirSync(at("stale")), []);
  });

  const noProc = !existsSync("/proc/self/stat") && "only Linux tells of processes that nobody has waited for";
  test("left by a dead process that nobody has waited for is taken at once", { skip: noProc }, async () => {
    // The shell becomes a program that knows nothing of the child it then has, before that ends.
    const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const pid = Number(await new Promise((done) => parent.stdout.once("data", done)));
      const state = (): string => readFileSync(`/proc/${pid}/stat`, "utf8");
      while (!/\) Z /.test(state())) await new Promise((done) => setTimeout(done, 5));
      const started = state().split(" ")[21];
      (await lockRun(heldBy("unwaited", { pid, host: hostname(), started }))).release();
    } finally {
      parent.kill();
    }
  });

  test("of another machine's process is taken when that has shown no sign of life for two minutes", async () => {
    (await lockRun(heldBy("lost", elsewhere, 121))).release();
    // So is a file that was cut off, and one of another container that shares this machine's name.
    (await lockRun(heldBy("lost", "", 121))).release();
    (await lockRun(heldBy("lost", { ...elsewhere, host: hostname(), space: "pid:[1]" }, 121))).release();
    const told: string[] = [];
    const lock = await lockRun(heldBy("lost", elsewhere), { times: SHORT, onWait: (words) => told.push(words) });
    assert.equal(told.length, 1);
    assert.match(told[0]!, /waiting for a sign of life of process \d+ on elsewhere\.example/);
    lock.requireHeld();
    lock.release();
    assert.deepEqual(readdirSync(at("lost")), []);
  });

  test("of another machine's process that lives is refused by its name, and a stop ends the wait", async () => {
    heldBy("living", elsewhere, 1);
    let time = Date.now() / 1000;
    const life = setInterval(() => utimesSync(lockOf("living"), ++time, time), 20);
    try {
      await assert.rejects(
        lockRun(at("living"), { times: { touch: 50, dead: 60_000 } }),
        /living is being written by process \d+ on elsewhere\.example; .* or remove .*run\.lock if it is no more/,
      );
    } finally {
      clearInterval(life);
    }
    const stop = new AbortController();
    const reason = new Error("stopped");
    heldBy("waited", elsewhere);
    await assert.rejects(lockRun(at("waited"), { signal: stop.signal, onWait: () => stop.abort(reason) }), reason);
    assert.deepEqual(readdirSync(at("waited")), [LOCK_FILE]);
  });

  test("is kept by touching it; a process that finds it taken over writes nothing more", async () => {
    const lock = await lockRun(at("kept"), { times: SHORT });
    const past = new Date(1000);
    utimesSync(lockOf("kept"), past, past);
    while (statSync(lockOf("kept")).mtimeMs === past.getTime()) await new Promise((done) => setTimeout(done, 20));
    lock.requireHeld();
    lock.release();

    const run = at("over");
    let steps: number[] = [];
    await assert.rejects(
      pretrain({
        settings: tinySettings(data, { epochs: 4 }),
        run,
        onEvent: (event) => {
          if (event.kind !== "checkpoint") return;
          steps = new RunFolder(run).checkpoints().map(({ step }) => step);
          // As another process takes it: that one's file in place of this one's.
          rmSync(lockOf("over"));
          heldBy("over", elsewhere);
        },
      }),
      /over was taken over while this process stood still: run\.lock is another process's/,
    );
    assert.deepEqual(
      steps,
      new RunFolder(run).checkpoints().map(({ step }) => step),
    );
    assert.equal(JSON.parse(readFileSync(lockOf("over"), "utf8")).host, elsewhere.host);
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
