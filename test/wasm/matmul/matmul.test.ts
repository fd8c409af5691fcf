/**
 * Matrix products of the cpu device against float64 loops: random sizes and strides, every way of reading and packing
 * operands, blocks of every size, epilogues, and any division of the units.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { wasmFeatures } from "../../../src/wasm/assembler/features.ts";
import type { Value } from "../../../src/wasm/assembler/instructions.ts";
import { f32x4, i32, v128 } from "../../../src/wasm/assembler/instructions.ts";
import type { KernelContext } from "../../../src/wasm/kernel.ts";
import type { Blocks } from "../../../src/wasm/matmul/blocks.ts";
import { chooseBlocks } from "../../../src/wasm/matmul/blocks.ts";
import type { Operand, Product } from "../../../src/wasm/matmul/product.ts";
import { productKernels } from "../../../src/wasm/matmul/matmul.ts";
import { runLowering } from "../run-lowering.ts";

/** How an operand [batch, outer, k] lies in its buffer: elements between neighbours, and what is done to each. */
interface Layout {
  readonly outer: number;
  readonly k: number;
  readonly batch: number;
  readonly words: number;
  readonly kind: Kind;
}

/**
 * A plain view; elements computed while packing (doubled, plus one); or a view whose addresses are a row's and a step's,
 * said to have neighbours along k or along the other axis, which need not be so.
 */
const KINDS = ["plain", "computed", "separable along k", "separable along rows"] as const;
type Kind = (typeof KINDS)[number];

const offsetOf = (l: Layout, b: number, o: number, k: number): number => b * l.batch + o * l.outer + k * l.k;

/** @param gap elements left out between rows, which a plain view may have */
function layout(batch: number, outer: number, k: number, transposed: boolean, gap: number, kind: Kind): Layout {
  const [inner, rows] = transposed ? [outer, k] : [k, outer];
  const line = inner + gap;
  const strides = transposed ? { outer: 1, k: line } : { outer: line, k: 1 };
  return { ...strides, batch: rows * line, words: batch * rows * line, kind };
}

function operand(input: number, l: Layout): Operand {
  const at = (context: KernelContext, batch: Value, outer: Value, k: Value): Value => {
    const inside = i32.add(i32.mul(outer, i32.const(l.outer)), i32.mul(k, i32.const(l.k)));
    return i32.add(context.input(input), i32.shl(i32.add(i32.mul(batch, i32.const(l.batch)), inside), i32.const(2)));
  };
  if (l.kind === "plain") {
    return {
      plain: { outer: 4 * l.outer, k: 4 * l.k },
      address: (_, context, batch) => at(context, batch, i32.const(0), i32.const(0)),
    };
  }
  if (l.kind.startsWith("separable")) {
    return {
      separable: (_, context, batch) => ({
        lanes: l.kind === "separable along k" ? "k" : "outer",
        outer: (place) => at(context, batch, place, i32.const(0)),
        k: (place) => i32.mul(place, i32.const(4 * l.k)),
      }),
    };
  }
  const change = (x: Value): Value => f32x4.add(f32x4.mul(x, f32x4.const(2)), f32x4.const(1));
  const lanes = l.k === 1 ? "k" : "outer";
  return {
    lanes,
    elements: (_, context, batch) => ({
      lanes,
      line: (line, body) =>
        body((place) =>
          change(v128.load(lanes === "k" ? at(context, batch, line, place) : at(context, batch, place, line))),
        ),
    }),
  };
}

interface Case {
  readonly product: Product;
  readonly inputs: readonly Float32Array[];
  readonly expected: Float64Array;
}

interface Sizes {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** @param epilogue whether C goes through one (tripled, minus one) */
function makeCase({ batch, m, n, k }: Sizes, a: Layout, b: Layout, epilogue: boolean, seed: number): Case {
  let state = seed | 1;
  const random = (): number => {
    state = Math.imul(state, 1664525) + 1013904223;
    return (state >>> 8) / 2 ** 24 - 0.5;
  };
  const inputs = [a, b].map((l) => Float32Array.from({ length: l.words }, random));
  const expected = new Float64Array(batch * m * n);
  const read = (which: 0 | 1, l: Layout, at: number): number =>
    l.kind === "computed" ? 2 * inputs[which][at] + 1 : inputs[which][at];
  for (let bi = 0; bi < batch; bi++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let s = 0; s < k; s++) sum += read(0, a, offsetOf(a, bi, i, s)) * read(1, b, offsetOf(b, bi, j, s));
        expected[(bi * m + i) * n + j] = epilogue ? 3 * sum - 1 : sum;
      }
    }
  }
  const cAt = (context: KernelContext, batchAt: Value, row: Value, column: Value): Value => {
    const line = i32.mul(i32.add(i32.mul(batchAt, i32.const(m)), row), i32.const(n));
    return i32.add(context.output(0), i32.shl(i32.add(line, column), i32.const(2)));
  };
  const product: Product = {
    name: "test",
    batch,
    m,
    n,
    k,
    a: operand(0, a),
    b: operand(1, b),
    c: {
      address: epilogue ? undefined : (_, context, batchAt) => cAt(context, batchAt, i32.const(0), i32.const(0)),
      store: (f, context, { batch: batchAt, m0, n0, rows, columns }, from, stride) => {
        f.for(i32.const(0), rows, 1, (row) =>
          f.for(i32.const(0), columns, 1, (column) => {
            const line = i32.add(from, i32.mul(row, i32.const(stride)));
            const x = v128.load32Zero(i32.add(line, i32.shl(column, i32.const(2))));
            const changed = epilogue ? f32x4.sub(f32x4.mul(x, f32x4.const(3)), f32x4.const(1)) : x;
            f.store32Lane(cAt(context, batchAt, i32.add(m0, row), i32.add(n0, column)), changed, 0);
          }),
        );
      },
    },
  };
  return { product, inputs, expected };
}

