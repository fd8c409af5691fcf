/** Exponential moving averages of parameters: momentum networks (He et al. 2020, MoCo, eq. 2) and averaged weights. */
import { noGrad } from "../autograd/grad.ts";
import { liveScalar } from "../tensor/create.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import { Module } from "./module.ts";

/** A module stands for its parameters, in their order. */
export type Parameters = Module | readonly Variable[];

function variablesOf(parameters: Parameters): readonly Variable[] {
  return parameters instanceof Module ? parameters.parameters() : parameters;
}

function pairs(op: string, target: Parameters, source: Parameters): [Variable, Variable][] {
  const [to, from] = [variablesOf(target), variablesOf(source)];
  if (to.length !== from.length) throw new Error(`${op}: the target has ${to.length} parameters, the source ${from.length}`);
  return to.map((t, i) => {
    if (!sameShape(t.shape, from[i].shape)) {
      throw new Error(
        `${op}: parameter ${i}: "${t.name}" has shape ${formatShape(t.shape)}, "${from[i].name}" ${formatShape(from[i].shape)}`,
      );
    }
    return [t, from[i]];
  });
}

/**
 * target ← momentum·target + (1 − momentum)·source, parameter by parameter. A function is asked for the momentum at
 * every run, so that a compiled step can follow a schedule.
 */
export function emaUpdate(target: Parameters, source: Parameters, momentum: number | (() => number)): void {
  noGrad(() => {
    const factors = new Map<string, Tensor>();
    for (const [t, s] of pairs("emaUpdate", target, source)) {
      if (typeof momentum === "number") {
        t.assign(t.mul(momentum).add(s.mul(1 - momentum)));
        continue;
      }
      const m = factors.get(t.dtype) ?? liveScalar(momentum, t.dtype);
      factors.set(t.dtype, m);
      t.assign(t.mul(m).add(s.mul(m.neg().add(1))));
    }
  });
}

/** target ← source, parameter by parameter: how a momentum network starts. */
export function copyParameters(target: Parameters, source: Parameters): void {
  for (const [t, s] of pairs("copyParameters", target, source)) t.assign(s);
}
