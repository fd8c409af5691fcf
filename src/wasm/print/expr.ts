/**
 * Expressions of the compiler as WebAssembly, four neighbours at a time.
 *
 * Every value is a vector: of four neighbours along one loop variable (the vector variable), or of four equal lanes where
 * it does not depend on it; bools are masks.
 *
 * Code is written once for each scope: `hoist`, called before a loop opens, computes all that its body needs and that
 * does not change within it, parts of addresses among them.
 */
import type { Condition } from "../../compiler/access.ts";
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
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, i32x4, select, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import type { LaneVariable } from "./dependence.ts";
import { choosesWhole, Dependence, resultName } from "./dependence.ts";
import { wasmForms } from "./forms.ts";
import { IndexPrinter } from "./indices.ts";
import { LoadPrinter } from "./loads.ts";
import { Scopes } from "./scopes.ts";
import { threefry } from "./threefry.ts";
import { asMemory, asRegister, cast, constantVector } from "./words.ts";

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
  readonly #loads: LoadPrinter;
  /** Expressions whose values lie in a thread's memory, at an offset by the vector variable. */
  #kept: ReadonlyMap<number, number> = new Map();
  #keptAt: Value = i32.const(0);
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
    const shift = (): number => this.#shift;
    this.#loads = new LoadPrinter({ f, context, exprs, vector, scopes, dependence, indices: this.#indices, shift });
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

  /** From here on, values of these expressions (by id) lie in `memory` by the vector variable, from an offset on. */
  keep(memory: Value, offsets: ReadonlyMap<number, number>): void {
    this.#keptAt = this.#f.name(memory);
    this.#kept = offsets;
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
      if (seen.has(expr.id) || this.#kept.has(expr.id)) return;
      seen.add(expr.id);
      if (this.#scopes.allBound(this.variablesOf(expr))) {
        this.value(expr);
        return;
      }
      if ("args" in expr) expr.args.forEach(visit);
      indicesOf(expr).forEach(visitIndex);
      if (expr.kind === "guard" || expr.kind === "choose") this.#hoistMasks(expr);
      if (expr.kind === "load") this.#loads.hoist(expr, this.#o.memory.address(expr.buffer));
    };
    exprs.forEach(visit);
    for (const { target, index, value } of stores) {
      visit(value);
      visitIndex(index);
      this.#hoistAddress(this.#o.memory.address(target), index);
    }
  }

  /** What is the same in all lanes and known already of where a guard or a choice takes what. */
  #hoistMasks(expr: Extract<Expr, { kind: "guard" | "choose" }>): void {
    const known = (at: IntExpr): boolean =>
      this.step(at) === 0 && this.#scopes.allBound(this.#dependence.indexVariables(this.#dependence.resolve(at)));
    if (expr.kind === "guard") expr.conditions.filter((c) => known(c.expr)).forEach((c) => this.#inside(c));
    else if (known(expr.position)) expr.ends.forEach((end) => this.#before(expr.position, end));
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
      if (seen.has(expr.id) || this.#kept.has(expr.id) || !this.variablesOf(expr).has(vector.name)) return true;
      seen.add(expr.id);
      if (expr.kind === "load") return this.#loads.isOfNeighbours(expr);
      if (expr.kind === "apply" || expr.kind === "cast") return expr.args.every(visit);
      if (expr.kind === "guard" || expr.kind === "choose")
        return choosesWhole(expr, this.#dependence) && expr.args.every(visit);
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
      if (this.#kept.has(expr.id)) return this.#loads.hoistColumn(this.#keptAt);
      if ("args" in expr) expr.args.forEach(visit);
      if (expr.kind === "load") this.#loads.hoist(expr, this.#o.memory.address(expr.buffer));
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
    const kept = this.#kept.get(expr.id);
    return this.#scopes.once(`value ${expr.id}`, this.variablesOf(expr), () =>
      kept === undefined ? this.#compute(expr) : this.#loads.ofColumn(this.#keptAt, kept),
    );
  }

  #compute(expr: Exclude<Expr, { kind: "constant" | "result" }>): Value {
    const f = this.#f;
    switch (expr.kind) {
      case "load":
        return asRegister(this.#loads.ofTensor(expr, this.#o.memory.address(expr.buffer)), expr.dtype);
      case "parameter": {
        const { address, first, past } = this.#o.memory.parameters;
        return asRegister(this.#loads.of(address, expr.index, expr.word - first, past - expr.word), expr.dtype);
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
      case "guard":
        return expr.conditions.reduce(
          (kept, condition) => v128.and(kept, this.#inside(condition)),
          this.value(expr.args[0]),
        );
      case "choose": {
        const parts = expr.args.map((a) => f.name(this.value(a)));
        let chosen = parts[parts.length - 1];
        for (let i = parts.length - 2; i >= 0; i--) {
          chosen = f.name(v128.bitselect(parts[i], chosen, this.#before(expr.position, expr.ends[i])));
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

  /** A mask of an index, kept under a name. */
  #mask(name: string, index: IntExpr, of: (at: Value) => Value): Value {
    const resolved = this.#dependence.resolve(index);
    return this.#scopes.once(`${name} ${resolved.key}`, this.#dependence.indexVariables(resolved), () =>
      of(this.#f.name(this.#integers(index))),
    );
  }

  /** Where a condition holds. A negative index is not below the size, of whatever it is a multiple. */
  #inside({ expr, size, step }: Condition): Value {
    return this.#mask(`inside ${size} ${step}`, expr, (at) => {
      const below = i32x4.ltU(at, i32x4.const(size));
      if (step === 1) return below;
      const rest =
        (step & (step - 1)) === 0
          ? v128.and(at, i32x4.const(step - 1))
          : this.#assemble((lane) => i32.remU(i32x4.extract(at, lane), i32.const(step)));
      return v128.and(below, i32x4.eq(rest, i32x4.const(0)));
    });
  }

  /** Where a position lies before an end. */
  #before(position: IntExpr, end: number): Value {
    return this.#mask(`before ${end}`, position, (at) => i32x4.ltS(at, i32x4.const(end)));
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
