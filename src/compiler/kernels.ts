/**
 * Kernels as data: a group of the schedule turned into loops over expressions. This is what devices translate; the
 * WGSL of it is printed by `src/shaders`.
 */
import type { FusedOp } from "../tensor/fused.ts";
import { valueSpec } from "../tensor/fused.ts";
import type { Node, ReduceName } from "../tensor/node.ts";
import { producerOf } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { resolve } from "./access.ts";
import type { Expr } from "./expr.ts";
import { ExprBuilder } from "./expr.ts";
import type { Graph, Leaf } from "./graph.ts";
import type { IntExpr } from "./int-expr.ts";
import { add, flatten, int, loopVariable, runtimeValue, sub, unflatten } from "./int-expr.ts";
import { getOrCompute } from "./memo.ts";
import type { Group } from "./fusion/group.ts";
import type { KernelSchedule } from "./schedule.ts";

export interface Store {
  /** The node whose memory is written. */
  readonly target: Node;
  readonly index: IntExpr;
  readonly value: Expr;
}

/** One element after the other; loop variable "i". */
export interface LoopKernel {
  readonly kind: "loop";
  readonly exprs: ExprBuilder;
  readonly size: number;
  readonly stores: readonly Store[];
}

export interface Accumulator {
  /** What `result` expressions refer to. */
  readonly number: number;
  readonly name: ReduceName;
  readonly value: Expr;
}

/**
 * Rows "r" and, within each, columns "c". Phases run one after the other; the accumulators of a phase may use the
 * results of earlier ones. Then one value a row, and one value an element, are stored.
 */
export interface ReduceKernel {
  readonly kind: "reduce";
  readonly exprs: ExprBuilder;
  readonly rows: number;
  readonly columns: number;
  /** Whether the columns are the trailing axes: neighbours in memory. */
  readonly trailing: boolean;
  readonly phases: readonly (readonly Accumulator[])[];
  readonly rowStores: readonly Store[];
  readonly elementStores: readonly Store[];
}

/** C = A·B for every batch "b": operands in terms of "b", "m", "k" and "b", "k", "n"; stores of "b", "m", "n". */
export interface MatmulKernel {
  readonly kind: "matmul";
  readonly exprs: ExprBuilder;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Expr;
  readonly b: Expr;
  /** The product's element is the `result` expression number 0. */
  readonly stores: readonly Store[];
}

/** A fused op the device lowers itself: operands and results are whole buffers. */
export interface FusedKernel {
  readonly kind: "fused";
  readonly fused: FusedOp;
  readonly attrs: object;
  /** Shapes and dtypes of the operands as the op sees them. */
  readonly operands: readonly { readonly shape: Shape; readonly dtype: Node["dtype"] }[];
  /** The nodes whose memory the operands are. */
  readonly inputs: readonly Node[];
  /** In the op's order; absent where nobody reads that result. */
  readonly outputs: readonly { readonly node?: Node; readonly shape: Shape; readonly dtype: Node["dtype"] }[];
}

export type Kernel = LoopKernel | ReduceKernel | MatmulKernel | FusedKernel;

/** Turns the groups of a schedule into kernels. */
export class KernelBuilder {
  readonly #schedule: KernelSchedule;
  readonly #leaves = new Map<Node, Leaf>();

  constructor(graph: Graph, schedule: KernelSchedule) {
    this.#schedule = schedule;
    for (const leaf of graph.leaves) this.#leaves.set(leaf.node, leaf);
  }

  build(group: Group): Kernel {
    switch (group.kind) {
      case "loop":
        return this.#loop(group);
      case "reduce":
        return this.#reduce(group);
      case "matmul":
        return this.#matmul(group);
      case "fused":
        return this.#fused(group);
    }
  }

  #loop(group: Group): LoopKernel {
    const lowering = new KernelValues(group, this.#schedule, this.#leaves);
    const i = loopVariable("i", group.size);
    const stores = this.#storedMembers(group).flatMap((node) => this.#storesOf(node, group.size, i, lowering));
    return { kind: "loop", exprs: lowering.exprs, size: group.size, stores };
  }

