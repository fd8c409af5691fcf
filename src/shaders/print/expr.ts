/**
 * Expressions printed as WGSL, one element or four neighbours at a time.
 *
 * Four at a time, one loop variable (the vector variable) counts in fours and every value either is the same for the
 * four (a scalar) or a vec4. A load becomes one vec4 load where the four elements lie side by side on a multiple of
 * four, one scalar load where they are the same, and four scalar loads otherwise.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import { variablesIn } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import {
  add,
  dependencies,
  factorOf,
  int,
  isMultiple,
  loopVariable,
  scale,
  substitute,
} from "../../compiler/int-expr.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { ElementwiseName } from "../../tensor/elementwise/values.ts";
import type { BindingTable } from "./bindings.ts";
import { formText } from "./forms.ts";
import { literal, registerType, typeName } from "./types.ts";

/** A printed value: its WGSL text, and whether it is one value or four. */
export interface Printed {
  readonly text: string;
  readonly lanes: 1 | 4;
}

/** The loop variable that counts in fours. */
export interface VectorVariable {
  readonly name: string;
  /** Name of the WGSL variable that holds a quarter of it. */
  readonly quarter: string;
  readonly size: number;
}

/** Lines of a block, and what has been named in it. Values of an outer block are visible in inner ones. */
export class Block {
  readonly lines: string[] = [];
  readonly values = new Map<number, Printed>();
  readonly indices = new Map<string, string>();
  constructor(
    /** Loop variables that have a value here. */
    readonly variables: ReadonlySet<string>,
    readonly parent?: Block,
  ) {}
}

const COMPONENTS = ["x", "y", "z", "w"];
const LANE = "lane";
const LANE_VARIABLE = loopVariable(LANE, 4);

/**
 * An index that may be written: in front of a padded or joined part it is negative, which is harmless (the value is not
 * used) unless it is a constant, which compilers refuse.
 */
function readable(index: IntExpr): IntExpr {
  return index.terms.length === 0 && index.constant < 0 ? int(0) : index;
}

export class WgslPrinter {
  readonly helpers: Set<string>;
  #scope: Block;
  #names = 0;
  /** Loop variables that a value depends on. */
  readonly #variablesIn: (expr: Expr) => ReadonlySet<string>;

  constructor(
    readonly exprs: ExprBuilder,
    readonly bindings: BindingTable,
    readonly vector: VectorVariable | undefined,
    /** Results of the kernel's reductions or product, by number. */
    readonly results: ReadonlyMap<number, Printed>,
    scope: Block,
    /** Makes names of this printer differ from those of others in the same function. */
    readonly prefix: string,
    helpers: Set<string>,
  ) {
    this.#scope = scope;
    this.#variablesIn = variablesIn(exprs);
    this.helpers = helpers;
  }

  /** Prints into another block from now on. */
  enter(scope: Block): void {
    this.#scope = scope;
  }

  // --- scopes

