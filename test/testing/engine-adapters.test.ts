/** Adapters of other engines: they ask what was meant, and say what they lack. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { hicoEngine } from "../../src/testing/engines/adapters/hico.ts";
import { TORCH_PROGRAM } from "../../src/testing/engines/adapters/torch-program.ts";
import { checkEngine, faultsOf, openEngine } from "../../src/testing/index.ts";
import type { EngineAdapter, EngineRequest, PlainArray } from "../../src/testing/index.ts";

const f32 = (shape: readonly number[], ...data: number[]): PlainArray => ({ shape, dtype: "f32", data });
/** Looks for PyTorch without the seconds that loading it takes. */
const PROBE = "import sys, importlib.util; sys.exit(importlib.util.find_spec('torch') is None)";
const TORCH = ["python3", "/usr/bin/python3"].find((python) => spawnSync(python, ["-c", PROBE]).status === 0);
const noTorch = TORCH === undefined && "no Python with PyTorch (apt-get install python3-torch)";

/** Two outputs, with gradients and second derivatives; and five steps of descent. */
const REQUESTS: readonly EngineRequest[] = [
  {
    inputs: [f32([2, 2], 0.5, -1, 2, 0.25), f32([2], 1.5, -0.5)],
    steps: [
      { op: "mul", of: [0, 1] },
      { op: "square", of: [2] },
      { op: "mul", of: [3, 0] },
    ],
    outputs: [3, 4],
    gradient: {
      of: [1, 0],
      cotangents: [f32([2, 2], 1, 2, -1, 0.5), f32([2, 2], 0.5, 1, 1, -2)],
      directions: [f32([2], 1, -1), f32([2, 2], 1, 0.5, -1, 2)],
    },
  },
  {
    inputs: [f32([3], 1, -2, 0.5), f32([], 0.125)],
    steps: [{ op: "square", of: [0] }],
    outputs: [2],
    gradient: { of: [0], cotangents: [f32([3], 1, 1, 3)] },
    updates: {
      times: 5,
      steps: [
        { op: "mul", of: [3, 1] },
        { op: "sub", of: [0, 4] },
      ],
      next: [{ input: 0, value: 5 }],
    },
  },
  { inputs: [f32([4], NaN, -0, Infinity, 1)], steps: [{ op: "isFinite", of: [0] }], outputs: [0, 1] },
  { inputs: [f32([2, 0, 3])], steps: [{ op: "exp", of: [0] }], outputs: [1] },
];

async function agrees(engine: EngineAdapter): Promise<void> {
  const right = hicoEngine(new ReferenceDevice(), "0");
  const list = (arrays: readonly PlainArray[] = []) =>
    arrays.map(({ data, ...rest }) => ({ ...rest, data: Array.from(data, (x) => (Object.is(x, -0) ? "-0" : x)) }));
  for (const request of REQUESTS) {
    const [got, want] = [await engine.run(request), await right.run(request)];
    // Every number of these programs is exact in float32.
    assert.deepEqual(list(got.outputs), list(want.outputs));
    assert.deepEqual(list(got.gradients), list(want.gradients));
    assert.deepEqual(list(got.seconds), list(want.seconds));
  }
}

test("TensorFlow.js, on both of its backends: as asked, and what it lacks is absent", async () => {
  for (const backend of ["wasm", "cpu"]) {
    const engine = await openEngine("tfjs", { backend });
    assert.deepEqual([engine.name, engine.version], [`@tensorflow/tfjs-core (${backend})`, "4.22.0"]);
    await agrees(engine);
    const report = await checkEngine(engine, { only: ["cosh", "silu"] });
    assert.deepEqual(report.absent, ["silu"]);
    assert.ok(report.operations.every(({ aspects }) => aspects.gradients!.passed === aspects.gradients!.of));
  }
  await assert.rejects(
    openEngine("tfjs", { backend: "abacus" }),
    /tfjs has no backend abacus here; there is wasm, cpu/,
  );
});

test("TensorFlow.js: the gradient of maximum does not broadcast, and a product with tanh loses a share of its second", async () => {
  const faults = faultsOf(await checkEngine(await openEngine("tfjs"), { only: ["maximum", "tanh"] }));
  const seconds = faults.filter(({ operation, aspect }) => operation === "tanh" && aspect === "second");
  assert.deepEqual(
    seconds.map(({ case: name, kind }) => `${name}: ${kind}`),
    ["in its domain: refusal", "times its operand: gradient"],
  );
  const [first] = faults.filter(({ aspect }) => aspect === "gradients");
  assert.equal(first.kind, "refusal");
  assert.match(first.message, /Error in gradient for op Maximum. The gradient of input 'b' has shape '3,5'/);
});

test("PyTorch over a pipe: as asked, and nothing differs", { skip: noTorch }, async () => {
  const engine = await openEngine("torch", { python: TORCH });
  assert.match(engine.version, /^\d+\.\d+/);
  await agrees(engine);
  const report = await checkEngine(engine, { only: ["exp", "maximum", "silu", "isNaN"] });
  assert.deepEqual([faultsOf(report), report.absent], [[], []]);
  assert.ok(report.asked > 80);
  await engine.close?.();
});

test("a backend or a Python that an engine has no use for is refused", async () => {
  await assert.rejects(openEngine("hico", { backend: "abacus" }), /hico has no backend abacus here; there is cpu/);
  await assert.rejects(openEngine("tfjs", { python: "python3" }), /tfjs needs no Python: --python is for torch/);
});

test("a Python that is not there, has no PyTorch, or dies is named", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "hico-python-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const nowhere = join(folder, "no-python-here");
  await assert.rejects(
    openEngine("torch", { python: nowhere }),
    /torch needs Python, and .*no-python-here does not start/,
  );
  const fake = (name: string, body: string): string => {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return path;
  };
  const bare = fake("bare", `echo '{"lacking": "No module named torch"}'`);
  await assert.rejects(openEngine("torch", { python: bare }), /PyTorch, which .*bare does not have.*pip install torch/);
  const deviceless = fake("deviceless", `echo '{"refused": "no such device"}'`);
  await assert.rejects(
    openEngine("torch", { python: deviceless, backend: "abacus" }),
    /torch does not compute on abacus: no such device/,
  );
  const dies = fake("dies", `echo '{"version": "0", "operations": ["exp"]}'; read line; echo "out of tea" >&2; exit 7`);
  const engine = await openEngine("torch", { python: dies });
  for (let time = 0; time < 2; time++) {
    await assert.rejects(
      engine.run(REQUESTS[3]),
      /dies \(process \d+\) ended by exit code 7: out of tea/,
      "the second request is asked of a second process",
    );
  }
  await engine.close?.();
});

const noPython = spawnSync("python3", ["-c", ""]).status !== 0 && "no python3";
test("the Python ends with who asks it, also while it loads PyTorch", { skip: noPython }, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "hico-python-"));
  context.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(
    join(folder, "torch.py"),
    "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(600)\n",
  );
  const child = spawn("python3", ["-c", TORCH_PROGRAM, "cpu"], { env: { ...process.env, PYTHONPATH: folder } });
  await once(child.stderr, "data");
  child.stdin.end();
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
