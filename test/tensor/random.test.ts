/** One generator, the same bits on every device; distributions by their moments. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { concat, Generator, rng, seed } from "../../src/tensor/index.ts";
import { threefry2x32 } from "../../src/tensor/threefry.ts";
import { devicesAgree, openTestDevices, property, valuesOf } from "../support/helpers.ts";

describe("random numbers", () => {
  let devices: Backend[];
  const reference = new ReferenceDevice();
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  test("Threefry-2x32 gives the published test vectors", () => {
    // Random123's known-answer file: 20 rounds, counter and key of zeros, of ones, and of the digits of pi.
    assert.deepEqual(threefry2x32(0, 0, 0, 0), [0x6b200159, 0x99ba4efe]);
    assert.deepEqual(threefry2x32(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff), [0x1cb996fc, 0xbb002be7]);
    assert.deepEqual(threefry2x32(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3), [0xc4923a9c, 0x483df7a0]);
  });

  test("the same bits on every device, for any shape, seed and view", () =>
    property(5, (draw) =>
      devicesAgree(
        devices,
        Array.from({ length: 4 }, () => {
          const key = draw.int(0, 2 ** 31) * 2 ** draw.int(0, 20);
          const [shape, calls] = [draw.shape({ minRank: 0, elements: 300, empty: 0.1 }), draw.int(0, 1000)];
          const move = draw.int(0, 3);
          const bits = new Generator(key, calls).bits(shape);
          const viewed =
            move === 0 || shape.length === 0
              ? bits
              : move === 1
                ? bits.flip()
                : move === 2
                  ? bits.flatten().slice([1, null, 3])
                  : bits.permute(shape.map((_, i) => shape.length - 1 - i));
          return { name: `bits of seed ${key}, call ${calls}, move ${move}`, leaves: [], f: () => [bits, viewed] };
        }),
      ),
    ));

  test("numbers drawn where a run-time index points, as both operands of a product", () =>
    devicesAgree(devices, [
      {
        name: "gathered draws times their transpose",
        leaves: [],
        f: () => {
          const g = new Generator(11);
          const picked = g.uniform([1, 8, 4]).take(g.integers([3], 0, 8), 1);
          return picked.matmul(picked.transpose());
        },
      },
    ]));

  test("draws that are parts of a joined tensor, so short that others lie in the same four", () =>
    devicesAgree(
      devices,
      [
        [2, 2],
        [2, 6, 4],
        [6, 2],
        [1, 3, 5],
        [10, 7],
      ].map((sizes) => ({
        name: `parts of ${sizes.join()}`,
        leaves: [],
        f: () => {
          const g = new Generator(5);
          return concat(sizes.map((n) => g.uniform([n]))).exp();
        },
      })),
    ));

  test("element i of call c is word i mod 2 of block (⌊i/2⌋, c)", async () => {
    const generator = new Generator(2 ** 40 + 5, 3);
    const [values] = await valuesOf(reference, [generator.bits([5]).node]);
    assert.deepEqual(
      Array.from(values),
      [0, 1, 2, 3, 4].map((i) => threefry2x32(5, 2 ** 8, i >> 1, 3)[i & 1]),
    );
    assert.equal(generator.calls, 4);
  });

  test("uniform, dropoutMask, integers, permutation: equal values on every device; normal within rounding", () =>
    property(3, (draw) => {
      const [s, shape, p, n] = [
        draw.int(0, 1e9),
        draw.shape({ minRank: 1, elements: 200 }),
        draw.unit() * 0.9,
        draw.int(0, 40),
      ];
      const make = [
        (g: Generator) => g.uniform(shape),
        (g: Generator) => g.dropoutMask(shape, p),
        (g: Generator) => g.integers(shape, -3, 9),
        (g: Generator) => g.permutation(n),
        (g: Generator) => g.uniform(shape, -2, 5),
        (g: Generator) => g.normal(shape, 1, 2),
      ];
      return devicesAgree(
        devices,
        make.map((m, i) => ({
          name: `draw ${i} of seed ${s}`,
          leaves: [],
          f: () => m(new Generator(s)),
          bound: i < 5 ? 5e-7 : 2e-6,
        })),
      );
    }));

  test("moments, ranges and the share that dropout keeps", async () => {
    const g = new Generator(7);
    const n = 20000;
    const drawn = [g.uniform([n], 2, 4), g.normal([n], -1, 3), g.dropoutMask([n], 0.3), g.integers([n], 2, 6)];
    const moments = (v: ArrayLike<number>) => {
      const list = Array.from(v);
      const mean = list.reduce((a, b) => a + b) / n;
      return [mean, Math.sqrt(list.reduce((a, b) => a + (b - mean) ** 2, 0) / n)];
    };
    const near = (value: number, wanted: number, by: number) =>
      assert.ok(Math.abs(value - wanted) < by, `${value}, not ${wanted} ± ${by}`);
    for (const device of devices) {
      const [uniform, normal, mask, integers] = await valuesOf(
        device,
        drawn.map((t) => t.node),
      );
      near(moments(uniform)[0], 3, 0.02);
      near(moments(uniform)[1], 2 / Math.sqrt(12), 0.02);
      assert.ok(uniform.every((v) => v >= 2 && v < 4));
      near(moments(normal)[0], -1, 0.08);
      near(moments(normal)[1], 3, 0.08);
      near(Array.from(normal).filter((v) => Math.abs(v + 1) < 3).length / n, 0.6827, 0.015);
      near(moments(mask)[0], 1, 0.02);
      assert.ok(mask.every((v) => v === 0 || v === Math.fround(1 / 0.7)));
      near(Array.from(mask).filter((v) => v === 0).length / n, 0.3, 0.015);
      assert.deepEqual([...new Set(integers)].sort(), [2, 3, 4, 5]);
    }
  });

  test("permutations are permutations, on the device and on the host", async () => {
    const g = new Generator(3);
    for (const [n, device] of [0, 1, 2, 17, 100].flatMap((size) => devices.map((d) => [size, d] as const))) {
      const [values] = await valuesOf(device, [g.permutation(n).node]);
      const identity = Array.from({ length: n }, (_, i) => i);
      assert.deepEqual(
        Array.from(values).sort((a, b) => a - b),
        identity,
      );
      assert.deepEqual(
        Array.from(g.shuffled(n)).sort((a, b) => a - b),
        identity,
      );
    }
    assert.notDeepEqual(g.shuffled(50), g.shuffled(50));
  });

  test("draws differ from call to call, repeat with the seed, and resume from the number of calls", async () => {
    const draws = async (g: Generator) =>
      (await valuesOf(reference, [g.uniform([8]).node, g.uniform([8]).node])).map((v) => Array.from(v));
    const [a, b] = await draws(new Generator(11));
    assert.notDeepEqual(a, b);
    assert.deepEqual(await draws(new Generator(11)), [a, b]);
    assert.deepEqual((await draws(new Generator(11, 1)))[0], b);
    assert.notDeepEqual((await draws(new Generator(12)))[0], a);
    assert.notDeepEqual((await draws(new Generator(11 + 2 ** 32)))[0], a, "the upper half of the seed counts");
    seed(11);
    assert.deepEqual(await draws(rng()), [a, b]);
  });

  test("one draw realized twice on one node keeps its value", async () => {
    const { setDefaultDevice } = await import("../../src/tensor/index.ts");
    for (const device of devices) {
      setDefaultDevice(device);
      const x = new Generator(5).normal([32]);
      const [first, second] = [await x.read(), await x.read()];
      assert.deepEqual(first, second);
    }
    setDefaultDevice(undefined);
  });
});
