/** How far a training is, how fast it goes, and how long it will take. */

/** A training's pace, as it is now. */
export interface Progress {
  /** Steps done, those of earlier runs included. */
  readonly done: number;
  /** Steps of the whole training; undefined where nobody knows. */
  readonly total: number | undefined;
  /** Seconds since the first step of this run was done, which also planned. */
  readonly seconds: number;
  /** Steps a second; 0 before there are two. */
  readonly perSecond: number;
  /** Seconds that the rest will take at this pace; undefined where that cannot be said. */
  readonly secondsLeft: number | undefined;
}

/** Measures a training's pace. The first step, which plans and compiles, does not count. */
export class ProgressTimer {
  readonly #total: number | undefined;
  readonly #now: () => number;
  #done: number;
  #first: { readonly at: number; readonly done: number } | undefined;

  /**
   * @param total steps of the whole training.
   * @param done steps of earlier runs.
   * @param now a clock in milliseconds.
   */
  constructor(total: number | undefined, done = 0, now: () => number = () => performance.now()) {
    this.#total = total !== undefined && Number.isFinite(total) ? total : undefined;
    this.#done = done;
    this.#now = now;
  }

  /** So many steps are done. */
  step(done = this.#done + 1): void {
    this.#done = done;
    this.#first ??= { at: this.#now(), done };
  }

  /** The pace now. */
  progress(): Progress {
    const seconds = this.#first ? (this.#now() - this.#first.at) / 1000 : 0;
    const count = this.#first ? this.#done - this.#first.done : 0;
    const perSecond = count > 0 && seconds > 0 ? count / seconds : 0;
    const left = this.#total === undefined || perSecond === 0 ? undefined : (this.#total - this.#done) / perSecond;
    return { done: this.#done, total: this.#total, seconds, perSecond, secondsLeft: left };
  }
}

/**
 * A line for people, with the `measures` by their names at its end: `step 120/600, 35.2 steps/s, 14 s left,
 * loss 0.4312`.
 */
export function progressLine(progress: Progress, measures: Readonly<Record<string, number>> = {}): string {
  const { done, total, perSecond, secondsLeft } = progress;
  const parts = [
    `step ${done}${total === undefined ? "" : `/${total}`}`,
    ...(perSecond > 0 ? [`${perSecond.toPrecision(3)} steps/s`] : []),
    ...(secondsLeft !== undefined && secondsLeft > 0 ? [`${duration(secondsLeft)} left`] : []),
    ...Object.entries(measures).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`),
  ];
  return parts.join(", ");
}

/** Seconds as people say them: `14 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