function check(
  { product, inputs, expected }: Case,
  blocks: Blocks,
  options: { split?: number; relaxed?: boolean; wide?: boolean; tall?: boolean } = {},
): Float32Array {
  const features = {
    ...wasmFeatures(),
    ...(options.relaxed === false ? { relaxedSimd: false } : {}),
    wide: options.wide ?? false,
    tall: options.tall ?? false,
  };
  const lowering = productKernels(product, blocks);
  const [result] = runLowering(lowering, inputs, [expected.length], { split: options.split, features });
  // Of sums of k products, each below 2.25 (computed elements reach 2 and 1.5).
  const bound = 3 * 2 ** -24 * 4.5 * product.k * Math.sqrt(product.k) + 1e-6;
  expected.forEach((x, i) => {
    if (!(Math.abs(result[i] - x) <= bound)) {
      const { batch, m, n, k } = product;
      const sizes = `${batch} x [${m}, ${k}] x [${k}, ${n}]`;
      assert.fail(`${sizes} in ${JSON.stringify(blocks)}: element ${i} is ${result[i]}, not ${x}`);
    }
  });
  return result;
}

const sizes = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  m: fc.integer({ min: 1, max: 40 }),
  n: fc.integer({ min: 1, max: 40 }),
  k: fc.integer({ min: 1, max: 50 }),
});
const layoutOf = fc.record({ transposed: fc.boolean(), gap: fc.nat(3), kind: fc.constantFrom(...KINDS) });
const blocking = fc.record({
  rows: fc.integer({ min: 1, max: 12 }).map((x) => 4 * x),
  columns: fc.integer({ min: 1, max: 6 }).map((x) => 8 * x),
  depth: fc.integer({ min: 1, max: 15 }).map((x) => 4 * x),
  pack: fc.boolean(),
  b: fc.constantFrom("direct", "packed"),
});
const arbitrary = fc.record({
  sizes,
  a: layoutOf,
  b: layoutOf,
  epilogue: fc.boolean(),
  seed: fc.nat(),
  blocking,
  split: fc.integer({ min: 1, max: 5 }),
  relaxed: fc.boolean(),
  wide: fc.boolean(),
  tall: fc.boolean(),
});

interface Drawn {
  readonly sizes: Sizes;
  readonly a: LayoutChoice;
  readonly b: LayoutChoice;
  readonly epilogue: boolean;
  readonly seed: number;
}

function caseOf(drawn: Drawn): { made: Case; a: Layout; b: Layout } {
  const { batch, m, n, k } = drawn.sizes;
  const a = layout(batch, m, k, drawn.a.transposed, drawn.a.gap, drawn.a.kind);
  const b = layout(batch, n, k, drawn.b.transposed, drawn.b.gap, drawn.b.kind);
  return { made: makeCase(drawn.sizes, a, b, drawn.epilogue, drawn.seed), a, b };
}

type LayoutChoice = { readonly transposed: boolean; readonly gap: number; readonly kind: Kind };

