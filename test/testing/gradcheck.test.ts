import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { grad } from "../../src/autograd/grad.ts";
import { GradcheckError, gradcheck } from "../../src/testing/gradcheck.ts";
import { Generator, Tensor, tensor, variable } from "../../src/tensor/index.ts";
import type { FusedOp } from "../../src/tensor/index.ts";
import * as build from "../../src/tensor/build.ts";
import { openTestDevice } from "../support/helpers.ts";

/** x³ with a gradient of one's choice. */
function cube(vjp: FusedOp["vjp"]): (x: Tensor) => Tensor {
  const op: FusedOp = { name: "cube", outputs: ([x]) => [x], decompose: ([x]) => [x.mul(x).mul(x)], vjp };
  return (x) => new Tensor(build.fused(op, [x.node], {})[0]);
}

const right = cube(([x], _, [dy]) => [dy!.mul(x.square()).mul(3)]);

async function failure(promise: Promise<unknown>): Promise<GradcheckError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(error instanceof GradcheckError, `expected a GradcheckError, got ${String(error)}`);
  return error;
}

describe("gradcheck", () => {
  test("passes right gradients of first and second order, and says how many it compared", async () => {
    const x = tensor([
      [0.5, -1.25],
      [2, 0.75],
    ]);
    const once = await gradcheck(right, [x]);
    assert.equal(once.checked, 4);
    assert.ok(once.largestError < 1e-6);
    assert.equal((await gradcheck(right, [x], { order: 2 })).checked, 8);
  });

  test("names the input, the element and both values of a wrong gradient", async () => {
    const wrong = cube(([x], _, [dy]) => [dy!.mul(x.square()).mul(x.gt(1).where(2, 3))]);
    const x = tensor([
      [0.5, -1.25],
      [2, 0.75],
    ]);
    const error = await failure(gradcheck((a: Tensor, b: Tensor) => wrong(b).sum().add(a), [tensor(1), x]));
    assert.equal(error.input, "1");
    assert.deepEqual(error.index, [1, 0]);
    assert.equal(error.order, 1);
    assert.ok(Math.abs(error.analytic / error.numeric - 2 / 3) < 1e-6);
    assert.match(
      error.message,
      /input 1, element \[1, 0\] of \[2, 2\]: reverse mode gives -?\d.*, central differences -?\d/,
    );
    const named = await failure(gradcheck(({ weight }) => wrong(weight), { weight: x }));
    assert.match(named.message, /input "weight", element \[1, 0\]/);
  });

  test("a gradient that is off by 3e-6 of itself is wrong", async () => {
    const off = cube(([x], _, [dy]) => [dy!.mul(x.square()).mul(3 * (1 + 3e-6))]);
    await failure(gradcheck(off, [tensor([2.5])]));
  });

  test("a function that bends too much for differences alone is no fault, and its wrong gradient is one", async () => {
    const bent = (factor: number): ((x: Tensor) => Tensor) => {
      const vjp: FusedOp["vjp"] = ([x], _, [dy]) => [dy!.mul(x.mul(600).cos()).mul(600 * factor)];
      const op: FusedOp = { name: "bent", outputs: ([x]) => [x], decompose: ([x]) => [x.mul(600).sin()], vjp };
      return (x) => new Tensor(build.fused(op, [x.node], {})[0]);
    };
    const x = tensor([0.001, 0.3, -0.2]);
    await gradcheck(bent(1), [x], { order: 2 });
    await failure(gradcheck(bent(1 + 3e-6), [x]));
    await failure(gradcheck(bent(1 - 3e-6), [x]));
  });

  test("second derivatives are checked on their own", async () => {
    // The gradient has the right value but is cut off from x.
    const detached = cube(([x], _, [dy]) => [dy!.mul(x.detach().square()).mul(3)]);
    const x = tensor([1.5, 2]);
    await gradcheck(detached, [x]);
    const error = await failure(gradcheck(detached, [x], { order: 2 }));
    assert.equal(error.order, 2);
    assert.match(error.message, /the second derivative with respect to input 0/);
  });

  test("NaN and missing gradients fail", async () => {
    await failure(
      gradcheck(
        cube(([x], _, [dy]) => [dy!.mul(x.sub(x).div(x.sub(x)))]),
        [tensor([1])],
      ),
    );
    await failure(
      gradcheck(
        cube(() => []),
        [tensor([1])],
      ),
    );
  });

  test("a kink is hinted at", async () => {
    const error = await failure(gradcheck((x: Tensor) => x.relu(), [tensor([2, 0])]));
    assert.deepEqual(error.index, [1]);
    assert.match(error.message, /is there a kink\?/);
  });

  test("inputs are taken from another device, and variables and draws held still", async () => {
    const device = await openTestDevice();
    try {
      const x = tensor([0.5, 1.5, 2.5]);
      const [storage] = await device.realize([x.mul(2).node], []);
      const onDevice = new Tensor(build.makeNode({ kind: "storage", storage }, [], [3], "f32"));
      const w = variable(tensor([1, 2, 3]), { device });
      const generator = new Generator(1);
      const f = (t: Tensor) =>
        right(t)
          .mul(w)
          .mul(generator.uniform([3]).add(0.5));
      assert.equal((await gradcheck(f, [onDevice.mul(0.5)])).checked, 3);
      assert.equal(storage.device, device);
    } finally {
      device.close();
    }
  });

  test("integer inputs and outputs are passed along and not moved", async () => {
    const index = tensor(Int32Array.of(2, 0));
    const { checked } = await gradcheck((x: Tensor, i: Tensor) => [x.take(i), x.argmax()], [tensor([1, 2, 4]), index]);
    assert.equal(checked, 3);
  });

  test("large inputs are sampled", async () => {
    const { checked } = await gradcheck((x: Tensor) => right(x), [new Generator(2).uniform([500])], { samples: 20 });
    assert.equal(checked, 20);
  });

  test("what cannot be checked is refused", async () => {
    await assert.rejects(
      gradcheck((x: Tensor) => x, [tensor(Int32Array.of(1))]),
      /no input has a floating element/,
    );
    await assert.rejects(
      gradcheck((x: Tensor) => x.gt(0), [tensor([1])]),
      /gives no floating tensor/,
    );
    await assert.rejects(gradcheck(right, [tensor([1])], { eps: 0 }), /eps must be above 0/);
    await assert.rejects(
      gradcheck(right, [tensor([1])], { eps: "1" as never }),
      /eps must be above 0, not the string "1"/,
    );
    await assert.rejects(gradcheck(right, [tensor([1])], { samples: 0.5 }), /samples must be at least 1, not 0.5/);
    await assert.rejects(gradcheck(right, [[1] as never]), /gradcheck: input 0 must be a tensor/);
    await assert.rejects(gradcheck((() => 3) as never, [tensor([1])]), /gradcheck: the result must be a tensor, not 3/);
    await assert.rejects(gradcheck(right, [tensor([1])], { order: 3 as 2 }), /order must be 1 or 2/);
    const device = await openTestDevice();
    await assert.rejects(gradcheck(right, [tensor([1])], { device }), /does not compute in float64/);
    device.close();
  });

  test("a function that uses its input from outside is refused: it would not move", async () => {
    const [x, w] = [tensor([1, 2]), variable(tensor([3, 4]), { name: "w" })];
    await assert.rejects(
      gradcheck((_: Tensor) => x.mul(w).sum(), [x]),
      /uses input 0, .*from outside and not the argument it is handed/,
    );
    await assert.rejects(
      gradcheck((x: Tensor, _: Tensor) => x.mul(w.square()).sum(), [x, w]),
      /uses input 1, Variable\(w: f32\[2\]\), from outside/,
    );
    assert.equal((await gradcheck((x: Tensor) => x.mul(w), [x])).checked, 2);
  });

  test("a small derivative beside a large value is not taken for wrong", async () => {
    const scales = tensor([1e9, 1]);
    assert.equal((await gradcheck((x: Tensor) => x.sin().mul(scales), [tensor([1, 2])])).checked, 2);
  });

  test("agrees with grad of grad", async () => {
    const second = grad((x: Tensor) => grad((y: Tensor) => right(y).sum())(x).sum());
    await gradcheck((x: Tensor) => second(x), [tensor([0.5, -2])]);
  });
});
