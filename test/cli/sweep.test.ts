/**
 * `hico sweep` as it is used: killed and started again it ends where an uninterrupted one does; one run that fails stops
 * no other; a cluster's task is the same run.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { generatedSource } from "../../src/data/sources/generated.ts";
import { prepareStore } from "../../src/data/sources/prepare.ts";
import type { KnnEvaluation, LinearEvaluation } from "../../src/hico/index.ts";
import { TINY_SIZES } from "../hico/run/run-helpers.ts";
import { SHARED_DATA, unless } from "../data/helpers.ts";
import type { RunStage, SweepOutcome, SweepSummary } from "../../src/sweep/index.ts";
import type { CommandResult } from "./run-hico.ts";
import { runHico } from "./run-hico.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-sweep-"));
const at = (...names: string[]): string => join(folder, ...names);
after(() => rmSync(folder, { recursive: true }));

const GRID = {
  settings: {
    data: "tiny.clips",
    ...TINY_SIZES,
    epochs: 12,
    saveEvery: 1,
    logEvery: 1,
  },
  cases: { "all four": {}, "instance only": { contrast: ["instance"] }, diverges: { lr: 1e6, temperature: 1e-6 } },
  seeds: [3],
  eval: { linear: { epochs: 3 }, knn: { k: 3 } },
};
const [ALL, INSTANCE, DIVERGES] = ["all-four", "instance-only", "diverges"].map((name) => `case=${name}_seed=3`);

before(async () => {
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), at("tiny.clips"));
  writeFileSync(at("grid.json"), JSON.stringify(GRID));
});

// Not the reference device: its float64 is rounded where it is saved, so that a resumed run has other last digits.
const hico = (args: readonly string[], onStart?: (child: ChildProcess) => void): Promise<CommandResult> =>
  runHico(folder, args, { device: "cpu", onStart });

/** Sends a signal once a run has its first checkpoint. */
function endedOnceSaved(run: string, signal: NodeJS.Signals): (child: ChildProcess) => void {
  const checkpoints = at("sweeps", "grid", "runs", run, "checkpoints");
  return (child) => {
    const seen = existsSync(checkpoints) ? readdirSync(checkpoints).length : 0;
    const poll = setInterval(() => {
      if (child.exitCode !== null) clearInterval(poll);
      else if (existsSync(checkpoints) && readdirSync(checkpoints).length > seen) {
        clearInterval(poll);
        child.kill(signal);
      }
    }, 5);
  };
}

const checkpointOf = (run: string): string => {
  const names = readdirSync(join(run, "checkpoints"))
    .filter((name) => name.startsWith("step-"))
    .sort();
  return join(run, "checkpoints", names.at(-1)!);
};

test("a sweep that was killed, then interrupted, ends as if nothing had happened; a run that fails is told", async () => {
  await hico(["sweep", "grid.json"], endedOnceSaved(ALL, "SIGKILL"));
  await hico(["sweep", "grid.json", "--jobs", "2"], endedOnceSaved(INSTANCE, "SIGINT"));
  const { code, stdout, stderr } = await hico(["sweep", "grid.json", "--jobs", "2", "--json"]);
  assert.equal(code, 1, stderr);
  const { summary, failures } = JSON.parse(stdout) as SweepOutcome;
  assert.deepEqual(
    failures.map(({ run, stage }) => [run, stage]),
    [[DIVERGES, "pretrain"]],
  );
  assert.match(failures[0].message, / is (NaN|-?Infinity) at step \d+: training stopped/);
  assert.match(stderr, new RegExp(`done: ${INSTANCE}: 3-NN \\d+\\.\\d %, linear \\d+\\.\\d %`));
  assert.deepEqual(
    summary.rows.map(({ labels, runs }) => [...labels, runs[0].state]),
    [
      ["all four", "done"],
      ["instance only", "done"],
      ["diverges", "begun"],
    ],
  );

  const listed = await hico(["sweep", "grid.json", "--dry-run", "--json"]);
  const runs = JSON.parse(listed.stdout) as { name: string; stages: RunStage[] }[];
  for (const { name, stages } of runs.slice(0, 2)) {
    const alone = await hico(
      stages[0].args.map((word) => (word.startsWith("--run=") ? `--run=${at("alone", name)}` : word)),
    );
    assert.equal(alone.code, 0, alone.stderr);
    const [own, uninterrupted] = [at("sweeps/grid/runs", name), at("alone", name)].map(checkpointOf);
    assert.ok(
      readFileSync(own).equals(readFileSync(uninterrupted)),
      `${name}: the last checkpoints are equal, byte for byte`,
    );
    const linear = JSON.parse(
      readFileSync(at("sweeps/grid/runs", name, "eval/linear.json"), "utf8"),
    ) as LinearEvaluation;
    assert.equal(linear.results.pretrained!.settings.epochs, 3);
    assert.equal(
      linear.results.pretrained!.last.accuracy,
      summary.rows.find(({ runs: [run] }) => run.name === name)!.measures.linear!.mean,
    );
  }
});

