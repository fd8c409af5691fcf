/**
 * Integer index expressions: sums of multiples of atoms, where an atom is a loop variable, a quotient or remainder of
 * another expression, or a value computed at run time.
 *
 * Views are folded into loads by rewriting indices, so everything rests on these expressions coming out simple: a
 * reshape there and back must end as the plain loop variable. The rules are the ordinary ones of floor division of
 * non-negative numbers; ranges of the atoms decide when they apply.
 */
import { memo } from "./memo.ts";

type Atom =
  | { readonly kind: "variable"; readonly name: string; readonly max: number }
  /** A run-time integer in 0..max, by the id of the expression that computes it. */
  | { readonly kind: "value"; readonly id: number; readonly max: number }
  | { readonly kind: "div"; readonly of: IntExpr; readonly by: number; readonly max: number }
  | { readonly kind: "mod"; readonly of: IntExpr; readonly by: number; readonly max: number };

export interface Term {
  readonly atom: Atom;
  readonly key: string;
  readonly factor: number;
}

export interface IntExpr {
  /** Sorted by key; factors are never 0. */
  readonly terms: readonly Term[];
  readonly constant: number;
  readonly min: number;
  readonly max: number;
  /** Equal keys: equal expressions. */
  readonly key: string;
}

function atomKey(atom: Atom): string {
  switch (atom.kind) {
    case "variable":
      return atom.name;
    case "value":
      return `#${atom.id}`;
    case "div":
      return `(${atom.of.key})/${atom.by}`;
    case "mod":
      return `(${atom.of.key})%${atom.by}`;
  }
}

function make(terms: readonly Term[], constant: number): IntExpr {
  let min = constant;
  let max = constant;
  let key = "";
  for (const { factor, atom, key: own } of terms) {
    key += `${key && "+"}${factor}*${own}`;
    if (factor > 0) max += factor * atom.max;
    else min += factor * atom.max;
  }
  return { terms, constant, min, max, key: constant || terms.length === 0 ? `${key}+${constant}` : key };
}

export const int = memo(new Map<number, IntExpr>(), (value) => make([], value));

function atomExpr(atom: Atom): IntExpr {
  return atom.max === 0 ? int(0) : make([{ atom, key: atomKey(atom), factor: 1 }], 0);
}

/** A loop variable that runs over 0..size−1. */
export function loopVariable(name: string, size: number): IntExpr {
  return atomExpr({ kind: "variable", name, max: size - 1 });
}

/** An integer computed at run time, in 0..max. */
export function runtimeValue(id: number, max: number): IntExpr {
  return make([{ atom: { kind: "value", id, max }, key: `#${id}`, factor: 1 }], 0);
}

export function add(a: IntExpr, b: IntExpr): IntExpr {
  if (a.terms.length === 0 && a.constant === 0) return b;
  if (b.terms.length === 0 && b.constant === 0) return a;
  // Terms of both are sorted.
  const terms: Term[] = [];
  let next = 0;
  for (const term of a.terms) {
    while (next < b.terms.length && b.terms[next].key < term.key) terms.push(b.terms[next++]);
    const same = b.terms[next]?.key === term.key ? b.terms[next++] : undefined;
    const factor = term.factor + (same?.factor ?? 0);
    if (factor !== 0) terms.push(same ? { ...term, factor } : term);
  }
  terms.push(...b.terms.slice(next));
  return normal(terms, a.constant + b.constant);
}

export function scale(a: IntExpr, factor: number): IntExpr {
  if (factor === 1) return a;
  if (factor === 0) return int(0);
  return make(
    a.terms.map((t) => ({ ...t, factor: t.factor * factor })),
    a.constant * factor,
  );
}

export function sub(a: IntExpr, b: IntExpr): IntExpr {
  return add(a, scale(b, -1));
}

/** Joins quotients with their remainders: c·(x mod k) + c·k·⌊x/k⌋ = c·x. */
function normal(terms: readonly Term[], constant: number): IntExpr {
  for (const low of terms) {
    if (low.atom.kind !== "mod") continue;
    const { of, by } = low.atom;
    for (const high of terms) {
      if (high === low || high.factor !== low.factor * by) continue;
      const quotient = div(of, by);
      const rest = terms.filter((t) => t !== low && t !== high);
      if (quotient.terms.length === 1 && quotient.constant === 0 && quotient.terms[0].factor === 1) {
        if (quotient.key === `1*${high.key}`) return add(make(rest, constant), scale(of, low.factor));
        if (high.atom.kind === "mod" && high.atom.of.key === quotient.key) {
          return add(make(rest, constant), scale(mod(of, by * high.atom.by), low.factor));
        }
      }
    }
  }
  return make(terms, constant);
}

function gcd(a: number, b: number): number {
  return b === 0 ? Math.abs(a) : gcd(b, a % b);
}

function floorMod(a: number, b: number): number {
  return ((a % b) + b) % b;
}

/** x = g·high + low with 0 ≤ low < g, for a divisor g > 1 of `k`, where there is one. */
function splitByDivisor(x: IntExpr, k: number): { g: number; high: IntExpr; low: IntExpr } | undefined {
  const divisors = x.terms.map((t) => gcd(t.factor, k)).filter((g) => g > 1);
  for (const g of divisors.sort((a, b) => b - a)) {
    const lowConstant = floorMod(x.constant, g);
    const low = make(
      x.terms.filter((t) => t.factor % g !== 0),
      lowConstant,
    );
    if (low.min < 0 || low.max >= g) continue;
    const high = make(
      x.terms.filter((t) => t.factor % g === 0).map((t) => ({ ...t, factor: t.factor / g })),
      (x.constant - lowConstant) / g,
    );
    return { g, high, low };
  }
  return undefined;
}

