/**
 * Indices and addresses as code: sums of terms, each computed in the outermost scope that knows its variables, so that a
 * loop's body adds only what changes within it.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import type { IntExpr, Term } from "../../compiler/int-expr.ts";
import { dependencies, loopVariable, substitute } from "../../compiler/int-expr.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, i32x4 } from "../assembler/instructions.ts";
import type { Dependence, LaneVariable } from "./dependence.ts";
import type { Scopes } from "./scopes.ts";

const laneName = (vector: string, lane: number): string => `${vector}@${lane}`;

interface IndexContext {
  readonly f: FunctionBuilder;
  readonly exprs: ExprBuilder;
  readonly vector?: LaneVariable;
  readonly scopes: Scopes;
  readonly dependence: Dependence;
  /** The four lanes of a value that an index takes at run time. */
  readonly value: (expr: Expr) => Value;
}

export class IndexPrinter {
  readonly #f: FunctionBuilder;
  readonly #exprs: ExprBuilder;
  readonly #vector?: LaneVariable;
  readonly #scopes: Scopes;
  readonly #dependence: Dependence;
  readonly #value: (expr: Expr) => Value;

  constructor({ f, exprs, vector, scopes, dependence, value }: IndexContext) {
    this.#f = f;
    this.#exprs = exprs;
    this.#vector = vector;
    this.#scopes = scopes;
    this.#dependence = dependence;
    this.#value = value;
  }

  /** An index as an i32, as a lane sees it. */
  index(resolved: IntExpr, lane: number): Value {
    return this.sum(i32.const(0), this.atLane(resolved, lane), 1, lane);
  }

  /** The index as the lane sees it: the vector variable becomes the lane's own. */
  atLane(resolved: IntExpr, lane: number): IntExpr {
    const vector = this.#vector;
    if (!vector || lane === 0) return resolved;
    const own = laneName(vector.name, lane);
    this.#bindLane(lane);
    return substitute(resolved, (name) => (name === vector.name ? loopVariable(own, vector.size) : undefined));
  }

  #bindLane(lane: number): void {
    const vector = this.#vector!;
    const first = this.#scopes.variable(vector.name);
    if (!first) return;
    const name = laneName(vector.name, lane);
    const at = i32.add(first, i32.const(lane));
    const known = this.#scopes.known(`lane ${name}`, [vector.name]);
    if (known) return;
    const value = vector.whole || vector.size % 4 === 0 ? this.#f.name(at) : this.#f.least(at, vector.size - 1);
    this.#scopes.setValue(`lane ${name}`, value);
    // Beside the variable itself, so that it has the lifetime of its value.
    this.#scopes.setBeside(vector.name, name, value);
  }

  /** base + unit·index, summed from the outermost scope inwards: of all terms, or of those whose variables are bound. */
  sum(base: Value, resolved: IntExpr, unit: number, lane: number, which: "all" | "bound" = "all"): Value {
    const levels: Term[][] = [];
    for (const term of resolved.terms) {
      const depth = this.#scopes.depthOf(this.#dependence.termVariables(term));
      if (depth === Infinity && which === "all") throw new Error(`internal: ${resolved.key} has no value`);
      if (depth !== Infinity) (levels[depth] ??= []).push(term);
    }
    let sum = i32.add(base, i32.const(unit * resolved.constant));
    let key = `sum ${base.code.join()} ${unit}:${resolved.constant}`;
    const names = new Set<string>();
    // Depths at which no term is known are holes, which forEach passes over.
    levels.forEach((terms) => {
      for (const t of terms) {
        key += `+${t.factor}*${t.key}`;
        for (const name of this.#dependence.termVariables(t)) names.add(name);
      }
      const laneKey = terms.some(takesValues) ? `@${lane}` : "";
      const before = sum;
      sum = this.#scopes.once(key + laneKey, names, () =>
        terms.reduce((total, t) => i32.add(total, this.#scaled(t, unit, lane)), before),
      );
    });
    return sum;
  }

  #scaled(term: Term, unit: number, lane: number): Value {
    const { atom, key, factor } = term;
    const value = this.atom(atom, key, lane);
    const by = factor * unit;
    if (value.constant !== undefined || by === 1) return i32.mul(value, i32.const(by));
    const laneKey = atom.kind === "variable" ? "" : `@${lane}`;
    return this.#scopes.once(`scaled ${key} ${by}${laneKey}`, this.#dependence.termVariables(term), () =>
      i32.mul(value, i32.const(by)),
    );
  }

  /** The value of a loop variable, a quotient, a remainder or a run-time value, as a lane sees it. */
  atom(atom: Term["atom"], key: string, lane: number): Value {
    switch (atom.kind) {
      case "variable": {
        const value = this.#scopes.variable(atom.name);
        if (!value) throw new Error(`internal: ${atom.name} has no value`);
        return value;
      }
      case "value": {
        const expr = this.#exprs.byId(atom.id);
        const varies = this.#vector !== undefined && this.#dependence.variablesOf(expr).has(this.#vector.name);
        const at = varies ? lane : 0;
        return this.#scopes.once(`extract ${atom.id}@${at}`, this.#dependence.variablesOf(expr), () =>
          i32x4.extract(this.#value(expr), at),
        );
      }
      default: {
        const inner = atom.of;
        const laneKey = dependencies(inner).values.size > 0 ? `@${lane}` : "";
        return this.#scopes.once(`atom ${key}${laneKey}`, this.#dependence.indexVariables(inner), () => {
          const of = this.sum(i32.const(0), inner, 1, lane);
          const by = i32.const(atom.by);
          if (isReliable(inner) && inner.min >= 0) return atom.kind === "div" ? i32.divU(of, by) : i32.remU(of, by);
          return atom.kind === "div" ? i32.divS(of, by) : i32.remS(of, by);
        });
      }
    }
  }
}

/** Whether a term depends on values of run time, which may differ from lane to lane. */
function takesValues({ atom }: Term): boolean {
  return atom.kind === "value" || (atom.kind !== "variable" && dependencies(atom.of).values.size > 0);
}

/** Whether the range of an index is what its bounds say: quotients and remainders are of numbers that are not negative. */
export function isReliable(index: IntExpr): boolean {
  return index.terms.every(({ atom }) =>
    atom.kind === "div" || atom.kind === "mod" ? atom.of.min >= 0 && isReliable(atom.of) : true,
  );
}