describe("matrix products of the cpu device", () => {
  test("equal float64 loops, cut as chosen", () => {
    fc.assert(
      fc.property(arbitrary, (drawn) => {
        const { made } = caseOf(drawn);
        check(made, chooseBlocks(made.product), drawn);
      }),
      { numRuns: 80 },
    );
  });

  test("equal float64 loops, cut and packed in any way, and give the same bits for the same blocks of k", () => {
    fc.assert(
      fc.property(arbitrary, (drawn) => {
        const { made, a, b } = caseOf(drawn);
        const { rows, columns, depth, pack } = drawn.blocking;
        const { m, n, k } = drawn.sizes;
        const readable = b.kind === "plain" && b.outer === 1 && n % 8 === 0;
        const blocks: Blocks = {
          rows,
          columns,
          depth,
          parts: 1,
          partSteps: k,
          rowBlocks: Math.ceil(m / rows),
          columnBlocks: Math.ceil(n / columns),
          a: pack || a.kind !== "plain" ? "packed" : "direct",
          b: readable && drawn.blocking.b === "direct" ? "direct" : "packed",
        };
        const cut = check(made, blocks, drawn);
        const whole = { ...chooseBlocks(made.product), depth, parts: 1, partSteps: k };
        assert.deepEqual(cut, check(made, whole, { relaxed: drawn.relaxed }));
      }),
      { numRuns: 120 },
    );
  });

  test("parts of k, of any size, add up", () => {
    fc.assert(
      fc.property(arbitrary, fc.integer({ min: 1, max: 3 }), (drawn, depths) => {
        const { made } = caseOf(drawn);
        const { k } = drawn.sizes;
        const partSteps = depths * drawn.blocking.depth;
        const chosen = chooseBlocks(made.product);
        const blocks = { ...chosen, depth: drawn.blocking.depth, parts: Math.ceil(k / partSteps), partSteps };
        const whole = check(made, blocks, { relaxed: drawn.relaxed });
        assert.deepEqual(check(made, blocks, drawn), whole);
      }),
      { numRuns: 80 },
    );
  });

  test("few rows times columns that are rows in memory are read where they stand, with the bits of a copy", () => {
    for (const m of [1, 2, 3, 4]) {
      for (const [n, k, gap] of [
        [8, 1, 1],
        [24, 3, 2],
        [40, 6, 0],
        [16, 129, 1],
        [32, 900, 0],
      ] as const) {
        for (const transposed of [false, true]) {
          const [a, b] = [layout(2, m, k, transposed, gap, "plain"), layout(2, n, k, false, gap, "plain")];
          const made = makeCase({ batch: 2, m, n, k }, a, b, m % 2 === 0, 100 * m + k);
          const chosen = chooseBlocks(made.product);
          assert.equal(chosen.b, "rows", `${m}x${n}x${k}`);
          const copied = check(made, { ...chosen, b: "packed" });
          for (const wide of [false, true]) {
            for (const relaxed of [false, true]) {
              const found = check(made, chosen, { wide, relaxed });
              assert.deepEqual(found, relaxed ? copied : check(made, { ...chosen, b: "packed" }, { relaxed }));
            }
          }
        }
      }
    }
    const wide = makeCase(
      { batch: 1, m: 5, n: 16, k: 9 },
      layout(1, 5, 9, false, 0, "plain"),
      layout(1, 16, 9, false, 0, "plain"),
      false,
      1,
    );
    assert.equal(chooseBlocks(wide.product).b, "packed");
  });

  test("panels of six rows are packed from rows of memory and from columns, with the bits of panels of four", () => {
    for (const transposed of [false, true]) {
      for (const [m, n, k] of [
        [12, 16, 9],
        [31, 40, 14],
        [64, 8, 5],
      ] as const) {
        for (const kind of KINDS) {
          const a = layout(2, m, k, transposed, 1, kind);
          const made = makeCase({ batch: 2, m, n, k }, a, layout(2, n, k, true, 0, "plain"), false, m);
          const blocks: Blocks = { ...chooseBlocks(made.product), a: "packed" };
          const four = check(made, blocks);
          for (const wide of [false, true]) assert.deepEqual(check(made, blocks, { wide, tall: true }), four);
        }
      }
    }
  });

  for (const [name, s, transposed] of [
    ["more rows and columns than a block", { batch: 1, m: 270, n: 530, k: 20 }, [false, true]],
    ["more steps of k than a block", { batch: 2, m: 9, n: 17, k: 1500 }, [true, false]],
    ["a small product of many steps", { batch: 2, m: 30, n: 21, k: 2600 }, [true, false]],
    ["a matrix and a vector", { batch: 1, m: 300, n: 1, k: 129 }, [false, false]],
    ["a vector and a matrix", { batch: 1, m: 1, n: 300, k: 129 }, [false, true]],
    ["many small matrices", { batch: 64, m: 7, n: 5, k: 3 }, [false, true]],
  ] as const) {
    test(name, () => {
      const a = layout(s.batch, s.m, s.k, transposed[0], 0, "plain");
      const b = layout(s.batch, s.n, s.k, transposed[1], 0, "plain");
      const made = makeCase(s, a, b, false, 7);
      const narrow = check(made, chooseBlocks(made.product));
      for (const tall of [false, true])
        assert.deepEqual(check(made, chooseBlocks(made.product), { wide: true, tall }), narrow);
    });
  }
});
