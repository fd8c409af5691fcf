/** The kernels of fused ops on WebGPU: those that hang on the op, and those of the tensor layer's own ops. */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { AdapterProfile, Lowering, LowerToWgsl } from "../../shaders/kernel.ts";
import { fewPlaces, scatterAdd } from "../../shaders/scatter-add.ts";
import type { FusedOp, ValueSpec } from "../../tensor/fused.ts";
import type { ScatterAttrs } from "../../tensor/scatter.ts";

export function lowerFusedToWgsl(
  op: FusedOp,
  attrs: object,
  inputs: readonly ValueSpec[],
  profile: AdapterProfile,
  read: readonly boolean[],
): Lowering | undefined {
  if (op.name === "scatterAdd") {
    const [index, source] = inputs;
    const { size } = attrs as ScatterAttrs;
    return source.dtype === "f16" || fewPlaces(source, size) ? undefined : scatterAdd(index, source, size, profile);
  }
  // The kernels are written for float32; other dtypes go by the decomposition.
  if (inputs.some((i) => i.dtype !== "f32")) return undefined;
  return (op.kernels?.webgpu as LowerToWgsl<object> | undefined)?.(inputs, attrs, profile, read);
}

/** Results of a fused kernel that nobody reads and its lowering writes all the same: they need memory. */
export function spareOutputs(kernel: FusedKernel, lowering: Lowering): number[] {
  const written = new Set(
    lowering.kernels.flatMap((k) => k.bindings.filter((b) => b.role === "out").map((b) => b.index)),
  );
  return kernel.outputs.flatMap(({ node }, i) => (node === undefined && written.has(i) ? [i] : []));
}
