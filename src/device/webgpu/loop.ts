/**
 * A loop on a GPU whose rows need each other: the dispatches of its body, recorded once a step.
 *
 * The body's pipelines and bind groups are made once. A step's own inputs are copied to where the body reads them, and
 * what it leaves to its place among all steps, since bindings begin at multiples of 256 bytes and steps need not.
 */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { LoopParts, LoopValue } from "../../compiler/loop-plan.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { Node } from "../../tensor/node.ts";
import { timeOf } from "../../tensor/program/body.ts";
import type { BufferSlice } from "./bindings.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import type { Command, Gpu } from "./gpu/gpu.ts";
import type { Placed, RecordedDispatch } from "./recorded.ts";
import { copyCommand, dispatchCommand } from "./recorded.ts";

export class LoopRunner {
  readonly dispatches: readonly RecordedDispatch[];
  readonly #gpu: Gpu;
  readonly #loop: LoopParts["loop"];
  readonly #parts: Pick<LoopParts, "leaves"> & { readonly values: readonly Omit<LoopValue, "node">[] };
  /** Operands and results of the loop in the plan that it stands in; undefined where nobody reads a result. */
  readonly #inputs: readonly Placed[];
  readonly #outputs: readonly (Placed | undefined)[];
  /** The value that an output of the body's plan is. */
  readonly #valueOf: readonly number[];
  readonly #slots: readonly GpuBuffer[];
  /** What a leaf is at the step that runs; undefined where it is a whole operand. */
  readonly #leaves: readonly (GpuBuffer | undefined)[];
  /** What the step that runs makes of every value. */
  readonly #values: readonly GpuBuffer[];

  /**
   * @param plan of the body
   * @param at where a value of the plan that the loop stands in lies
   */
  constructor(
    gpu: Gpu,
    kernel: FusedKernel,
    { loop, graph, leaves, values }: LoopParts,
    plan: Plan,
    dispatches: readonly RecordedDispatch[],
    at: (node: Node) => Placed,
  ) {
    this.#gpu = gpu;
    this.#loop = loop;
    this.#parts = { leaves, values: values.map(({ node: _, ...value }) => value) };
    this.#inputs = kernel.inputs.map(at);
    this.#outputs = kernel.outputs.map(({ node }) => node && at(node));
    const numbers = new Map(values.map(({ node }, i) => [node, i]));
    this.#valueOf = graph.outputs.map((node) => numbers.get(node)!);
    this.dispatches = dispatches;
    this.#slots = plan.slots.map((bytes) => gpu.acquire(bytes));
    this.#leaves = leaves.map((leaf, i) =>
      leaf.kind === "whole" ? undefined : gpu.acquire(nodeBytes(graph.leaves[i].node)),
    );
    this.#values = values.map(({ bytes }) => gpu.acquire(bytes));
  }

  /** @param sliceOf where operands and results of the loop lie */
  commands(sliceOf: (value: Placed) => BufferSlice): Command[] {
    const loop = this.#loop;
    const { leaves, values } = this.#parts;
    const operand = (i: number): BufferSlice => sliceOf(this.#inputs[i]);
    const result = (i: number): BufferSlice => sliceOf(this.#outputs[i]!);
    const within = ({ place }: Placed): BufferSlice => {
      if (place.kind === "slot") return { buffer: this.#slots[place.slot] };
      if (place.kind === "output") return { buffer: this.#values[this.#valueOf[place.output]] };
      if (place.kind === "own") throw new Error("internal: a loop within a loop");
      const leaf = leaves[place.leaf];
      return leaf.kind === "whole" ? operand(leaf.operand) : { buffer: this.#leaves[place.leaf]! };
    };
    const body = this.dispatches.map((d) => dispatchCommand(this.#gpu, d, within));
    const at = ({ buffer, offset = 0 }: BufferSlice, bytes: number): BufferSlice => ({
      buffer,
      offset: offset + bytes,
    });
    const commands: Command[] = [];
    for (let k = 0; k < loop.steps; k++) {
      const t = timeOf(loop, k);
      leaves.forEach((leaf, i) => {
        if (leaf.kind === "whole") return;
        const to = { buffer: this.#leaves[i]! };
        if (leaf.kind === "step") commands.push(copyCommand(at(operand(leaf.operand), leaf.bytes * t), to, leaf.bytes));
        else {
          const from = k === 0 ? operand(leaf.operand) : { buffer: this.#values[leaf.value] };
          commands.push(copyCommand(from, to, values[leaf.value].bytes));
        }
      });
      commands.push(...body);
      values.forEach(({ kept, bytes }, i) => {
        for (const to of kept)
          commands.push(copyCommand({ buffer: this.#values[i] }, at(result(to), bytes * t), bytes));
      });
    }
    values.forEach(({ last, bytes }, i) => {
      for (const to of last) commands.push(copyCommand({ buffer: this.#values[i] }, result(to), bytes));
    });
    return commands;
  }

  /** Bytes of device memory held between runs. */
  get bytesHeld(): number {
    return this.#own().reduce((sum, b) => sum + b.size, 0);
  }

  /** Gives the loop's memory back. */
  dispose(): void {
    for (const buffer of this.#own()) this.#gpu.release(buffer);
  }

  #own(): GpuBuffer[] {
    return [...this.#slots, ...this.#leaves.flatMap((b) => b ?? []), ...this.#values];
  }
}
