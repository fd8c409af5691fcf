/** Ops whose result has a size that depends on values, and drawing of tokens. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { argsort, filterLogits, nonzero, sampleTokens, sort, unique } from "../../src/ops/index.ts";
import { Generator, tensor } from "../../src/tensor/index.ts";
import { onReference } from "../nn/helpers.ts";
import { numbers } from "../support/helpers.ts";

describe("results on the host", () => {
  test("unique: values in rising order, their counts, and where each element's value stands", () =>
    onReference(async () => {
      const found = await unique(tensor([3, 1, NaN, 3, -2, 1, NaN, 3]));
      assert.deepEqual([...found.values], [-2, 1, 3, NaN]);
      assert.deepEqual([...found.counts], [1, 2, 3, 2]);
      assert.deepEqual([...found.inverse], [2, 1, 3, 2, 0, 1, 3, 2]);
      const none = await unique(tensor(new Int32Array(0)));
      assert.equal(none.values.length, 0);
    }));

  test("nonzero: an index a row, in row-major order", () =>
    onReference(async () => {
      const x = tensor([
        [0, 2, 0],
        [1, 0, 3],
      ]);
      assert.deepEqual(await nonzero(x), [
        [0, 1],
        [1, 0],
        [1, 2],
      ]);
    }));

  test("sorting keeps the order of equals, and NaN comes last, first where descending", () =>
    onReference(async () => {
      for (const n of [6, 200]) {
        const data = Array.from({ length: n }, (_, i) => (i % 5 === 4 ? NaN : i % 3));
        const order = [...data.keys()].sort((i, j) => {
          const [a, b] = [data[i], data[j]].map((v) => (Number.isNaN(v) ? 10 : v));
          return a - b || i - j;
        });
        assert.deepEqual(await numbers(argsort(tensor(data))), order);
        const { values } = sort(tensor(data), { descending: true });
        const nans = data.filter(Number.isNaN).length;
        assert.ok((await numbers(values)).slice(0, nans).every(Number.isNaN));
      }
    }));
});

describe("drawing tokens", () => {
  const logits = tensor([[1, 3, 2, 0, -1]].map((row) => row.map((v) => v + 0)));
  const kept = async (options: object) =>
    (await numbers(filterLogits(logits, options))).flatMap((v, i) => (v > -1e30 ? [i] : []));

  test("top-k keeps the k likeliest, top-p the likeliest of that share, and the first always", () =>
    onReference(async () => {
      assert.deepEqual(await kept({ topK: 2 }), [1, 2]);
      // Probabilities .086, .636, .234, .032, .012.
      assert.deepEqual(await kept({ topP: 0.5 }), [1]);
      assert.deepEqual(await kept({ topP: 0.8 }), [1, 2]);
      assert.deepEqual(await kept({ topP: 0.9 }), [0, 1, 2]);
      assert.deepEqual(await kept({ topP: 0.01 }), [1]);
      assert.deepEqual(await kept({}), [0, 1, 2, 3, 4]);
      assert.throws(() => filterLogits(logits, { topP: 0 }), /topP 0 must be in \(0, 1\]/);
    }));

  test("draws have the probabilities of the softmax, and at temperature 0 take the likeliest", () =>
    onReference(async () => {
      const rows = logits.expand([4000, 5]);
      const drawn = await numbers(sampleTokens(rows, { generator: new Generator(5) }));
      const shares = [0, 1, 2, 3, 4].map((k) => drawn.filter((d) => d === k).length / 4000);
      [0.086, 0.636, 0.234, 0.032, 0.012].forEach((p, k) => assert.ok(Math.abs(shares[k] - p) < 0.03, `${shares}`));
      assert.deepEqual(await numbers(sampleTokens(logits, { temperature: 0 })), [1]);
      const cold = await numbers(sampleTokens(rows, { temperature: 0.2, topK: 2, generator: new Generator(6) }));
      assert.ok(cold.every((k) => k === 1 || k === 2));
      assert.ok(cold.filter((k) => k === 1).length > 3900);
    }));
});
