/**
 * Maxima of sequences that lie one after the other along an axis: what pools several lengths in one pass.
 *
 * Equal elements share the gradient, as in `max` (torch.amax).
 */
import type { FusedOp } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { arange, tensor } from "../tensor/create.ts";
import { formatShape } from "../tensor/shape.ts";
import { describeValue, requireFloat } from "../tensor/door/door.ts";
import { Tensor } from "../tensor/tensor.ts";
import { concat } from "../tensor/methods/join.ts";

interface SegmentAttrs {
  readonly lengths: readonly number[];
}

/** First elements of the sequences. */
function startsOf(lengths: readonly number[]): number[] {
  let start = 0;
  return lengths.map((length) => (start += length) - length);
}

/** Values by sequence [N, S, C], at every element of its sequence [N, T, C]. */
function spread(x: Tensor, lengths: readonly number[]): Tensor {
  const [n, , c] = x.shape;
  return concat(
    lengths.map((length, s) => x.slice(null, [s, s + 1]).expand([n, length, c])),
    1,
  );
}

/** In: x [N, T, C]. Out: the maxima [N, S, C], and one over the number of elements that equal them. */
const SEGMENT_MAX: FusedOp<SegmentAttrs> = {
  name: "segmentMax",
  outputs([x], { lengths }) {
    const spec = { shape: [x.shape[0], lengths.length, x.shape[2]], dtype: x.dtype };
    return [spec, spec];
  },
  decompose([x], { lengths }) {
    const [n, , c] = x.shape;
    const longest = Math.max(...lengths);
    const starts = startsOf(lengths);
    // One grid for all sequences: a shorter one repeats its last element, which no maximum minds.
    const places = lengths.flatMap((length, s) =>
      Array.from({ length: longest }, (_, i) => starts[s] + Math.min(i, length - 1)),
    );
    const grid = x
      .gather(1, tensor(Int32Array.from(places)).reshape([1, places.length, 1]).expand([n, places.length, c]))
      .reshape([n, lengths.length, longest, c]);
    const largest = grid.max(2);
    const inside = arange(longest)
      .unsqueeze(0)
      .lt(tensor(Int32Array.from(lengths)).unsqueeze(1))
      .reshape([1, lengths.length, longest, 1])
      .expand(grid.shape);
    const ties = grid.detach().eq(largest.detach().unsqueeze(2)).and(inside).cast(x.dtype).sum(2);
    return [largest, ties.reciprocal()];
  },
  vjp([x], [largest, share], [dy], { lengths }) {
    if (!dy) return [];
    return [spread(dy.mul(share), lengths).mask(x.eq(spread(largest, lengths)))];
  },
};

/** The maximum of each sequence: x [N, T, C] whose axis 1 holds sequences of `lengths`, adding up to T → [N, S, C]. */
export function segmentMax(x: Tensor, lengths: readonly number[]): Tensor {
  requireFloat("segmentMax", x);
  if (!Array.isArray(lengths))
    throw new TypeError(`segmentMax: lengths must be an array of whole numbers, not ${describeValue(lengths)}`);
  const whole = lengths.length > 0 && lengths.every((n) => Number.isInteger(n) && n >= 1);
  if (x.rank !== 3 || !whole || lengths.reduce((a, b) => a + b, 0) !== x.shape[1]) {
    throw new Error(
      `segmentMax: x ${formatShape(x.shape)} must be [N, T, C], and lengths ${lengths.join(", ")} whole numbers whose sum is T`,
    );
  }
  return new Tensor(build.fused(SEGMENT_MAX, [x.node], { lengths: [...lengths] })[0]);
}
