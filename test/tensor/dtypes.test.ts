/** The rules of docs/dtypes.md, pair by pair: every cell of its tables, and the values that follow. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { logSoftmax, logSumExp, softmax } from "../../src/ops/index.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { arange, concat, full, grad, ones, scalar, setDefaultDevice, tensor, zeros } from "../../src/index.ts";
import type { Backend, DType, Tensor } from "../../src/index.ts";

const page = readFileSync(new URL("../../docs/dtypes.md", import.meta.url), "utf8");

/** Cells of the table under a heading: row, column, text. */
function table(heading: string): [string, string, string][] {
  const rows = page
    .slice(page.indexOf(`\n## ${heading}`))
    .split("\n\n")
    .find((block) => block.startsWith("|"))!
    .trim()
    .split("\n")
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.replaceAll("*", "").trim()),
    );
  const [head, , ...body] = rows;
  return body.flatMap((row) => row.slice(1).map((cell, i): [string, string, string] => [row[0], head[i + 1], cell]));
}

/** The dtype of a result, or "error" where the call throws. */
function outcome(call: () => Tensor): string {
  try {
    return call().dtype;
  } catch (error) {
    assert.ok(error instanceof Error && error.message.length > 20);
    return "error";
  }
}

describe("the tables", () => {
  test("two tensors", () => {
    const cells = table("Two tensors");
    assert.equal(cells.length, 36);
    for (const [a, b, meet] of cells) {
      const [x, y] = [ones([2], a as DType), ones([2], b as DType)];
      const what = `${a} and ${b}`;
      assert.equal(
        outcome(() => x.add(y)),
        meet,
        what,
      );
      assert.equal(
        outcome(() => x.mul(y)),
        meet,
        what,
      );
      assert.equal(
        outcome(() => zeros([2], "bool").where(x, y)),
        meet,
        what,
      );
      assert.equal(
        outcome(() => concat([x, y])),
        meet,
        what,
      );
      assert.equal(
        outcome(() => x.lt(y)),
        meet === "error" ? "error" : "bool",
        what,
      );
    }
  });

  test("a tensor and a number", () => {
    const cells = table("A tensor and a number");
    assert.equal(cells.length, 42);
    for (const [dtype, number, meet] of cells) {
      const x = ones([2], dtype as DType);
      assert.equal(x.add(Number(number)).dtype, meet, `${dtype} + ${number}`);
      assert.equal(x.mul(Number(number)).dtype, meet, `${dtype} · ${number}`);
      assert.equal(x.maximum(Number(number)).dtype, meet, `max(${dtype}, ${number})`);
      assert.equal(x.eq(0).where(x, Number(number)).dtype, meet, `where(${dtype}, ${number})`);
      assert.equal(x.le(Number(number)).dtype, "bool");
    }
  });

  test("what ops give", () => {
    const cells = table("What ops give");
    assert.equal(cells.length, 76);
    const functions: Record<string, (x: Tensor) => Tensor> = { softmax, logSoftmax, logSumExp };
    for (const [names, dtype, gives] of cells) {
      for (const name of names.split(", ")) {
        const x = ones([2, 3], dtype as DType);
        const method = (x as unknown as Record<string, (y?: Tensor) => Tensor>)[name];
        const reduces = /^(sum|prod|max|min|mean|variance|any|all|arg.*)$/.test(name);
        const call = () => (functions[name] ? functions[name](x) : reduces ? method.call(x) : method.call(x, x));
        assert.equal(outcome(call), gives, `${name} of ${dtype}`);
      }
    }
  });

  test("host arrays", () => {
    const cells = table("Host arrays");
    assert.equal(cells.length, 11);
    for (const [name, , dtype] of cells) {
      const Typed = (globalThis as never as Record<string, new (length: number) => Int8Array>)[name];
      assert.equal(tensor(new Typed(3)).dtype, dtype, name);
    }
  });

  test("tensors without axes", () => {
    assert.equal(ones([3], "f16").mul(scalar(2)).dtype, "f16");
    assert.equal(ones([3], "i32").mul(scalar(2)).dtype, "f32");
    assert.equal(ones([3], "u32").mul(scalar(2, "i32")).dtype, "u32");
    assert.equal(ones([3]).mul(scalar(2, "f64")).dtype, "f32");
  });
});

const i32 = (...values: number[]) => tensor(Int32Array.from(values));
const u32 = (...values: number[]) => tensor(Uint32Array.from(values));