  /** Stores of a member at element `at` of the `size` that its kernel runs over: of parts, one each. */
  #storesOf(target: Node, size: number, at: IntExpr, lowering: KernelValues): Store[] {
    const { op, inputs, shape } = target;
    if (op.kind !== "concat" || sizeOf(shape) === size)
      return [{ target, index: at, value: lowering.value(target, unflatten(at, shape)) }];
    return inputs.map((part, k) => {
      const index = unflatten(at, part.shape);
      const shift = int(k * part.shape[op.axis]);
      const place = index.map((e, a) => (a === op.axis ? add(e, shift) : e));
      return { target, index: flatten(place, shape), value: lowering.value(part, index) };
    });
  }

  #storedMembers(group: Group): Node[] {
    return [...group.members].filter((m) => this.#schedule.stored.has(m));
  }

  #reduce(group: Group): ReduceKernel {
    const { shape, axes, rows, columns } = group.space!;
    const lowering = new KernelValues(group, this.#schedule, this.#leaves);
    const r = loopVariable("r", rows);
    const c = loopVariable("c", columns);
    const keptShape = shape.filter((_, a) => !axes.includes(a));
    const kept = unflatten(r, keptShape);
    const reduced = unflatten(
      c,
      axes.map((a) => shape[a]),
    );
    const index = shape.map((_, a) => (axes.includes(a) ? reduced[axes.indexOf(a)] : kept[keptAxis(axes, a)]));
    const flat = flatten(index, shape);

    const reductions = [...group.members].filter((m) => m.op.kind === "reduce");
    reductions.forEach((node, number) => lowering.results.set(node, number));
    const values = new Map<Node, Expr>();
    for (const node of reductions) {
      const input = node.inputs[0];
      values.set(node, lowering.value(input, unflatten(flat, input.shape)));
    }
    const phaseOf = phases(reductions, values, lowering.exprs);
    const count = Math.max(0, ...phaseOf.values()) + 1;
    const grouped: Accumulator[][] = Array.from({ length: reductions.length ? count : 0 }, () => []);
    reductions.forEach((node, number) => {
      if (node.op.kind === "reduce")
        grouped[phaseOf.get(number)!].push({ number, name: node.op.name, value: values.get(node)! });
    });

    const rowStores: Store[] = [];
    const elementStores: Store[] = [];
    for (const node of this.#storedMembers(group)) {
      if (node.op.kind === "reduce" || sizeOf(node.shape) === rows) {
        rowStores.push({ target: node, index: r, value: lowering.value(node, unflatten(r, node.shape)) });
      } else {
        elementStores.push(...this.#storesOf(node, rows * columns, flat, lowering));
      }
    }
    const trailing = axes[0] === shape.length - axes.length;
    return {
      kind: "reduce",
      exprs: lowering.exprs,
      rows,
      columns,
      trailing,
      phases: grouped,
      rowStores,
      elementStores,
    };
  }

  #matmul(group: Group): MatmulKernel {
    const lowering = new KernelValues(group, this.#schedule, this.#leaves);
    const node = group.root!;
    const [aNode, bNode] = node.inputs;
    const [m, k] = aNode.shape.slice(-2);
    const n = bNode.shape[bNode.shape.length - 1];
    const batchShape = node.shape.slice(0, -2);
    const batch = sizeOf(batchShape);
    const [b, vm, vn, vk] = [
      loopVariable("b", batch),
      loopVariable("m", m),
      loopVariable("n", n),
      loopVariable("k", k),
    ];
    const batchIndex = unflatten(b, batchShape);
    const a = lowering.value(aNode, [...batchIndex, vm, vk]);
    const bExpr = lowering.value(bNode, [...batchIndex, vk, vn]);
    lowering.results.set(node, 0);
    const flat = flatten([b, vm, vn], [batch, m, n]);
    const stores = this.#storedMembers(group).map((member) => ({
      target: member,
      index: flat,
      value: lowering.value(member, unflatten(flat, member.shape)),
    }));
    return { kind: "matmul", exprs: lowering.exprs, batch, m, n, k, a, b: bExpr, stores };
  }

  #fused(group: Group): FusedKernel {
    const node = group.root!;
    if (node.op.kind !== "fused") throw new Error("internal: no fused node");
    const specs = node.op.fused.outputs(node.inputs, node.op.attrs);
    const picks = new Map<number, Node>();
    for (const m of group.members) if (m.op.kind === "pick") picks.set(m.op.index, m);
    return {
      kind: "fused",
      fused: node.op.fused,
      attrs: node.op.attrs,
      operands: node.inputs.map(valueSpec),
      inputs: node.inputs.map(producerOf),
      outputs: specs.map((spec, i) => ({ node: picks.get(i), shape: spec.shape, dtype: spec.dtype })),
    };
  }
}

function keptAxis(axes: readonly number[], axis: number): number {
  return axis - axes.filter((a) => a < axis).length;
}

/** Phase of each reduction: after every reduction its value uses. */
function phases(reductions: readonly Node[], values: ReadonlyMap<Node, Expr>, exprs: ExprBuilder): Map<number, number> {
  const phaseOf = new Map<number, number>();
  const depth = new Map<number, number>();
  const visit = (expr: Expr): number => {
    const known = depth.get(expr.id);
    if (known !== undefined) return known;
    let deepest = 0;
    if (expr.kind === "result") deepest = solve(expr.number) + 1;
    if ("args" in expr) for (const arg of expr.args) deepest = Math.max(deepest, visit(arg));
    for (const id of runtimeValues(expr)) deepest = Math.max(deepest, visit(exprs.byId(id)));
    depth.set(expr.id, deepest);
    return deepest;
  };
  const solve = (number: number): number => {
    const known = phaseOf.get(number);
    if (known !== undefined) return known;
    const phase = visit(values.get(reductions[number])!);
    phaseOf.set(number, phase);
    return phase;
  };
  reductions.forEach((_, number) => solve(number));
  return phaseOf;
}

