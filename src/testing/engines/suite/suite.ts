/** All cases of the suite, in the order in which they are asked. */
import { arrayCases } from "./array-cases.ts";
import type { ConformanceCase } from "./case.ts";
import { ELEMENTWISE_ROWS } from "./elementwise.ts";
import { elementwiseCases } from "./elementwise-cases.ts";
import { ARRAY_ROWS } from "./operations.ts";
import { programCases } from "./programs.ts";

/** Numbers of drawn operands do not depend on how many rows other families have. */
const FAMILY = 1000;

/** @param seed of the operands that are drawn. */
export function conformanceCases(seed: number): ConformanceCase[] {
  return [
    ...Object.keys(ELEMENTWISE_ROWS).flatMap((name, stream) => elementwiseCases(seed, stream, name)),
    ...Object.entries(ARRAY_ROWS).flatMap(([name, row], n) => arrayCases(seed, FAMILY + n, name, row)),
    ...programCases(seed, 2 * FAMILY),
  ];
}
