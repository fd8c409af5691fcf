/**
 * Random programs against a plain interpreter: `npm run fuzz:programs [-- --programs N] [-- --seed N] [-- --device D]`.
 *
 * A failure is shortened and printed as a program that can be pasted. Exit code 1 when there is one.
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import * as engine from "../src/index.ts";
import * as nn from "../src/nn/index.ts";
import { print } from "../test/programs/print.ts";
import { build, rows } from "../test/programs/program.ts";
import { compare, execute, interpret, type Engine } from "../test/programs/run.ts";

const { values } = parseArgs({
  options: {
    programs: { type: "string", default: "1000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    device: { type: "string", default: process.env.HICO_DEVICE ?? "cpu" },
  },
});
const device = await engine.useDevice(values.device);
const [count, seed] = [Number(values.programs), Number(values.seed)];
console.log(`${count} programs on ${values.device}, seed ${seed}`);

/** What docs/semantics.md says the engine refuses: such a program has no numbers to compare. */
const REFUSED = /its old value is gone/;
let refused = 0;

const property = fc.asyncProperty(rows, async (drawn) => {
  const program = build(drawn);
  let found: Awaited<ReturnType<typeof execute>>;
  try {
    found = await execute(program, { ...engine, ...nn } as unknown as Engine);
  } catch (error) {
    if (!REFUSED.test((error as Error).message)) throw error;
    refused++;
    return;
  }
  const wrong = compare(interpret(program), found);
  if (wrong) throw new Error(wrong);
});
const result = await fc.check(property, { numRuns: count, seed });
if (result.failed) {
  console.log(print(build(result.counterexample![0])));
  console.log(`\n// after ${result.numRuns} programs: ${(result.errorInstance as Error).message}`);
  console.log(`// npm run fuzz:programs -- --device ${values.device} --seed ${seed} --programs ${count}`);
  process.exitCode = 1;
} else console.log(`${result.numRuns} programs, 0 mismatches; ${refused} refused as docs/semantics.md says`);
device.close();
