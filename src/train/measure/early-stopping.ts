/**
 * Early stopping: an end to a training whose measure no longer improves (Prechelt 1998, "Early Stopping – But When?";
 * keras.callbacks.EarlyStopping).
 *
 * ```ts
 * const stopping = new EarlyStopping({ patience: 5 });
 * if (stopping.next(validationLoss)) break; // after every epoch
 * ```
 */
import { checkOptions, requireCount } from "../../tensor/door/door.ts";

/** When a training ends early. */
export interface EarlyStoppingOptions {
  /** Whether the measure should fall ("min", default) or rise ("max"). */
  readonly mode?: "min" | "max";
  /** Measures in a row without improvement that are borne; default 0: the first one ends the training. */
  readonly patience?: number;
  /** A difference to the best above which a measure counts as better; default 0. */
  readonly minDelta?: number;
}

/** What an `EarlyStopping` knows, as JSON. */
export interface EarlyStoppingState {
  /** Null before the first measure. */
  readonly best: number | null;
  /** The best one's place among the measures, counted from 1; 0 before the first. */
  readonly bestAt: number;
  /** Measures so far. */
  readonly count: number;
}

/** Says when a measure has not improved for too long. */
export class EarlyStopping {
  readonly #mode: "min" | "max";
  readonly #patience: number;
  readonly #minDelta: number;
  #state: EarlyStoppingState = { best: null, bestAt: 0, count: 0 };

  /** @throws Error naming an option out of range. */
  constructor(options: EarlyStoppingOptions = {}) {
    checkOptions("EarlyStopping", options, ["mode", "patience", "minDelta"]);
    const { mode = "min", patience = 0, minDelta = 0 } = options;
    if (mode !== "min" && mode !== "max")
      throw new Error(`EarlyStopping: mode is ${JSON.stringify(mode)}; it must be "min" or "max"`);
    requireCount("EarlyStopping", "patience", patience);
    if (!(minDelta >= 0)) throw new Error(`EarlyStopping: minDelta is ${minDelta}; it must be at least 0`);
    this.#mode = mode;
    this.#patience = patience;
    this.#minDelta = minDelta;
  }

  /** The best measure so far; undefined before the first. */
  get best(): number | undefined {
    return this.#state.best ?? undefined;
  }
  /** Whether the measure given last is the best so far. */
  get improved(): boolean {
    return this.#state.count > 0 && this.#state.bestAt === this.#state.count;
  }
  /** Whether more measures in a row were no better than the best than are borne. */
  get stopped(): boolean {
    return this.#state.count - this.#state.bestAt > this.#patience;
  }

  /** Takes in a measure; a NaN is no improvement. @returns whether the training should end. */
  next(measure: number): boolean {
    const { best, bestAt } = this.#state;
    const count = this.#state.count + 1;
    const gain = best === null ? Infinity : this.#mode === "min" ? best - measure : measure - best;
    const better = !Number.isNaN(measure) && gain > this.#minDelta;
    this.#state = better ? { best: measure, bestAt: count, count } : { best, bestAt, count };
    return this.stopped;
  }

  /** What to save. */
  state(): EarlyStoppingState {
    return { ...this.#state };
  }
  /** Goes on from a saved state. */
  load(state: EarlyStoppingState): void {
    this.#state = { ...state };
  }
}
