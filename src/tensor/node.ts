/**
 * The graph: what a lazy tensor is before anything has run.
 *
 * A node is pure data: an operation, its inputs, and the shape and dtype of its result. Building one never touches a
 * device. Once realized, a node turns into a leaf that holds its storage. Plans see nothing behind a leaf; reverse mode
 * still does where a gradient can flow (`formula`), for as long as somebody holds the node.
 */
import type { DType, HostArray } from "./dtype.ts";
import type { Shape } from "./shape.ts";
import type { FusedOp } from "./fused.ts";
import type { Backend, Storage } from "./backend.ts";
import type { Bounds } from "./bounds.ts";
import type { Trace } from "./program/trace.ts";

export type ReduceName = "sum" | "prod" | "max" | "min";

/** Where a movement op reads its input: all are views, folded into index arithmetic and never copied on their own. */
export type MovementOp =
  | { readonly kind: "reshape" }
  /** Result axis i is input axis `order[i]`. */
  | { readonly kind: "permute"; readonly order: readonly number[] }
  /** Axes of size 1 repeated to the result's shape. */
  | { readonly kind: "expand" }
  /** Result index i reads input index `start + i·step`; a negative step flips. */
  | { readonly kind: "slice"; readonly start: readonly number[]; readonly step: readonly number[] }
  /** Input index i lands at `low + i·step` of the result; everything else is 0. The adjoint of `slice`. */
  | { readonly kind: "pad"; readonly low: readonly number[]; readonly step: readonly number[] }
  /** Sliding windows of `axis`: a trailing axis k is added and (t, k) reads `t·stride + k·dilation`. */
  | { readonly kind: "window"; readonly axis: number; readonly stride: number; readonly dilation: number }
  /**
   * The adjoint of `window` before its sum over k: (s, k) reads input (t, k) with `t·stride + k·dilation = s`, or 0
   * where no such t exists.
   */
  | { readonly kind: "unwindow"; readonly axis: number; readonly stride: number; readonly dilation: number };

export type Op =
  | { readonly kind: "data"; readonly data: HostArray; readonly refresh?: () => HostArray }
  | { readonly kind: "storage"; readonly storage: Storage }
  | { readonly kind: "variable"; readonly variable: VariableState; readonly version: number }
  | { readonly kind: "full"; readonly value: number }
  /** The flat index of every element, as i32. */
  | { readonly kind: "iota" }
  /** 32 random bits an element from the counter-based generator; the input is the u32[4] key (see random.ts). */
  | { readonly kind: "bits" }
  | { readonly kind: "elementwise"; readonly name: string }
  | { readonly kind: "cast" }
  | { readonly kind: "reduce"; readonly name: ReduceName; readonly axes: readonly number[] }
  | { readonly kind: "matmul" }
  /** `out[..., i, ...] = x[..., index[..., i, ...], ...]`; shapes agree on every other axis (torch.gather). */
  | { readonly kind: "gather"; readonly axis: number }
  | { readonly kind: "concat"; readonly axis: number }
  | { readonly kind: "fused"; readonly fused: FusedOp; readonly attrs: object }
  /** One output of a fused op. */
  | { readonly kind: "pick"; readonly index: number }
  /** The same value under another identity; `detach` stops gradients, `alias` does not. */
  | { readonly kind: "detach" }
  | { readonly kind: "alias" }
  /** The same indices, which the device checks when it has them (bounds.ts). */
  | { readonly kind: "inBounds"; readonly bounds: Bounds }
  /** The value in memory of its own: a fusion barrier. */
  | { readonly kind: "contiguous" }
  | MovementOp;

/** The mutable state behind a `Variable`: a buffer on a device, assigned in place. */
export interface VariableState {
  readonly name: string;
  /** Assignments made so far, in the order of the program: what is built now reads this version. */
  version: number;
  /** The version whose value is in memory. It follows `version` as the queue runs. */
  stored: number;
  /** Leaves of versions that are in memory or will be: what a run must not take from under their readers. */
  leaves: Node[];
  storage?: Storage;
  /** The first value, computed when the variable is first used. */
  initial?: Node;
  device?: Backend;
}

let nextId = 1;

/** Whether nodes count as users of those they are built on. */
let counted = true;

/**
 * Runs `f`, whose nodes nobody asks for but through what comes out of it: they do not count as users of others. An
 * optimizer's update is such, and a function that `compile` traces.
 */
export function uncounted<T>(f: () => T): T {
  const before = counted;
  counted = false;
  try {
    return f();
  } finally {
    counted = before;
  }
}

/** Whether nodes that are built now count as users. */
export function counting(): boolean {
  return counted;
}

/** Where nodes are noted that count as users, while somebody asks for it. */
let noted: Node[] | undefined;

/** From now on notes the nodes that are built and count as users, in `list`; without one, no longer. */
export function noteNodes(list: Node[] | undefined): void {
  noted = list;
}

let built = 0;
let planned = false;

