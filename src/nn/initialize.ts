/**
 * First values of parameters, as PyTorch's layers draw them (torch.nn.init). The draws come from this package's own
 * generator, so they have PyTorch's distributions and not its numbers.
 */
import type { DType } from "../tensor/dtype.ts";
import { describeValue } from "../tensor/door/door.ts";
import { Generator, rng } from "../tensor/random.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import { variable } from "../tensor/variable.ts";

/** What every layer with parameters takes. */
export interface LayerOptions {
  /** Default f32. */
  readonly dtype?: DType;
  /** Where first values come from; default the shared generator, see `seed`. */
  readonly generator?: Generator;
}

/** Uniform in ±bound. */
export function uniformWithin(bound: number, shape: Shape, { dtype = "f32", generator = rng() }: LayerOptions): Tensor {
  return generator.uniform(shape, -bound, bound, dtype);
}

/**
 * Uniform in ±1/√fanIn: Kaiming's uniform distribution with a = √5 (He et al. 2015), which PyTorch draws weights of
 * linear layers and convolutions from, and the one it draws their biases from.
 */
export function fanInUniform(fanIn: number, shape: Shape, options: LayerOptions): Tensor {
  return uniformWithin(fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0, shape, options);
}

export function parameter(name: string, initial: Tensor): Variable {
  return variable(initial, { name });
}

/** Throws unless the value is a whole number of at least `least`. */
export function requireCount(layer: string, name: string, value: number, least = 1): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new Error(`${layer}: ${name} is ${value}; it must be a whole number of at least ${least}`);
}

/** Throws unless the value is a probability below 1. */
export function requireProbability(layer: string, p: number): void {
  if (!(p >= 0 && p < 1)) throw new Error(`${layer}: the dropout probability is ${p}; it must be in [0, 1)`);
}

/** Other layers take their generator by name: here an object of options would be found out in the first training step. */
export function requireGenerator(layer: string, generator: unknown): void {
  if (generator === undefined || generator instanceof Generator) return;
  throw new TypeError(
    `${layer}: the generator must be a Generator, not ${describeValue(generator)}; write new ${layer}(0.5, generator)`,
  );
}