test("what is finished is kept, and shown at any time; other probe settings judge again, other settings are refused", async () => {
  const table = await hico(["sweep", "grid.json", "--table"]);
  assert.match(
    table.stdout,
    /# +case +runs +3-NN % +linear % .*\n1 +all four +1\/1 .*\n2 +instance only +1\/1 .*\n3 +diverges +0\/1 +–/,
  );
  for (const name of ["table.md", "table.csv", "plot.svg", "sweep.json"])
    assert.ok(statSync(at("sweeps/grid", name)).size > 0, name);

  const two = { ...GRID, cases: { "all four": {} } };
  writeFileSync(at("grid.json"), JSON.stringify(two));
  const checkpoint = checkpointOf(at("sweeps/grid/runs", ALL));
  const written = statSync(checkpoint).mtimeMs;
  const judged = () => readFileSync(at("sweeps/grid/logs", `${ALL}.log`), "utf8").match(/^\$ hico eval \w+/gm)!;
  // More than these where the interruption came while the run was judged.
  const before = judged();
  assert.deepEqual(before.slice(-2), ["$ hico eval knn", "$ hico eval linear"]);
  assert.equal((await hico(["sweep", "grid.json"])).code, 0);
  assert.deepEqual(judged(), before);
  writeFileSync(at("grid.json"), JSON.stringify({ ...two, eval: { ...GRID.eval, knn: { k: 1 } } }));
  const again = await hico(["sweep", "grid.json", "--json"]);
  assert.equal((JSON.parse(again.stdout) as SweepOutcome).summary.k, 1);
  assert.deepEqual(judged(), [...before, "$ hico eval knn"]);
  assert.equal(statSync(checkpoint).mtimeMs, written);

  const other = await hico(["sweep", "grid.json", "--lr", "0.5"]);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /was begun with other settings: lr; name another folder for this grid \(--folder\)/);

  const first = readFileSync(at("tiny.clips"));
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1, seed: 9 }), at("tiny.clips"));
  for (const table of [[], ["--table"]]) {
    const stale = await hico(["sweep", "grid.json", ...table]);
    assert.equal(stale.code, 1, "results on clips that are no more are none on those of the same name");
    assert.match(stale.stderr, /tiny\.clips is not the store that .* was begun on/);
  }
  writeFileSync(at("tiny.clips"), first);
});

