/**
 * The canonical graph of one realization: equal subexpressions merged, leaves numbered, and a key that is equal for
 * graphs of equal structure. A plan made for the key serves every graph with it.
 *
 * Large sums, products, maxima and minima that leave few results are split in two here, so that there is enough to do
 * side by side.
 */
import { valuesBehind } from "../tensor/bounds.ts";
import type { Bounds } from "../tensor/bounds.ts";
import type { Assignment } from "../tensor/backend.ts";
import { Node, opKey, topologicalOrder, planning } from "../tensor/node.ts";
import type { VariableState } from "../tensor/node.ts";
import type { DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { resolve } from "./access.ts";
import { flatten, loopVariable, unflatten } from "./int-expr.ts";
import { decompose } from "./decompose.ts";
import type { CanLower } from "./decompose.ts";
import type { LongProduct } from "./long.ts";

/** Host leaves of at most this many elements travel together in one small buffer. */
export const PARAMETER_LIMIT = 16;

/** A value from outside the graph. */
export interface Leaf {
  /** The leaf in the canonical graph. */
  readonly node: Node;
  /** The leaf in the graph it was made from. */
  readonly source: Node;
  /**
   * `parameter`: a small host value, at `offset` words of the parameter buffer. `buffer`: host data or a stored
   * tensor. `variable`: may be assigned by the plan.
   */
  readonly role: "parameter" | "buffer" | "variable";
  readonly offset: number;
}

export interface Graph {
  /** Inputs before users. */
  readonly nodes: readonly Node[];
  readonly leaves: readonly Leaf[];
  /** Words of the parameter buffer. */
  readonly parameterWords: number;
  readonly outputs: readonly Node[];
  /** Values that are written into the variable of that leaf (an index into `leaves`). */
  readonly assignments: readonly { readonly leaf: number; readonly value: Node }[];
  /** Indices that must lie in bounds. */
  readonly checks: readonly BoundsCheck[];
  readonly key: string;
}

/**
 * Looked at before a run where the indices are a leaf's that the host sees; of others, one of the outputs says the
 * greatest.
 */
export interface BoundsCheck {
  readonly bounds: Bounds;
  readonly dtype: DType;
  readonly leaf?: number;
  /** Of the outputs beyond those asked for: the greatest index, read as u32, so that negative ones are large. */
  readonly output?: number;
  /** Whether that is looked at with a later read: the run itself stands. */
  readonly late?: boolean;
}

interface GraphOptions {
  readonly canLower: CanLower;
  readonly longProduct?: LongProduct;
  /** How many invocations keep the device busy. */
  readonly parallelism: number;
  /** How many rows, each reduced by what the device puts on one row, keep it busy. */
  readonly busyRows: number;
  /**
   * When the host looks at indices it does not see before the run: at once after it, and a run that fails has assigned
   * nothing; with the next read, where waiting for the run would cost; or never.
   */
  readonly checksComputed: "run" | "read" | "never";
}

export function buildGraph(outputs: readonly Node[], assignments: readonly Assignment[], options: GraphOptions): Graph {
  // What is built here serves the plan alone.
  return planning(() => build(outputs, assignments, options));
}

function build(outputs: readonly Node[], assignments: readonly Assignment[], options: GraphOptions): Graph {
  const demands: { base: Node; bounds: Bounds }[] = [];
  const onBounds = (index: Node, bounds: Bounds): void => {
    const base = valuesBehind(index);
    // The gradient of a lookup asks what the lookup has asked.
    const known = demands.some((d) => d.base === base && sameBounds(d.bounds, bounds));
    if (!known) demands.push({ base, bounds });
  };
  const asked = [...outputs, ...assignments.map((a) => a.value)];
  const wanted = decompose(asked, options.canLower, onBounds, options.longProduct);
  const late = options.checksComputed === "read";
  const unseen = ({ op }: Node) => op.kind !== "data" && (late || (op.kind !== "storage" && op.kind !== "variable"));
  const computed = options.checksComputed === "never" ? [] : demands.filter(({ base }) => unseen(base));
  const greatest = computed.map(({ base, bounds }) => greatestOf(new Tensor(base), bounds).node);
  const roots = [...wanted, ...greatest].map((node) => {
    if (sizeOf(node.shape) === 0) return new Node({ kind: "full", value: 0 }, [], node.shape, node.dtype);
    return isLeaf(node) ? new Node({ kind: "contiguous" }, [node], node.shape, node.dtype) : node;
  });
  const canonical = new Map<Node, Node>();
  const byKey = new Map<string, Node>();
  const idOf = new Map<Node, number>();
  const nodes: Node[] = [];
  const leaves: Leaf[] = [];
  const keys: string[] = [];
  const variableLeaf = new Map<VariableState, number>();
  let parameterWords = 0;

  const intern = (key: string, create: () => Node): Node => {
    let node = byKey.get(key);
    if (!node) {
      node = create();
      byKey.set(key, node);
      idOf.set(node, nodes.length);
      nodes.push(node);
      keys.push(key);
    }
    return node;
  };
  const addLeaf = (node: Node): Node => {
    const op = node.op;
    const size = sizeOf(node.shape);
    const spec = `${node.dtype}[${node.shape.join()}]`;
    if (op.kind === "variable") {
      const known = variableLeaf.get(op.variable);
      if (known !== undefined) return leaves[known].node;
      variableLeaf.set(op.variable, leaves.length);
    }
    const role =
      op.kind === "variable"
        ? "variable"
        : op.kind === "data" && size <= PARAMETER_LIMIT && node.dtype !== "f16"
          ? "parameter"
          : "buffer";
    const leaf = intern(`${role}${leaves.length}:${spec}`, () => new Node(op, [], node.shape, node.dtype));
    leaves.push({ node: leaf, source: node, role, offset: parameterWords });
    if (role === "parameter") parameterWords += size;
    return leaf;
  };
  const add = (node: Node, inputs: readonly Node[]): Node => {
    const key = `${opKey(node.op)}(${inputs.map((n) => idOf.get(n)).join()}):${node.dtype}[${node.shape.join()}]`;
    return intern(key, () => new Node(node.op, inputs, node.shape, node.dtype));
  };

  /** Whether a value is, as it stands, the contents of a buffer: fused kernels take whole buffers. */
  const inMemory = (node: Node): boolean => {
    const { producer, access } = resolve(node, unflatten(loopVariable("i", sizeOf(node.shape)), node.shape));
    const kind = producer.op.kind;
    if (kind === "full" || kind === "iota" || access.conditions.length > 0) return false;
    if (leaves.some((l) => l.node === producer && l.role === "parameter")) return false;
    const whole = sizeOf(producer.shape) === sizeOf(node.shape);
    return whole && flatten(access.index, producer.shape).key === loopVariable("i", sizeOf(node.shape)).key;
  };
  const copyOf = (node: Node) => new Node({ kind: "contiguous" }, [], node.shape, node.dtype);

  for (const node of topologicalOrder(roots)) {
    const inputs = node.inputs.map((n) => canonical.get(n)!);
    const kind = node.op.kind;
    if (kind === "data" || kind === "storage" || kind === "variable") canonical.set(node, addLeaf(node));
    else if (kind === "fused")
      canonical.set(
        node,
        add(
          node,
          inputs.map((n) => (inMemory(n) ? n : add(copyOf(n), [n]))),
        ),
      );
    else {
      const split = splitReduce(node, inputs, options);
      canonical.set(node, split ? split.reduce<Node>((x, step) => add(step, [x]), inputs[0]) : add(node, inputs));
    }
  }
  // A variable that is assigned but not read is a leaf too: it names the buffer.
  const assigned = assignments.map(({ variable }, i) => {
    const value = canonical.get(roots[outputs.length + i])!;
    let leaf = variableLeaf.get(variable);
    if (leaf === undefined) {
      leaf = leaves.length;
      addLeaf(new Node({ kind: "variable", variable, version: variable.version }, [], value.shape, value.dtype));
    }
    return { leaf, value };
  });
  const results = outputs.map((_, i) => canonical.get(roots[i])!);
  const checks: BoundsCheck[] = computed.map(({ base: { dtype }, bounds }, i) => {
    results.push(canonical.get(roots[wanted.length + i])!);
    return { bounds, dtype, output: results.length - 1, ...(late ? { late } : {}) };
  });
  for (const { base, bounds } of demands) {
    const node = canonical.get(base);
    const leaf = isLeaf(base) && node ? leaves.findIndex((l) => l.node === node) : -1;
    if (leaf >= 0) checks.push({ bounds, dtype: base.dtype, leaf });
  }
  const key =
    `${keys.join("\n")}\n>${results.map((n) => idOf.get(n)).join()}` +
    `\n=${assigned.map((a) => `${a.leaf}:${idOf.get(a.value)}`).join()}` +
    (checks.length > 0 ? `\n?${JSON.stringify(checks)}` : "");
  return { nodes, leaves, parameterWords, outputs: results, assignments: assigned, checks, key };
}

function sameBounds(a: Bounds, b: Bounds): boolean {
  return a.op === b.op && a.what === b.what && a.size === b.size && a.ignore === b.ignore;
}

/** The greatest index as u32, so that negative ones are large; ignored ones count as 0. */
export function greatestOf(index: Tensor, { ignore }: Bounds): Tensor {
  const counted = ignore === undefined ? index : index.eq(ignore).where(0, index);
  return counted.cast("u32").max();
}

function isLeaf(node: Node): boolean {
  return node.op.kind === "data" || node.op.kind === "storage" || node.op.kind === "variable";
}

/** A reduce to few results from many elements, as two: `[axis → (parts, rest)]`, over all but the parts, over the parts. */
function splitReduce(node: Node, inputs: readonly Node[], { parallelism, busyRows }: GraphOptions): Node[] | undefined {
  const op = node.op;
  if (op.kind !== "reduce") return undefined;
  const x = inputs[0];
  const results = sizeOf(node.shape);
  const reduced = sizeOf(x.shape) / results;
  if (reduced < 8192 || results >= busyRows) return undefined;
  // The part count divides one reduced axis and is near the square root of the work.
  let best: { axis: number; parts: number } | undefined;
  for (const axis of op.axes) {
    const size = x.shape[axis];
    const limit = Math.min(size, Math.max(parallelism / results, Math.sqrt(reduced)));
    for (let parts = Math.floor(limit); parts > (best?.parts ?? 7); parts--) {
      if (size % parts === 0) {
        best = { axis, parts };
        break;
      }
    }
  }
  if (!best) return undefined;
  const { axis, parts } = best;
  const shape = [...x.shape.slice(0, axis), parts, x.shape[axis] / parts, ...x.shape.slice(axis + 1)];
  const inner = op.axes.map((a) => (a === axis ? a + 1 : a > axis ? a + 1 : a));
  const middle = shape.filter((_, i) => !inner.includes(i));
  const partAxis = shape.slice(0, axis).filter((_, i) => !inner.includes(i)).length;
  return [
    new Node({ kind: "reshape" }, [], shape, node.dtype),
    new Node({ kind: "reduce", name: op.name, axes: inner }, [], middle, node.dtype),
    new Node({ kind: "reduce", name: op.name, axes: [partAxis] }, [], node.shape, node.dtype),
  ];
}
