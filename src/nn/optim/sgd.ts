/**
 * Stochastic gradient descent with momentum, in PyTorch's form (torch.optim.SGD):
 *
 *   g ← g + weightDecay·p
 *   b ← momentum·b + (1 − dampening)·g, and b = g at the first step
 *   p ← p − lr·(nesterov ? g + momentum·b : b)
 *
 * With dampening 0, a buffer of zeros makes the first step like the others; only otherwise are the steps counted.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { CommonSettings, ParameterGroup, UpdateContext } from "./optimizer.ts";
import { Optimizer, groupsOf, requireRange, withDefaults } from "./optimizer.ts";

/** Settings of SGD, with PyTorch's defaults. */
export interface SgdSettings extends CommonSettings {
  /** Default 0. */
  momentum: number;
  /** Default 0. */
  dampening: number;
  /** Default 0. */
  weightDecay: number;
  /** Default false; needs momentum above 0 and dampening 0. */
  nesterov: boolean;
}

/** `lr` has none: it must be given. */
const DEFAULTS = { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false };

/** Stochastic gradient descent with momentum, as torch.optim.SGD. */
export class SGD extends Optimizer<SgdSettings> {
  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` must be there.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<SgdSettings>[],
    settings: Partial<SgdSettings> & CommonSettings,
  ) {
    const defaults = withDefaults<SgdSettings>(new.target.name, DEFAULTS, settings);
    const all: readonly Partial<SgdSettings>[] = [defaults, ...groupsOf<SgdSettings>(new.target.name, params)];
    super(
      params,
      defaults,
      all.some((s) => (s.momentum ?? 0) !== 0) ? ["momentum_buffer"] : [],
      all.some((s) => (s.dampening ?? 0) !== 0),
    );
  }

  protected override get known(): readonly string[] {
    return ["momentum", "dampening", "weightDecay", "nesterov"];
  }
  protected override keeps({ momentum, dampening }: SgdSettings) {
    if (momentum === 0) return {};
    return { momentum: "momentum_buffer", ...(dampening !== 0 && { dampening: "step" }) };
  }
  protected check(s: SgdSettings): void {
    requireRange("SGD", "lr", s.lr, 0);
    requireRange("SGD", "momentum", s.momentum, 0);
    requireRange("SGD", "weightDecay", s.weightDecay, 0);
    if (s.nesterov && (s.momentum === 0 || s.dampening !== 0)) {
      throw new Error(`SGD: nesterov needs momentum above 0 and dampening 0, not ${s.momentum} and ${s.dampening}`);
    }
  }

  protected update(p: Variable, gradient: Tensor, context: UpdateContext<SgdSettings>): void {
    const { settings, slots, lr, counts, own } = context;
    const { momentum, dampening, weightDecay, nesterov } = settings;
    const g = weightDecay === 0 ? gradient : gradient.add(p.mul(weightDecay));
    if (momentum === 0) {
      p.assign(p.sub(g.mul(lr)));
      return;
    }
    const buffer = slots.momentum_buffer;
    const share = dampening === 0 ? g : g.mul(own(counts!).gt(1).cast(g.dtype).mul(-dampening).add(1));
    const next = buffer.mul(momentum).add(share);
    buffer.assign(next);
    p.assign(p.sub((nesterov ? g.add(next.mul(momentum)) : next).mul(lr)));
  }
}
