/** Random draws and the arithmetic they drive: distributions, limits, invariances. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { corruptJoints, evaluationCrop, resizeFrames, shearPose, turnPose } from "../../../src/data/batches/augment.ts";
import {
  checkClip,
  fromChannelsFirst,
  limitFrames,
  newClip,
  sliceFrames,
  toChannelsFirst,
  withPersons,
} from "../../../src/data/skeleton/clip.ts";
import { augmentationRandom, cropLength, drawAugmentation } from "../../../src/data/batches/draws.ts";
import { NTU25 } from "../../../src/data/skeleton/layout.ts";
import { fillEmptyFrames, normalizeClip } from "../../../src/data/skeleton/normalize.ts";
import { CounterRandom } from "../../../src/data/rng.ts";
import { threefry2x32 } from "../../../src/tensor/threefry.ts";
import { spaceMajored, timeMajored } from "../../../src/data/batches/views.ts";
import { maxDifference } from "../helpers.ts";
import { erase, randomClip } from "../synthetic.ts";

describe("counter-based random numbers", () => {
  test("Threefry-2x32-20: the known answers of its authors' library", () => {
    const F = 0xffffffff;
    assert.deepEqual(threefry2x32(0, 0, 0, 0), [0x6b200159, 0x99ba4efe]);
    assert.deepEqual(threefry2x32(F, F, F, F), [0x1cb996fc, 0xbb002be7]);
    assert.deepEqual(threefry2x32(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3), [0xc4923a9c, 0x483df7a0]);
  });

  test("uniform, normal, integer and distinct follow their distributions", () => {
    const random = CounterRandom.fromSeed(1);
    const count = 20000;
    const bins = new Array<number>(10).fill(0);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < count; i++) {
      const u = random.uniform();
      assert.ok(u >= 0 && u < 1);
      bins[Math.floor(u * 10)]++;
      const z = random.normal();
      sum += z;
      squares += z * z;
    }
    // Five standard deviations of a binomial count, and of the mean and variance of a normal.
    for (const bin of bins) assert.ok(Math.abs(bin - count / 10) < 5 * Math.sqrt(count * 0.09), `bin of ${bin}`);
    assert.ok(Math.abs(sum / count) < 5 / Math.sqrt(count));
    assert.ok(Math.abs(squares / count - 1) < 5 * Math.sqrt(2 / count));
    const seen = new Array<number>(5).fill(0);
    for (let i = 0; i < 2000; i++) {
      const drawn = random.distinct(3, 5);
      assert.equal(new Set(drawn).size, 3);
      for (const k of drawn) seen[k]++;
    }
    for (const k of seen) assert.ok(Math.abs(k - 1200) < 5 * Math.sqrt(2000 * 0.24), `drawn ${k} times`);
  });

  test("streams depend on seed, epoch, clip and view, and on nothing else", () => {
    const first = (...key: [number, number, number, number]) => augmentationRandom(...key).uniform();
    const keys: [number, number, number, number][] = [
      [0, 0, 0, 0],
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
      [0, 0, 0, 1],
      [2 ** 40, 0, 0, 0],
      [0, 0, 2 ** 33, 0],
    ];
    assert.equal(new Set(keys.map((key) => first(...key))).size, keys.length);
    for (const key of keys) assert.equal(first(...key), first(...key));
    const parent = CounterRandom.fromSeed(3);
    const before = parent.fold(1).uniform();
    parent.uniform();
    assert.equal(parent.fold(1).uniform(), before);
    assert.throws(() => CounterRandom.fromSeed(-1), RangeError);
    assert.throws(() => parent.fold(0.5), RangeError);
    assert.throws(() => parent.distinct(3, 2), RangeError);
  });
});

describe("draws", () => {
  test("more joints to corrupt than a skeleton has are refused, whatever is drawn", () => {
    for (let seed = 0; seed < 8; seed++)
      assert.throws(
        () => drawAugmentation(CounterRandom.fromSeed(seed), 80, 25, { corruptJoints: 26 }),
        /cannot touch 26 joints \(corruptJoints\) of a skeleton of 25/,
      );
  });

  test("turns fill their range, and change no other draw", () => {
    const turns = Array.from({ length: 400 }, (_, seed) => {
      const { turn, ...rest } = drawAugmentation(CounterRandom.fromSeed(seed), 80, 25, { rotation: 30 });
      assert.deepEqual(rest, drawAugmentation(CounterRandom.fromSeed(seed), 80, 25));
      return turn!;
    });
    const most = Math.PI / 6;
    assert.ok(turns.every((turn) => Math.abs(turn) < most));
    assert.ok(Math.min(...turns) < -0.9 * most && Math.max(...turns) > 0.9 * most);
  });

  test("a turn keeps lengths and heights, and is undone by its opposite", () => {
    fc.assert(
      fc.property(fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }), fc.nat(), (angle, seed) => {
        const clip = randomClip(seed, 3, 2, 5);
        const turned = { ...clip, data: clip.data.slice() };
        turnPose(turned, angle);
        for (let i = 0; i < clip.data.length; i += 3) {
          const [x, y, z] = clip.data.subarray(i, i + 3);
          const [u, v, w] = turned.data.subarray(i, i + 3);
          assert.equal(w, z);
          assert.ok(Math.abs(Math.hypot(u, v) - Math.hypot(x, y)) < 1e-5);
          // Counterclockwise about z: the cross product has the sign of the angle's sine.
          assert.ok(Math.abs(x * v - y * u - (x * x + y * y) * Math.sin(angle)) < 1e-4);
        }
        turnPose(turned, -angle);
        assert.ok(maxDifference(turned.data, clip.data) < 1e-5);
      }),
    );
  });

  test("crops lie inside the clip; matrices and joints are as specified", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.nat(), (frames, seed) => {
        const { crop, spatial } = drawAugmentation(CounterRandom.fromSeed(seed), frames, 25);
        assert.ok(crop.scale >= 0.1 && crop.scale < 1);
        const length = cropLength(frames, crop.scale);
        assert.ok(length >= Math.min(frames, 64) && length <= frames);
        assert.ok(Number.isInteger(crop.start) && crop.start >= 0 && crop.start + length <= frames);
        if (spatial.kind === "corrupt") {
          assert.equal(new Set(spatial.joints).size, 15);
          assert.ok(spatial.joints.every((v) => Number.isInteger(v) && v >= 0 && v < 25));
          if (spatial.matrix) assert.ok(spatial.matrix.length === 9 && spatial.matrix.every((x) => Math.abs(x) <= 1));
        } else {
          assert.deepEqual(
            [0, 4, 8].map((i) => spatial.matrix[i]),
            [1, 1, 1],
          );
          assert.ok(spatial.matrix.length === 9 && spatial.matrix.every((x) => Math.abs(x) <= 1));
        }
      }),
    );
  });

  test("corruption half of the time, half of it zeroing; every start is reached", () => {
    const kinds = { shear: 0, zero: 0, matrix: 0 };
    const starts = new Set<number>();
    const count = 4000;
    for (let clip = 0; clip < count; clip++) {
      const { crop, spatial } = drawAugmentation(augmentationRandom(7, 0, clip, 1), 68, 25);
      kinds[spatial.kind === "shear" ? "shear" : spatial.matrix ? "matrix" : "zero"]++;
      starts.add(crop.start);
    }
    assert.ok(Math.abs(kinds.shear - count / 2) < 5 * Math.sqrt(count / 4), JSON.stringify(kinds));
    assert.ok(Math.abs(kinds.zero - count / 4) < 5 * Math.sqrt((count * 3) / 16), JSON.stringify(kinds));
    assert.deepEqual([...starts].sort(), [0, 1, 2, 3, 4]);
  });

  test("options: fewer joints, other limits", () => {
    const options = { corruptJoints: 2, amplitude: 0.1, minFrames: 10, minScale: 0.5 };
    for (let seed = 0; seed < 50; seed++) {
      const { crop, spatial } = drawAugmentation(CounterRandom.fromSeed(seed), 40, 15, options);
      assert.ok(crop.scale >= 0.5);
      assert.ok(crop.start + cropLength(40, crop.scale, 10) <= 40);
      if (spatial.kind === "corrupt") assert.equal(spatial.joints.length, 2);
      else assert.ok([1, 2, 3, 5, 6, 7].every((i) => Math.abs(spatial.matrix[i]) <= 0.1));
    }
  });
});

describe("augmentation arithmetic", () => {
  test("resizing to the same length is the identity, and keeps straight motion straight", () => {
    const clip = randomClip(1, 9, 2, 3);
    assert.deepEqual(resizeFrames(clip, 2, 5, 5).data, sliceFrames(clip, 2, 7).data);
    const line = newClip(10, 1, 1);
    for (let t = 0; t < 10; t++) line.data.fill(t, t * 3, t * 3 + 3);
    const half = resizeFrames(line, 0, 10, 5);
    assert.deepEqual([...half.data.filter((_, i) => i % 3 === 0)], [0.5, 2.5, 4.5, 6.5, 8.5]);
    const twice = resizeFrames(line, 0, 10, 20);
    assert.equal(twice.data[0], 0);
    assert.equal(twice.data[57], 9);
    assert.equal(twice.data[30], 4.75);
    assert.deepEqual(resizeFrames(line, 4, 1, 3).data, new Float32Array(9).fill(4));
    assert.throws(() => resizeFrames(line, 8, 3, 5), /3 frames from 8 are not inside a clip of 10/);
    assert.throws(() => resizeFrames(line, 0, 0, 5), /not inside/);
  });

  test("the evaluation crop keeps the middle 95 %", () => {
    const line = newClip(100, 1, 1);
    for (let t = 0; t < 100; t++) line.data.fill(t, t * 3, t * 3 + 3);
    assert.deepEqual(evaluationCrop(line, 96).data, sliceFrames(line, 2, 98).data);
    assert.equal(evaluationCrop(newClip(1, 1, 2)).frames, 64);
  });

  test("corruption touches the drawn joints only, shear all of them", () => {
    const clip = randomClip(2, 2, 2, 4);
    const zeroed = { ...clip, data: clip.data.slice() };
    corruptJoints(zeroed, { kind: "corrupt", joints: [3, 1], matrix: null });
    clip.data.forEach((x, i) => assert.equal(zeroed.data[i], [1, 3].includes(Math.floor(i / 3) % 4) ? 0 : x));
    const turned = { ...clip, data: clip.data.slice() };
    corruptJoints(turned, { kind: "corrupt", joints: [0], matrix: [0, 1, 0, 0, 0, 1, 1, 0, 0] });
    assert.deepEqual([...turned.data.subarray(0, 3)], [clip.data[2], clip.data[0], clip.data[1]]);
    const sheared = { ...clip, data: clip.data.slice() };
    shearPose(sheared, { kind: "shear", matrix: [1, 0.5, 0, 0, 1, 0, 0, 0, 1] });
    assert.equal(sheared.data[0], Math.fround(clip.data[0] + 0.5 * clip.data[1]));
    assert.equal(sheared.data[1], clip.data[1]);
    const outside = { kind: "corrupt", joints: [4], matrix: null } as const;
    assert.throws(() => corruptJoints(clip, outside), /joint 4 of a skeleton of 4/);
  });

  test("views: rows are frames, or joints of a person", () => {
    const clip = randomClip(3, 5, 2, 4);
    const xc = timeMajored(clip);
    const xp = spaceMajored(clip);
    for (let t = 0; t < 5; t++) {
      for (let mv = 0; mv < 8; mv++) {
        for (let c = 0; c < 3; c++) assert.equal(xp[mv * 15 + t * 3 + c], xc[t * 24 + mv * 3 + c]);
      }
    }
    assert.throws(() => spaceMajored(clip, new Float32Array(3)), /out holds 3 numbers/);
  });
});

describe("pre-normalisation", () => {
  /** A rotation matrix from three angles. */
  function rotation(a: number, b: number, c: number): number[] {
    const product = (x: number[], y: number[]) =>
      Array.from({ length: 9 }, (_, i) => {
        const r = Math.floor(i / 3) * 3;
        return x[r] * y[i % 3] + x[r + 1] * y[3 + (i % 3)] + x[r + 2] * y[6 + (i % 3)];
      });
    const z = [Math.cos(a), -Math.sin(a), 0, Math.sin(a), Math.cos(a), 0, 0, 0, 1];
    const y = [Math.cos(b), 0, Math.sin(b), 0, 1, 0, -Math.sin(b), 0, Math.cos(b)];
    const x = [1, 0, 0, 0, Math.cos(c), -Math.sin(c), 0, Math.sin(c), Math.cos(c)];
    return product(product(z, y), x);
  }

  test("the main person's place does not matter, and lengths are kept", () => {
    const numbers = fc.array(fc.float({ min: -3, max: 3, noNaN: true }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(fc.nat(1000), numbers, (seed, p) => {
        const clip = randomClip(seed, 3, 2, 25);
        const length = (data: Float32Array, v: number, w: number) =>
          Math.hypot(...[0, 1, 2].map((c) => data[v * 3 + c] - data[w * 3 + c]));
        // Rounding turns a short spine or shoulder line by more than the bound below.
        fc.pre(length(clip.data, 0, 1) > 0.3 && length(clip.data, 4, 8) > 0.3);
        const moved = { ...clip, data: clip.data.map((x, i) => x + p[i % 3]) };
        const a = normalizeClip(clip, NTU25.axes);
        const b = normalizeClip(moved, NTU25.axes);
        assert.ok(maxDifference(a.data, b.data) < 2e-5);
        const r = rotation(p[3], p[4], p[5]);
        const turned = newClip(3, 2, 25);
        shearPose(Object.assign(turned, { data: clip.data.slice() }), { kind: "shear", matrix: r });
        const c = normalizeClip(turned, NTU25.axes);
        for (const [v, w] of [
          [0, 1],
          [3, 40],
          [7, 8],
        ]) {
          assert.ok(Math.abs(length(c.data, v, w) - length(clip.data, v, w)) < 1e-5);
        }
        const across = [0, 1, 2].map((i) => c.data[24 + i] - c.data[12 + i]);
        assert.ok(maxDifference(across, [Math.hypot(...across), 0, 0]) < 1e-5);
        assert.equal(maxDifference(c.data.subarray(3, 6), [0, 0, 0]), 0);
      }),
      { numRuns: 50 },
    );
  });

  test("a body that stands the wrong way is turned round, by half a turn", () => {
    const clip = newClip(1, 1, 25);
    clip.data.set([0, 0, 1, 0, 0, 0.5], 0); // joints 0 and 1: the spine points down z
    clip.data.set([0.2, 0.1, 0], 4 * 3); // left shoulder
    clip.data.set([-0.2, 0.1, 0], 8 * 3); // right shoulder: along -x
    const { data } = normalizeClip(clip, NTU25.axes);
    const spine = [0, 1, 2].map((c) => data[3 + c] - data[c]);
    const across = [0, 1, 2].map((c) => data[24 + c] - data[12 + c]);
    assert.ok(maxDifference(spine, [0, 0, 0.5]) < 1e-6, String(spine));
    assert.ok(maxDifference(across, [0.4, 0, 0]) < 1e-6, String(across));
  });

  test("empty frames: closed up at the front, kept inside, filled at the end", () => {
    const clip = randomClip(1, 8, 2, 2);
    for (const t of [0, 1, 4]) erase(clip, t, 0);
    for (const t of [2, 6, 7]) erase(clip, t, 1);
    const filled = fillEmptyFrames(clip, 10);
    const frame = (c: typeof clip, t: number, m: number) => [...c.data.subarray((t * 2 + m) * 6, (t * 2 + m + 1) * 6)];
    const from = (order: number[], m: number) =>
      order.forEach((t, to) => assert.deepEqual(frame(filled, to, m), frame(clip, t, m), `frame ${to} of ${m}`));
    from([2, 3, 5, 6, 7, 2, 3, 5, 6, 7], 0);
    from([0, 1, 2, 3, 4, 5, 0, 1, 2, 3], 1);
    assert.ok(frame(filled, 2, 1).every((x) => x === 0));
    assert.throws(() => fillEmptyFrames(clip, 7), /already has 8/);
  });

  test("a clip without anybody, or whose spine has no direction, comes back finite", () => {
    assert.ok(normalizeClip(newClip(3, 2, 25), NTU25.axes).data.every((x) => x === 0));
    const flat = newClip(2, 1, 25);
    flat.data.fill(1);
    assert.ok(normalizeClip(flat, NTU25.axes).data.every(Number.isFinite));
  });

  test("rotation can be left out", () => {
    const clip = randomClip(3, 2, 1, 25);
    const { data } = normalizeClip(clip, NTU25.axes, { rotate: false });
    clip.data.forEach((x, i) => {
      const origin = clip.data[(i < 75 ? 0 : 75) + 3 + (i % 3)];
      assert.ok(Math.abs(data[i] - (x - origin)) < 1e-6);
    });
  });
});

