/**
 * RMSprop (Tieleman, Hinton 2012, Lecture 6.5; centred as in Graves 2013, arXiv 1308.0850), in PyTorch's form
 * (torch.optim.RMSprop):
 *
 *   v ← α·v + (1 − α)·g²; centred, also a ← α·a + (1 − α)·g, and v − a² in place of v below
 *   b ← momentum·b + g / (√v + ε)
 *   p ← p − lr·b
 */
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { CommonSettings, ParameterGroup, UpdateContext } from "./optimizer.ts";
import { Optimizer, groupsOf, requireRange, withDefaults } from "./optimizer.ts";

/** Settings of RMSprop, with PyTorch's defaults. */
export interface RmsPropSettings extends CommonSettings {
  /** How much of the average of squares is kept; default 0.99. */
  alpha: number;
  /** Default 1e-8. */
  epsilon: number;
  /** Default 0. */
  weightDecay: number;
  /** Default 0. */
  momentum: number;
  /** Whether squares are taken around the gradient's average; default false. */
  centered: boolean;
}

const DEFAULTS: RmsPropSettings = {
  lr: 0.01,
  alpha: 0.99,
  epsilon: 1e-8,
  weightDecay: 0,
  momentum: 0,
  centered: false,
};

/** RMSprop (Tieleman and Hinton, 2012), as torch.optim.RMSprop. */
export class RMSprop extends Optimizer<RmsPropSettings> {
  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` is 1e-2 by default.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<RmsPropSettings>[],
    settings: Partial<RmsPropSettings> = {},
  ) {
    const defaults = withDefaults(new.target.name, DEFAULTS, settings);
    const all: readonly Partial<RmsPropSettings>[] = [defaults, ...groupsOf<RmsPropSettings>(new.target.name, params)];
    const slots = [
      "square_avg",
      ...(all.some((s) => (s.momentum ?? 0) > 0) ? ["momentum_buffer"] : []),
      ...(all.some((s) => s.centered) ? ["grad_avg"] : []),
    ];
    super(params, defaults, slots, true);
  }

  protected override get known(): readonly string[] {
    return ["alpha", "epsilon", "weightDecay", "momentum", "centered"];
  }
  protected override keeps({ momentum, centered }: RmsPropSettings) {
    return { ...(momentum > 0 && { momentum: "momentum_buffer" }), ...(centered && { centered: "grad_avg" }) };
  }
  protected check(s: RmsPropSettings): void {
    requireRange("RMSprop", "lr", s.lr, 0);
    requireRange("RMSprop", "alpha", s.alpha, 0);
    requireRange("RMSprop", "epsilon", s.epsilon, 0);
    requireRange("RMSprop", "weightDecay", s.weightDecay, 0);
    requireRange("RMSprop", "momentum", s.momentum, 0);
  }

  protected update(p: Variable, gradient: Tensor, { settings, slots, lr }: UpdateContext<RmsPropSettings>): void {
    const { alpha, epsilon, weightDecay, momentum, centered } = settings;
    const g = weightDecay === 0 ? gradient : gradient.add(p.mul(weightDecay));
    const square = slots.square_avg!.mul(alpha).add(g.square().mul(1 - alpha));
    slots.square_avg!.assign(square);
    let spread = square;
    if (centered) {
      const average = slots.grad_avg!.mul(alpha).add(g.mul(1 - alpha));
      slots.grad_avg!.assign(average);
      spread = square.sub(average.square());
    }
    const scaled = g.div(spread.sqrt().add(epsilon));
    if (momentum === 0) {
      p.assign(p.sub(scaled.mul(lr)));
      return;
    }
    const buffer = slots.momentum_buffer!.mul(momentum).add(scaled);
    slots.momentum_buffer!.assign(buffer);
    p.assign(p.sub(buffer.mul(lr)));
  }
}
