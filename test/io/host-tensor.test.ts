import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  bf16ToFloat32,
  f16ToFloat32,
  float32ToBf16,
  float32ToF16,
  hostTensor,
  toFloat32,
  toFloat64,
  toIntegers,
  type HostDType,
} from "./io.ts";

/** Finite float32 values, uniform in their bits rather than in size. */
const float32 = fc.float({ noNaN: true, noDefaultInfinity: true });

describe("16-bit floats", () => {
  test("every f16 and bf16 value survives widening and narrowing", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const half = f16ToFloat32(all);
    const brain = bf16ToFloat32(all);
    const halfBack = float32ToF16(half);
    const brainBack = float32ToBf16(brain);
    for (let bits = 0; bits < 65536; bits++) {
      if (Number.isNaN(half[bits])) assert.ok((halfBack[bits] & 0x7fff) > 0x7c00, `f16 ${bits}`);
      else assert.equal(halfBack[bits], bits, `f16 ${bits}`);
      if (Number.isNaN(brain[bits])) assert.ok((brainBack[bits] & 0x7fff) > 0x7f80, `bf16 ${bits}`);
      else assert.equal(brainBack[bits], bits, `bf16 ${bits}`);
    }
  });

  test("known f16 bits", () => {
    const values = [1, -2, 65504, 2 ** -24, 2 ** -14, 0.1, Infinity, 65519.99, 65520, 2 ** -25, 1.5 * 2 ** -25];
    const bits = [0x3c00, 0xc000, 0x7bff, 1, 0x400, 0x2e66, 0x7c00, 0x7bff, 0x7c00, 0, 1];
    assert.deepEqual([...float32ToF16(values)], bits);
    assert.deepEqual([...float32ToF16([-0])], [0x8000]);
  });

  test("known bf16 bits", () => {
    assert.deepEqual(
      [...float32ToBf16([1, -2, 3.4e38, 1 + 2 ** -8, 1 + 3 * 2 ** -8])],
      [0x3f80, 0xc000, 0x7f80, 0x3f80, 0x3f82],
    );
  });

  for (const [name, narrow, widen] of [
    ["f16", float32ToF16, f16ToFloat32],
    ["bf16", float32ToBf16, bf16ToFloat32],
  ] as const) {
    test(`${name} rounding picks the nearest value, ties to even`, () => {
      fc.assert(
        fc.property(float32, (value) => {
          const [bits] = narrow([value]);
          const [rounded] = widen(Uint16Array.of(bits));
          if (!Number.isFinite(rounded)) return;
          for (const other of [bits - 1, bits + 1]) {
            const [neighbour] = widen(Uint16Array.of(other & 0xffff));
            if (!Number.isFinite(neighbour) || Math.sign(neighbour) === -Math.sign(rounded)) continue;
            const [mine, theirs] = [Math.abs(rounded - value), Math.abs(neighbour - value)];
            assert.ok(mine < theirs || (mine === theirs && bits % 2 === 0), `${value} -> ${rounded}, not ${neighbour}`);
          }
        }),
        { numRuns: 2000 },
      );
    });
  }
});

describe("host tensors", () => {
  test("a tensor that disagrees with itself is refused", () => {
    assert.throws(() => hostTensor("f32", [2], new Float32Array(3)), /shape \[2\] needs 2 elements, data has 3/);
    assert.throws(() => hostTensor("f16", [1], new Float32Array(1)), /dtype f16 needs a Uint16Array, not Float32Array/);
    assert.throws(() => hostTensor("f32", [-1], new Float32Array(0)), /size -1 in its shape/);
    assert.throws(() => hostTensor("f32", [2 ** 40, 2 ** 40, 0], new Float32Array(0)), /byte count passes 2\^53-1/);
    assert.throws(() => hostTensor("f32", new Array<number>(65).fill(1), new Float32Array(1)), /65 axes; at most 64/);
    assert.throws(
      () => hostTensor("constructor" as HostDType, [1], new Float32Array(1)),
      /dtype constructor is not one of/,
    );
  });

  test("integers beyond 2^53-1 are not rounded silently", () => {
    const fits = hostTensor("i64", [2], BigInt64Array.of(2n ** 53n - 1n, -5n));
    assert.deepEqual(toIntegers(fits), [2 ** 53 - 1, -5]);
    const tooLarge = hostTensor("i64", [2], BigInt64Array.of(0n, 2n ** 53n));
    assert.throws(() => toFloat64(tooLarge), /element 1 of an i64 tensor is 9007199254740992/);
    assert.throws(() => toFloat32(tooLarge), /element 1 of an i64 tensor/);
    assert.throws(() => toIntegers(hostTensor("f32", [1], new Float32Array(1))), /takes an integer or bool tensor/);
  });

  test("conversions decode the 16-bit floats", () => {
    assert.deepEqual([...toFloat32(hostTensor("f16", [1], Uint16Array.of(0x3e00)))], [1.5]);
    assert.deepEqual([...toFloat64(hostTensor("bf16", [1], Uint16Array.of(0xbfc0)))], [-1.5]);
    assert.deepEqual([...toFloat64(hostTensor("bool", [2], Uint8Array.of(1, 0)))], [1, 0]);
  });
});