const VALUES: readonly (readonly [string, () => Tensor, readonly number[]])[] = [
  ["mean of integers", () => i32(1, 2, 4).mean(), [7 / 3]],
  ["mean of integers whose sum is beyond 32 bits", () => i32(2 ** 30, 2 ** 30, 2 ** 30, 2 ** 30).mean(), [2 ** 30]],
  ["variance of integers", () => i32(1, 2, 4).variance(), [14 / 9]],
  ["mean of bools", () => tensor([true, false]).mean(), [0.5]],
  ["a fraction", () => i32(2, 3).mul(0.5), [1, 1.5]],
  ["quotients", () => i32(1, -7).div(2), [0.5, -3.5]],
  ["rounding down", () => i32(7, -7).floorDiv(2), [3, -4]],
  ["the sign of the divisor", () => i32(7, -7).mod(-3), [-2, -1]],
  ["remainders of floats", () => tensor([5.5, -0.5]).mod(2), [1.5, 1.5]],
  ["remainders where quotients round up to whole numbers", () => arange(1000).div(10).mod(0.1).lt(0).sum(), [0]],
  ["of negative divisors as well", () => arange(1000).div(10).mod(-0.1).gt(0).sum(), [0]],
  ["< a fraction", () => i32(0, 1).lt(0.5), [1, 0]],
  ["≤ a fraction", () => i32(0, 1, -1).le(-0.5), [0, 0, 1]],
  ["> a fraction", () => i32(0, 1).gt(0.5), [0, 1]],
  ["≥ a fraction", () => u32(0, 1).ge(0.5), [0, 1]],
  ["= a fraction", () => i32(1, 2).eq(1.5), [0, 0]],
  ["≠ a fraction", () => i32(1, 2).ne(1.5), [1, 1]],
  ["unsigned and below 0", () => u32(0, 5).gt(-1), [1, 1]],
  ["beyond the range", () => i32(5).lt(3e9), [1]],
  ["infinity", () => i32(5).ge(Infinity), [0]],
  ["NaN", () => concat([i32(5).lt(NaN), i32(5).eq(NaN), i32(5).ne(NaN)]), [0, 0, 1]],
  ["a bool and a number", () => tensor([true, false]).lt(0.5), [0, 1]],
  ["exact beyond float32", () => i32(16777217).gt(16777216), [1]],
  ["clamped from one side", () => i32(-5, 5).clamp(0, Infinity), [0, 5]],
  ["wrapping sums", () => i32(2147483647).add(1), [-2147483648]],
  ["wrapping products", () => i32(65537, 123456789).mul(i32(65537, 987654321)), [131073, -67153019]],
  ["wrapping constants", () => full([2], 2 ** 30, "i32").sum(), [-2147483648]],
  ["exact sums", () => i32(16777217, 1, 1).sum(), [16777219]],
  ["powers", () => i32(3, -2, 10).pow(5), [243, -32, 100000]],
  ["powers of tensors", () => i32(3, -2, -1, 5, 0).pow(i32(4, 3, -3, -1, 0)), [81, -8, -1, 0, 1]],
  ["bools add up to either", () => tensor([true, true, false]).add(tensor([true, false, false])), [1, 1, 0]],
  ["bools count", () => tensor([true, true, false]).sum(), [2]],
  ["bools and numbers", () => tensor([true, false]).add(1), [2, 1]],
  [
    "any of fractions",
    () => concat([tensor([0.5, 0]).any().unsqueeze(0), tensor([0.5, 0]).all().unsqueeze(0)]),
    [1, 0],
  ],
  ["any and all of none", () => concat([zeros([0]).any().unsqueeze(0), zeros([0]).all().unsqueeze(0)]), [0, 1]],
  ["ranges of fractions", () => arange(0, 1, 0.25), [0, 0.25, 0.5, 0.75]],
  ["ranges from a fraction", () => arange(0.5, 3), [0.5, 1.5, 2.5]],
  ["ranges downward", () => arange(3, 0, -1, "u32"), [3, 2, 1]],
  ["too large for i32", () => tensor([3e9, -3e9, NaN], { dtype: "i32" }), [2147483647, -2147483648, 0]],
  ["too small for u32", () => tensor([-1, 5e9], { dtype: "u32" }), [0, 4294967295]],
  ["full beyond the range", () => full([1], 3e9, "i32"), [2147483647]],
  ["bools of fractions", () => tensor([0.5, 0, -2], { dtype: "bool" }), [1, 0, 1]],
  ["bytes as bools", () => tensor(Uint8Array.of(0, 7), { dtype: "bool" }), [0, 1]],
  ["signs", () => i32(-5, 0, 7).sign(), [-1, 0, 1]],
  ["a number that is none", () => tensor([1, 2]).mul(NaN), [NaN, NaN]],
  ["bytes", () => tensor(Uint8Array.of(0, 7, 255)), [0, 7, 255]],
  ["clamped bytes", () => tensor(Uint8ClampedArray.of(0, 7, 255)), [0, 7, 255]],
  ["signed bytes", () => tensor(Int8Array.of(-3, 100)), [-3, 100]],
  ["16 bits", () => tensor(Int16Array.of(-3, 300)), [-3, 300]],
  ["16 bits without sign", () => tensor(Uint16Array.of(5, 60000)), [5, 60000]],
  ["64 bits", () => tensor(BigInt64Array.of(-5n, 7n)), [-5, 7]],
  ["64 bits without sign, as u32", () => tensor(BigUint64Array.of(4294967295n), { dtype: "u32" }), [4294967295]],
  ["doubles made floats", () => tensor(Float64Array.of(1.5, -2), { dtype: "f32" }), [1.5, -2]],
  ["the gradient past an integer", () => grad((x: Tensor) => x.mul(i32(2, 3)).sum())(ones([2])), [2, 3]],
];

