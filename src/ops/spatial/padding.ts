/** What stands around a tensor: zeros or a value, what lies inside mirrored, repeated, or begun again (torch.nn.functional.pad). */
import { full } from "../../tensor/create.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";
import { concat } from "../../tensor/methods/join.ts";
import { sliceAxis } from "../../tensor/methods/views.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** "constant" is a value; "reflect" mirrors at the outermost element, "replicate" repeats it, "circular" goes on at the other end. */
export type PadMode = "constant" | "reflect" | "replicate" | "circular";

/** Settings of `pad`. */
export interface PadOptions {
  /** Default "constant". */
  readonly mode?: PadMode;
  /** Of mode "constant"; default 0. */
  readonly value?: number;
}

const MODES: readonly PadMode[] = ["constant", "reflect", "replicate", "circular"];

/**
 * x with more elements before and after its last axes: `widths` is a pair for each of them, the outermost first
 * (torch.nn.functional.pad, whose flat list begins with the last axis). Any dtype with mode "constant" 0 to "circular".
 *
 * @throws Error where "reflect" would need more than all but one element of an axis, or "circular" more than all.
 */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[], options: PadOptions = {}): Tensor {
  requireTensor("pad", "x", x);
  checkOptions("pad", options, ["mode", "value"]);
  const { mode = "constant", value = 0 } = options;
  if (!MODES.includes(mode)) {
    throw new Error(`pad: mode is ${JSON.stringify(mode)}; it must be one of ${MODES.map((m) => `"${m}"`).join(", ")}`);
  }
  const fits =
    Array.isArray(widths) &&
    widths.length <= x.rank &&
    widths.every(
      (pair) => Array.isArray(pair) && pair.length === 2 && pair.every((n) => Number.isInteger(n) && n >= 0),
    );
  if (!fits) {
    throw new Error(
      `pad: widths are ${JSON.stringify(widths)} for x ${formatShape(x.shape)}; they must be pairs of whole numbers of at ` +
        `least 0, one for each of the last axes`,
    );
  }
  const first = x.rank - widths.length;
  if (mode === "constant" && value === 0) return x.pad(x.shape.map((_, i) => widths[i - first] ?? ([0, 0] as const)));
  return widths.reduce((y, pair, i) => padAxis(y, first + i, pair, mode, value), x);
}

function padAxis(
  x: Tensor,
  axis: number,
  [low, high]: readonly [number, number],
  mode: PadMode,
  value: number,
): Tensor {
  if (low === 0 && high === 0) return x;
  const length = x.shape[axis];
  const most = { constant: Infinity, reflect: length - 1, replicate: length > 0 ? Infinity : 0, circular: length }[
    mode
  ];
  if (Math.max(low, high) > most) {
    throw new Error(
      `pad: mode "${mode}" has at most ${Math.max(0, most)} elements to give on each side of axis ${axis} of ` +
        `${formatShape(x.shape)}, not ${Math.max(low, high)}`,
    );
  }
  const part = (from: number, to: number): Tensor => sliceAxis(x, axis, [from, to]);
  const side = (count: number, before: boolean): Tensor[] => {
    if (count === 0) return [];
    const shape = x.shape.map((n, i) => (i === axis ? count : n));
    if (mode === "constant") return [full(shape, value, x.dtype)];
    if (mode === "replicate") return [(before ? part(0, 1) : part(length - 1, length)).expand(shape)];
    if (mode === "circular") return [before ? part(length - count, length) : part(0, count)];
    return [(before ? part(1, 1 + count) : part(length - 1 - count, length - 1)).flip(axis)];
  };
  return concat([...side(low, true), x, ...side(high, false)], axis);
}
