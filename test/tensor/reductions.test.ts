/** Reductions over every choice of axes, their gradients, argmax and argmin, and the splitting of long sums. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import { setDefaultDevice, type Tensor, tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import {
  devicesAgree,
  gradientsAgree,
  openTestDevice,
  openTestDevices,
  property,
  valuesOf,
} from "../support/helpers.ts";
import type { OpCase } from "../support/helpers.ts";

type Reduction = "sum" | "prod" | "max" | "min" | "mean" | "variance";
const REDUCTIONS: readonly Reduction[] = ["sum", "prod", "max", "min", "mean", "variance"];

function drawAxes(draw: Draw, shape: Shape): number | number[] | undefined {
  if (shape.length === 0 || draw.chance(0.2)) return undefined;
  const axes = draw.subset(shape.map((_, i) => i));
  const signed = axes.map((a) => (draw.chance(0.3) ? a - shape.length : a));
  return signed.length === 1 && draw.chance(0.5) ? signed[0] : draw.shuffled(signed);
}

function reductionCase(draw: Draw, name: Reduction, small: boolean, dtype: DType = "f32"): OpCase {
  const shape = draw.shape({ elements: small ? 24 : 300, maxRank: 4 });
  const axes = drawAxes(draw, shape);
  const keep = draw.chance(0.4);
  // Extremes of distinct values have a derivative. Products stay in float32 also where one element is repeated 300 times.
  const domain = name === "prod" ? ([0.8, 1.25] as const) : ([-3, 3] as const);
  const drawn = draw.operand(shape, { dtype, domain, distinct: small, most: name === "prod" ? 3 : 1000 });
  // A repeated element is a tie.
  const usable =
    small && (name === "max" || name === "min") && drawn.how.startsWith("expand")
      ? { ...drawn, leaf: draw.data(shape, { distinct: true }), view: (t: Tensor) => t, how: "plain" }
      : drawn;
  if (name === "prod" && dtype === "f32" && draw.chance(0.3)) usable.leaf.data[0] = 0;
  return {
    name: `${name} over ${JSON.stringify(axes)} (${usable.how})`,
    leaves: [usable.leaf],
    f: (x) => usable.view(x)[name](axes, keep),
    bound: 3e-6,
    gradientBound: 1e-5,
  };
}

/** Reductions of empty axes: what they are over, not their neighbours, decides. */
function emptyCase(draw: Draw, name: "sum" | "prod"): OpCase {
  const shape = draw.shape({ minRank: 1, empty: 1 });
  const axes = drawAxes(draw, shape);
  return { name: `${name} over ${JSON.stringify(axes)}`, leaves: [draw.data(shape)], f: (x) => x[name](axes) };
}

