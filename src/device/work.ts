/**
 * What a kernel cannot do without: bytes of the tensors it reads and writes, each counted once, and floating-point
 * operations. It is what a roofline is drawn with (Williams, Waterman and Patterson, CACM 52(4), 2009): no kernel is
 * faster than its bytes at the memory's rate, or its operations at the arithmetic's.
 *
 * A multiply-add is two operations; a function such as exp counts as one, as an addition does. Index arithmetic, casts
 * and random bits are not counted.
 */
import type { Expr } from "../compiler/expr.ts";
import type { FusedKernel, Kernel, Store } from "../compiler/kernels.ts";
import { nodeBytes } from "../compiler/plan.ts";
import type { Node } from "../tensor/node.ts";

/** Floating-point operations and bytes. */
export interface Work {
  readonly flops: number;
  readonly bytes: number;
}

export function workOf(kernel: Kernel): Work {
  switch (kernel.kind) {
    case "loop":
      return fromStores(kernel.stores, [], kernel.size, 0);
    case "reduce": {
      const { rows, columns, rowStores, elementStores, phases } = kernel;
      const accumulated = phases.flat().map(({ value }) => value);
      const inside = fromStores(elementStores, accumulated, rows * columns, accumulated.length * rows * columns);
      // What both kinds of stores touch is counted once.
      const together = new Set([...touched(rowStores, []), ...touched(elementStores, accumulated)]);
      return {
        flops: inside.flops + rows * operations(rowStores.map(({ value }) => value)),
        bytes: [...together].reduce((sum, node) => sum + nodeBytes(node), 0),
      };
    }
    case "matmul": {
      const { batch, m, n, k, a, b, stores } = kernel;
      const operands = batch * (m * k * operations([a]) + k * n * operations([b]));
      return fromStores(stores, [a, b], batch * m * n, 2 * batch * m * n * k + operands, false);
    }
    case "fused":
      return { flops: fusedFlops(kernel), bytes: fusedBytes(kernel) };
  }
}

/** Work of `elements` evaluations of the stores, and of `inner` values where they count, beside `flops` more. */
function fromStores(
  stores: readonly Store[],
  inner: readonly Expr[],
  elements: number,
  flops: number,
  countsInner = true,
): Work {
  const counted = [...stores.map(({ value }) => value), ...(countsInner ? inner : [])];
  const nodes = touched(stores, inner);
  return {
    flops: flops + elements * operations(counted),
    bytes: [...nodes].reduce((sum, node) => sum + nodeBytes(node), 0),
  };
}

/** Operations of the elementwise table in expressions, those that are shared once. */
function operations(values: readonly Expr[]): number {
  return [...reached(values)].filter(({ kind }) => kind === "apply").length;
}

/** Tensors that are read or written. */
function touched(stores: readonly Store[], inner: readonly Expr[]): Set<Node> {
  const nodes = new Set(stores.map(({ target }) => target));
  for (const expr of reached([...stores.map(({ value }) => value), ...inner])) {
    if (expr.kind === "load") nodes.add(expr.buffer);
  }
  return nodes;
}

/** Every expression that the values are made of. */
function reached(values: readonly Expr[]): Set<Expr> {
  const seen = new Set<Expr>();
  const visit = (expr: Expr): void => {
    if (seen.has(expr)) return;
    seen.add(expr);
    if ("args" in expr) expr.args.forEach(visit);
  };
  values.forEach(visit);
  return seen;
}

function fusedBytes({ inputs, outputs }: FusedKernel): number {
  const written = outputs.flatMap(({ node }) => (node ? [node] : []));
  return [...new Set([...inputs, ...written])].reduce((sum, node) => sum + nodeBytes(node), 0);
}

/** 0 of ops that tell none: top-k and scattered sums, which only choose or move. */
function fusedFlops({ fused, operands, attrs }: FusedKernel): number {
  return fused.kernels?.flops?.(operands, attrs as never) ?? 0;
}
