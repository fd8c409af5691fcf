/** Matrix products of plain and viewed operands, with elementwise work before and after, and einsum. */
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { einsum } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import {
  assertClose,
  devicesAgree,
  gradientsAgree,
  leafTensor,
  openTestDevice,
  openTestDevices,
  property,
  valuesOf,
} from "../support/helpers.ts";
import type { OpCase } from "../support/helpers.ts";

const SMALL = [1, 2, 3] as const;
const SIZES = [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 20, 31, 33, 48, 64, 65] as const;

function productCase(draw: Draw, sizes: readonly number[]): OpCase {
  const [m, k, n] = [draw.pick(sizes), draw.pick(sizes), draw.pick(sizes)];
  const batch = draw.chance(0.5) ? [] : draw.shape({ minRank: 1, maxRank: 2, elements: 6 });
  const aShape = draw.chance(0.1) ? [k] : [...draw.broadcastable(batch), m, k];
  const bShape = draw.chance(0.1) ? [k] : [...draw.broadcastable(batch), k, n];
  const [a, b] = [draw.operand(aShape, { domain: [-1, 1] }), draw.operand(bShape, { domain: [-1, 1] })];
  return {
    name: `matmul (${a.how}) (${b.how})`,
    leaves: [a.leaf, b.leaf],
    f: (x, y) => a.view(x).matmul(b.view(y)),
    bound: 2e-6,
    gradientBound: 1e-5,
  };
}

/** A linear layer: work folded into the product's operands and into its result. */
function layerCase(draw: Draw, sizes: readonly number[]): OpCase {
  const [m, k, n] = [draw.pick(sizes), draw.pick(sizes), draw.pick(sizes)];
  const batch = draw.chance(0.5) ? [] : [draw.int(1, 4)];
  const leaves = [
    draw.data([...batch, m, k], { domain: [-1, 1] }),
    draw.data([n, k], { domain: [-1, 1] }),
    draw.data([n]),
    draw.data([...batch, m, n]),
  ];
  const [before_, after_, residual] = [draw.chance(0.5), draw.int(0, 3), draw.chance(0.5)];
  return {
    name: `layer ${before_} ${after_} ${residual}`,
    leaves,
    bound: 1e-5,
    gradientBound: 4e-5,
    f: (x, w, bias, r) => {
      const h = (before_ ? x.tanh() : x).matmul(w.transpose()).add(bias);
      const y = after_ === 0 ? h : after_ === 1 ? h.tanh() : after_ === 2 ? h.sigmoid() : h.silu();
      return residual ? [y.add(r), y.sum(-1)] : y;
    },
  };
}

const EQUATIONS = [
  "ab,bc->ac",
  "ab,cb->ac",
  "ba,bc->ca",
  "abc,abd->acd",
  "abc,dc->abd",
  "ab,ab->a",
  "ab,ab->",
  "a,b->ab",
  "abc->b",
  "abc->cab",
  "abc,acd->abd",
  "abcd,aecd->abe",
  "ab,bc,cd->ad",
  "bthd,bshd->bhts",
  "bhts,bshd->bthd",
  "abc,b->ac",
  "a,a->",
  "ab,c->cab",
  "abc,bd->dca",
] as const;

function einsumCase(draw: Draw, sizes: readonly number[]): OpCase {
  const equation = draw.pick(EQUATIONS);
  const size = new Map([...new Set(equation)].map((l) => [l, draw.pick(sizes)]));
  const operands = equation
    .split("->")[0]
    .split(",")
    .map((letters) =>
      draw.operand(
        [...letters].map((l) => size.get(l)!),
        { domain: [-1, 1] },
      ),
    );
  return {
    name: `einsum ${equation}`,
    leaves: operands.map((o) => o.leaf),
    bound: 3e-6,
    gradientBound: 1e-5,
    f: (...t) => einsum(equation, ...t.map((x, i) => operands[i].view(x))),
  };
}

/** Sums of products by a loop over every letter: what an equation means. */
function productSum(
  equation: string,
  operands: readonly { data: ArrayLike<number>; shape: readonly number[] }[],
): number[] {
  const [inputs, output] = equation.split("->");
  const lists = inputs.split(",");
  const size = new Map<string, number>();
  lists.forEach((letters, i) => [...letters].forEach((l, axis) => size.set(l, operands[i].shape[axis])));
  const letters = [...size.keys()];
  const flat = (of: string, at: ReadonlyMap<string, number>) =>
    [...of].reduce((sum, l) => sum * size.get(l)! + at.get(l)!, 0);
  const result = new Array<number>([...output].reduce((p, l) => p * size.get(l)!, 1)).fill(0);
  const visit = (depth: number, at: Map<string, number>): void => {
    if (depth < letters.length) {
      for (let i = 0; i < size.get(letters[depth])!; i++) visit(depth + 1, at.set(letters[depth], i));
      return;
    }
    result[flat(output, at)] += lists.reduce((p, of, i) => p * operands[i].data[flat(of, at)], 1);
  };
  visit(0, new Map());
  return result;
}

