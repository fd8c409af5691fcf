/** Movement ops alone and in chains, against index arithmetic done by the reference device one op at a time. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import * as build from "../../src/tensor/build.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { Tensor, arange, concat, stack, tensor } from "../../src/tensor/index.ts";
import type { Range } from "../../src/tensor/index.ts";
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
import { drawMovement, MOVEMENTS } from "../support/movements.ts";

function movementCase(draw: Draw, kind: (typeof MOVEMENTS)[number], elements: number): OpCase {
  const shape = draw.shape({ minRank: 1, elements, empty: 0.03 });
  const drawn = draw.operand(shape, { dtype: "f32" });
  const move = drawMovement(draw, kind, shape);
  return {
    name: `${move.name} (${drawn.how})`,
    leaves: [drawn.leaf],
    bound: 1e-6,
    f: (x) => move.apply(drawn.view(x)),
  };
}

/** Several movement ops one after the other; squares in between stop some of them from being folded together. */
function chainCase(draw: Draw, elements: number): OpCase {
  const leaf = draw.data(draw.shape({ minRank: 1, elements }), { domain: [-1, 1] });
  const steps: ReturnType<typeof drawMovement>[] = [];
  let shape = [...leaf.shape];
  for (let i = draw.int(2, 5); i > 0; i--) {
    const move = drawMovement(draw, draw.pick(MOVEMENTS), shape);
    const next = move.apply(
      new Tensor(build.makeNode({ kind: "data", data: new Float32Array(0) }, [], shape, "f32")),
    ).shape;
    if (sizeOf(next) > 4 * elements || next.length > 7) continue;
    steps.push(move);
    shape = [...next];
  }
  const squared = steps.map(() => draw.chance(0.25));
  return {
    name: `chain ${steps.map((s, i) => s.name + (squared[i] ? " squared" : "")).join(" → ")}`,
    leaves: [leaf],
    bound: 1e-6,
    f: (x) =>
      steps.reduce((t, s, i) => {
        const y = s.apply(t);
        return squared[i] ? y.square() : y;
      }, x),
  };
}

function joinCase(draw: Draw, elements: number): OpCase {
  const shape = draw.shape({ minRank: 1, elements });
  const axis = draw.int(-shape.length, shape.length - 1);
  const at = axis < 0 ? axis + shape.length : axis;
  const parts = Array.from({ length: draw.pick([1, 2, 3, 5, 7, 9]) }, () =>
    draw.operand(
      shape.map((n, i) => (i === at ? draw.int(0, 5) : n)),
      {},
    ),
  );
  return {
    name: `concat of ${parts.map((p) => p.leaf.shape.join("×")).join(", ")} along ${axis}`,
    leaves: parts.map((p) => p.leaf),
    f: (...t) =>
      concat(
        t.map((x, i) => parts[i].view(x)),
        axis,
      ),
    bound: 1e-6,
  };
}

function stackCase(draw: Draw, elements: number): OpCase {
  const shape = draw.shape({ elements });
  const parts = Array.from({ length: draw.int(1, 4) }, () => draw.operand(shape, {}));
  const axis = draw.int(-shape.length - 1, shape.length);
  return {
    name: `stack along ${axis}`,
    leaves: parts.map((p) => p.leaf),
    bound: 1e-6,
    f: (...t) =>
      stack(
        t.map((x, i) => parts[i].view(x)),
        axis,
      ),
  };
}

