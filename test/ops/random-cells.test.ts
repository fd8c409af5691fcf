/**
 * `scan` of random cells against the same cells step after step on the reference device: values, gradients and gradients
 * of gradients, on a seed that differs from run to run and is printed. HICO_SEED repeats a run, HICO_RUNS multiplies it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { grad } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import { Generator, arange, compile, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { reference } from "../support/cells.ts";
import { openTestDevice } from "../support/helpers.ts";
import { OPERATIONS, scanned, shapesOf, unrolled } from "../support/random-cells.ts";
import type { Draw, Order, Sizes } from "../support/random-cells.ts";

const SEED = Number(process.env.HICO_SEED ?? Math.floor(Math.random() * 2 ** 30));
const RUNS = Number(process.env.HICO_RUNS ?? 1);

const number = fc.nat(99);
/** Rows are mixed by few cells: of the others devices run each row of the batch through all steps by itself. */
const operation = fc.oneof(
  { arbitrary: fc.nat(OPERATIONS.length - 3), weight: 40 },
  { arbitrary: fc.integer({ min: OPERATIONS.length - 2, max: OPERATIONS.length - 1 }), weight: 1 },
);
const draws = fc.array(fc.tuple(operation, number, number, number), { minLength: 1, maxLength: 8 });
const sizes = fc.record({
  steps: fc.integer({ min: 1, max: 4 }),
  batch: fc.constantFrom(1, 2, 5, 8, 9, 14, 17, 24, 33),
  hidden: fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 12, 19),
  inputs: fc.constantFrom(1, 3, 4, 6),
});

type Run = (draws: readonly Draw[], leaves: never, order: Order) => Tensor[];

/** Values of a loop, and the first and second derivatives of what it comes to. */
function derivatives(
  run: Run,
  cell: readonly Draw[],
  order: Order,
  twice: boolean,
  leaves: readonly Tensor[],
): Tensor[] {
  const loss = (given: readonly Tensor[]): Tensor =>
    run(cell, given as never, order)
      .map((y, i) =>
        y
          .mul(0.3 + 0.2 * i)
          .sin()
          .mean(),
      )
      .reduce((a, b) => a.add(b));
  const slopes = (given: readonly Tensor[]): readonly Tensor[] => grad(loss)(given);
  const bend = (given: readonly Tensor[]): Tensor =>
    slopes(given)
      .map((s, i) => s.mul(given[i].cos()).sum())
      .reduce((a, b) => a.add(b));
  return [...run(cell, leaves as never, order), ...slopes(leaves), ...(twice ? grad(bend)(leaves) : [])];
}

async function hostValues(tensors: readonly Tensor[]): Promise<HostArray[]> {
  const found: HostArray[] = [];
  for (const t of tensors) found.push(await t.read());
  return found;
}

/** Holds a device to the reference. */
async function agree(device: Backend, runs: number, seed: number): Promise<void> {
  const property = fc.asyncProperty(
    draws,
    sizes,
    fc.record({ reverse: fc.boolean(), masked: fc.boolean(), twice: fc.boolean() }),
    async (cell, drawn: Sizes, { reverse, masked, twice }) => {
      setDefaultDevice(reference);
      const generator = new Generator(7);
      const leaves: Tensor[] = [];
      for (const shape of shapesOf(drawn))
        leaves.push(tensor(Float32Array.from(await generator.uniform(shape, -0.7, 0.7).read()), { shape }));
      const { steps, batch } = drawn;
      const lengths = await generator.integers([batch], 0, steps + 1).read();
      const maskOf = (): Tensor => tensor(Int32Array.from(lengths)).unsqueeze(0).gt(arange(steps).unsqueeze(1));
      const order = (): Order => (masked ? { reverse, mask: maskOf() } : { reverse });
      const wanted = await hostValues(derivatives(unrolled, cell, order(), twice, leaves));
      setDefaultDevice(device);
      const compiled = compile((...given: Tensor[]) => derivatives(scanned, cell, order(), twice, given));
      const found = await hostValues(await compiled(...leaves));
      wanted.forEach((values, i) => {
        // Below, second derivatives of norms of few columns are what is left of numbers that cancel.
        const largest = Math.max(0.1, ...Array.from(values, Math.abs));
        const off = Array.from(values).findIndex((x, k) => !(Math.abs(x - found[i][k]) <= 1e-3 * largest));
        assert.equal(off, -1, `output ${i}, element ${off}: ${found[i][off]}, step after step ${values[off]}`);
      });
    },
  );
  try {
    await fc.assert(property, { numRuns: Math.round(runs * RUNS), seed });
  } finally {
    setDefaultDevice(undefined);
    device.close();
  }
}

describe(`random cells from seed ${SEED}`, () => {
  for (const threads of [1, 3])
    test(`cpu, ${threads} threads`, async () => agree(await CpuDevice.open({ threads }), 60, SEED + threads));
  test("webgpu", async () => agree(await openTestDevice(), 8, SEED));
});
