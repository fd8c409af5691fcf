/** Forward mode: pushforwards against differences and against reverse mode, and the matrices made of them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hessian, hvp, jacobian, jvp, linearize } from "../../src/autograd/forward.ts";
import { grad, gradients, noGrad } from "../../src/autograd/grad.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { attention, gruScan, layerNorm, softmax } from "../../src/ops/index.ts";
import { Generator, compile, concat, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { numbers, openTestDevices } from "../support/helpers.ts";

const values = numbers;

function near(got: ArrayLike<number>, want: ArrayLike<number>, bound: number, what = ""): void {
  assert.equal(got.length, want.length);
  for (let i = 0; i < got.length; i++) {
    const error = Math.abs(got[i] - want[i]) / Math.max(1, Math.abs(want[i]));
    assert.ok(error <= bound, `${what} element ${i}: ${got[i]}, not ${want[i]}`);
  }
}

describe("forward mode", () => {
  test("jvp gives the value and the derivative along a tangent, for trees, on every device", async () => {
    const [gpu, cpu] = await openTestDevices();
    try {
      for (const device of [new ReferenceDevice(), cpu, gpu]) {
        setDefaultDevice(device);
        const f = ({ a, b }: { a: Tensor; b: readonly [Tensor] }, k: Tensor) => ({
          y: a.mul(b[0]).exp(),
          best: a.argmax(),
          z: [a.take(k)],
        });
        const point = { a: tensor([0.5, 1]), b: [tensor([2, -1])] as const };
        const along = { a: tensor([1, 3]), b: [tensor([0.5, 0])] as const };
        const k = tensor(Int32Array.of(1));
        const [out, dot] = jvp(f, [point, k], [along, k]);
        near(await values(out.y), [Math.E, Math.exp(-1)], 1e-5);
        near(await values(dot.y), [(2 + 0.25) * Math.E, -3 * Math.exp(-1)], 1e-5);
        near(await values(dot.z[0]), [3], 1e-6);
        assert.deepEqual([dot.best.dtype, await dot.best.item()], [out.best.dtype, 0]);
      }
    } finally {
      setDefaultDevice(undefined);
      gpu.close();
      cpu.close();
    }
  });

  test("a tangent's tensors are known by their names, in whatever order they are written", async () => {
    setDefaultDevice(new ReferenceDevice());
    const f = ({ a, b }: { a: Tensor; b: Tensor }) => a.square().add(b.square().mul(b)).sum();
    const point = { a: tensor([1]), b: tensor([2]) };
    const along = { b: tensor([1]), a: tensor([0]) };
    const [, slope] = jvp(f, [point], [along]);
    assert.deepEqual(await values(slope), [12]);
    const product = hvp(f, point, along);
    assert.deepEqual([await values(product.a), await values(product.b)], [[0], [12]]);
    setDefaultDevice(undefined);
  });

  test("fused ops, products, views and gathers: ⟨u, J v⟩ = ⟨Jᵀ u, v⟩ and differences", async () => {
    const device = new ReferenceDevice();
    setDefaultDevice(device);
    try {
      const draw = new Generator(3);
      const normal = (...shape: number[]) => draw.normal(shape).cast("f64");
      const index = tensor([
        [0, 2],
        [1, 1],
      ]).cast("i32");
      const mask = tensor([
        [1, 1],
        [1, 0],
        [1, 1],
      ]);
      const cases: [string, (...x: Tensor[]) => Tensor, Tensor[]][] = [
        ["softmax", (x) => softmax(x, -1), [normal(2, 5)]],
        ["layerNorm", (x, w, b) => layerNorm(x, { weight: w, bias: b }), [normal(3, 4), normal(4), normal(4)]],
        ["attention", (q, k, v) => attention(q, k, v), [normal(1, 2, 3, 4), normal(1, 2, 3, 4), normal(1, 2, 3, 4)]],
        [
          "gruScan",
          (gates, weight, bias, h0) => gruScan({ gates, weight, bias, h0, mask: mask.cast("f64") }).y,
          [normal(3, 2, 1, 9), normal(1, 9, 3), normal(1, 9), normal(1, 2, 3)],
        ],
        [
          "matmul of views",
          (a, b) =>
            a
              .transpose()
              .matmul(b.flip([0]))
              .slice([0, 4, 2]),
          [normal(3, 4), normal(3, 2)],
        ],
        ["gather and prod", (x) => concat([x.gather(1, index).prod(-1), x.max(0)]), [normal(2, 3)]],
      ];
      for (const [name, f, inputs] of cases) {
        const point = await Promise.all(inputs.map(async (t) => tensor(await t.read(), { shape: t.shape })));
        const along = point.map((t) => normal(...t.shape));
        const fixed = await Promise.all(along.map(async (t) => tensor(await t.read(), { shape: t.shape })));
        const [y, dy] = jvp(f, point, fixed);
        const moved = (by: number) => f(...point.map((t, i) => t.add(fixed[i].mul(by))));
        near(await values(dy), await values(moved(1e-5).sub(moved(-1e-5)).div(2e-5)), 1e-6, name);
        const u = tensor(await normal(...y.shape).read(), { shape: y.shape });
        const pulled = gradients([f(...point)], [u], point);
        const right = pulled.map((t, i) => t.mul(fixed[i]).sum()).reduce((a, b) => a.add(b));
        near([await dy.mul(u).sum().item()], [await right.item()], 1e-12, name);
      }
    } finally {
      setDefaultDevice(undefined);
    }
  });

  test("jacobian by rows and by columns, hessian, and products with it", async () => {
    setDefaultDevice(new ReferenceDevice());
    try {
      const a = tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]);
      assert.deepEqual(
        await jacobian((x) => a.matmul(x), tensor([[1], [1], [1]]))
          .reshape([2, 3])
          .toArray(),
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
      );
      const tall = jacobian((x) => x.matmul(a).square(), tensor([[1, 2]]));
      assert.deepEqual(tall.shape, [1, 3, 1, 2]);
      near(await values(tall), [18, 72, 48, 120, 90, 180], 1e-9);
      const f = (x: Tensor) =>
        x
          .square()
          .mul(x)
          .sum()
          .add(x.slice(0).mul(x.slice(1)));
      const x = tensor([2, -3]);
      assert.deepEqual(await hessian(f, x).toArray(), [
        [12, 1],
        [1, -18],
      ]);
      assert.deepEqual(await values(hvp(f, x, tensor([1, 10]))), [22, -179]);
      const tree = hvp(
        ({ p, q }: { p: Tensor; q: Tensor }) => p.mul(q).sum(),
        { p: x, q: x },
        { p: x, q: tensor([5, 6]) },
      );
      assert.deepEqual(
        [await values(tree.p), await values(tree.q)],
        [
          [5, 6],
          [2, -3],
        ],
      );
      assert.deepEqual(await values(jacobian((x) => tensor([1, 2, 3]).add(x.mul(0)), tensor([7]))), [0, 0, 0]);
      assert.deepEqual(jacobian((x) => x, tensor(new Float32Array(0))).shape, [0, 0]);
    } finally {
      setDefaultDevice(undefined);
    }
  });

  test("linearize builds the function once; tangents may be differentiated, compiled, and taken under noGrad", async () => {
    setDefaultDevice(new ReferenceDevice());
    try {
      let runs = 0;
      const f = (x: Tensor) => {
        runs++;
        return x.square().mul(x);
      };
      const x = tensor([2, 3]);
      const [, push] = linearize(f, [x]);
      assert.deepEqual(await values(push([tensor([1, 0])])), [12, 0]);
      assert.deepEqual(await values(push([tensor([0, 1])])), [0, 27]);
      assert.equal(runs, 1);
      const second = grad((x: Tensor) => jvp(f, [x], [tensor([1, 1])])[1].sum())(x);
      assert.deepEqual(await values(second), [12, 18]);
      const twice = jvp((x: Tensor) => jvp(f, [x], [tensor([1, 1])])[1], [x], [tensor([1, 2])])[1];
      assert.deepEqual(await values(twice), [12, 36]);
      assert.deepEqual(await values(noGrad(() => jvp(f, [x], [tensor([1, 1])])[1])), [12, 27]);
      const step = compile((x: Tensor, v: Tensor) => jvp(f, [x], [v])[1]);
      for (const v of [1, 2]) assert.deepEqual(await values(await step(x, tensor([v, v]))), [12 * v, 27 * v]);
    } finally {
      setDefaultDevice(undefined);
    }
  });

  test("tangents of another form are refused with their place", () => {
    const x = tensor([1, 2]);
    const f = (x: Tensor) => x;
    assert.throws(() => jvp(f, [x], [tensor([1])]), /jvp: tangents\[0\] is f32\[1\], but inputs\[0\] is f32\[2\]/);
    assert.throws(
      () => jvp(f, [x], [3 as never]),
      /jvp: tangents\[0\] must be a tensor f32\[2\] as inputs\[0\] is, not 3/,
    );
    assert.throws(
      () => jvp(f, x as never, [x]),
      /jvp: inputs must be the array of the function's arguments.*write \[x\]/,
    );
    assert.throws(() => linearize(f, [x])[1]([] as never), /linearize: tangents must be an array of 1 as inputs is/);
    assert.throws(() => jvp((() => 4) as never, [x], [x]), /jvp: the function's result must be a tensor.*not 4/);
    const tree = { a: x };
    assert.throws(() => hvp(({ a }) => a.sum(), tree, { b: x } as never), /hvp: v must be a record \{ a \} as x is/);
    assert.throws(() => jacobian((x) => x, x.cast("i32")), /jacobian: cannot differentiate with respect to a i32/);
    assert.throws(() => jacobian((x) => x.argmax(), x), /jacobian: a (i32|u32) value has no gradient/);
  });
});