/** Runs `f`, which builds nodes of a plan: they are none of the program's, and count as no users. */
export function planning<T>(f: () => T): T {
  const before = planned;
  planned = true;
  try {
    return uncounted(f);
  } finally {
    planned = before;
  }
}

/** How many nodes the program has built so far. */
export function nodesBuilt(): number {
  return built;
}

export class Node {
  readonly id = nextId++;
  op: Op;
  inputs: readonly Node[];
  readonly shape: Shape;
  readonly dtype: DType;
  /** Set under `noGrad`: reverse mode does not pass. */
  readonly stopped: boolean;
  /** The function being traced by `compile` on whose inputs or assignments the value depends. */
  traced: Trace | undefined;
  /** How many nodes were built on this one and may still be asked for. What was computed for good asks no more. */
  users = 0;
  /** Whether the node counts as a user of its inputs. */
  counts: boolean;
  /** What a computed value was computed from, kept where a gradient can flow through it. */
  #origin: Formula | undefined;

  constructor(op: Op, inputs: readonly Node[], shape: Shape, dtype: DType, stopped = false) {
    this.op = op;
    this.inputs = inputs;
    this.shape = shape;
    this.dtype = dtype;
    this.stopped = stopped;
    this.traced = undefined;
    // Of an op with several results those count that a tensor stands for, or that something is built on.
    this.counts = counted && op.kind !== "pick";
    if (!planned) built++;
    if (this.counts) noted?.push(this);
    for (const input of inputs) {
      if (this.counts) {
        input.users++;
        if (!input.counts) countUsers([input]);
      }
      if (input.traced === undefined) continue;
      input.traced.check(input);
      this.traced = input.traced;
    }
  }

  /** Turns the node into a leaf. `differentiable`: reverse mode still sees what it was computed from. */
  become(op: Op, differentiable = false): void {
    if (differentiable) this.#origin ??= { op: this.op, inputs: this.inputs };
    else if (!this.remembers) this.uncount();
    this.op = op;
    this.inputs = [];
  }

  /** From now on the node counts as a user of its inputs, however it was built. */
  count(): void {
    if (this.counts) return;
    this.counts = true;
    for (const input of this.inputs) input.users++;
  }
  /** Until somebody builds on it, the node is no user of its inputs any more. */
  uncount(): void {
    if (!this.counts) return;
    this.counts = false;
    for (const input of this.inputs) input.users--;
  }

  /** The operation and inputs as they were written, whether or not the value has been computed. */
  get formula(): Formula {
    return this.#origin ?? this;
  }
  /** Whether the value is computed and its history kept: a gradient can flow through it. */
  get remembers(): boolean {
    return this.#origin !== undefined;
  }
}

/** The node, for which a tensor stands from now on: a result of an op with several counts as a user of the op. */
export function held(node: Node): Node {
  if (node.op.kind === "pick") countUsers([node]);
  return node;
}

/** From now on these nodes, and what they are computed from, count as users of others. */
export function countUsers(roots: readonly Node[], always = false): void {
  if (!counted && !always) return;
  for (const node of topologicalOrder(roots, (n) => (n.counts ? [] : n.inputs))) node.count();
}

/** An operation and what it is applied to. */
interface Formula {
  readonly op: Op;
  readonly inputs: readonly Node[];
}

export function isMovement(op: Op): op is MovementOp {
  switch (op.kind) {
    case "reshape":
    case "permute":
    case "expand":
    case "slice":
    case "pad":
    case "window":
    case "unwindow":
      return true;
    default:
      return false;
  }
}

/** The first node that is no movement op, from `node` towards its inputs. */
export function producerOf(node: Node): Node {
  let at = node;
  while (isMovement(at.op)) at = at.inputs[0];
  return at;
}

/** Nodes from which `roots` are computed, inputs before users, each once. Iterative: graphs can be deep. */
export function topologicalOrder(roots: readonly Node[], inputsOf: (node: Node) => readonly Node[] = (n) => n.inputs) {
  const order: Node[] = [];
  const state = new Map<Node, boolean>();
  const stack: Node[] = [];
  for (const root of roots) {
    stack.push(root);
    while (stack.length > 0) {
      const node = stack[stack.length - 1];
      const done = state.get(node);
      if (done !== undefined) {
        stack.pop();
        if (!done) {
          state.set(node, true);
          order.push(node);
        }
        continue;
      }
      state.set(node, false);
      const inputs = inputsOf(node);
      for (let i = inputs.length - 1; i >= 0; i--) if (!state.has(inputs[i])) stack.push(inputs[i]);
    }
  }
  return order;
}

/** Everything of an op that generated code depends on. */
export function opKey(op: Op): string {
  switch (op.kind) {
    case "elementwise":
      return op.name;
    case "full":
      return `full ${Object.is(op.value, -0) ? "-0" : op.value}`;
    case "fused":
      return `fused ${op.fused.name} ${JSON.stringify(op.attrs)}`;
    default:
      return JSON.stringify(op);
  }
}
