/** Exponential moving averages of parameters: momentum networks (He et al. 2020, MoCo, eq. 2) and averaged weights. */

import { liveScalar } from "../../tensor/create.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import { Module } from "../module.ts";
import type { Parameters } from "./parameters.ts";
import { variablesOf } from "./parameters.ts";
import { updating } from "./updating.ts";

/** Of two modules, parameters of equal names go together, frozen or not. */
function pairs(op: string, target: Parameters, source: Parameters): [Variable, Variable][] {
  const found =
    target instanceof Module && source instanceof Module ? byName(op, target, source) : byPlace(op, target, source);
  for (const [t, s] of found) {
    if (sameShape(t.shape, s.shape)) continue;
    throw new Error(`${op}: "${t.name}" has shape ${formatShape(t.shape)}, "${s.name}" ${formatShape(s.shape)}`);
  }
  return found;
}

/** Frozen parameters go along: of a backbone that neither module trains, and of an average that is copied back. */
function byName(op: string, target: Module, source: Module): [Variable, Variable][] {
  const [to, from] = [target.stateDict(), source.stateDict()];
  const found = new Map<Variable, Variable>();
  for (const [name, s] of from) {
    const t = to.get(name);
    if (!s.parameter && !t?.parameter) continue;
    if (!t) throw new Error(`${op}: the target has no "${name}"`);
    const tied = found.get(t) ?? s;
    if (tied !== s)
      throw new Error(
        `${op}: the target's "${name}" is tied to another parameter, the source's is not; tie it in both`,
      );
    found.set(t, s);
  }
  if (found.size === 0)
    throw new Error(`${op}: the modules have no parameter of a common name; give lists of variables`);
  return [...found];
}

function byPlace(op: string, target: Parameters, source: Parameters): [Variable, Variable][] {
  const [to, from] = [variablesOf(op, "the target", target), variablesOf(op, "the source", source)];
  if (to.length !== from.length)
    throw new Error(`${op}: the target has ${to.length} parameters, the source ${from.length}`);
  return to.map((t, i) => [t, from[i]]);
}

/**
 * target ← momentum·target + (1 − momentum)·source, parameter by parameter. A function is asked for the momentum at
 * every run, so that a compiled step can follow a schedule.
 */
export function emaUpdate(target: Parameters, source: Parameters, momentum: number | (() => number)): void {
  updating(() => {
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
