/** Decompositions: how often a device is asked about a fused op. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decompose } from "../../src/compiler/decompose.ts";
import { l2Normalize, softmax } from "../../src/ops/index.ts";
import { zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

test("each fused op is rewritten once, however many before and after it are decomposed", () => {
  const length = 20;
  let x: Tensor = zeros([4, 8]).add(1);
  for (let i = 0; i < length; i++) x = l2Normalize(softmax(x));
  const asked: string[] = [];
  const canLower = ({ name }: { readonly name: string }): boolean => {
    asked.push(name);
    return name === "softmax";
  };
  const [node] = decompose([x.node], canLower);
  assert.equal(asked.length, 2 * length);
  assert.notEqual(node.op.kind, "fused");
});
