/** `customGradient`: gradients of one's own are used once, in place of the rules', and looked at when they come back. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { customGradient } from "../../src/autograd/custom.ts";
import { backward, grad, noGrad, valueAndGrad } from "../../src/autograd/grad.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { compile, setDefaultDevice, tensor, variable } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { gradcheck } from "../../src/testing/gradcheck.ts";
import { openTestDevices } from "../support/helpers.ts";

const straightThrough = customGradient(
  function rounded(x: Tensor) {
    return x.round();
  },
  ([dy]) => dy,
);
const clipped = customGradient(
  (x: Tensor) => x,
  ([dy]) => dy.clamp(-1, 1),
);
/** x³ by a rule of its own. */
const cube = customGradient(
  (x: Tensor) => x.mul(x).mul(x),
  ([dy], [x]) => [dy.mul(x.square()).mul(3)],
);
const values = async (x: Tensor) => [...(await x.read())];

describe("customGradient", () => {
  test("a straight-through estimator and a clipped gradient, on every device, compiled and not", async () => {
    const [gpu, cpu] = await openTestDevices();
    try {
      for (const device of [new ReferenceDevice(), cpu, gpu]) {
        setDefaultDevice(device);
        const x = tensor([0.4, 1.6, -2.3]);
        const loss = (x: Tensor) =>
          straightThrough(x)
            .mul(tensor([2, 3, 4]))
            .sum()
            .add(clipped(x).mul(5).sum());
        const [value, dx] = valueAndGrad(loss)(x);
        assert.ok(Math.abs((await value.item()) - (0 + 6 - 8 - 1.5)) < 1e-5);
        assert.deepEqual(await values(dx), [3, 4, 5]);
        const step = compile((x: Tensor) => grad(loss)(x));
        for (let call = 0; call < 2; call++) assert.deepEqual(await values(await step(x)), [3, 4, 5]);
      }
    } finally {
      setDefaultDevice(undefined);
      gpu.close();
      cpu.close();
    }
  });

  test("gradients of gradients go through the operations of vjp", async () => {
    setDefaultDevice(new ReferenceDevice());
    assert.equal((await gradcheck(cube, [tensor([0.5, -2])], { order: 2 })).checked, 4);
    // Through an output that the gradient reads: exp's derivative is its own result.
    const exp = customGradient(
      (x: Tensor) => x.exp(),
      ([dy], _, [y]) => dy.mul(y),
    );
    await gradcheck((x: Tensor) => exp(x).mul(x), [tensor([0.5, -1])], { order: 2 });
    const third = grad((x: Tensor) => grad((x: Tensor) => grad((x: Tensor) => cube(x).sum())(x).sum())(x).sum());
    assert.deepEqual(await values(third(tensor([2, 5]))), [6, 6]);
    setDefaultDevice(undefined);
  });

  test("several inputs and outputs, integers among them, and cotangents of zeros for what is not used", async () => {
    setDefaultDevice(new ReferenceDevice());
    const seen: number[][] = [];
    const f = customGradient(
      (x: Tensor, index: Tensor) => [x.take(index), index.add(1), x.mul(2)] as const,
      (cotangents, [x], outputs) => {
        seen.push(...cotangents.map((t) => [...t.shape]));
        assert.equal(outputs[1].dtype, "i32");
        return [cotangents[0].sum().expand(x.shape).add(cotangents[2].mul(10)), undefined];
      },
    );
    const index = tensor(Int32Array.of(1, 1));
    const dx = grad((x: Tensor) => f(x, index)[0].sum())(tensor([1, 2, 3]));
    assert.deepEqual(await values(dx), [2, 2, 2]);
    assert.deepEqual(seen, [[2], [2], [3]]);
    assert.deepEqual(await values(f(tensor([1, 2, 3]), index)[1]), [2, 2]);
    setDefaultDevice(undefined);
  });

  test("the function runs once a call, and backward reaches variables that are inputs", async () => {
    setDefaultDevice(new ReferenceDevice());
    let runs = 0;
    const f = customGradient(
      (x: Tensor, w: Tensor) => {
        runs++;
        return x.mul(w);
      },
      ([dy], [x, w]) => [dy.mul(w), dy.mul(x).mul(100)],
    );
    const w = variable(tensor([1, 2]));
    const y = f(tensor([3, 4]), w);
    await y.realize();
    backward(y.sum());
    assert.deepEqual(await values(w.grad!), [300, 400]);
    assert.equal(runs, 1);
    setDefaultDevice(undefined);
  });

  test("what vjp gives is looked at: number, shape, dtype, and what is no tensor", () => {
    const x = tensor([1, 2]);
    const wrong = (vjp: () => unknown, inputs: Tensor[] = [x, x]) =>
      grad((x: Tensor) =>
        customGradient(function scaled(a: Tensor, b: Tensor) {
          return a.mul(b.cast("f32"));
        }, vjp as never)(x, inputs[1]).sum(),
      );
    const refused = (vjp: () => unknown, message: RegExp, inputs?: Tensor[]) =>
      assert.throws(() => wrong(vjp, inputs)(x), message);
    refused(() => [x], /customGradient of scaled: vjp gave 1 gradients for 2 inputs; give one an input, undefined/);
    refused(() => x, /vjp gave 1 gradients for 2 inputs/);
    refused(
      () => [undefined, tensor([1])],
      /vjp gave f32\[1\] as the gradient of input 1, which is f32\[2\]; sum over/,
    );
    refused(
      () => [tensor(Int32Array.of(1, 2)), undefined],
      /gave i32\[2\] as the gradient of input 0.*\.cast\("f32"\)/,
    );
    refused(() => [3, undefined], /the gradient that vjp gives for input 0 must be a tensor, not 3/);
    refused(() => undefined, /vjp must give an array with one gradient an input, not undefined/);
    const integers = tensor(Int32Array.of(1, 2));
    refused(() => [x, x], /gave a gradient for input 1, which is i32; give undefined for it/, [x, integers]);
  });

  test("arguments are looked at, and so is what the function uses without being handed it", () => {
    const x = tensor([1, 2]);
    assert.throws(() => customGradient(5 as never, () => []), /customGradient: f must be a function, not 5/);
    assert.throws(() => customGradient((x: Tensor) => x, {} as never), /vjp must be a function/);
    assert.throws(() => straightThrough(3 as never), /customGradient of rounded: input 0 must be a tensor, not 3/);
    const dy = ([dy]: readonly Tensor[]) => dy;
    assert.throws(() => customGradient((() => 7) as never, dy)(x), /the result must be a tensor, not 7/);
    const w = variable(tensor([1, 2]), { name: "w" });
    assert.throws(
      () => customGradient((x: Tensor) => x.mul(w), dy)(x),
      /uses Variable\(w: f32\[2\]\), which is not among its inputs/,
    );
    customGradient((x: Tensor) => x.mul(w.detach()), dy)(x);
    noGrad(() => customGradient((x: Tensor) => x.mul(w), dy)(x));
    assert.throws(
      () => grad((w: Tensor) => customGradient((x: Tensor) => x.mul(w.exp()), dy)(x).sum())(x),
      /uses an input f32\[2\] of a function that is being differentiated/,
    );
    // A function that differentiates inside has aliases of its own.
    customGradient((x: Tensor) => grad((t: Tensor) => t.square().sum())(x), dy)(x);
  });
});