  /** The outermost block in which all `variables` have a value. */
  #home(variables: Iterable<string>): Block {
    let home = this.#scope;
    const needed = [...variables];
    while (home.parent && needed.every((v) => home.parent!.variables.has(v))) home = home.parent;
    return home;
  }

  #name(): string {
    return `${this.prefix}${this.#names++}`;
  }

  #define(variables: Iterable<string>, text: string): string {
    const name = this.#name();
    this.#home(variables).lines.push(`let ${name} = ${text};`);
    return name;
  }

  // --- indices

  /** An index as an i32 expression; run-time values by component `lane` where they are four. */
  indexText(index: IntExpr, lane = 0): string {
    const parts: string[] = [];
    for (const { atom, factor, key } of index.terms) {
      let text: string;
      switch (atom.kind) {
        case "variable":
          text = atom.name;
          break;
        case "value": {
          const value = this.print(this.exprs.byId(atom.id));
          text = value.lanes === 4 ? `${value.text}.${COMPONENTS[lane]}` : value.text;
          break;
        }
        default: {
          const memoKey = `${key}@${this.#laneDependent(atom.of) ? lane : ""}`;
          const home = this.#home(this.#variablesOf(atom.of));
          let known: string | undefined;
          for (let s: Block | undefined = this.#scope; s && known === undefined; s = s.parent)
            known = s.indices.get(memoKey);
          if (known === undefined) {
            const inner = this.indexText(atom.of, lane);
            known = this.#name();
            home.lines.push(`let ${known} = (${inner}) ${atom.kind === "div" ? "/" : "%"} ${atom.by};`);
            home.indices.set(memoKey, known);
          }
          text = known;
        }
      }
      parts.push(factor === 1 ? text : `${text} * ${factor}`);
    }
    if (index.constant !== 0 || parts.length === 0) parts.push(String(index.constant));
    return parts.join(" + ");
  }

  /** Loop variables an index depends on, those of its run-time values too. */
  #variablesOf(index: IntExpr): Set<string> {
    const { names: own, values } = dependencies(index);
    const names = new Set(own);
    for (const id of values) for (const v of this.#variablesIn(this.exprs.byId(id))) names.add(this.#wgslVariable(v));
    return names;
  }

  #wgslVariable(name: string): string {
    return this.vector?.name === name ? this.vector.quarter : name;
  }

  /** With the vector variable as 4·quarter + lane. */
  #widen(index: IntExpr): IntExpr {
    const vector = this.vector;
    if (!vector) return index;
    return substitute(index, (name) =>
      name === vector.name ? add(scale(loopVariable(vector.quarter, vector.size / 4), 4), LANE_VARIABLE) : undefined,
    );
  }

  #atLane(widened: IntExpr, lane: number): IntExpr {
    return substitute(widened, (name) => (name === LANE ? int(lane) : undefined));
  }

  /** Whether run-time values in the index differ from lane to lane. */
  #laneDependent(index: IntExpr): boolean {
    return [...dependencies(index).values].some((id) => this.print(this.exprs.byId(id)).lanes === 4);
  }

  /** How an index behaves over the four lanes. */
  #classify(index: IntExpr): { widened: IntExpr; step: number | undefined } {
    const widened = this.#widen(index);
    return { widened, step: this.#laneDependent(widened) ? undefined : factorOf(widened, LANE) };
  }

  // --- values

  /** Prints `expr`, once for each block, and gives the name of its value. */
  print(expr: Expr): Printed {
    for (let s: Block | undefined = this.#scope; s; s = s.parent) {
      const known = s.values.get(expr.id);
      if (known) return known;
    }
    const variables = [...this.#variablesIn(expr)].map((v) => this.#wgslVariable(v));
    const value = this.#value(expr);
    const simple = expr.kind === "constant" || expr.kind === "result";
    const printed = simple ? value : { text: this.#define(variables, value.text), lanes: value.lanes };
    this.#home(variables).values.set(expr.id, printed);
    return printed;
  }

  /** The value as four equal lanes where it is one. */
  widen(value: Printed, dtype: DType): string {
    return value.lanes === 4 ? value.text : `${typeName(registerType(dtype), 4)}(${value.text})`;
  }

  #value(expr: Expr): Printed {
    switch (expr.kind) {
      case "constant":
        return { text: literal(expr.value, expr.dtype), lanes: 1 };
      case "result": {
        const value = this.results.get(expr.number);
        if (!value) throw new Error("internal: a reduction is used before it is computed");
        return value;
      }
      case "load":
        return this.#load(expr.index, expr.dtype, {
          vector: (i) => this.bindings.loadVector(expr.buffer, i),
          scalar: (i) => this.bindings.loadScalar(expr.buffer, i),
        });
      case "parameter":
        return this.#load(add(expr.index, int(expr.word)), expr.dtype, {
          scalar: (i) => this.bindings.parameter(i, expr.dtype),
        });
      case "index": {
        const { widened, step } = this.#classify(expr.index);
        if (!this.vector || step === 0) return { text: this.indexText(this.#atLane(widened, 0)), lanes: 1 };
        const lanes = COMPONENTS.map((_, lane) => this.indexText(this.#atLane(widened, lane), lane));
        return { text: `vec4<i32>(${lanes.join(", ")})`, lanes: 4 };
      }
      case "apply":
        return this.#apply(expr);
      case "cast": {
        const value = this.print(expr.args[0]);
        return { text: this.#cast(value, expr.args[0].dtype, expr.dtype), lanes: value.lanes };
      }
      case "bits":
        return this.#bits(expr.args, expr.index);
      case "guard":
        return this.#guard(expr);
      case "choose":
        return this.#choose(expr);
      case "clampIndex": {
        const value = this.print(expr.args[0]);
        const type = typeName("i32", value.lanes);
        // Unsigned indices above the range would come out negative: both ends are clamped after conversion.
        return { text: `clamp(${type}(${value.text}), ${type}(0), ${type}(${expr.max}))`, lanes: value.lanes };
      }
    }
  }

  /** A value of one dtype in another. */
  #cast({ text, lanes }: Printed, from: DType, to: DType): string {
    const type = registerType(to);
    if (!isFloat(from) || (type !== "i32" && type !== "u32")) return `${typeName(type, lanes)}(${text})`;
    this.helpers.add("whole");
    return `whole_${type}_${lanes}(${text})`;
  }

  #load(
    index: IntExpr,
    dtype: DType,
    access: { vector?: (quarter: string) => string | undefined; scalar: (index: string) => string },
  ): Printed {
    const { widened, step } = this.#classify(index);
    const scalar = (lane: number) => access.scalar(this.indexText(readable(this.#atLane(widened, lane)), lane));
    if (!this.vector || step === 0) return { text: scalar(0), lanes: 1 };
    if (step === 1 && access.vector && isMultiple(widened, 4, LANE)) {
      const base = this.#atLane(widened, 0);
      const quarter = {
        ...base,
        terms: base.terms.map((t) => ({ ...t, factor: t.factor / 4 })),
        constant: base.constant / 4,
      };
      const text = access.vector(this.indexText(readable(quarter)));
      if (text !== undefined) return { text, lanes: 4 };
    }
    const lanes = COMPONENTS.map((_, lane) => scalar(lane));
    return { text: `${typeName(registerType(dtype), 4)}(${lanes.join(", ")})`, lanes: 4 };
  }

  #apply(expr: Expr & { kind: "apply" }): Printed {
    const vanishing = this.#vanishing(expr);
    if (vanishing) return vanishing;
    const args = expr.args.map((a) => this.print(a));
    const lanes = args.some((a) => a.lanes === 4) ? 4 : 1;
    const texts = args.map((a, i) => (lanes === 4 ? this.widen(a, expr.args[i].dtype) : a.text));
    const { dtype } = expr.args[expr.args.length - 1];
    return { text: formText(expr.name as ElementwiseName, texts, lanes, dtype, this.helpers), lanes };
  }

  /** 0 · x, 0 / x and x / ∞, which compilers take for 0 whatever x is; and x / 0, which lavapipe does. */
  #vanishing({ name, args }: Expr & { kind: "apply" }): Printed | undefined {
    if (name !== "mul" && name !== "div") return undefined;
    const helperOf = (value: number, i: number): string | undefined => {
      if (name === "div" && i === 1) return value === 0 ? "over_zero" : 1 / value === 0 ? "times_zero" : undefined;
      if (value !== 0) return undefined;
      return name === "div" ? "zero_over" : "times_zero";
    };
    const helpers = args.map((a, i) => (a.kind === "constant" ? helperOf(a.value, i) : undefined));
    const at = helpers.findIndex((h) => h !== undefined);
    const known = args[at];
    if (known?.kind !== "constant" || registerType(known.dtype) !== "f32") return undefined;
    const helper = helpers[at]!;
    this.helpers.add(helper);
    const x = this.print(args[1 - at]);
    const negative = known.value < 0 || Object.is(known.value, -0);
    return { text: `${helper}_${x.lanes}(${negative ? "-" : ""}${x.text})`, lanes: x.lanes };
  }

  #bits(args: readonly Expr[], index: IntExpr): Printed {
    this.helpers.add("threefry");
    const [k0, k1, call] = args.map((a) => this.print(a).text);
    const { widened, step } = this.#classify(index);
    // In a part of joined tensors that is not chosen an index may be negative, and a constant: no u32 can be made of it.
    const at = (lane: number) => this.indexText(this.#atLane(widened, lane), lane);
    const word = (lane: number) => `threefry_word(${k0}, ${k1}, bitcast<u32>(${at(lane)}), ${call})`;
    if (!this.vector || step === 0) return { text: word(0), lanes: 1 };
    if (step === 1 && isMultiple(widened, 2, LANE)) {
      const variables = [...this.#variablesOf(widened)].filter((n) => n !== LANE);
      // Of two lanes that lie before a part and two in it, the blocks are −1 and 0.
      const base = this.#define(variables, `bitcast<u32>((${at(0)}) >> 1u)`);
      const low = this.#define(variables, `threefry(${k0}, ${k1}, ${base}, ${call})`);
      const high = this.#define(variables, `threefry(${k0}, ${k1}, ${base} + 1u, ${call})`);
      return { text: `vec4<u32>(${low}, ${high})`, lanes: 4 };
    }
    return { text: `vec4<u32>(${COMPONENTS.map((_, lane) => word(lane)).join(", ")})`, lanes: 4 };
  }

  #integers(index: IntExpr): Printed {
    const { widened, step } = this.#classify(index);
    if (!this.vector || step === 0) return { text: `(${this.indexText(this.#atLane(widened, 0))})`, lanes: 1 };
    const lanes = COMPONENTS.map((_, lane) => this.indexText(this.#atLane(widened, lane), lane));
    return { text: `vec4<i32>(${lanes.join(", ")})`, lanes: 4 };
  }

  #guard(expr: Expr & { kind: "guard" }): Printed {
    const value = this.print(expr.args[0]);
    const conditions = expr.conditions.map((c): Printed => {
      const e = this.#integers(c.expr);
      const type = typeName("i32", e.lanes);
      const parts = [`(${e.text} >= ${type}(0))`, `(${e.text} < ${type}(${c.size}))`];
      if (c.step > 1) parts.push(`((${e.text} % ${type}(${c.step})) == ${type}(0))`);
      return { text: parts.join(" & "), lanes: e.lanes };
    });
    const lanes = value.lanes === 4 || conditions.some((c) => c.lanes === 4) ? 4 : 1;
    const holds = conditions
      .map((c) => (lanes === 4 && c.lanes === 1 ? `vec4<bool>(${c.text})` : `(${c.text})`))
      .join(" & ");
    const type = registerType(expr.dtype);
    const zero = type === "bool" ? "false" : literal(0, expr.dtype);
    const text = lanes === 4 ? this.widen(value, expr.dtype) : value.text;
    return { text: `select(${lanes === 4 ? `${typeName(type, 4)}(${zero})` : zero}, ${text}, ${holds})`, lanes };
  }

  #choose(expr: Expr & { kind: "choose" }): Printed {
    const position = this.#integers(expr.position);
    const parts = expr.args.map((a) => this.print(a));
    const lanes = position.lanes === 4 || parts.some((p) => p.lanes === 4) ? 4 : 1;
    const text = (p: Printed) => (lanes === 4 ? this.widen(p, expr.dtype) : p.text);
    const at = lanes === 4 && position.lanes === 1 ? `vec4<i32>(${position.text})` : position.text;
    let chosen = text(parts[parts.length - 1]);
    for (let i = parts.length - 2; i >= 0; i--) {
      const end = lanes === 4 ? `vec4<i32>(${expr.ends[i]})` : String(expr.ends[i]);
      chosen = `select(${chosen}, ${text(parts[i])}, ${at} < ${end})`;
    }
    return { text: chosen, lanes };
  }

  // --- stores

  /** Statements that store `value` (one or four) at `index` of a buffer. */
  store(target: Parameters<BindingTable["storeScalar"]>[0], index: IntExpr, value: Printed, dtype: DType): void {
    const { widened, step } = this.#classify(index);
    if (!this.vector || step === 0) {
      this.#scope.lines.push(this.bindings.storeScalar(target, this.indexText(this.#atLane(widened, 0)), value.text));
      return;
    }
    if (step === 1 && isMultiple(widened, 4, LANE)) {
      const base = this.#atLane(widened, 0);
      const quarter = {
        ...base,
        terms: base.terms.map((t) => ({ ...t, factor: t.factor / 4 })),
        constant: base.constant / 4,
      };
      const text = this.bindings.storeVector(target, this.indexText(quarter), this.widen(value, dtype));
      if (text !== undefined) {
        this.#scope.lines.push(text);
        return;
      }
    }
    COMPONENTS.forEach((component, lane) => {
      const part = value.lanes === 4 ? `${value.text}.${component}` : value.text;
      this.#scope.lines.push(
        this.bindings.storeScalar(target, this.indexText(this.#atLane(widened, lane), lane), part),
      );
    });
  }
}
