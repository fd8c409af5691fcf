/** The traces of one compiled function: one for each kind of inputs and each setting of the modes it read. */
import { currentDefault } from "../backend.ts";
import { gradientsStopped } from "../build.ts";
import { topologicalOrder } from "../node.ts";
import { formatShape } from "../shape.ts";
import { keepsHistory } from "./history.ts";
import type { Tensor } from "../tensor.ts";
import type { Trace } from "./trace.ts";
import { Variable } from "../variable.ts";

/** Traces kept; the one not used for longest is given up. */
const MAX_TRACES = 64;

const numbers = new WeakMap<object, number>();
let next = 0;

/** A number for an object: variables and devices in keys. */
function numberOf(object: object | undefined): number {
  if (!object) return -1;
  let number = numbers.get(object);
  if (number === undefined) numbers.set(object, (number = next++));
  return number;
}

/** Everything about the inputs that a trace depends on. */
function keyOf(inputs: readonly Tensor[]): string {
  const nodes = inputs.map((t) => t.node);
  const differentiable = keepsHistory(nodes);
  const parts = inputs.map((t, i) => {
    if (t instanceof Variable) return `v${numberOf(t)}`;
    return `${t.dtype}${formatShape(t.shape)}${differentiable.has(nodes[i]) ? "d" : ""}`;
  });
  const homes = new Set<object>();
  for (const { op } of topologicalOrder(nodes)) {
    const home = op.kind === "storage" ? op.storage.device : op.kind === "variable" ? op.variable.device : undefined;
    if (home) homes.add(home);
  }
  const where = homes.size > 0 ? [...homes].map(numberOf).join("+") : `default ${numberOf(currentDefault())}`;
  return `${parts.join(";")}@${where}${gradientsStopped() ? " stopped" : ""}`;
}

export class TraceCache<T extends { readonly trace: Trace; dispose(): void }> {
  /** The most recently used last. */
  #entries: { readonly key: string; readonly traced: T }[] = [];

  /** The trace for these inputs, made where there is none that still holds. */
  get(inputs: readonly Tensor[], make: () => T): T {
    const key = keyOf(inputs);
    const at = this.#entries.findIndex((e) => e.key === key && e.traced.trace.holds());
    const entry = at >= 0 ? this.#entries.splice(at, 1)[0] : { key, traced: make() };
    this.#entries.push(entry);
    if (this.#entries.length > MAX_TRACES) this.#entries.shift()!.traced.dispose();
    return entry.traced;
  }

  forget(traced: T): void {
    this.#entries = this.#entries.filter((e) => e.traced !== traced);
  }
}