describe("products", () => {
  let devices: Backend[];
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  test("matmul and einsum: gradient against finite differences", () =>
    property(20, async (draw) => {
      await gradientsAgree(productCase(draw, SMALL));
      await gradientsAgree(einsumCase(draw, [1, 2, 3]));
    }));
  test("a layer: gradient against finite differences", () =>
    property(5, (draw) => gradientsAgree(layerCase(draw, SMALL))));

  test("matmul: each device against reference, values and gradients", () =>
    property(5, (draw) =>
      devicesAgree(
        devices,
        Array.from({ length: 4 }, () => productCase(draw, SIZES)),
      ),
    ));
  test("layers: each device against reference, values and gradients", () =>
    property(5, (draw) => devicesAgree(devices, [layerCase(draw, SIZES), layerCase(draw, SIZES)])));
  test("einsum: each device against reference, values and gradients", () =>
    property(3, (draw) =>
      devicesAgree(
        devices,
        Array.from({ length: 5 }, () => einsumCase(draw, [1, 2, 3, 4, 5])),
      ),
    ));

  test("with the kernels meant for real GPUs", async () => {
    const device = await openTestDevice({ profile: "gpu" });
    try {
      // Their tiles are long programs for a software driver: a few are enough, test/shaders has the rest.
      await property(2, (draw) => devicesAgree(device, [{ ...layerCase(draw, SIZES), differentiable: false }]));
    } finally {
      device.close();
    }
  });

  test("einsum is the sum of products over the letters that are dropped", () =>
    property(30, async (draw) => {
      const c = einsumCase(draw, [1, 2, 3]);
      const equation = c.name.slice("einsum ".length);
      const size = new Map([...new Set(equation)].map((l) => [l, draw.int(1, 3)]));
      const leaves = equation
        .split("->")[0]
        .split(",")
        .map((letters) => draw.data([...letters].map((l) => size.get(l)!)));
      const expected = Float64Array.from(productSum(equation, leaves));
      const reference = new ReferenceDevice();
      const [found] = await valuesOf(reference, [einsum(equation, ...leaves.map(leafTensor)).node]);
      assertClose(found, expected, 1e-12);
    }));

  test("products of equal operands, with a transposed self, and of one another", () =>
    property(2, (draw) => {
      const leaf = draw.data([draw.int(3, 9), draw.int(3, 9)], { domain: [-1, 1] });
      return devicesAgree(devices, [
        {
          name: "products of one matrix",
          leaves: [leaf],
          bound: 1e-5,
          f: (x: Tensor) => {
            const gram = x.matmul(x.transpose());
            const other = x.transpose().matmul(x).tanh();
            return [gram, gram.matmul(gram).mul(0.1), x.matmul(other).add(x), gram.matmul(x).sum(1)];
          },
        },
      ]);
    }));

  test("operands whose rows and columns are read from one index: a transposed matrix reshaped", () =>
    property(1, (draw) =>
      devicesAgree(
        devices,
        [
          [4, 6, 8, 3, 5],
          [12, 32, 24, 16, 16],
        ].map(([rows, columns, m, k, n]) => ({
          name: `[${rows}, ${columns}] transposed and reshaped to [${m}, ${k}]`,
          leaves: [draw.data([rows, columns], { domain: [-1, 1] }), draw.data([k, n], { domain: [-1, 1] })],
          bound: 1e-5,
          f: (x: Tensor, y: Tensor) => {
            const view = x.transpose().reshape([m, k]);
            return [view.matmul(y), y.transpose().matmul(view.transpose())];
          },
        })),
      ),
    ));

  test("inner size 0 gives zeros, empty results are empty", () =>
    devicesAgree(devices, [
      {
        name: "empty",
        leaves: [
          { data: new Float32Array(0), shape: [3, 0], dtype: "f32" },
          { data: new Float32Array(0), shape: [0, 2], dtype: "f32" },
        ],
        f: (a, b) => [a.matmul(b), b.matmul(b.transpose().matmul(a.transpose())), einsum("ab,bc->ac", a, b)],
      },
    ]));
});
