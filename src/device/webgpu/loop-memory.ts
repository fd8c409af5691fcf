/**
 * Where the values of a loop lie that runs as one kernel.
 *
 * What a step makes lies in memory of the loop's own, in which every workgroup has its rows. A carry has two halves
 * there, which are read and written by turns. What is kept of every step is written where it stays, and what bindings
 * do not suffice for is copied to the loop's own memory before, or from it afterwards.
 */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { LoopLeaf, LoopParts } from "../../compiler/loop-plan.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { Spot } from "../../shaders/print/bindings.ts";
import type { OwnRows } from "../../shaders/print/loop.ts";
import { ownShare } from "../../shaders/print/loop.ts";
import { LOOP_NAMES } from "../../shaders/print/persistent.ts";
import { storageType } from "../../shaders/print/types.ts";
import { Node } from "../../tensor/node.ts";
import { timeOf } from "../../tensor/program/body.ts";
import { sizeOf } from "../../tensor/shape.ts";

/** Where a copy begins or ends: an operand or a result of the loop, or memory of its own, and bytes into it. */
export interface End {
  readonly kind: "operand" | "result" | "own";
  readonly number: number;
  readonly offset?: number;
}

export interface LoopCopy {
  readonly from: End;
  readonly to: End;
  readonly bytes: number;
}

/** Elements that a value takes where the next one begins at a multiple of four. */
const roundedUp = (node: Node): number => Math.ceil(sizeOf(node.shape) / 4) * 4;

export class LoopMemory {
  /** What does not begin at multiples of four elements, or is not cut there. */
  readonly inElements = new Set<Node>();
  readonly #kernel: FusedKernel;
  readonly #parts: LoopParts;
  readonly #own: OwnRows;
  readonly #guarded: ReadonlySet<Node>;
  /** Elements of the loop's own memory before a value, by type of memory. */
  readonly #bases = new Map<Node, number>();
  readonly #ends = new Map<string, number>();
  /** Memory of a type that is accessed in vec4s, and in elements. */
  readonly #memories = new Map<string, readonly [vectors: Node, elements: Node]>();
  readonly #leafOf: ReadonlyMap<Node, LoopLeaf>;
  readonly #valueOf: ReadonlyMap<Node, number>;
  /** Leaves that a value is at the next step, and operands that they are at the first. */
  readonly #carriesOf: readonly (readonly { readonly node: Node; readonly operand: number }[])[];

  /**
   * @param inner the plan of the body
   * @param guarded values that are asked for outside the row, in vain
   * @param copied operands and results that are not bound
   */
  constructor(
    kernel: FusedKernel,
    parts: LoopParts,
    inner: Plan,
    own: OwnRows,
    guarded: ReadonlySet<Node>,
    copied: ReadonlySet<Node>,
  ) {
    this.#kernel = kernel;
    this.#parts = parts;
    this.#own = own;
    this.#guarded = guarded;
    const { graph, leaves, values } = parts;
    this.#leafOf = new Map(graph.leaves.map(({ node }, i) => [node, leaves[i]]));
    this.#valueOf = new Map(values.map(({ node }, v) => [node, v]));
    this.#carriesOf = values.map((_, v) =>
      graph.leaves.flatMap(({ node }, i) => {
        const leaf = leaves[i];
        return leaf.kind === "carry" && leaf.value === v ? [{ node, operand: leaf.operand }] : [];
      }),
    );
    for (const { node } of this.#carriesOf.flat()) this.#place(node, 2 * roundedUp(node));
    for (const [node, { kind }] of inner.placeOf) if (kind === "slot") this.#place(node, roundedUp(node));
    values.forEach(({ node, kept }, v) => {
      if (kept.length === 0 && this.#carriesOf[v].length === 0) this.#place(node, roundedUp(node));
    });
    for (const node of copied) this.#place(node, roundedUp(node));
    for (const [type, size] of this.#ends) {
      const memory = (): Node => new Node({ kind: "iota" }, [], [size], type as Node["dtype"]);
      this.#memories.set(type, [memory(), memory()]);
    }

    graph.leaves.forEach(({ node }, i) => {
      const leaf = leaves[i];
      if (leaf.kind === "step" && sizeOf(node.shape) % 4 !== 0) this.inElements.add(kernel.inputs[leaf.operand]);
    });
    for (const { node } of values) if (sizeOf(node.shape) % 4 !== 0) this.inElements.add(node);
    for (const node of guarded) {
      const leaf = this.#leafOf.get(node);
      const uneven = this.#share(node) % 4 !== 0 || sizeOf(node.shape) % 4 !== 0;
      if (uneven) this.inElements.add(leaf?.kind === "carry" ? values[leaf.value].node : node);
    }
  }

  #place(node: Node, elements: number): void {
    const type = storageType(node.dtype);
    const base = this.#ends.get(type) ?? 0;
    this.#bases.set(node, base);
    this.#ends.set(type, base + elements);
  }

  /** Elements of a value that are a workgroup's. */
  #share(node: Node): number {
    return ownShare(this.#own, sizeOf(node.shape));
  }

