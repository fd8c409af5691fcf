/**
 * Matrix products: the tile generators of matmul.ts with operands and stores printed from expressions, so that
 * elementwise work before and after the product runs inside it.
 */
import type { Expr } from "../compiler/expr.ts";
import type { IntExpr } from "../compiler/int-expr.ts";
import { add, factorOf, isMultiple, loopVariable, scale, substitute } from "../compiler/int-expr.ts";
import type { MatmulKernel } from "../compiler/kernels.ts";
import type { AdapterProfile } from "./kernel.ts";
import type { MatmulOperand, MatmulProblem, MatmulTile, VectorAxis } from "./matmul.ts";
import { chooseTile, emitMatmul } from "./matmul.ts";
import type { BindingTable } from "./wgsl-bindings.ts";
import { ExprPrinter, Scope } from "./wgsl-expr.ts";
import type { VectorVariable } from "./wgsl-expr.ts";
import { helperText } from "./wgsl-helpers.ts";

/** The sizes and layouts a tile is chosen by. */
export function problemOf(kernel: MatmulKernel): MatmulProblem {
  const { batch, m, n, k } = kernel;
  return {
    batch, m, n, k,
    a: { vectorAxis: vectorAxis(kernel.a, "m", m, k) },
    b: { vectorAxis: vectorAxis(kernel.b, "n", n, k) },
  };
}

/** Along which axis four elements of an operand come out of one load each. */
function vectorAxis(value: Expr, outer: string, outerSize: number, k: number): VectorAxis {
  if (k % 4 === 0 && loadsInFours(value, "k", k)) return "k";
  if (outerSize % 4 === 0 && loadsInFours(value, outer, outerSize)) return "outer";
  return "none";
}

/** Whether every load, taken in fours along a variable, is one aligned vec4 or the same element. */
function loadsInFours(value: Expr, name: string, size: number): boolean {
  let some = false;
  const visit = (expr: Expr): boolean => {
    if ("args" in expr && !expr.args.every(visit)) return false;
    if (expr.kind !== "load") return expr.kind !== "choose" && expr.kind !== "clampIndex";
    const widened = widen(expr.index, name, size);
    const step = factorOf(widened, "lane");
    if (step === 0) return true;
    some = true;
    return step === 1 && isMultiple(widened, 4, "lane");
  };
  return visit(value) && some;
}

function widen(index: IntExpr, name: string, size: number): IntExpr {
  const fours = add(scale(loopVariable(`${name}4`, size / 4), 4), loopVariable("lane", 4));
  return substitute(index, (variable) => (variable === name ? fours : undefined));
}

export function printMatmul(
  name: string,
  kernel: MatmulKernel,
  tile: MatmulTile | undefined,
  profile: AdapterProfile,
  bindings: BindingTable,
): { wgsl: string; workgroups: [number, number, number] } {
  const { batch, m, n, k } = kernel;
  const problem = problemOf(kernel);
  const helpers = new Set<string>();
  const functions: string[] = [];

  /** A function that evaluates an operand, one element or four along `vector`. */
  const reader = (fn: string, value: Expr, outer: string, vector: VectorVariable | undefined) => {
    const variables = ["b", outer, "k"].map((v) => (v === vector?.name ? vector.quarter : v));
    const scope = new Scope(new Set(variables), new Scope(new Set()));
    const printer = new ExprPrinter(kernel.exprs, bindings, vector, new Map(), scope, "t", helpers);
    const printed = printer.print(value);
    const text = vector ? printer.widen(printed, value.dtype) : printed.text;
    // A shift, not a division: signed division by 4 rounds towards 0, which costs a quarter of the speed here.
    const quarter = vector ? [`let ${vector.quarter} = ${vector.name} >> 2u;`] : [];
    functions.push(
      `fn ${fn}(b: i32, ${outer}: i32, k: i32) -> ${vector ? "vec4<f32>" : "f32"} {`,
      ...[...quarter, ...scope.parent!.lines, ...scope.lines, `return ${text};`].map((l) => `  ${l}`),
      "}",
    );
  };
  const operand = (which: "a" | "b", value: Expr, outer: string, outerSize: number, axis: VectorAxis): MatmulOperand => {
    const made = new Set<string>();
    const once = (fn: string, vector: VectorVariable | undefined) => {
      if (!made.has(fn)) reader(fn, value, outer, vector);
      made.add(fn);
    };
    return {
      vectorAxis: axis,
      load: (bi, o, ki) => {
        once(`load_${which}`, undefined);
        return `load_${which}(${bi}, ${o}, ${ki})`;
      },
      load4: (bi, o, ki) => {
        const vector = axis === "k"
          ? { name: "k", quarter: "k4", size: k }
          : { name: outer, quarter: `${outer}4`, size: outerSize };
        once(`load4_${which}`, vector);
        return `load4_${which}(${bi}, ${o}, ${ki})`;
      },
    };
  };

  const a = operand("a", kernel.a, "m", m, problem.a.vectorAxis);
  const b = operand("b", kernel.b, "n", n, problem.b.vectorAxis);
  const storeVector = n % 4 === 0;
  const storeFunction = (fn: string, vector: VectorVariable | undefined) => {
    const counter = vector ? vector.quarter : "n";
    const scope = new Scope(new Set(["b", "m", counter]), new Scope(new Set()));
    const results = new Map([[0, { text: "value", lanes: vector ? (4 as const) : (1 as const) }]]);
    const printer = new ExprPrinter(kernel.exprs, bindings, vector, results, scope, "t", helpers);
    const values = kernel.stores.map((s) => printer.print(s.value));
    kernel.stores.forEach((s, i) => printer.store(s.target, s.index, values[i], s.target.dtype));
    functions.push(
      `fn ${fn}(b: i32, m: i32, n: i32, value: ${vector ? "vec4<f32>" : "f32"}) {`,
      ...(vector ? ["  let n4 = n >> 2u;"] : []),
      ...[...scope.parent!.lines, ...scope.lines].map((l) => `  ${l}`),
      "}",
    );
  };
  let scalarStore = false;
  let vectorStore = false;
  const spec = {
    name, batch, m, n, k, a, b, storeVector,
    declarations: "",
    store: (bi: string, mi: string, ni: string, value: string) => {
      scalarStore = true;
      return `store_c(${bi}, ${mi}, ${ni}, ${value});`;
    },
    store4: (bi: string, mi: string, ni: string, value: string) => {
      vectorStore = true;
      return `store4_c(${bi}, ${mi}, ${ni}, ${value});`;
    },
  };
  const chosen = tile ?? chooseTile(problem, profile);
  // The functions are known only once the tile has asked for them; WGSL allows declarations in any order.
  const { wgsl, workgroups } = emitMatmul(spec, chosen, profile);
  if (scalarStore) storeFunction("store_c", undefined);
  if (vectorStore) storeFunction("store4_c", { name: "n", quarter: "n4", size: n });
  const text = [
    bindings.usesHalf ? "enable f16;" : "",
    bindings.declarations(),
    ...[...helpers].map(helperText),
    ...functions,
    wgsl,
  ].filter((l) => l !== "").join("\n");
  return { wgsl: text, workgroups };
}
