/** `scan`: GRU and LSTM written as cells are the scans of their own, and other cells have right gradients twice. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { checkpoint } from "../../src/autograd/checkpoint.ts";
import { customGradient } from "../../src/autograd/custom.ts";
import { hvp } from "../../src/autograd/forward.ts";
import { grad, gradients } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { gruScan, layerNorm, lstmScan, scan, topK } from "../../src/ops/index.ts";
import { Generator, compile, seed, setDefaultDevice, stack, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { gradcheck } from "../../src/testing/gradcheck.ts";
import { assertClose, openTestDevice, openTestDevices } from "../support/helpers.ts";

const [T, B, H] = [4, 3, 2];
const draw = new Generator(5);
const fixed = async (...shape: number[]) => tensor(Float32Array.from(await draw.normal(shape).read()), { shape });
const gatesOf = (x: Tensor) => Array.from({ length: x.shape[1] / H }, (_, k) => x.slice(null, [k * H, (k + 1) * H]));
const oneMinus = (x: Tensor) => x.neg().add(1);

const gruCell = (h: Tensor, x: Tensor, { w, b }: { w: Tensor; b: Tensor }) => {
  const [xr, xz, xn] = gatesOf(x);
  const [hr, hz, hn] = gatesOf(h.matmul(w.transpose()).add(b));
  const z = xz.add(hz).sigmoid();
  const n = xn.add(xr.add(hr).sigmoid().mul(hn)).tanh();
  const next = oneMinus(z).mul(n).add(z.mul(h));
  return { state: next, output: next };
};

const lstmCell = ({ h, c }: { h: Tensor; c: Tensor }, x: Tensor, { w, b }: { w: Tensor; b: Tensor }) => {
  const [i, f, g, o] = gatesOf(x.add(h.matmul(w.transpose()).add(b)));
  const cell = f.sigmoid().mul(c).add(i.sigmoid().mul(g.tanh()));
  const hidden = o.sigmoid().mul(cell.tanh());
  return { state: { h: hidden, c: cell }, output: hidden };
};

describe("scan", () => {
  before(() => setDefaultDevice(new ReferenceDevice()));
  after(() => setDefaultDevice(undefined));

  test("a GRU and an LSTM as cells give the fused scans' values and gradients, with lengths, in both directions", async () => {
    const cpu = await CpuDevice.open({ threads: 2 });
    const lengths = [4, 2, 3];
    try {
      for (const device of [new ReferenceDevice(), cpu]) {
        setDefaultDevice(device);
        const mask = stack(Array.from({ length: T }, (_, t) => tensor(lengths.map((n) => (t < n ? 1 : 0)))));
        const twice = (x: Tensor) => stack([x, x], x.rank === 4 ? 2 : 0).squeeze(x.rank === 4 ? 3 : 1);
        for (const gates of [3, 4]) {
          const x = await fixed(T, B, gates * H);
          const [w, b] = [await fixed(gates * H, H), await fixed(gates * H)];
          const [h, c] = [await fixed(B, H), await fixed(B, H)];
          const run = (reverse: boolean) => {
            const common = { inputs: x, weights: { w, b }, reverse, lengths };
            if (gates === 3) return scan(gruCell, { state: h, ...common }).outputs;
            return scan(lstmCell, { state: { h, c }, ...common }).outputs;
          };
          const operands = {
            gates: twice(x.unsqueeze(2)),
            weight: stack([w, w]),
            bias: stack([b, b]),
            h0: stack([h, h]),
            mask,
          };
          const { y } = gates === 3 ? gruScan(operands) : lstmScan({ ...operands, c0: stack([c, c]) });
          const targets = gates === 3 ? [x, w, b, h] : [x, w, b, h, c];
          const seed = await fixed(T, B, H);
          for (const [d, reverse] of [false, true].entries()) {
            const mine = run(reverse);
            const theirs = y.slice(null, null, [d * H, (d + 1) * H]);
            assertClose(await mine.read(), await theirs.read(), 1e-5);
            const [a, e] = [mine, theirs].map((out) => gradients([out], [seed], targets));
            for (const [i, dx] of a.entries()) assertClose(await dx.read(), await e[i].read(), 1e-5);
          }
        }
      }
    } finally {
      setDefaultDevice(new ReferenceDevice());
      cpu.close();
    }
  });

  test("minGRU, a peephole LSTM, one with layer norm, an IndRNN and a Runge–Kutta step: gradients twice", async () => {
    const [x, h, c, w, p] = [
      await fixed(3, 2, 8),
      await fixed(2, 2),
      await fixed(2, 2),
      await fixed(8, 2),
      await fixed(2),
    ];
    const parts = (x: Tensor) => gatesOf(x);
    const lstm =
      (normalised: boolean) =>
      ({ h, c }: { h: Tensor; c: Tensor }, x: Tensor, [w, p]: readonly [Tensor, Tensor]) => {
        const sums = x.add(h.matmul(w.transpose()));
        const [i, f, g, o] = parts(normalised ? layerNorm(sums) : sums);
        const cell = f
          .add(c.mul(p))
          .sigmoid()
          .mul(c)
          .add(i.add(c.mul(p)).sigmoid().mul(g.tanh()));
        const hidden = o.add(cell.mul(p)).sigmoid().mul(cell.tanh());
        return { state: { h: hidden, c: cell }, output: hidden };
      };
    const minGru = (h: Tensor, x: Tensor) => {
      const [z, candidate] = parts(x);
      const next = oneMinus(z.sigmoid()).mul(h).add(z.sigmoid().mul(candidate));
      return { state: next, output: next };
    };
    const indRnn = (h: Tensor, x: Tensor, u: Tensor) => {
      const next = parts(x)[0].add(h.mul(u)).tanh();
      return { state: next, output: next };
    };
    const rungeKutta = (y: Tensor, _: Tensor, w: Tensor) => {
      const slope = (y: Tensor) => y.matmul(w.slice([0, 2])).tanh();
      const k1 = slope(y);
      const k2 = slope(y.add(k1.mul(0.05)));
      const k3 = slope(y.add(k2.mul(0.05)));
      const k4 = slope(y.add(k3.mul(0.1)));
      const next = y.add(
        k1
          .add(k2.mul(2))
          .add(k3.mul(2))
          .add(k4)
          .mul(0.1 / 6),
      );
      return { state: next, output: { y: next, speed: k1 } };
    };
    const options = { order: 2, samples: 5, atol: 1e-6 } as const;
    for (const normalised of [false, true]) {
      const f = (x: Tensor, h: Tensor, c: Tensor, w: Tensor, p: Tensor) => {
        const { outputs, state } = scan(lstm(normalised), { state: { h, c }, inputs: x, weights: [w, p] as const });
        return [outputs, state.c];
      };
      await gradcheck(f, [x, h, c, w, p] as const, options);
    }
    await gradcheck(
      (x: Tensor, h: Tensor) => scan(minGru, { state: h, inputs: x, lengths: [2, 3] }).outputs,
      [x, h],
      options,
    );
    await gradcheck(
      (x: Tensor, h: Tensor, p: Tensor) => scan(indRnn, { state: h, inputs: x, weights: p, reverse: true }).outputs,
      [x, h, p],
      options,
    );
    const ode = (h: Tensor, w: Tensor) => {
      const { outputs } = scan(rungeKutta, { state: h, inputs: x, weights: w });
      return [outputs.y, outputs.speed];
    };
    await gradcheck(ode, [h, w], options);
  });

  test("works in compile, with lengths that change from call to call, and gives the last state of each sequence", async () => {
    const sum = (s: Tensor, x: Tensor) => ({ state: s.add(x), output: s });
    const step = compile((x: Tensor, lengths: Tensor) => {
      const { state, outputs } = scan(sum, { state: tensor([0, 0]), inputs: x, lengths });
      return { state, outputs };
    });
    const x = tensor([
      [1, 10],
      [2, 20],
      [3, 30],
    ]);
    for (const [lengths, state, outputs] of [
      [
        [3, 1],
        [6, 10],
        [
          [0, 0],
          [1, 0],
          [3, 0],
        ],
      ],
      [
        [0, 2],
        [0, 30],
        [
          [0, 0],
          [0, 10],
          [0, 0],
        ],
      ],
    ] as const) {
      const got = await step(x, tensor(Int32Array.from(lengths)));
      assert.deepEqual(await got.state.toArray(), state);
      assert.deepEqual(await got.outputs.toArray(), outputs);
    }
  });

  test("compiled once whatever the number of steps: kernels and code of a step with gradients do not grow", async () => {
    const cpu = await CpuDevice.open({ threads: 2 });
    setDefaultDevice(cpu);
    try {
      const [w, b, h] = [await fixed(3 * H, H), await fixed(3 * H), await fixed(B, H)];
      const costs: number[][] = [];
      for (const steps of [3, 4, 40]) {
        const x = await fixed(steps, B, 3 * H);
        const before = { ...cpu.counters };
        const step = compile((x: Tensor, w: Tensor) => {
          const { outputs } = scan(gruCell, { state: h, inputs: x, weights: { w, b } });
          return gradients([outputs.square().sum()], [tensor(1)], [x, w]);
        });
        const [dx] = await step(x, w);
        assert.deepEqual(dx.shape, [steps, B, 3 * H]);
        const { modulesCompiled, moduleBytes } = cpu.counters;
        costs.push([modulesCompiled - before.modulesCompiled, moduleBytes - before.moduleBytes]);
      }
      const [three, four, forty] = costs;
      assert.equal(three[0], forty[0]);
      // Numbers of steps are written in the code: a few bytes are a longer number's.
      assert.ok(Math.abs(forty[1] - four[1]) < 0.02 * four[1], `${four[1]} and ${forty[1]} bytes`);
    } finally {
      setDefaultDevice(new ReferenceDevice());
      cpu.close();
    }
  });

  test("webgpu: pipelines do not grow with the number of steps, and values are the reference's", async () => {
    const gpu = await openTestDevice();
    const reference = new ReferenceDevice();
    try {
      const [w, b, h] = [await fixed(3 * H, H), await fixed(3 * H), await fixed(B, H)];
      const costs: number[] = [];
      for (const steps of [3, 4, 12]) {
        const x = await fixed(steps, B, 3 * H);
        const run = async (reverse: boolean) => {
          const found = scan(gruCell, { state: h, inputs: x, weights: { w, b }, reverse, lengths: [steps, 0, 2] });
          const [dx, dw] = gradients([found.outputs.square().sum().add(found.state.sum())], [tensor(1)], [x, w]);
          const [dww] = gradients([dw.square().sum()], [tensor(1)], [w]);
          const { outputs, state } = found;
          return Promise.all([outputs, state, dx, dw, dww].map((t) => t.read()));
        };
        for (const reverse of [false, true]) {
          setDefaultDevice(gpu);
          const before = { ...gpu.counters };
          const got = await run(reverse);
          costs.push(gpu.counters.pipelinesCreated - before.pipelinesCreated);
          setDefaultDevice(reference);
          for (const [i, values] of (await run(reverse)).entries()) assertClose(got[i], values, 1e-4);
        }
      }
      const [, , four, , twelve] = costs;
      // A kernel whose text is that of one before is no pipeline of its own: counts differ by what happens to be equal.
      assert.ok(twelve <= four + 2, `${four} pipelines for 4 steps, ${twelve} for 12`);
    } finally {
      setDefaultDevice(reference);
      gpu.close();
    }
  });

  test("every step has draws of its own, constants are outer tensors, and the device gives the unrolled bits", async () => {
    const cpu = await CpuDevice.open({ threads: 2 });
    setDefaultDevice(cpu);
    try {
      const [x, h, w] = [await fixed(5, B, 3), await fixed(B, 3), await fixed(3, 3)];
      for (const reverse of [false, true]) {
        const cell = (random: Generator) => (s: Tensor, x: Tensor) => {
          const next = s
            .matmul(w.mul(0.5))
            .add(x)
            .tanh()
            .mul(random.dropoutMask([B, 3], 0.5));
          return { state: next, output: next.sum(-1) };
        };
        const looped = scan(cell(new Generator(7)), { state: h, inputs: x, reverse });
        const unrolledCell = cell(new Generator(7));
        let state: Tensor = h;
        const outputs = new Array<Tensor>(5);
        for (let k = 0; k < 5; k++) {
          const t = reverse ? 4 - k : k;
          const next = unrolledCell(state, x.slice(t));
          [state, outputs[t]] = [next.state, next.output];
        }
        assert.deepEqual(await looped.state.read(), await state.read());
        assert.deepEqual(await looped.outputs.read(), await stack(outputs).read());
      }
    } finally {
      setDefaultDevice(new ReferenceDevice());
      cpu.close();
    }
  });

  test("a state's tensors are known by their names, in whatever order the cell writes them", async () => {
    const cell = ({ a, b }: { a: Tensor; b: [Tensor, { c: Tensor }] }, x: Tensor) => ({
      state: { b: [b[0].add(x), { c: b[1].c.mul(2) }] as [Tensor, { c: Tensor }], a: a.sub(x) },
      output: a,
    });
    const first = { a: tensor([0]), b: [tensor([10]), { c: tensor([1]) }] as [Tensor, { c: Tensor }] };
    for (const masked of [{}, { lengths: [2] }]) {
      const { state } = scan(cell, { state: first, inputs: tensor([[1], [2]]), ...masked });
      assert.deepEqual(Object.keys(state), ["a", "b"]);
      assert.deepEqual(
        [await state.a.item(), await state.b[0].item(), await state.b[1].c.item()],
        [-3, 13, 4],
        JSON.stringify(masked),
      );
    }
  });

  test("a cell without state and output computes nothing", () => {
    const nothing = () => ({ state: [], output: {} });
    assert.deepEqual(scan(nothing, { state: [], inputs: tensor([[1], [2]]) }), { state: [], outputs: {} });
  });

  test("gradients of one's own and checkpoints in a cell read the integers of each step", async () => {
    const gate = customGradient(
      (x: Tensor) => [x.mul(1), x.gt(0)] as const,
      ([dy], _, outputs) => dy.mul(outputs[1].where(1, 3)),
    );
    const last = (s: Tensor) =>
      scan((s: Tensor, x: Tensor) => ({ state: gate(s.add(x))[0], output: [] }), {
        state: s,
        inputs: tensor([
          [1, 1],
          [-2, 1],
          [0.5, -9],
        ]),
      }).state.sum();
    assert.deepEqual(await grad(last)(tensor([0, 0])).toArray(), [9, 3]);
    const index = tensor([[2], [3]]).cast("i32");
    const times = (s: Tensor, around: typeof checkpoint) =>
      scan((s: Tensor, i: Tensor) => ({ state: around((a: Tensor) => a.mul(i.cast("f32")).sin())(s), output: [] }), {
        state: s,
        inputs: index,
      }).state.sum();
    assert.deepEqual(
      await grad((s: Tensor) => times(s, checkpoint))(tensor([0.3])).toArray(),
      await grad((s: Tensor) => times(s, (f) => f as never))(tensor([0.3])).toArray(),
    );
  });

  test("a gradient of one's own that would miss a cell's state or input is refused", () => {
    const x = tensor([[1], [2]]);
    const run = (f: (s: Tensor, x: Tensor) => Tensor) => () =>
      grad((s: Tensor) =>
        scan((s: Tensor, x: Tensor) => ({ state: f(s, x), output: [] }), { state: s, inputs: x }).state.sum(),
      )(tensor([1]));
    const dy = ([dy]: readonly Tensor[]) => dy;
    assert.throws(
      run((s, x) => customGradient((x: Tensor) => x.mul(s.exp()), dy)(x)),
      /customGradient: the function uses the state of a scan's cell, which is not among its inputs/,
    );
    assert.throws(
      run((s, x) => customGradient((s: Tensor) => s.mul(x), dy)(s)),
      /uses an input of a scan's cell, which is not among its inputs/,
    );
    assert.throws(
      run((s, x) =>
        customGradient(
          (s: Tensor) => s.mul(x.detach()),
          ([dy]) => dy.mul(x),
        )(s),
      ),
      /scan: an input of a scan's cell has no value outside the cell.*such as customGradient, as an input/,
    );
    run((s, x) => customGradient((s: Tensor) => s.mul(x.detach()), dy)(s))();
  });

  test("indices that the state is, or that a gradient makes, are held to what they look up in, on every device", async () => {
    const [gpu, cpu] = await openTestDevices();
    const table = tensor([[1], [3], [5]]);
    const ints =
      (...shape: number[]) =>
      (...values: number[]) =>
        tensor(Int32Array.from(values), { shape });
    try {
      for (const device of [new ReferenceDevice(), cpu, gpu]) {
        setDefaultDevice(device);
        const counting = (first: number) =>
          scan((n: Tensor, x: Tensor) => ({ state: n.add(1), output: table.take(n).add(x) }), {
            state: ints(1)(first),
            inputs: tensor([[[0]], [[0]]]),
          }).outputs;
        assert.deepEqual(await counting(1).toArray(), [[[3]], [[5]]]);
        await assert.rejects(counting(2).read(), /take: index 3 is outside 0..2/);
        // What a gradient looks up in is from outside of the cell.
        const slope = (by: number, ...index: number[]) =>
          grad((s: Tensor) => {
            const cell = customGradient(
              (s: Tensor, i: Tensor) => s.mul(i.cast("f32")),
              ([dy], [, i]) => [dy.add(table.take(i.add(by))), undefined],
            );
            const inputs = ints(2, 1)(...index);
            return scan((s: Tensor, i: Tensor) => ({ state: cell(s, i), output: [] }), {
              state: s,
              inputs,
            }).state.sum();
          })(tensor([[1]]));
        for (const by of [0, 1]) {
          // Backwards: index 0 first, then index 1, each with what the table has there.
          const [first, second] = [1 + 2 * by, 3 + 2 * by];
          assert.deepEqual(await slope(by, 1, 0).toArray(), [[1 + first + second]]);
          await assert.rejects(async () => slope(by, 5, 0).read(), /take: index [56] is outside 0..2/);
        }
        const best = (s: Tensor) =>
          scan((s: Tensor, x: Tensor) => ({ state: s.mul(topK(s, 2).values.sum(-1, true)).add(x), output: [] }), {
            state: s,
            inputs: tensor([[[1, 2]], [[2, 1]]]),
          }).state.sum();
        // ((a + b)² + 3)² + 3 and its Hessian times (1, 0).
        const sum = 0.75;
        const second = 12 * sum ** 2 + 12;
        assertClose(await hvp(best, tensor([[0.5, 0.25]]), tensor([[1, 0]])).read(), [second, second], 1e-5);
      }
    } finally {
      setDefaultDevice(new ReferenceDevice());
      gpu.close();
      cpu.close();
    }
  });

  test("gradients reach views that ask for them, and checkpoints draw in a cell what their gradient reads", async () => {
    const view = tensor([
      [1, 2],
      [3, 4],
    ])
      .reshape([4])
      .slice([0, 2])
      .requireGrad();
    const inputs = tensor([[0], [0]]);
    scan((s: Tensor) => ({ state: s.mul(2).add(view), output: [] }), { state: tensor([1, 1]), inputs })
      .state.sum()
      .backward();
    assert.deepEqual(await view.grad!.toArray(), [3, 3]);

    const slope = (around: typeof checkpoint) =>
      grad((s: Tensor) => {
        const random = new Generator(3);
        const noisy = (a: Tensor) => a.mul(random.uniform([2])).sin();
        return scan((s: Tensor, x: Tensor) => ({ state: around(noisy)(s).add(x), output: [] }), {
          state: s,
          inputs,
        }).state.sum();
      })(tensor([0.5, 0.25]));
    assert.deepEqual(await slope(checkpoint).toArray(), await slope((f) => f as never).toArray());
    // One that a gradient draws is another at every step; one that it keeps from the cell is no step's.
    const own = new Generator(5);
    const draws = customGradient(
      (s: Tensor) => s.mul(1),
      ([dy]) => dy.mul(own.uniform([2])),
    );
    const products = grad((s: Tensor) =>
      scan((s: Tensor) => ({ state: draws(s), output: [] }), { state: s, inputs }).state.sum(),
    );
    const random = new Generator(5);
    const two = await random
      .uniform([2])
      .mul(random.uniform([2]))
      .toArray();
    assert.deepEqual(await products(tensor([0, 0])).toArray(), two);
    assert.throws(
      () =>
        grad((s: Tensor) => {
          const cell = (s: Tensor) => {
            const mask = random.uniform([2]).gt(0.5).cast("f32");
            return {
              state: customGradient(
                (s: Tensor) => s.mul(mask),
                ([dy]) => dy.mul(mask),
              )(s),
              output: [],
            };
          };
          return scan(cell, { state: s, inputs }).state.sum();
        })(tensor([0, 0])),
      /scan: what a scan's cell draws has no value outside the cell/,
    );
  });

  test("gradients flow whatever dtype the state's first tensor has", async () => {
    const x = tensor([[1], [2], [3]]);
    const total = (counts: "first" | "last") => (x: Tensor) => {
      const [k, h] = [tensor(Int32Array.of(5)), tensor([0])];
      const { state } = scan(
        (s: { k: Tensor; h: Tensor }, x: Tensor) => {
          const next = { k: s.k.add(1), h: s.h.add(x.square().mul(s.k.cast("f32"))) };
          return { state: counts === "first" ? next : { h: next.h, k: next.k }, output: [] };
        },
        { state: counts === "first" ? { k, h } : { h, k }, inputs: x },
      );
      return state.h.sum();
    };
    for (const counts of ["first", "last"] as const) {
      assert.deepEqual(await grad(total(counts))(x).toArray(), [[10], [24], [42]]);
      assert.deepEqual(await hvp(total(counts), x, tensor([[1], [1], [1]])).toArray(), [[10], [12], [14]]);
    }
  });

  test("an assignment in a cell, which runs once, is refused", () => {
    const v = variable(tensor(0));
    const cell = (s: Tensor, x: Tensor) => {
      v.assign(x.sum());
      return { state: s.add(x), output: s };
    };
    const run = () => scan(cell, { state: tensor([0]), inputs: tensor([[1], [2]]) });
    assert.throws(run, /scan: the cell assigns variable ".*", but it runs once, for all steps/);
  });

  test("so is what else would be done once and not at every step: backward, seeds, generators", () => {
    const w = variable(tensor([2]));
    const over = (effect: () => unknown) => {
      const cell = (s: Tensor, x: Tensor) => {
        effect();
        return { state: s.add(x), output: s };
      };
      return scan(cell, { state: zeros([1]), inputs: zeros([3, 1]) });
    };
    const inside: Generator[] = [];
    assert.throws(() => over(() => w.square().sum().backward()), /backward: a scan's cell runs once, .* by grad\(…\)/);
    assert.equal(w.grad, undefined);
    assert.throws(() => over(() => seed(1)), /seed: a scan's cell runs once, for all steps; seed before the scan/);
    assert.throws(
      () => over(() => inside.push(new Generator(1)) && inside[0].uniform([1])),
      /Generator: a scan's cell runs once, .* make the generator outside of the cell/,
    );
    inside[0].uniform([1]);
  });

  test("what does not fit is refused with its place", () => {
    const x = tensor([[1], [2]]);
    const s = tensor([0]);
    const cell = (s: Tensor, x: Tensor) => ({ state: s.add(x), output: s });
    const run = (options: object, by: unknown = cell) => scan(by as typeof cell, { state: s, inputs: x, ...options });
    assert.throws(() => run({}, 3), /scan: the cell must be a function, not 3/);
    assert.throws(() => run({ length: [1] }), /there is no option "length"; did you mean "lengths"/);
    assert.throws(() => run({ state: 3 }), /scan: state must be a tensor, or arrays and records of tensors, not 3/);
    assert.throws(() => run({ inputs: tensor(3) }), /inputs must be \[T, …\] with at least one step, not \[\]/);
    assert.throws(
      () => run({ inputs: [x, tensor([1])] as never }),
      /disagree about the number of steps: \[2, 1\] and \[1\]/,
    );
    assert.throws(() => run({}, (s: Tensor) => s), /the cell must give \{ state, output \}, not Tensor/);
    assert.throws(
      () => run({}, (s: Tensor) => ({ state: s.unsqueeze(0), output: s })),
      /the cell's state is f32\[1, 1\], but the state it was given is f32\[1\]/,
    );
    assert.throws(() => run({ lengths: [3] }), /lengths\[0\] must be an integer from 0 to T = 2, not 3/);
    assert.throws(() => run({ lengths: tensor([1]) }), /lengths must be \[B\] integers, not f32\[1\]/);
    assert.throws(
      () => run({ lengths: [1, 1] }),
      /of 2 sequences every tensor of the output must be \[2, …\], not \[1\]/,
    );
    assert.throws(() => run({ mask: tensor([1, 1]) }), /the mask must be \[T, B\] with T = 2, not \[2\]/);
    assert.throws(() => run({ mask: x, lengths: [1] }), /give lengths or a mask, not both/);
  });
});
