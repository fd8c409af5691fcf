/** Protocols by their commands: what is printed and written, interruption, and what is refused at the door. */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { device } from "../../src/device/index.ts";
import { namedNpySource } from "../../src/data/sources/npy.ts";
import { layoutMap, NTU25, prepareStore } from "../../src/data/index.ts";
import { pretrain } from "../../src/hico/index.ts";
import type {
  EnsembleEvaluation,
  FoldsEvaluation,
  KnnEvaluation,
  LinearEvaluation,
  SemiEvaluation,
} from "../../src/hico/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { SHARED_DATA, unless } from "../data/helpers.ts";
import { temporaryFolder, tinySettings, tinyStore } from "../hico/run/run-helpers.ts";
import { runHico } from "./run-hico.ts";

const folder = temporaryFolder();
const at = (...names: string[]): string => join(folder, ...names);
const hico = (args: readonly string[], interruptAt?: RegExp) => runHico(folder, args, { device: "cpu", interruptAt });
const TRAIN = ["--epochs", "2", "--least-steps", "2", "--batch", "8"];

before(async () => {
  const cpu = await device("cpu", { threads: 1 });
  setDefaultDevice(cpu);
  const data = await tinyStore(folder);
  for (const stream of ["joint", "bone"]) {
    await pretrain({ settings: tinySettings(data, { epochs: 1, stream }), run: at(stream) });
  }
  const real = join(SHARED_DATA, "sbu");
  if (existsSync(real)) {
    for (const [name, layout] of [
      ["sbu", "sbu15"],
      ["utd-mhad", "kinect-v1-20"],
    ] as const) {
      const source = namedNpySource(name, join(SHARED_DATA, name.replace("-", "_")));
      assert.equal(source.layout.name, layout);
      // UTD-MHAD stays in its own layout, which is then mapped where it is used.
      const map = name === "sbu" ? layoutMap(source.layout, NTU25) : undefined;
      // Both are normalised alike: a run refuses clips that stand otherwise than those it learned from.
      await prepareStore(source, at(`${name}.clips`), { map, normalize: "full" });
    }
    const settings = tinySettings(at("sbu.clips"), { epochs: 1, batch: 16, protocol: "sbu-fold1" });
    await pretrain({ settings, run: at("sbu") });
  }
  cpu.close();
});
after(() => rmSync(folder, { recursive: true }));

test("fine-tuning and shares of labels print a table, and JSON as it was written", async () => {
  const tuned = await hico(["eval", "finetune", at("joint"), "--from-scratch", ...TRAIN]);
  assert.equal(tuned.code, 0, tuned.stderr);
  assert.match(tuned.stdout, /last epoch +top-5 +best epoch +at\npretrained +\d+\.\d %.*\nfrom scratch +\d+\.\d %/);
  assert.match(tuned.stdout, /best epoch: chosen on the test clips, so an upper bound/);

  const semi = ["eval", "semi", at("joint"), "--fractions", "50,100", "--draws", "2", ...TRAIN];
  const stopped = await hico([...semi, "--epochs", "100000"], /training 1 of 8/);
  assert.equal(stopped.code, 130, stopped.stderr);
  assert.match(stopped.stderr, /the same command goes on after what is done/);
  const done = await hico([...semi, "--json"]);
  assert.equal(done.code, 0, done.stderr);
  const found = JSON.parse(done.stdout) as SemiEvaluation;
  assert.deepEqual(
    found.fractions.map(({ fraction }) => fraction),
    [0.5, 1],
  );
  assert.deepEqual(JSON.parse(readFileSync(at("joint", "eval", "semi.json"), "utf8")), found);
  const again = await hico(semi);
  assert.match(again.stdout, /labels +clips +pretrained +from scratch +difference\n50\.0 % +14 +\d+\.\d % ± \d/);
});

test("an ensemble prints each run beside the fusion", async () => {
  const { code, stdout, stderr } = await hico([
    "ensemble",
    at("joint"),
    at("bone"),
    "--weights",
    "search",
    "--epochs",
    "2",
    "--out",
    at("e.json"),
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /matched by name\n.*stream +weight +linear +top-5\n.*joint +joint .*\n.*bone +bone .*\nfused /);
  const found = JSON.parse(readFileSync(at("e.json"), "utf8")) as EnsembleEvaluation;
  assert.deepEqual([found.runs.length, found.testClips, found.search!.clips], [2, 14, 14]);
});

test("what cannot be is said at the door", async () => {
  for (const [args, message] of [
    [
      ["eval", "semi", at("joint"), "--fractions", "0"],
      /--fractions has "0"; a share is above 0 and at most 100 percent/,
    ],
    [
      ["eval", "semi", at("joint"), "--draw", "stratified"],
      /--draw is "stratified"; it must be one of balanced, random/,
    ],
    [["eval", "finetune", at("joint"), "--optimizer", "lion"], /--optimizer is "lion"; it must be one of sgd, adamw/],
    [["ensemble", at("joint"), at("bone"), "--weights", "1"], /1 weights for 2 runs; give one for each/],
    [["ensemble", at("joint")], /at least two runs; 1 given/],
    [["eval", "transfer", at("joint"), "--data", at("none.clips")], /none\.clips: unreadable/],
    [
      ["eval", "transfer", at("joint"), "--data", at("none.clips"), "--classifier", "cosine"],
      /--classifier is no option of --method linear; leave it out, or name the other method/,
    ],
    [
      ["eval", "transfer", at("joint"), "--data", at("none.clips"), "--method", "finetune", "--no-baselines"],
      /--no-baselines is no option of --method finetune/,
    ],
  ] as const) {
    const { code, stderr } = await hico(args);
    assert.equal(code, 1, args.join(" "));
    assert.match(stderr, message);
  }
});

const skip = unless(join(SHARED_DATA, "sbu"));

test("recorded clips: all folds of SBU, and a run of two people on UTD-MHAD's one in another layout", {
  skip,
}, async () => {
  const folds = await hico(["eval", "knn", at("sbu"), "--protocol", "all", "--no-baselines", "--json"]);
  assert.equal(folds.code, 0, folds.stderr);
  const found = JSON.parse(folds.stdout) as FoldsEvaluation<KnnEvaluation>;
  assert.deepEqual(
    found.results.map(({ protocol }) => protocol),
    [1, 2, 3, 4, 5].map((fold) => `sbu-fold${fold}`),
  );
  // Every clip of the other folds was pretrained on.
  assert.deepEqual(
    found.results.map((r) => r.seenInPretraining),
    [0, ...found.results.slice(1).map((r) => r.testClips)],
  );
  assert.equal(
    found.results.reduce((sum, { testClips }) => sum + testClips, 0),
    282,
  );

  const linear = await hico(["eval", "transfer", at("sbu"), "--data", at("utd-mhad.clips"), "--epochs", "2", "--json"]);
  assert.equal(linear.code, 0, linear.stderr);
  const transfer = JSON.parse(linear.stdout) as LinearEvaluation;
  assert.deepEqual([transfer.protocol, transfer.testClips, transfer.classes.length], ["utd-mhad-xsub", 430, 27]);
  assert.ok(transfer.results.pretrained!.last.accuracy > 2 / 27, `${transfer.results.pretrained!.last.accuracy}`);
});
