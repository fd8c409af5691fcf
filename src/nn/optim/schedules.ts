/**
 * Learning rates as functions of the epoch (or step), counted from 0:
 *
 * ```ts
 * const rate = warmUp(5, cosineSchedule(0.1, 200));
 * optimizer.lr = rate(epoch);
 * ```
 */
import { checkOptions, describeValue, requireFunction, requireNumber } from "../../tensor/door/door.ts";

/** The value at an epoch or step; fractions are allowed. */
export type Schedule = (at: number) => number;

/** base·gamma^k after k of the milestones (torch.optim.lr_scheduler.MultiStepLR). */
export function stepSchedule(base: number, milestones: readonly number[], gamma = 0.1): Schedule {
  requireNumber("stepSchedule", "base", base);
  requireMilestones("stepSchedule", milestones);
  return (at) => base * gamma ** milestones.filter((m) => m <= at).length;
}

/**
 * Half a cosine from `base` at 0 to `low` at `total`, and `low` from there on (Loshchilov, Hutter 2017, SGDR, eq. 5).
 */
export function cosineSchedule(base: number, total: number, low = 0): Schedule {
  requirePositive("cosineSchedule", "total", total);
  return (at) => low + ((base - low) * (1 + Math.cos(Math.PI * Math.min(at / total, 1)))) / 2;
}

/**
 * Rises linearly from `start`·schedule(0) to schedule(0) over `length`, then follows the schedule from its beginning.
 */
export function warmUp(length: number, schedule: Schedule, start = 0): Schedule {
  requireFunction("warmUp", schedule);
  if (!(length >= 0)) throw new Error(`warmUp: length is ${length}; it must be at least 0`);
  return (at) => (at < length ? schedule(0) * (start + ((1 - start) * at) / length) : schedule(at - length));
}

/** base·gamma^at (torch.optim.lr_scheduler.ExponentialLR). */
export function exponentialSchedule(base: number, gamma: number): Schedule {
  return (at) => base * gamma ** at;
}

/** base·(1 − at/total)^power, and 0 from `total` on (torch.optim.lr_scheduler.PolynomialLR). Power 1 is a line. */
export function polynomialSchedule(base: number, total: number, power = 1): Schedule {
  requirePositive("polynomialSchedule", "total", total);
  return (at) => base * (1 - Math.min(at / total, 1)) ** power;
}

/** Options of `oneCycleSchedule`, with PyTorch's defaults. */
export interface OneCycleOptions {
  /** Share of the steps that the rate rises for; default 0.3. */
  readonly rise?: number;
  /** The rate begins at highest / startDivisor; default 25. */
  readonly startDivisor?: number;
  /** The rate ends at its beginning / endDivisor; default 1e4. */
  readonly endDivisor?: number;
  /** Between the ends along half a cosine (default) or a line. */
  readonly along?: "cosine" | "line";
}

/**
 * One cycle over `total` steps, counted from 0: up to `highest`, then down to far below the beginning (Smith, Topin 2018,
 * "Super-Convergence"; torch.optim.lr_scheduler.OneCycleLR, the rates of its two phases).
 */
export function oneCycleSchedule(highest: number, total: number, options: OneCycleOptions = {}): Schedule {
  checkOptions("oneCycleSchedule", options, ["rise", "startDivisor", "endDivisor", "along"]);
  const { rise = 0.3, startDivisor = 25, endDivisor = 1e4, along = "cosine" } = options;
  if (!Number.isInteger(total) || total < 2)
    throw new Error(`oneCycleSchedule: total is ${total}; it must be a whole number of steps, at least 2`);
  if (!(rise >= 0 && rise <= 1)) throw new Error(`oneCycleSchedule: rise is ${rise}; it must be in [0, 1]`);
  requirePositive("oneCycleSchedule", "startDivisor", startDivisor);
  requirePositive("oneCycleSchedule", "endDivisor", endDivisor);
  const start = highest / startDivisor;
  const low = start / endDivisor;
  const top = rise * total - 1;
  const between = (from: number, to: number, part: number): number =>
    along === "line" ? from + (to - from) * part : to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2;
  return (at) => {
    // A rise of a single step is at its top at once.
    if (at <= top) return between(start, highest, top === 0 ? 1 : at / top);
    return between(highest, low, Math.min(1, (at - top) / (total - 1 - top)));
  };
}

/**
 * The `schedules` one after the other: at each of the `milestones`, steps, the next begins anew
 * (torch.optim.lr_scheduler.SequentialLR).
 */
export function sequentialSchedule(schedules: readonly Schedule[], milestones: readonly number[]): Schedule {
  requireMilestones("sequentialSchedule", milestones);
  for (const schedule of schedules) requireFunction("sequentialSchedule", schedule);
  if (schedules.length !== milestones.length + 1) {
    throw new Error(
      `sequentialSchedule: ${schedules.length} schedules need ${schedules.length - 1} milestones, not ${milestones.length}`,
    );
  }
  if (milestones.some((m, i) => i > 0 && !(m > milestones[i - 1])))
    throw new Error(`sequentialSchedule: the milestones [${milestones.join(", ")}] must rise`);
  return (at) => {
    const place = milestones.filter((m) => m <= at).length;
    return schedules[place]!(at - (place === 0 ? 0 : milestones[place - 1]!));
  };
}

/** Throws unless milestones are a list of numbers. */
function requireMilestones(op: string, milestones: unknown): void {
  if (!Array.isArray(milestones))
    throw new TypeError(
      `${op}: the milestones must be an array of epochs or steps such as [30, 60], not ${describeValue(milestones)}`,
    );
  milestones.forEach((m: unknown, i) => requireNumber(op, `milestones[${i}]`, m));
}

function requirePositive(op: string, name: string, value: number): void {
  if (!(value > 0)) throw new Error(`${op}: ${name} is ${value}; it must be above 0`);
}
