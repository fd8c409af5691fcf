/**
 * `Module`: a layer or model as a tree of named variables.
 *
 * A module's properties are its contents: a `Variable` is a parameter (trainable) or a buffer (not trainable), a
 * `Module` is a submodule, and arrays of either are numbered. A name in a state dictionary is the path of properties,
 * `layers.0.weight`, as in PyTorch (torch.nn.Module), so layers here name their properties as PyTorch names its
 * parameters. Other properties, plain tensors among them, are settings and are not saved.
 */
import "../autograd/grad.ts";
import { tracing } from "../tensor/program/trace.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Variable } from "../tensor/variable.ts";
import type { LoadOptions, LoadReport, StateSource } from "./state.ts";
import { loadState } from "./state.ts";

/** What a module may be made of, by property name. */
type Member = readonly [name: string, value: unknown];

/**
 * What layers and models are: parameters, buffers and other modules in fields, with PyTorch's names in state
 * dictionaries.
 */
export abstract class Module {
  #training = true;

  /** Whether dropout and the like are on; set by `train()` and `eval()`. */
  get training(): boolean {
    // A compiled function is traced anew when a mode that it read has changed.
    tracing()?.watch(this, () => this.#training);
    return this.#training;
  }

  /** The contents by name. Override it where names are made at run time. */
  protected members(): readonly Member[] {
    return Object.entries(this);
  }

  /** Submodules with their paths, this module first under "". A module reached by two paths comes twice. */
  namedModules(): [name: string, module: Module][] {
    const found: [string, Module][] = [];
    walk(this, "", [], (name, value) => {
      if (value instanceof Module) found.push([name, value]);
    });
    return found;
  }
  /** This module and all below it, each once. */
  modules(): Module[] {
    return [...new Set(this.namedModules().map(([, module]) => module))];
  }

  /** Every variable with its path, shared ones under each of their paths. */
  #namedVariables(): [string, Variable][] {
    const found: [string, Variable][] = [];
    walk(this, "", [], (name, value) => {
      if (value instanceof Variable) found.push([name, value]);
    });
    return found;
  }
  /** Trainable variables with their paths; a shared one once, under its first path. */
  namedParameters(): [name: string, parameter: Variable][] {
    return distinct(this.#namedVariables().filter(([, v]) => v.trainable));
  }
  /** Trainable variables, each once: what an optimizer takes. */
  parameters(): Variable[] {
    return this.namedParameters().map(([, v]) => v);
  }
  /** Variables that are saved but not trained: running statistics, queues, pointers. */
  namedBuffers(): [name: string, buffer: Variable][] {
    return distinct(this.#namedVariables().filter(([, v]) => !v.trainable));
  }
  /** Variables that are saved but not trained. */
  buffers(): Variable[] {
    return this.namedBuffers().map(([, v]) => v);
  }

  /** Parameters and buffers by path: the variables themselves, which show later assignments too. */
  stateDict(): Map<string, Variable> {
    return new Map(this.#namedVariables());
  }
  /**
   * Assigns parameters and buffers in place from a dictionary of tensors, host tensors (src/io) or shaped arrays; dtypes
   * are converted. The copies run at the next realization.
   *
   * @throws Error listing every key that is missing, unexpected (with `strict`, the default) or of another shape;
   *   nothing is assigned then.
   */
  loadStateDict(source: StateSource, options: LoadOptions = {}): LoadReport {
    return loadState(this.stateDict(), source, { name: this.constructor.name, ...options });
  }

  /** Switches dropout and the like on, or where `on` is false off, here and in all modules below. */
  train(on = true): this {
    for (const module of this.modules()) {
      const set = () => void (module.#training = on);
      tracing()?.settings.set(module, set);
      set();
    }
    return this;
  }
  /** Switches dropout and the like off, as `train(false)`. */
  eval(): this {
    return this.train(false);
  }
  /** From now on the parameters are saved, but neither differentiated nor trained (torch: requires_grad_(False)). */
  freeze(): this {
    for (const [, variable] of this.#namedVariables()) variable.trainable = false;
    return this;
  }
  /** Trains the parameters again that `freeze` has stopped (torch: requires_grad_(True)); buffers stay what they are. */
  unfreeze(): this {
    for (const [, variable] of this.#namedVariables()) variable.trainable = variable.parameter;
    return this;
  }
  /** Clears the gradients of all parameters, frozen ones too: an optimizer would go on moving those by the last they got. */
  zeroGrad(): void {
    for (const [, variable] of this.#namedVariables()) variable.grad = undefined;
  }
}

/** A module of one tensor in and one out, as `Sequential` chains them. */
export interface TensorModule extends Module {
  /** The module's result for x. */
  forward(x: Tensor): Tensor;
}

/** Calls `visit` on every module and variable below `value`. `above`: the modules on the way down, to find cycles. */
function walk(
  value: unknown,
  name: string,
  above: readonly Module[],
  visit: (name: string, value: Module | Variable) => void,
): void {
  if (value instanceof Variable) return visit(name, value);
  const at = (child: string) => (name === "" ? child : `${name}.${child}`);
  if (Array.isArray(value)) {
    value.forEach((item, i) => walk(item, at(String(i)), above, visit));
    return;
  }
  if (!(value instanceof Module)) return;
  if (above.includes(value)) {
    throw new Error(
      `${value.constructor.name}: the module contains itself, at "${name}"; keep references to parents in # fields`,
    );
  }
  visit(name, value);
  // Through the prototype, since `members` is for subclasses to override and not for users to call.
  const members = (value as unknown as { members(): readonly Member[] }).members();
  for (const [child, item] of members) walk(item, at(child), [...above, value], visit);
}

function distinct(named: readonly [string, Variable][]): [string, Variable][] {
  const seen = new Set<Variable>();
  return named.filter(([, v]) => !seen.has(v) && seen.add(v));
}
