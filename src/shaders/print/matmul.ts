/**
 * Matrix products: the tile generators of matmul.ts with operands and stores printed from expressions, so that
 * elementwise work before and after the product runs inside it.
 */
import type { Expr } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import { add, factorOf, isMultiple, loopVariable, scale, substitute } from "../../compiler/int-expr.ts";
import type { MatmulKernel } from "../../compiler/kernels.ts";
import type { AdapterProfile } from "../kernel.ts";
import type { MatmulShader, MatmulOperand, MatmulProblem, MatmulTile, VectorAxis } from "../matmul/product.ts";
import { chooseTile, emitMatmul, invocationsOf } from "../matmul/matmul.ts";
import { sharedLines } from "../matmul/edges.ts";
import type { BindingTable } from "./bindings.ts";
import { WgslPrinter, Block } from "./expr.ts";
import type { VectorVariable } from "./expr.ts";
import type { OwnRows } from "./loop.ts";
import { ownShare } from "./loop.ts";
import { helperText } from "./helpers.ts";

/** The sizes and layouts a tile is chosen by. */
export function problemOf(kernel: MatmulKernel): MatmulProblem {
  const { batch, m, n, k } = kernel;
  return {
    batch,
    m,
    n,
    k,
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

/** A program's text and its workgroups. */
interface Printed {
  readonly wgsl: string;
  readonly workgroups: [number, number, number];
}

/** Products with equal keys may share a dispatch: they run with as many invocations a workgroup. */
export function sharingKey(
  kernel: MatmulKernel,
  tile: MatmulTile | undefined,
  profile: AdapterProfile,
): string | undefined {
  const chosen = tile ?? chooseTile(problemOf(kernel), profile);
  return `${chosen.kind} ${invocationsOf(chosen)}`;
}

/** One product as a program. */
export function printMatmul(
  name: string,
  kernel: MatmulKernel,
  tile: MatmulTile | undefined,
  profile: AdapterProfile,
  bindings: BindingTable,
): Printed {
  const helpers = new Set<string>();
  const { text, functions } = printProduct(name, kernel, tile, profile, bindings, helpers, "");
  return { wgsl: programText(bindings, helpers, [...functions, text.wgsl]), workgroups: text.workgroups };
}

/** Independent products of one `sharingKey` as one program: each takes a range of the workgroups. */
export function printMatmulGroup(
  name: string,
  kernels: readonly MatmulKernel[],
  tiles: readonly (MatmulTile | undefined)[],
  profile: AdapterProfile,
  bindings: BindingTable,
  gridOf: (total: number) => [number, number],
): Printed {
  const helpers = new Set<string>();
  let sharedVectors = 0;
  const lines: string[] = [];
  const main: string[] = [];
  let invocations = 0;
  let first = 0;
  kernels.forEach((kernel, i) => {
    const { text, functions } = printProduct(name, kernel, tiles[i], profile, bindings, helpers, `p${i}_`);
    const {
      parts,
      workgroups: [x, y],
    } = text;
    if (!parts || (i > 0 && parts.invocations !== invocations))
      throw new Error(`internal: ${name}: products that cannot share`);
    invocations = parts.invocations;
    sharedVectors = Math.max(sharedVectors, parts.sharedVectors);
    lines.push(
      ...functions,
      `// ${parts.title}`,
      `fn p${i}_main(mm_group: vec3<u32>, mm_index: u32) {`,
      ...parts.body.map((line) => `  ${line}`),
      "}",
    );
    const call = `p${i}_main(vec3<u32>(${first === 0 ? "flat" : `flat - ${first}u`}, 0u, 0u), index);`;
    first += x * y;
    const last = i === kernels.length - 1;
    main.push(`${i > 0 ? "} else " : ""}${last ? "" : `if (flat < ${first}u) `}{`, `  ${call}`);
  });
  const [x, y] = gridOf(first);
  const guard = x * y === first ? [] : [`if (flat >= ${first}u) { return; }`];
  lines.push(
    ...sharedLines(sharedVectors),
    `@compute @workgroup_size(${invocations})`,
    "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {",
    ...[`let flat = group.x + group.y * ${x}u;`, ...guard, ...main, "}"].map((line) => `  ${line}`),
    "}",
  );
  return { wgsl: programText(bindings, helpers, lines), workgroups: [x, y, 1] };
}

function programText(bindings: BindingTable, helpers: ReadonlySet<string>, lines: readonly string[]): string {
  return [bindings.usesHalf ? "enable f16;" : "", bindings.declarations(), ...[...helpers].map(helperText), ...lines]
    .filter((l) => l !== "")
    .join("\n");
}

/** A workgroup's part of a product in a persistent kernel. */
export interface OwnProduct {
  readonly rows: OwnRows;
  /** The axis that has the rows. */
  readonly axis: "b" | "m";
  /** Parameters of functions, and arguments of their calls, that say which step and workgroup it is; both begin ", ". */
  readonly parameters: string;
  readonly args: string;
}

/** The product of a workgroup's own rows. */
export function ownProblem(kernel: MatmulKernel, { rows, axis }: OwnProduct): MatmulProblem {
  const problem = problemOf(kernel);
  if (axis === "b") return { ...problem, batch: ownShare(rows, kernel.batch) };
  const m = ownShare(rows, kernel.m);
  return { ...problem, m, a: m % 4 !== 0 && problem.a.vectorAxis === "outer" ? { vectorAxis: "none" } : problem.a };
}

/** A product's text, and the functions it calls; names of functions begin with `prefix`. */
export function printProduct(
  name: string,
  kernel: MatmulKernel,
  tile: MatmulTile | undefined,
  profile: AdapterProfile,
  bindings: BindingTable,
  helpers: Set<string>,
  prefix: string,
  own?: OwnProduct,
): { text: MatmulShader; functions: string[] } {
  const problem = own ? ownProblem(kernel, own) : problemOf(kernel);
  const { batch, m, n, k } = problem;
  const functions: string[] = [];
  const { parameters = "", args = "" } = own ?? {};
  const all = own && kernel[own.axis === "b" ? "batch" : "m"];
  const mine = own && ownShare(own.rows, all!);
  const ragged = own && all! % mine! !== 0;
  /** An index of the whole product, from one of the workgroup's part. */
  const whole = (axis: "b" | "m" | "n", index: string): string =>
    own?.axis === axis ? `workgroup * ${mine} + ${index}` : index;
  /** The same for reading: rows that are not there are read as the last. */
  const readable = (axis: "b" | "m" | "n", index: string, width: number): string =>
    ragged && own.axis === axis ? `min(${whole(axis, index)}, ${all! - width})` : whole(axis, index);
  const guarded = (bi: string, mi: string, statement: string): string =>
    ragged ? `if (${own.axis === "b" ? whole("b", bi) : whole("m", mi)} < ${all}) { ${statement} }` : statement;

  /** A function that evaluates an operand, one element or four along `vector`. */
  const reader = (fn: string, value: Expr, outer: string, vector: VectorVariable | undefined) => {
    const variables = ["b", outer, "k"].map((v) => (v === vector?.name ? vector.quarter : v));
    const scope = new Block(new Set(variables), new Block(new Set()));
    const printer = new WgslPrinter(kernel.exprs, bindings, vector, new Map(), scope, "t", helpers);
    const printed = printer.print(value);
    const text = vector ? printer.widen(printed, value.dtype) : printed.text;
    // A shift, not a division: signed division by 4 rounds towards 0, which costs a quarter of the speed here.
    const quarter = vector ? [`let ${vector.quarter} = ${vector.name} >> 2u;`] : [];
    functions.push(
      `fn ${fn}(b: i32, ${outer}: i32, k: i32${parameters}) -> ${vector ? "vec4<f32>" : "f32"} {`,
      ...[...quarter, ...scope.parent!.lines, ...scope.lines, `return ${text};`].map((l) => `  ${l}`),
      "}",
    );
  };
  const operand = (
    which: "a" | "b",
    value: Expr,
    outer: "m" | "n",
    outerSize: number,
    axis: VectorAxis,
  ): MatmulOperand => {
    const made = new Set<string>();
    const once = (fn: string, vector: VectorVariable | undefined) => {
      if (!made.has(fn)) reader(fn, value, outer, vector);
      made.add(fn);
    };
    return {
      vectorAxis: axis,
      load: (bi, o, ki) => {
        once(`${prefix}load_${which}`, undefined);
        return `${prefix}load_${which}(${readable("b", bi, 1)}, ${readable(outer, o, 1)}, ${ki}${args})`;
      },
      load4: (bi, o, ki) => {
        const vector =
          axis === "k" ? { name: "k", quarter: "k4", size: k } : { name: outer, quarter: `${outer}4`, size: outerSize };
        once(`${prefix}load4_${which}`, vector);
        const at = readable(outer, o, axis === "outer" ? 4 : 1);
        return `${prefix}load4_${which}(${readable("b", bi, 1)}, ${at}, ${ki}${args})`;
      },
    };
  };

  const a = operand("a", kernel.a, "m", kernel.m, problem.a.vectorAxis);
  const b = operand("b", kernel.b, "n", n, problem.b.vectorAxis);
  const storeVector = n % 4 === 0;
  const storeFunction = (fn: string, vector: VectorVariable | undefined) => {
    const counter = vector ? vector.quarter : "n";
    const scope = new Block(new Set(["b", "m", counter]), new Block(new Set()));
    const results = new Map([[0, { text: "value", lanes: vector ? (4 as const) : (1 as const) }]]);
    const printer = new WgslPrinter(kernel.exprs, bindings, vector, results, scope, "t", helpers);
    const values = kernel.stores.map((s) => printer.print(s.value));
    kernel.stores.forEach((s, i) => printer.store(s.target, s.index, values[i], s.target.dtype));
    functions.push(
      `fn ${fn}(b: i32, m: i32, n: i32, value: ${vector ? "vec4<f32>" : "f32"}${parameters}) {`,
      ...(vector ? ["  let n4 = n >> 2u;"] : []),
      ...[...scope.parent!.lines, ...scope.lines].map((l) => `  ${l}`),
      "}",
    );
  };
  let scalarStore = false;
  let vectorStore = false;
  const spec = {
    name,
    batch,
    m,
    n,
    k,
    a,
    b,
    storeVector,
    declarations: "",
    store: (bi: string, mi: string, ni: string, value: string) => {
      scalarStore = true;
      return guarded(bi, mi, `${prefix}store_c(${whole("b", bi)}, ${whole("m", mi)}, ${ni}, ${value}${args});`);
    },
    store4: (bi: string, mi: string, ni: string, value: string) => {
      vectorStore = true;
      return guarded(bi, mi, `${prefix}store4_c(${whole("b", bi)}, ${whole("m", mi)}, ${ni}, ${value}${args});`);
    },
  };
  const chosen = tile ?? chooseTile(problem, profile);
  // The functions are known only once the tile has asked for them; WGSL allows declarations in any order.
  const text = emitMatmul(spec, chosen, profile);
  if (scalarStore) storeFunction(`${prefix}store_c`, undefined);
  if (vectorStore) storeFunction(`${prefix}store4_c`, { name: "n", quarter: "n4", size: n });
  return { text, functions };
}
