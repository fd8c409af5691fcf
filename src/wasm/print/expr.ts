/**
 * Expressions of the compiler as WebAssembly, four neighbours at a time.
 *
 * Every value is a vector: of four neighbours along one loop variable (the vector variable), or of four equal lanes where
 * it does not depend on it; bools are masks. A load is one instruction where the neighbours lie side by side in memory or
 * are one element, else one a lane.
 *
 * Code is written once for each scope: `hoist`, called before a loop opens, computes all that its body needs and that
 * does not change within it, parts of addresses among them.
 *
 * No address outside the tensors is computed where the four elements end with the tensor at the latest. Behind guards and
 * in parts of joined tensors indices may be outside, and are clamped: whatever is read there is not used. The last
 * vector of a row reads up to 12 bytes past it, which is why tensors are followed by as much padding.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import type { IntExpr, Term } from "../../compiler/int-expr.ts";
import { dependencies, factorOf, isMultiple, loopVariable, substitute } from "../../compiler/int-expr.ts";
import type { Store } from "../../compiler/kernels.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { ElementwiseName } from "../../tensor/elementwise.ts";
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { ELEMENTWISE_FORMS } from "./elementwise-forms.ts";
import type { WasmFeatures } from "../assembler/features.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, i32x4, select, v128 } from "../assembler/instructions.ts";
import { threefry } from "./threefry.ts";

/** Where tensors lie. */
export interface ExprMemory {
  address(node: Node): Value;
  /** Address of the parameter buffer and how many words it has. */
  readonly parameters?: { readonly address: Value; readonly words: number };
}

/** The loop variable that counts in fours, always a multiple of 4. */
export interface VectorVariable {
  readonly name: string;
  /** It runs over 0…size−1; the last four may be fewer. */
  readonly size: number;
  /** Set where all four lanes are always within the size. */
  readonly whole?: boolean;
}

export interface PrinterOptions {
  readonly f: FunctionBuilder;
  readonly features: WasmFeatures;
  readonly exprs: ExprBuilder;
  readonly memory: ExprMemory;
  readonly vector?: VectorVariable;
  /** The kernel's loop variables in terms of those that are bound, where they differ. */
  readonly substitution?: ReadonlyMap<string, IntExpr>;
}

class Scope {
  readonly variables = new Map<string, Value>();
  readonly values = new Map<string, Value>();
  readonly depth: number;
  constructor(readonly parent?: Scope) {
    this.depth = parent ? parent.depth + 1 : 0;
  }
}

const LANES = [0, 1, 2, 3];

const resultName = (number: number): string => `=${number}`;
const laneName = (vector: string, lane: number): string => `${vector}@${lane}`;

export class ExprPrinter {
  readonly #f: FunctionBuilder;
  readonly #o: PrinterOptions;
  #scope = new Scope();
  readonly #indices = new Map<string, IntExpr>();
  readonly #variables = new Map<number, ReadonlySet<string>>();
  readonly #namesOfIndex = new Map<string, ReadonlySet<string>>();
  readonly #namesOfVariable = new Map<string, ReadonlySet<string>>();

  constructor(options: PrinterOptions) {
    this.#f = options.f;
    this.#o = options;
  }

  // --- scopes

  /** Writes code in which loop variables have these values (i32); what it computes is forgotten afterwards. */
  scope<T>(variables: Readonly<Record<string, Value>>, body: () => T): T {
    const outer = this.#scope;
    this.#scope = new Scope(outer);
    for (const [name, value] of Object.entries(variables)) this.#scope.variables.set(name, this.#f.name(value));
    try {
      return body();
    } finally {
      this.#scope = outer;
    }
  }

  /** Gives the kernel's reduction or product of this number a value (v128), for the rest of the scope. */
  setResult(number: number, value: Value): void {
    this.#scope.variables.set(resultName(number), this.#f.name(value));
  }

  /** Gives an expression a value (v128), for the rest of the scope. */
  setValue(expr: Expr, value: Value): void {
    this.#scope.values.set(`value ${expr.id}`, this.#f.name(value));
  }

