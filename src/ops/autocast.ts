/**
 * `autocast(f)`: mixed precision (Micikevicius et al. 2018, arXiv 1710.03740; torch.autocast). Layers that multiply
 * matrices take their operands in f16 while `f` runs, and what sums or takes exponentials takes them in f32.
 *
 * The casts are nodes of the graph like any other: gradients come back to parameters in the parameters' own dtype, and a
 * gradient taken after `f` is of what `f` has built. Ops ask for a mode through `narrowed` and `widened`.
 */
import { currentDefault } from "../tensor/backend.ts";
import { checkOptions, requireFunction } from "../tensor/door/door.ts";
import type { Trace } from "../tensor/program/trace.ts";
import { tracing } from "../tensor/program/trace.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A call of `autocast` under way, and the trace that it was made in. */
interface Mode {
  readonly on: boolean;
  readonly trace: Trace | undefined;
}

let mode: Mode = { on: false, trace: undefined };

/** What traces know the mode around a compiled function by. */
const AROUND = {};

function active(): boolean {
  const trace = tracing();
  // A mode set around a compiled function is no part of it: the trace holds as long as the mode is the same.
  if (trace && mode.trace !== trace) trace.watch(AROUND, () => mode.on);
  return mode.on;
}

/** Options of `autocast`. */
export interface AutocastOptions {
  /** Default true. Where false, `f` runs without, also within another `autocast`. */
  readonly enabled?: boolean;
}

/**
 * Runs `f` with mixed precision (torch.autocast), and gives what it gives: `Linear`, convolutions and the projections of
 * attention compute f32 operands, parameters among them, in f16; normalisations, softmax, losses, attention's scores and
 * recurrent layers compute f16 operands in f32. Everything else takes its operands as they come. Parameters stay f32,
 * and so do their gradients.
 *
 * ```ts
 * const loss = autocast(() => crossEntropy(model.forward(x), labels));
 * ```
 *
 * Gradients in f16 underflow below 6e-8: scale the loss with a `GradScaler`. The device must have f16:
 * `device.supports("f16")`.
 *
 * @throws Error where `f` is async, or an operand lies on a device without f16.
 */
export function autocast<T>(f: () => T, options: AutocastOptions = {}): T {
  checkOptions("autocast", options, ["enabled"]);
  requireFunction("autocast", f);
  const before = mode;
  mode = { on: options.enabled ?? true, trace: tracing() };
  try {
    const result = f();
    if (!(result instanceof Promise)) return result;
    result.catch(() => undefined);
    throw new Error("autocast: the function is async; give one that returns at once, and await what it returned");
  } finally {
    mode = before;
  }
}

/** An operand of a product: in f16 within `autocast`. */
export function narrowed<T extends Tensor | undefined>(x: T): T | Tensor {
  if (x?.dtype !== "f32" || !active()) return x;
  requireHalf(x);
  return x.cast("f16");
}

/** Throws where a tensor in memory, or a variable that is to have some, is on a device without f16. */
function requireHalf({ node: { op } }: Tensor): void {
  if (op.kind !== "storage" && op.kind !== "variable") return;
  const device = op.kind === "storage" ? op.storage.device : (op.variable.device ?? currentDefault());
  if (!device || device.supports("f16")) return;
  throw new Error(
    `autocast: ${device.name} has no f16 tensors; leave it out there (enabled: false, or enabled: device.supports("f16")), ` +
      "or take a GPU whose adapter has shader-f16",
  );
}

/** An operand of what needs the range and digits of f32, within `autocast`. */
export function widened<T extends Tensor | undefined>(x: T): T | Tensor {
  return x?.dtype === "f16" && active() ? x.cast("f32") : x;
}
