/** Compiled functions held to the same functions step by step. */
import type { HostArray } from "../tensor/dtype.ts";
import { compile } from "../tensor/program/compile.ts";
import { formatShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Input } from "./arbitraries.ts";
import type { Checked } from "./checks.ts";
import { difference } from "./checks.ts";
import type { DrawOptions } from "./smallest.ts";
import { onSmallest } from "./smallest.ts";

/** What a call is made in: it sets something, then makes the call, as `(call) => { seed(1); return call(); }` does. */
export type CallState = <T>(call: () => T) => T;

/** Of `checkCompiled`. */
export interface CompiledCheckOptions extends DrawOptions {
  /** Each is what the calls of a round are made in; default: as things are. */
  readonly states?: readonly CallState[];
  /** Largest error, relative to the largest magnitude in the tensor or 1; default 1e-5. */
  readonly tolerance?: number;
}

/**
 * `compile(f)` on the default device against `f` step by step: one compiled function, called with every drawn input in
 * every state, twice in turn and then in the first once more. What a function reads anew at every call is set in `states`:
 * a module's mode, a seed, an `autocast` around it. A call in a state that has been there must call `f` no more: what it
 * traced then still holds. `f` assigns nothing. `inputs` are described as for `checkGradient`.
 *
 * @throws CheckError with the smallest failing input as code, and where it differs.
 */
export async function checkCompiled(
  f: Checked,
  inputs: readonly Input[],
  { states = [(call) => call()], tolerance = 1e-5, ...options }: CompiledCheckOptions = {},
): Promise<void> {
  const whole = (...given: Tensor[]): Tensor[] => {
    const result = f(...given);
    return result instanceof Tensor ? [result] : [...result];
  };
  let traced = 0;
  const compiled = compile((...given: Tensor[]) => {
    traced++;
    return whole(...given);
  });
  await onSmallest(
    "checkCompiled",
    inputs,
    options,
    (list) => `checkCompiled(f, ${list})`,
    async (tensors) => {
      for (const [round, state] of [...states, ...states, states[0]].entries()) {
        const label = `call ${round + 1}, state ${round % states.length}`;
        const meant = state(() => whole(...tensors));
        const expected = await valuesOf(meant);
        const before = traced;
        const found = await state(() => compiled(...tensors));
        // Inputs that are views lie in memory of their own from the first call on, which is another kind of inputs.
        if (traced > before && round > states.length)
          throw new Error(`${label}: it calls f once more, to trace it anew`);
        if (found.length !== meant.length)
          throw new Error(`${label}: ${found.length} results, step by step ${meant.length}`);
        for (const [n, values] of (await valuesOf(found)).entries()) {
          const [got, type] = [typeOf(found[n]), typeOf(meant[n])];
          if (got !== type) throw new Error(`${label}: output ${n} is ${got}, step by step ${type}`);
          const words = difference(values, expected[n], tolerance, "step by step");
          if (words !== undefined) throw new Error(`${label}: output ${n} ${type}: ${words}`);
        }
      }
    },
  );
}

async function valuesOf(list: readonly Tensor[]): Promise<HostArray[]> {
  const found: HostArray[] = [];
  for (const one of list) found.push(await one.read());
  return found;
}

const typeOf = (t: Tensor): string => `${t.dtype}${formatShape(t.shape)}`;