/** Ids of the expressions whose run-time values an expression's indices use. */
function runtimeValues(expr: Expr): number[] {
  const found = new Set<number>();
  const visit = (index: IntExpr): void => {
    for (const { atom } of index.terms) {
      if (atom.kind === "value") found.add(atom.id);
      else if (atom.kind !== "variable") visit(atom.of);
    }
  };
  if ("index" in expr) visit(expr.index);
  if ("position" in expr) visit(expr.position);
  if ("conditions" in expr) for (const c of expr.conditions) visit(c.expr);
  return [...found];
}

/** Values of nodes at symbolic positions, within one kernel. */
class KernelValues {
  readonly exprs = new ExprBuilder();
  /** Reductions and products computed by this very kernel. */
  readonly results = new Map<Node, number>();
  readonly #group: Group;
  readonly #schedule: KernelSchedule;
  readonly #leaves: ReadonlyMap<Node, Leaf>;
  readonly #memo = new Map<Node, Map<string, Expr>>();

  constructor(group: Group, schedule: KernelSchedule, leaves: ReadonlyMap<Node, Leaf>) {
    this.#group = group;
    this.#schedule = schedule;
    this.#leaves = leaves;
  }

  value(node: Node, index: readonly IntExpr[]): Expr {
    const { producer, access } = resolve(node, index);
    const at = access.index.map((e) => e.key).join(";");
    const known = getOrCompute(this.#memo, producer, () => new Map<string, Expr>());
    const value = getOrCompute(known, at, () => this.#compute(producer, access.index));
    if (access.conditions.length === 0) return value;
    return this.exprs.make({ kind: "guard", dtype: value.dtype, args: [value], conditions: access.conditions });
  }

  #compute(node: Node, index: readonly IntExpr[]): Expr {
    const { exprs } = this;
    const { dtype, op } = node;
    const leaf = this.#leaves.get(node);
    if (leaf) {
      const flat = flatten(index, node.shape);
      return leaf.role === "parameter"
        ? exprs.make({ kind: "parameter", dtype, word: leaf.offset, index: flat })
        : exprs.make({ kind: "load", dtype, buffer: node, index: flat });
    }
    const result = this.results.get(node);
    if (result !== undefined) return exprs.make({ kind: "result", dtype, number: result, of: this.#resultVariables() });
    switch (op.kind) {
      case "full":
        return exprs.make({ kind: "constant", dtype, value: op.value });
      case "iota":
        return exprs.make({ kind: "index", dtype, index: flatten(index, node.shape) });
      default:
    }
    const here = this.#group.members.has(node) || this.#schedule.inlined.has(node);
    if (!here || op.kind === "reduce" || op.kind === "matmul" || op.kind === "pick") {
      return exprs.make({ kind: "load", dtype, buffer: node, index: flatten(index, node.shape) });
    }
    switch (op.kind) {
      case "elementwise":
        return exprs.make({ kind: "apply", dtype, name: op.name, args: node.inputs.map((n) => this.value(n, index)) });
      case "cast":
        return exprs.make({ kind: "cast", dtype, args: [this.value(node.inputs[0], index)] });
      case "contiguous":
        return this.value(node.inputs[0], index);
      case "bits": {
        const word = (k: number) => this.value(node.inputs[0], [int(k)]);
        return exprs.make({
          kind: "bits",
          dtype,
          args: [word(0), word(1), word(2)],
          index: flatten(index, node.shape),
        });
      }
      case "gather": {
        const wanted = this.value(node.inputs[1], index);
        const last = node.inputs[0].shape[op.axis] - 1;
        const clamped = exprs.make({ kind: "clampIndex", dtype: "i32", args: [wanted], max: last });
        return this.value(
          node.inputs[0],
          index.map((e, a) => (a === op.axis ? runtimeValue(clamped.id, last) : e)),
        );
      }
      case "concat": {
        const ends: number[] = [];
        let end = 0;
        const args = node.inputs.map((part) => {
          const start = end;
          end += part.shape[op.axis];
          ends.push(end);
          return this.value(
            part,
            index.map((e, a) => (a === op.axis ? sub(e, int(start)) : e)),
          );
        });
        return exprs.make({ kind: "choose", dtype, position: index[op.axis], ends, args });
      }
      default:
        throw new Error(`internal: "${op.kind}" inside a kernel`);
    }
  }

  /** A reduction's result is one value a row; a product's, one an element. */
  #resultVariables(): string[] {
    return this.#group.kind === "reduce" ? ["r"] : ["b", "m", "n"];
  }
}
