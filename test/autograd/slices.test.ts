/** Gradients of a value that is read in slices: what each slice says stands at its place, whatever slices there are. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gradients } from "../../src/autograd/grad.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const [ROWS, COLUMNS] = [6, 8];

/** First, past and step along the rows, and along the columns. */
type Slice = readonly [rows: readonly [number, number, number], columns: readonly [number, number, number]];

const rows = (first: number, past: number, step = 1): Slice => [
  [first, past, step],
  [0, COLUMNS, 1],
];
const columns = (first: number, past: number, step = 1): Slice => [
  [0, ROWS, 1],
  [first, past, step],
];

const cases: Record<string, readonly Slice[]> = {
  "equal parts in order": [columns(0, 4), columns(4, 8)],
  "in another order": [columns(6, 8), columns(0, 3), columns(3, 6)],
  "rows of different sizes": [rows(3, 4), rows(0, 3), rows(4, 6)],
  "a gap between": [columns(0, 3), columns(4, 8)],
  "a gap at the end, and at the beginning": [columns(0, 3), columns(3, 7)],
  "nothing of the first": [columns(1, 3), columns(3, 8)],
  "an overlap": [columns(0, 5), columns(4, 8)],
  "one of them twice": [rows(0, 3), rows(3, 6), rows(3, 6)],
  "along one axis and the other": [columns(0, 4), rows(3, 6)],
  quarters: [0, 3].flatMap((r) =>
    [0, 4].map(
      (c): Slice => [
        [r, r + 3, 1],
        [c, c + 4, 1],
      ],
    ),
  ),
  "every second": [columns(0, 8, 2), columns(1, 8, 2)],
  "every second, and the last half": [columns(0, 8, 2), columns(4, 8)],
  "an overlap and a gap as large": [columns(0, 4), columns(2, 6)],
  "two corners": [
    [
      [0, 3, 1],
      [0, 4, 1],
    ],
    [
      [3, 6, 1],
      [4, 8, 1],
    ],
  ],
  "halves of half the rows": [
    [
      [0, 3, 1],
      [0, 4, 1],
    ],
    [
      [0, 3, 1],
      [4, 8, 1],
    ],
  ],
  "some, and all": [columns(0, 4), columns(0, 8), columns(4, 8)],
};

before(() => setDefaultDevice(new ReferenceDevice()));
after(() => setDefaultDevice(undefined));

for (const [name, slices] of Object.entries(cases)) {
  test(name, async () => {
    const wanted = new Float32Array(ROWS * COLUMNS);
    const x = tensor(new Float32Array(ROWS * COLUMNS).fill(1), { shape: [ROWS, COLUMNS] });
    let next = 1;
    let y: Tensor = tensor(0);
    for (const [[r0, r1, rStep], [c0, c1, cStep]] of slices) {
      const part = x.slice([r0, r1, rStep], [c0, c1, cStep]);
      const weights = Float32Array.from({ length: part.size }, () => next++);
      const width = Math.ceil((c1 - c0) / cStep);
      weights.forEach((w, i) => {
        wanted[(r0 + rStep * Math.floor(i / width)) * COLUMNS + c0 + cStep * (i % width)] += w;
      });
      y = y.add(part.mul(tensor(weights, { shape: part.shape })).sum());
    }
    const [gradient] = gradients([y], [tensor(1)], [x]);
    assert.deepEqual(await gradient.read(), wanted);
  });
}
