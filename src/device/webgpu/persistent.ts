/**
 * A loop on a GPU as one dispatch, where its body computes every batch row from that row alone.
 *
 * Values of a step lie in a buffer of the loop's own, in which every workgroup has its rows. A carry has two places
 * there, which are read and written by turns.
 */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { LoopParts } from "../../compiler/loop-plan.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { rowLocal } from "../../compiler/row-local.ts";
import type { AdapterProfile } from "../../shaders/kernel.ts";
import type { Spot } from "../../shaders/print/bindings.ts";
import { LOOP_NAMES, divideRows, printPersistent } from "../../shaders/print/persistent.ts";
import { storageType } from "../../shaders/print/types.ts";
import { valueSpec } from "../../tensor/fused.ts";
import { Node } from "../../tensor/node.ts";
import { timeOf } from "../../tensor/program/body.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Work } from "../work.ts";
import type { BufferSlice } from "./bindings.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import type { Command, Gpu } from "./gpu/gpu.ts";
import type { Pipeline } from "./gpu/pipelines.ts";
import type { Placed, RecordedDispatch } from "./recorded.ts";
import { copyCommand, dispatchCommand } from "./recorded.ts";

type Program = ReturnType<typeof printPersistent>;

/** Where a copy begins or ends: an operand or a result of the loop, or the loop's own memory, and bytes into it. */
interface End {
  readonly kind: "operand" | "result" | "own";
  readonly number: number;
  readonly offset?: number;
}

interface Copy {
  readonly from: End;
  readonly to: End;
  readonly bytes: number;
}

/** A loop's kernel, and what is copied before it and after. */
export interface PersistentProgram extends Omit<Program, "bindings" | "mixed"> {
  /** Nodes of the plan that the loop stands in, and of `own`. */
  readonly bindings: readonly { readonly node: Node; readonly access: "read" | "read_write" }[];
  /** Memory that the loop needs while it runs. */
  readonly own: readonly Node[];
  readonly before: readonly Copy[];
  readonly after: readonly Copy[];
}

/** Elements that a value takes where the next one begins at a multiple of four. */
const roundedUp = (elements: number): number => Math.ceil(elements / 4) * 4;

/**
 * The loop as one kernel.
 *
 * @param inner the plan of the body
 * @returns undefined where rows need each other, or the adapter has too few bindings
 */
