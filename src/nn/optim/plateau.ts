/**
 * A learning rate that falls when a measure no longer improves (torch.optim.lr_scheduler.ReduceLROnPlateau):
 *
 * ```ts
 * const plateau = new PlateauSchedule(0.1, { patience: 5 });
 * optimizer.lr = plateau.next(validationLoss); // after every epoch
 * ```
 */
import { checkOptions, requireNumber } from "../../tensor/door/door.ts";

/** Options of `PlateauSchedule`, with PyTorch's defaults. */
export interface PlateauOptions {
  /** Whether the measure should fall ("min", default) or rise ("max"). */
  readonly mode?: "min" | "max";
  /** What the rate is multiplied by; default 0.1. */
  readonly factor?: number;
  /** Measures in a row without improvement that are borne; default 10. */
  readonly patience?: number;
  /** What counts as improvement, as a share of the best ("rel") or as a difference ("abs"); default 1e-4. */
  readonly threshold?: number;
  readonly thresholdMode?: "rel" | "abs";
  /** Measures after a cut that are not counted; default 0. */
  readonly cooldown?: number;
  /** The lowest rate; default 0. */
  readonly least?: number;
  /** A cut smaller than this is not made; default 1e-8. */
  readonly epsilon?: number;
}

/** What a `PlateauSchedule` knows, to be saved with a checkpoint as JSON. */
export interface PlateauState {
  readonly lr: number;
  /** Null before the first measure. */
  readonly best: number | null;
  readonly bad: number;
  readonly resting: number;
}

/** A learning rate that is cut when a measure stagnates. */
export class PlateauSchedule {
  readonly #options: Required<PlateauOptions>;
  #state: PlateauState;

  /**
   * @param base the learning rate to begin with.
   * @throws Error naming an option out of range.
   */
  constructor(base: number, options: PlateauOptions = {}) {
    requireNumber("PlateauSchedule", "base", base);
    checkOptions("PlateauSchedule", options, [
      ...["mode", "factor", "patience", "threshold", "thresholdMode", "cooldown", "least", "epsilon"],
    ]);
    const { mode = "min", factor = 0.1, patience = 10, threshold = 1e-4, thresholdMode = "rel" } = options;
    const { cooldown = 0, least = 0, epsilon = 1e-8 } = options;
    this.#options = { mode, factor, patience, threshold, thresholdMode, cooldown, least, epsilon };
    if (!(factor > 0 && factor < 1))
      throw new Error(`PlateauSchedule: factor is ${factor}; it must be between 0 and 1`);
    if (mode !== "min" && mode !== "max")
      throw new Error(`PlateauSchedule: mode is ${JSON.stringify(mode)}; it must be "min" or "max"`);
    this.#state = { lr: base, best: null, bad: 0, resting: 0 };
  }

  /** The rate as it is. */
  get lr(): number {
    return this.#state.lr;
  }

  /** Takes a measure, such as an epoch's loss on held-out data. A NaN is no improvement. @returns the rate from now on. */
  next(measure: number): number {
    requireNumber("PlateauSchedule", "the measure", measure);
    const { mode, factor, patience, cooldown, least, epsilon } = this.#options;
    let { lr, best, bad, resting } = this.#state;
    if (this.#better(measure, best ?? (mode === "min" ? Infinity : -Infinity))) {
      best = measure;
      bad = 0;
    } else bad++;
    if (resting > 0) {
      resting--;
      bad = 0;
    }
    if (bad > patience) {
      const cut = Math.max(lr * factor, least);
      if (lr - cut > epsilon) lr = cut;
      resting = cooldown;
      bad = 0;
    }
    this.#state = { lr, best, bad, resting };
    return lr;
  }

  #better(measure: number, best: number): boolean {
    const { mode, threshold, thresholdMode } = this.#options;
    if (thresholdMode === "abs") return mode === "min" ? measure < best - threshold : measure > best + threshold;
    return mode === "min" ? measure < best * (1 - threshold) : measure > best * (1 + threshold);
  }

  /** What to save. */
  state(): PlateauState {
    return { ...this.#state };
  }

  /** Goes on from a saved state. */
  load(state: PlateauState): void {
    this.#state = { ...state };
  }
}
