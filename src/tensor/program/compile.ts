/**
 * `compile(f)`: traces a function once for each kind of inputs, and replays the plan afterwards.
 *
 * Inputs become leaves that are refilled before every run; so are learning rates and random counters. A variable as
 * input stands for itself. Assignments made while tracing belong to the plan. Tracing, and everything by which a call
 * changes the program around it, happens at the moment of the call; its computation takes its place in the queue.
 */
import type { Assignment, CompiledStep, Storage } from "../backend.ts";
import * as build from "../build.ts";
import { requireFunction } from "../door/door.ts";
import type { HostArray } from "../dtype.ts";
import { compiledEdges, keepsHistory } from "./history.ts";
import { Node, topologicalOrder, uncounted } from "../node.ts";
import { forget, pendingList, sealPending } from "./pending.ts";
import { deviceOf, exclusively, execute, keepOldValues, realizeEarlierInitials, realizeInitials } from "./realize.ts";
import { Tensor } from "../tensor.ts";
import { Trace, refusedInTrace, tracing, withTrace } from "./trace.ts";
import { TraceCache } from "./trace-cache.ts";
import { Variable } from "../variable.ts";

/** What a compiled function may return. */
export type Outputs = Tensor | readonly Tensor[] | Readonly<Record<string, Tensor>> | void;

/**
 * A function of tensors that is traced and planned at its first call, and replayed at every later one with arguments of
 * the same shapes and dtypes: forward, `backward` and updates as one plan, one submit, nothing allocated. Another shape,
 * `train()` or `eval()` traces anew. Source: torch.compile, jax.jit.
 *
 * @param f gets tensors that stand for the arguments, and returns a tensor, an array or a record of tensors, or nothing,
 *   at once (it is not async). What it reads of variables, generators and an optimizer's rate is read at every call;
 *   numbers and branches of the host are as they were when it was traced.
 * @returns a function of the same arguments that gives a promise of the same results; calls that are not awaited run in
 *   the order made
 * @throws Error where an argument is no tensor, a result is none, or `f` reads a value while it is traced
 */
export function compile<I extends readonly Tensor[], O extends Outputs>(
  f: (...inputs: I) => O,
): (...inputs: I) => Promise<O> {
  requireFunction("compile", f);
  const traces = new TraceCache<Traced>();
  return async (...inputs: I): Promise<O> => {
    if (tracing()) throw refusedInTrace("a compiled function called in another");
    inputs.forEach((input, i) => {
      if (input instanceof Tensor) return;
      const given = input === null ? "null" : typeof input;
      throw new Error(
        `compile: argument ${i} is ${given}, not a tensor; wrap numbers with scalar(…), and leave the rest to the closure`,
      );
    });
    // The order of the program: assignments made so far, then this call.
    const nodes = inputs.map((t) => t.node);
    for (const node of nodes) node.traced?.check(node);
    const sealed = sealPending();
    try {
      const traced = traces.get(inputs, () => new Traced(f, inputs));
      return (await traced.call(inputs, nodes, sealed, () => traces.forget(traced))) as O;
    } catch (error) {
      // Where the function could not be traced, what was assigned before it still is.
      if (sealed.some((a) => a.variable.stored < a.version)) await exclusively(() => execute([], sealed));
      throw error;
    }
  };
}

/** A function traced for inputs of some shapes. */
class Traced {
  readonly trace = new Trace();
  readonly #graph: TracedGraph;
  readonly #captured: readonly Node[];
  readonly #draws: readonly Node[];
  /** Which outputs a gradient would flow through, were the function not compiled. */
  readonly #differentiable: readonly boolean[];
  readonly #gradients: readonly (readonly [Tensor, Tensor | undefined])[];
  /** Inputs that are placeholders: all but variables. */
  readonly #placed: readonly number[];
  #step: Promise<CompiledStep> | undefined;
  #calls = 0;

  constructor(f: (...inputs: never) => Outputs, inputs: readonly Tensor[]) {
    const first = new Node({ kind: "full", value: 0 }, [], [], "f32").id;
    const graph = traceGraph(f as (...inputs: readonly Tensor[]) => Outputs, inputs, this.trace);
    this.#placed = inputs.flatMap((t, i) => (t instanceof Variable ? [] : [i]));
    const remembered = keepsHistory(graph.outputs);
    this.#differentiable = graph.outputs.map((n) => remembered.has(n));
    const order = topologicalOrder([...graph.outputs, ...graph.assignments.map((a) => a.value)]);
    this.#captured = capturedIn(order, first);
    this.#graph = uncounted(() => withoutTrace(graph, new Set(this.#captured)));
    const own = new Set(this.trace.draws);
    const asked = order.filter((n) => n.op.kind === "data" && n.op.refresh && !own.has(n));
    this.#draws = [...this.trace.draws, ...asked];
    this.#gradients = standIns(this.trace);
  }

