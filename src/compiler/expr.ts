/**
 * What a kernel computes, as a small expression language: loads at symbolic indices, constants, and the ops of the
 * elementwise table. Devices print it as WGSL or WASM; nothing here knows which.
 *
 * Expressions are interned: building the same one twice gives the same object, so shared work is printed once.
 */
import type { DType } from "../tensor/dtype.ts";
import type { Node } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Condition } from "./access.ts";
import type { IntExpr } from "./int-expr.ts";
import { dependencies } from "./int-expr.ts";
import { getOrCompute, memo } from "./memo.ts";

export type Expr =
  | (Base & { readonly kind: "load"; readonly buffer: Node; readonly index: IntExpr })
  /** Word `word` of the parameter buffer, plus a run-time index for leaves of several elements. */
  | (Base & { readonly kind: "parameter"; readonly word: number; readonly index: IntExpr })
  | (Base & { readonly kind: "constant"; readonly value: number })
  /** An index as an i32 value. */
  | (Base & { readonly kind: "index"; readonly index: IntExpr })
  | (Base & { readonly kind: "apply"; readonly name: string; readonly args: readonly Expr[] })
  | (Base & { readonly kind: "cast"; readonly args: readonly [Expr] })
  /** Random bits of element `index`; args: the two key words and the call's number. */
  | (Base & { readonly kind: "bits"; readonly args: readonly [Expr, Expr, Expr]; readonly index: IntExpr })
  /** The argument where all conditions hold, else 0. */
  | (Base & { readonly kind: "guard"; readonly args: readonly [Expr]; readonly conditions: readonly Condition[] })
  /** Elements of several parts along one axis: the first part whose range the position lies in. */
  | (Base & {
      readonly kind: "choose";
      readonly position: IntExpr;
      readonly ends: readonly number[];
      readonly args: readonly Expr[];
    })
  /** Clamps a run-time index to 0..max; referred to from index expressions by its id. */
  | (Base & { readonly kind: "clampIndex"; readonly args: readonly [Expr]; readonly max: number })
  /** The result of a reduction (by number) or the element of a matrix product: one for each value of the variables. */
  | (Base & { readonly kind: "result"; readonly number: number; readonly of: readonly string[] });

interface Base {
  readonly id: number;
  readonly dtype: DType;
  /** What it is, tensors by their numbers in the builder: equal expressions of two builders have equal keys. */
  readonly key: string;
}

type Without<T> = T extends unknown ? Omit<T, "id" | "key"> : never;

export class ExprBuilder {
  readonly #interned = new Map<string, Expr>();
  readonly #byId: Expr[] = [];
  readonly #bufferIds = new Map<Node, number>();

  byId(id: number): Expr {
    return this.#byId[id];
  }

  /** All expressions, those used before those that use them. */
  get all(): readonly Expr[] {
    return this.#byId;
  }

  make(shape: Without<Expr>): Expr {
    const key = this.#key(shape);
    return getOrCompute(this.#interned, key, () => {
      const expr = { ...shape, id: this.#byId.length, key } as Expr;
      this.#byId.push(expr);
      return expr;
    });
  }

  #key(shape: Without<Expr>): string {
    const args = "args" in shape ? shape.args.map((a) => a.id).join() : "";
    return `${shape.kind} ${shape.dtype} ${args} ${this.#ownKey(shape)}`;
  }

  /** What an expression is besides its kind, dtype and arguments. */
  #ownKey(shape: Without<Expr>): string | number {
    switch (shape.kind) {
      case "load": {
        const id = getOrCompute(this.#bufferIds, shape.buffer, () => this.#bufferIds.size);
        return `${id}[${sizeOf(shape.buffer.shape)}] ${shape.index.key}`;
      }
      case "parameter":
        return `${shape.word} ${shape.index.key}`;
      case "constant":
        return Object.is(shape.value, -0) ? "-0" : shape.value;
      case "index":
      case "bits":
        return shape.index.key;
      case "apply":
        return shape.name;
      case "cast":
        return "";
      case "guard":
        return shape.conditions.map((c) => `${c.expr.key}<${c.size}/${c.step}`).join("&");
      case "choose":
        return `${shape.position.key} ${shape.ends.join()}`;
      case "clampIndex":
        return shape.max;
      case "result":
        return shape.number;
    }
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

/** Tells which loop variables a kernel's values depend on. */
export function variablesIn(exprs: ExprBuilder): (expr: Expr) => ReadonlySet<string> {
  const variablesOf = memo(new Map<Expr, ReadonlySet<string>>(), (expr) => {
    const found = new Set(expr.kind === "result" ? expr.of : []);
    const take = (names: Iterable<string>): void => {
      for (const name of names) found.add(name);
    };
    for (const { names, values } of indicesOf(expr).map(dependencies)) {
      take(names);
      for (const id of values) take(variablesOf(exprs.byId(id)));
    }
    if ("args" in expr) for (const arg of expr.args) take(variablesOf(arg));
    return found;
  });
  return variablesOf;
}
