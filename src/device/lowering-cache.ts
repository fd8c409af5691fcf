/** The kernels that a device has for fused ops, looked up once for each op, attributes, operands and results read. */
import type { FusedOp, ValueSpec } from "../tensor/fused.ts";
import type { FusedKernel } from "../compiler/kernels.ts";
import type { Node } from "../tensor/node.ts";
import { RecentlyUsed } from "./recently-used.ts";

/** Lowerings kept by a device; a graph of more fused ops than that is lowered again where it is asked for. */
const MAX_LOWERINGS = 1024;

/** @param read which of the op's results anybody reads */
type Lower<L> = (op: FusedOp, attrs: object, inputs: readonly ValueSpec[], read: readonly boolean[]) => L | undefined;

/** @typeParam L the device's lowering */
export class LoweringCache<L> {
  readonly #known = new RecentlyUsed<L | undefined>(MAX_LOWERINGS);
  readonly #lower: Lower<L>;

  constructor(lower: Lower<L>) {
    this.#lower = lower;
  }

  /** Whether the device has kernels of its own for an op of the graph; else it runs the decomposition. */
  canLower(op: FusedOp, { op: given, inputs }: Node): boolean {
    const attrs = given.kind === "fused" ? given.attrs : {};
    return (
      this.#find(
        op,
        attrs,
        inputs,
        op.outputs(inputs, attrs).map(() => true),
      ) !== undefined
    );
  }

  /** The kernels of a fused op that `canLower`. */
  of({ fused, attrs, operands, outputs }: FusedKernel): L {
    const lowering = this.#find(
      fused,
      attrs,
      operands,
      outputs.map(({ node }) => node !== undefined),
    );
    if (!lowering) throw new Error(`internal: ${fused.name} has no kernels`);
    return lowering;
  }

  #find(op: FusedOp, attrs: object, inputs: readonly ValueSpec[], read: readonly boolean[]): L | undefined {
    const operands = inputs.map((i) => `${i.dtype}[${i.shape.join()}]`).join();
    const key = `${op.name} ${read.map(Number).join("")} ${JSON.stringify(attrs)} ${operands}`;
    return this.#known.get(key, () => this.#lower(op, attrs, inputs, read));
  }
}
