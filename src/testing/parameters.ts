/** A module called with other tensors in place of its parameters (torch.func.functional_call). */
import { Tensor } from "../tensor/tensor.ts";

type Holder = Record<string, unknown>;

/** A module that says what it contains. */
interface Container {
  members(): readonly (readonly [name: string, value: unknown])[];
}

/**
 * Calls `f` while every property below `module` that holds a parameter holds its replacement instead.
 *
 * @throws Error where a parameter is the value of no property, as in a map or a private field.
 */
export function withParameters<T>(
  module: object,
  parameters: readonly Tensor[],
  replacements: readonly Tensor[],
  f: () => T,
): T {
  const places = new Map<Tensor, [Holder, string][]>(parameters.map((parameter) => [parameter, []]));
  const seen = new Set<object>();
  const visit = (holder: object): void => {
    if (seen.has(holder)) return;
    seen.add(holder);
    // A container may hold its modules privately, and name them itself.
    for (const [, child] of (holder as Partial<Container>).members?.() ?? []) if (child instanceof Object) visit(child);
    for (const [name, value] of Object.entries(holder)) {
      if (value instanceof Tensor) places.get(value)?.push([holder as Holder, name]);
      else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) visit(value as object);
    }
  };
  visit(module);
  parameters.forEach((parameter, n) => {
    if (places.get(parameter)!.length === 0)
      throw new Error(`parameter ${n} of the module is the value of no property, so that another cannot stand for it`);
  });
  try {
    parameters.forEach((parameter, n) => {
      for (const [holder, name] of places.get(parameter)!) holder[name] = replacements[n];
    });
    return f();
  } finally {
    for (const [parameter, held] of places) for (const [holder, name] of held) holder[name] = parameter;
  }
}
