/**
 * From a graph to the plan an adapter runs. It needs the adapter's profile only, so plans can be looked at (dispatches,
 * bytes) for adapters that are not there: `planOf`.
 */
import { buildGraph } from "../../compiler/graph.ts";
import type { Graph } from "../../compiler/graph.ts";
import type { FusedKernel, MatmulKernel } from "../../compiler/kernels.ts";
import type { CanLower } from "../../compiler/decompose.ts";
import { productInParts } from "../../compiler/long-products.ts";
import type { LoopParts } from "../../compiler/loop-plan.ts";
import { loopParts, stepsAreWords } from "../../compiler/loop-plan.ts";
import { memoryAccount } from "../../compiler/memory-account.ts";
import type { MemoryAccount } from "../../compiler/memory-account.ts";
import type { Plan } from "../../compiler/plan.ts";
import { makePlan } from "../../compiler/plan.ts";
import type { AdapterProfile, Lowering } from "../../shaders/kernel.ts";
import type { MatmulTile } from "../../shaders/matmul/product.ts";
import { sharingKey } from "../../shaders/print/matmul.ts";
import { describeKernel } from "../../shaders/print/program.ts";
import type { Assignment } from "../../tensor/backend.ts";
import type { Outputs } from "../../tensor/program/compile.ts";
import { traceGraph } from "../../tensor/program/compile.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { LoweringCache } from "../lowering-cache.ts";
import { lowerFusedToWgsl, spareOutputs } from "./lowerings.ts";
import { persistentProgram } from "./persistent.ts";

/** Invocations that keep a device busy, roughly. */
const PARALLELISM = { gpu: 16384, cpu: 64 } as const;
/** Rows of a reduction that do: a GPU puts a workgroup on each, a software driver one invocation. */
const BUSY_ROWS = { gpu: 64, cpu: 16 } as const;

interface PlannerOptions {
  /** The tile of a matrix product, instead of the one that the model chooses; undefined leaves it to the model. */
  tileOf?(kernel: MatmulKernel): MatmulTile | undefined;
  /** Whether plans say how large indices are that the host does not see; default true. */
  readonly checksIndices?: boolean;
}

export class Planner {
  readonly #adapter: { readonly profile: AdapterProfile };
  readonly #options: PlannerOptions;
  readonly #sharingKeys = new WeakMap<MatmulKernel, string | undefined>();
  /** Tiles as they were when a kernel was first asked about: a plan and its text must mean the same. */
  readonly #tiles = new WeakMap<MatmulKernel, { readonly tile: MatmulTile | undefined }>();
  readonly #lowerings = new LoweringCache<Lowering>((op, attrs, inputs, read) =>
    lowerFusedToWgsl(op, attrs, inputs, this.profile, read),
  );

  /** @param adapter what has the profile; it is asked at every plan. */
  constructor(adapter: { readonly profile: AdapterProfile }, options: PlannerOptions = {}) {
    this.#adapter = adapter;
    this.#options = options;
  }

  get profile(): AdapterProfile {
    return this.#adapter.profile;
  }

  graph(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    return this.#graph(outputs, assignments, (op, node) =>
      op.loop ? stepsAreWords(op.loop) : this.#lowerings.canLower(op, node),
    );
  }

  /** A loop's body; loops within it are unrolled. */
  loop(kernel: FusedKernel): LoopParts {
    return loopParts(kernel, (outputs) =>
      this.#graph(outputs, [], (op, node) => !op.loop && this.#lowerings.canLower(op, node)),
    );
  }

  #graph(outputs: readonly Node[], assignments: readonly Assignment[], canLower: CanLower): Graph {
    return buildGraph(outputs, assignments, {
      canLower,
      longProduct: productInParts,
      parallelism: PARALLELISM[this.profile.kind],
      checksComputed: this.#options.checksIndices === false ? "never" : "read",
      busyRows: BUSY_ROWS[this.profile.kind],
    });
  }

  plan(graph: Graph): Plan {
    return makePlan(graph, {
      maxBindings: this.profile.maxStorageBuffers,
      scratchOf: (kernel: FusedKernel): ValueSpec[] => {
        if (kernel.fused.loop) return [];
        const lowering = this.lower(kernel);
        return [...spareOutputs(kernel, lowering).map((i) => kernel.outputs[i]), ...lowering.scratch];
      },
      sharingKeyOf: (kernel) => this.#sharingKey(kernel),
    });
  }

  #sharingKey(kernel: MatmulKernel): string | undefined {
    if (!this.#sharingKeys.has(kernel)) {
      this.#sharingKeys.set(kernel, sharingKey(kernel, this.tileOf(kernel), this.profile));
    }
    return this.#sharingKeys.get(kernel);
  }

  /** The tile of a product of a plan that was made here; undefined: the model's. */
  tileOf(kernel: MatmulKernel): MatmulTile | undefined {
    let known = this.#tiles.get(kernel);
    if (!known) this.#tiles.set(kernel, (known = { tile: this.#options.tileOf?.(kernel) }));
    return known.tile;
  }

  /** The kernels of a fused op of the plan. */
  lower(kernel: FusedKernel): Lowering {
    return this.#lowerings.of(kernel);
  }
}

/** A plan in figures. */
export interface PlanReport {
  readonly plan: Plan;
  /** Names of the dispatches of one run, in order; all go in one submit. */
  readonly dispatches: readonly string[];
  /** Buffer copies after the dispatches. */
  readonly copies: number;
  readonly memory: MemoryAccount;
}

/**
 * The plan that `compile(f)` would make for inputs of these shapes on an adapter of this profile. Nothing is computed,
 * and variables are left as they are.
 */
export function planOf<I extends readonly Tensor[]>(
  f: (...inputs: I) => Outputs,
  inputs: I,
  profile: AdapterProfile,
): PlanReport {
  const planner = new Planner({ profile });
  const { outputs, assignments } = traceGraph(f, inputs);
  const plan = planner.plan(planner.graph(outputs, assignments));
  const namesOf = ({ kernels }: Plan["steps"][number]): string[] => {
    const [kernel] = kernels;
    if (kernel.kind === "fused" && kernel.fused.loop) {
      const parts = planner.loop(kernel);
      const inner = planner.plan(parts.graph);
      const program = persistentProgram(kernel, parts, inner, profile);
      if (program) return [program.name];
      const once = inner.steps.flatMap(namesOf);
      return Array.from({ length: kernel.fused.loop.steps }, () => once).flat();
    }
    if (kernel.kind === "fused") return planner.lower(kernel).kernels.map((k) => k.name);
    return [kernels.map(describeKernel).join(" + ")];
  };
  const dispatches = plan.steps.flatMap(namesOf);
  return { plan, dispatches, copies: plan.copies.length, memory: memoryAccount(plan) };
}
