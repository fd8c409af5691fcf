/** All cases of the suite, in the order in which they are asked. */
import type { ConformanceCase } from "./case.ts";
import { ELEMENTWISE_ROWS } from "./elementwise.ts";
import { elementwiseCases } from "./elementwise-cases.ts";

/** @param seed of the operands that are drawn. */
export function conformanceCases(seed: number): ConformanceCase[] {
  return Object.keys(ELEMENTWISE_ROWS).flatMap((name, stream) => elementwiseCases(seed, stream, name));
}
