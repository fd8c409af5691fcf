/** The sum of what a value's users say of its cotangent. */
import { concat } from "../tensor/build.ts";
import type { Node } from "../tensor/node.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Where all are of slices that make up the value, they are joined: padded with zeros to be added up, they cost more. */
export function total(cotangents: readonly Tensor[]): Tensor {
  return joined(cotangents.map((t) => t.node)) ?? cotangents.reduce((a, b) => a.add(b));
}

function joined(cotangents: readonly Node[]): Tensor | undefined {
  const [{ shape, inputs }] = cotangents;
  const axis = shape.findIndex((size, a) => size !== inputs[0]?.shape[a]);
  if (cotangents.length < 2 || axis < 0) return undefined;
  const parts: { low: number; part: Node }[] = [];
  for (const { op, inputs } of cotangents) {
    if (op.kind !== "pad" || op.step.some((step) => step !== 1)) return undefined;
    const [part] = inputs;
    if (part.shape.some((size, a) => a !== axis && size !== shape[a])) return undefined;
    parts.push({ low: op.low[axis], part });
  }
  parts.sort((a, b) => a.low - b.low);
  let end = 0;
  for (const { low, part } of parts) {
    if (low !== end) return undefined;
    end += part.shape[axis];
  }
  if (end !== shape[axis]) return undefined;
  const values = parts.map(({ part }) => part);
  return new Tensor(concat(values, axis));
}
