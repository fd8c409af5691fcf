/**
 * Queues of negatives (He et al. 2020, MoCo): columns of past keys, overwritten in a circle.
 *
 * The write is one pass over the queue that replaces a run of columns by keys; where it begins is read from a pointer
 * on the device, so that a compiled step needs no input for it and the queue keeps its memory.
 */
import { arange } from "../../tensor/create.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";

/** The queue with `keys` [n, C] in n columns from `pointer` on (i32 [1]); columns past the end are the first ones. */
export function replaceColumns(queue: Tensor, keys: Tensor, pointer: Tensor): Tensor {
  const [channels, width] = queue.shape;
  const [count] = keys.shape;
  if (keys.rank !== 2 || keys.shape[1] !== channels || count > width) {
    throw new Error(
      `queue: keys ${formatShape(keys.shape)} must be [n, ${channels}] with n at most ${width}, the queue's columns`,
    );
  }
  // Which key a column gets; from `count` on, none.
  const key = arange(width).sub(pointer).mod(width);
  const found = keys.transpose().gather(
    1,
    key
      .minimum(count - 1)
      .unsqueeze(0)
      .expand([channels, width]),
  );
  return key.lt(count).unsqueeze(0).expand([channels, width]).where(found, queue);
}

/** Enqueues keys [n, C] and moves the pointer by n, modulo `period`. Lazy, like every assignment. */
export function enqueue(queue: Variable, pointer: Variable, keys: Tensor, period: number): void {
  queue.assign(replaceColumns(queue, keys.detach(), pointer));
  pointer.assign(pointer.add(keys.shape[0]).mod(period));
}