/** ⌊x / k⌋ for x ≥ 0, k ≥ 1. */
export function div(x: IntExpr, k: number): IntExpr {
  if (k === 1) return x;
  if (x.min >= 0 && x.max < k) return int(0);
  if (x.terms.length === 0) return int(Math.floor(x.constant / k));
  const split = splitByDivisor(x, k);
  if (split) {
    const inner = k / split.g;
    if (inner === 1) return split.high;
    if (split.high.min >= 0) return div(split.high, inner);
  }
  // Whole multiples of k leave the quotient, where what remains is not negative.
  const whole = x.terms.filter((t) => t.factor % k === 0);
  const rest = make(
    x.terms.filter((t) => t.factor % k !== 0),
    floorMod(x.constant, k),
  );
  if (rest.min >= 0 && (whole.length > 0 || rest.constant !== x.constant)) {
    const quotient = make(
      whole.map((t) => ({ ...t, factor: t.factor / k })),
      (x.constant - rest.constant) / k,
    );
    return add(quotient, div(rest, k));
  }
  const only = x.terms.length === 1 && x.constant === 0 && x.terms[0].factor === 1 ? x.terms[0].atom : undefined;
  if (only?.kind === "div") return div(only.of, only.by * k);
  return atomExpr({ kind: "div", of: x, by: k, max: Math.max(0, Math.floor(x.max / k)) });
}

/** x mod k for x ≥ 0, k ≥ 1. */
export function mod(x: IntExpr, k: number): IntExpr {
  if (k === 1) return int(0);
  if (x.min >= 0 && x.max < k) return x;
  if (x.terms.length === 0) return int(floorMod(x.constant, k));
  const split = splitByDivisor(x, k);
  if (split && split.high.min >= 0) {
    return add(scale(mod(split.high, k / split.g), split.g), split.low);
  }
  const rest = make(
    x.terms.filter((t) => t.factor % k !== 0),
    floorMod(x.constant, k),
  );
  if (rest.min >= 0 && (rest.terms.length < x.terms.length || rest.constant !== x.constant)) return mod(rest, k);
  const only = x.terms.length === 1 && x.constant === 0 && x.terms[0].factor === 1 ? x.terms[0].atom : undefined;
  if (only?.kind === "mod" && only.by % k === 0) return mod(only.of, k);
  return atomExpr({ kind: "mod", of: x, by: k, max: k - 1 });
}

/** Replaces variables, simplifying anew. */
export function substitute(x: IntExpr, replace: (name: string) => IntExpr | undefined): IntExpr {
  let sum = int(x.constant);
  for (const { atom, factor, key } of x.terms) {
    let value: IntExpr;
    switch (atom.kind) {
      case "variable":
        value = replace(atom.name) ?? make([{ atom, key, factor: 1 }], 0);
        break;
      case "value":
        value = make([{ atom, key, factor: 1 }], 0);
        break;
      case "div":
        value = div(substitute(atom.of, replace), atom.by);
        break;
      case "mod":
        value = mod(substitute(atom.of, replace), atom.by);
        break;
    }
    sum = add(sum, scale(value, factor));
  }
  return sum;
}

/** Names of the loop variables and ids of the run-time values an expression depends on. */
export const dependencies = memo(new WeakMap<IntExpr, Dependencies>(), ({ terms }) => {
  const [names, values] = [new Set<string>(), new Set<number>()];
  for (const { atom } of terms) {
    if (atom.kind === "variable") names.add(atom.name);
    else if (atom.kind === "value") values.add(atom.id);
    else {
      const inner = dependencies(atom.of);
      for (const name of inner.names) names.add(name);
      for (const id of inner.values) values.add(id);
    }
  }
  return { names, values };
});

interface Dependencies {
  readonly names: ReadonlySet<string>;
  readonly values: ReadonlySet<number>;
}

/** Factor of a variable, or `undefined` where the expression is not linear in it. */
export function factorOf(x: IntExpr, name: string): number | undefined {
  let factor = 0;
  for (const term of x.terms) {
    if (term.atom.kind === "variable") {
      if (term.atom.name === name) factor = term.factor;
    } else if (term.atom.kind !== "value" && dependencies(term.atom.of).names.has(name)) {
      return undefined;
    }
  }
  return factor;
}

/** Whether every term, the constant too, is a multiple of k, leaving out the variable `except`. */
export function isMultiple(x: IntExpr, k: number, except?: string): boolean {
  return (
    x.constant % k === 0 &&
    x.terms.every((t) => t.factor % k === 0 || (t.atom.kind === "variable" && t.atom.name === except))
  );
}

/** Row-major flat index from one index an axis. */
export function flatten(index: readonly IntExpr[], shape: readonly number[]): IntExpr {
  let flat = int(0);
  for (let axis = 0; axis < shape.length; axis++)
    flat = add(scale(flat, shape[axis]), shape[axis] === 1 ? int(0) : index[axis]);
  return flat;
}

/** One index an axis from a row-major flat index. */
export function unflatten(flat: IntExpr, shape: readonly number[]): IntExpr[] {
  const index = new Array<IntExpr>(shape.length);
  let rest = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) index[axis] = int(0);
    else if (axis === 0 || shape.slice(0, axis).every((n) => n === 1)) {
      index[axis] = rest;
    } else {
      index[axis] = mod(rest, shape[axis]);
      rest = div(rest, shape[axis]);
    }
  }
  return index;
}
