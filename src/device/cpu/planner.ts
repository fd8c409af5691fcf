/** From a graph to the plan the cpu device runs. Nothing depends on the number of threads: results have the same bits. */
import { buildGraph } from "../../compiler/graph.ts";
import type { Graph } from "../../compiler/graph.ts";
import type { FusedKernel, MatmulKernel } from "../../compiler/kernels.ts";
import type { CanLower } from "../../compiler/decompose.ts";
import type { Plan } from "../../compiler/plan.ts";
import { makePlan } from "../../compiler/plan.ts";
import type { Assignment } from "../../tensor/backend.ts";
import type { Node } from "../../tensor/node.ts";
import type { WasmFeatures } from "../../wasm/assembler/features.ts";
import type { WasmLowering } from "../../wasm/kernel.ts";
import { LoweringCache } from "../lowering-cache.ts";
import { lowerFusedToWasm } from "./lowerings.ts";

/** Pieces a large reduction is split into at least. */
const PARALLELISM = 64;
/** Rows of a reduction that need no splitting. */
const BUSY_ROWS = 128;
/** Tensors a kernel may touch: as many as fusion likes. */
const MAX_BINDINGS = 48;
/** Multiply-adds below which products share a phase: larger ones keep all threads busy on their own. */
const SMALL_PRODUCT = 1 << 24;

export class CpuPlanner {
  readonly #lowerings: LoweringCache<WasmLowering>;

  constructor({ wide = false }: WasmFeatures) {
    this.#lowerings = new LoweringCache((op, attrs, inputs, read) => lowerFusedToWasm(op, attrs, inputs, read, wide));
  }

  graph(outputs: readonly Node[], assignments: readonly Assignment[]): Graph {
    return this.#graph(outputs, assignments, (op, node) => op.loop !== undefined || this.#lowerings.canLower(op, node));
  }

  #graph(outputs: readonly Node[], assignments: readonly Assignment[], canLower: CanLower): Graph {
    return buildGraph(outputs, assignments, {
      canLower,
      parallelism: PARALLELISM,
      busyRows: BUSY_ROWS,
      checksComputed: "run",
    });
  }

  /** A loop's body; loops within it are unrolled. */
  loopGraph(outputs: readonly Node[]): Graph {
    return this.#graph(outputs, [], (op, node) => op.loop === undefined && this.#lowerings.canLower(op, node));
  }

  plan(graph: Graph): Plan {
    return makePlan(graph, {
      maxBindings: MAX_BINDINGS,
      // Results that nobody reads need memory too, where they are written.
      scratchOf: (kernel) => {
        if (kernel.fused.loop) return [];
        const { scratch, unwritten = [] } = this.lower(kernel);
        return [...kernel.outputs.filter((o, i) => !o.node && !unwritten.includes(i)), ...scratch];
      },
      sharingKeyOf: ({ batch, m, n, k }: MatmulKernel) => (batch * m * n * k < SMALL_PRODUCT ? "small" : undefined),
    });
  }

  lower(kernel: FusedKernel): WasmLowering {
    return this.#lowerings.of(kernel);
  }
}
