/**
 * Adam (Kingma, Ba 2015, arXiv 1412.6980) and AdamW (Loshchilov, Hutter 2019, arXiv 1711.05101), in PyTorch's form
 * (torch.optim.Adam, torch.optim.AdamW):
 *
 *   m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²
 *   p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
 *
 * Adam adds weightDecay·p to g; AdamW first multiplies p by 1 − lr·weightDecay.
 */
import { ones } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { CommonSettings, ParameterGroup, UpdateContext } from "./optimizer.ts";
import { Optimizer, requireRange, withDefaults } from "./optimizer.ts";

/** Settings of Adam and AdamW, with PyTorch's defaults. */
export interface AdamSettings extends CommonSettings {
  /** Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Default 1e-8. */
  epsilon: number;
  /** Default 0 of Adam, 0.01 of AdamW. */
  weightDecay: number;
}

const DEFAULTS: AdamSettings = { lr: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0 };

/** Factors that depend on the steps alone, computed in one go for all parameters: one element each. */
interface Corrections {
  /** lr / (1 − β₁ᵗ) */
  readonly rate: Tensor;
  /** 1 / √(1 − β₂ᵗ) */
  readonly rootScale: Tensor;
}

/** Adam (Kingma and Ba, 2015), as torch.optim.Adam. */
export class Adam extends Optimizer<AdamSettings> {
  readonly #corrections = new WeakMap<Tensor, Corrections>();

  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` is 1e-3 by default.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<AdamSettings>[],
    settings: Partial<AdamSettings> = {},
  ) {
    super(params, withDefaults(new.target.name, DEFAULTS, settings), ["exp_avg", "exp_avg_sq"], true);
  }

  protected override get known(): readonly string[] {
    return ["betas", "epsilon", "weightDecay"];
  }
  protected check(s: AdamSettings): void {
    const name = this.constructor.name;
    requireRange(name, "lr", s.lr, 0);
    requireRange(name, "the first of betas", s.betas[0], 0, 1);
    requireRange(name, "the second of betas", s.betas[1], 0, 1);
    requireRange(name, "epsilon", s.epsilon, 0);
    requireRange(name, "weightDecay", s.weightDecay, 0);
  }

  protected update(p: Variable, gradient: Tensor, context: UpdateContext<AdamSettings>): void {
    const { weightDecay } = context.settings;
    this.moveTo(p, p, weightDecay === 0 ? gradient : gradient.add(p.mul(weightDecay)), context);
  }

  /** Assigns to `p` the step from `from` along the moments of `g`. */
  protected moveTo(p: Variable, from: Tensor, g: Tensor, context: UpdateContext<AdamSettings>): void {
    const { settings, slots } = context;
    const [beta1, beta2] = settings.betas;
    const mean = slots.exp_avg.mul(beta1).add(g.mul(1 - beta1));
    const square = slots.exp_avg_sq.mul(beta2).add(g.square().mul(1 - beta2));
    slots.exp_avg.assign(mean);
    slots.exp_avg_sq.assign(square);
    const { rate, rootScale } = this.#correctionsFor(context);
    const root = square.sqrt().mul(context.own(rootScale)).add(settings.epsilon);
    p.assign(from.sub(mean.mul(context.own(rate)).div(root)));
  }

  /** Kept by the tensor of the learning rate, of which there is one a group, dtype and step. */
  #correctionsFor({ settings, lr, counts }: UpdateContext<AdamSettings>): Corrections {
    const known = this.#corrections.get(lr);
    if (known) return known;
    // 1 − βᵗ = −expm1(t·ln β), which keeps its digits where βᵗ is close to 1.
    const [first, second] = settings.betas.map((beta) =>
      beta === 0 ? undefined : counts!.mul(Math.log(beta)).expm1().neg(),
    );
    const corrections = {
      rate: (first ? lr.div(first) : lr.expand(counts!.shape)).contiguous(),
      rootScale: second ? second.rsqrt().contiguous() : ones(counts!.shape, lr.dtype),
    };
    this.#corrections.set(lr, corrections);
    return corrections;
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as torch.optim.AdamW. */
export class AdamW extends Adam {
  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` is 1e-3 by default.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<AdamSettings>[],
    settings: Partial<AdamSettings> = {},
  ) {
    super(params, { weightDecay: 0.01, ...settings });
  }

  protected override update(p: Variable, gradient: Tensor, context: UpdateContext<AdamSettings>): void {
    const { settings, lr } = context;
    const decayed = settings.weightDecay === 0 ? p : p.mul(lr.mul(-settings.weightDecay).add(1));
    this.moveTo(p, decayed, gradient, context);
  }
}
