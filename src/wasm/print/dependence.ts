/** Which loop variables a value or an index of a kernel depends on, and how it changes from lane to lane. */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import { indicesOf } from "../../compiler/expr.ts";
import type { IntExpr, Term } from "../../compiler/int-expr.ts";
import { dependencies, factorOf, substitute } from "../../compiler/int-expr.ts";
import { getOrCompute, memo } from "../../compiler/memo.ts";

/** The loop variable that counts in fours, always a multiple of 4. */
export interface LaneVariable {
  readonly name: string;
  /** It runs over 0…size−1; the last four may be fewer. */
  readonly size: number;
  /** Set where all four lanes are always within the size. */
  readonly whole?: boolean;
  /** Set where the kernel's reductions or products are of four neighbours too, one a lane. */
  readonly results?: boolean;
}

/** Where the value of a kernel's reduction or product of this number stands among the variables. */
export const resultName = (number: number): string => `=${number}`;

export class Dependence {
  readonly #exprs: ExprBuilder;
  readonly #vector?: LaneVariable;
  readonly #substitution?: ReadonlyMap<string, IntExpr>;
  readonly #indices = new Map<string, IntExpr>();
  readonly #namesOfIndex = new Map<string, ReadonlySet<string>>();
  readonly #namesOfVariable = memo(new Map<string, ReadonlySet<string>>(), (name) => new Set([name]));
  /** Bound variables that a value depends on. */
  readonly variablesOf = memo(new Map<Expr, ReadonlySet<string>>(), (expr) => {
    const names = indicesOf(expr).map((index) => this.indexVariables(this.resolve(index)));
    if ("args" in expr) names.push(...expr.args.map(this.variablesOf));
    const found = new Set(names.flatMap((own) => [...own]));
    if (expr.kind === "result") {
      found.add(resultName(expr.number));
      if (this.#vector?.results) found.add(this.#vector.name);
    }
    return found;
  });

  constructor(exprs: ExprBuilder, vector?: LaneVariable, substitution?: ReadonlyMap<string, IntExpr>) {
    this.#exprs = exprs;
    this.#vector = vector;
    this.#substitution = substitution;
  }

  /** A kernel's index in terms of the variables that are bound. */
  resolve(index: IntExpr): IntExpr {
    const substitution = this.#substitution;
    if (!substitution) return index;
    return getOrCompute(this.#indices, index.key, () => substitute(index, (name) => substitution.get(name)));
  }

  /** Bound variables that an index depends on, those of its run-time values too. */
  indexVariables(resolved: IntExpr): ReadonlySet<string> {
    const names = () => new Set(resolved.terms.flatMap((t) => [...this.termVariables(t)]));
    return getOrCompute(this.#namesOfIndex, resolved.key, names);
  }

  /** Bound variables that a term of an index depends on. */
  termVariables({ atom }: Term): ReadonlySet<string> {
    if (atom.kind === "value") return this.variablesOf(this.#exprs.byId(atom.id));
    return atom.kind === "variable" ? this.#namesOfVariable(atom.name) : this.indexVariables(atom.of);
  }

  /** Elements from one lane's to the next one's; undefined where that is no constant. */
  step(resolved: IntExpr): number | undefined {
    const vector = this.#vector;
    if (!vector) return 0;
    const { values } = dependencies(resolved);
    for (const id of values) if (this.variablesOf(this.#exprs.byId(id)).has(vector.name)) return undefined;
    return factorOf(resolved, vector.name);
  }
}

/** Whether an expression takes its arguments for all lanes, or for none. */
export function choosesWhole(expr: Expr, dependence: Dependence): boolean {
  const chooses = expr.kind === "guard" || expr.kind === "choose";
  return !chooses || indicesOf(expr).every((index) => dependence.step(dependence.resolve(index)) === 0);
}
