/** Which loop variables a value or an index of a kernel depends on, and how it changes from lane to lane. */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import type { IntExpr, Term } from "../../compiler/int-expr.ts";
import { dependencies, factorOf, substitute } from "../../compiler/int-expr.ts";

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
  readonly #variables = new Map<number, ReadonlySet<string>>();
  readonly #namesOfIndex = new Map<string, ReadonlySet<string>>();
  readonly #namesOfVariable = new Map<string, ReadonlySet<string>>();

  constructor(exprs: ExprBuilder, vector?: LaneVariable, substitution?: ReadonlyMap<string, IntExpr>) {
    this.#exprs = exprs;
    this.#vector = vector;
    this.#substitution = substitution;
  }

  /** A kernel's index in terms of the variables that are bound. */
  resolve(index: IntExpr): IntExpr {
    const substitution = this.#substitution;
    if (!substitution) return index;
    let resolved = this.#indices.get(index.key);
    if (!resolved) this.#indices.set(index.key, (resolved = substitute(index, (name) => substitution.get(name))));
    return resolved;
  }

  /** Bound variables that a value depends on. */
  variablesOf(expr: Expr): ReadonlySet<string> {
    let names = this.#variables.get(expr.id);
    if (names) return names;
    const found = new Set<string>();
    if (expr.kind === "result") {
      found.add(resultName(expr.number));
      if (this.#vector?.results) found.add(this.#vector.name);
    }
    for (const index of indicesOf(expr)) for (const name of this.indexVariables(this.resolve(index))) found.add(name);
    if ("args" in expr) for (const arg of expr.args) for (const name of this.variablesOf(arg)) found.add(name);
    this.#variables.set(expr.id, (names = found));
    return names;
  }

  /** Bound variables that an index depends on, those of its run-time values too. */
  indexVariables(resolved: IntExpr): ReadonlySet<string> {
    let names = this.#namesOfIndex.get(resolved.key);
    if (!names)
      this.#namesOfIndex.set(
        resolved.key,
        (names = new Set(resolved.terms.flatMap((t) => [...this.termVariables(t)]))),
      );
    return names;
  }

  /** Bound variables that a term of an index depends on. */
  termVariables({ atom, key }: Term): ReadonlySet<string> {
    if (atom.kind === "value") return this.variablesOf(this.#exprs.byId(atom.id));
    if (atom.kind !== "variable") return this.indexVariables(atom.of);
    let names = this.#namesOfVariable.get(key);
    if (!names) this.#namesOfVariable.set(key, (names = new Set([atom.name])));
    return names;
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

/** Indices in an expression itself. */
export function indicesOf(expr: Expr): readonly IntExpr[] {
  switch (expr.kind) {
    case "load":
    case "parameter":
    case "index":
    case "bits":
      return [expr.index];
    case "guard":
      return expr.conditions.map((c) => c.expr);
    case "choose":
      return [expr.position];
    default:
      return [];
  }
}

/** Whether an expression takes its arguments for all lanes, or for none. */
export function choosesWhole(expr: Expr, dependence: Dependence): boolean {
  const chooses = expr.kind === "guard" || expr.kind === "choose";
  return !chooses || indicesOf(expr).every((index) => dependence.step(dependence.resolve(index)) === 0);
}
