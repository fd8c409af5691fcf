/**
 * What a kernel computes, as a small expression language: loads at symbolic indices, constants, and the ops of the
 * elementwise table. Devices print it as WGSL or WASM; nothing here knows which.
 *
 * Expressions are interned: building the same one twice gives the same object, so shared work is printed once.
 */
import type { DType } from "../tensor/dtype.ts";
import type { Node } from "../tensor/node.ts";
import type { Condition } from "./access.ts";
import type { IntExpr } from "./int-expr.ts";
import { dependencies } from "./int-expr.ts";

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
  /** The result of a reduction (by number) or the element of a matrix product. */
  | (Base & { readonly kind: "result"; readonly number: number });

interface Base {
  readonly id: number;
  readonly dtype: DType;
  /** Loop variables the value depends on. */
  readonly variables: ReadonlySet<string>;
}

type Without<T> = T extends unknown ? Omit<T, "id" | "variables"> : never;

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

  make(shape: Without<Expr>, extraVariables?: Iterable<string>): Expr {
    const key = this.#key(shape);
    let expr = this.#interned.get(key);
    if (!expr) {
      const variables = new Set<string>(extraVariables);
      const addIndex = (index: IntExpr) => {
        const { names, values } = dependencies(index);
        for (const name of names) variables.add(name);
        for (const id of values) for (const name of this.#byId[id].variables) variables.add(name);
      };
      if ("index" in shape) addIndex(shape.index);
      if ("position" in shape) addIndex(shape.position);
      if ("conditions" in shape) for (const c of shape.conditions) addIndex(c.expr);
      if ("args" in shape) for (const arg of shape.args) for (const name of arg.variables) variables.add(name);
      expr = { ...shape, id: this.#byId.length, variables } as Expr;
      this.#interned.set(key, expr);
      this.#byId.push(expr);
    }
    return expr;
  }

  #key(shape: Without<Expr>): string {
    const args = "args" in shape ? shape.args.map((a) => a.id).join() : "";
    switch (shape.kind) {
      case "load": {
        let id = this.#bufferIds.get(shape.buffer);
        if (id === undefined) this.#bufferIds.set(shape.buffer, (id = this.#bufferIds.size));
        return `load ${id} ${shape.index.key}`;
      }
      case "parameter":
        return `parameter ${shape.dtype} ${shape.word} ${shape.index.key}`;
      case "constant":
        return `constant ${shape.dtype} ${Object.is(shape.value, -0) ? "-0" : shape.value}`;
      case "index":
        return `index ${shape.index.key}`;
      case "apply":
        return `${shape.name} ${args}`;
      case "cast":
        return `cast ${shape.dtype} ${args}`;
      case "bits":
        return `bits ${args} ${shape.index.key}`;
      case "guard":
        return `guard ${args} ${shape.conditions.map((c) => `${c.expr.key}<${c.size}/${c.step}`).join("&")}`;
      case "choose":
        return `choose ${args} ${shape.position.key} ${shape.ends.join()}`;
      case "clampIndex":
        return `clamp ${args} ${shape.max}`;
      case "result":
        return `result ${shape.number}`;
    }
  }
}