export function persistentProgram(
  kernel: FusedKernel,
  parts: LoopParts,
  inner: Plan,
  profile: AdapterProfile,
): PersistentProgram | undefined {
  const { loop, graph, leaves, values } = parts;
  const rows = graph.outputs[0]?.shape[0];
  if (!rows) return undefined;
  const leafOf = new Map(graph.leaves.map(({ node }, i) => [node, leaves[i]]));
  const kernels = inner.steps.flatMap((s) => s.kernels);
  const guarded = rowLocal(kernels, rows, (node) => {
    const kind = leafOf.get(node)?.kind;
    return kind === undefined || kind === "carry";
  });
  if (!guarded) return undefined;

  // Places in the loop's own memory, by type.
  const ends = new Map<string, number>();
  const bases = new Map<Node, number>();
  const place = (node: Node, elements: number): void => {
    const type = storageType(node.dtype);
    const base = ends.get(type) ?? 0;
    bases.set(node, base);
    ends.set(type, base + elements);
  };
  const carriesOf = values.map((_, v) =>
    graph.leaves.flatMap(({ node }, i) => {
      const leaf = leaves[i];
      return leaf.kind === "carry" && leaf.value === v ? [{ node, operand: leaf.operand }] : [];
    }),
  );
  carriesOf.flat().forEach(({ node }) => place(node, 2 * roundedUp(sizeOf(node.shape))));
  for (const [node, { kind }] of inner.placeOf) if (kind === "slot") place(node, roundedUp(sizeOf(node.shape)));
  values.forEach(({ node, kept }, v) => {
    if (kept.length === 0 && carriesOf[v].length === 0) place(node, roundedUp(sizeOf(node.shape)));
  });
  const memories = new Map<string, readonly [vectors: Node, elements: Node]>();
  for (const [type, size] of ends) {
    const memory = (): Node => new Node({ kind: "iota" }, [], [size], type as Node["dtype"]);
    memories.set(type, [memory(), memory()]);
  }
  const ownMemory = (unit: Node, mixed: ReadonlySet<Node>): Node =>
    memories.get(storageType(unit.dtype))![mixed.has(unit) ? 1 : 0];

  const { own } = divideRows(rows, profile);
  const inElements = new Set<Node>();
  /** Where an index outside a workgroup's rows is held to them. */
  const within = (node: Node): Spot["within"] => {
    if (!guarded.has(node)) return undefined;
    const [each, all] = [(sizeOf(node.shape) / rows) * own.each, sizeOf(node.shape)];
    return (per) => {
      const first = `${LOOP_NAMES.workgroup} * ${each / per}`;
      return [first, `min(${first} + ${each / per}, ${all / per}) - 1`];
    };
  };
  const valueOf = new Map(values.map(({ node }, v) => [node, v]));
  const half = (node: Node, of: string, per: 1 | 4): string =>
    `${bases.get(node)! / per} + ${of} * ${roundedUp(sizeOf(node.shape)) / per}`;
  const overTime = (node: Node, per: 1 | 4): string => `${LOOP_NAMES.time} * ${sizeOf(node.shape) / per}`;
  const spotsOf = (node: Node, mixed: ReadonlySet<Node>): readonly Spot[] => {
    const leaf = leafOf.get(node);
    if (leaf?.kind === "whole" || leaf?.kind === "step") {
      const memory = kernel.inputs[leaf.operand];
      const offset = (per: 1 | 4): string => (leaf.kind === "step" ? overTime(node, per) : "");
      return [{ memory, unit: memory, offset }];
    }
    if (leaf) {
      const unit = values[leaf.value].node;
      const offset = (per: 1 | 4): string => half(node, LOOP_NAMES.half, per);
      return [{ memory: ownMemory(unit, mixed), unit, offset, within: within(node) }];
    }
    const inOwn = (offset: Spot["offset"]): Spot => ({
      memory: ownMemory(node, mixed),
      unit: node,
      offset,
      within: within(node),
    });
    const v = valueOf.get(node);
    if (v === undefined || bases.has(node)) return [inOwn((per) => `${bases.get(node)! / per}`)];
    const carried = carriesOf[v].map((carry) => inOwn((per) => half(carry.node, `(1 - ${LOOP_NAMES.half})`, per)));
    const kept = values[v].kept.slice(0, 1).map((result): Spot => ({
      memory: kernel.outputs[result].node!,
      unit: node,
      offset: (per) => overTime(node, per),
      within: within(node),
    }));
    return [...carried, ...kept];
  };
  graph.leaves.forEach(({ node }, i) => {
    const leaf = leaves[i];
    if (leaf.kind === "step" && sizeOf(node.shape) % 4 !== 0) inElements.add(kernel.inputs[leaf.operand]);
  });
  for (const { node } of values) if (sizeOf(node.shape) % 4 !== 0) inElements.add(node);
  for (const node of guarded) {
    const leaf = leafOf.get(node);
    const unit = leaf?.kind === "carry" ? values[leaf.value].node : node;
    if (((sizeOf(node.shape) / rows) * own.each) % 4 !== 0 || sizeOf(node.shape) % 4 !== 0) inElements.add(unit);
  }

  const { name } = kernel.fused;
  const stages = inner.steps.map((s) => s.kernels);
  const { steps, reverse } = loop;
  const { mixed, bindings, ...program } = printPersistent(
    { name, steps, reverse, rows, stages, spotsOf, inElements },
    profile,
  );
  const bound = bindings.flatMap(({ node, access }) => (node === "parameters" ? [] : [{ node, access }]));
  if (
    bound.length > profile.maxStorageBuffers ||
    bound.some(({ node }) => nodeBytes(node) > profile.maxBindingBytes) ||
    bound.length < bindings.length
  )
    return undefined;
  const memory = [...memories.values()].flat().filter((node) => bound.some((b) => b.node === node));
  const at = (node: Node, unit: Node, which: number): End => ({
    kind: "own",
    number: memory.indexOf(ownMemory(unit, mixed)),
    offset: 4 * (bases.get(node)! + which * roundedUp(sizeOf(node.shape))),
  });
  const before = carriesOf.flatMap((carries, v) =>
    carries.map(({ node, operand }): Copy => ({
      from: { kind: "operand", number: operand },
      to: at(node, values[v].node, 0),
      bytes: nodeBytes(node),
    })),
  );
  const after = values.flatMap(({ node, bytes, kept, last }, v): Copy[] => {
    if (kept.length > 0 || last.length === 0) return [];
    const [carry] = carriesOf[v];
    const from = carry ? at(carry.node, node, steps % 2) : at(node, node, 0);
    return [{ from, to: { kind: "result", number: last[0] }, bytes }];
  });
  const copies = parts.copies.map(({ from, to, lastOnly }): Copy => {
    const bytes = nodeBytes(kernel.outputs[to]);
    const offset = lastOnly ? bytes * timeOf(loop, steps - 1) : 0;
    return { from: { kind: "result", number: from, offset }, to: { kind: "result", number: to }, bytes };
  });
  return { ...program, bindings: bound, own: memory, before, after: [...after, ...copies] };
}

