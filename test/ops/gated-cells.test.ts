/** The backward pass that a gated cell says of itself is what the rules of autograd make of its forward pass. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { grad } from "../../src/autograd/grad.ts";
import { forwardSignature } from "../../src/specs/scan.ts";
import * as build from "../../src/tensor/build.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { SCANS } from "../specs/scan-problem.ts";
import { float64, leaf } from "../support/decomposition.ts";
import { seededRandom } from "../support/draw.ts";

for (const { name, cell, forward } of SCANS) {
  test(`${name}: gradients of all operands, by the cell and by autograd, in float64`, async () => {
    for (const masked of [false, true]) {
      const attrs = { masked, segments: [2, 1, 3] };
      const spec = { steps: 6, batch: 3, directions: 2, hidden: 4, ...attrs };
      const random = seededRandom(5);
      const drawn = ({ shape }: { readonly shape: readonly number[] }) =>
        leaf(
          { shape, dtype: "f64" },
          new Float64Array(sizeOf(shape)).map(() => 2 * random() - 1),
        );
      const { inputs, outputs } = forwardSignature(cell, spec);
      const operands = inputs.map((operand) =>
        operand.name === "mask"
          ? leaf(
              { ...operand, dtype: "f64" },
              new Float64Array(sizeOf(operand.shape)).map(() => Number(random() < 0.7)),
            )
          : drawn(operand),
      );
      const weights = outputs.slice(0, 1 + cell.states.length).map(drawn);
      const count = operands.length - (masked ? 1 : 0);
      const gradients = (scan: (given: readonly Tensor[]) => readonly Tensor[]): Promise<Float64Array[]> => {
        const f = (given: Tensor[]) => {
          const results = scan([...given, ...operands.slice(count)]);
          return weights.map((w, i) => w.mul(results[i]).sum()).reduce((x, y) => x.add(y));
        };
        return float64(grad(f)(operands.slice(0, count)));
      };
      const byCell = await gradients((given) =>
        build
          .fused(
            forward,
            given.map((t) => t.node),
            attrs,
          )
          .map((n) => new Tensor(n)),
      );
      const byRules = await gradients((given) => forward.decompose(given, attrs));
      byCell.forEach((values, i) => {
        const worst = values.reduce((most, x, at) => Math.max(most, Math.abs(x - byRules[i][at])), 0);
        assert.ok(worst < 1e-12, `${inputs[i].name}, masked ${masked}: off by ${worst}`);
        assert.ok(values.some((x) => x !== 0));
      });
    }
  });
}
