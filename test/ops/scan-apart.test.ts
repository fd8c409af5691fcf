/**
 * `scan` on the cpu device: a cell that computes every batch row from that row alone is cut into blocks of rows, each
 * taken through all steps by whoever claims it, and other cells run kernel by kernel; both have the same bits whatever
 * the number of threads.
 */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { CpuPlanner } from "../../src/device/cpu/planner.ts";
import { layOut } from "../../src/device/cpu/program-layout.ts";
import { scan } from "../../src/ops/index.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import { compile, setDefaultDevice } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { wasmFeatures } from "../../src/wasm/assembler/features.ts";
import type { Problem } from "../support/cells.ts";
import {
  attending,
  batchNormed,
  gru,
  leavesFor,
  minGru,
  narrowing,
  reference,
  resultsOf,
  rowByRow,
  shifted,
  valuesOf,
} from "../support/cells.ts";
import { assertClose } from "../support/helpers.ts";

const STEPS = 5;

/** How the cpu device lays a problem out. */
function laidOut(leaves: readonly Tensor[], problem: Problem) {
  const planner = new CpuPlanner(wasmFeatures());
  const outputs = resultsOf(leaves, problem).map((t) => t.node);
  return layOut(planner.plan(planner.graph(outputs, [])), planner);
}

/** Of every loop how many blocks of rows it is cut into. */
async function cuts(problem: Problem): Promise<(number | undefined)[]> {
  const { phases } = laidOut(await leavesFor(problem, STEPS), problem);
  return phases.flatMap((stage) => ("body" in stage ? [stage.apart] : []));
}

describe("scan in blocks of rows", () => {
  after(() => setDefaultDevice(undefined));

  for (const [name, cell, gates] of rowByRow) {
    test(`${name}: values of the reference, and the same bits on one thread and on three`, async () => {
      for (const [batch, hidden] of [
        [40, 16],
        [19, 5],
      ]) {
        const problem: Problem = { cell, gates, batch, hidden };
        assert.deepEqual(await cuts(problem), [Math.ceil(batch / 8), Math.ceil(batch / 8)]);
        for (const options of [{}, { reverse: true, lengths: Array.from({ length: batch }, (_, i) => i % 6) }]) {
          const leaves = await leavesFor(problem, STEPS);
          const found = [];
          for (const threads of [1, 3]) {
            const device = await CpuDevice.open({ threads });
            found.push(await valuesOf(device, leaves, { ...problem, options }));
            device.close();
          }
          const wanted = await valuesOf(reference, leaves, { ...problem, options });
          found[0].forEach((values, i) => assertClose(values, wanted[i], 1e-5));
          assert.deepEqual(found[1], found[0]);
        }
      }
    });
  }

  test("many rows are taken sixteen at a time, and few are not cut", async () => {
    const blocks = async (batch: number) => (await cuts({ cell: gru, gates: 3, batch, hidden: 8 }))[0];
    assert.deepEqual(await Promise.all([8, 9, 112, 113, 200].map(blocks)), [undefined, 2, 14, 8, 13]);
  });

  test("cells that mix rows run kernel by kernel", async () => {
    for (const cell of [batchNormed, shifted, attending]) {
      const problem: Problem = { cell, gates: 1, batch: 24, hidden: 8 };
      const found = await cuts(problem);
      assert.deepEqual(
        found,
        found.map(() => undefined),
      );
      const leaves = await leavesFor(problem, STEPS);
      const device = await CpuDevice.open({ threads: 2 });
      const values = await valuesOf(device, leaves, problem);
      device.close();
      const wanted = await valuesOf(reference, leaves, problem);
      values.forEach((v, i) => assertClose(v, wanted[i], 1e-5));
    }
  });

  test("a matrix for every step, and the same product before the loop", async () => {
    const [batch, hidden] = [24, 20];
    const [x, w, , h] = await leavesFor({ cell: gru, gates: 1, batch, hidden }, STEPS);
    const [matrices] = await leavesFor({ cell: gru, gates: 1, batch: hidden, hidden }, STEPS);
    const step = compile((x: Tensor, w: Tensor, h: Tensor, m: Tensor) => {
      const state = h.matmul(w).mul(0.2).tanh();
      const plain = scan(
        (h: Tensor) => {
          const next = h.matmul(w).mul(0.2).tanh();
          return { state: next, output: next };
        },
        { state, inputs: x },
      );
      const changing = scan(
        (h: Tensor, { x, m }: { x: Tensor; m: Tensor }) => {
          const next = h.matmul(m).mul(0.2).add(x).tanh();
          return { state: next, output: next };
        },
        { state, inputs: { x, m } },
      );
      return [plain.outputs, changing.outputs];
    });
    const found: HostArray[][] = [];
    const device = await CpuDevice.open({ threads: 2 });
    for (const on of [device, reference]) {
      setDefaultDevice(on);
      const values: HostArray[] = [];
      for (const t of await step(x, w, h, matrices)) values.push(await t.read());
      found.push(values);
    }
    device.close();
    found[0].forEach((values, i) => assertClose(values, found[1][i], 1e-5));
  });

  test("values of two sizes that take turns at one piece of memory elsewhere have one each", async () => {
    const problem: Problem = { cell: narrowing, gates: 1, batch: 48, hidden: 40 };
    const [x, , p, h, c] = await leavesFor(problem, STEPS);
    const [, w] = await leavesFor({ ...problem, gates: 4 }, 1);
    const [{ base, offset, bases }] = laidOut([x, w, p, h, c], problem).loops;
    const first = Array.from(offset.slice(0, base.length / STEPS));
    const places = new Set(first.filter((_, i) => bases[base[i]].kind === "arena"));
    // Four packed weights, and seven pieces for what a step computes: rows of 40 and of 160 do not share one of six.
    assert.equal(places.size, 11);
  });

  test("threads at steps of their own do not write over each other's rows", async () => {
    const device = await CpuDevice.open({ threads: 3 });
    const alone = await CpuDevice.open({ threads: 1 });
    for (const cell of [narrowing, minGru]) {
      const problem: Problem = { cell, gates: 1, batch: 48, hidden: 40 };
      const [x, , p, h, c] = await leavesFor(problem, 60);
      const [, w] = await leavesFor({ ...problem, gates: cell === narrowing ? 4 : 1 }, 1);
      const leaves = [x, w, p, h, c];
      const wanted = await valuesOf(alone, leaves, problem);
      for (let i = 0; i < 10; i++) assert.deepEqual(await valuesOf(device, leaves, problem), wanted);
    }
    device.close();
    alone.close();
  });
});