/** A loop in one dispatch, with its memory. */
export class PersistentRunner {
  readonly dispatches: readonly [RecordedDispatch];
  readonly #gpu: Gpu;
  readonly #inputs: readonly Placed[];
  readonly #outputs: readonly (Placed | undefined)[];
  readonly #own: readonly GpuBuffer[];
  readonly #before: readonly Copy[];
  readonly #after: readonly Copy[];

  /** @param at where a value of the plan that the loop stands in lies */
  constructor(
    gpu: Gpu,
    kernel: FusedKernel,
    program: PersistentProgram,
    pipeline: Pipeline,
    work: Work,
    at: (node: Node) => Placed,
  ) {
    this.#gpu = gpu;
    this.#inputs = kernel.inputs.map(at);
    this.#outputs = kernel.outputs.map(({ node }) => node && at(node));
    this.#own = program.own.map((node) => gpu.acquire(nodeBytes(node)));
    this.#before = program.before;
    this.#after = program.after;
    const bindings = program.bindings.map(({ node }): Placed => {
      const own = program.own.indexOf(node);
      return own < 0 ? at(node) : { spec: valueSpec(node), place: { kind: "own", own } };
    });
    const { name, wgsl, workgroups } = program;
    this.dispatches = [{ name, wgsl, workgroups, bindings, pipeline, work }];
  }

  /** @param sliceOf where operands and results of the loop lie */
  commands(sliceOf: (value: Placed) => BufferSlice): Command[] {
    const slice = (value: Placed): BufferSlice =>
      value.place.kind === "own" ? { buffer: this.#own[value.place.own] } : sliceOf(value);
    const end = ({ kind, number, offset = 0 }: End): BufferSlice => {
      if (kind === "own") return { buffer: this.#own[number], offset };
      const { buffer, offset: first = 0 } = sliceOf(kind === "operand" ? this.#inputs[number] : this.#outputs[number]!);
      return { buffer, offset: first + offset };
    };
    const copy = ({ from, to, bytes }: Copy): Command => copyCommand(end(from), end(to), bytes);
    return [
      ...this.#before.map(copy),
      ...this.dispatches.map((d) => dispatchCommand(this.#gpu, d, slice)),
      ...this.#after.map(copy),
    ];
  }

  /** Bytes of device memory held between runs. */
  get bytesHeld(): number {
    return this.#own.reduce((sum, b) => sum + b.size, 0);
  }

  /** Gives the loop's memory back. */
  dispose(): void {
    for (const buffer of this.#own) this.#gpu.release(buffer);
  }
}