  #binding(name: string): Value | undefined {
    for (let s: Scope | undefined = this.#scope; s; s = s.parent) {
      const value = s.variables.get(name);
      if (value) return value;
    }
    return undefined;
  }

  /** What was computed under this key, unless a variable it depends on has another value by now. */
  #known(key: string, variables: Iterable<string>): Value | undefined {
    for (let s: Scope | undefined = this.#scope; s; s = s.parent) {
      const value = s.values.get(key);
      if (value) return value;
      if (s.variables.size > 0) for (const name of variables) if (s.variables.has(name)) return undefined;
    }
    return undefined;
  }

  #once(key: string, variables: Iterable<string>, compute: () => Value): Value {
    let value = this.#known(key, variables);
    if (!value) this.#scope.values.set(key, (value = this.#f.name(compute())));
    return value;
  }

  #allBound(names: Iterable<string>): boolean {
    for (const name of names) if (!this.#binding(name)) return false;
    return true;
  }

  // --- what things depend on

  #resolve(index: IntExpr): IntExpr {
    const { substitution } = this.#o;
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
    if (expr.kind === "result") found.add(resultName(expr.number));
    for (const index of indicesOf(expr)) for (const name of this.#indexVariables(this.#resolve(index))) found.add(name);
    if ("args" in expr) for (const arg of expr.args) for (const name of this.variablesOf(arg)) found.add(name);
    this.#variables.set(expr.id, (names = found));
    return names;
  }

  /** Bound variables that an index depends on, those of its run-time values too. */
  #indexVariables(resolved: IntExpr): ReadonlySet<string> {
    let names = this.#namesOfIndex.get(resolved.key);
    if (!names)
      this.#namesOfIndex.set(
        resolved.key,
        (names = new Set(resolved.terms.flatMap((t) => [...this.#termVariables(t)]))),
      );
    return names;
  }

  #termVariables({ atom, key }: Term): ReadonlySet<string> {
    if (atom.kind === "value") return this.variablesOf(this.#o.exprs.byId(atom.id));
    if (atom.kind !== "variable") return this.#indexVariables(atom.of);
    let names = this.#namesOfVariable.get(key);
    if (!names) this.#namesOfVariable.set(key, (names = new Set([atom.name])));
    return names;
  }

  /** Elements from one lane's to the next one's; undefined where that is no constant. */
  step(index: IntExpr): number | undefined {
    return this.#step(this.#resolve(index));
  }

  #step(resolved: IntExpr): number | undefined {
    const { vector, exprs } = this.#o;
    if (!vector) return 0;
    const { values } = dependencies(resolved);
    for (const id of values) if (this.variablesOf(exprs.byId(id)).has(vector.name)) return undefined;
    return factorOf(resolved, vector.name);
  }

  // --- hoisting

  /** Computes what these need and what can be computed already. */
  hoist(exprs: readonly Expr[], stores: readonly Store[] = []): void {
    const seen = new Set<number>();
    const visitIndex = (index: IntExpr): void => {
      for (const id of dependencies(index).values) visit(this.#o.exprs.byId(id));
      this.#hoistAtoms(this.#resolve(index));
    };
    const visit = (expr: Expr): void => {
      if (seen.has(expr.id)) return;
      seen.add(expr.id);
      if (this.#allBound(this.variablesOf(expr))) {
        this.value(expr);
        return;
      }
      if ("args" in expr) expr.args.forEach(visit);
      indicesOf(expr).forEach(visitIndex);
      if (expr.kind === "load") this.#hoistAddress(this.#o.memory.address(expr.buffer), expr.index);
    };
    exprs.forEach(visit);
    for (const { target, index, value } of stores) {
      visit(value);
      visitIndex(index);
      this.#hoistAddress(this.#o.memory.address(target), index);
    }
  }

  /** Quotients and remainders that are known already. */
  #hoistAtoms(resolved: IntExpr): void {
    for (const { atom, key } of resolved.terms) {
      if (atom.kind !== "div" && atom.kind !== "mod") continue;
      if (this.#allBound(this.#indexVariables(atom.of))) this.#atom(atom, key, 0);
      else this.#hoistAtoms(atom.of);
    }
  }

  #hoistAddress(base: Value, index: IntExpr): void {
    this.#sum(base, this.#resolve(index), 4, 0, "bound");
  }

  // --- indices

  /** An index of the kernel as an i32, in lane 0. */
  index(index: IntExpr): Value {
    return this.#index(this.#resolve(index), 0);
  }

  #index(resolved: IntExpr, lane: number): Value {
    return this.#sum(i32.const(0), this.#atLane(resolved, lane), 1, lane);
  }

  /** The index as the lane sees it: the vector variable becomes the lane's own. */
  #atLane(resolved: IntExpr, lane: number): IntExpr {
    const { vector } = this.#o;
    if (!vector || lane === 0) return resolved;
    const own = laneName(vector.name, lane);
    this.#bindLane(lane);
    return substitute(resolved, (name) => (name === vector.name ? loopVariable(own, vector.size) : undefined));
  }

  #bindLane(lane: number): void {
    const vector = this.#o.vector!;
    const first = this.#binding(vector.name);
    if (!first) return;
    const name = laneName(vector.name, lane);
    // Beside the variable itself, so that it has the lifetime of its value.
    let home: Scope = this.#scope;
    while (!home.variables.has(vector.name)) home = home.parent!;
    const at = i32.add(first, i32.const(lane));
    const known = this.#known(`lane ${name}`, [vector.name]);
    if (known) return;
    const last = i32.const(vector.size - 1);
    const inside = vector.whole || vector.size % 4 === 0 ? at : select(i32.ltS(at, last), at, last);
    const value = this.#f.name(inside);
    this.#scope.values.set(`lane ${name}`, value);
    this.#scope.variables.set(name, value);
  }

  /** base + unit·index, summed from the outermost scope inwards: of all terms, or of those whose variables are bound. */
  #sum(base: Value, resolved: IntExpr, unit: number, lane: number, which: "all" | "bound" = "all"): Value {
    const depthOf = (term: Term): number => {
      let deepest = 0;
      for (const name of this.#termVariables(term)) {
        let s: Scope | undefined = this.#scope;
        while (s && !s.variables.has(name)) s = s.parent;
        if (!s) return Infinity;
        deepest = Math.max(deepest, s.depth);
      }
      return deepest;
    };
    const levels = new Map<number, Term[]>();
    for (const term of resolved.terms) {
      const depth = depthOf(term);
      if (depth === Infinity && which === "all")
        throw new Error(`internal: index ${resolved.key} before its variables are bound`);
      if (depth !== Infinity) levels.set(depth, [...(levels.get(depth) ?? []), term]);
    }
    let sum = i32.add(base, i32.const(unit * resolved.constant));
    let key = `sum ${base.code.join()} ${unit}:${resolved.constant}`;
    const names = new Set<string>();
    for (const depth of [...levels.keys()].sort((a, b) => a - b)) {
      const terms = levels.get(depth)!;
      for (const t of terms) {
        key += `+${t.factor}*${t.key}`;
        for (const name of this.#termVariables(t)) names.add(name);
      }
      const laneKey = [...dependencies({ ...resolved, terms }).values].length > 0 ? `@${lane}` : "";
      const before = sum;
      sum = this.#once(key + laneKey, names, () =>
        terms.reduce((total, t) => i32.add(total, this.#scaled(t, unit, lane)), before),
      );
    }
    return sum;
  }

  #scaled(term: Term, unit: number, lane: number): Value {
    const { atom, key, factor } = term;
    const value = this.#atom(atom, key, lane);
    const by = factor * unit;
    if (value.constant !== undefined || by === 1) return i32.mul(value, i32.const(by));
    const laneKey = atom.kind === "variable" ? "" : `@${lane}`;
    return this.#once(`scaled ${key} ${by}${laneKey}`, this.#termVariables(term), () => i32.mul(value, i32.const(by)));
  }

  #atom(atom: Term["atom"], key: string, lane: number): Value {
    switch (atom.kind) {
      case "variable": {
        const value = this.#binding(atom.name);
        if (!value) throw new Error(`internal: loop variable ${atom.name} has no value`);
        return value;
      }
      case "value": {
        const expr = this.#o.exprs.byId(atom.id);
        const varies = this.#o.vector !== undefined && this.variablesOf(expr).has(this.#o.vector.name);
        const at = varies ? lane : 0;
        return this.#once(`extract ${atom.id}@${at}`, this.variablesOf(expr), () =>
          i32x4.extract(this.value(expr), at),
        );
      }
      default: {
        const inner = atom.of;
        const laneKey = dependencies(inner).values.size > 0 ? `@${lane}` : "";
        return this.#once(`atom ${key}${laneKey}`, this.#indexVariables(inner), () => {
          const of = this.#sum(i32.const(0), inner, 1, lane);
          const by = i32.const(atom.by);
          if (isReliable(inner) && inner.min >= 0) return atom.kind === "div" ? i32.divU(of, by) : i32.remU(of, by);
          return atom.kind === "div" ? i32.divS(of, by) : i32.remS(of, by);
        });
      }
    }
  }

  // --- values

  /** The value's four lanes (v128), computed here unless known. */
  value(expr: Expr): Value {
    if (expr.kind === "constant") return constantVector(expr.value, expr.dtype);
    if (expr.kind === "result") {
      const value = this.#binding(resultName(expr.number));
      if (!value) throw new Error("internal: a reduction is used before it is computed");
      return value;
    }
    return this.#once(`value ${expr.id}`, this.variablesOf(expr), () => this.#compute(expr));
  }

  #compute(expr: Exclude<Expr, { kind: "constant" | "result" }>): Value {
    const f = this.#f;
    switch (expr.kind) {
      case "load":
        return asRegister(
          this.#load(this.#o.memory.address(expr.buffer), expr.index, 0, sizeOf(expr.buffer.shape)),
          expr.dtype,
        );
      case "parameter": {
        const { address, words } = this.#o.memory.parameters!;
        return asRegister(this.#load(address, expr.index, expr.word, words - expr.word), expr.dtype);
      }
      case "index":
        return this.#integers(expr.index);
      case "apply": {
        const form = ELEMENTWISE_FORMS[expr.name as ElementwiseName];
        const [x, y, z] = expr.args.map((a) => f.name(this.value(a)));
        return form({ f, features: this.#o.features }, x, y, z, expr.args[expr.args.length - 1].dtype);
      }
      case "cast":
        return cast(this.value(expr.args[0]), expr.args[0].dtype, expr.dtype);
      case "bits": {
        const [k0, k1, call] = expr.args.map((a) => f.name(this.value(a)));
        const resolved = this.#resolve(expr.index);
        const fixed = expr.args.every((arg) => this.variablesOf(arg).size === 0);
        if (fixed && this.#step(resolved) === 1 && isMultiple(resolved, 4, this.#o.vector!.name)) {
          return this.#bitsOfFour([k0, k1, call], this.#index(resolved, 0));
        }
        const index = f.name(this.#integers(expr.index));
        const [even, odd] = threefry(f, k0, k1, f.name(i32x4.shrU(index, i32.const(1))), call);
        const isOdd = i32x4.ne(v128.and(index, i32x4.const(1)), i32x4.const(0));
        return v128.bitselect(odd, even, isOdd);
      }
      case "guard": {
        const value = this.value(expr.args[0]);
        return expr.conditions.reduce((kept, { expr: at, size, step }) => {
          const inside = this.#once(`below ${at.key} ${size}`, this.#indexVariables(this.#resolve(at)), () =>
            i32x4.ltU(this.#integers(at), i32x4.const(size)),
          );
          const masked = v128.and(kept, inside);
          return step === 1 ? masked : v128.and(masked, this.#multipleMask(at, step));
        }, value);
      }
      case "choose": {
        const position = f.name(this.#integers(expr.position));
        const parts = expr.args.map((a) => f.name(this.value(a)));
        let chosen = parts[parts.length - 1];
        for (let i = parts.length - 2; i >= 0; i--) {
          chosen = f.name(v128.bitselect(parts[i], chosen, i32x4.ltS(position, i32x4.const(expr.ends[i]))));
        }
        return chosen;
      }
      case "clampIndex": {
        const value = f.name(this.value(expr.args[0]));
        return i32x4.minS(i32x4.maxS(value, i32x4.const(0)), i32x4.const(expr.max));
      }
    }
  }

  /**
   * Bits of four neighbours from `index` on, a multiple of 4. A block has two words, so four lanes of blocks are the bits
   * of eight elements: those of the other four are kept for the round of the loop that asks for them.
   */
  #bitsOfFour([k0, k1, call]: readonly Value[], index: Value): Value {
    const f = this.#f;
    const first = f.name(index);
    // 0, which locals are at the start, is none.
    const wanted = f.name(i32.add(i32.shrU(first, i32.const(3)), i32.const(1)));
    const [known, low, high] = [f.local("i32"), f.local("v128"), f.local("v128")];
    f.if(i32.ne(known, wanted), () => {
      f.set(known, wanted);
      const block = i32.shl(i32.sub(wanted, i32.const(1)), i32.const(2));
      const [even, odd] = threefry(f, k0, k1, f.name(i32x4.add(i32x4.splat(block), v128.const(LANES))), call);
      f.set(low, v128.shuffle32(even, odd, [0, 4, 1, 5]));
      f.set(high, v128.shuffle32(even, odd, [2, 6, 3, 7]));
    });
    return select(i32.and(first, i32.const(4)), high, low);
  }

  /** An index in all lanes. */
  #integers(index: IntExpr): Value {
    const resolved = this.#resolve(index);
    const step = this.#step(resolved);
    if (step !== undefined) {
      const first = i32x4.splat(this.#index(resolved, 0));
      return step === 0 ? first : i32x4.add(first, v128.const(LANES.map((l) => l * step)));
    }
    return this.#assemble((lane) => this.#index(resolved, lane));
  }

  #assemble(lane: (lane: number) => Value): Value {
    let vector = this.#f.name(i32x4.splat(lane(0)));
    for (let l = 1; l < 4; l++) vector = this.#f.name(i32x4.replace(vector, l, lane(l)));
    return vector;
  }

  /** Where an index, if it is not negative, is a multiple. */
  #multipleMask(index: IntExpr, by: number): Value {
    const resolved = this.#resolve(index);
    if (this.#step(resolved) === 0) {
      const rest = i32x4.splat(i32.remS(this.#index(resolved, 0), i32.const(by)));
      return i32x4.eq(rest, i32x4.const(0));
    }
    if ((by & (by - 1)) === 0) return i32x4.eq(v128.and(this.#integers(index), i32x4.const(by - 1)), i32x4.const(0));
    const whole = this.#f.name(this.#integers(index));
    return i32x4.eq(
      this.#assemble((lane) => i32.remS(i32x4.extract(whole, lane), i32.const(by))),
      i32x4.const(0),
    );
  }

  /** Four words of a tensor of `size` elements whose index 0 is `word` words after `base`. */
  #load(base: Value, index: IntExpr, word: number, size: number): Value {
    const f = this.#f;
    const resolved = this.#resolve(index);
    const step = this.#step(resolved);
    const from = word === 0 ? base : f.name(i32.add(base, i32.const(4 * word)));
    const certain = isReliable(resolved) && resolved.min >= 0 && resolved.max < size;
    const { vector } = this.#o;
    const whole = !vector || vector.whole || vector.size % 4 === 0;
    const address = (lane: number) => this.#sum(from, this.#atLane(resolved, lane), 4, lane);
    if (certain) {
      if (step === 0) return v128.load32Splat(address(0));
      if (step === 1) return v128.load(address(0));
      if (step !== undefined && step > 0 && whole) return gather((lane) => [address(0), 4 * step * lane]);
      return gather((lane) => [address(lane), 0]);
    }
    const last = i32.const(Math.max(0, size - 1));
    const clamped = (at: Value): Value => {
      const named = f.name(at);
      const low = f.name(select(i32.gtS(named, i32.const(0)), named, i32.const(0)));
      return f.name(i32.add(from, i32.shl(select(i32.ltS(low, last), low, last), i32.const(2))));
    };
    if (step === 0) return v128.load32Splat(clamped(this.#index(resolved, 0)));
    const laneIndex = (lane: number): Value =>
      step === undefined ? this.#index(resolved, lane) : i32.add(this.#index(resolved, 0), i32.const(step * lane));
    if (step !== 1 || size < 4) return gather((lane) => [clamped(laneIndex(lane)), 0]);
    const first = this.#index(resolved, 0);
    const result = f.local("v128", i32x4.const(0));
    f.if(
      i32.leU(first, i32.const(size - 4)),
      () => f.set(result, v128.load(i32.add(from, i32.shl(first, i32.const(2))))),
      () =>
        f.set(
          result,
          gather((lane) => [clamped(laneIndex(lane)), 0]),
        ),
    );
    return result;
  }

  // --- stores

  /** Stores the lanes of a value of the target's dtype that are within the vector variable's size. */
  store(target: Node, index: IntExpr, value: Value): void {
    const f = this.#f;
    const { vector } = this.#o;
    const resolved = this.#resolve(index);
    const step = this.#step(resolved);
    const base = this.#o.memory.address(target);
    const word = f.name(asMemory(value, target.dtype));
    const address = (lane: number) => this.#sum(base, this.#atLane(resolved, lane), 4, lane);
    if (!vector || step === 0) return f.store32Lane(address(0), word, 0);
    const rest = vector.whole ? 0 : vector.size % 4;
    const at = f.name(address(0));
    const lanes = (count: number) => {
      for (let lane = 0; lane < count; lane++) {
        if (step !== undefined && step > 0) f.store32Lane(at, word, lane, 4 * step * lane);
        else
          f.store32Lane(
            this.scope({}, () => address(lane)),
            word,
            lane,
          );
      }
    };
    const all = () => (step === 1 ? f.store(at, word) : lanes(4));
    if (rest === 0) return all();
    if (vector.size < 4) return lanes(rest);
    f.if(i32.leS(this.#binding(vector.name)!, i32.const(vector.size - 4)), all, () => lanes(rest));
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

/** Whether the range of an index is what its bounds say: quotients and remainders are of numbers that are not negative. */
function isReliable(index: IntExpr): boolean {
  return index.terms.every(({ atom }) =>
    atom.kind === "div" || atom.kind === "mod" ? atom.of.min >= 0 && isReliable(atom.of) : true,
  );
}

/** Four words from four places, each an address and an offset. */
function gather(place: (lane: number) => readonly [Value, number]): Value {
  const [first, offset] = place(0);
  let vector = v128.load32Zero(first, offset);
  for (let lane = 1; lane < 4; lane++) {
    const [address, laneOffset] = place(lane);
    vector = v128.load32Lane(address, vector, lane, laneOffset);
  }
  return vector;
}

function constantVector(value: number, dtype: DType): Value {
  if (dtype === "bool") return i32x4.const(value ? -1 : 0);
  return dtype === "f32" ? f32x4.const(value) : i32x4.const(value);
}

/** Bools are 0 or 1 in memory, masks in registers. */
function asRegister(words: Value, dtype: DType): Value {
  return dtype === "bool" ? i32x4.ne(words, i32x4.const(0)) : words;
}

function asMemory(value: Value, dtype: DType): Value {
  return dtype === "bool" ? v128.and(value, i32x4.const(1)) : value;
}

function cast(value: Value, from: DType, to: DType): Value {
  if (from === to) return value;
  if (to === "bool") return from === "f32" ? f32x4.ne(value, f32x4.const(0)) : i32x4.ne(value, i32x4.const(0));
  if (from === "bool") return v128.and(value, to === "f32" ? f32x4.const(1) : i32x4.const(1));
  if (to === "f32") return from === "u32" ? f32x4.convertI32x4U(value) : f32x4.convertI32x4S(value);
  if (from === "f32") return to === "u32" ? i32x4.truncSatF32x4U(value) : i32x4.truncSatF32x4S(value);
  return value;
}
