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
import { indicesOf } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import { dependencies, isMultiple } from "../../compiler/int-expr.ts";
import type { Store } from "../../compiler/kernels.ts";
import { memo } from "../../compiler/memo.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { FormBuilder } from "../../tensor/elementwise/builder.ts";
import { formOf } from "../../tensor/elementwise/forms.ts";
import type { ElementwiseName } from "../../tensor/elementwise/values.ts";
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Callee, FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, i32x4, select, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import type { LaneVariable } from "./dependence.ts";
import { Dependence, resultName } from "./dependence.ts";
import { wasmForms } from "./forms.ts";
import { IndexPrinter, isReliable } from "./indices.ts";
import { Scopes } from "./scopes.ts";
import { threefry } from "./threefry.ts";
import { asMemory, asRegister, cast, constantVector, gather } from "./words.ts";

/** Where tensors lie. */
export interface ExprMemory {
  address(node: Node): Value;
  /** Address of the parameter buffer's word `first`, and past which word none is used; there where one is. */
  readonly parameters: { readonly address: Value; readonly first: number; readonly past: number };
}

interface PrinterOptions {
  readonly f: FunctionBuilder;
  readonly context: Pick<KernelContext, "features" | "shared">;
  readonly exprs: ExprBuilder;
  readonly memory: ExprMemory;
  readonly vector?: LaneVariable;
  /** The kernel's loop variables in terms of those that are bound, where they differ. */
  readonly substitution?: ReadonlyMap<string, IntExpr>;
}

const LANES = [0, 1, 2, 3];

export class WasmPrinter {
  readonly #f: FunctionBuilder;
  readonly #o: PrinterOptions;
  readonly #scopes: Scopes;
  readonly #dependence: Dependence;
  readonly #indices: IndexPrinter;
  /** The builder of forms for operands of a dtype: one for all that is printed. */
  readonly #formsOf: (dtype: DType) => FormBuilder<Value>;
  /** Bytes from the lanes at the vector variable to those that code is written for: 16 in a pair's second vector. */
  #shift = 0;

