/** Reverse mode's own rules: what stops it, what it passes through, how it adds up, and its second use. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { alias, grad, gradients, noGrad, valueAndGrad } from "../../src/autograd/grad.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Tensor, concat, ones, setDefaultDevice, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { FusedOp } from "../../src/tensor/index.ts";
import * as build from "../../src/tensor/build.ts";
import { numbers } from "../support/helpers.ts";

before(() => setDefaultDevice(new ReferenceDevice()));
after(() => setDefaultDevice(undefined));

describe("grad", () => {
  test("of records and arrays has their form; other arguments are not differentiated", async () => {
    const f = (p: { w: Tensor; layers: Tensor[] }, x: Tensor) => p.w.mul(x).add(p.layers[0]).mul(p.layers[1]).sum();
    const p = { w: tensor([1, 2]), layers: [tensor([3, 4]), tensor([5, 6])] };
    const [value, g] = valueAndGrad(f)(p, tensor([7, 8]));
    assert.equal(await value.item(), (7 + 3) * 5 + (16 + 4) * 6);
    assert.deepEqual(await numbers(g.w), [35, 48]);
    assert.deepEqual(
      [await numbers(g.layers[0]), await numbers(g.layers[1])],
      [
        [5, 6],
        [10, 20],
      ],
    );
  });

  test("of a batch of no rows is as empty as it, and 0 for what it meets", async () => {
    const sums = (f: (x: Tensor, w: Tensor) => Tensor) =>
      grad(([x, w]: [Tensor, Tensor]) => f(x, w).sum())([zeros([0, 2]), ones([2, 3])]);
    for (const f of [(x: Tensor, w: Tensor) => x.matmul(w), (x: Tensor, w: Tensor) => concat([x.matmul(w), w])]) {
      const [dx, dw] = sums(f);
      assert.deepEqual(
        [dx.shape, dw.shape],
        [
          [0, 2],
          [2, 3],
        ],
      );
      assert.deepEqual(await numbers(dx), []);
    }
    assert.deepEqual(await numbers(sums((x, w) => x.matmul(w))[1]), new Array(6).fill(0));
    assert.deepEqual(await numbers(grad((x: Tensor) => x.tan().sum())(zeros([3, 0]))), []);
  });

  test("of an unused input is zeros", async () => {
    const [a, b] = grad(([x, y]: [Tensor, Tensor]) => x.sum().add(y.detach().sum()))([
      tensor([1, 2]),
      tensor([[3, 4]]),
    ]);
    assert.deepEqual(
      [await numbers(a), await numbers(b)],
      [
        [1, 1],
        [0, 0],
      ],
    );
    assert.deepEqual(b.shape, [1, 2]);
  });

  test("sums over every use, also where the output is an input", async () => {
    const x = tensor([3]);
    assert.deepEqual(await numbers(grad((t: Tensor) => t.mul(t).add(t).sum())(x)), [7]);
    const [gx] = gradients([x, x.mul(2)], [tensor([10]), tensor([1])], [x]);
    assert.deepEqual(await numbers(gx), [12]);
  });

  test("taken three times", async () => {
    let f = (t: Tensor): Tensor => t.pow(4.5).sum();
    for (let i = 0; i < 3; i++) {
      const g = grad(f);
      f = (t: Tensor) => g(t).sum();
    }
    const [value] = await numbers(f(tensor([2])));
    assert.ok(Math.abs(value - 4.5 * 3.5 * 2.5 * 2 ** 1.5) < 1e-9);
  });

  test("equal operands share the gradient of an extreme, as in torch.maximum and torch.amax", async () => {
    const x = tensor([1, 2, 2]);
    const cases: [(t: Tensor) => Tensor, number[]][] = [
      [(t) => t.maximum(tensor([2, 2, 1])), [0, 0.5, 1]],
      [(t) => t.minimum(tensor([2, 2, 1])), [1, 0.5, 0]],
      [(t) => t.max().mul(6), [0, 3, 3]],
      [(t) => t.min().mul(6), [6, 0, 0]],
      [(t) => t.neg().min().mul(6), [0, -3, -3]],
    ];
    for (const [i, [f, expected]] of cases.entries()) {
      assert.deepEqual(
        (await numbers(grad((t: Tensor) => f(t).sum())(x))).map((v) => v + 0),
        expected,
        `case ${i}`,
      );
    }
  });

  test("with respect to intermediate values", async () => {
    const x = tensor([1, 2]);
    const h = x.exp();
    const [dh, dx] = gradients([h.square().sum()], [tensor(1)], [h, x]);
    assert.deepEqual(
      await numbers(dh),
      [Math.E, Math.exp(2)].map((v) => 2 * v),
    );
    (await numbers(dx)).forEach((v, i) => assert.ok(Math.abs(v - 2 * Math.exp(2 * (i + 1))) < 1e-9));
  });

  test("with respect to what was simplified away is refused, and not zeros", async () => {
    const w = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const x = w.transpose();
    const one = (t: Tensor) => [ones(t.shape)];
    const back = x.transpose().square();
    assert.throws(() => gradients([back], one(back), [x]), /is a view that the outputs do not hold.*grad\(f\)/);
    const zero = zeros([3]);
    const made = zero.add(1).exp();
    assert.throws(() => gradients([made], one(made), [zero]), /is a constant that the outputs do not hold/);
    const kept = x.square();
    assert.deepEqual(await numbers(gradients([kept], one(kept), [x])[0]!), [2, 8, 4, 10, 6, 12]);
    assert.deepEqual(await numbers(grad((t: Tensor) => t.transpose().square().sum())(x)), [2, 8, 4, 10, 6, 12]);
    // Of something else altogether the gradient is 0.
    assert.deepEqual(await numbers(gradients([kept], one(kept), [tensor([1, 2]).reshape([2, 1])])[0]!), [0, 0]);
  });
});

describe("stops", () => {
  test("detach, noGrad, integers and comparisons pass nothing; alias and contiguous pass all", async () => {
    const x = tensor([2, 3]);
    const cases: [(t: Tensor) => Tensor, number[]][] = [
      [(t) => t.detach().mul(t), [2, 3]],
      [(t) => noGrad(() => t.mul(5)).mul(t), [10, 15]],
      [
        (t) =>
          noGrad(() => t.reshape([2, 1]))
            .reshape([2])
            .mul(t),
        [2, 3],
      ],
      [(t) => t.gt(2.5).where(t, 7), [0, 1]],
      [(t) => t.cast("i32").cast("f32").mul(t), [2, 3]],
      [(t) => alias(t).mul(3), [3, 3]],
      [(t) => t.contiguous().mul(4), [4, 4]],
      [(t) => t.floor().add(t.round()).add(t.sign()), [0, 0]],
    ];
    for (const [i, [f, expected]] of cases.entries())
      assert.deepEqual(await numbers(grad((t: Tensor) => f(t).sum())(x)), expected, `case ${i}`);
  });

  test("noGrad ends with its function, also where that throws", async () => {
    assert.throws(
      () =>
        noGrad(() => {
          throw new Error("inside");
        }),
      /inside/,
    );
    assert.deepEqual(await numbers(grad((t: Tensor) => t.mul(2).sum())(tensor([1]))), [2]);
    assert.equal(
      noGrad(() => noGrad(() => 1)),
      1,
    );
  });

  test("what has been read keeps its history", async () => {
    const w = variable(tensor([2]));
    const y = w.square();
    await y.read();
    y.sum().backward();
    assert.deepEqual([...(await w.grad!.read())], [4]);
  });
});

describe("fused ops", () => {
  const pair = (vjp?: FusedOp["vjp"]): FusedOp => ({
    name: "pair",
    outputs: ([x]) => [x, { shape: [], dtype: x.dtype }],
    decompose: ([x]) => [x.square(), x.sum()],
    vjp,
  });
  const apply = (op: FusedOp, x: Tensor): Tensor[] => build.fused(op, [x.node], {}).map((n) => new Tensor(n));

  test("without a gradient of their own are differentiated through their meaning, at used outputs only", async () => {
    const x = tensor([1, 2]);
    for (const [weights, expected] of [
      [
        [1, 0],
        [2, 4],
      ],
      [
        [0, 1],
        [1, 1],
      ],
      [
        [3, 10],
        [16, 22],
      ],
    ] as const) {
      const f = (t: Tensor) => {
        const [a, s] = apply(pair(), t);
        return a.sum().mul(weights[0]).add(s.mul(weights[1]));
      };
      assert.deepEqual(await numbers(grad(f)(x)), expected);
    }
    assert.deepEqual(
      await numbers(
        grad((t: Tensor) =>
          grad((u: Tensor) => apply(pair(), u)[0].sum())(t)
            .square()
            .sum(),
        )(x),
      ),
      [8, 16],
    );
  });

  test("a gradient of their own is told which outputs were used, and may decline", async () => {
    const seen: string[] = [];
    const op = pair(([x], [, s], [da, ds]) => {
      seen.push(`${da ? "a" : ""}${ds ? "s" : ""}${s.rank}`);
      return da && !ds ? [da.mul(x).mul(2)] : undefined;
    });
    const x = tensor([1, 2]);
    assert.deepEqual(await numbers(grad((t: Tensor) => apply(op, t)[0].sum())(x)), [2, 4]);
    assert.deepEqual(await numbers(grad((t: Tensor) => apply(op, t)[1])(x)), [1, 1]);
    assert.deepEqual(seen, ["a0", "s0"]);
  });
});

describe("requireGrad", () => {
  test("of constants and views, which are simplified as expressions are built, is answered", async () => {
    const [one, zero, view] = [ones([2]), zeros([2]), tensor([[1, 2]]).reshape([2])].map((t) => t.requireGrad());
    tensor([3, 4])
      .mul(one)
      .add(zero)
      .sum()
      .add(view.reshape([2, 1]).slice([0, 1]).square().sum())
      .backward();
    assert.deepEqual(await numbers(one.grad!), [3, 4]);
    assert.deepEqual(await numbers(zero.grad!), [1, 1]);
    assert.deepEqual(await numbers(view.grad!), [2, 0]);
  });
});
