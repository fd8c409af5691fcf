/** The main job by its commands: exit codes, what is printed and written, interruption, and help. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PrepareReport } from "../../src/data/sources/prepare.ts";
import type { KnnEvaluation, LinearEvaluation, PretrainReport } from "../../src/hico/index.ts";
import { readNpy } from "../../src/io/index.ts";
import type { CommandResult } from "./run-hico.ts";
import { runHico } from "./run-hico.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-cli-"));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

/** Runs `hico`; `interruptAt` sends SIGINT once standard error shows these words. */
function hico(args: readonly string[], interruptAt?: RegExp): Promise<CommandResult> {
  return runHico(folder, args, { interruptAt });
}

const TINY = [
  "--encoder",
  "gru",
  "--hidden",
  "8",
  "--projection",
  "4",
  "--queue",
  "16",
  "--granularity",
  "2",
  "--batch",
  "4",
  "--frames",
  "16",
  "--min-frames",
  "8",
  "--save-every",
  "1",
  "--log-every",
  "1",
];

describe("the main job", () => {
  test("generate, pretrain, judge, embed", async () => {
    const generated = await hico([
      "data",
      "generate",
      at("gen.clips"),
      "--subjects",
      "2",
      "--repetitions",
      "1",
      "--json",
    ]);
    assert.equal(generated.code, 0, generated.stderr);
    const store = JSON.parse(generated.stdout) as PrepareReport;
    assert.deepEqual([store.clips, store.protocols], [28, [{ name: "synthetic-xsub", train: 14, test: 14 }]]);

    const pretrained = await hico([
      "pretrain",
      "--data",
      at("gen.clips"),
      "--run",
      at("run"),
      "--epochs",
      "2",
      "--json",
      ...TINY,
    ]);
    assert.equal(pretrained.code, 0, pretrained.stderr);
    const report = JSON.parse(pretrained.stdout) as PretrainReport;
    assert.deepEqual([report.finished, report.step], [true, 6]);
    assert.ok(existsSync(report.checkpoint));

    const again = await hico(["pretrain", "--data", at("gen.clips"), "--run", at("run"), "--epochs", "2", ...TINY]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /already holds a run; resume it, or name another folder/);

    const knn = await hico(["eval", "knn", at("run"), "--k", "3", "--json"]);
    assert.equal(knn.code, 0, knn.stderr);
    const found = JSON.parse(knn.stdout) as KnnEvaluation;
    assert.deepEqual(Object.keys(found.results), ["pretrained", "random", "raw"]);
    assert.deepEqual(JSON.parse(readFileSync(join(at("run"), "eval", "knn.json"), "utf8")), found);

    const linear = await hico(["eval", "linear", at("run"), "--epochs", "4", "--no-baselines"]);
    assert.equal(linear.code, 0, linear.stderr);
    assert.match(linear.stdout, /last epoch +top-5 +best epoch/);
    assert.match(linear.stdout, /pretrained +\d+\.\d % /);
    const saved = JSON.parse(readFileSync(join(at("run"), "eval", "linear.json"), "utf8")) as LinearEvaluation;
    assert.deepEqual(saved.results.pretrained!.settings.drops, [3, 4]);

    const embedded = await hico(["embed", at("run"), at("test.npy"), "--split", "test"]);
    assert.equal(embedded.code, 0, embedded.stderr);
    assert.deepEqual(readNpy(at("test.npy")).shape, [14, 32]);
    const facts = JSON.parse(readFileSync(at("test.json"), "utf8")) as { clips: { name: string; subject: number }[] };
    assert.ok(facts.clips.length === 14 && facts.clips.every(({ subject }) => subject === 2));
  });

  test("Ctrl-C saves and exits with 130; --resume goes on, and needs no other option", async () => {
    await hico(["data", "generate", at("long.clips"), "--subjects", "2", "--repetitions", "1"]);
    const args = ["pretrain", "--data", at("long.clips"), "--run", at("long"), ...TINY];
    // The metrics are written as steps are done: interrupted once there are some.
    const child = hico([...args, "--epochs", "400"], /steps an epoch/);
    const stopped = await child;
    assert.equal(stopped.code, 130, stopped.stderr);
    assert.match(stopped.stdout, /interrupted at step \d+ of 1200/);
    const [checkpoint] = readdirSync(join(at("long"), "checkpoints")).filter((name) => name.startsWith("step-"));
    assert.ok(checkpoint);
    const resumed = await hico(["pretrain", "--run", at("long"), "--resume"], /resumed at step \d+ from/);
    assert.equal(resumed.code, 130, resumed.stderr);
  });

  test("settings come from a preset, a file and flags, in this order", async () => {
    writeFileSync(
      at("hico.config.json"),
      JSON.stringify({
        preset: "nw-ucla",
        protocol: "",
        hidden: 8,
        batch: 4,
        queue: 16,
        projection: 4,
        frames: 16,
        minFrames: 8,
        epochs: 1,
      }),
    );
    const { code, stderr } = await hico([
      "pretrain",
      "--data",
      at("gen.clips"),
      "--run",
      at("layers"),
      "--projection",
      "2",
      "--granularity",
      "2",
    ]);
    rmSync(at("hico.config.json"));
    assert.equal(code, 0, stderr);
    const resolved = JSON.parse(readFileSync(join(at("layers"), "hico.config.json"), "utf8")) as Record<
      string,
      unknown
    >;
    assert.deepEqual(
      [resolved.encoder, resolved.variant, resolved.hidden, resolved.projection, resolved.data],
      ["gru", "released", 8, 2, at("gen.clips")],
    );
  });
});

