/**
 * Dynamic loss scaling for gradients that pass through float16 (Micikevicius et al. 2018, "Mixed Precision Training",
 * arXiv 1710.03740), by the rule of torch.amp.GradScaler:
 *
 *   the loss is multiplied by the scale, and gradients are divided by it before the update
 *   gradients that are not finite: no update, and scale ← backoffFactor·scale
 *   growthInterval updates in a row: scale ← growthFactor·scale, where that is finite
 *
 * The scale, the updates in a row and whether gradients were finite are variables on the device, and what depends on them
 * is chosen there, element by element: nothing is read on the host, so all of it is part of a compiled step.
 */
import { noGrad } from "../../autograd/grad.ts";
import { concat } from "../../tensor/methods/join.ts";
import { zeros, scalar } from "../../tensor/create.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import { variable } from "../../tensor/variable.ts";
import { tracing, withTrace } from "../../tensor/program/trace.ts";
import type { LoadReport, StateSource } from "../state.ts";
import { loadState } from "../state.ts";
import type { CommonSettings, Optimizer } from "./optimizer.ts";
import { updating } from "./updating.ts";

/** Options of `GradScaler`, with PyTorch's defaults. */
export interface GradScalerOptions {
  /** The first scale; default 65536. */
  readonly initScale?: number;
  /** What the scale is multiplied by after `growthInterval` updates in a row; above 1, default 2. */
  readonly growthFactor?: number;
  /** What the scale is multiplied by where gradients were not finite; between 0 and 1, default 0.5. */
  readonly backoffFactor?: number;
  /** Updates in a row after which the scale grows; default 2000. */
  readonly growthInterval?: number;
  /** Default true. Where false, every method does what a training without scaling does. */
  readonly enabled?: boolean;
}

/** What has been done for an optimizer since the last `update`; calls of a compiled function do the same. */
class Progress {
  /** Whether all of its gradients were finite. */
  readonly finite = variable(zeros([], "bool"), { name: "finite", trainable: false });
  #stage: "none" | "unscaled" | "stepped" = "none";

