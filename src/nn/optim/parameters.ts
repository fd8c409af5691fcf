/** Parameters as what takes several is given them: a module, or variables in a list. */
import { describeValue } from "../../tensor/door/door.ts";
import { Variable } from "../../tensor/variable.ts";
import { Module } from "../module.ts";

/** A module stands for its parameters. */
export type Parameters = Module | readonly Variable[];

/** The parameters as variables. @throws TypeError that names `argument` of `op` where they are something else */
export function variablesOf(op: string, argument: string, given: Parameters): readonly Variable[] {
  if (given instanceof Module) return given.parameters();
  if (!Array.isArray(given)) {
    const example = (given as unknown) instanceof Variable ? "; write [variable]" : "";
    throw new TypeError(
      `${op}: ${argument} must be a module or an array of variables, not ${describeValue(given)}${example}`,
    );
  }
  for (const p of given) {
    if (!(p instanceof Variable))
      throw new TypeError(`${op}: ${argument} must be a module or an array of variables; one is ${describeValue(p)}`);
  }
  return given as readonly Variable[];
}
