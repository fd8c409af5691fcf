/** Questions that operations along one axis share: rows of special numbers, each answered by a formula. */
import type { EngineAttributes, PlainArray } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { ArrayRow, Question } from "./array-row.ts";
import { matrix } from "./array-row.ts";

/** What one row of a matrix gives: a number where the axis goes, several where it stays. */
export type RowFormula = (row: readonly number[]) => number | readonly number[];

/** NaN at each place, infinities, opposite ones, both zeros, small numbers. */
const SPECIAL_ROWS: readonly (readonly number[])[] = [
  [NaN, 1, 2],
  [1, NaN, 2],
  [1, 2, NaN],
  [NaN, NaN, NaN],
  [Infinity, 1, 2],
  [1, -Infinity, 2],
  [NaN, Infinity, 1],
  [Infinity, -Infinity, 1],
  [Infinity, Infinity, Infinity],
  [-Infinity, -Infinity, -Infinity],
  [0, 0, 0],
  [-0, -1, -2],
  [1e-30, -1e-30, 1e-30],
];

/** Rows whose exponentials overflow or vanish. */
export const LARGE_ROWS: readonly (readonly number[])[] = [
  [1000, 1001, 999],
  [-1000, -1001, -1000.5],
  [88, 89, 90],
  [0, -200, 200],
  [-Infinity, 1, 2],
  [3e38, 1, -3e38],
];

export const total = (row: readonly number[]): number => row.reduce((a, b) => a + b, 0);
export const average = (row: readonly number[]): number => total(row) / row.length;

/** A formula of rows for matrices, along their last axis. */
export function byRows(formula: RowFormula): ArrayRow["plain"] {
  return (attributes: EngineAttributes, { shape, data }: PlainArray) => {
    const axes = attributes.axis ?? attributes.axes;
    if (shape.length !== 2 || attributes.keepDims || !(axes === 1 || String(axes) === "1")) return undefined;
    const numbers = Array.from(data);
    const rows = Array.from({ length: shape[0] }, (_, i) => numbers.slice(i * shape[1], (i + 1) * shape[1]));
    const found = rows.map(formula);
    return plain(found.flat(), typeof found[0] === "number" ? [shape[0]] : [...shape]);
  };
}

/** A matrix of rows, and each row alone and beside an ordinary one where it fails. */
function rows(list: readonly (readonly number[])[], more: Omit<Question, "of" | "smaller">): Question {
  const make = (some: readonly (readonly number[])[]): Question => ({ ...more, of: [matrix(some)] });
  return { ...make(list), smaller: list.map((row) => make([row])) };
}

/** Values at drawn and at special rows, and gradients where they are easily got wrong. */
export function alongRows(
  attributes: EngineAttributes,
  {
    specials = SPECIAL_ROWS,
    far,
    ties = [],
  }: {
    readonly specials?: readonly (readonly number[])[];
    /** Where the value and the gradient exist but a formula may overflow or divide by 0 on the way to them. */
    readonly far?: readonly (readonly number[])[];
    /** Rows whose elements share a gradient of 1 where they have the value of the first. */
    readonly ties?: readonly (readonly number[])[];
  } = {},
): Question[] {
  const drawn: Question = { ...{ of: [[67, 29]], with: attributes, second: true }, values: "values" };
  const given = { with: attributes, gradients: null } as const;
  const edges: Question[] = far ? [rows(far, { with: attributes, values: "edges", gradients: "edges" })] : [];
  return [
    drawn,
    rows(specials, { ...given, values: "specials", name: "special numbers" }),
    ...edges.map((one) => ({ ...one, name: "far out" })),
    ...ties.map(
      (row): Question => ({
        ...{ of: [matrix([row])], with: attributes, values: null, gradients: "edges", plainSum: true },
        ...{ name: `at the tie ${row.join(", ")}`, otherwise: (found) => shared(row, found[0]) },
      }),
    ),
  ];
}

/** Whether the gradient of 1 is shared among the elements that equal the first. */
export function shared(row: readonly number[], { data }: PlainArray): boolean {
  const parts = Array.from(data);
  const inside = parts.every((x, n) => (row[n] === row[0] ? x >= 0 && x <= 1 : x === 0));
  return inside && Math.abs(total(parts) - 1) < 1e-6;
}
