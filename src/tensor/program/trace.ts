/**
 * The function that `compile` is tracing, while it does.
 *
 * What happens in it is noted where it happens: draws, gradients and modes set, modes read. A call of the traced
 * function repeats these effects, or traces anew where a mode that it reads has changed since. Tensors that depend on the
 * trace's inputs have no value outside it; using one afterwards is an error that names it.
 */
import type { Node } from "../node.ts";
import { formatShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** Something a traced function read that is no tensor: the trace holds as long as it reads the same. */
interface Mode {
  readonly read: () => unknown;
  readonly value: unknown;
}

export class Trace {
  /** Leaves that are drawn or asked for anew at every call, in the order the function made them. */
  readonly draws: Node[] = [];
  /** Gradients set by the function, by tensor: the last one counts. */
  readonly gradients = new Map<Tensor, Tensor | undefined>();
  /** What the same tensors' gradients were before. */
  readonly before = new Map<Tensor, Tensor | undefined>();
  /** Modes set by the function, by owner: the last one counts. */
  readonly settings = new Map<object, () => void>();
  /** Why a later call would do something else than the first: with what the function made for one call. */
  onlyOnce: Error | undefined;
  /** Variables and optimizers that the function makes, at its first call alone. */
  readonly made = new WeakSet<object>();
  readonly #modes = new Map<object, Mode>();
  /** Tensors that the function found without a gradient: it adds to none, or leaves them out. */
  readonly #unset = new Set<Tensor>();
  readonly #names = new WeakMap<Node, string>();
  #ended = false;
  /** Something the function did that has no meaning in it: tracing fails with it, whoever caught it. */
  fault: Error | undefined;

  /**
   * Notes that the function reads a gradient that it has not set: the trace holds as long as there is none.
   *
   * @throws Error where there is one, which would be the same at every call
   */
  checkGradient(tensor: Tensor, held: Tensor | undefined): void {
    if (this.gradients.has(tensor)) return;
    if (!held) return void this.#unset.add(tensor);
    throw new Error(
      `grad: the gradient of ${tensor.toString()} was set before compile traced the function, which would keep this one ` +
        `for all calls; clear it in the function (zeroGrad) and compute it there`,
    );
  }
  /** Notes a gradient that the function sets, and what stood there before. */
  noteGradient(tensor: Tensor, held: Tensor | undefined, value: Tensor | undefined): void {
    if (!this.gradients.has(tensor)) this.before.set(tensor, held);
    this.gradients.set(tensor, value);
  }

  /** Notes that an object changes: one that the function made would go from call to call, where each makes its own. */
  changesInside(object: object, name: string): void {
    if (!this.made.has(object)) return;
    this.onlyOnce ??= new Error(
      `${name} was made while compile traced the function, which would keep it from call to call; make it before the function`,
    );
  }

  /** Notes that the function depends on what `read` gives, unless the function itself has set it. */
  watch(owner: object, read: () => unknown): void {
    if (!this.settings.has(owner) && !this.#modes.has(owner)) this.#modes.set(owner, { read, value: read() });
  }
  /** Whether everything the function read is as it was. */
  holds(): boolean {
    for (const { read, value } of this.#modes.values()) if (read() !== value) return false;
    for (const tensor of this.#unset) if (tensor.grad) return false;
    return true;
  }

  /** A node that stands for something people know by name. */
  name(node: Node, name: string): void {
    this.#names.set(node, name);
  }
  end(): void {
    this.#ended = true;
  }
  /** @throws Error where the trace is over and with it the node's meaning */
  check(node: Node): void {
    if (!this.#ended) return;
    const what = this.#names.get(node) ?? `a ${node.dtype}${formatShape(node.shape)} tensor`;
    throw new Error(
      `${what} was made while compile traced a function and has no value outside it; ` +
        `return it from the function, or use it inside`,
    );
  }
}

let current: Trace | undefined;

/** The trace in progress. */
export function tracing(): Trace | undefined {
  return current;
}

/**
 * Runs `f`, noting its effects in `trace`; without one, as if before the function that is traced, for all its calls.
 * Synchronous: the program stands still meanwhile.
 */
export function withTrace<T>(trace: Trace | undefined, f: () => T): T {
  const before = current;
  current = trace;
  try {
    return f();
  } finally {
    current = before;
  }
}

/** The error of an operation that needs values while a function is traced. */
export function refusedInTrace(op: string): Error {
  return fault(
    `${op}: compile is tracing a function, in which nothing has a value yet; ` +
      `return the tensor from the function and use it after the call`,
  );
}

/** The error of what is set or made inside a traced function, which later calls would not repeat. */
export function onceInTrace(op: string, instead: string): Error {
  return fault(`${op}: compile is tracing a function, whose calls would not repeat it; ${instead}`);
}

function fault(message: string): Error {
  const error = new Error(message);
  if (current) current.fault ??= error;
  return error;
}
