/**
 * npm run fuzz -- --graphs 10000 [--seed S] [--device webgpu|cpu|reference] [--minutes M] [--thorough N] [--second]
 *
 * Random graphs (test/support/random-graph.ts) on a device against the float64 evaluation of the same graph. Graph i of a
 * run has seed S + i, so a failure is repeated with `--seed THAT --graphs 1`. Every Nth graph (default 4) is also
 * replayed from the plan cache, compiled, and checked on the reference device. With `--second` every graph has gradients,
 * tangents along drawn ones (`jvp`) and second derivatives; without it, some have. Exit code 1 where anything disagreed.
 */
import { parseArgs } from "node:util";
import { device } from "../src/device/index.ts";
import type { Backend } from "../src/tensor/backend.ts";
import { drawProgram, printProgram, shrink } from "../test/support/random-graph.ts";
import { checkReference, runProgram } from "../test/support/run-graph.ts";
import { testAdapter } from "../test/environments/test-gpu.ts";

const { values } = parseArgs({
  options: {
    graphs: { type: "string", default: "1000" },
    seed: { type: "string" },
    device: { type: "string", default: "webgpu" },
    minutes: { type: "string" },
    thorough: { type: "string", default: "4" },
    second: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});
const graphs = Number(values.graphs);
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(values.seed);
const every = Number(values.thorough);
const until = values.minutes === undefined ? Infinity : Date.now() + Number(values.minutes) * 60_000;
if (![graphs, first, every].every(Number.isSafeInteger))
  throw new Error("fuzz: --graphs, --seed and --thorough take whole numbers");

/** Pipelines of past graphs are of no use: a fresh device now and then gives their memory back. */
const GRAPHS_A_DEVICE = 150;
const open = (): Promise<Backend> => device(values.device, { adapter: testAdapter });

let opened = await open();
console.log(`fuzz: ${graphs} graphs from seed ${first} on ${opened.name}`);
let [done, compared, loose, steps, failed] = [0, 0, 0, 0, 0];
let shown = Date.now();
for (; done < graphs && Date.now() < until; done++) {
  if (done > 0 && done % GRAPHS_A_DEVICE === 0) {
    opened.close();
    opened = await open();
  }
  const program = drawProgram(first + done, values.second);
  const thorough = every > 0 && done % every === 0;
  const outcome = await runProgram(program, opened, thorough);
  const failures = [...outcome.failures, ...(thorough ? await checkReference(program) : [])];
  compared += outcome.compared;
  loose += outcome.loose;
  steps += program.steps.length;
  if (failures.length > 0) {
    failed++;
    console.log(`\nseed ${program.seed}: ${failures.join("\n")}`);
    const small = await shrink(program, async (p) => {
      const again = await runProgram(p, opened, thorough);
      return again.failures.length > 0 || (thorough && (await checkReference(p)).length > 0);
    });
    console.log(`smallest that fails (npm run fuzz -- --seed ${program.seed} --graphs 1):\n${printProgram(small)}`);
    console.log((await runProgram(small, opened, thorough)).failures.join("\n"));
    if (!values.keep) {
      done++;
      break;
    }
  }
  if (Date.now() - shown > 20_000) {
    shown = Date.now();
    console.log(`${done + 1} graphs, ${compared} values compared, ${failed} mismatches`);
  }
}
opened.close();
console.log(
  `${done} graphs of ${(steps / Math.max(1, done)).toFixed(1)} steps (seeds ${first}..${first + done - 1}): ${compared} values compared, ` +
    `${((100 * loose) / Math.max(1, compared)).toFixed(1)} % of them loosely; ${failed} mismatches`,
);
process.exitCode = failed > 0 ? 1 : 0;
