/**
 * Learning rates as functions of the epoch (or step), counted from 0:
 *
 * ```ts
 * const rate = warmUp(5, cosineSchedule(0.1, 200));
 * optimizer.lr = rate(epoch);
 * ```
 */

/** The value at an epoch or step; fractions are allowed. */
export type Schedule = (at: number) => number;

/** base·gamma^k after k of the milestones (torch.optim.lr_scheduler.MultiStepLR). */
export function stepSchedule(base: number, milestones: readonly number[], gamma = 0.1): Schedule {
  return (at) => base * gamma ** milestones.filter((m) => m <= at).length;
}

/** Half a cosine from `base` at 0 to `low` at `total`, and `low` from there on (Loshchilov, Hutter 2017, SGDR, eq. 5). */
export function cosineSchedule(base: number, total: number, low = 0): Schedule {
  if (!(total > 0)) throw new Error(`cosineSchedule: total is ${total}; it must be above 0`);
  return (at) => low + ((base - low) * (1 + Math.cos(Math.PI * Math.min(at / total, 1)))) / 2;
}

/** Rises linearly from `start`·schedule(0) to schedule(0) over `length`, then follows the schedule from its beginning. */
export function warmUp(length: number, schedule: Schedule, start = 0): Schedule {
  if (!(length >= 0)) throw new Error(`warmUp: length is ${length}; it must be at least 0`);
  return (at) => (at < length ? schedule(0) * (start + ((1 - start) * at) / length) : schedule(at - length));
}
