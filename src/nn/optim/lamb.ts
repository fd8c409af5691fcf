/**
 * LAMB (You et al. 2020, "Large Batch Optimization for Deep Learning", arXiv 1904.00962, algorithm 2): Adam's step with
 * decoupled decay, scaled for each parameter to the parameter's own norm.
 *
 *   r = m̂ / (√v̂ + ε) + weightDecay·p
 *   p ← p − lr·(‖p‖ / ‖r‖)·r, the ratio being 1 where either norm is 0
 */
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { AdamSettings } from "./adam.ts";
import type { ParameterGroup, UpdateContext } from "./optimizer.ts";
import { Optimizer, requireRange, withDefaults } from "./optimizer.ts";

/** Settings of LAMB: those of Adam, with the authors' defaults. */
export type LambSettings = AdamSettings;

const DEFAULTS: LambSettings = { lr: 1e-3, betas: [0.9, 0.999], epsilon: 1e-6, weightDecay: 0.01 };

/** LAMB (You et al., 2020), for large batches. */
export class LAMB extends Optimizer<LambSettings> {
  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` is 1e-3 by default.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<LambSettings>[],
    settings: Partial<LambSettings> = {},
  ) {
    super(params, withDefaults(new.target.name, DEFAULTS, settings), ["exp_avg", "exp_avg_sq"], true);
  }

  protected override get known(): readonly string[] {
    return ["betas", "epsilon", "weightDecay"];
  }
  protected check(s: LambSettings): void {
    requireRange("LAMB", "lr", s.lr, 0);
    requireRange("LAMB", "the first of betas", s.betas[0], 0, 1);
    requireRange("LAMB", "the second of betas", s.betas[1], 0, 1);
    requireRange("LAMB", "epsilon", s.epsilon, 0);
    requireRange("LAMB", "weightDecay", s.weightDecay, 0);
  }

  protected update(p: Variable, g: Tensor, { settings, slots, lr, counts, own }: UpdateContext<LambSettings>): void {
    const { betas, epsilon, weightDecay } = settings;
    const mean = slots.exp_avg!.mul(betas[0]).add(g.mul(1 - betas[0]));
    const square = slots.exp_avg_sq!.mul(betas[1]).add(g.square().mul(1 - betas[1]));
    slots.exp_avg!.assign(mean);
    slots.exp_avg_sq!.assign(square);
    // 1 − βᵗ = −expm1(t·ln β), which keeps its digits where βᵗ is close to 1.
    const steps = own(counts!);
    const rest = (beta: number): Tensor => (beta === 0 ? steps.mul(0).add(1) : steps.mul(Math.log(beta)).expm1().neg());
    const adam = mean.div(rest(betas[0])).div(square.div(rest(betas[1])).sqrt().add(epsilon));
    const step = weightDecay === 0 ? adam : adam.add(p.mul(weightDecay));
    const [size, length] = [p, step].map((x) => x.square().sum().sqrt());
    const ratio = size!
      .gt(0)
      .and(length!.gt(0))
      .where(size!.div(length!.gt(0).where(length!, 1)), 1);
    p.assign(p.sub(step.mul(ratio.mul(lr))));
  }
}
