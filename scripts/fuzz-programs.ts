/**
 * Random programs against a plain interpreter: `npm run fuzz:programs [-- --programs N] [-- --seed N] [-- --device D]`.
 *
 * A failure is shortened and printed as a program that can be pasted. Exit code 1 when there is one.
 */
import { parseArgs } from "node:util";
import * as engine from "../src/index.ts";
import * as nn from "../src/nn/index.ts";
import { CheckError, checkPrograms } from "../src/testing/index.ts";

const { values } = parseArgs({
  options: {
    programs: { type: "string", default: "1000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    device: { type: "string", default: process.env.HICO_DEVICE ?? "cpu" },
  },
});
const device = await engine.useDevice(values.device);
const [runs, seed] = [Number(values.programs), Number(values.seed)];
console.log(`${runs} programs on ${values.device}, seed ${seed}`);

try {
  const { programs, compared } = await checkPrograms({ ...engine, ...nn }, { runs, seed });
  console.log(`${programs} programs, 0 mismatches; ${programs - compared} refused as docs/semantics.md says`);
} catch (error) {
  if (!(error instanceof CheckError)) throw error;
  console.log(error.message);
  console.log(`// npm run fuzz:programs -- --device ${values.device} --seed ${seed} --programs ${runs}`);
  process.exitCode = 1;
}
device.close();
