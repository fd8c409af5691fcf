/**
 * `scan` on WebGPU: a cell that computes every batch row from that row alone runs in one dispatch, whatever the number
 * of steps, and other cells step by step; both give the reference device's values.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { leavesOf } from "../../src/autograd/tree.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { scan } from "../../src/ops/index.ts";
import { compile, ones, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Problem } from "../support/cells.ts";
import {
  attending,
  batchNormed,
  gru,
  leavesFor,
  lstm,
  normals,
  reference,
  rowByRow,
  shifted,
  valuesOf,
} from "../support/cells.ts";
import { assertClose, openTestDevice } from "../support/helpers.ts";

/** Values and gradients, and how many dispatches they took. */
async function run(device: WebGpuDevice, leaves: readonly Tensor[], problem: Problem) {
  const start = device.counters.dispatches;
  const values = await valuesOf(device, leaves, problem);
  return { values, dispatches: device.counters.dispatches - start };
}

/** Holds the device to the reference, and gives its dispatches. */
async function agrees(device: WebGpuDevice, problem: Problem, steps: number, bound = 2e-6): Promise<number> {
  const leaves = await leavesFor(problem, steps);
  const { values, dispatches } = await run(device, leaves, problem);
  const wanted = await valuesOf(reference, leaves, problem);
  values.forEach((found, i) => assertClose(found, wanted[i], bound));
  return dispatches;
}

describe("scan in one dispatch", () => {
  let gpu: WebGpuDevice;
  before(async () => {
    gpu = await openTestDevice();
  });
  after(() => {
    setDefaultDevice(undefined);
    gpu.close();
  });

  for (const [name, cell, gates] of rowByRow) {
    test(`${name}: values and gradients of the reference, and as many dispatches for 32 steps as for 4`, async () => {
      const problem: Problem = { cell, gates, batch: 6, hidden: 4 };
      const four = await agrees(gpu, problem, 4);
      assert.equal(await agrees(gpu, problem, 32), four);
      assert.ok(four <= 9, `${four} dispatches`);
      const options = { reverse: true, lengths: [3, 0, 5, 1, 2, 5] };
      assert.ok((await agrees(gpu, { ...problem, options }, 5)) <= 9);
    });
  }

  test("the text is the same for any number of steps", async () => {
    const problem: Problem = { cell: gru, gates: 3, batch: 6, hidden: 4 };
    const forward = async (steps: number) => {
      const [x, w, p, h, c] = await leavesFor(problem, steps);
      setDefaultDevice(gpu);
      const before = gpu.counters.pipelinesCreated;
      await scan(gru, { state: { h, c }, inputs: x, weights: { w, p } }).outputs.read();
      return gpu.counters.pipelinesCreated - before;
    };
    await forward(6);
    assert.equal(await forward(7), 0);
  });

  test("the last workgroup has the rows that are left, and sizes that four does not divide", async () => {
    for (const [cell, gates, batch, hidden] of [
      [gru, 3, 17, 5],
      [lstm(true), 4, 9, 3],
      [gru, 3, 1, 6],
    ] as const) {
      assert.ok((await agrees(gpu, { cell, gates, batch, hidden }, 3)) <= 9);
    }
  });

  test("as a real GPU divides the work: many invocations, that share a reduction", async () => {
    const large = await openTestDevice({ profile: "gpu" });
    try {
      assert.ok((await agrees(large, { cell: lstm(true), gates: 4, batch: 6, hidden: 12 }, 3)) <= 9);
    } finally {
      large.close();
    }
  });

  test("with few bindings small operands and results are copied", async () => {
    const small = await openTestDevice();
    Object.assign(small.gpu, { profile: { ...small.gpu.profile, maxStorageBuffers: 5 } });
    try {
      const problem: Problem = { cell: lstm(true), gates: 4, batch: 6, hidden: 4 };
      const three = await agrees(small, problem, 3);
      assert.equal(await agrees(small, problem, 12), three);
    } finally {
      small.close();
    }
  });

  test("cells that mix rows run step by step", async () => {
    for (const cell of [batchNormed, shifted, attending]) {
      const problem: Problem = { cell, gates: 1, batch: 6, hidden: 4 };
      const four = await agrees(gpu, problem, 4, 1e-5);
      assert.ok((await agrees(gpu, problem, 8, 1e-5)) > four + 4);
    }
  });

  test("a number for all rows, and rows too long for a workgroup, run step by step", async () => {
    const cell = ({ h, n }: { h: Tensor; n: Tensor }, x: Tensor) => {
      const next = h.mul(n.reciprocal()).add(x);
      return { state: { h: next, n: n.add(1) }, output: next };
    };
    for (const [batch, size, numbers] of [
      [4, 3, 1],
      [2, 20000, 2],
    ]) {
      const [x, h] = await normals([6, batch, size], [batch, size]);
      const found: HostArray[] = [];
      for (const device of [gpu, reference]) {
        setDefaultDevice(device);
        const start = gpu.counters.dispatches;
        const { outputs } = scan(cell, { state: { h, n: ones([numbers, 1]) }, inputs: x });
        found.push(await outputs.read());
        if (device === gpu) assert.ok(gpu.counters.dispatches - start >= 6);
      }
      assertClose(found[0], found[1], 1e-6);
    }
  });

  test("the bits are those of the same kernels dispatched once a step", async () => {
    const stepwise = await openTestDevice();
    // A loop of its own may bind nothing.
    Object.assign(stepwise.gpu, { profile: { ...stepwise.gpu.profile, maxBindingBytes: 0 } });
    try {
      for (const [cell, gates] of [[gru, 3] as const, [lstm(true), 4] as const]) {
        const problem: Problem = { cell, gates, batch: 6, hidden: 8 };
        const leaves = await leavesFor(problem, 5);
        const [one, many] = [await run(gpu, leaves, problem), await run(stepwise, leaves, problem)];
        assert.ok(many.dispatches > one.dispatches);
        assert.deepEqual(one.values, many.values);
      }
    } finally {
      stepwise.close();
    }
  });

  test("states that are exchanged, kept as they are, counted in integers, or of more axes", async () => {
    setDefaultDevice(reference);
    const [x, w, a, b] = await normals([5, 4, 2, 3], [3, 3], [4, 2, 3], [4, 2, 3]);
    const n = tensor(Int32Array.from([0, 1, 2, 3]));
    const cell = (s: { a: Tensor; b: Tensor; still: Tensor; n: Tensor }, x: Tensor) => ({
      state: { a: s.b, b: s.a.add(x.matmul(w)).tanh(), still: s.still, n: s.n.add(x.sum([1, 2]).gt(0).cast("i32")) },
      output: { sum: s.a.add(s.b), late: s.n.gt(2), still: s.still.mul(2) },
    });
    const found: HostArray[][] = [];
    for (const device of [gpu, reference]) {
      setDefaultDevice(device);
      const start = gpu.counters.dispatches;
      const step = compile((x: Tensor, a: Tensor, b: Tensor, n: Tensor) => {
        const { outputs, state } = scan(cell, { state: { a, b, still: a, n }, inputs: x, reverse: true });
        return leavesOf([outputs, state]);
      });
      const values: HostArray[] = [];
      for (const t of await step(x, a, b, n)) values.push(await t.read());
      found.push(values);
      if (device === gpu) assert.ok(gpu.counters.dispatches - start <= 3, `${gpu.counters.dispatches - start}`);
    }
    found[0].forEach((values, i) => assertClose(values, found[1][i], 1e-6));
  });
});
