/**
 * Loads of four neighbours: one instruction where they lie side by side in memory or are one element, else one a lane.
 *
 * No address outside the tensors is computed where the four elements end with the tensor at the latest. Behind guards and
 * in parts of joined tensors indices may be outside, and are clamped: whatever is read there is not used. Where all
 * lanes are used or none is, as in the rows of a padded image, the row's first index is clamped, once for the row. The
 * last vector of a row reads up to 12 bytes past it, which is why tensors are followed by as much padding.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import { indicesOf } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import { dependencies, loopVariable, sub } from "../../compiler/int-expr.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Callee, FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, i32x4, select, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import type { Dependence, LaneVariable } from "./dependence.ts";
import { choosesWhole } from "./dependence.ts";
import type { IndexPrinter } from "./indices.ts";
import { isReliable } from "./indices.ts";
import type { Scopes } from "./scopes.ts";
import { gather } from "./words.ts";

type LoadExpr = Extract<Expr, { kind: "load" }>;

interface LoadContext {
  readonly f: FunctionBuilder;
  readonly context: Pick<KernelContext, "shared">;
  readonly exprs: ExprBuilder;
  readonly vector?: LaneVariable;
  readonly scopes: Scopes;
  readonly dependence: Dependence;
  readonly indices: IndexPrinter;
  /** Bytes from the lanes at the vector variable to those that code is written for. */
  readonly shift: () => number;
}

export class LoadPrinter {
  readonly #o: LoadContext;
  /** Expressions of which some lanes may be used and others not: beneath what chooses lane by lane. */
  readonly #parted = new Set<number>();

  constructor(context: LoadContext) {
    this.#o = context;
    if (!context.vector) return;
    for (const expr of [...context.exprs.all].reverse()) {
      const isParted = this.#parted.has(expr.id);
      if (!isParted && choosesWhole(expr, context.dependence)) continue;
      if ("args" in expr) for (const arg of expr.args) this.#parted.add(arg.id);
      // What a place that only some lanes read comes from.
      if (isParted)
        for (const index of indicesOf(expr)) for (const id of dependencies(index).values) this.#parted.add(id);
    }
  }

  /** Whether the next four elements are those that lie behind these in memory. */
  isOfNeighbours(load: LoadExpr): boolean {
    const { dependence } = this.#o;
    const resolved = dependence.resolve(load.index);
    return (
      dependence.step(resolved) === 1 &&
      (isWithin(resolved, sizeOf(load.buffer.shape)) || this.#rowOf(load) !== undefined)
    );
  }

  /** Computes what is known already of the address of a load from the tensor at `base`. */
  hoist(load: LoadExpr, base: Value): void {
    const { scopes, dependence, indices } = this.#o;
    const row = this.#rowOf(load);
    if (!row) indices.sum(base, dependence.resolve(load.index), 4, 0, "bound");
    else if (scopes.allBound(dependence.indexVariables(row))) this.hoistColumn(this.#rowAddress(load, row, base));
  }

  /** Computes what is known already of the address of what lies at `base` by the vector variable. */
  hoistColumn(base: Value): void {
    this.#o.indices.sum(base, this.#column, 4, 0, "bound");
  }

  /** Four words of the load's tensor, which is at `base`. */
  ofTensor(load: LoadExpr, base: Value): Value {
    const row = this.#rowOf(load);
    if (!row) return this.of(base, load.index, 0, sizeOf(load.buffer.shape));
    return this.ofColumn(this.#rowAddress(load, row, base), 0);
  }

  /** Four words that lie at `base` by the vector variable, `offset` bytes further on. */
  ofColumn(base: Value, offset: number): Value {
    return v128.load(this.#o.indices.sum(base, this.#column, 4, 0), offset + this.#o.shift());
  }

  /** Four words of a tensor of `size` elements whose index 0 is `word` words after `base`. */
  of(base: Value, index: IntExpr, word: number, size: number): Value {
    const { f, vector, dependence, indices } = this.#o;
    const resolved = dependence.resolve(index);
    const step = dependence.step(resolved);
    const from = word === 0 ? base : f.name(i32.add(base, i32.const(4 * word)));
    const certain = isWithin(resolved, size);
    const whole = !vector || vector.whole || vector.size % 4 === 0;
    const address = (lane: number) => indices.sum(from, indices.atLane(resolved, lane), 4, lane);
    if (certain) {
      if (step === 0) return v128.load32Splat(address(0));
      if (step === 1) return v128.load(address(0), this.#o.shift());
      if (step !== undefined && step > 0 && whole) return gather((lane) => [address(0), 4 * step * lane]);
      return gather((lane) => [address(lane), 0]);
    }
    const last = i32.const(Math.max(0, size - 1));
    const first = indices.index(resolved, 0);
    if (step === 0) return v128.load32Splat(f.name(clamped(f, from, first, last)));
    if (step === undefined) return gather((lane) => [f.name(clamped(f, from, indices.index(resolved, lane), last)), 0]);
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

  /** The vector variable as an index. */
  get #column(): IntExpr {
    const { name, size } = this.#o.vector!;
    return loopVariable(name, size);
  }

  /**
   * The index of a row's first element, for a load of neighbours that may be outside of its tensor. A row of which any
   * element is used lies within whole, so that first index is all there is to clamp.
   */
  #rowOf({ id, buffer, index }: LoadExpr): IntExpr | undefined {
    const { vector, dependence } = this.#o;
    const resolved = dependence.resolve(index);
    const size = sizeOf(buffer.shape);
    if (!vector || this.#parted.has(id) || isWithin(resolved, size)) return undefined;
    return dependence.step(resolved) === 1 && vector.size <= size ? sub(resolved, this.#column) : undefined;
  }

  #rowAddress({ buffer }: LoadExpr, row: IntExpr, base: Value): Value {
    const { f, vector, scopes, dependence, indices } = this.#o;
    return scopes.once(`row ${base.code.join()} ${row.key}`, dependence.indexVariables(row), () =>
      clamped(f, base, indices.index(row, 0), i32.const(sizeOf(buffer.shape) - vector!.size)),
    );
  }
}

function isWithin(resolved: IntExpr, size: number): boolean {
  return isReliable(resolved) && resolved.min >= 0 && resolved.max < size;
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
