/** The cpu device's k largest against sorting, ties and special values included. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { topK } from "../../src/wasm/top-k.ts";
import { runLowering } from "./run-lowering.ts";

interface Picks {
  readonly values: Float32Array;
  readonly indices: Int32Array;
}

function runTopK(x: Float32Array, rows: number, k: number, split?: number): Picks {
  const [values, indices] = runLowering(topK([rows, x.length / rows], k), [x], [rows * k, rows * k], { split });
  return { values, indices: new Int32Array(indices.buffer) };
}

function sorted(x: Float32Array, rows: number, k: number): Picks {
  const n = x.length / rows;
  const indices = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: n }, (_, i) => i)
      .sort((i, j) => x[row * n + j] - x[row * n + i] || i - j)
      .slice(0, k),
  );
  return {
    values: Float32Array.from(indices.flatMap((row, r) => row.map((i) => x[r * n + i]))),
    indices: Int32Array.from(indices.flat()),
  };
}

const row = (n: number) =>
  fc.array(
    fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 100), max: 2 ** 100 }),
    ),
    { minLength: n, maxLength: n },
  );

describe("topK of the cpu device", () => {
  test("agrees with sorting, equals in order", () => {
    const cases = fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 40 }))
      .chain(([rows, n]) =>
        fc.record({ rows: fc.constant(rows), x: row(rows * n), k: fc.integer({ min: 1, max: n }) }),
      );
    fc.assert(
      fc.property(cases, fc.integer({ min: 1, max: 3 }), ({ rows, x, k }, split) => {
        const given = Float32Array.from(x);
        const result = runTopK(given, rows, k);
        assert.deepEqual(result, sorted(given, rows, k));
        assert.deepEqual(runTopK(given, rows, k, split), result);
      }),
      { numRuns: 100 },
    );
  });

  test("long rows, rising and falling", () => {
    const n = 1003;
    const x = Float32Array.from({ length: 2 * n }, (_, i) => (i < n ? i : -i));
    assert.deepEqual(runTopK(x, 2, 17), sorted(x, 2, 17));
  });

  test("not-a-numbers come first, then infinity, and minus infinity last", () => {
    const { values, indices } = runTopK(Float32Array.of(NaN, 1, Infinity, NaN, 2, -Infinity), 1, 6);
    assert.deepEqual([...values], [NaN, NaN, Infinity, 2, 1, -Infinity]);
    assert.deepEqual([...indices], [0, 3, 2, 4, 1, 5]);
    assert.deepEqual([...runTopK(new Float32Array(5).fill(NaN), 1, 2).indices], [0, 1]);
  });
});