  get stage(): "none" | "unscaled" | "stepped" {
    tracing()?.watch(this, () => this.#stage);
    return this.#stage;
  }
  set stage(stage) {
    const set = () => void (this.#stage = stage);
    tracing()?.settings.set(this, set);
    set();
  }
}

/**
 * Scales losses so that gradients in float16 neither vanish nor overflow for long (torch.amp.GradScaler):
 *
 * ```ts
 * const scaler = new GradScaler();
 * const step = compile((x: Tensor, y: Tensor) => {
 *   const loss = autocast(() => crossEntropy(model.forward(x), y));
 *   optimizer.zeroGrad();
 *   scaler.scale(loss).backward();
 *   scaler.step(optimizer);
 *   scaler.update();
 *   return loss;
 * });
 * ```
 *
 * With clipping, `scaler.unscale(optimizer)` comes before it.
 */
export class GradScaler {
  /** Whether it scales at all. */
  readonly enabled: boolean;
  readonly #scale: Variable;
  /** Updates in a row since the scale last changed. */
  readonly #tracker: Variable;
  readonly #options: Required<GradScalerOptions>;
  readonly #progress = new Map<Optimizer<CommonSettings>, Progress>();

  /** @throws Error naming an option out of range. */
  constructor(options: GradScalerOptions = {}) {
    const name = "GradScaler";
    checkOptions(name, options, ["initScale", "growthFactor", "backoffFactor", "growthInterval", "enabled"]);
    const { initScale = 65536, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000, enabled = true } = options;
    if (!(initScale > 0 && Number.isFinite(initScale)))
      throw new Error(`${name}: initScale is ${initScale}; it must be a finite number above 0`);
    if (!(growthFactor > 1 && Number.isFinite(growthFactor)))
      throw new Error(`${name}: growthFactor is ${growthFactor}; it must be a finite number above 1`);
    if (!(backoffFactor > 0 && backoffFactor < 1))
      throw new Error(`${name}: backoffFactor is ${backoffFactor}; it must be between 0 and 1`);
    if (!Number.isInteger(growthInterval) || growthInterval < 1)
      throw new Error(`${name}: growthInterval is ${growthInterval}; it must be a whole number of at least 1`);
    this.#options = { initScale, growthFactor, backoffFactor, growthInterval, enabled };
    this.enabled = enabled;
    this.#scale = variable(scalar(initScale), { name: "scale", trainable: false });
    this.#tracker = variable(zeros([], "i32"), { name: "_growth_tracker", trainable: false });
  }

  /** The loss times the scale, for `backward()`. A loss in f16 becomes f32, which holds the product. */
  scale(loss: Tensor): Tensor {
    requireTensor("GradScaler.scale", "loss", loss);
    return this.enabled ? loss.cast(loss.dtype === "f16" ? "f32" : loss.dtype).mul(this.#scale) : loss;
  }

  /**
   * Divides the gradients of an optimizer's parameters by the scale, and notes whether they are finite: to be called
   * between `backward()` and what reads gradients, such as `clipGradNorm`. `step` does it where it was not called.
   *
   * @throws Error where there is no gradient, a parameter is f16, or it was called since the last `update`.
   */
  unscale(optimizer: Optimizer<CommonSettings>): void {
    if (!this.enabled) return;
    const progress = this.#of(optimizer);
    if (progress.stage === "unscaled") throw new Error("GradScaler: unscale was called since the last update()");
    if (progress.stage === "stepped") throw new Error("GradScaler: unscale comes before step, not after it");
    const held = optimizer.parameters.filter((p) => p.grad);
    if (held.length === 0) {
      throw new Error(
        "GradScaler: no parameter of the optimizer has a gradient; call scaler.scale(loss).backward() first",
      );
    }
    const half = held.find((p) => p.dtype === "f16");
    if (half) {
      throw new Error(
        `GradScaler: variable "${half.name}" is f16; keep parameters in f32 and let autocast compute in f16, or updates ` +
          "round away",
      );
    }
    noGrad(() => {
      const inverse = this.#scale.reciprocal();
      for (const p of held) p.grad = p.grad!.mul(inverse);
    });
    updating(() => {
      progress.finite.assign(concat(held.map((p) => p.grad!.isFinite().all().reshape([1]))).all());
    });
    progress.stage = "unscaled";
  }

  /**
   * The optimizer's step, of unscaled gradients. Where one of them is infinite or NaN nothing of it happens: parameters,
   * moments and step counts stay as they are.
   *
   * @throws Error where it was called since the last `update`, and as `unscale` does.
   */
  step(optimizer: Optimizer<CommonSettings>): void {
    if (!this.enabled) return optimizer.step();
    const progress = this.#of(optimizer);
    if (progress.stage === "stepped") throw new Error("GradScaler: step was called since the last update()");
    if (progress.stage === "none") this.unscale(optimizer);
    optimizer.step(progress.finite);
    progress.stage = "stepped";
  }

  /**
   * The scale of the next step: smaller where gradients were not finite, larger after `growthInterval` updates in a row.
   * To be called once at the end of a step, after `step` for every optimizer.
   *
   * @param scale sets it to this number instead.
   * @throws Error where no gradients were looked at since the last call.
   */
  update(scale?: number): void {
    if (!this.enabled) return;
    const done = [...this.#progress.values()].filter(({ stage }) => stage !== "none");
    if (scale !== undefined && !(scale > 0 && Number.isFinite(scale)))
      throw new Error(`GradScaler: the scale is ${scale}; it must be a finite number above 0`);
    if (scale === undefined && done.length === 0)
      throw new Error("GradScaler: update comes after step(optimizer), which looks at the gradients");
    updating(() => {
      if (scale !== undefined) return this.#scale.assign(scalar(scale));
      const { growthFactor, backoffFactor, growthInterval } = this.#options;
      const finite = done.map((progress): Tensor => progress.finite).reduce((both, one) => both.and(one));
      const row = this.#tracker.add(1);
      const grows = row.ge(growthInterval);
      const grown = this.#scale.mul(growthFactor);
      const kept = grows.and(grown.isFinite()).where(grown, this.#scale);
      this.#scale.assign(finite.where(kept, this.#scale.mul(backoffFactor)));
      this.#tracker.assign(finite.and(grows.not()).where(row, 0));
    });
    for (const progress of done) progress.stage = "none";
  }

  /** The scale as it is, read from the device; 1 where it is not enabled. */
  async getScale(): Promise<number> {
    return this.enabled ? this.#scale.item() : 1;
  }

  /**
   * What is saved, by PyTorch's names: the variables `scale` and `_growth_tracker`; nothing where it is not enabled. A
   * checkpoint takes a scaler as a part.
   */
  stateDict(): Map<string, Variable> {
    return new Map(this.enabled ? [this.#scale, this.#tracker].map((v) => [v.name, v]) : []);
  }

  /**
   * Goes on from the values of a `stateDict()`. Lazy, as assignments are.
   *
   * @throws Error naming what is missing or left over; nothing is changed then.
   */
  loadStateDict(source: StateSource): LoadReport {
    return loadState(this.stateDict(), source, { name: "GradScaler" });
  }

  #of(optimizer: Optimizer<CommonSettings>): Progress {
    let progress = this.#progress.get(optimizer);
    if (!progress) {
      progress = withTrace(undefined, () => new Progress());
      this.#progress.set(optimizer, progress);
    }
    return progress;
  }
}
