/** Several tensors made one. */
import * as build from "../build.ts";
import { requireTensors } from "../door/door.ts";
import { resultType } from "../dtype.ts";
import { normalizeAxis, sameShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";

/**
 * `tensors` of equal shape side by side along a fresh axis, which is number `axis` of the result (torch.stack): two of
 * [3, 4] give [2, 3, 4].
 */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  requireTensors("stack", "the list", tensors);
  const other = tensors.find((t) => !sameShape(t.shape, tensors[0].shape));
  if (other) throw new Error(`stack: ${tensors[0].label()} and ${other.label()} must have one shape`);
  const at = normalizeAxis("stack", axis, tensors[0].rank + 1);
  return concat(
    tensors.map((t) => t.unsqueeze(at)),
    at,
  );
}

/** Tensors joined along `axis`, in the dtype they meet in; sizes agree elsewhere. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  requireTensors("concat", "the list", tensors);
  const at = normalizeAxis("concat", axis, tensors[0].rank);
  const dtype = resultType("concat", tensors);
  return new Tensor(
    build.concat(
      tensors.map((t) => build.cast(t.node, dtype)),
      at,
    ),
  );
}
