/** A loop on the reference device: its body evaluated once a step. */
import type { Loop } from "../../tensor/program/body.ts";
import { buildBody, placeholder, timeOf } from "../../tensor/program/body.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import { uncounted } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { valueArray } from "./evaluate.ts";

/** The values of `outs` where those of `ins` are given. */
type Evaluate = (ins: readonly Node[], outs: readonly Node[], given: readonly HostArray[]) => HostArray[];

/** The loop's results from its operands' values. */
export function runLoop(loop: Loop, operands: readonly HostArray[], run: Evaluate): HostArray[] {
  const { body, steps, constants, xs, carries } = loop;
  const leaves = body.leaves.map(placeholder);
  const roots = uncounted(() => buildBody(body, leaves));
  const each = roots.map(({ shape, dtype }) => valueArray(dtype, steps * sizeOf(shape)));
  let state = operands.slice(constants + xs);
  for (let k = 0; k < steps; k++) {
    const t = timeOf(loop, k);
    const given = operands.slice(0, constants + xs).map((values, i) => {
      const size = sizeOf(body.leaves[i].shape);
      return i < constants ? values : values.slice(t * size, (t + 1) * size);
    });
    const found = run(leaves, roots, [...given, ...state]);
    found.forEach((values, i) => each[i].set(values as Float64Array, t * sizeOf(roots[i].shape)));
    state = found.slice(0, carries);
  }
  return [...state, ...each];
}
