/**
 * Matrix products of a schedule on the `cpu` device: operands and stores printed from expressions, so that elementwise
 * work before and after the product runs inside it.
 *
 * An operand that is a view of a tensor, linear in both axes, is read as such; any other is computed while it is
 * packed.
 */
import type { Expr } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import { dependencies, factorOf, int, sub, substitute } from "../../compiler/int-expr.ts";
import type { MatmulKernel } from "../../compiler/kernels.ts";
import type { ExprKernels } from "./expr-kernel.ts";
import { memoryOf, operandsOf } from "./expr-kernel.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import type { Operand, Product, Result } from "../matmul/product.ts";
import { productKernels, productWithPanels } from "../matmul/matmul.ts";
import type { PlainView } from "../matmul/packing.ts";
import type { LaneVariable } from "./dependence.ts";
import { Dependence } from "./dependence.ts";
import type { ExprMemory } from "./expr.ts";
import { WasmPrinter } from "./expr.ts";
import { isReliable } from "./indices.ts";
import { forNeighbours } from "./loop.ts";

/** Where the tensors of a kernel lie while it runs. */
type MemoryOf = (context: KernelContext) => ExprMemory;

export function matmulKernel(kernel: MatmulKernel): ExprKernels {
  const operands = operandsOf(kernel);
  const memory: MemoryOf = (context) => memoryOf(operands, context, kernel.exprs);
  return { ...productKernels(productOf(kernel, memory)), operands };
}

/**
 * The product in units of `rows` rows each, its B packed once by a kernel of its own: undefined where it cannot be.
 *
 * @returns besides the product's kernel, which takes the packed B as its only temporary tensor, the one that packs it
 */
export function matmulOfRows(kernel: MatmulKernel, rows: number) {
  const operands = operandsOf(kernel);
  const product = productOf(kernel, (context) => memoryOf(operands, context, kernel.exprs));
  if (product.m !== kernel.m) return undefined;
  const found = productWithPanels(product, rows);
  return found && { ...found, operands };
}

function productOf(kernel: MatmulKernel, memory: MemoryOf): Product {
  const { batch, m, n, k } = kernel;
  const name = `${batch > 1 ? `${batch}x` : ""}${m}x${n}x${k}`;
  const [a, b] = [operand(kernel, kernel.a, "m", memory), operand(kernel, kernel.b, "n", memory)];
  if (n === 1 && a.plain?.k !== 4) {
    // Of a matrix whose columns lie side by side, times a vector, the transposed product reads whole rows.
    return { name, batch, m: n, n: m, k, a: b, b: a, c: result(kernel, "n", "m", memory) };
  }
  return { name, batch, m, n, k, a, b, c: result(kernel, "m", "n", memory) };
}

function printerOf(
  kernel: MatmulKernel,
  f: FunctionBuilder,
  context: KernelContext,
  memory: MemoryOf,
  vector: LaneVariable | undefined,
): WasmPrinter {
  return new WasmPrinter({ f, context, exprs: kernel.exprs, memory: memory(context), vector });
}

// --- operands

function operand(kernel: MatmulKernel, value: Expr, outer: "m" | "n", memory: MemoryOf): Operand {
  const plain = plainView(kernel, value, outer);
  if (plain && value.kind === "load") {
    const address = (f: FunctionBuilder, context: KernelContext, batch: Value): Value => {
      const printer = printerOf(kernel, f, context, memory, undefined);
      const base = memory(context).address(value.buffer);
      const first = { b: batch, [outer]: i32.const(0), k: i32.const(0) };
      const index = printer.scope(first, () => printer.index(value.index));
      return i32.add(base, i32.shl(index, i32.const(2)));
    };
    return { plain, address };
  }
  const apart = value.kind === "load" && value.dtype === "f32" ? separate(kernel, value.index, outer) : undefined;
  if (apart && value.kind === "load") {
    return {
      separable: (f, context, batch) => {
        const printer = printerOf(kernel, f, context, memory, undefined);
        const base = memory(context).address(value.buffer);
        const bytes = (index: IntExpr, names: Readonly<Record<string, Value>>) =>
          i32.shl(
            printer.scope(names, () => printer.index(index)),
            i32.const(2),
          );
        return {
          lanes: apart.lanes,
          outer: (at) => i32.add(base, bytes(apart.outer, { b: batch, [outer]: f.name(at) })),
          k: (at) => bytes(apart.k, { k: f.name(at) }),
        };
      },
    };
  }
  const isOuter = kernel[outer] > 1 && (kernel.k === 1 || neighbours(value, outer) > neighbours(value, "k"));
  const lanes = isOuter ? "outer" : "k";
  const [along, across] = lanes === "k" ? (["k", outer] as const) : ([outer, "k"] as const);
  return {
    lanes,
    elements: (f, context, batch) => {
      const printer = printerOf(kernel, f, context, memory, { name: along, size: kernel[along] });
      return {
        lanes,
        line: (at, body) =>
          printer.scope({ b: batch, [across]: at }, () => {
            printer.hoist([value]);
            body((place) => printer.scope({ [along]: place }, () => printer.value(value)));
          }),
      };
    },
  };
}

