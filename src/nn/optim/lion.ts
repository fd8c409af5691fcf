/**
 * Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675, algorithm 2):
 *
 *   p ← p·(1 − lr·weightDecay) − lr·sign(β₁·m + (1 − β₁)·g)
 *   m ← β₂·m + (1 − β₂)·g
 */
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { CommonSettings, ParameterGroup, UpdateContext } from "./optimizer.ts";
import { Optimizer, requireRange, withDefaults } from "./optimizer.ts";

/** Settings of Lion, with the authors' defaults. */
export interface LionSettings extends CommonSettings {
  /** Default [0.9, 0.99]. */
  betas: readonly [number, number];
  /** Default 0. */
  weightDecay: number;
}

const DEFAULTS: LionSettings = { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0 };

/** Lion (Chen et al., 2023): steps of one size, along the sign of a momentum. It takes a tenth of Adam's rate. */
export class Lion extends Optimizer<LionSettings> {
  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` is 1e-4 by default.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<LionSettings>[],
    settings: Partial<LionSettings> = {},
  ) {
    super(params, withDefaults(new.target.name, DEFAULTS, settings), ["exp_avg"], false);
  }

  protected override get known(): readonly string[] {
    return ["betas", "weightDecay"];
  }
  protected check(s: LionSettings): void {
    requireRange("Lion", "lr", s.lr, 0);
    requireRange("Lion", "the first of betas", s.betas[0], 0, 1);
    requireRange("Lion", "the second of betas", s.betas[1], 0, 1);
    requireRange("Lion", "weightDecay", s.weightDecay, 0);
  }

  protected update(p: Variable, g: Tensor, { settings, slots, lr }: UpdateContext<LionSettings>): void {
    const { betas, weightDecay } = settings;
    const average = slots.exp_avg!;
    const direction = average
      .mul(betas[0])
      .add(g.mul(1 - betas[0]))
      .sign();
    const next = average.mul(betas[1]).add(g.mul(1 - betas[1]));
    const from = weightDecay === 0 ? p : p.mul(lr.mul(-weightDecay).add(1));
    average.assign(next);
    p.assign(from.sub(direction.mul(lr)));
  }
}
