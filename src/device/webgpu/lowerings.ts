/** Which fused ops have kernels of their own on WebGPU. An op that is not here, or declines, runs its decomposition. */
import type { AdapterProfile, Lowering, TensorSpec } from "../../shaders/kernel.ts";
import type { FusedOp } from "../../tensor/fused.ts";

type Lower = (inputs: readonly TensorSpec[], attrs: never, profile: AdapterProfile) => Lowering | undefined;

const LOWERINGS: Record<string, Lower> = {};

export function lowerFused(
  op: FusedOp,
  attrs: object,
  inputs: readonly TensorSpec[],
  profile: AdapterProfile,
): Lowering | undefined {
  return LOWERINGS[op.name]?.(inputs, attrs as never, profile);
}