  async call(
    inputs: readonly Tensor[],
    nodes: readonly Node[],
    sealed: ReturnType<typeof sealPending>,
    failed: () => void,
  ): Promise<Outputs> {
    if (this.#calls > 0 && this.trace.onlyOnce) throw this.trace.onlyOnce;
    // What the call does to the program around it, at once and in order.
    const drawn = this.#draw();
    for (const [tensor, value] of this.#gradients) tensor.grad = value;
    for (const set of this.trace.settings.values()) set();
    const { assignments } = this.#graph;
    const effects = assignments.map(({ variable }) => ({ variable, version: ++variable.version }));
    return exclusively(async () => {
      try {
        const given = this.#placed.map((i) => nodes[i]);
        const values = await valuesOf(given, sealed);
        const step = await (this.#step ??= this.#prepare(inputs));
        await realizeEarlierInitials(assignments);
        await keepOldValues(assignments);
        const storages = await step.run(values, drawn);
        const results = storages.map((storage, i) => {
          const node = new Node({ kind: "storage", storage }, [], storage.shape, storage.dtype);
          if (this.#differentiable[i]) compiledEdges.add(node);
          return node;
        });
        return this.#graph.rebuild(results);
      } catch (error) {
        failed();
        throw error;
      } finally {
        // After an error the variables keep their values.
        for (const { variable, version } of effects) variable.stored = version;
      }
    });
  }

  /** Gives the plan back, after the calls that wait for it. */
  dispose(): void {
    void exclusively(async () => (await this.#step)?.dispose()).catch(() => undefined);
  }

  /** Everything that changes from call to call, in the order the function asks for it. */
  #draw(): Map<Node, HostArray> {
    const first = this.#calls++ === 0;
    const own = this.trace.draws.length;
    return new Map(
      this.#draws.flatMap((node, i) => {
        const { op } = node;
        if (op.kind !== "data" || !op.refresh) return [];
        return [[node, first && i < own ? op.data : op.refresh()] as const];
      }),
    );
  }

  async #prepare(inputs: readonly Tensor[]): Promise<CompiledStep> {
    const { leaves, outputs, assignments } = this.#graph;
    // What the function took from outside was computed once, before it.
    if (this.#captured.length > 0) await execute(this.#captured, []);
    const roots = [...outputs, ...assignments.map((a) => a.value)];
    const device = await deviceOf(
      [...roots, ...inputs.map((t) => t.node)],
      assignments.map((a) => a.variable.device),
    );
    await realizeInitials(device, roots, assignments);
    return device.compile(leaves, outputs, assignments);
  }
}

/** Values of inputs, and the sealed assignments run. A host tensor is handed on as it is. */
async function valuesOf(
  nodes: readonly Node[],
  sealed: ReturnType<typeof sealPending>,
): Promise<(HostArray | Storage)[]> {
  const onHost = ({ op }: Node) => (op.kind === "data" && !op.refresh ? op.data : undefined);
  const computed = nodes.filter((n) => onHost(n) === undefined);
  // A view of a whole variable is its memory, which the function may write over: it is given a copy.
  const asked = computed.map((n) =>
    n.op.kind === "variable" ? new Node({ kind: "contiguous" }, [n], n.shape, n.dtype) : n,
  );
  const storages = asked.length > 0 || sealed.length > 0 ? await execute(asked, sealed) : [];
  return nodes.map((n) => onHost(n) ?? storages[computed.indexOf(n)]);
}

/** Values built before the trace from variables that may change: to the function they are constants. */
function capturedIn(order: readonly Node[], first: number): Node[] {
  const reads = new Set<Node>();
  const found = new Set<Node>();
  for (const node of order) {
    const outside = node.id < first;
    if (outside && (node.op.kind === "variable" || node.inputs.some((n) => reads.has(n)))) reads.add(node);
    if (!outside) for (const n of node.inputs) if (reads.has(n) && n.op.kind !== "variable") found.add(n);
  }
  return [...found];
}

/**
 * The graph as devices take it: nodes of its own, which are not refused after the trace, and leaves of variables that
 * stay leaves whatever becomes of a version. What was computed once before the function stays as it is.
 */
function withoutTrace(graph: TracedGraph, captured: ReadonlySet<Node>): TracedGraph {
  const roots = [...graph.leaves, ...graph.outputs, ...graph.assignments.map((a) => a.value)];
  const own = new Map<Node, Node>();
  for (const node of topologicalOrder(roots, (n) => (captured.has(n) ? [] : n.inputs))) {
    const { op, shape, dtype, stopped } = node;
    const inputs = captured.has(node) ? node.inputs : node.inputs.map((n) => own.get(n)!);
    const same = !node.traced && op.kind !== "variable" && inputs.every((n, i) => n === node.inputs[i]);
    own.set(node, same ? node : new Node(op, inputs, shape, dtype, stopped));
  }
  return {
    leaves: graph.leaves.map((n) => own.get(n)!),
    outputs: graph.outputs.map((n) => own.get(n)!),
    assignments: graph.assignments.map(({ variable, value }) => ({ variable, value: own.get(value)! })),
    rebuild: graph.rebuild,
  };
}

/**
 * Gradients that the function leaves behind: of no value outside it, which using them says, but where they are the same
 * at every call.
 */
function standIns(trace: Trace): (readonly [Tensor, Tensor | undefined])[] {
  const varies = ({ op, traced }: Node): boolean =>
    traced !== undefined || op.kind === "variable" || (op.kind === "data" && op.refresh !== undefined);
  return [...trace.gradients].map(([tensor, value]) => {
    if (!value || !topologicalOrder([value.node]).some(varies)) return [tensor, value] as const;
    const node = placeholder(value);
    node.traced = trace;
    trace.name(node, `the gradient of ${tensor.toString()}`);
    return [tensor, new Tensor(node)] as const;
  });
}

/** A leaf that has no value yet. */
function placeholder({ shape, dtype }: Tensor): Node {
  return build.makeNode({ kind: "data", data: new Uint8Array(0) }, [], shape, dtype);
}

/** A traced function: leaves in place of its inputs, results, and the assignments it made. */
interface TracedGraph {
  /** One for every input that is not a variable. */
  readonly leaves: readonly Node[];
  readonly outputs: readonly Node[];
  readonly assignments: readonly Assignment[];
  /** The function's result from what `outputs` came to. */
  rebuild(results: readonly Node[]): Outputs;
}

/** Calls `f` on leaves of the inputs' shapes. The assignments it makes are taken back: nothing waits to run. */
export function traceGraph<I extends readonly Tensor[]>(
  f: (...inputs: I) => Outputs,
  inputs: I,
  trace?: Trace,
): TracedGraph {
  if (pendingList().length > 0) throw new Error("traceGraph: assignments wait to run; realize them first");
  const scope = trace ?? new Trace();
  const leaves: Node[] = [];
  const differentiable = keepsHistory(inputs.map((t) => t.node));
  const given = inputs.map((t, i) => {
    if (t instanceof Variable) return t;
    const leaf = placeholder(t);
    if (differentiable.has(t.node)) compiledEdges.add(leaf);
    leaf.traced = scope;
    scope.name(leaf, `argument ${i}`);
    leaves.push(leaf);
    return new Tensor(leaf);
  });
  try {
    const { nodes, rebuild } = withTrace(scope, () => uncounted(() => flattenOutputs(f(...(given as unknown as I)))));
    if (scope.fault) throw scope.fault;
    return { leaves, outputs: nodes, assignments: pendingList(), rebuild };
  } catch (error) {
    scope.end();
    throw scope.fault ?? error;
  } finally {
    forget(pendingList());
    for (const [tensor, value] of scope.before) tensor.grad = value;
    // A gradient from before may stand for one of an earlier trace: kept here, every trace would keep the one before it.
    scope.before.clear();
    if (trace) trace.end();
  }
}

type Rebuild = (results: readonly Node[]) => Outputs;

function flattenOutputs(result: Outputs): { nodes: Node[]; rebuild: Rebuild } {
  if (result === undefined) return { nodes: [], rebuild: () => undefined };
  const one = (name: string, value: unknown) => {
    if (value instanceof Tensor) return value;
    throw new Error(`compile: ${name} is not a tensor but ${describe(value)}; wrap numbers with scalar(…)`);
  };
  if (result instanceof Tensor || typeof result !== "object" || result === null || isPromise(result)) {
    if (isPromise(result)) {
      // What it does after its first await is nobody's any more.
      Promise.resolve(result).catch(() => undefined);
      throw new Error(
        "compile: the function is async (it returned a promise); it is called once to be traced, and must return its " +
          "tensors at once",
      );
    }
    const { nodes, take } = rebuilding([one("the result", result)]);
    return { nodes, rebuild: (results) => take(results)[0] };
  }
  if (Array.isArray(result)) {
    const { nodes, take } = rebuilding((result as unknown[]).map((t, i) => one(`output ${i}`, t)));
    return { nodes, rebuild: take };
  }
  const names = Object.keys(result);
  const { nodes, take } = rebuilding(
    names.map((name) => one(`output "${name}"`, (result as Readonly<Record<string, unknown>>)[name])),
  );
  return {
    nodes,
    rebuild: (results) => {
      const tensors = take(results);
      return Object.fromEntries(names.map((name, i) => [name, tensors[i]]));
    },
  };
}

/** Results that are variables are these variables; all others are computed. */
function rebuilding(tensors: readonly Tensor[]): { nodes: Node[]; take(results: readonly Node[]): Tensor[] } {
  const computed = tensors.filter((t) => !(t instanceof Variable));
  return {
    nodes: computed.map((t) => t.node),
    take: (results) => tensors.map((t) => (t instanceof Variable ? t : new Tensor(results[computed.indexOf(t)]))),
  };
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function describe(value: unknown): string {
  return value === null ? "null" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}
