/**
 * `Variable`: a tensor whose buffer is assigned in place, for parameters, optimizer slots, queues and EMA copies.
 *
 * `assign` is lazy like everything else: until the next realization the variable stands for the assigned expression,
 * and every later use sees it. The next realization of anything runs all pending assignments in the same plan. For
 * gradients the variable is a leaf all along: none flows into the assigned expression.
 */
import type { Backend } from "./backend.ts";
import * as build from "./build.ts";
import { checkOptions, requireTensor } from "./door/door.ts";
import type { VariableState } from "./node.ts";
import { Node, topologicalOrder } from "./node.ts";
import { makePending, noteInitial, pendingAssignments, variables } from "./program/pending.ts";
import { noteLeaf } from "./program/old-values.ts";
import { formatShape, sameShape } from "./shape.ts";
import { Tensor } from "./tensor.ts";
import { onceInTrace, tracing } from "./program/trace.ts";

let unnamed = 0;

/** The name of a variable, and whether it is trained. */
export interface VariableOptions {
  /** Shown in errors and used as the name in state dictionaries. */
  readonly name?: string;
  /** Whether `backward()` sets its `grad`; default true for floating dtypes. */
  readonly trainable?: boolean;
  /** The device to live on; by default the one of the first computation it takes part in. */
  readonly device?: Backend;
}

/**
 * A tensor with memory of its own that is assigned in place: a parameter, a buffer, a queue. `initial` is its first
 * value, and gives it shape and dtype.
 */
export class Variable extends Tensor {
  readonly state: VariableState;
  /** Whether it was made to be trained: a parameter that is frozen is still one, and no buffer. */
  readonly parameter: boolean;
  #trainable: boolean;

  constructor(initial: Tensor, options: VariableOptions = {}) {
    checkOptions("variable", options, ["name", "trainable", "device"]);
    requireTensor("variable", "the first value", initial);
    const state: VariableState = {
      name: options.name ?? `variable${unnamed++}`,
      version: 0,
      stored: 0,
      leaves: [],
      initial: initial.node,
      device: options.device,
    };
    const leaf = build.makeNode({ kind: "variable", variable: state, version: 0 }, [], initial.shape, initial.dtype);
    super(leaf);
    this.state = state;
    this.parameter = this.#trainable = options.trainable ?? initial.dtype.startsWith("f");
    this.#leaf = leaf;
    noteLeaf(state, leaf);
    variables.set(state, new WeakRef(this));
    const what = `variable "${state.name}"`;
    build.refuseInStep(what, "make it before the scan");
    if (initial.node.traced) throw onceInTrace(what, "make it before, and assign it in the function");
    if (topologicalOrder([initial.node]).some((n) => n.op.kind === "variable")) noteInitial(state);
    tracing()?.made.add(this);
  }

  /** Whether `backward()` sets its `grad`. */
  get trainable(): boolean {
    tracing()?.watch(this, () => this.#trainable);
    return this.#trainable;
  }
  set trainable(on: boolean) {
    const set = () => void (this.#trainable = on);
    tracing()?.settings.set(this, set);
    set();
  }

  #leaf: Node;

  /** The assigned expression until it has run; otherwise a leaf of the present version. */
  override get node(): Node {
    const pending = pendingAssignments.get(this.state);
    if (pending) return pending;
    const op = this.#leaf.op;
    if (op.kind !== "variable" || op.version !== this.state.version) {
      const { shape, dtype } = this.#leaf;
      this.#leaf = new Node({ kind: "variable", variable: this.state, version: this.state.version }, [], shape, dtype);
      noteLeaf(this.state, this.#leaf);
    }
    return this.#leaf;
  }
  /** Its name in errors. */
  get name(): string {
    return this.state.name;
  }

  /** From now on the variable has this value (same shape and dtype). Runs at the next realization. */
  assign(value: Tensor): this {
    requireTensor("assign", "the value", value);
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype) {
      throw new Error(
        `assign: variable "${this.name}" is ${this.dtype}${formatShape(this.shape)}, ` +
          `the value ${value.dtype}${formatShape(value.shape)}; they must be equal`,
      );
    }
    tracing()?.changesInside(this, `variable "${this.name}"`);
    // A node of its own: after the run it turns into the variable's leaf, and must not be anybody else's tensor.
    makePending(this.state, build.makeNode({ kind: "alias" }, [value.node], this.shape, this.dtype));
    return this;
  }
  /** As of any tensor: gives its memory back now. Nothing may read or assign it afterwards. */
  override dispose(): void {
    this.state.storage?.dispose();
  }
  override toString(): string {
    return `Variable(${this.name}: ${this.dtype}${formatShape(this.shape)})`;
  }
}

/**
 * A variable: a tensor of fixed shape and dtype whose value can be assigned, and to which gradients flow
 * (torch.nn.Parameter).
 *
 * @param initial its first value, computed when it is first needed
 * @param options its name in messages, and whether it is trained (default true)
 */
export function variable(initial: Tensor, options: VariableOptions = {}): Variable {
  return new Variable(initial, options);
}
