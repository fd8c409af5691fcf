/**
 * Random draws that depend on the step and on their place in it, not on how many came before.
 *
 * A compiled step draws anew at every run, in whatever order a device fills its inputs. With a key for each step (one
 * Threefry block of the seed and the step's number) and the place at which a draw was traced as its call number, the
 * draws of step n are the same in every process, so that a resumed run needs no generator state and meets the same
 * dropout.
 */
import * as build from "../../tensor/build.ts";
import { Generator } from "../../tensor/random.ts";
import { threefry2x32 } from "../../tensor/threefry.ts";
import type { Shape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";

/**
 * Random numbers that are a function of the seed and the step, so that a resumed run draws what one without a break
 * does.
 */
export class StepGenerator extends Generator {
  #step: readonly [number, number];
  #place = 0;

  /** Stands at step 0, which first values are drawn in. */
  constructor(seed: number) {
    super(seed);
    this.#step = this.#keyOf(0);
  }

  /** From now on, traced or replayed, draws are those of this step. */
  begin(step: number): void {
    if (!Number.isSafeInteger(step) || step < 0)
      throw new Error(`StepGenerator: step ${step} is not a whole number of at least 0`);
    this.#step = this.#keyOf(step);
    this.#place = 0;
  }

  #keyOf(step: number): [number, number] {
    return threefry2x32(
      this.seed >>> 0,
      Math.floor(this.seed / 2 ** 32) >>> 0,
      step >>> 0,
      Math.floor(step / 2 ** 32) >>> 0,
    );
  }

  override bits(shape: Shape): Tensor {
    const place = this.#place++;
    const draw = (): Uint32Array => Uint32Array.of(this.#step[0], this.#step[1], place, 0);
    const key = build.drawn(draw, [4], "u32");
    return new Tensor(build.makeNode({ kind: "bits" }, [key], [...shape], "u32"));
  }
}
