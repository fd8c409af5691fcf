/**
 * Matrix products as the schedule makes them, against the reference device: views, guards and elementwise work before
 * and after, run without a device around them.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { buildGraph } from "../../../src/compiler/graph.ts";
import { makePlan } from "../../../src/compiler/plan.ts";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import { tensor } from "../../../src/tensor/create.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { realize } from "../../../src/tensor/program/realize.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { WasmKernel } from "../../../src/wasm/kernel.ts";
import { matmulKernel } from "../../../src/wasm/print/matmul.ts";
import { runLowering } from "../run-lowering.ts";

const reference = new ReferenceDevice();

/** Numbers that float32 holds exactly and whose small products sum exactly, or any. */
function values(count: number, seed: number, whole = false): number[] {
  let state = seed + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const x = state / 2 ** 32 - 0.5;
    return whole ? Math.round(8 * x) : Math.fround(x);
  });
}

const make = (shape: readonly number[], seed: number, dtype: "f32" | "i32" = "f32"): Tensor =>
  tensor(
    (dtype === "i32" ? Int32Array : Float32Array).from(
      values(
        shape.reduce((x, y) => x * y, 1),
        seed,
        dtype === "i32",
      ),
    ),
    { shape: [...shape] },
  );

/** One product's kernels on the graph's leaves. */
function run(result: Tensor): ArrayLike<number> {
  const graph = buildGraph([result.node], [], {
    canLower: () => false,
    parallelism: 16,
    busyRows: 16,
    checksComputed: "never",
  });
  const plan = makePlan(graph, { maxBindings: 64, scratchOf: () => [], sharingKeyOf: () => undefined });
  assert.equal(plan.steps.length, 1, "the graph must be one kernel");
  const [kernel] = plan.steps[0].kernels;
  if (kernel.kind !== "matmul") throw new Error(`a ${kernel.kind} kernel instead of a product`);
  const { kernels, operands, scratch } = matmulKernel(kernel);
  const words = (data: ArrayLike<number>, dtype: string): Float32Array =>
    new Float32Array((dtype === "f32" ? Float32Array.from(data) : Int32Array.from(data)).buffer);
  const parameters = new Float32Array(graph.parameterWords);
  for (const { node, role, offset } of graph.leaves) {
    if (role !== "parameter" || node.op.kind !== "data") continue;
    parameters.set(words(node.op.data as ArrayLike<number>, node.dtype), offset);
  }
  const target = kernel.stores[0].target;
  const at = operands.indexOf(target);
  const inputs = operands
    .filter((_, i) => i !== at)
    .map((operand) => {
      if (typeof operand === "number") return parameters.subarray(operand);
      if (operand.op.kind !== "data") throw new Error(`an operand is ${operand.op.kind}`);
      return words(operand.op.data as ArrayLike<number>, operand.dtype);
    });
  // On the device the result is one of the operands; here it is an output.
  const renamed = kernels.map(
    (k): WasmKernel => ({
      ...k,
      emit: (f, context) =>
        k.emit(f, {
          ...context,
          input: (i) => (i === at ? context.output(0) : context.input(i < at ? i : i - 1)),
        }),
    }),
  );
  const [found] = runLowering({ kernels: renamed, scratch }, inputs, [result.size], { split: 3 });
  return target.dtype === "f32" ? found : new Int32Array(found.buffer);
}

async function agree(f: () => Tensor, bound = 1e-5): Promise<void> {
  setDefaultDevice(reference);
  const lazy = f();
  const found = run(lazy);
  const expected = f();
  await realize([expected]);
  const wanted = (await expected.read()) as ArrayLike<number>;
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < wanted.length; i++) {
    const close = Math.abs(found[i] - wanted[i]) <= bound * Math.max(1, Math.abs(wanted[i]));
    assert.ok(close, `element ${i}: ${found[i]}, not ${wanted[i]}`);
  }
}

describe("matrix products of a schedule", () => {
  const cases: Record<string, () => Tensor> = {
    "a product": () => make([5, 7], 1).matmul(make([7, 9], 2)),
    "both operands transposed": () =>
      make([37, 26], 1)
        .transpose()
        .matmul(make([33, 37], 2).transpose()),
    "a batch, broadcast": () => make([3, 1, 6, 10], 1).matmul(make([4, 10, 11], 2)),
    "a linear layer with bias and activation": () =>
      make([70, 33], 1)
        .matmul(make([18, 33], 2).transpose())
        .add(make([18], 3))
        .relu(),
    "scaled by a host value": () =>
      make([20, 33], 1)
        .matmul(make([33, 18], 2))
        .mul(tensor([0.5])),
    "a rectified operand, transposed": () =>
      make([40, 18], 2)
        .relu()
        .transpose()
        .matmul(make([40, 21], 3)),
    "both operands computed": () =>
      make([19, 50], 1)
        .mul(2)
        .add(1)
        .matmul(make([31, 50], 3).square().transpose()),
    "a computed operand of many blocks": () =>
      make([300, 20], 1)
        .mul(2)
        .matmul(make([20, 70], 3)),
    "slices with steps and flips": () =>
      make([30, 40], 1)
        .slice([0, 30, 2], [1, 40, 3])
        .matmul(make([13, 25], 2).flip(0)),
    "padded operands": () =>
      make([11, 6], 1)
        .pad([
          [2, 1],
          [0, 3],
        ])
        .matmul(
          make([7, 22], 2).pad([
            [1, 1],
            [3, 0],
          ]),
        ),
    "heads of a packed projection": () => {
      const packed = make([2, 12, 3, 4, 8], 1);
      const [q, k] = [0, 1].map((i) => packed.slice(null, null, i).permute([0, 2, 1, 3]));
      return q.matmul(k.transpose()).mul(0.25);
    },
    "a matrix and a vector": () => make([50, 30], 1).matmul(make([30, 1], 2)),
    "a transposed matrix and a vector, with an epilogue": () =>
      make([30, 50], 1)
        .transpose()
        .matmul(make([30, 1], 2))
        .add(make([50, 1], 3))
        .tanh(),
    "a vector and a matrix": () => make([1, 30], 1).matmul(make([30, 50], 2)),
    "two vectors": () => make([1, 30], 1).matmul(make([30, 1], 2)),
    "an outer product": () => make([30, 1], 1).matmul(make([1, 50], 2)),
    "one by one": () => make([1, 1], 1).matmul(make([1, 1], 2)),
    "gathered rows": () =>
      make([9, 12], 1)
        .gather(0, make([17, 12], 4, "i32").mod(9))
        .matmul(make([12, 10], 2)),
  };
  for (const [name, f] of Object.entries(cases)) test(name, () => agree(f));
});