describe("clips", () => {
  test("to the order of the field and back", () => {
    const size = fc.integer({ min: 1, max: 5 });
    fc.assert(
      fc.property(size, size, size, size, (frames, persons, joints, extra) => {
        const clip = randomClip(1, frames, persons, joints);
        const stored = toChannelsFirst(clip, frames + extra);
        assert.deepEqual(fromChannelsFirst(stored, frames + extra, joints, persons, frames), clip);
        const at = ((1 * (frames + extra) + frames - 1) * joints + joints - 1) * persons + persons - 1;
        assert.equal(stored[at], clip.data[clip.data.length - 2]);
      }),
    );
    assert.throws(() => toChannelsFirst(newClip(3, 1, 1), 2), /2 frames cannot hold/);
    assert.throws(() => fromChannelsFirst(new Float32Array(5), 1, 1, 2), /needs 6/);
  });

  test("persons are added as zeros and left off from the end", () => {
    const clip = randomClip(2, 3, 2, 2);
    assert.deepEqual(withPersons(withPersons(clip, 3), 2), clip);
    assert.equal(withPersons(clip, 1).data.length, 18);
    assert.throws(() => sliceFrames(clip, 2, 4), /not inside a clip of 3/);
  });

  test("long clips are cut or thinned", () => {
    const clip = newClip(10, 1, 1);
    for (let t = 0; t < 10; t++) clip.data[t * 3] = t;
    const first = (c: typeof clip) => [...c.data.filter((_, i) => i % 3 === 0)];
    assert.deepEqual(first(limitFrames(clip, 4)), [0, 1, 2, 3]);
    assert.deepEqual(first(limitFrames(clip, 5, "thin")), [1, 3, 5, 7, 9]);
    assert.equal(limitFrames(clip), clip);
  });

  test("a NaN is found where it is", () => {
    const clip = randomClip(2, 3, 2, 5);
    checkClip(clip, "f");
    clip.data[(1 * 2 + 1) * 15 + 3 * 3 + 2] = Infinity;
    assert.throws(() => checkClip(clip, "f"), /f: not-finite: coordinate z is Infinity in frame 1, person 1, joint 3/);
    assert.throws(() => checkClip(newClip(0, 1, 5), "f"), /f: empty: the clip has no frames/);
  });
});
