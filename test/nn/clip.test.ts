/** Clipping by norm, against its formula and PyTorch's behaviour where the norm is not finite. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clipGradNorm } from "../../src/nn/index.ts";
import { tensor, variable, zeros } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { drawn, holds, onReference } from "./helpers.ts";

describe("clipping", () => {
  holds("scales all gradients together to the norm, and leaves small ones", 20, async (draw) => {
    const ps = Array.from({ length: draw.int(1, 4) }, () => variable(drawn(draw, [draw.int(1, 5)])));
    const cs = ps.map((p) => drawn(draw, p.shape));
    ps.map((p, i) => p.mul(cs[i]).sum())
      .reduce((a, b) => a.add(b))
      .backward();
    const before = (await Promise.all(cs.map(numbers))).flat();
    const norm = Math.hypot(...before);
    const most = norm * (0.5 + draw.unit());
    const idle = variable(zeros([2]));
    const told = clipGradNorm([...ps, idle], most);
    assertClose([await told.item()], [norm], 1e-12);
    assert.equal(idle.grad, undefined);
    const after = (await Promise.all(ps.map((p) => numbers(p.grad!)))).flat();
    const factor = Math.min(1, most / (norm + 1e-6));
    assertClose(
      after,
      before.map((g) => g * factor),
      1e-12,
    );
  });

  test("a norm that is not finite shows in the gradients, or is an error where asked", () =>
    onReference(async () => {
      const given = async (values: number[]) => {
        const p = variable(tensor([1, 1]));
        p.mul(tensor(values)).sum().backward();
        const norm = await clipGradNorm([p], 1).item();
        return [norm, ...(await numbers(p.grad!))];
      };
      assert.deepEqual(await given([NaN, 1]), [NaN, NaN, NaN]);
      assert.deepEqual(await given([-Infinity, 1]), [Infinity, NaN, 0]);
      const p = variable(tensor([1, 1]));
      p.mul(tensor([Infinity, 1]))
        .sum()
        .backward();
      await assert.rejects(clipGradNorm([p], 1, { errorIfNonfinite: true }), /the norm of the gradients is Infinity/);
      assert.deepEqual(await numbers(p.grad!), [Infinity, 1]);
      p.grad = tensor([3, 4]);
      assertClose([await (await clipGradNorm([p], 1, { errorIfNonfinite: true })).item()], [5], 1e-6);
      assertClose(await numbers(p.grad), [0.6, 0.8], 1e-6);
    }));

  test("needs a gradient and a norm", () => {
    assert.throws(
      () => clipGradNorm([variable(zeros([1]))], 1),
      /no parameter has a gradient; call backward\(\) first/,
    );
    assert.throws(() => clipGradNorm([], 0), /maxNorm is 0; it must be above 0/);
  });
});
