/** The kernels of fused ops on the cpu device: those that hang on the op, and those of the tensor layer's own ops. */
import type { FusedOp, ValueSpec } from "../../tensor/fused.ts";
import type { ScatterAttrs } from "../../tensor/scatter.ts";
import type { LowerToWasm, WasmLowering } from "../../wasm/kernel.ts";
import { scatterAdd } from "../../wasm/scatter-add.ts";

/** Places up to which the decomposition is cheap, and fuses with what is around it. */
const FEW_PLACES = 16;

export function lowerFusedToWasm(
  op: FusedOp,
  attrs: object,
  inputs: readonly ValueSpec[],
  read: readonly boolean[],
  wide: boolean,
): WasmLowering | undefined {
  if (op.name === "scatterAdd") {
    const { size } = attrs as ScatterAttrs;
    return size <= FEW_PLACES ? undefined : scatterAdd(inputs[0], inputs[1], size);
  }
  // The kernels are written for float32; other dtypes go by the decomposition.
  if (inputs.some((i) => i.dtype !== "f32")) return undefined;
  return (op.kernels?.cpu as LowerToWasm<object> | undefined)?.(inputs, attrs, read, wide);
}
