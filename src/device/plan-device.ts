/**
 * What devices that run plans have in common: plans remembered by the structure of their graph, and the values that
 * stand behind a graph's leaves from run to run.
 */
import type { Graph } from "../compiler/graph.ts";
import { graphParts } from "../compiler/graph-parts.ts";
import type { Assignment, CompiledStep, Storage, Backend } from "../tensor/backend.ts";
import { checkBounds } from "../tensor/bounds.ts";
import type { Bounds } from "../tensor/bounds.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import type { Node } from "../tensor/node.ts";
import { topologicalOrder, planning } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import { traced } from "./trace.ts";

/** Plans remembered; the least recently used gives its memory back. */
export const MAX_PLANS = 256;
/** Host tensors of at most this many elements always travel with a run. */
const SMALL_ELEMENTS = 16;

/** A plan made ready to run. */
interface Prepared {
  dispose(): void;
}

/** @typeParam S the device's storage. @typeParam R its plans, ready to run. */
export abstract class PlanDevice<S extends Storage, R extends Prepared> implements Backend {
  abstract readonly kind: string;
  abstract readonly name: string;
  readonly #prepared = new Map<string, R>();
  /** How often a host tensor took part in a plan; the second time it is given memory of its own. */
  readonly #uses = new WeakMap<Node, number>();

  /** Why a dtype is missing here, or undefined where it is not. */
  protected abstract missing(dtype: DType): string | undefined;
  protected abstract graphOf(outputs: readonly Node[], assignments: readonly Assignment[]): Graph;
  protected abstract prepare(graph: Graph): Promise<R>;
  /** @param values one for every leaf of the graph */
  protected abstract run(prepared: R, values: readonly (HostArray | S)[]): Promise<S[]>;
  /** Memory for a tensor, contents undefined. */
  protected abstract empty(spec: ValueSpec): S;
  protected abstract write(storage: S, data: HostArray): void;
  /** @throws Error where the device can no longer be used */
  protected abstract checkOpen(): void;

  abstract read(storage: Storage): Promise<HostArray>;
  abstract synchronize(): Promise<void>;
  abstract close(): void;

  /** Whether there are tensors of this dtype here. */
  supports(dtype: DType): boolean {
    return this.missing(dtype) === undefined;
  }

  /** Plans compiled and still remembered. */
  get plans(): number {
    return this.#prepared.size;
  }

  async realize(outputs: readonly Node[], assignments: readonly Assignment[]): Promise<S[]> {
    this.checkOpen();
    const uploads = outputs.every((n) => n.op.kind === "data") && assignments.every((a) => isFreshUpload(a));
    if (uploads) return this.#upload(outputs, assignments);
    const divided = planning(() => graphParts([...outputs, ...assignments.map((a) => a.value)]));
    if (!divided) return this.#runOnce(outputs, assignments);
    const { parts, roots } = divided;
    const held: S[] = [];
    try {
      for (const { outputs: wanted, kept } of parts) {
        const storages = await this.#runOnce(wanted, []);
        held.push(...storages);
        kept.forEach((leaf, i) => leaf.become({ kind: "storage", storage: storages[i] }));
      }
      return await this.#runOnce(roots.slice(0, outputs.length), valuesOf(assignments, roots.slice(outputs.length)));
    } finally {
      for (const storage of held) storage.dispose();
    }
  }

  /** Computes all in one plan, made now or remembered. */
  async #runOnce(outputs: readonly Node[], assignments: readonly Assignment[]): Promise<S[]> {
    const graph = this.#graph(outputs, assignments);
    const prepared = await this.#remembered(graph);
    const values = graph.leaves.map((leaf) => this.#leafValue(leaf.source, true));
    await this.#checkIndices(graph, values);
    return this.#run("run", graph.nodes.length, prepared, values);
  }