describe("views", () => {
  let devices: Backend[];
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  for (const kind of MOVEMENTS) {
    test(`${kind}: gradient against finite differences`, () =>
      property(6, (draw) => gradientsAgree(withSquare(movementCase(draw, kind, 20)))));
  }
  test("chains, concat and stack: gradient against finite differences", () =>
    property(10, async (draw) => {
      await gradientsAgree(withSquare(chainCase(draw, 16)));
      await gradientsAgree(withSquare(joinCase(draw, 12)));
      await gradientsAgree(withSquare(stackCase(draw, 8)));
    }));

  test("each device against reference, values and gradients: each movement op", () =>
    property(5, (draw) =>
      devicesAgree(
        devices,
        MOVEMENTS.flatMap((kind) => [movementCase(draw, kind, 150), movementCase(draw, kind, 60)]),
      ),
    ));

  test("each device against reference, values and gradients: chains, concat, stack", () =>
    property(6, (draw) =>
      devicesAgree(devices, [
        ...Array.from({ length: 8 }, () => chainCase(draw, 150)),
        joinCase(draw, 60),
        joinCase(draw, 30),
        stackCase(draw, 40),
        stackCase(draw, 40),
      ]),
    ));

  test("integers and bools move as they are", () =>
    property(2, (draw) =>
      devicesAgree(
        devices,
        MOVEMENTS.map((kind): OpCase => {
          const shape = draw.shape({ minRank: 1, elements: 100 });
          const leaf = draw.data(shape, { dtype: draw.pick(["i32", "u32", "bool"]), wide: true });
          const move = drawMovement(draw, kind, shape);
          return { name: `${move.name} of ${leaf.dtype}`, leaves: [leaf], f: (x) => move.apply(x) };
        }),
      ),
    ));

  test("slices are Python's", async () => {
    const x = arange(10);
    const cases: [Range, number[]][] = [
      [
        [2, 5],
        [2, 3, 4],
      ],
      [
        [null, -7],
        [0, 1, 2],
      ],
      [
        [-3, null],
        [7, 8, 9],
      ],
      [
        [null, null, 4],
        [0, 4, 8],
      ],
      [
        [null, null, -3],
        [9, 6, 3, 0],
      ],
      [
        [8, 2, -2],
        [8, 6, 4],
      ],
      [[2, 8, -1], []],
      [
        [5, 100],
        [5, 6, 7, 8, 9],
      ],
      [
        [-100, 2],
        [0, 1],
      ],
      [
        [3, -100, -2],
        [3, 1],
      ],
      [[7, 7], []],
    ];
    const found = await valuesOf(
      new ReferenceDevice(),
      cases.map(([range]) => x.slice(range).node),
    );
    cases.forEach(([range, expected], i) => assert.deepEqual(Array.from(found[i]), expected, JSON.stringify(range)));
    assert.deepEqual(x.reshape([2, 5]).slice(-1, [1, null, 2]).shape, [2]);
  });

  test("windows read where torch.Tensor.unfold does", async () => {
    for (const device of devices) {
      const [values] = await valuesOf(device, [arange(7).window(0, 3, 2).node]);
      assert.deepEqual(Array.from(values), [0, 1, 2, 2, 3, 4, 4, 5, 6]);
      const [dilated] = await valuesOf(device, [arange(7).window(0, 2, 3, 3).node]);
      assert.deepEqual(Array.from(dilated), [0, 3, 3, 6]);
    }
  });

  test("parts so short that every index is a constant, in front of their start too", async () => {
    const pair = { data: Float32Array.of(3, 5), shape: [2], dtype: "f32" } as const;
    await devicesAgree(devices, [
      {
        name: "pairs",
        leaves: [pair],
        bound: 1e-6,
        f: (x) => [
          x.pad([[2, 0]]),
          x.pad([[1, 1]]),
          concat([x, x]),
          concat([x.exp(), x]).sum(),
          x.pad([[2, 0]]).sum(),
          x.reshape([1, 2]).pad([
            [0, 0],
            [6, 0],
          ]),
        ],
      },
    ]);
  });

  test("views read by several kernels, and results that are bare views", () =>
    property(3, async (draw) => {
      const leaf = draw.data([6, 10]);
      await devicesAgree(devices, [
        {
          name: "bare views",
          leaves: [leaf],
          bound: 2e-5,
          f: (x) => {
            const y = x.exp().add(1);
            const t = y.transpose();
            return [
              t,
              t.slice([1, null, 2]),
              y,
              t.sum(0),
              t.flip(),
              y.reshape([5, 12]).matmul(t.reshape([12, 5])),
              x,
              x.flip(0),
              t.contiguous().square(),
            ];
          },
        },
      ]);
    }));
});

/** Movement ops are linear: squared, second derivatives are not all 0. */
function withSquare(c: OpCase): OpCase {
  return { ...c, f: (...t) => (c.f(...t) as Tensor).square() };
}

test("zero-size tensors are read as empty arrays", async () => {
  for (const device of [await openTestDevice(), new ReferenceDevice()]) {
    const x = tensor(new Float32Array(0), { shape: [2, 0, 3] });
    const found = await valuesOf(device, [
      x.node,
      x.exp().node,
      x.permute([2, 1, 0]).node,
      concat([x, x], 1).node,
      x.sum(1).node,
    ]);
    assert.deepEqual(
      found.map((v) => v.length),
      [0, 0, 0, 0, 6],
    );
    device.close();
  }
});
