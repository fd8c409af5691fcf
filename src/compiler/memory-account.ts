/** What a plan holds in memory, told in reports. */
import type { Plan } from "./plan.ts";

/** Bytes, by the plan's own account. */
export interface MemoryAccount {
  /** Sum of the slots: what the plan holds for intermediates. */
  readonly held: number;
  /** The largest sum of values that are alive at the same time: no order-preserving plan could hold less. */
  readonly needed: number;
  /** Sum of all intermediates, as if none shared memory. */
  readonly total: number;
}

export function memoryAccount({ lives, slots, steps }: Plan): MemoryAccount {
  const sum = (list: readonly { readonly bytes: number }[]): number => list.reduce((n, l) => n + l.bytes, 0);
  const alive = steps.map((_, at) => sum(lives.filter((l) => l.from <= at && at <= l.to)));
  return { held: slots.reduce((n, bytes) => n + bytes, 0), needed: Math.max(0, ...alive), total: sum(lives) };
}
