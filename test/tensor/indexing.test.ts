/** Gather and its adjoint, selection, and casts. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { full, oneHot, eye, arange, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Draw, LeafData } from "../support/draw.ts";
import { devicesAgree, gradientsAgree, openTestDevices, property, valuesOf } from "../support/helpers.ts";
import type { OpCase } from "../support/helpers.ts";

/** Indices of 0..size−1. */
function indices(draw: Draw, shape: readonly number[], size: number): LeafData {
  const leaf = draw.data(shape, { dtype: draw.pick(["i32", "u32"]) });
  leaf.data.forEach((_, i) => (leaf.data[i] = draw.int(0, size - 1)));
  return leaf;
}

function gatherCase(draw: Draw, elements: number): OpCase {
  const shape = draw.shape({ minRank: 1, elements });
  const axis = draw.int(0, shape.length - 1);
  const x = draw.operand(shape, {});
  const wanted = shape.map((n, i) => (i === axis ? draw.int(1, 6) : n));
  const index = indices(draw, wanted, shape[axis]);
  return {
    name: `gather along ${axis} (${x.how})`,
    leaves: [x.leaf, index],
    bound: 2e-6,
    f: (t, i) =>
      x
        .view(t)
        .square()
        .gather(axis - (draw.seed % 2) * shape.length, i),
  };
}

function takeCase(draw: Draw, elements: number): OpCase {
  const shape = draw.shape({ minRank: 1, elements });
  const axis = draw.int(-shape.length, shape.length - 1);
  const x = draw.operand(shape, {});
  const size = shape[axis < 0 ? axis + shape.length : axis];
  return {
    name: `take along ${axis} (${x.how})`,
    leaves: [x.leaf, indices(draw, [draw.int(1, 7)], size)],
    bound: 2e-6,
    f: (t, i) => x.view(t).take(i, axis).square(),
  };
}

function scatterCase(draw: Draw, elements: number): OpCase {
  const shape = draw.shape({ minRank: 1, elements });
  const axis = draw.int(0, shape.length - 1);
  const wanted = shape.map((n, i) => (i === axis ? draw.int(1, 6) : n));
  const [x, source] = [draw.operand(shape, {}), draw.operand(wanted, {})];
  return {
    name: `scatterAdd along ${axis} (${x.how}; ${source.how})`,
    leaves: [x.leaf, indices(draw, wanted, shape[axis]), source.leaf],
    bound: 2e-6,
    f: (t, i, s) => x.view(t).scatterAdd(axis, i, source.view(s)).square(),
  };
}

function selectCase(draw: Draw, elements: number): OpCase {
  const shape = draw.shape({ elements });
  const operands = [
    draw.operand(shape, { dtype: "bool" }),
    draw.operand(draw.broadcastable(shape), {}),
    draw.operand(draw.broadcastable(shape), {}),
  ];
  const form = draw.int(0, 3);
  return {
    name: `where form ${form} (${operands.map((o) => o.how).join("; ")})`,
    leaves: operands.map((o) => o.leaf),
    bound: 2e-6,
    f: (c, a, b) => {
      const [p, x, y] = [operands[0].view(c), operands[1].view(a), operands[2].view(b)];
      return form === 0
        ? p.where(x, y)
        : form === 1
          ? p.where(x, 0.5)
          : form === 2
            ? p.where(-1, y)
            : x.expand(shape).mask(p).add(y);
    },
  };
}

const CAST: readonly DType[] = ["f32", "i32", "u32", "bool"];