for (const [name, open] of [
  ["reference", () => Promise.resolve(new ReferenceDevice())],
  ["cpu", () => CpuDevice.open({ threads: 1 })],
] as const) {
  describe(`values on ${name}`, () => {
    let device: Backend;
    before(async () => setDefaultDevice((device = await open())));
    after(() => {
      setDefaultDevice(undefined);
      device.close();
    });
    for (const [what, make, expected] of VALUES) {
      test(what, async () => {
        const found = Array.from(await make().read());
        assert.equal(found.length, expected.length);
        // Floats may be off by a rounding, integers by nothing.
        const near = (x: number, y: number) =>
          Object.is(x, y) || x === y || (!Number.isInteger(y) && Math.abs(x - y) < 1e-6);
        assert.ok(
          found.every((x, i) => near(x, expected[i])),
          `${found.join()} is not ${expected.join()}`,
        );
      });
    }
  });
}

test("64-bit integers that do not fit are refused", () => {
  assert.throws(
    () => tensor(BigInt64Array.of(1n, 2n ** 40n)),
    /tensor: element 1 is 1099511627776, which no i32 holds/,
  );
  assert.throws(() => tensor(BigUint64Array.of(2n ** 53n + 1n), { dtype: "f64" }), /element 0 is 9007199254740993/);
});

test("unknown dtypes are refused by name", () => {
  assert.throws(() => zeros([1]).cast("int32" as never), /cast: there is no dtype "int32"; .* write "i32"/);
  assert.throws(() => tensor([1], { dtype: "float" as never }), /tensor: there is no dtype "float"; .* write "f32"/);
  assert.throws(() => zeros([1], "x" as never), /zeros: there is no dtype "x"; dtypes are f32/);
});

test("float64 host data and views of it become 32-bit dtypes by a cast, on devices of 32 bits too", async () => {
  for (const device of [await CpuDevice.open({ threads: 1 }), new ReferenceDevice()]) {
    setDefaultDevice(device);
    const given = Float64Array.from({ length: 40 }, (_, i) => i + 0.5);
    assert.deepEqual([...(await tensor(Float64Array.of(1.5)).cast("f32").read())], [1.5]);
    const cast = tensor(given).cast("f32");
    // More than once: in the second run the host array may be given memory of its own.
    for (let run = 0; run < 3; run++) assert.equal(await cast.mul(2).sum().item(), 1600);
    const columns = tensor(given).reshape([4, 10]).transpose().cast("i32");
    assert.deepEqual([...(await columns.slice(1).read())], [1, 11, 21, 31]);
    assert.deepEqual([...(await tensor([3.7, -1, 0], { dtype: "f64" }).cast("bool").read())], [1, 1, 0]);
    if (device.kind === "cpu") await assert.rejects(tensor(given).add(1).read(), /has no f64 tensors.*cast\("f32"\)/);
    device.close();
  }
});