  constructor(options: PrinterOptions) {
    const { f, exprs, vector, substitution, context } = options;
    this.#f = f;
    this.#o = options;
    this.#formsOf = memo(new Map(), (dtype) => wasmForms(f, context.features, dtype));
    const scopes = (this.#scopes = new Scopes(f));
    const dependence = (this.#dependence = new Dependence(exprs, vector, substitution));
    this.#indices = new IndexPrinter({ f, exprs, vector, scopes, dependence, value: (expr) => this.value(expr) });
  }

  // --- scopes

  /** Writes code in which loop variables have these values (i32); what it computes is forgotten afterwards. */
  scope<T>(variables: Readonly<Record<string, Value>>, body: () => T): T {
    return this.#scopes.within(variables, body);
  }

  /** Gives the kernel's reduction or product of this number a value (v128), for the rest of the scope. */
  setResult(number: number, value: Value): void {
    this.#scopes.setVariable(resultName(number), value);
  }

  /** Gives an expression a value (v128), for the rest of the scope. */
  setValue(expr: Expr, value: Value): void {
    this.#scopes.setValue(`value ${expr.id}`, value);
  }

  /** Bound variables that a value depends on. */
  variablesOf(expr: Expr): ReadonlySet<string> {
    return this.#dependence.variablesOf(expr);
  }

  /** Elements from one lane's to the next one's; undefined where that is no constant. */
  step(index: IntExpr): number | undefined {
    return this.#dependence.step(this.#dependence.resolve(index));
  }

  // --- hoisting

  /** Computes what these need and what can be computed already. */
  hoist(exprs: readonly Expr[], stores: readonly Store[] = []): void {
    const seen = new Set<number>();
    const visitIndex = (index: IntExpr): void => {
      for (const id of dependencies(index).values) visit(this.#o.exprs.byId(id));
      this.#hoistAtoms(this.#dependence.resolve(index));
    };
    const visit = (expr: Expr): void => {
      if (seen.has(expr.id)) return;
      seen.add(expr.id);
      if (this.#scopes.allBound(this.variablesOf(expr))) {
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
      if (this.#scopes.allBound(this.#dependence.indexVariables(atom.of))) this.#indices.atom(atom, key, 0);
      else this.#hoistAtoms(atom.of);
    }
  }

  #hoistAddress(base: Value, index: IntExpr): void {
    this.#indices.sum(base, this.#dependence.resolve(index), 4, 0, "bound");
  }

  // --- pairs of vectors

  /** Whether the vector variable's size is a multiple of eight: pairs of vectors leave nothing over. */
  get eights(): boolean {
    return this.#o.vector!.size % 8 === 0;
  }

  /**
   * Whether vectors are joined and all that changes from lane to lane here is computed from elements that lie side by
   * side, within their tensors: code for the next four neighbours is then the same code with memory 16 bytes further on.
   */
  canPair(exprs: readonly Expr[], stores: readonly Pick<Store, "index">[] = []): boolean {
    const { vector, context } = this.#o;
    if (!vector || !context.features.wide) return false;
    const seen = new Set<number>();
    const visit = (expr: Expr): boolean => {
      if (seen.has(expr.id) || !this.variablesOf(expr).has(vector.name)) return true;
      seen.add(expr.id);
      if (expr.kind === "load")
        return this.step(expr.index) === 1 && this.#isWithin(expr.index, sizeOf(expr.buffer.shape));
      if (expr.kind === "apply" || expr.kind === "cast") return expr.args.every(visit);
      return expr.kind === "result";
    };
    return exprs.every(visit) && stores.every(({ index }) => this.step(index) === 1);
  }

  /**
   * Runs `body` for the four neighbours at the vector variable, and for the next ones up to `vectors` of four. Their loads
   * are from one address, which is computed before, and none may store: that is what an engine needs to see that it can
   * join them. `body` is given how many bytes further on its vector lies.
   */
  neighbours<T>(
    vectors: number,
    exprs: readonly Expr[],
    stores: readonly Pick<Store, "target" | "index">[],
    body: (bytes: number) => T,
  ): T[] {
    const seen = new Set<number>();
    const visit = (expr: Expr): void => {
      if (seen.has(expr.id)) return;
      seen.add(expr.id);
      if ("args" in expr) expr.args.forEach(visit);
      if (expr.kind === "load") this.#hoistAddress(this.#o.memory.address(expr.buffer), expr.index);
    };
    exprs.forEach(visit);
    for (const { target, index } of stores) this.#hoistAddress(this.#o.memory.address(target), index);
    return Array.from({ length: vectors }, (_, i) => 16 * i).map((bytes) =>
      this.scope({}, () => {
        this.#shift = bytes;
        try {
          return body(bytes);
        } finally {
          this.#shift = 0;
        }
      }),
    );
  }

  /** Stores neighbouring vectors; where there are several, all their lanes are within the vector variable's size. */
  storeNeighbours(target: Node, index: IntExpr, values: readonly Value[]): void {
    if (values.length === 1) return this.store(target, index, values[0]);
    const f = this.#f;
    const at = f.name(this.#indices.sum(this.#o.memory.address(target), this.#dependence.resolve(index), 4, 0));
    const words = values.map((value) => f.name(asMemory(value, target.dtype)));
    words.forEach((word, i) => f.store(at, word, 16 * i));
  }

  // --- indices

  /** An index of the kernel as an i32, in lane 0. */
  index(index: IntExpr): Value {
    return this.#indices.index(this.#dependence.resolve(index), 0);
  }

  // --- values

  /** The value's four lanes (v128), computed here unless known. */
  value(expr: Expr): Value {
    if (expr.kind === "constant") return constantVector(expr.value, expr.dtype);
    if (expr.kind === "result") {
      const value = this.#scopes.variable(resultName(expr.number));
      if (!value) throw new Error("internal: a reduction has no value");
      return value;
    }
    return this.#scopes.once(`value ${expr.id}`, this.variablesOf(expr), () => this.#compute(expr));
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
        const { address, first, past } = this.#o.memory.parameters;
        return asRegister(this.#load(address, expr.index, expr.word - first, past - expr.word), expr.dtype);
      }
      case "index":
        return this.#integers(expr.index);
      case "apply": {
        const [x, y, z] = expr.args.map((a) => f.name(this.value(a)));
        const { dtype } = expr.args[expr.args.length - 1];
        return formOf(this.#formsOf(dtype), expr.name as ElementwiseName, x, y, z);
      }
      case "cast":
        return cast(this.value(expr.args[0]), expr.args[0].dtype, expr.dtype);
      case "bits": {
        const [k0, k1, call] = expr.args.map((a) => f.name(this.value(a)));
        const resolved = this.#dependence.resolve(expr.index);
        const fixed = expr.args.every((arg) => this.variablesOf(arg).size === 0);
        if (fixed && this.#dependence.step(resolved) === 1 && isMultiple(resolved, 4, this.#o.vector!.name)) {
          return this.#bitsOfFour([k0, k1, call], this.#indices.index(resolved, 0));
        }
        const index = f.name(this.#integers(expr.index));
        const [even, odd] = threefry(f, k0, k1, f.name(i32x4.shrU(index, i32.const(1))), call);
        const isOdd = i32x4.ne(v128.and(index, i32x4.const(1)), i32x4.const(0));
        return v128.bitselect(odd, even, isOdd);
      }
      case "guard": {
        const value = this.value(expr.args[0]);
        return expr.conditions.reduce((kept, { expr: at, size, step }) => {
          const inside = this.#scopes.once(
            `below ${at.key} ${size}`,
            this.#dependence.indexVariables(this.#dependence.resolve(at)),
            () => i32x4.ltU(this.#integers(at), i32x4.const(size)),
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
    const resolved = this.#dependence.resolve(index);
    const step = this.#dependence.step(resolved);
    if (step !== undefined) {
      const first = i32x4.splat(this.#indices.index(resolved, 0));
      return step === 0 ? first : i32x4.add(first, v128.const(LANES.map((l) => l * step)));
    }
    return this.#assemble((lane) => this.#indices.index(resolved, lane));
  }

  #assemble(lane: (lane: number) => Value): Value {
    let vector = this.#f.name(i32x4.splat(lane(0)));
    for (let l = 1; l < 4; l++) vector = this.#f.name(i32x4.replace(vector, l, lane(l)));
    return vector;
  }

  /** Where an index, if it is not negative, is a multiple. */
  #multipleMask(index: IntExpr, by: number): Value {
    const resolved = this.#dependence.resolve(index);
    if (this.#dependence.step(resolved) === 0) {
      const rest = i32x4.splat(i32.remS(this.#indices.index(resolved, 0), i32.const(by)));
      return i32x4.eq(rest, i32x4.const(0));
    }
    if ((by & (by - 1)) === 0) return i32x4.eq(v128.and(this.#integers(index), i32x4.const(by - 1)), i32x4.const(0));
    const whole = this.#f.name(this.#integers(index));
    return i32x4.eq(
      this.#assemble((lane) => i32.remS(i32x4.extract(whole, lane), i32.const(by))),
      i32x4.const(0),
    );
  }

  #isWithin(index: IntExpr, size: number): boolean {
    const resolved = this.#dependence.resolve(index);
    return isReliable(resolved) && resolved.min >= 0 && resolved.max < size;
  }

  /** Four words of a tensor of `size` elements whose index 0 is `word` words after `base`. */
  #load(base: Value, index: IntExpr, word: number, size: number): Value {
    const f = this.#f;
    const resolved = this.#dependence.resolve(index);
    const step = this.#dependence.step(resolved);
    const from = word === 0 ? base : f.name(i32.add(base, i32.const(4 * word)));
    const certain = this.#isWithin(index, size);
    const { vector } = this.#o;
    const whole = !vector || vector.whole || vector.size % 4 === 0;
    const address = (lane: number) => this.#indices.sum(from, this.#indices.atLane(resolved, lane), 4, lane);
    if (certain) {
      if (step === 0) return v128.load32Splat(address(0));
      if (step === 1) return v128.load(address(0), this.#shift);
      if (step !== undefined && step > 0 && whole) return gather((lane) => [address(0), 4 * step * lane]);
      return gather((lane) => [address(lane), 0]);
    }
    const last = i32.const(Math.max(0, size - 1));
    const first = this.#indices.index(resolved, 0);
    if (step === 0) return v128.load32Splat(f.name(clamped(f, from, first, last)));
    if (step === undefined)
      return gather((lane) => [f.name(clamped(f, from, this.#indices.index(resolved, lane), last)), 0]);
    const each = (): Value => f.call(clampedLoad(this.#o.context), [from, first, i32.const(step), last])!;
    if (step !== 1 || size < 4) return f.name(each());
    const result = f.local("v128", i32x4.const(0));
    f.if(
      i32.leU(first, i32.const(size - 4)),
      () => f.set(result, v128.load(i32.add(from, i32.shl(first, i32.const(2))))),
      () => f.set(result, each()),
    );
    return result;
  }

  // --- stores

  /** Stores the lanes of a value of the target's dtype that are within the vector variable's size. */
  store(target: Node, index: IntExpr, value: Value): void {
    const f = this.#f;
    const { vector } = this.#o;
    const resolved = this.#dependence.resolve(index);
    const step = this.#dependence.step(resolved);
    const base = this.#o.memory.address(target);
    const word = f.name(asMemory(value, target.dtype));
    const address = (lane: number) => this.#indices.sum(base, this.#indices.atLane(resolved, lane), 4, lane);
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
    f.if(i32.leS(this.#scopes.variable(vector.name)!, i32.const(vector.size - 4)), all, () => lanes(rest));
  }
}

/** Address of the word at an index, or at 0 or `last` where it lies beyond them. */
function clamped(f: FunctionBuilder, from: Value, index: Value, last: Value): Value {
  const at = f.name(index);
  const low = f.name(select(i32.gtS(at, i32.const(0)), at, i32.const(0)));
  return i32.add(from, i32.shl(f.least(low, last), i32.const(2)));
}

/** The function (from, first, step, last): four words from index `first` on, `step` apart, each clamped. */
function clampedLoad({ shared }: Pick<KernelContext, "shared">): Callee {
  return shared("clamped load", (module) =>
    module.function({ parameters: ["i32", "i32", "i32", "i32"], result: "v128" }, (f) => {
      const [from, at, step, last] = f.parameters;
      let value = i32x4.const(0);
      for (let lane = 0; lane < 4; lane++) {
        value = f.local("v128", v128.load32Lane(clamped(f, from, at, last), value, lane));
        f.set(at, i32.add(at, step));
      }
      f.result(value);
    }),
  );
}
