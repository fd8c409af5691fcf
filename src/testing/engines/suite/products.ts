/** Products of matrices: batches that broadcast, rows and columns, no element, sizes that fill no tile. */
import type { EngineAttributes, PlainArray } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { ArrayRows, Question } from "./array-row.ts";
import { matrix } from "./array-row.ts";

/** Two matrices in JavaScript's numbers, element by element: 0 times NaN and infinity is NaN. */
function matrices(_: EngineAttributes, a: PlainArray, b: PlainArray): PlainArray | undefined {
  if (a.shape.length !== 2 || b.shape.length !== 2) return undefined;
  const [[rows, inner], columns] = [a.shape, b.shape[1]];
  const data = Array.from({ length: rows * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += a.data[i * inner + k] * b.data[k * columns + j];
    return sum;
  });
  return plain(data, [rows, columns]);
}

const ORDINARY = matrix([
  [1, 2],
  [3, 4],
]);

/** A special element beside zeros, on either side. */
const SPECIALS: readonly Question[] = [NaN, Infinity, -Infinity].flatMap((x) => {
  const special = matrix([
    [0, x],
    [1, 0],
  ]);
  const zeros = matrix([
    [0, 1],
    [0, 0],
  ]);
  return [
    [special, ORDINARY],
    [ORDINARY, special],
    [special, zeros],
    [zeros, special],
  ].map((of, n): Question => ({ of, values: "specials", gradients: null, name: `${x} and zeros, ${n + 1} of 4` }));
});

/** By name. */
export const PRODUCT_ROWS: ArrayRows = {
  matmul: {
    meaning: (_, a, b) => a.matmul(b),
    plain: matrices,
    questions: [
      {
        of: [
          [31, 23],
          [23, 19],
        ],
        values: "values",
      },
      {
        of: [
          [3, 4],
          [4, 5],
        ],
        second: true,
      },
      {
        of: [
          [1, 4],
          [4, 1],
        ],
        second: true,
      },
      {
        of: [
          [5, 1],
          [1, 6],
        ],
      },
      {
        of: [
          [1, 1],
          [1, 1],
        ],
      },
      {
        of: [
          [1, 7],
          [7, 5],
        ],
      },
      {
        of: [
          [6, 7],
          [7, 1],
        ],
      },
      {
        of: [
          [4, 4],
          [4, 4],
        ],
        second: true,
      },
      {
        of: [
          [8, 16],
          [16, 12],
        ],
        second: true,
      },
      {
        of: [
          [17, 33],
          [33, 65],
        ],
      },
      {
        of: [
          [65, 17],
          [17, 33],
        ],
      },
      {
        of: [
          [2, 1030],
          [1030, 3],
        ],
      },
      {
        of: [
          [130, 65],
          [65, 129],
        ],
      },
      {
        of: [
          [2, 3, 4],
          [2, 4, 5],
        ],
        second: true,
      },
      {
        of: [
          [2, 3, 4],
          [4, 5],
        ],
        second: true,
      },
      {
        of: [
          [3, 4],
          [2, 4, 5],
        ],
      },
      {
        of: [
          [1, 3, 4],
          [6, 4, 2],
        ],
      },
      {
        of: [
          [2, 1, 3, 4],
          [5, 4, 2],
        ],
      },
      {
        of: [
          [3, 1, 1, 4],
          [1, 2, 4, 3],
        ],
      },
      {
        of: [
          [5, 17, 9],
          [5, 9, 33],
        ],
      },
      {
        of: [
          [0, 4],
          [4, 3],
        ],
      },
      {
        of: [
          [3, 4],
          [4, 0],
        ],
      },
      {
        of: [
          [3, 0],
          [0, 4],
        ],
      },
      {
        of: [
          [2, 0, 3],
          [2, 3, 4],
        ],
      },
      {
        of: [
          [0, 2, 3],
          [0, 3, 4],
        ],
      },
      ...SPECIALS,
    ],
  },
  matmulOfVectors: {
    meaning: (_, a, b) => a.matmul(b),
    questions: [
      { of: [[4], [4]], second: true },
      { of: [[3, 4], [4]], second: true },
      { of: [[4], [4, 5]] },
      { of: [[2, 3, 4], [4]] },
      { of: [[4], [2, 4, 3]] },
      {
        of: [
          { shape: [1030], interval: [-1, 3] },
          { shape: [1030], interval: [-1, 3] },
        ],
      },
      { of: [[0], [0]] },
      { of: [[3, 0], [0]] },
    ],
  },
};