  #memoryOf(unit: Node, mixed: ReadonlySet<Node>): Node {
    return this.#memories.get(storageType(unit.dtype))![mixed.has(unit) ? 1 : 0];
  }

  /** Where the body's node is read and written. */
  readonly spotsOf = (node: Node, mixed: ReadonlySet<Node>): readonly Spot[] => {
    const { values } = this.#parts;
    const leaf = this.#leafOf.get(node);
    const within = this.#within(node);
    if (leaf?.kind === "whole" || leaf?.kind === "step") {
      const bound = this.#kernel.inputs[leaf.operand];
      return [this.#outer(bound, bound, leaf.kind === "step" ? node : undefined, mixed)];
    }
    if (leaf) {
      const unit = values[leaf.value].node;
      const offset = (per: 1 | 4): string => this.#half(node, LOOP_NAMES.half, per);
      return [{ memory: this.#memoryOf(unit, mixed), unit, offset, within }];
    }
    const inOwn = (offset: Spot["offset"]): Spot => ({
      memory: this.#memoryOf(node, mixed),
      unit: node,
      offset,
      within,
    });
    const v = this.#valueOf.get(node);
    const base = this.#bases.get(node);
    if (v === undefined || base !== undefined) return [inOwn((per) => `${base! / per}`)];
    const carried = this.#carriesOf[v].map((carry) =>
      inOwn((per) => this.#half(carry.node, `(1 - ${LOOP_NAMES.half})`, per)),
    );
    const kept = values[v].kept
      .slice(0, 1)
      .map((result) => ({ ...this.#outer(this.#kernel.outputs[result].node!, node, node, mixed), within }));
    return [...carried, ...kept];
  };

  /** In an operand or a result, or where it is copied to: at the step's place where it has one for every step. */
  #outer(bound: Node, unit: Node, step: Node | undefined, mixed: ReadonlySet<Node>): Spot {
    const base = this.#bases.get(bound);
    const offset = (per: 1 | 4): string => {
      const parts = base === undefined ? [] : [`${base / per}`];
      if (step) parts.push(`${LOOP_NAMES.time} * ${sizeOf(step.shape) / per}`);
      return parts.join(" + ");
    };
    return { memory: base === undefined ? bound : this.#memoryOf(unit, mixed), unit, offset };
  }

  #half(node: Node, which: string, per: 1 | 4): string {
    return `${this.#bases.get(node)! / per} + ${which} * ${roundedUp(node) / per}`;
  }

  /** Where an index outside a workgroup's rows is held to them. */
  #within(node: Node): Spot["within"] {
    if (!this.#guarded.has(node)) return undefined;
    const [each, all] = [this.#share(node), sizeOf(node.shape)];
    return (per) => {
      const first = `${LOOP_NAMES.workgroup} * ${each / per}`;
      return [first, `min(${first} + ${each / per}, ${all / per}) - 1`];
    };
  }

  /** Memory of the loop's own that is bound, and what is copied before the kernel and after. */
  copies(bound: ReadonlySet<Node>, mixed: ReadonlySet<Node>) {
    const { loop, copies, values } = this.#parts;
    const { inputs, outputs } = this.#kernel;
    const memory = [...this.#memories.values()].flat().filter((node) => bound.has(node));
    const at = (node: Node, unit: Node, half = 0): End => ({
      kind: "own",
      number: memory.indexOf(this.#memoryOf(unit, mixed)),
      offset: 4 * (this.#bases.get(node)! + half * roundedUp(node)),
    });
    const before = this.#carriesOf.flatMap((carries, v) =>
      carries.map(({ node, operand }): LoopCopy => {
        return { from: { kind: "operand", number: operand }, to: at(node, values[v].node), bytes: nodeBytes(node) };
      }),
    );
    const after: LoopCopy[] = [];
    inputs.forEach((node, number) => {
      if (!this.#bases.has(node) || inputs.indexOf(node) !== number) return;
      before.push({ from: { kind: "operand", number }, to: at(node, node), bytes: nodeBytes(node) });
    });
    values.forEach(({ node, bytes, kept: [kept], last: [last] }, v) => {
      if (kept !== undefined) {
        const result = outputs[kept].node!;
        if (!this.#bases.has(result)) return;
        after.push({ from: at(result, node), to: { kind: "result", number: kept }, bytes: nodeBytes(result) });
      } else if (last !== undefined) {
        const [carry] = this.#carriesOf[v];
        const from = carry ? at(carry.node, node, loop.steps % 2) : at(node, node);
        after.push({ from, to: { kind: "result", number: last }, bytes });
      }
    });
    for (const { from, to, lastOnly } of copies) {
      const bytes = nodeBytes(outputs[to]);
      const offset = lastOnly ? bytes * timeOf(loop, loop.steps - 1) : 0;
      after.push({ from: { kind: "result", number: from, offset }, to: { kind: "result", number: to }, bytes });
    }
    return { memory, before, after };
  }
}