/** Strides of an operand that is a view of a tensor of f32. */
function plainView(kernel: MatmulKernel, value: Expr, outer: "m" | "n"): PlainView | undefined {
  if (value.kind !== "load" || value.dtype !== "f32") return undefined;
  const dependence = new Dependence(kernel.exprs);
  for (const id of dependencies(value.index).values) {
    const variables = dependence.variablesOf(kernel.exprs.byId(id));
    if (variables.has(outer) || variables.has("k")) return undefined;
  }
  const bytes = (name: "m" | "n" | "k"): number | undefined => {
    // Of an axis of one element no stride is ever taken; neighbours are what most code is made for.
    const factor = kernel[name] === 1 ? 1 : factorOf(value.index, name);
    return factor === undefined || factor < 0 ? undefined : 4 * factor;
  };
  const [outerBytes, kBytes] = [bytes(outer), bytes("k")];
  return outerBytes === undefined || kBytes === undefined ? undefined : { outer: outerBytes, k: kBytes };
}

interface Separated {
  readonly lanes: "outer" | "k";
  readonly outer: IntExpr;
  readonly k: IntExpr;
}

/** An index as a sum of what depends on k alone and of what does not; undefined where it is none. */
function separate(kernel: MatmulKernel, index: IntExpr, outer: "m" | "n"): Separated | undefined {
  if (dependencies(index).values.size > 0) return undefined;
  const mixed = index.terms.some(({ atom }) => {
    const names = atom.kind === "div" || atom.kind === "mod" ? dependencies(atom.of).names : undefined;
    return names?.has("k") && names.size > 1;
  });
  if (mixed || !isReliable(index)) return undefined;
  const at = (values: Readonly<Record<string, number>>): IntExpr =>
    substitute(index, (name) => (name in values ? int(values[name]) : undefined));
  const start = at({ b: 0, m: 0, n: 0, k: 0 }).constant;
  /** Groups of four neighbours along an axis that lie side by side. */
  const together = (axis: "m" | "n" | "k"): number => {
    const place = (i: number) => at({ b: 0, m: 0, n: 0, k: 0, [axis]: i }).constant;
    let found = 0;
    for (let i = 0; i + 4 <= Math.min(kernel[axis], 64); i += 4) {
      if ([1, 2, 3].every((lane) => place(i + lane) - place(i) === lane)) found++;
    }
    return found / Math.max(1, Math.floor(Math.min(kernel[axis], 64) / 4));
  };
  return {
    lanes: together(outer) >= together("k") ? "outer" : "k",
    outer: at({ k: 0 }),
    k: sub(at({ b: 0, m: 0, n: 0 }), int(start)),
  };
}

/** How many of an expression's loads read four neighbours along an axis as one vector. */
function neighbours(value: Expr, axis: string): number {
  const seen = new Set<number>();
  const visit = (expr: Expr): number => {
    if (seen.has(expr.id)) return 0;
    seen.add(expr.id);
    const own = expr.kind === "load" && factorOf(expr.index, axis) === 1 ? 1 : 0;
    return "args" in expr ? expr.args.reduce((sum, arg) => sum + visit(arg), own) : own;
  };
  return visit(value);
}

// --- results

/** @param column the variable along which rows of C run */
function result(kernel: MatmulKernel, row: "m" | "n", column: "m" | "n", memory: MemoryOf): Result {
  const [first] = kernel.stores;
  const asItIs = kernel.stores.length === 1 && first.value.kind === "result" && first.target.dtype === "f32";
  const { m, n } = kernel;
  return {
    address: asItIs
      ? (_, context, batch) => i32.add(memory(context).address(first.target), i32.mul(batch, i32.const(4 * m * n)))
      : undefined,
    store: (f, context, { batch, m0, n0, rows, columns }, from, stride) => {
      const printer = printerOf(kernel, f, context, memory, { name: column, size: kernel[column], results: true });
      const values = kernel.stores.map((s) => s.value);
      printer.scope({ b: batch }, () => {
        printer.hoist(values, kernel.stores);
        f.for(i32.const(0), rows, 1, (r) =>
          printer.scope({ [row]: i32.add(m0, r) }, () => {
            printer.hoist(values, kernel.stores);
            // Column c of the row: this line + 4·c.
            const line = f.name(i32.sub(i32.add(from, i32.mul(r, i32.const(stride))), i32.shl(n0, i32.const(2))));
            forNeighbours(f, printer, column, [n0, f.name(i32.add(n0, columns))], kernel.stores, (at) => {
              const here = f.name(i32.add(line, i32.shl(at, i32.const(2))));
              return (bytes) => printer.setResult(0, v128.load(here, bytes));
            });
          }),
        );
      });
    },
  };
}