test("a cluster's task is one run by ordinary commands", async () => {
  writeFileSync(
    at("grid.json"),
    JSON.stringify({
      ...GRID,
      cases: { "it's all": { epochs: 1 }, none: {} },
      settings: { ...GRID.settings, epochs: undefined },
    }),
  );
  const args = ["sweep", "grid.json", "--folder", "cluster", "--epochs", "1"];
  assert.match((await hico([...args, "--emit", "slurm"])).stderr, /epochs is set by options and by case/);
  writeFileSync(at("grid.json"), JSON.stringify({ ...GRID, cases: { "it's all": {}, none: {} } }));
  assert.match(
    (await hico([...args, "--emit", "slurm", "--jobs", "4"])).stdout,
    /cluster\/sweep\.slurm\.sh: 2 tasks; sbatch cluster.*hico sweep grid\.json --folder cluster --epochs=1 --table/,
  );
  const script = readFileSync(at("cluster/sweep.slurm.sh"), "utf8");
  assert.match(script, /^#SBATCH --array=0-1%4$/m);

  for (const line of ["--signal=B:TERM@120", "--open-mode=append", "--requeue"])
    assert.ok(script.includes(`#SBATCH ${line}\n`), line);
  assert.ok(!/npx|gres/.test(script + readFileSync(at("cluster/sweep.tasks.sh"), "utf8")));
  const shell = {
    ...process.env,
    HICO_DEVICE: "cpu",
    SLURM_ARRAY_TASK_ID: "1",
  };
  execFileSync("bash", [at("cluster/sweep.slurm.sh")], { cwd: "/", env: shell, stdio: "pipe" });
  const table = await hico([...args, "--table", "--json"]);
  assert.deepEqual(
    (JSON.parse(table.stdout) as SweepSummary).rows.map(({ runs }) => runs[0].state),
    ["waiting", "done"],
  );

  await hico([...args, "--emit", "k8s", "--image", "registry/hico:1", "--claim", "data"]);
  const job = JSON.parse(readFileSync(at("cluster/sweep.k8s.json"), "utf8")) as {
    metadata: { name: string };
    spec: { completions: number; completionMode: string; template: { spec: { containers: { command: string[] }[] } } };
  };
  assert.deepEqual([job.metadata.name, job.spec.completions, job.spec.completionMode], ["hico-grid", 2, "Indexed"]);
  const [{ command }] = job.spec.template.spec.containers;
  assert.equal(command.at(-1), "/work/cluster/sweep.tasks.sh");
  assert.throws(
    () => execFileSync("bash", [at("cluster/sweep.tasks.sh"), "2"], { cwd: folder, env: shell, stdio: "pipe" }),
    /there is no task 2/,
  );
  const outside = await hico(["sweep", "grid.json", "--folder", "/elsewhere", "--emit", "k8s"]);
  assert.match(outside.stderr, /--folder \/elsewhere is outside of the working folder/);
});

test("on recorded clips, chosen by a training subject that is held out", {
  skip: unless(`${SHARED_DATA}/utd_mhad`),
}, async () => {
  const prepared = await hico(["data", "prepare", "utd-mhad", `${SHARED_DATA}/utd_mhad`, "utd-mhad.clips"]);
  assert.equal(prepared.code, 0, prepared.stderr);
  writeFileSync(
    at("recorded.json"),
    JSON.stringify({
      preset: "utd-mhad",
      settings: { data: "utd-mhad.clips", epochs: 1, hidden: 16, projection: 8 },
      axes: { contrast: [["instance"]] },
      eval: { linear: false },
    }),
  );
  const { code, stdout, stderr } = await hico(["sweep", "recorded.json", "--hold-out", "7", "--json"]);
  assert.equal(code, 0, stderr);
  const [{ labels, measures, runs }] = (JSON.parse(stdout) as SweepOutcome).summary.rows;
  assert.deepEqual(labels, ["instance"]);
  const knn = JSON.parse(readFileSync(at(runs[0].folder, "eval/knn.json"), "utf8")) as KnnEvaluation;
  assert.equal(knn.trainClips + knn.testClips, 431);
  // Of 27 classes, with hardly any training: better than chance.
  assert.ok(measures.knn!.mean > 0.1, String(measures.knn!.mean));

  const report = await hico([
    "report",
    runs[0].folder,
    "--map",
    "80",
    "--queries",
    "1",
    "--svg",
    "figures",
    "--compare",
    runs[0].folder,
    "--json",
  ]);
  assert.equal(report.code, 0, report.stderr);
  const { figures, daviesBouldin } = JSON.parse(report.stdout) as { figures: string[]; daviesBouldin: number[] };
  assert.deepEqual([figures.length, daviesBouldin.length], [7, 4]);
  for (const index of daviesBouldin) assert.ok(index > 0.5 && index < 50, String(index));
});
