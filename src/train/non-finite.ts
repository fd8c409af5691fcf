/** A number that is none any more, and where it turned up. */
import type { HostTensor } from "../io/host-tensor.ts";

/** A loss, a gradient, or a weight that is NaN or infinite. Nothing after the last good checkpoint was saved. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";

  constructor(
    /** The step, counted from 1. */
    readonly step: number,
    /** What is not finite, in words. */
    readonly what: string,
    /** NaN, or an infinity. */
    readonly value: number,
    /** The last good checkpoint; undefined where there is none. */
    readonly checkpoint: string | undefined,
  ) {
    const wayOut =
      checkpoint === undefined
        ? "There is no checkpoint before it; begin anew with a lower learning rate"
        : `The last good checkpoint is ${checkpoint}; begin anew with a lower learning rate, or resume to see it again`;
    super(`${what} is ${value} at step ${step}: training stopped. ${wayOut}`);
  }
}

/** The name of a tensor that holds a NaN or an infinity, and that value. */
export function nonFiniteTensor(
  tensors: ReadonlyMap<string, HostTensor>,
): { readonly name: string; readonly value: number } | undefined {
  for (const [name, { data }] of tensors) {
    if (!(data instanceof Float32Array)) continue;
    // A sum of finite numbers as doubles stays finite, and shows a NaN or an infinity among them.
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i];
    if (!Number.isFinite(sum)) return { name, value: data.find((value) => !Number.isFinite(value)) ?? sum };
  }
  return undefined;
}
