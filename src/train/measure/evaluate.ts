/** Evaluation: means of measures over all batches of a data set, with dropout off and running statistics in use. */
import { noGrad } from "../../autograd/grad.ts";
import type { Module } from "../../nn/module.ts";
import { compile } from "../../tensor/program/compile.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { DataLoader } from "../data/loader.ts";
import { RunningMeans } from "./metrics.ts";

/** Measures of a batch by name: scalar tensors, means over the batch's samples. */
export type Measures = Readonly<Record<string, Tensor>>;

/**
 * A function that evaluates a model: each call gives the means of what `measure` gives, over all samples that the
 * batches have. Batches count by their number of samples, the first axis of their first tensor, so that a smaller last
 * batch has its right share. `measure` is compiled; the model is in evaluation mode meanwhile, and as it was afterwards.
 *
 * ```ts
 * const test = evaluator(model, new DataLoader(held, { batchSize: 500 }), (x, labels) => {
 *   const logits = model.forward(x);
 *   return { loss: crossEntropy(logits, labels), accuracy: accuracy(logits, labels) };
 * });
 * const { loss, accuracy } = await test();
 * ```
 */
export function evaluator<B extends readonly Tensor[], M extends Measures>(
  model: Module,
  batches: DataLoader<Readonly<B>>,
  measure: (...batch: B) => M,
): () => Promise<{ [K in keyof M]: number }> {
  const compiled = compile((...batch: B) => noGrad(() => measure(...batch)));
  return async () => {
    const modes = model.modules().map((module) => [module, module.training] as const);
    model.eval();
    try {
      const means = new RunningMeans();
      for await (const { batch } of batches.placed()) {
        const found = await compiled(...(batch as B));
        const values: Record<string, number> = {};
        for (const [name, value] of Object.entries(found)) {
          values[name] = await value.item();
          value.dispose();
        }
        means.add(values, (batch as readonly Tensor[])[0].shape[0]);
      }
      return means.means() as { [K in keyof M]: number };
    } finally {
      // Modules first set with all below them, then each as it was: from the outside in.
      for (const [module, training] of modes) module.train(training);
    }
  };
}
