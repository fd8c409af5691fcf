/** What a scheduler reads of a sweep: names, folders and arrays that it takes as they are meant, whatever a grid is called. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Job } from "kubernetes-models/batch/v1";
import { arrayTasks, clusterName, kubernetesJob, parseGrid, slurmScripts, taskScript } from "../../src/sweep/index.ts";

const NAMES = [
  "try",
  "two words",
  "%j",
  "a\n#SBATCH --wrap=id",
  "'quo\"ted",
  "--",
  "ÄÖ",
  "_-_",
  "x".repeat(300),
].concat("$(touch x)", "`touch x`");
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
  assert.deepEqual(
    slurmScripts(grid("try", seeds), options, arrayTasks("MaxArraySize            = 901\n")).map(
      (text) => /--array=0-(\d+)/.exec(text)![1],
    ),
    ["900", "900", "697"],
    "no array is longer than a cluster's own limit",
  );
  assert.deepEqual(
    [undefined, "MaxArraySize = 0", "MaxArraySize = 100001"].map((config) => arrayTasks(config)),
    [1000, 1000, 1000],
  );
  assert.ok(slurmScripts(grid("try"), { ...options, threads: 8 })[0].includes("#SBATCH --cpus-per-task=8\n"));
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
  const inside = { ...folder, folder: "sweeps/try" };
  const withData = parseGrid({ settings: { data: "/elsewhere/a.clips" } }, "g.json", {});
  assert.throws(
    () => kubernetesJob(withData, inside),
    /--data \/elsewhere\/a\.clips is outside .* of the volume.*NAME\.clips/,
  );
  for (const image of ["two words", "", "Big/Letters", "a@sha256:12", "-x"])
    assert.throws(() => kubernetesJob(grid("try"), { ...inside, image }), /--image ".*" names no image/);
  for (const image of ["hico-webgpu", "registry.example:5000/a/hico_webgpu:1.2-RC", `a/b@sha256:${"0f".repeat(32)}`])
    assert.ok(kubernetesJob(grid("try"), { ...inside, image }).includes(image));
  for (const claim of ["Not_A name", "", "-a", "a".repeat(300)])
    assert.throws(() => kubernetesJob(grid("try"), { ...inside, claim }), /--claim ".*" names no volume claim/);
});

test("paths within the working folder are written as they hold wherever it is mounted", () => {
  const data = `${process.cwd()}/data/a.clips`;
  const text = taskScript(parseGrid({ settings: { data } }, "g.json", {}), {
    ...options,
    folder: `${process.cwd()}/sweeps/try`,
  });
  assert.match(text, /pretrain --run=sweeps\/try\/runs\/seed=0 .*--data=data\/a\.clips /);
  assert.match(taskScript(grid("try"), { ...options, folder: "/scratch/try" }), /--run=\/scratch\/try\/runs\//);
});

test("a task given back by its node is no failure, and it computes on the CPUs that it asked for", () => {
  const job = (threads?: number): Record<string, unknown> => {
    const { spec } = JSON.parse(
      kubernetesJob(grid("try"), { folder: "sweeps/try", image: "i", claim: "c", threads }),
    ) as { spec: { podFailurePolicy: object; template: { spec: { containers: [Record<string, unknown>] } } } };
    return { ...spec.template.spec.containers[0], policy: spec.podFailurePolicy };
  };
  assert.deepEqual(job().policy, {
    rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
  });
  assert.deepEqual((job(6).resources as { requests: object }).requests, { cpu: "6", memory: "4Gi" });
  assert.deepEqual(job().env, [
    { name: "HICO_THREADS", valueFrom: { resourceFieldRef: { resource: "requests.cpu" } } },
  ]);
});
