/** Ranges of draws: integers of any width reach all their values, and open ends stay open. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { Generator, setDefaultDevice } from "../../src/tensor/index.ts";

let devices: Backend[];
before(async () => {
  devices = [new ReferenceDevice(), await CpuDevice.open({ threads: 1 })];
});
after(() => {
  setDefaultDevice(undefined);
  for (const device of devices) device.close();
});

const RANGES = [
  [0, 2 ** 30],
  [-5, 3 * 2 ** 29],
  [-(2 ** 31), 2 ** 31],
  [2 ** 31 - 100000, 2 ** 31],
  [-3, 4],
] as const;

test("integers are inside their range, spread over it, odd as often as even, and equal on all devices", async () => {
  for (const [low, high] of RANGES) {
    const found: number[][] = [];
    for (const device of devices) {
      setDefaultDevice(device);
      found.push([...(await new Generator(7).integers([4000], low, high).read())]);
    }
    const [expected, values] = found;
    assert.deepEqual(values, expected);
    assert.ok(values.every((v) => Number.isInteger(v) && v >= low && v < high));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const width = high - low;
    assert.ok(Math.abs(mean - (low + high - 1) / 2) < 0.025 * width, `mean ${mean} of [${low}, ${high})`);
    if (width % 2 ** 16 === 0) {
      const multiples = values.filter((v) => v % 64 === 0).length;
      assert.ok(multiples > 20 && multiples < 130, `${multiples} of 4000 are divisible by 64`);
    }
  }
});

test("a range that holds no integer is refused", () => {
  const g = new Generator(1);
  assert.throws(() => g.integers([3], 5, 2), /\[5, 2\) is no range of 32-bit integers; low must be below high/);
  assert.throws(() => g.integers([3], 2, 2), /no range/);
  assert.throws(() => g.integers([3], 0, 2.5), /no range/);
  assert.throws(() => g.integers([3], 0, 2 ** 31 + 1), /no range/);
});

test("uniform numbers stay below their upper end where adding rounds up to it", async () => {
  for (const device of devices) {
    setDefaultDevice(device);
    for (const [low, high] of [
      [4096, 4097],
      [-4097, -4096],
      [-1, 0],
    ]) {
      const values = await new Generator(5).uniform([20000], low, high).read();
      assert.ok(
        values.every((v) => v >= low && v < high),
        `[${low}, ${high})`,
      );
    }
  }
});
