/**
 * Running sums and products along an axis.
 *
 * A short axis is a reduction over windows that end at each place; a long one is cut into blocks, whose totals are
 * summed up in the same way and added to the blocks behind them. The order of additions depends on the length alone.
 */
import { requireTensor } from "../../tensor/door/door.ts";
import { arange, full } from "../../tensor/create.ts";
import { normalizeAxis } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import { widened } from "../autocast.ts";

type Name = "sum" | "prod";

/** Elements of a block. The derivative of a product is of all others, so its blocks are small. */
const BLOCKS: Record<Name, number> = { sum: 64, prod: 8 };

const identity = (name: Name): number => (name === "sum" ? 0 : 1);

/** Along the last axis. */
function running(name: Name, x: Tensor): Tensor {
  const n = x.shape[x.rank - 1];
  const before = x.shape.slice(0, -1);
  if (n <= 1) return x;
  const block = BLOCKS[name];
  if (n <= block) {
    const windows = x.pad(x.shape.map((_, i) => (i === x.rank - 1 ? [n - 1, 0] : [0, 0]))).window(x.rank - 1, n);
    if (name === "sum") return windows.sum(-1);
    // Place t of a window is element t + end − (n − 1): those before the first element are none.
    const inside = arange(n)
      .unsqueeze(0)
      .ge(
        arange(n)
          .neg()
          .add(n - 1)
          .unsqueeze(1),
      );
    return inside.expand(windows.shape).where(windows, 1).prod(-1);
  }
  const blocks = Math.ceil(n / block);
  const rest = blocks * block - n;
  const whole = rest === 0 ? x : concat([x, full([...before, rest], identity(name), x.dtype)], -1);
  const within = running(name, whole.reshape([...before, blocks, block])).contiguous();
  const totals = running(name, within.slice(...before.map(() => null), null, block - 1));
  const all = before.map(() => null);
  const first = full([...before, 1], identity(name), x.dtype);
  const offset = concat([first, totals.slice(...all, [0, blocks - 1])], -1).unsqueeze(-1);
  const joined = name === "sum" ? within.add(offset) : within.mul(offset);
  return joined.reshape([...before, blocks * block]).slice(...all, [0, n]);
}

function along(op: string, name: Name, x: Tensor, axis: number): Tensor {
  requireTensor(op, "x", x);
  const counted = x.dtype === "bool" ? x.cast("i32") : widened(x);
  const at = normalizeAxis(op, axis, x.rank);
  if (at === x.rank - 1) return running(name, counted);
  return running(name, counted.transpose(at, -1)).transpose(at, -1);
}

/** Sums of all elements of x up to each along `axis` (torch.cumsum). Bools count as i32. */
export function cumsum(x: Tensor, axis: number): Tensor {
  return along("cumsum", "sum", x, axis);
}

/** Products of all elements of x up to each along `axis` (torch.cumprod). Bools count as i32. */
export function cumprod(x: Tensor, axis: number): Tensor {
  return along("cumprod", "prod", x, axis);
}
