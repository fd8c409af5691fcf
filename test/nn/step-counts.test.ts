/** Optimizers count steps for each parameter, as PyTorch's do. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Adam, SGD } from "../../src/nn/index.ts";
import { compile, tensor, variable } from "../../src/tensor/index.ts";
import type { Variable } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { onReference } from "./helpers.ts";

describe("steps", () => {
  test("a parameter without a gradient takes no step: Adam's corrections and SGD's first step are each parameter's own", () =>
    onReference(async () => {
      const [a, b] = [variable(tensor([1])), variable(tensor([1]))];
      const adam = new Adam([a, b], { lr: 0.1 });
      const only = (p: Variable) => {
        adam.zeroGrad();
        p.mul(3).sum().backward();
        adam.step();
      };
      // Any constant gradient moves by lr at each step, whichever it is, where the corrections count it rightly.
      only(a);
      only(a);
      only(b);
      assertClose([await a.item(), await b.item()], [0.8, 0.9], 1e-6);
      adam.zeroGrad();
      adam.step();
      assert.deepEqual(await numbers(adam.stateDict().get("step")!), [2, 1]);

      const { state } = Object.fromEntries(await adam.torchState()) as { state: Map<number, Map<string, unknown>> };
      const steps = [0, 1].map((i) => (state.get(i)!.get("step") as { data: ArrayLike<number> }).data[0]);
      assert.deepEqual(steps, [2, 1]);
      const other = new Adam([variable(tensor([1])), variable(tensor([1]))]);
      other.loadTorchState(await adam.torchState());
      assert.deepEqual(await numbers(other.stateDict().get("step")!), [2, 1]);

      const [c, d] = [variable(tensor([0])), variable(tensor([0]))];
      const sgd = new SGD([c, d], { lr: 1, momentum: 0.5, dampening: 0.5 });
      for (const p of [c, d, d]) {
        sgd.zeroGrad();
        p.sum().backward();
        sgd.step();
      }
      assertClose([await c.item(), await d.item()], [-1, -2], 1e-12);
    }));

  test("steps are counted for each parameter by compiled functions too", () =>
    onReference(async () => {
      const ps = [variable(tensor([1])), variable(tensor([1]))];
      const adam = new Adam(ps, { lr: 0.1 });
      const steps = ps.map((p) =>
        compile(() => {
          adam.zeroGrad();
          const loss = p.mul(3).sum();
          loss.backward();
          adam.step();
          return loss;
        }),
      );
      for (const i of [0, 1, 0, 0]) await (await steps[i]()).read();
      assertClose([await ps[0].item(), await ps[1].item()], [0.7, 0.9], 1e-6);
    }));
});
