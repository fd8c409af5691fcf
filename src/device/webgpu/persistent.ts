/**
 * A loop on a GPU as one dispatch, where its body computes every batch row from that row alone.
 */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { LoopParts } from "../../compiler/loop-plan.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { rowLocal } from "../../compiler/row-local.ts";
import type { AdapterProfile } from "../../shaders/kernel.ts";
import { divideRows, printPersistent } from "../../shaders/print/persistent.ts";
import { valueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Work } from "../work.ts";
import type { BufferSlice } from "./bindings.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import type { Command, Gpu } from "./gpu/gpu.ts";
import type { Pipeline } from "./gpu/pipelines.ts";
import type { End, LoopCopy } from "./loop-memory.ts";
import { LoopMemory } from "./loop-memory.ts";
import type { Placed, RecordedDispatch } from "./recorded.ts";
import { copyCommand, dispatchCommand } from "./recorded.ts";

/** A loop's kernel, and what is copied before it and after. */
interface PersistentProgram {
  readonly name: string;
  readonly wgsl: string;
  readonly workgroups: readonly [number, number, number];
  /** Nodes of the plan that the loop stands in, and of `memory`; the last is the number of steps. */
  readonly bindings: readonly { readonly node: Node | "steps"; readonly access: "read" | "read_write" }[];
  readonly steps: number;
  /** What the loop needs for itself while it runs. */
  readonly memory: readonly Node[];
  readonly before: readonly LoopCopy[];
  readonly after: readonly LoopCopy[];
}

/** Elements of a row that one workgroup computes: rows of images are better spread over all of a GPU, step by step. */
const MOST_IN_A_ROW = 16384;

/**
 * The loop as one kernel.
 *
 * @param inner the plan of the body
 * @returns undefined where rows need each other, or the adapter cannot bind what they need
 */
export function persistentProgram(
  kernel: FusedKernel,
  parts: LoopParts,
  inner: Plan,
  profile: AdapterProfile,
): PersistentProgram | undefined {
  const { loop, graph, leaves } = parts;
  const rows = Math.max(0, ...graph.outputs.map(({ shape }) => shape[0] ?? 0));
  if (rows === 0) return undefined;
  const leafOf = new Map(graph.leaves.map(({ node }, i) => [node, leaves[i]]));
  const changes = (node: Node): boolean => (leafOf.get(node)?.kind ?? "carry") === "carry";
  const widest = Math.max(...[...inner.placeOf.keys()].map((node) => (changes(node) ? sizeOf(node.shape) / rows : 0)));
  if (widest > MOST_IN_A_ROW) return undefined;
  const stages = inner.steps.map((s) => s.kernels);
  const guarded = rowLocal(stages.flat(), rows, changes);
  if (!guarded) return undefined;
  const { own } = divideRows(rows, profile);
  const outer = new Set([...kernel.inputs, ...kernel.outputs.flatMap(({ node }) => node ?? [])]);
  const copied = new Set<Node>();
  for (;;) {
    const memory = new LoopMemory(kernel, parts, inner, own, guarded, copied);
    const { spotsOf, inElements } = memory;
    const { name } = kernel.fused;
    const { steps, reverse } = loop;
    const printed = printPersistent({ name, reverse, rows, stages, spotsOf, inElements }, profile);
    const bindings = printed.bindings.flatMap(({ node, access }) => (node === "parameters" ? [] : [{ node, access }]));
    const bound = new Set(bindings.map(({ node }) => node));
    const excess = bindings.length + 1 - profile.maxStorageBuffers;
    if (excess <= 0) {
      if (bindings.some(({ node }) => nodeBytes(node) > profile.maxBindingBytes)) return undefined;
      const { wgsl, workgroups } = printed;
      const all = [...bindings, { node: "steps", access: "read" } as const];
      return { name, wgsl, workgroups, bindings: all, steps, ...memory.copies(bound, printed.mixed) };
    }
    // The smallest are copied.
    const more = [...bound].filter((node) => outer.has(node)).sort((p, q) => nodeBytes(p) - nodeBytes(q));
    if (more.length === 0) return undefined;
    for (const node of more.slice(0, excess)) copied.add(node);
  }
}

/** A loop in one dispatch, with its memory. */
export class PersistentRunner {
  readonly dispatches: readonly [RecordedDispatch];
  readonly #gpu: Gpu;
  readonly #inputs: readonly Placed[];
  readonly #outputs: readonly (Placed | undefined)[];
  readonly #own: readonly GpuBuffer[];
  readonly #before: readonly LoopCopy[];
  readonly #after: readonly LoopCopy[];

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
    const steps = gpu.acquire(4);
    gpu.write(steps, 0, Int32Array.of(program.steps));
    this.#own = [...program.memory.map((node) => gpu.acquire(nodeBytes(node))), steps];
    this.#before = program.before;
    this.#after = program.after;
    const bindings = program.bindings.map(({ node }): Placed => {
      if (node === "steps") {
        return { spec: { shape: [1], dtype: "i32" }, place: { kind: "own", own: program.memory.length } };
      }
      const own = program.memory.indexOf(node);
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
    const copy = ({ from, to, bytes }: LoopCopy): Command => copyCommand(end(from), end(to), bytes);
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
