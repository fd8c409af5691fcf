/**
 * A few hundred random graphs, on a seed that differs from run to run and is printed. `npm run fuzz` runs as many as one
 * likes. HICO_SEED repeats a run, HICO_RUNS multiplies it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { disagreement, openTestDevice } from "../support/helpers.ts";
import {
  buildProgram,
  drawProgram,
  evaluateGraph,
  expectedOf,
  mismatch,
  printProgram,
  shrink,
  withoutUnused,
} from "../support/random-graph.ts";
import type { Program } from "../support/random-graph.ts";
import { checkReference, runProgram } from "../support/run-graph.ts";

const GRAPHS = Math.round(200 * Number(process.env.HICO_RUNS ?? 1));
const SEED = Number(process.env.HICO_SEED ?? Math.floor(Math.random() * 2 ** 30));
/** Long enough for all graphs on two idle cores; a slow machine runs fewer, never none. */
const MILLISECONDS = 45_000 * Number(process.env.HICO_RUNS ?? 1);

const openers = { webgpu: openTestDevice, cpu: () => CpuDevice.open({ threads: 2 }) } as const;

for (const [name, open] of Object.entries(openers)) {
  test(`random graphs from seed ${SEED}: ${name}, traced, replayed and compiled, against the reference`, async (t) => {
    const until = Date.now() + MILLISECONDS;
    const device = await open();
    let done = 0;
    let [compared, loose] = [0, 0];
    try {
      for (; done < GRAPHS && (done < 20 || Date.now() < until); done++) {
        const program = drawProgram(SEED + done);
        const thorough = done % 4 === 0;
        const outcome = await runProgram(program, device, thorough);
        const failures = [...outcome.failures, ...(thorough ? await checkReference(program) : [])];
        compared += outcome.compared;
        loose += outcome.loose;
        if (failures.length > 0) {
          const small = await shrink(program, async (p) => (await runProgram(p, device, thorough)).failures.length > 0);
          assert.fail(
            `seed ${program.seed}: ${failures.join("\n")}\nnpm run fuzz -- --seed ${program.seed} --graphs 1 --device ${name}\n${printProgram(small)}`,
          );
        }
      }
    } finally {
      device.close();
    }
    t.diagnostic(`seed ${SEED}: ${done} graphs, ${compared} values compared`);
    assert.ok(loose <= 0.1 * compared, `${loose} of ${compared} comparisons say little: graphs are drawn badly`);
  });
}

test("every kind of step occurs, sizes vary, and a seed gives one program", () => {
  const names = new Set<string>();
  const lengths = new Set<number>();
  for (let seed = 0; seed < 150; seed++) {
    const program = drawProgram(seed);
    lengths.add(program.steps.length);
    for (const step of program.steps) names.add(step.name.split(/[ ,]/)[0]);
  }
  for (const name of [
    "tanh",
    "exp",
    "relu",
    "round",
    "add",
    "div",
    "maximum",
    "where",
    "mask",
    "or",
    "cast",
    "mod",
    "reshape",
    "permute",
    "slice",
    "pad",
    "window",
    "unwindow",
    "spread",
    "flip",
    "expand",
    "sum",
    "max",
    "prod",
    "variance",
    "standardise",
    "argmax",
    "concat",
    "stack",
    "take",
    "gather",
    "scatterAdd",
    "product",
    "layer",
    "softmax",
    "logSumExp",
    "layerNorm",
    "crossEntropy",
    "topK",
    "random",
    "contiguous",
    "detach",
    "variable",
  ])
    assert.ok(names.has(name), `no ${name} in 150 programs`);
  assert.ok(Math.min(...lengths) <= 6 && Math.max(...lengths) >= 36);
  assert.equal(printProgram(drawProgram(77)), printProgram(drawProgram(77)));
});

test("a wrong value is a mismatch, and is made as small as it can be", async () => {
  let program: Program | undefined;
  for (let seed = 0; !program; seed++) {
    const drawn = drawProgram(seed);
    if (withoutUnused(drawn).steps.some((s) => s.name === "tanh") && drawn.steps.length > 12) program = drawn;
  }
  // As if tanh were computed wrongly: a program fails where one of its steps is a tanh.
  const fails = (p: Program) => Promise.resolve(p.steps.some((s) => s.name === "tanh"));
  const small = await shrink(program, fails);
  assert.ok(small.steps.length <= 3, printProgram(small));
  assert.ok(small.steps.some((s) => s.name === "tanh"));
  const [expected] = expectedOf(small);
  assert.equal(mismatch(expected, expected.values), undefined);
  const off = Float64Array.from(expected.values, (v, i) => (i === 0 ? v + 1e-3 : v));
  assert.match(mismatch(expected, off)!, /element 0 of \d+ is .* \(off by 1\.00e-3, allowed/);
  assert.ok(disagreement(off, expected.values, 1e-5, false));
  const { values } = buildProgram(small, false);
  assert.equal(evaluateGraph([values[0].node])[0].length, values[0].size);
});
