/** Symbolic indices against ordinary integer arithmetic, at every value of their variables. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { moveIndex } from "../../src/compiler/access.ts";
import type { IntExpr } from "../../src/compiler/int-expr.ts";
import {
  add,
  dependencies,
  div,
  factorOf,
  flatten,
  int,
  isMultiple,
  loopVariable,
  mod,
  runtimeValue,
  scale,
  sub,
  substitute,
  unflatten,
} from "../../src/compiler/int-expr.ts";
import { isMovement } from "../../src/tensor/node.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import { property } from "../support/helpers.ts";
import { drawMovement, MOVEMENTS } from "../support/movements.ts";

type Values = Readonly<Record<string, number>>;

/** The value of an expression, from its terms. */
function evaluate(x: IntExpr, at: Values): number {
  return x.terms.reduce((sum, { atom, factor }) => {
    switch (atom.kind) {
      case "variable":
        return sum + factor * at[atom.name];
      case "value":
        return sum + factor * at[`#${atom.id}`];
      case "div":
        return sum + factor * Math.floor(evaluate(atom.of, at) / atom.by);
      case "mod":
        return sum + factor * (evaluate(atom.of, at) % atom.by);
    }
  }, x.constant);
}

/** An expression, and the same computed with numbers. Quotients and remainders are taken of what is not negative. */
interface Both {
  readonly expr: IntExpr;
  value(at: Values): number;
  readonly text: string;
}

const SIZES = { i: 12, j: 5, k: 4, "#3": 7 } as const;

function drawBoth(draw: Draw, depth: number): Both {
  if (depth === 0 || draw.chance(0.15)) {
    if (draw.chance(0.25)) {
      const c = draw.int(0, 30);
      return { expr: int(c), value: () => c, text: String(c) };
    }
    const name = draw.pick(["i", "j", "k", "#3"] as const);
    return {
      expr: name === "#3" ? runtimeValue(3, SIZES[name] - 1) : loopVariable(name, SIZES[name]),
      value: (at) => at[name],
      text: name,
    };
  }
  const a = drawBoth(draw, depth - 1);
  switch (draw.int(0, 4)) {
    case 0: {
      const b = drawBoth(draw, depth - 1);
      return { expr: add(a.expr, b.expr), value: (at) => a.value(at) + b.value(at), text: `(${a.text} + ${b.text})` };
    }
    case 1: {
      const factor = draw.pick([1, 2, 3, 4, 6, 12, 20]);
      return { expr: scale(a.expr, factor), value: (at) => a.value(at) * factor, text: `${a.text}·${factor}` };
    }
    case 2: {
      // Kept from being negative by the largest value of what is taken away.
      const b = drawBoth(draw, depth - 1);
      const lift = b.expr.max;
      return {
        expr: add(sub(a.expr, b.expr), int(lift)),
        value: (at) => a.value(at) - b.value(at) + lift,
        text: `(${a.text} − ${b.text} + ${lift})`,
      };
    }
    case 3: {
      const by = draw.pick([1, 2, 3, 4, 5, 6, 8, 12, 20, 60]);
      if (a.expr.min < 0) return a;
      return { expr: div(a.expr, by), value: (at) => Math.floor(a.value(at) / by), text: `⌊${a.text}/${by}⌋` };
    }
    default: {
      const by = draw.pick([1, 2, 3, 4, 5, 6, 8, 12, 20, 60]);
      if (a.expr.min < 0) return a;
      return { expr: mod(a.expr, by), value: (at) => a.value(at) % by, text: `(${a.text} mod ${by})` };
    }
  }
}

function* everywhere(): Generator<Values> {
  for (let i = 0; i < SIZES.i; i++) {
    for (let j = 0; j < SIZES.j; j++)
      for (let k = 0; k < SIZES.k; k++) for (let v = 0; v < SIZES["#3"]; v++) yield { i, j, k, "#3": v };
  }
}

