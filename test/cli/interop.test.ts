/** Checkpoints in and out, and recordings of one's own, by their commands: what is printed, written and refused. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { PrepareReport } from "../../src/data/sources/prepare.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { ExportReport, ImportReport, KnnEvaluation, SearchReport } from "../../src/hico/index.ts";
import { HiCo, HiCoTrainer, saveCheckpoint } from "../../src/hico/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { SHARED_DATA, unless } from "../data/helpers.ts";
import { temporaryFolder, tinyStore } from "../hico/run/run-helpers.ts";
import type { CommandResult } from "./run-hico.ts";
import { runHico } from "./run-hico.ts";

const folder = temporaryFolder();
const at = (...names: string[]): string => join(folder, ...names);
after(() => rmSync(folder, { recursive: true }));

const hico = (...args: string[]): Promise<CommandResult> => runHico(folder, args, { device: "cpu" });

/** What the command prints with --json. */
async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await hico(...args, "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
}

before(async () => {
  await tinyStore(folder);
  setDefaultDevice(new ReferenceDevice());
  const model = new HiCo({ hidden: 8, granularity: 2, projection: 4, queue: 8, temporalInput: 150, spatialInput: 48 });
  await saveCheckpoint(at("given.pth.tar"), new HiCoTrainer(model), 12);
  setDefaultDevice(undefined);
});

test("import, judge, report, search, export", async () => {
  const { code, stdout, stderr } = await hico("import", "given.pth.tar", "--run", "run", "--data", "tiny.clips");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^run: transformer, d 8, 1 layer, G 2, projection 4, K 8; 16 frames × 50 joints \(ntu25\)$/m);
  assert.match(
    stdout,
    /step-00000000\.safetensors, trained for 12 epochs\ntaken as 4 heads, which no tensor tells; --heads says otherwise/,
  );
  const two = await json<ImportReport>(
    "import",
    "given.pth.tar",
    "--run",
    "two",
    "--data",
    "tiny.clips",
    "--heads",
    "2",
  );
  assert.equal(two.heads, 2);

  const { testClips, results } = await json<KnnEvaluation>("eval", "knn", "run");
  assert.deepEqual([testClips, Object.keys(results)], [14, ["pretrained", "random", "raw"]]);
  const reported = await json<{ path: string }>("report", "run");
  assert.ok(existsSync(at(reported.path)));

  const found = await hico("search", "wave_p1_r1", "tiny.clips", "--run", "run", "--k", "3", "--report", "wave.html");
  assert.equal(found.code, 0, found.stderr);
  assert.match(
    found.stdout,
    /^28 clips of tiny\.clips, .*\n\nwave_p1_r1 \(wave\) +class +subject +clip +similarity\n([\w-]+ +[\w ]+ +[12] +\d+ +\d\.\d{4}\n){3}\nwave\.html\n$/,
  );
  assert.ok(existsSync(at("wave.html")));

  const exported = await json<ExportReport>("export", "run", "encoder.onnx");
  assert.deepEqual(
    [exported.format, exported.width, exported.temporal, exported.spatial],
    ["onnx", 32, [16, 150], [50, 48]],
  );
  assert.equal(readFileSync(at("encoder.onnx")).length, exported.bytes);
  const back = await hico("export", "run", "again.pth.tar");
  assert.match(
    back.stdout,
    /^again\.pth\.tar \(pth, \d\.\d MB\): transformer, .*\ntemporal \[N, 16, 150\], spatial \[N, 50, 48\] → features \[N, 32\]$/m,
  );
});

test("what cannot be is said at the door", async () => {
  writeFileSync(at("none.pth"), "PK");
  for (const [args, message] of [
    [["import", "none.pth", "--run", "x", "--data", "tiny.clips"], /none\.pth/],
    [
      ["import", "given.pth.tar", "--run", "x", "--data", "tiny.clips", "--heads", "3"],
      /hidden is 8; a Transformer of 3 heads needs a multiple of 3/,
    ],
    [["export", "tiny.clips", "x.onnx"], /holds no run/],
    [
      ["export", "run", "x.onnx", "--format", "tflite"],
      /--format is "tflite"; it must be one of safetensors, pth, onnx/,
    ],
    [["search", "0", "tiny.clips", "--run", "run", "--report", "x.pdf"], /--report is "x\.pdf"; it must end in \.html/],
  ] as const) {
    const { code, stderr } = await hico(...args);
    assert.equal(code, 1, args.join(" "));
    assert.match(stderr, message);
  }
});

const KIMORE = `${SHARED_DATA}/raw_samples/kimore`;

test("real Kinect recordings: windows, pretraining, features, search", { skip: unless(KIMORE) }, async () => {
  const names = ["lifting arms", "tilting trunk", "rotating trunk", "rotating pelvis", "squatting"];
  const lines = names.flatMap((name, i) => [1, 2].map((subject) => `ex${i + 1}_subj${subject}.csv,${name},${subject}`));
  writeFileSync(at("labels.csv"), `file,label,subject\n${lines.join("\n")}\n`);
  const windows = ["--window", "4s", "--hop", "2s"];
  const prepared = await json<PrepareReport>(
    ...[
      "data",
      "prepare",
      "csv",
      KIMORE,
      "kimore.clips",
      "--labels",
      "labels.csv",
      "--test-subjects",
      "2",
      "--persons",
      "1",
    ],
    ...windows,
  );
  assert.deepEqual([prepared.bad.length, prepared.classes], [0, 5]);
  const [{ train, test }] = prepared.protocols;
  assert.ok(train + test === prepared.clips && train > 45 && test > 60);
  await json(
    ...[
      "pretrain",
      "--data",
      "kimore.clips",
      "--run",
      "kimore",
      "--encoder",
      "gru",
      "--hidden",
      "16",
      "--projection",
      "8",
    ],
    ...[
      "--queue",
      "32",
      "--batch",
      "16",
      "--epochs",
      "1",
      "--granularity",
      "2",
      "--frames",
      "32",
      "--min-frames",
      "32",
    ],
  );
  const { clips } = await json<{ clips: number }>("embed", "kimore", "kimore.npy");
  assert.equal(clips, prepared.clips);
  const { queries } = await json<SearchReport>(
    ...[
      "search",
      join(KIMORE, "ex2_subj2.csv"),
      "kimore.clips",
      "--run",
      "kimore",
      "--split",
      "train",
      "--k",
      "1",
      ...windows,
    ],
  );
  assert.deepEqual(
    queries.slice(0, 2).map(({ name }) => name),
    ["ex2_subj2.csv@0", "ex2_subj2.csv@60"],
  );
  assert.ok(
    queries.every(
      ({ nearest: [{ subject, similarity }] }) => subject === 1 && similarity > 0.5 && similarity <= 1.000001,
    ),
  );
});