describe("indexing", () => {
  let devices: Backend[];
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  const makers = { gather: gatherCase, take: takeCase, scatterAdd: scatterCase, where: selectCase };
  for (const [name, make] of Object.entries(makers)) {
    test(`${name}: gradient against finite differences`, () =>
      property(8, async (draw) => {
        const c = make(draw, 16);
        if (c.differentiable !== false) await gradientsAgree(c);
      }));
  }
  test("each device against reference, values and gradients", () =>
    property(5, (draw) =>
      devicesAgree(
        devices,
        Object.values(makers).flatMap((make) => [make(draw, 120), make(draw, 60)]),
      ),
    ));

  test("scatterAdd by a loop of one's own, several sources at one place", () =>
    property(10, async (draw) => {
      const [rows, columns, count] = [draw.int(1, 4), draw.int(1, 6), draw.int(1, 9)];
      const [x, source, index] = [
        draw.data([rows, columns]),
        draw.data([rows, count]),
        indices(draw, [rows, count], columns),
      ];
      const expected = Float64Array.from(x.data);
      index.data.forEach((at, i) => (expected[Math.floor(i / count) * columns + at] += source.data[i]));
      const of = (l: LeafData) => tensor(l.data, { shape: l.shape, dtype: l.dtype });
      const [found] = await valuesOf(new ReferenceDevice(), [of(x).scatterAdd(1, of(index), of(source)).node]);
      assert.deepEqual(Array.from(found), Array.from(expected));
    }));

  test("casts between all dtypes, by truncation and saturation", () =>
    property(3, (draw) =>
      devicesAgree(
        devices,
        CAST.flatMap((from) =>
          CAST.map((to): OpCase => {
            const drawn = draw.operand(draw.shape({ elements: 60 }), { dtype: from, wide: true, domain: [-40, 40] });
            return {
              name: `cast to ${to} (${drawn.how})`,
              leaves: [drawn.leaf],
              f: (x) => drawn.view(x).cast(to),
              differentiable: false,
            };
          }),
        ),
      ),
    ));

  test("casts at the ends of the ranges", async () => {
    const floats = tensor([-2.75, 2.75, 3e9, -3e9, 5e9, -0.5, 0, 1e-30, Infinity, -Infinity, NaN, 2 ** 31, 2 ** 32]);
    const ints = tensor(Int32Array.of(-1, -2147483648, 2147483647, 0));
    const words = tensor(Uint32Array.of(4294967295, 2147483648, 1, 0));
    const expected = [
      [-2, 2, 2147483647, -2147483648, 2147483647, 0, 0, 0, 2147483647, -2147483648, 0, 2147483647, 2147483647],
      [0, 2, 3000000000, 0, 4294967295, 0, 0, 0, 4294967295, 0, 0, 2147483648, 4294967295],
      [1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1],
      [4294967295, 2147483648, 2147483647, 0],
      [-1, -2147483648, 1, 0],
      [1, 1, 1, 0],
      [1, 1, 1, 0],
    ];
    for (const device of [new ReferenceDevice(), ...devices]) {
      const found = await valuesOf(
        device,
        [
          floats.cast("i32"),
          floats.cast("u32"),
          floats.cast("bool"),
          ints.cast("u32"),
          words.cast("i32"),
          ints.cast("bool"),
          words.cast("bool"),
        ].map((t) => t.node),
      );
      found.forEach((values, i) => assert.deepEqual([...values], expected[i], `${device.name}: cast ${i}`));
    }
    const constant = (value: number, from: DType, to: DType) => full([1], value, from).cast(to);
    const folded = [
      constant(3e9, "f32", "i32"),
      constant(-1, "i32", "u32"),
      constant(4294967295, "u32", "i32"),
      constant(-2.5, "f32", "u32"),
      constant(0.25, "f32", "bool"),
      constant(-2.75, "f32", "i32"),
    ];
    const values = await valuesOf(
      new ReferenceDevice(),
      folded.map((t) => t.node),
    );
    assert.deepEqual(
      values.map((v) => v[0]),
      [2147483647, 4294967295, -1, 0, 1, -2],
    );
  });

  test("a gradient passes casts between floating dtypes and stops at others", async () => {
    const { grad } = await import("../../src/autograd/grad.ts");
    const x = tensor([1.5, -2.5]);
    const [through, stopped] = await valuesOf(new ReferenceDevice(), [
      grad((t: Tensor) => t.cast("f64").square().sum())(x).node,
      grad((t: Tensor) => t.cast("i32").cast("f32").mul(t).sum())(x).node,
    ]);
    assert.deepEqual(Array.from(through), [3, -5]);
    assert.deepEqual(Array.from(stopped), [1, -2]);
  });

  test("arange, eye, oneHot and full", async () => {
    for (const device of [new ReferenceDevice(), ...devices]) {
      const found = await valuesOf(
        device,
        [
          arange(4),
          arange(2, 9, 3),
          arange(3, 0, -1),
          arange(0, 1, 0.25, "f32"),
          eye(2, 3),
          oneHot(tensor(Int32Array.of(2, 0)), 3),
          full([3], -7, "i32"),
          full([2], true as unknown as number, "bool"),
        ].map((t) => t.node),
      );
      assert.deepEqual(
        found.map((v) => Array.from(v)),
        [
          [0, 1, 2, 3],
          [2, 5, 8],
          [3, 2, 1],
          [0, 0.25, 0.5, 0.75],
          [1, 0, 0, 0, 1, 0],
          [0, 0, 1, 1, 0, 0],
          [-7, -7, -7],
          [1, 1],
        ],
      );
    }
  });
});
