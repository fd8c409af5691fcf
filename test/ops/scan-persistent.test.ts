/**
 * `scan` on WebGPU: a cell that computes every batch row from that row alone runs in one dispatch, whatever the number
 * of steps, and other cells step by step; both give the reference device's values.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gradients } from "../../src/autograd/grad.ts";
import { leavesOf } from "../../src/autograd/tree.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { layerNorm, scan } from "../../src/ops/index.ts";
import type { ScanOptions } from "../../src/ops/scan-cell.ts";
import { Generator, compile, concat, ones, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { assertClose, openTestDevice } from "../support/helpers.ts";

const reference = new ReferenceDevice();
const draw = new Generator(11);
const fixed = async (...shape: number[]) => tensor(Float32Array.from(await draw.normal(shape).read()), { shape });
const partsOf = (x: Tensor, parts: number) =>
  Array.from({ length: parts }, (_, k) => x.slice(null, [(k * x.shape[1]) / parts, ((k + 1) * x.shape[1]) / parts]));
const oneMinus = (x: Tensor) => x.neg().add(1);

interface Weights {
  readonly w: Tensor;
  readonly p: Tensor;
}

type State = { readonly h: Tensor; readonly c: Tensor };

type Cell = (state: State, x: Tensor, weights: Weights) => { state: State; output: Tensor };

/** Inputs are [T, B, H · gates], weights [H · gates, H]. */
const gru: Cell = ({ h, c }, x, { w }) => {
  const [xr, xz, xn] = partsOf(x, 3);
  const [hr, hz, hn] = partsOf(h.matmul(w.transpose()), 3);
  const z = xz.add(hz).sigmoid();
  const n = xn.add(xr.add(hr).sigmoid().mul(hn)).tanh();
  const next = oneMinus(z).mul(n).add(z.mul(h));
  return { state: { h: next, c }, output: next };
};
const minGru: Cell = ({ h, c }, x, { w }) => {
  const z = x.matmul(w).sigmoid();
  const next = oneMinus(z).mul(h).add(z.mul(x));
  return { state: { h: next, c }, output: next };
};
const lstm =
  (normalised: boolean): Cell =>
  ({ h, c }, x, { w, p }) => {
    const sums = x.add(h.matmul(w.transpose()));
    const [i, f, g, o] = partsOf(normalised ? layerNorm(sums) : sums, 4);
    const peep = c.mul(p);
    const cell = f.add(peep).sigmoid().mul(c).add(i.add(peep).sigmoid().mul(g.tanh()));
    const hidden = o.add(cell.mul(p)).sigmoid().mul(cell.tanh());
    return { state: { h: hidden, c: cell }, output: hidden };
  };
const indRnn: Cell = ({ h, c }, x, { p }) => {
  const next = x.add(h.mul(p)).tanh();
  return { state: { h: next, c }, output: next };
};
/** Input and state side by side. */
const joined: Cell = ({ h, c }, x, { w }) => {
  const next = concat([x.slice(null, [0, h.shape[1]]), h], 1)
    .matmul(w)
    .tanh();
  return { state: { h: next, c }, output: next };
};
/** A mean over the batch. */
const batchNormed: Cell = ({ h, c }, x, { w }) => {
  const sums = x.add(h.matmul(w));
  const next = sums.sub(sums.mean(0, true)).tanh();
  return { state: { h: next, c }, output: next };
};
/** The neighbour's row. */
const shifted: Cell = ({ h, c }, x, { p }) => {
  const neighbour = h.slice([1, h.shape[0]]).pad([
    [0, 1],
    [0, 0],
  ]);
  const next = x.add(neighbour.mul(p)).tanh();
  return { state: { h: next, c }, output: next };
};
/** All rows, weighted by how alike they are. */
const attending: Cell = ({ h, c }, x) => {
  const next = x.add(h.matmul(h.transpose()).sigmoid().matmul(h)).tanh();
  return { state: { h: next, c }, output: next };
};

interface Problem {
  readonly cell: Cell;
  readonly gates: number;
  readonly batch: number;
  readonly hidden: number;
  readonly options?: Pick<ScanOptions<never, never, never>, "reverse" | "lengths">;
}

/** Values and gradients, and how many dispatches they took. */
async function run(device: WebGpuDevice | ReferenceDevice, leaves: readonly Tensor[], problem: Problem) {
  setDefaultDevice(device);
  const step = compile((x: Tensor, w: Tensor, p: Tensor, h: Tensor, c: Tensor) => {
    const { outputs, state } = scan(problem.cell, {
      state: { h, c },
      inputs: x,
      weights: { w, p },
      ...problem.options,
    });
    const loss = outputs.square().sum().add(state.h.sum()).add(state.c.square().sum());
    return [outputs, state.h, state.c, ...gradients([loss], [tensor(1)], [x, w, p, h, c])];
  });
  const counted = () => ("counters" in device ? device.counters.dispatches : 0);
  const start = counted();
  const [x, w, p, h, c] = leaves;
  const found = await step(x, w, p, h, c);
  const values: HostArray[] = [];
  for (const t of found) values.push(await t.read());
  return { values, dispatches: counted() - start };
}

async function leavesFor({ gates, batch, hidden }: Problem, steps: number): Promise<Tensor[]> {
  setDefaultDevice(reference);
  return [
    await fixed(steps, batch, gates * hidden),
    await fixed(gates * hidden, hidden),
    await fixed(hidden),
    await fixed(batch, hidden),
    await fixed(batch, hidden),
  ];
}

/** Holds the device to the reference, and gives its dispatches. */
async function agrees(device: WebGpuDevice, problem: Problem, steps: number, bound = 2e-6): Promise<number> {
  const leaves = await leavesFor(problem, steps);
  const { values, dispatches } = await run(device, leaves, problem);
  const wanted = await run(reference, leaves, problem);
  values.forEach((found, i) => assertClose(found, wanted.values[i], bound));
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

  const rowByRow: [string, Cell, number][] = [
    ["a GRU", gru, 3],
    ["minGRU", minGru, 1],
    ["a peephole LSTM", lstm(false), 4],
    ["an LSTM with layer norm", lstm(true), 4],
    ["an IndRNN", indRnn, 1],
    ["a cell of input and state side by side", joined, 2],
  ];
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
      setDefaultDevice(reference);
      const [x, h] = [await fixed(6, batch, size), await fixed(batch, size)];
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
    const x = await fixed(5, 4, 2, 3);
    const w = await fixed(3, 3);
    const [a, b] = [await fixed(4, 2, 3), await fixed(4, 2, 3)];
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
