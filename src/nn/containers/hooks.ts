/**
 * Functions called around a module's forward pass, and variables that two modules share.
 *
 * A hook stands in the module's own `forward`, before its class's, so it takes part wherever the module is called. In a
 * compiled function hooks run when the function is traced: the tensors they make and the assignments they write take
 * part in every call, other effects happen once. Add hooks before the first call.
 */
import { formatShape, sameShape } from "../../tensor/shape.ts";
import { Variable } from "../../tensor/variable.ts";
import { Module } from "../module.ts";

// What forward takes and gives is each module's own affair.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Forward = (...inputs: any[]) => any;
/** A module with a forward pass. */
export type CallableModule = Module & { forward: Forward };

/** Called after a forward pass; what it returns, unless undefined, stands for the output. */
export type ForwardHook = (module: Module, inputs: readonly unknown[], output: unknown) => unknown;
/** Called before a forward pass; the array that it returns, unless undefined, stands for the inputs. */
export type ForwardPreHook = (module: Module, inputs: readonly unknown[]) => readonly unknown[] | undefined;

interface Hooks {
  readonly before: Set<{ readonly hook: ForwardPreHook }>;
  readonly after: Set<{ readonly hook: ForwardHook }>;
}

const hooked = new WeakMap<Module, Hooks>();

function hooksOf(module: CallableModule): Hooks {
  let hooks = hooked.get(module);
  if (hooks) return hooks;
  const own: Hooks = { before: new Set(), after: new Set() };
  hooked.set(module, (hooks = own));
  const forward = module.forward;
  // Not enumerable: it is no content of the module.
  Object.defineProperty(module, "forward", {
    configurable: true,
    enumerable: false,
    value: function (this: CallableModule, ...given: unknown[]): unknown {
      let inputs: readonly unknown[] = given;
      for (const { hook } of own.before) inputs = hook(this, inputs) ?? inputs;
      let output = forward.apply(this, [...inputs]);
      for (const { hook } of own.after) output = hook(this, inputs, output) ?? output;
      return output;
    },
  });
  return hooks;
}

function requireCallable(op: string, module: Module): asserts module is CallableModule {
  if (module instanceof Module && typeof (module as { forward?: unknown }).forward === "function") return;
  throw new TypeError(`${op}: takes a Module with a forward method`);
}

/**
 * Calls `hook` after every forward pass of the module, in the order hooks were added (torch register_forward_hook).
 *
 * @returns a function that takes the hook away again.
 */
export function addForwardHook(module: Module, hook: ForwardHook): () => void {
  requireCallable("addForwardHook", module);
  const entry = { hook };
  const { after } = hooksOf(module);
  after.add(entry);
  return () => {
    after.delete(entry);
  };
}

/**
 * Calls `hook` before every forward pass of the module (torch register_forward_pre_hook).
 *
 * @returns a function that takes the hook away again.
 */
export function addForwardPreHook(module: Module, hook: ForwardPreHook): () => void {
  requireCallable("addForwardPreHook", module);
  const entry = { hook };
  const { before } = hooksOf(module);
  before.add(entry);
  return () => {
    before.delete(entry);
  };
}

/**
 * Makes the module's parameter `name` the variable of another module: `tieWeight(head, "weight", embedding.weight)`. It
 * is trained once, and stands in state dictionaries under both names, as in PyTorch. Tie before making the optimizer.
 *
 * @throws Error where there is no such parameter, or shape or dtype differ.
 */
export function tieWeight(module: Module, name: string, variable: Variable): void {
  const own = (module as unknown as Record<string, unknown>)[name];
  if (!(own instanceof Variable)) throw new Error(`tieWeight: ${module.constructor.name} has no parameter "${name}"`);
  if (!sameShape(own.shape, variable.shape) || own.dtype !== variable.dtype) {
    throw new Error(
      `tieWeight: "${name}" of ${module.constructor.name} is ${own.dtype}${formatShape(own.shape)}, the variable ` +
        `"${variable.name}" ${variable.dtype}${formatShape(variable.shape)}; they must be equal`,
    );
  }
  (module as unknown as Record<string, unknown>)[name] = variable;
}
