/**
 * Pretraining steps: the model's contrast, the backward pass and SGD, compiled into one plan.
 *
 * A step is traced once for each batch shape and replayed from then on, in one submit. Learning rate, dropout and the
 * queue's pointers change from run to run without compiling again.
 */
import type { SgdSettings } from "../../nn/optim/sgd.ts";
import { SGD } from "../../nn/optim/sgd.ts";
import { compile } from "../../tensor/program/compile.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { describeValue } from "../../tensor/door/door.ts";
import type { HiCoBatch, HiCoResult } from "./model.ts";
import { HiCo } from "./model.ts";

/** The paper's: SGD, lr 0.01, momentum 0.9, weight decay 1e-4. */
export const PRETRAIN_SETTINGS = { lr: 0.01, momentum: 0.9, weightDecay: 1e-4 } as const;

/** Losses of a step, on the device until they are read. */
export interface StepLosses {
  /** The sum of the five: a scalar. */
  readonly loss: Tensor;
  /** [5], in the order of `LOSS_PARTS`. */
  readonly parts: Tensor;
}

/** A compiled training step of HiCo: loss, gradients, SGD, momentum update and queues in one plan. */
export class HiCoTrainer {
  readonly model: HiCo;
  /** Its `lr` may be set between steps. */
  readonly optimizer: SGD;
  readonly #step: (...batch: [Tensor, Tensor, Tensor, Tensor]) => Promise<{ loss: Tensor; parts: Tensor }>;

  /** @param settings of its SGD, where they differ from `PRETRAIN_SETTINGS`. */
  constructor(model: HiCo, settings: Partial<SgdSettings> = {}) {
    if (!(model instanceof HiCo)) throw new TypeError(`HiCoTrainer: takes a HiCo, not ${describeValue(model)}`);
    this.model = model;
    this.optimizer = new SGD(model.encoder_q.parameters(), { ...PRETRAIN_SETTINGS, ...settings });
    this.#step = compile((queryTemporal: Tensor, querySpatial: Tensor, keyTemporal: Tensor, keySpatial: Tensor) => {
      const { loss, parts } = this.update({ queryTemporal, querySpatial, keyTemporal, keySpatial });
      return { loss, parts };
    });
  }

  /** One training step. Changing anything but variables and the learning rate needs another trainer. */
  step({ queryTemporal, querySpatial, keyTemporal, keySpatial }: HiCoBatch): Promise<StepLosses> {
    return this.#step(queryTemporal, querySpatial, keyTemporal, keySpatial);
  }

  /** The step as graph, for the next realization: what `step` compiles. */
  update(batch: HiCoBatch): HiCoResult {
    this.optimizer.zeroGrad();
    const result = this.model.contrast(batch);
    result.loss.backward();
    this.optimizer.step();
    this.optimizer.zeroGrad();
    return result;
  }
}