describe("index expressions", () => {
  test("simplified sums, quotients and remainders keep their values, and their ranges hold", () =>
    property(400, (draw) => {
      const both = drawBoth(draw, draw.int(1, 6));
      for (const at of everywhere()) {
        const found = evaluate(both.expr, at);
        assert.equal(found, both.value(at), `${both.text} became ${both.expr.key} at ${JSON.stringify(at)}`);
        assert.ok(
          found >= both.expr.min && found <= both.expr.max,
          `${both.text}: ${found} outside ${both.expr.min}..${both.expr.max}`,
        );
      }
    }));

  test("equal keys are equal values; substitution is evaluation", () =>
    property(200, (draw) => {
      const both = drawBoth(draw, draw.int(1, 5));
      const j = draw.int(0, SIZES.j - 1);
      const fixed = substitute(both.expr, (name) =>
        name === "j" ? int(j) : name === "i" ? add(scale(loopVariable("k", SIZES.k), 3), int(0)) : undefined,
      );
      assert.ok(!dependencies(fixed).names.has("j") && !dependencies(fixed).names.has("i"));
      for (const at of everywhere()) {
        if (at.j !== j || at.i !== 3 * at.k) continue;
        assert.equal(evaluate(fixed, at), both.value(at), `${both.text} with j = ${j}, i = 3k`);
      }
    }));

  test("a sum has each term once, in the order of their keys, and none of factor 0", () => {
    const [i, j, k] = ["i", "j", "k"].map((name) => loopVariable(name, 5));
    assert.equal(add(add(k, scale(j, 2)), add(i, j)).key, "1*i+3*j+1*k");
    assert.equal(add(add(i, k), sub(j, i)).key, "1*j+1*k");
  });

  test("factorOf and isMultiple say how an expression steps", () =>
    property(300, (draw) => {
      const both = drawBoth(draw, draw.int(1, 5));
      const factor = factorOf(both.expr, "k");
      const multiple = isMultiple(both.expr, 4, "k");
      for (const at of everywhere()) {
        if (factor !== undefined) {
          assert.equal(
            both.value({ ...at, k: 3 }) - both.value({ ...at, k: 0 }),
            3 * factor,
            `${both.text}: factor ${factor} of k`,
          );
        }
        if (multiple && at.k === 0) assert.equal(both.value(at) % 4, 0, `${both.text}: a multiple of 4 at k = 0`);
      }
    }));

  test("a flat index taken apart and put together is the same expression", () =>
    property(200, (draw) => {
      const shape = draw.shape({ minRank: 1, maxRank: 5, elements: 500 });
      const size = sizeOf(shape);
      const i = loopVariable("i", size);
      const index = unflatten(i, shape);
      assert.equal(flatten(index, shape).key, i.key, `shape ${shape.join("×")}`);
      let flat = 0;
      const visit = (axis: number, at: number[]): void => {
        if (axis < shape.length) {
          for (let n = 0; n < shape[axis]; n++) visit(axis + 1, [...at, n]);
          return;
        }
        assert.deepEqual(
          index.map((e) => evaluate(e, { i: flat })),
          at,
        );
        flat++;
      };
      visit(0, []);
    }));

  test("reshaping there and back leaves the plain loop variable, through permutations and splits too", () =>
    property(200, (draw) => {
      const shape = draw.shape({ minRank: 1, elements: 300 });
      const start = tensor(new Float32Array(sizeOf(shape)), { shape });
      const moves = Array.from({ length: draw.int(1, 3) }, () => draw.pick(["reshape", "flatten", "squeeze"] as const));
      let y = start;
      for (const kind of moves) y = drawMovement(draw, kind, y.shape).apply(y);
      const back = y.reshape([-1]);
      const i = loopVariable("i", sizeOf(shape));
      let [node, index] = [back.node, [i]];
      while (isMovement(node.op)) {
        const access = moveIndex(node.op, node.inputs[0].shape, node.shape, index);
        index = [...access.index];
        node = node.inputs[0];
      }
      assert.equal(flatten(index, node.shape).key, i.key);
    }));

  test("every movement op reads inside its input where its conditions hold", () =>
    property(150, (draw) => {
      const shape = draw.shape({ minRank: 1, elements: 60 });
      const x = tensor(new Float32Array(sizeOf(shape)), { shape });
      const moved = drawMovement(draw, draw.pick(MOVEMENTS), shape).apply(x);
      const { op } = moved.node;
      if (!isMovement(op)) return;
      const from = moved.node.inputs[0].shape;
      const size = sizeOf(moved.shape);
      const access = moveIndex(op, from, moved.shape, unflatten(loopVariable("i", size), moved.shape));
      for (let i = 0; i < size; i++) {
        const holds = access.conditions.every(({ expr, size: limit, step }) => {
          const v = evaluate(expr, { i });
          return v >= 0 && v < limit && v % step === 0;
        });
        if (holds)
          access.index.forEach((e, a) =>
            assert.ok(evaluate(e, { i }) >= 0 && evaluate(e, { i }) < from[a], `${op.kind}: axis ${a}`),
          );
      }
    }));
});
