import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FUZZ_FORMATS, fuzzInput, readFuzzInput } from "./fuzzing.ts";

/** Another seed each day, printed, so that a failure can be run again. */
const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Date.now() / 86_400_000));
const COUNT = 4000;

describe("mutated files are read or refused", () => {
  for (const format of FUZZ_FORMATS) {
    test(`${format}, seed ${seed}`, () => {
      let read = 0;
      const faults = new Set<string>();
      for (let index = 0; index < COUNT; index++) {
        const bytes = fuzzInput(format, seed, index);
        try {
          const fault = readFuzzInput(format, bytes);
          if (fault === undefined) read++;
          else faults.add(fault.replace(/\d+/g, "#").slice(0, 40));
        } catch (error) {
          const again = `node --import tsx scripts/fuzz-io.ts --format ${format} --seed ${seed} --index ${index}`;
          assert.fail(`${(error as Error).stack}\nreproduce: ${again}`);
        }
      }
      // A fuzzer whose inputs are all refused at the door, or never, tests nothing.
      assert.ok(read > 0 && read < COUNT && faults.size >= 5, `${read} read, ${faults.size} kinds of fault`);
    });
  }
});