  #prepare(graph: Graph): Promise<R> {
    const { length: nodes } = graph.nodes;
    return traced(
      this.name,
      "plan",
      () => `plan of ${nodes} nodes`,
      { nodes },
      () => this.prepare(graph),
    );
  }

  /** @param what `step` of a compiled function, or `run` of what was asked for once */
  #run(what: string, nodes: number, prepared: R, values: readonly (HostArray | S)[]): Promise<S[]> {
    return traced(
      this.name,
      what,
      () => what,
      { nodes },
      () => this.run(prepared, values),
    );
  }

  /** Indices that the host has, or sees in memory, before the run. */
  async #checkIndices(
    { leaves, checks }: Pick<Graph, "leaves" | "checks">,
    values: readonly (HostArray | S)[],
  ): Promise<void> {
    const { peek }: Backend = this;
    for (const { leaf, bounds } of checks) {
      if (leaf === undefined) continue;
      const value = values[leaf];
      const known = ArrayBuffer.isView(value) ? value : peek?.call(this, value);
      if (known) checkBounds(known, bounds);
      // The plan itself looks at what it knows to be memory of the device.
      else if (leaves[leaf].source.op.kind === "data") await this.checkUnseen(value as S, bounds);
    }
  }

  /** Looks at indices that a step was given in memory that the host does not see. */
  protected checkUnseen(_indices: S, _bounds: Bounds): Promise<void> {
    return Promise.resolve();
  }

  async compile(
    inputs: readonly Node[],
    outputs: readonly Node[],
    assignments: readonly Assignment[],
  ): Promise<CompiledStep> {
    this.checkOpen();
    const divided = planning(() => graphParts([...outputs, ...assignments.map((a) => a.value)]));
    if (!divided) return this.#compileOnce(inputs, outputs, assignments);
    const { parts, roots } = divided;
    // What is drawn anew for a run is the same in all its parts.
    const drawn = topologicalOrder([...outputs, ...assignments.map((a) => a.value)]).flatMap((node) =>
      node.op.kind === "data" && node.op.refresh && !inputs.includes(node) ? [{ node, op: node.op }] : [],
    );
    const leaves = [...inputs, ...drawn.map((d) => d.node)];
    const steps: CompiledStep[] = [];
    for (const { outputs: wanted, kept } of parts) {
      steps.push(await this.#compileOnce([...leaves], wanted, []));
      leaves.push(...kept);
    }
    const last = valuesOf(assignments, roots.slice(outputs.length));
    // As in one plan: the first run takes what tracing drew.
    let traced = true;
    const final = await this.#compileOnce(leaves, roots.slice(0, outputs.length), last);
    return {
      dispose: () => {
        for (const step of [...steps, final]) step.dispose();
      },
      run: async (given, fresh) => {
        const held: Storage[] = [];
        const values = [
          ...given,
          ...drawn.map(({ node, op }) => fresh?.get(node) ?? (traced ? op.data : op.refresh!())),
        ];
        traced = false;
        try {
          for (const step of steps) held.push(...(await step.run([...values, ...held])));
          return await final.run([...values, ...held]);
        } finally {
          for (const storage of held) storage.dispose();
        }
      },
    };
  }

  /** One plan for many runs. */
  async #compileOnce(
    inputs: readonly Node[],
    outputs: readonly Node[],
    assignments: readonly Assignment[],
  ): Promise<CompiledStep> {
    const graph = this.#graph(outputs, assignments);
    const prepared = await this.#prepare(graph);
    // The graph itself is garbage from here on.
    const { leaves, checks } = graph;
    const nodes = graph.nodes.length;
    const inputOf = new Map(inputs.map((node, i) => [node, i]));
    // Constants of the function are uploaded once.
    const constants = new Map<Node, S>();
    for (const { source, role } of leaves) {
      if (role === "buffer" && source.op.kind === "data" && !source.op.refresh && !inputOf.has(source)) {
        constants.set(source, this.#store(source, source.op.data));
      }
    }
    // The first run takes what tracing drew, so that a compiled step draws what a traced one does.
    let traced = true;
    return {
      dispose: () => prepared.dispose(),
      run: async (given, drawn) => {
        this.checkOpen();
        const values = leaves.map(({ source }) => {
          const at = inputOf.get(source);
          if (at !== undefined) return given[at] as HostArray | S;
          const fresh = drawn?.get(source);
          if (fresh) return fresh;
          if (traced && source.op.kind === "data" && source.op.refresh) return source.op.data;
          return constants.get(source) ?? this.#leafValue(source, false);
        });
        traced = false;
        await this.#checkIndices({ leaves, checks }, values);
        return this.#run("step", nodes, prepared, values);
      },
    };
  }

  /** Forgets all plans and gives their memory back. Tensors and variables stay. */
  trim(): void {
    for (const prepared of this.#prepared.values()) prepared.dispose();
    this.#prepared.clear();
  }

  #graph(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    const graph = this.graphOf(outputs, assignments);
    for (const { dtype } of graph.nodes) this.#require(dtype);
    return graph;
  }

  #require(dtype: DType): void {
    const why = this.missing(dtype);
    if (why !== undefined)
      throw new Error(`${this.name} has no ${dtype} tensors: ${why}; cast to f32 with .cast("f32")`);
  }

  async #remembered(graph: Graph): Promise<R> {
    let prepared = this.#prepared.get(graph.key);
    if (prepared) this.#prepared.delete(graph.key);
    else prepared = await this.#prepare(graph);
    this.#prepared.set(graph.key, prepared);
    if (this.#prepared.size > MAX_PLANS) {
      const [oldest, dropped] = this.#prepared.entries().next().value!;
      this.#prepared.delete(oldest);
      dropped.dispose();
    }
    return prepared;
  }

  /** @param promote whether a host tensor that is used again may be given memory of its own */
  #leafValue(node: Node, promote: boolean): HostArray | S {
    const op = node.op;
    switch (op.kind) {
      case "storage":
        return op.storage as S;
      case "variable":
        if (!op.variable.storage) {
          op.variable.storage = this.empty(node);
          op.variable.device = this;
        }
        return op.variable.storage as S;
      case "data": {
        if (op.refresh) return promote ? op.data : op.refresh();
        if (!promote || sizeOf(node.shape) <= SMALL_ELEMENTS) return op.data;
        const uses = (this.#uses.get(node) ?? 0) + 1;
        this.#uses.set(node, uses);
        if (uses < 2) return op.data;
        const storage = this.#store(node, op.data);
        node.become({ kind: "storage", storage });
        return storage;
      }
      default:
        throw new Error(`internal: ${op.kind} is no leaf`);
    }
  }

  #store(node: ValueSpec, data: HostArray): S {
    this.#require(node.dtype);
    const storage = this.empty(node);
    this.write(storage, data);
    return storage;
  }

  #upload(outputs: readonly Node[], assignments: readonly Assignment[]): S[] {
    for (const { variable, value } of assignments) {
      if (value.op.kind !== "data") continue;
      variable.storage = this.#store(value, value.op.data);
      variable.device = this;
    }
    return outputs.map((node) => this.#store(node, node.op.kind === "data" ? node.op.data : new Float32Array(0)));
  }
}

/** A first value that is plain host data: it needs no kernel. */
function isFreshUpload({ variable, value }: Assignment): boolean {
  return !variable.storage && value.op.kind === "data" && !value.op.refresh;
}

/** The assignments with other values. */
function valuesOf(assignments: readonly Assignment[], values: readonly Node[]): Assignment[] {
  return assignments.map(({ variable }, i) => ({ variable, value: values[i] }));
}