describe("reductions", () => {
  let devices: Backend[];
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  for (const name of REDUCTIONS) {
    test(`${name}: gradient against finite differences`, () =>
      property(8, (draw) => gradientsAgree(reductionCase(draw, name, true))));
  }

  test("each device against reference, values and gradients", () =>
    property(6, (draw) =>
      devicesAgree(devices, [
        ...REDUCTIONS.flatMap((name) => [reductionCase(draw, name, false), reductionCase(draw, name, false)]),
        ...(["sum", "prod", "max", "min"] as const).map((name) =>
          reductionCase(draw, name, false, draw.pick(["i32", "u32"])),
        ),
        emptyCase(draw, "sum"),
        emptyCase(draw, "prod"),
      ]),
    ));

  test("argmax and argmin: the first of equals; any and all", () =>
    property(4, (draw) => {
      const cases = (["argmax", "argmin"] as const).flatMap((name) =>
        [0, 1].map((): OpCase => {
          const shape = draw.shape({ minRank: 1, elements: 200 });
          const axis = draw.int(-shape.length, shape.length - 1);
          const drawn = draw.operand(shape, { dtype: draw.pick(["f32", "i32"]), domain: [-0.1, 0.1], most: 2 });
          return {
            name: `${name} over ${axis} (${drawn.how})`,
            leaves: [drawn.leaf],
            f: (x) => drawn.view(x)[name](axis),
          };
        }),
      );
      for (const name of ["any", "all"] as const) {
        const shape = draw.shape({ minRank: 1 });
        const axes = drawAxes(draw, shape);
        const leaf = draw.data(shape, { dtype: "bool" });
        cases.push({ name, leaves: [leaf], f: (x) => x[name](axes, draw.seed % 2 === 0) });
      }
      return devicesAgree(devices, cases);
    }));

  test("argmax by a loop of one's own", () =>
    property(10, async (draw) => {
      const [rows, columns] = [draw.int(1, 5), draw.int(1, 9)];
      const leaf = draw.data([rows, columns], { domain: [-0.1, 0.1] });
      const x = tensor(leaf.data, { shape: leaf.shape });
      const [largest, smallest] = await valuesOf(new ReferenceDevice(), [x.argmax().node, x.argmin(1).node]);
      for (let r = 0; r < rows; r++) {
        const row = Array.from(leaf.data.slice(r * columns, (r + 1) * columns));
        assert.equal(largest[r], row.indexOf(Math.max(...row)));
        assert.equal(smallest[r], row.indexOf(Math.min(...row)));
      }
    }));

  test("ties share the gradient of max and min", async () => {
    const cases = (["max", "min"] as const).flatMap((name) =>
      [[0], [1], [0, 1]].map(
        (axes): OpCase => ({
          name: `${name} ${axes.join()}`,
          f: (x) => x[name](axes),
          leaves: [{ data: Float32Array.of(1, 2, 2, 1, 2, 1, 2, 1, 1, 1, 1, 2), shape: [3, 4], dtype: "f32" }],
        }),
      ),
    );
    await devicesAgree(devices, cases);
  });

  test("long reductions, which are split, and rows and columns about a workgroup's size", () =>
    property(2, (draw) => {
      const shapes: [Shape, number | number[] | undefined][] = [
        [[8192], undefined],
        [[9973], undefined],
        [[3, 16384], 1],
        [[16384, 3], 0],
        [
          [2, 96, 130],
          [1, 2],
        ],
        [
          [64, 200],
          [0, 1],
        ],
        [[64, 3], 1],
        [[65, 64], 1],
        [[63, 66], 0],
        [[128, 65], 0],
        [[1, 257], 1],
        [[257, 1], 0],
        [
          [20, 30, 20],
          [0, 2],
        ],
        [
          [4, 5, 512],
          [0, 1],
        ],
      ];
      const cases = draw
        .shuffled(shapes)
        .slice(0, 7)
        .map(([shape, axes]): OpCase => {
          const name = draw.pick(["sum", "max", "min", "mean"] as const);
          const drawn = draw.operand(shape, { domain: [-1, 1] });
          return {
            name: `${name} over ${JSON.stringify(axes)} (${drawn.how})`,
            leaves: [drawn.leaf],
            // The gradient too is a sum of as many terms, where the reduced elements are copies of one another.
            f: (x) => drawn.view(x)[name](axes),
            bound: 1e-6 * Math.sqrt(sizeOf(shape)),
            gradientBound: 1e-5 + 1e-6 * Math.sqrt(sizeOf(shape)),
          };
        });
      return devicesAgree(devices, cases);
    }));

  test("with the kernels meant for real GPUs, which share rows among invocations", async () => {
    const device = await openTestDevice({ profile: "gpu" });
    try {
      await property(2, (draw) => {
        const shapes: [Shape, number | number[]][] = [
          [[70, 64], 1],
          [[64, 70], 0],
          [[5, 1000], 1],
          [[1000, 5], 0],
          [[8, 512], 1],
          [[512, 8], 0],
          [[3, 100, 4], 1],
          [[33, 7], 1],
          [[1, 40000], 1],
        ];
        const cases = draw
          .shuffled(shapes)
          .slice(0, 5)
          .map(([shape, axes]): OpCase => {
            const name = draw.pick(["sum", "max", "min", "mean", "variance"] as const);
            const drawn = draw.operand(shape, { domain: [-1, 1] });
            return {
              name: `${name} over ${JSON.stringify(axes)} (${drawn.how})`,
              leaves: [drawn.leaf],
              // Held within ±1: the exponential of a sum of 40,000 would be infinite.
              f: (x) => {
                const v = drawn.view(x);
                const y = v[name](axes, true);
                return [y, v.sub(y.tanh()).exp().sum(axes)];
              },
              bound: 1e-6 * Math.sqrt(sizeOf(shape)),
            };
          });
        return devicesAgree(device, cases);
      });
    } finally {
      device.close();
    }
  });

  test("reductions of one another share a kernel: rows read again after their sum is known", () =>
    property(4, (draw) => {
      const cases = [0, 1, 2].map((): OpCase => {
        const shape = draw.shape({ minRank: 2, elements: 260 });
        const axes = draw.subset(shape.map((_, i) => i));
        const drawn = draw.operand(shape, { domain: [-2, 2] });
        return {
          name: `standardise over ${axes.join()} (${drawn.how})`,
          leaves: [drawn.leaf],
          bound: 1e-5,
          gradientBound: 1e-4,
          f: (x) => {
            const v = drawn.view(x);
            const centred = v.sub(v.mean(axes, true));
            const scale = centred.square().mean(axes, true).add(0.1).rsqrt();
            const y = centred.mul(scale);
            return [y, y.exp().sum(axes), v.max(axes, true).sub(scale)];
          },
        };
      });
      return devicesAgree(devices, cases);
    }));

  test("nothing has sum 0, product 1, a mean and a variance that are not numbers", async () => {
    for (const device of devices) {
      setDefaultDevice(device);
      const empty = (data: Float32Array | Int32Array) => tensor(data, { shape: [3, 0] });
      const x = empty(new Float32Array(0));
      const results = [x.sum(1), x.prod(1), x.mean(1), x.variance(1), x.mean(), x.variance(), x.sum(), x.prod()];
      const expected = [0, 1, NaN, NaN, NaN, NaN, 0, 1];
      for (const [i, y] of results.entries())
        assert.ok(
          (await y.read()).every((v) => Object.is(v, expected[i])),
          `${i}`,
        );
      assert.deepEqual([...(await tensor(new Int32Array(0)).mean().read())], [NaN]);
    }
    setDefaultDevice(undefined);
  });

  test("a maximum of nothing is an error at the call", () => {
    const empty = tensor(new Float32Array(0), { shape: [3, 0] });
    assert.throws(() => empty.max(1), /max: axes \[1\] of \[3, 0\] hold no element, and max of nothing is undefined/);
    assert.throws(() => empty.argmin(1), /argmin: axis 1 of \[3, 0\] is empty/);
    assert.equal(empty.max(0).size, 0);
  });
});
