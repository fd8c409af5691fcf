/** Random numbers of a loop: a step has draws of its own. */
import * as build from "../tensor/build.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import type { Node } from "../tensor/node.ts";
import { timeOf } from "../tensor/program/body.ts";
import { sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** What a step draws, drawn for all steps in the order they run: [T, …] for every draw. */
export function drawsOfSteps(draws: readonly Node[], steps: number, reverse: boolean): Tensor[] {
  const offsets = new Map<DType, number>();
  const at = draws.map(({ shape, dtype }) => {
    const from = offsets.get(dtype) ?? 0;
    offsets.set(dtype, from + sizeOf(shape));
    return from;
  });
  /** Asked for all at once by whoever is asked first, and kept until each has been asked. */
  let values: Map<DType, HostArray> | undefined;
  let first = true;
  const asked = new Set<DType>();
  const all = (dtype: DType): HostArray => {
    if (!values || asked.has(dtype)) {
      asked.clear();
      values = new Map();
      for (let k = 0; k < steps; k++) {
        const t = timeOf({ steps, reverse }, k);
        draws.forEach(({ op, dtype: own, shape }, i) => {
          if (op.kind !== "data" || !op.refresh) return;
          const data = first && k === 0 ? op.data : op.refresh();
          const width = offsets.get(own)!;
          const known = values!.get(own);
          const into = known ?? new (data.constructor as new (n: number) => HostArray)(steps * width);
          if (!known) values!.set(own, into);
          for (let e = 0; e < sizeOf(shape); e++) into[t * width + at[i] + e] = data[e];
        });
      }
      first = false;
    }
    asked.add(dtype);
    return values.get(dtype)!;
  };
  const leaf = new Map(
    [...offsets].map(([dtype, width]) => [dtype, build.drawn(() => all(dtype), [steps, width], dtype)]),
  );
  return draws.map(({ shape, dtype }, i) =>
    new Tensor(leaf.get(dtype)!).slice(null, [at[i], at[i] + sizeOf(shape)]).reshape([steps, ...shape]),
  );
}
