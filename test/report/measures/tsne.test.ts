/** t-SNE: neighbours stay together, and the layout is a function of the points. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CounterRandom } from "../../../src/data/rng.ts";
import { tsne } from "../../../src/report/index.ts";

/** `perCluster` points around each of `clusters` centres in `width` dimensions. */
function clustered(
  clusters: number,
  perCluster: number,
  width: number,
): { points: Float32Array; label: (i: number) => number } {
  const random = CounterRandom.fromSeed(5);
  const centres = Array.from({ length: clusters }, () =>
    Float64Array.from({ length: width }, () => 4 * random.normal()),
  );
  const points = new Float32Array(clusters * perCluster * width);
  for (let i = 0; i < clusters * perCluster; i++) {
    for (let c = 0; c < width; c++) points[i * width + c] = centres[i % clusters][c] + random.normal();
  }
  return { points, label: (i) => i % clusters };
}

describe("t-SNE", () => {
  test("the nearest point in the plane is of the same cluster", () => {
    const { points, label } = clustered(5, 30, 20);
    const layout = tsne(points, 150);
    let right = 0;
    for (let i = 0; i < 150; i++) {
      let [best, least] = [-1, Infinity];
      for (let j = 0; j < 150; j++) {
        const d = (layout[2 * i] - layout[2 * j]) ** 2 + (layout[2 * i + 1] - layout[2 * j + 1]) ** 2;
        if (j !== i && d < least) [best, least] = [j, d];
      }
      if (label(best) === label(i)) right++;
    }
    assert.ok(right >= 148, `${right} of 150`);
    assert.ok(layout.every(Number.isFinite));
  });

  test("the same points give the same layout; points that coincide, and few of them, give finite ones", () => {
    const { points } = clustered(2, 10, 3);
    assert.deepEqual(tsne(points, 20, { iterations: 60 }), tsne(points, 20, { iterations: 60 }));
    assert.ok(tsne(new Float32Array(40), 10, { iterations: 300 }).every(Number.isFinite));
    for (const count of [1, 2, 3, 4, 5]) {
      const layout = tsne(points.slice(0, 3 * count), count, { iterations: 50 });
      assert.equal(layout.length, 2 * count);
      assert.ok(layout.every(Number.isFinite), `${count} points`);
    }
  });

  test("values that are no rows are refused", () => {
    assert.throws(() => tsne(new Float32Array(7), 3), /7 values are not rows of 3 points/);
  });
});
