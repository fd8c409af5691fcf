/** What a scheduler reads of a sweep: names, folders and arrays that it takes as they are meant, whatever a grid is called. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Job } from "kubernetes-models/batch/v1";
import { clusterName, kubernetesJob, parseGrid, slurmScripts, taskScript } from "../../src/sweep/index.ts";

const NAMES = ["try", "two words", "%j", "a\n#SBATCH --wrap=id", "'quo\"ted", "--", "ÄÖ", "_-_", "x".repeat(300)];
const grid = (name: string, seeds = [0]) => ({ ...parseGrid({ seeds }, "g.json", {}), name });
const options = { folder: "sweeps/try", program: ["/usr/bin/node", "/opt/hico/main.js"] };

test("a grid of any name is one job of a proper name of its own", () => {
  for (const name of NAMES) assert.match(clusterName(name), /^[a-z]([a-z0-9-]{0,48}[a-z0-9])?$/);
  assert.equal(new Set(NAMES.map((name) => clusterName(name))).size, NAMES.length);
  for (const name of NAMES) {
    const [script] = slurmScripts(grid(name), options);
    const directives = script.split("\n").filter((line) => line.startsWith("#SBATCH"));
    assert.deepEqual(
      directives.map((line) => /^#SBATCH --([\w-]+)(=[^\s'"\\]+)?$/.exec(line)?.[1]),
      ["job-name", "array", "requeue", "open-mode", "signal", "output"],
    );
  }
});

test("a folder that no #SBATCH line can hold is refused by name", () => {
  for (const folder of ["my runs", "100%j", 'a"b', "a\nb", "a\\b", "it's"])
    assert.throws(() => slurmScripts(grid("try"), { ...options, folder }), /cannot stand in an #SBATCH line.*--folder/);
});

test("2,500 runs are three arrays, each task named once; a GPU is asked for where one is meant", () => {
  const seeds = Array.from({ length: 2500 }, (_, i) => i);
  const scripts = slurmScripts(grid("try", seeds), { ...options, gpu: true });
  assert.deepEqual(
    scripts.map((text) => [/--array=(\S+)/.exec(text)![1], /TASK_ID \+ (\d+)/.exec(text)![1]]),
    [
      ["0-999", "0"],
      ["0-999", "1000"],
      ["0-499", "2000"],
    ],
  );
  assert.ok(scripts.every((text) => text.includes("#SBATCH --gres=gpu:1\n")));
  assert.ok(taskScript(grid("try", seeds), options).includes("\n  2499)\n"));
  const { spec } = (
    JSON.parse(kubernetesJob(grid("try", seeds), { ...options, gpu: true, image: "i", claim: "c" })) as {
      spec: { template: { spec: { terminationGracePeriodSeconds: number; containers: [Record<string, object>] } } };
    }
  ).spec.template;
  assert.ok(JSON.stringify(spec.containers[0].command).length < 1000);
  assert.deepEqual(Object.keys(spec.containers[0].resources), ["requests", "limits"]);
  assert.ok(JSON.stringify(spec.containers[0].resources).includes("nvidia.com/gpu"));
  assert.ok(spec.terminationGracePeriodSeconds >= 60);
});

test("the manifest is what Kubernetes' schema asks for, whatever a grid is called; the schema finds a planted fault", () => {
  for (const name of NAMES)
    for (const gpu of [false, true]) {
      const text = kubernetesJob(grid(name), {
        folder: "sweeps/try",
        gpu,
        jobs: 3,
        image: "hico-webgpu",
        claim: "hico",
      });
      new Job(JSON.parse(text) as object).validate();
      assert.ok(text.includes("ReadWriteMany"));
      const planted = JSON.parse(text.replace('"completions": 1', '"completions": "one"')) as object;
      assert.throws(() => new Job(planted).validate(), /completions/);
    }
  const folder = { gpu: false, image: "i", claim: "c" };
  for (const outside of ["/elsewhere", "../elsewhere", "."])
    assert.throws(
      () => kubernetesJob(grid("try"), { ...folder, folder: outside }),
      /outside of the volume.*sweeps\/NAME/,
    );
});
