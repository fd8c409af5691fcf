/** Samples between elements, what stands around them, parts of arrays and writing by index. */
import {
  concat,
  interpolate,
  interpolateLinear,
  ones,
  pad,
  tensor,
  tril,
  triu,
  roll,
  scatter,
  arange,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import type { KitCases } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;
const NONE: readonly [number, number] = [0, 0];

/** Samples between neighbours: weights of a hat around each place, clamped to the ends. */
const between = (x: Tensor, places: readonly number[]): Tensor => {
  const length = x.shape.at(-1)!;
  const weights = Array.from({ length: length * places.length }, (_, at) => {
    const place = Math.min(Math.max(places[at % places.length], 0), length - 1);
    return Math.max(0, 1 - Math.abs(place - Math.floor(at / places.length)));
  });
  return x.matmul(tensor(weights, { shape: [length, places.length] }));
};
const centres = (length: number, size: number, step = length / size): number[] =>
  Array.from({ length: size }, (_, i) => (i + 0.5) * step - 0.5);
const ends = (length: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => (i * (length - 1)) / (size - 1));
const nearest = (x: Tensor, size: number): Tensor =>
  x.take(tensor(Int32Array.from({ length: size }, (_, i) => Math.floor((i * x.shape.at(-1)!) / size))), -1);

const AROUND: Readonly<Record<string, (i: number, n: number) => number>> = {
  reflect: (i, n) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i),
  replicate: (i, n) => Math.min(Math.max(i, 0), n - 1),
  circular: (i, n) => (i + n) % n,
};

/** By name. */
export const RESAMPLED: KitCases = {
  "samples between neighbours": {
    f: (x) => [
      interpolateLinear(x, 9),
      interpolateLinear(x, 3),
      interpolate(x, { size: 8, mode: "linear" }),
      interpolate(x, { size: 3, mode: "linear" }),
      interpolate(x, { size: 7, mode: "linear", alignCorners: true }),
      interpolate(x, { scaleFactor: 2, mode: "linear" }),
      interpolate(x, { size: 8 }),
    ],
    inputs: [narrow("n", 2, 5)],
    meaning: (x) => [
      between(x, centres(5, 9)),
      between(x, centres(5, 3)),
      between(x, centres(5, 8)),
      between(x, centres(5, 3)),
      between(x, ends(5, 7)),
      between(x, centres(5, 10)),
      nearest(x, 8),
    ],
    large: 6,
  },
  "samples of images": {
    f: (x) => [
      interpolate(x, { size: [3, 7], mode: "bilinear" }),
      interpolate(x, { size: [5, 3], mode: "bilinear", alignCorners: true }),
      interpolate(x, { scaleFactor: [2, 3] }),
    ],
    inputs: [narrow("n", 1, 4, 5)],
    meaning: (x) => {
      const grid = (rows: number[], columns: number[]): Tensor =>
        between(between(x, columns).transpose(), rows).transpose();
      return [
        grid(centres(4, 3), centres(5, 7)),
        grid(ends(4, 5), ends(5, 3)),
        nearest(nearest(x, 15).transpose(), 8).transpose(),
      ];
    },
    large: 5,
  },
  "what stands around": {
    f: (x) => [
      pad(
        x,
        [
          [2, 1],
          [1, 3],
        ],
        { mode: "reflect" },
      ),
      pad(
        x,
        [
          [2, 1],
          [1, 3],
        ],
        { mode: "replicate" },
      ),
      pad(
        x,
        [
          [2, 1],
          [1, 3],
        ],
        { mode: "circular" },
      ),
      pad(x, [[1, 2]], { value: 1.5 }),
    ],
    inputs: [narrow(3, 5)],
    meaning: (x) => {
      const of = (mode: string): Tensor =>
        [
          [2, 1],
          [1, 3],
        ].reduce((t, [low, high], axis) => {
          const n = x.shape[axis];
          return t.take(tensor(Int32Array.from({ length: low + n + high }, (_, i) => AROUND[mode](i - low, n))), axis);
        }, x);
      const inside = ones(x.shape).pad([NONE, [1, 2]]);
      return [of("reflect"), of("replicate"), of("circular"), x.pad([NONE, [1, 2]]).add(inside.neg().add(1).mul(1.5))];
    },
    large: 0,
  },
  "parts of arrays": {
    f: (x) => [tril(x), triu(x, 1), tril(x, -1), roll(x, 2, 1), roll(x, [-1, 3], [0, 1])],
    inputs: [narrow(3, 5)],
    meaning: (x) => {
      const where = (open: (i: number, j: number) => boolean): Tensor =>
        x.mul(
          tensor(
            Array.from({ length: 15 }, (_, at) => Number(open(Math.floor(at / 5), at % 5))),
            { shape: [3, 5] },
          ),
        );
      const turned = (t: Tensor, by: number): Tensor =>
        concat([t.slice(null, [5 - by, 5]), t.slice(null, [0, 5 - by])], 1);
      const lifted = concat([x.slice([1, 3]), x.slice([0, 1])], 0);
      return [where((i, j) => j <= i), where((i, j) => j > i), where((i, j) => j < i), turned(x, 2), turned(lifted, 3)];
    },
    large: 0,
  },
  "writing by index": {
    f: (x, s, at) => [scatter(x, 0, at, s), scatter(x.transpose(), 1, at.transpose(), 2.5)],
    inputs: [narrow(5, 3), narrow("k", 3), { shape: ["k", 3], dtype: "i32", domain: [0, 4] }],
    // One after the other: the last of those that name a place stands.
    meaning: (x, s, at) => {
      const written = (t: Tensor, source: Tensor): Tensor => {
        let y = t;
        for (let i = 0; i < at.shape[0]; i++) {
          const here = arange(5)
            .unsqueeze(1)
            .expand([5, 3])
            .eq(at.slice([i, i + 1]).expand([5, 3]));
          y = here.where(source.slice([i, i + 1]).expand([5, 3]), y);
        }
        return y;
      };
      return [written(x, s), written(x, ones(s.shape).mul(2.5)).transpose()];
    },
    large: 8,
    order: 1,
  },
};
