/**
 * Random programs of statements, on a seed that differs from run to run and is printed. `npm run fuzz:programs` runs as
 * many as one likes. HICO_SEED repeats a run, HICO_RUNS multiplies it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as engine from "../../src/index.ts";
import * as nn from "../../src/nn/index.ts";
import { checkPrograms } from "../../src/testing/index.ts";

const SEED = Number(process.env.HICO_SEED ?? Math.floor(Math.random() * 2 ** 30));
const PROGRAMS = Math.round(200 * Number(process.env.HICO_RUNS ?? 1));

for (const name of ["cpu", "reference"] as const) {
  test(`random programs from seed ${SEED}: ${name}, against a plain interpreter`, async (t) => {
    const device = await engine.device(name);
    engine.setDefaultDevice(device);
    try {
      const { compared } = await checkPrograms({ ...engine, ...nn }, { runs: PROGRAMS, seed: SEED });
      // Programs that are refused have nothing to compare; were all refused, the test would say nothing.
      assert.ok(compared > PROGRAMS / 2, `${compared} of ${PROGRAMS} programs had values to compare`);
      t.diagnostic(`${compared} of ${PROGRAMS} programs compared`);
    } finally {
      engine.setDefaultDevice(undefined);
      device.close();
    }
  });
}
