/** All cases of the suite, in the order in which they are asked. */
import { arrayCases } from "./array-cases.ts";
import type { ConformanceCase } from "./case.ts";
import { ELEMENTWISE_ROWS } from "./elementwise.ts";
import { elementwiseCases } from "./elementwise-cases.ts";
import { ARRAY_ROWS } from "./operations.ts";
import { programCases, PROGRAMS } from "./programs.ts";

/** Numbers of drawn operands do not depend on how many rows other families have. */
const FAMILY = 1000;

/**
 * @param seed of the operands that are drawn
 * @param wanted whether an operation is asked about; of others nothing is drawn
 */
export function conformanceCases(seed: number, wanted: (operation: string) => boolean): ConformanceCase[] {
  const asked = <T>(rows: Readonly<Record<string, T>>) =>
    Object.entries(rows).flatMap(([name, row], n) => (wanted(name) ? [{ name, row, n }] : []));
  return [
    ...asked(ELEMENTWISE_ROWS).flatMap(({ name, n }) => elementwiseCases(seed, n, name)),
    ...asked(ARRAY_ROWS).flatMap(({ name, row, n }) => arrayCases(seed, FAMILY + n, name, row)),
    ...asked(PROGRAMS).flatMap(({ name, row, n }) => programCases(seed, 2 * FAMILY + n, name, row)),
  ];
}