describe("data", () => {
  test("bad clips are skipped and named, or refused; what was there stays", async () => {
    mkdirSync(at("csv/wave"), { recursive: true });
    mkdirSync(at("csv/kick"));
    const frame = (x: string): string => Array.from({ length: 25 }, (_, v) => `${x},${v / 10},2,2`).join(",") + ",\n";
    writeFileSync(at("csv/wave/a.csv"), frame("0.1").repeat(5));
    writeFileSync(at("csv/kick/b.csv"), frame("0.2").repeat(5));
    writeFileSync(at("csv/kick/inf.csv"), frame("0.2") + frame("inf"));
    writeFileSync(at("csv/kick/short.csv"), "1,2,3\n");
    writeFileSync(at("csv/wave/empty.csv"), "");
    const skipped = await hico(["data", "prepare", "csv", at("csv"), at("csv.clips"), "--json"]);
    assert.equal(skipped.code, 3, skipped.stderr);
    const report = JSON.parse(skipped.stdout) as PrepareReport;
    assert.deepEqual(
      [report.clips, report.classes, report.badByReason],
      [2, 2, { "not-finite": 1, shape: 1, empty: 1 }],
    );
    assert.ok(report.bad.every(({ file, detail }) => existsSync(file) && detail.length > 10));
    const before = readFileSync(at("csv.clips"));

    const refused = await hico(["data", "prepare", "csv", at("csv"), at("csv.clips"), "--on-bad", "fail", "--force"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /hico: .*(inf|short|empty)\.csv: /);
    assert.deepEqual(readFileSync(at("csv.clips")), before);
    assert.equal((await hico(["data", "info", at("csv.clips"), "--verify"])).code, 0);
    before[20] ^= 1;
    writeFileSync(at("csv.clips"), before);
    const damaged = await hico(["data", "info", at("csv.clips"), "--verify"]);
    assert.deepEqual([damaged.code, /damaged: .*checksum/.test(damaged.stdout)], [1, true]);
  });

  test("what cannot be is said at the door", async () => {
    for (const [args, message] of [
      [["data", "prepare", "kinetics", "a", "b"], /--kind is "kinetics"; it must be one of nw-ucla, /],
      [["data", "prepare", "ntu60", at("absent"), at("x.clips")], /absent: unreadable: there is no such folder/],
      [
        ["data", "prepare", "nw-ucla", folder, at("x.clips")],
        /an NW-UCLA file is a JSON object with file_name, skeletons and label.*no store is written/s,
      ],
      [["data", "prepare", "nw-ucla", folder, at("x.clips"), "--missing", "list"], /nw-ucla takes no --missing/],
      [
        ["data", "prepare", "pku-mmd", folder, at("x.clips")],
        /empty: holds no .txt file; PKU-MMD comes as one text file/,
      ],
      [
        ["pretrain", "--run", at("x"), "--data", at("gen.clips"), "--lr", "fast"],
        /lr is "fast"; it must be a number above 0/,
      ],
      [
        ["pretrain", "--run", at("x"), "--data", at("gen.clips"), "--learning-rate", "1"],
        /unknown option --learning-rate/,
      ],
      [["pretrain", "--run", at("x"), "--preset", "huge"], /there is no preset "huge"; there is paper/],
      [["eval", "knn", at("nothing")], /holds no run: there is no hico\.config\.json/],
      [["embed", at("run"), "features.txt"], /must end in \.npy/],
    ] as const) {
      const { code, stderr } = await hico(args);
      assert.equal(code, 1, args.join(" "));
      assert.match(stderr, message);
    }
  });
});

test("every command has help with examples", async () => {
  for (const command of [
    "data prepare",
    "data generate",
    "data info",
    "pretrain",
    "eval linear",
    "eval knn",
    "embed",
    "search",
    "import",
    "export",
  ]) {
    const { code, stdout } = await hico([...command.split(" "), "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`EXAMPLES\\s+hico ${command} `));
  }
});
