/**
 * Random programs against a plain interpreter: `npm run fuzz:programs [-- --programs N] [-- --seed N] [-- --device D]`.
 *
 * A failure is shortened and printed as a program that can be pasted. Exit code 1 when there is one.
 */
import { parseArgs } from "node:util";
import * as engine from "../src/index.ts";
import * as nn from "../src/nn/index.ts";
import { check } from "../test/programs/check.ts";
import { print } from "../test/programs/print.ts";
import { build } from "../test/programs/program.ts";
import type { Engine } from "../test/programs/run.ts";

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

const { programs, compared, failure } = await check({ ...engine, ...nn } as unknown as Engine, count, seed);
if (failure) {
  console.log(print(build(failure.rows)));
  console.log(`\n// after ${programs} programs: ${failure.message}`);
  console.log(`// npm run fuzz:programs -- --device ${values.device} --seed ${seed} --programs ${count}`);
  process.exitCode = 1;
} else {
  console.log(`${programs} programs, 0 mismatches; ${programs - compared} refused as docs/semantics.md says`);
}
device.close();
