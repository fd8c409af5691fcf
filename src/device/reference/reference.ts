/**
 * The `reference` device: the graph evaluated node by node in float64 (see evaluate.ts).
 *
 * It is slow on purpose: nothing is shared with the other devices but the graph itself, so that an error in fusion,
 * planning or a kernel cannot hide in it.
 */
import { decompose } from "../../compiler/decompose.ts";
import type { Assignment, Backend, CompiledStep, Storage } from "../../tensor/backend.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import { topologicalOrder, planning } from "../../tensor/node.ts";
import { checkVersion } from "../../tensor/program/realize.ts";
import type { Shape } from "../../tensor/shape.ts";
import { evaluate, valueArray } from "./evaluate.ts";
import { runLoop } from "./loop.ts";

class HostStorage implements Storage {
  #values: HostArray | undefined;
  constructor(
    readonly device: Backend,
    readonly shape: Shape,
    readonly dtype: DType,
    values: HostArray,
  ) {
    this.#values = values;
  }
  get values(): HostArray {
    if (!this.#values) throw new Error("the tensor was disposed of");
    return this.#values;
  }
  set values(values: HostArray) {
    this.#values = values;
  }
  dispose(): void {
    this.#values = undefined;
  }
}

/**
 * The device `reference`: every floating dtype in float64, one plain loop an operation. What other devices are tested
 * against.
 */
export class ReferenceDevice implements Backend {
  readonly kind = "reference";
  readonly name = "reference (float64)";

  /** Every dtype there is. */
  supports(): boolean {
    return true;
  }

  realize(outputs: readonly Node[], assignments: readonly Assignment[]): Promise<Storage[]> {
    return Promise.resolve(this.#run(outputs, assignments, new Map()));
  }

  compile(
    inputs: readonly Node[],
    outputs: readonly Node[],
    assignments: readonly Assignment[],
  ): Promise<CompiledStep> {
    // The leaves of variables change their values between runs; nothing else is kept. The first run takes what tracing drew.
    let traced = true;
    const run = (values: readonly (HostArray | Storage)[], drawn?: ReadonlyMap<Node, HostArray>) => {
      const bound = new Map(inputs.map((node, i) => [node, toValues(values[i], node)]));
      for (const [node, data] of drawn ?? []) bound.set(node, toValues(data, node));
      const storages = this.#run(outputs, assignments, bound, true, !traced);
      traced = false;
      return Promise.resolve(storages);
    };
    return Promise.resolve({ run, dispose: () => undefined });
  }

  #run(
    outputs: readonly Node[],
    assignments: readonly Assignment[],
    bound: ReadonlyMap<Node, HostArray>,
    anyVersion = false,
    refresh = false,
  ): Storage[] {
    const asked = [...outputs, ...assignments.map((a) => a.value)];
    const roots = planning(() => decompose(asked, (op) => op.host !== undefined || op.loop !== undefined));
    const values = new Map<Node, HostArray>();
    /** Results of loops, by the loop. */
    const loops = new Map<Node, readonly HostArray[]>();
    const order = topologicalOrder(roots);
    const uses = new Map<Node, number>();
    for (const node of order) for (const input of node.inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
    for (const root of roots) uses.set(root, Infinity);
    for (const node of order) {
      const { op } = node;
      if (op.kind === "fused" && op.fused.loop) {
        const run = (ins: readonly Node[], outs: readonly Node[], given: readonly HostArray[]): HostArray[] =>
          this.#run(outs, [], new Map(ins.map((n, i) => [n, given[i]]))).map((s) => (s as HostStorage).values);
        const operands = node.inputs.map((n) => values.get(n)!);
        loops.set(node, runLoop(op.fused.loop, operands, run));
      }
      const loop = op.kind === "pick" ? loops.get(node.inputs[0])?.[op.index] : loops.get(node)?.[0];
      values.set(node, loop ?? bound.get(node) ?? this.#valueOf(node, values, anyVersion, refresh));
      for (const input of node.inputs) {
        const left = uses.get(input)! - 1;
        uses.set(input, left);
        if (left === 0) values.delete(input);
      }
    }
    const storages = outputs.map(
      (node, i) => new HostStorage(this, node.shape, node.dtype, values.get(roots[i])!.slice()),
    );
    // All values are computed before any variable changes.
    const assigned = assignments.map((_, i) => values.get(roots[outputs.length + i])!.slice());
    assignments.forEach(({ variable, value }, i) => {
      if (variable.storage) (variable.storage as HostStorage).values = assigned[i];
      else variable.storage = new HostStorage(this, value.shape, value.dtype, assigned[i]);
      variable.device = this;
    });
    return storages;
  }

  #valueOf(node: Node, values: ReadonlyMap<Node, HostArray>, anyVersion: boolean, refresh: boolean): HostArray {
    const op = node.op;
    switch (op.kind) {
      case "data":
        return toValues(op.refresh && refresh ? op.refresh() : op.data, node);
      case "storage":
        return (op.storage as HostStorage).values;
      case "variable":
        if (!anyVersion) checkVersion(node);
        return (op.variable.storage as HostStorage).values;
      case "fused":
        // Of several results, `pick` takes its own; those of ops with a host form have one.
        return op.fused.host!(
          node.inputs.map((n) => values.get(n)!),
          node.inputs,
          op.attrs,
        )[0];
      case "pick":
        return values.get(node.inputs[0])!;
      default:
        return evaluate(
          node,
          node.inputs.map((n) => values.get(n)!),
        );
    }
  }

  /** A copy of the values: floats in double precision. */
  read(storage: Storage): Promise<HostArray> {
    const { values } = storage as HostStorage;
    // Floating results come back in double precision: that is what this device is for.
    return Promise.resolve(values.slice());
  }
  peek(storage: Storage): HostArray {
    return (storage as HostStorage).values;
  }
  synchronize(): Promise<void> {
    return Promise.resolve();
  }
  /** Nothing is held that must be given back. */
  close(): void {}
}

function toValues(data: HostArray | Storage, node: Node): HostArray {
  if (!ArrayBuffer.isView(data)) return (data as HostStorage).values;
  if (isFloat(node.dtype) && data instanceof Float64Array) return data;
  const values = valueArray(node.dtype, data.length);
  values.set(data as Float64Array);
  return values;
}
