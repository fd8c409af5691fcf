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
import type { AttentionAttrs } from "../ops/attention.ts";
import type { InfoNceAttrs } from "../ops/losses/contrastive.ts";
import type { ScanAttrs } from "../ops/scan.ts";
import type { AttentionSpec } from "../ops/specs/attention.ts";
import type { InfoNceSpec } from "../ops/specs/info-nce.ts";
import type { ScanSpec } from "../ops/specs/scan.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import type { Node } from "../tensor/node.ts";
import { attentionSpec, infoNceSpec, scanSpec } from "./fused-specs.ts";

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

/** Of each step: the product with the recurrent weight, and the gates' own arithmetic. */
const scan = ({ steps, batch, directions, hidden }: ScanSpec, gates: number, pointwise: number): number =>
  steps * batch * directions * hidden * (2 * gates * hidden + pointwise);

/** Of each pair of a query and a key: `products` dot products or sums over D, and the exponential's part. */
function attention({ batch, heads, queries, keys, dim, segments }: AttentionSpec, products: number): number {
  const pairs = segments ? segments.reduce((sum, length) => sum + length * length, 0) : queries * keys;
  return batch * heads * pairs * (2 * products * dim + 5);
}

/** Of each logit: `products` dot products or sums over C, and the exponential's part. */
const infoNce = ({ rows, channels, positives, negatives }: InfoNceSpec, products: number): number =>
  rows * (positives + negatives) * (2 * products * channels + 4);

type Flops = (operands: readonly ValueSpec[], attrs: never) => number;

const FUSED: Readonly<Record<string, Flops>> = {
  gruScan: ([gates, , , h0], attrs: ScanAttrs) => scan(scanSpec(gates.shape, h0.shape, attrs), 3, 14),
  gruScanBackward: ([, dhn, saved], attrs: ScanAttrs) => scan(scanSpec(saved.shape, dhn.shape, attrs), 3, 20),
  lstmScan: ([gates, , , h0], attrs: ScanAttrs) => scan(scanSpec(gates.shape, h0.shape, attrs), 4, 12),
  lstmScanBackward: ([, dhn, , saved], attrs: ScanAttrs) => scan(scanSpec(saved.shape, dhn.shape, attrs), 4, 20),
  attention: (inputs, attrs: AttentionAttrs) => attention(attentionSpec(inputs, attrs), 2),
  attentionBackward: (inputs, attrs: AttentionAttrs) => attention(attentionSpec(inputs.slice(1), attrs), 5),
  infoNce: ([, k, queue], attrs: InfoNceAttrs) => infoNce(infoNceSpec(k, queue, attrs), 1),
  infoNceBackward: ([, , k, queue], attrs: InfoNceAttrs) => infoNce(infoNceSpec(k, queue, attrs), 2),
};

/** 0 of ops that only choose or move: top-k, scattered sums. */
function fusedFlops({ fused, operands, attrs }: FusedKernel): number {
  return FUSED[fused.name]?.(operands, attrs as never) ?? 0;
}
