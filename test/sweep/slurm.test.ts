/**
 * A sweep on a real Slurm: a task that is killed and one that is sent back to the queue go on where they were, and the
 * results are those of plain runs, byte for byte.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { generatedSource } from "../../src/data/sources/generated.ts";
import { prepareStore } from "../../src/data/sources/prepare.ts";
import { clusterName, parseGrid, slurmScripts } from "../../src/sweep/index.ts";
import { runHico } from "../cli/run-hico.ts";
import { TINY_SIZES } from "../hico/run/run-helpers.ts";
import { SlurmCluster, whyNoSlurm } from "./slurm-cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-slurm-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const hico = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await runHico(folder, args, { device: "cpu" });
  assert.equal(code, 0, `${stdout}${stderr}`);
  return stdout;
};

// A grid is named as its file is: what sbatch and shells would read as something else, but for the names that jobs get.
const FILE = "two words %j 'quo\"ted $(touch x) `touch y` -- ÄÖ\n#SBATCH --wrap=id.json";
/** Letters that are no ASCII may stand in an #SBATCH line. */
const CLUSTER = "clusterÄÖ";
const GRID = {
  settings: {
    data: "tiny.clips",
    ...TINY_SIZES,
    // Some seconds: long enough to be stopped on a fast machine.
    epochs: 150,
    saveEvery: 1,
    logEvery: 1,
  },
  seeds: [0, 1, 2, 3],
  eval: { linear: { epochs: 3 }, knn: { k: 3 } },
};

const NAMES = [
  "two words",
  "%j",
  "a\n#SBATCH --wrap=id",
  "'quo\"ted",
  "$(touch x)",
  "`touch y`",
  "--",
  "ÄÖ",
  "\\",
  "#",
];

/** Processes of `hico pretrain` in a run's folder. */
function processesOf(run: string): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    let words: string[];
    try {
      words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
    } catch {
      continue;
    }
    if (words.includes("pretrain") && words.includes(`--run=${run}`)) found.push(Number(name));
  }
  return found;
}

test("what a real sbatch makes of a script's lines, whatever its grid is called", { skip: whyNoSlurm() }, async () => {
  const cluster = await SlurmCluster.start(mkdtempSync(join(tmpdir(), "slurm-")));
  try {
    const script = join(folder, "held.sh");
    for (const name of NAMES) {
      const grid = { ...parseGrid({ seeds: [0, 1] }, "g.json", {}), name };
      writeFileSync(script, slurmScripts(grid, { folder, jobs: 2, threads: 1, program: ["x"] })[0]!);
      const held = cluster.held(script, folder);
      assert.deepEqual(
        [held.JobName, held.Command, held.Requeue, held.ArrayTaskId, held["CPUs/Task"]],
        [clusterName(name), script, "1", "0-1%2", "1"],
        JSON.stringify(name),
      );
      assert.ok(held.StdOut!.startsWith(`${folder}/logs/`) && held.StdErr === held.StdOut, held.StdOut);
    }
  } finally {
    cluster.stop();
  }
});

test("four tasks on a real Slurm, one killed, one requeued: equal to plain runs", { skip: whyNoSlurm() }, async () => {
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), join(folder, "tiny.clips"));
  writeFileSync(join(folder, FILE), JSON.stringify(GRID));
  await hico("sweep", FILE, "--folder", "plain");

  const emitted = await hico("sweep", FILE, "--folder", CLUSTER, "--emit", "slurm", "--device", "cpu", "--json");
  const { path, tasks } = JSON.parse(emitted) as { path: string; tasks: number };
  assert.equal(tasks, 4);
  const runs = (of: string): string[] => readdirSync(join(folder, of, "runs")).sort();
  const names = runs("plain");
  const saved = (name: string): boolean => {
    const checkpoints = join(folder, CLUSTER, "runs", name, "checkpoints");
    return existsSync(checkpoints) && readdirSync(checkpoints).some((file) => file.startsWith("step-"));
  };

  const cluster = await SlurmCluster.start(mkdtempSync(join(tmpdir(), "slurm-")));
  try {
    const job = cluster.submit(path, folder);
    await cluster.until("the second task has saved", () => saved(names[1]!));
    cluster.run("scontrol", ["requeue", `${job}_1`]);
    const log = join(folder, CLUSTER, "logs", `${job}_1.log`);

    await cluster.until("the first task has saved", () => saved(names[0]!));
    for (const pid of processesOf(`${CLUSTER}/runs/${names[0]}`)) process.kill(pid, "SIGKILL");
    await cluster.until("the killed task has failed", () => cluster.states(job).get(0) === "FAILED");
    cluster.run("scontrol", ["requeue", `${job}_0`]);

    await cluster.until("the requeued task has saved what it had", () =>
      /interrupted at step \d+ of/.test(readFileSync(log, "utf8")),
    );
    await cluster.until("all tasks have ended", () => {
      const states = [...cluster.states(job).values()];
      assert.ok(!states.includes("FAILED") || states.filter((state) => state === "FAILED").length <= 1);
      return states.length === 4 && states.every((state) => state === "COMPLETED");
    });
    for (const name of names)
      assert.deepEqual(processesOf(`${CLUSTER}/runs/${name}`), [], "no task left a process behind");
  } finally {
    cluster.stop();
  }

  assert.deepEqual(runs(CLUSTER), names);
  for (const name of names) {
    const last = (of: string): Buffer => {
      const checkpoints = join(folder, of, "runs", name, "checkpoints");
      const file = readdirSync(checkpoints)
        .filter((entry) => entry.startsWith("step-"))
        .sort()
        .at(-1)!;
      return readFileSync(join(checkpoints, file));
    };
    assert.ok(last("plain").equals(last(CLUSTER)), `${name}: the last checkpoints are equal, byte for byte`);
  }
  const measures = async (of: string): Promise<unknown> => {
    const { rows } = JSON.parse(await hico("sweep", FILE, "--folder", of, "--table", "--json")) as {
      rows: { labels: unknown; measures: unknown }[];
    };
    return rows.map((row) => [row.labels, row.measures]);
  };
  assert.deepEqual(await measures(CLUSTER), await measures("plain"));
  for (const name of ["id", "x", "y"]) assert.ok(!existsSync(join(folder, name)), "no part of the grid's name ran");
});
