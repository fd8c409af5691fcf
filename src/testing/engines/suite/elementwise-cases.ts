/** The cases of elementwise operations. */
import { broadcastShapes, sizeOf } from "../../../tensor/shape.ts";
import { Numbers } from "../draw.ts";
import type { EngineStep, PlainArray } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { Aspect, ConformanceCase } from "./case.ts";
import { ELEMENTWISE_ROWS } from "./elementwise.ts";

/** Both zeros and infinities, NaN, whole and half numbers, the largest and small ones of float32. */
const SPECIAL = [NaN, Infinity, -Infinity, -0, 0, 1, -1, 0.5, -2, 3.4028234663852886e38, -3.4028234663852886e38, 1e-30];

const ONE: readonly (readonly number[])[] = [[], [1], [3, 5], [2, 3, 4], [2, 1, 2, 3], [1030], [0], [2, 0, 3]];
const TWO: readonly (readonly (readonly number[])[])[] = [
  [[], []],
  [[3, 5], []],
  [[], [4]],
  [
    [3, 1],
    [1, 4],
  ],
  [[4], [3, 4]],
  [
    [2, 3, 4],
    [3, 1],
  ],
  [
    [2, 1, 3],
    [1, 4, 1],
  ],
  [[1030], [1030]],
  [
    [5, 103],
    [5, 1],
  ],
  [[0], [1]],
  [
    [2, 0],
    [2, 1],
  ],
];

const SMALL = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-10, 1e-20].flatMap((x) => [x, -x]).map(Math.fround);

/** All cases of one row. */
export function elementwiseCases(seed: number, stream: number, operation: string): ConformanceCase[] {
  const row = ELEMENTWISE_ROWS[operation];
  const draw = new Numbers(seed, stream);
  const arity = row.domain.length;
  const steps: EngineStep[] = [{ op: operation, of: [...row.domain.keys()] }];
  const outputs = [arity];
  const differentiable = row.differentiable ?? true;

  const known = (operands: readonly PlainArray[]): PlainArray[] | undefined => {
    const { plain: formula } = row;
    if (!formula) return undefined;
    return [
      plain(
        Array.from(operands[0].data, (_, i) => formula(...operands.map(({ data }) => data[i]))),
        operands[0].shape,
      ),
    ];
  };
  const ordinary = row.domain.map(([low, high]) => Math.fround(low + (high - low) * 0.7));
  /** Each point alone, then beside an ordinary one: arrays of one element may go another way. */
  const fewer = (
    points: readonly (readonly number[])[],
    make: (points: readonly (readonly number[])[]) => ConformanceCase,
  ) => [points.map((point) => make([point])), points.map((point) => make([point, ordinary]))];
  /** Operands of single points, as arrays of one axis. */
  const columns = (points: readonly (readonly number[])[]): PlainArray[] =>
    [...row.domain.keys()].map((n) =>
      plain(
        points.map((point) => Math.fround(point[n])),
        [points.length],
      ),
    );
  const values = (
    aspect: Aspect,
    name: string,
    points: readonly (readonly number[])[],
    more: Partial<ConformanceCase> = {},
  ): ConformanceCase => {
    const inputs = columns(points);
    return {
      ...{ operation, aspect, name, request: { inputs, steps, outputs }, outputs: known(inputs) },
      ...more,
      smaller: points.length > 1 ? () => fewer(points, (few) => values(aspect, name, few, more)) : undefined,
    };
  };
  const slopes = (
    aspect: Aspect,
    name: string,
    points: readonly (readonly number[])[],
    more: Partial<ConformanceCase> = {},
  ): ConformanceCase => ({
    ...{ operation, aspect, name },
    request: {
      ...{ inputs: columns(points), steps, outputs },
      gradient: {
        of: [...row.domain.keys()],
        cotangents: [
          plain(
            points.map(() => 1),
            [points.length],
          ),
        ],
      },
    },
    ...more,
    smaller: points.length > 1 ? () => fewer(points, (few) => slopes(aspect, name, few, more)) : undefined,
  });
  const drawn = (shapes: readonly (readonly number[])[]): PlainArray[] =>
    shapes.map((shape, n) => plain(draw.floats(sizeOf(shape), row.domain[n]), shape));

  const points = Array.from({ length: 67 }, () => row.domain.map((interval) => draw.floats(1, interval)[0]));
  const cases: ConformanceCase[] = [values("values", "of its domain", points)];
  if (row.small) {
    cases.push(
      values(
        "values",
        "near 0",
        SMALL.map((x) => [x]),
        { absolute: 0, relative: 2e-4 },
      ),
    );
  }
  if (row.points) cases.push(values("values", "far out", row.points, { absolute: 1e-4, signed: row.signed }));

  const shapes = arity === 1 ? ONE.map((shape) => [shape]) : TWO;
  for (const one of shapes) {
    const inputs = drawn(one);
    cases.push({
      operation,
      aspect: one.some((s) => sizeOf(s) === 0) ? "empty" : "shapes",
      name: one.map((s) => `[${s}]`).join(" "),
      request: { inputs, steps, outputs },
    });
  }

  if (row.plain && (row.specials ?? true)) {
    const { most = Infinity } = row;
    const single = SPECIAL.filter((x) => !Number.isFinite(x) || Math.abs(x) <= most);
    const list = arity === 1 ? single.map((x) => [x]) : single.flatMap((x) => single.map((y) => [x, y]));
    cases.push(values("specials", "special operands", list, { signed: row.signed }));
  }

  if (!differentiable) return cases;
  cases.push(slopes("gradients", "in its domain", points));
  for (const list of shapes) {
    const inputs = drawn(list);
    const result = broadcastShapes("conformance", ...list);
    if (sizeOf(result) === 0) continue;
    const cotangents = [plain(draw.weights(sizeOf(result)), result)];
    const gradient = { of: [...row.domain.keys()], cotangents };
    const name = list.map((s) => `[${s}]`).join(" ");
    cases.push({ operation, aspect: "gradients", name, scaled: true, request: { inputs, steps, outputs, gradient } });
  }
  if (row.far) cases.push(slopes("edges", "far out", row.far, { absolute: 1e-9 }));
  for (const { at, between } of row.kinks ?? []) {
    cases.push(
      slopes("edges", `at the kink ${at.join(", ")}`, [at], { otherwise: (found) => subgradient(found, between) }),
    );
  }
  const few = points.slice(0, 5);
  const directions = row.domain.map(() => plain(draw.weights(few.length), [few.length]));
  const cotangents = [plain(draw.weights(few.length), [few.length])];
  const gradient = { of: [...row.domain.keys()], cotangents, directions };
  const second = { operation, aspect: "second", relative: 5e-5, absolute: 5e-6 } as const;
  cases.push({ ...second, name: "in its domain", request: { inputs: columns(few), steps, outputs, gradient } });
  // Where the operation's own share is lost, the product's is left, and nothing is refused.
  const product: EngineStep[] = [...steps, { op: "mul", of: [0, arity] }];
  cases.push({
    ...{ ...second, name: "times its operand", scaled: true },
    request: { inputs: columns(few), steps: product, outputs: [arity + 1], gradient },
  });
  return cases;
}

/** Between the slopes of both sides; of two equal operands the shares come to 1. */
function subgradient(
  found: readonly PlainArray[],
  between: readonly (readonly [low: number, high: number])[],
): boolean {
  const shares = found.map(({ data }) => data[0]);
  const inside = shares.every((x, n) => x >= between[n][0] - 1e-6 && x <= between[n][1] + 1e-6);
  return inside && (shares.length === 1 || Math.abs(shares[0] + shares[1] - 1) < 1e-6);
}
