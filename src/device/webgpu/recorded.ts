/** A dispatch of a plan, and the command it is once it is known where everything lies. */
import type { Place, Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { valueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import type { Work } from "../work.ts";
import type { BufferSlice } from "./bindings.ts";
import type { Command, Gpu } from "./gpu/gpu.ts";
import type { Pipeline } from "./gpu/pipelines.ts";

/**
 * A value of a plan, by what it is and where it lies. Unlike its node it does not lead to the graph, which would stay
 * as long as the plan is remembered.
 */
export interface Placed {
  readonly spec: ValueSpec;
  /** In the plan, or in memory of a loop's own. */
  readonly place: Place | { readonly kind: "own"; readonly own: number };
}

export function placed(plan: Plan, node: Node): Placed {
  const place = plan.placeOf.get(node);
  if (!place) throw new Error(`internal: a ${node.op.kind} node has no memory`);
  return { spec: valueSpec(node), place };
}

/** One dispatch, with what is bound where. */
export interface RecordedDispatch {
  readonly name: string;
  readonly pipeline: Pipeline;
  readonly wgsl: string;
  readonly bindings: readonly (Placed | "parameters")[];
  readonly workgroups: readonly [number, number, number];
  readonly work: Work;
}

/** @param parameters the buffer of small host values, where the plan has one */
export function dispatchCommand(
  gpu: Gpu,
  { name, pipeline, bindings, workgroups, work }: RecordedDispatch,
  sliceOf: (value: Placed) => BufferSlice,
  parameters?: BufferSlice,
): Command {
  const slices = bindings.map((value) => {
    if (value === "parameters") return parameters!;
    const slice = sliceOf(value);
    // The exact extent, so that accesses beyond it are caught by the device's own bounds checks.
    return { buffer: slice.buffer, offset: slice.offset ?? 0, size: Math.ceil(nodeBytes(value.spec) / 16) * 16 };
  });
  return { kind: "dispatch", name, pipeline, bindGroup: gpu.bindGroup(pipeline, slices), workgroups, work };
}

/** Copies the first bytes of a slice to another. */
export function copyCommand(from: BufferSlice, to: BufferSlice, bytes: number): Command {
  return {
    kind: "copy",
    from: from.buffer,
    fromOffset: from.offset ?? 0,
    to: to.buffer,
    toOffset: to.offset ?? 0,
    bytes,
  };
}
