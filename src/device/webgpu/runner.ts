/**
 * A plan made ready to run: pipelines compiled, slots allocated, commands recorded.
 *
 * Replaying it writes the inputs, sends the recorded commands in one submit, and hands out the results. The commands
 * are recorded again only where the memory of an input or a result is not that of the run before.
 */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { Graph, Leaf } from "../../compiler/graph.ts";
import type { LoopParts } from "../../compiler/loop-plan.ts";
import type { Lowering } from "../../shaders/kernel.ts";
import type { MatmulTile } from "../../shaders/matmul/product.ts";
import {
  describeKernel,
  printMatmulProgram,
  printMatmulsProgram,
  printMembers,
  memberOf,
} from "../../shaders/print/program.ts";
import type { MatmulKernel } from "../../compiler/kernels.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { valueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { BufferSlice } from "./bindings.ts";
import type { GpuBuffer } from "./gpu/buffers.ts";
import { reportGpuPlan } from "./debug.ts";
import type { Command, Gpu } from "./gpu/gpu.ts";
import { toDevice } from "../host-data.ts";
import type { Work } from "../work.ts";
import { workOf } from "../work.ts";
import { spareOutputs } from "./lowerings.ts";
import { LoopRunner } from "./loop.ts";
import { PersistentRunner, persistentProgram } from "./persistent.ts";
import type { Placed, RecordedDispatch } from "./recorded.ts";
import { copyCommand, dispatchCommand, placed } from "./recorded.ts";
import type { GpuMemory } from "./storage.ts";
import { GpuStorage, SMALL_BYTES } from "./storage.ts";

/** What stands behind a leaf in one run. */
export type WebGpuLeafValue = HostArray | GpuStorage;

/** Device-specific choices a runner asks for. */
interface RunnerOptions {
  lower(kernel: FusedKernel): Lowering;
  tileOf(kernel: MatmulKernel): MatmulTile | undefined;
  loop(kernel: FusedKernel): LoopParts;
  plan(graph: Graph): Plan;
}

/** What a step of a plan is run by. */
type Recorded = RecordedDispatch | LoopRunner | PersistentRunner;

function isLoop(step: Recorded): step is LoopRunner | PersistentRunner {
  return step instanceof LoopRunner || step instanceof PersistentRunner;
}

/** A leaf of the plan, without its node. */
interface LeafPlace extends Pick<Leaf, "role" | "offset"> {
  readonly spec: ValueSpec;
}

export class WebGpuRunner {
  readonly #leaves: readonly LeafPlace[];
  readonly #outputs: readonly Placed[];
  readonly #copies: readonly { readonly from: Placed; readonly leaf: number }[];
  readonly #parameterWords: number;
  readonly checks: Graph["checks"];
  readonly #steps: readonly Recorded[];
  readonly #gpu: Gpu;
  readonly #memory: GpuMemory;
  readonly #slots: GpuBuffer[];
  readonly #parameters: GpuBuffer | undefined;
  /** Staging of inputs that come from the host, by leaf; made when first needed. */
  readonly #inputs = new Map<number, GpuBuffer>();
  /** Small results are computed here and copied to where the caller keeps them. */
  readonly #results = new Map<number, GpuBuffer>();
  /** Ids and offsets the recorded commands were made for. */
  #recordedFor: string | undefined;
  #commands: Command[] = [];
  #disposed = false;
  /** The same plan with tiles that were measured, once there is one. */
  #replacement: WebGpuRunner | undefined;

  private constructor(gpu: Gpu, memory: GpuMemory, plan: Plan, steps: readonly Recorded[]) {
    this.#gpu = gpu;
    this.#memory = memory;
    const { graph } = plan;
    this.#leaves = graph.leaves.map(({ role, offset, node }) => ({ role, offset, spec: valueSpec(node) }));
    this.#outputs = graph.outputs.map((node) => placed(plan, node));
    this.#copies = plan.copies.map(({ from, leaf }) => ({ from: placed(plan, from), leaf }));
    this.#parameterWords = graph.parameterWords;
    this.checks = graph.checks;
    this.#steps = steps;
    this.#slots = plan.slots.map((bytes) => gpu.acquire(bytes));
    this.#parameters = graph.parameterWords > 0 ? gpu.acquire(graph.parameterWords * 4) : undefined;
    this.#outputs.forEach(({ spec }, i) => {
      if (nodeBytes(spec) <= SMALL_BYTES) this.#results.set(i, gpu.acquire(SMALL_BYTES));
    });
  }

  static async prepare(gpu: Gpu, memory: GpuMemory, plan: Plan, options: RunnerOptions): Promise<WebGpuRunner> {
    const steps = await recordPlan(gpu, plan, options);
    reportGpuPlan(
      plan,
      steps.flatMap((s) => (isLoop(s) ? s.dispatches : [s])),
    );
    return new WebGpuRunner(gpu, memory, plan, steps);
  }

  /** Runs the plan. `values` are in the order of the graph's leaves; variables get their memory here if they have none. */
  run(device: GpuStorage["device"], values: readonly WebGpuLeafValue[]): GpuStorage[] {
    const gpu = this.#gpu;
    const before: Command[] = [];
    const leaves = this.#leaves.map((leaf, i) => this.#leafSlice(leaf, i, values[i], before));
    if (this.#parameters) this.#writeParameters(values);

    const storages = this.#outputs.map(
      ({ spec }) =>
        new GpuStorage(device, spec.shape, spec.dtype, this.#memory.allocate(nodeBytes(spec)), this.#memory),
    );
    const outputs = storages.map((s, i) => (this.#results.has(i) ? { buffer: this.#results.get(i)! } : s.slice));
    this.#record(leaves, outputs);

    const after: Command[] = [];
    for (const { from, leaf } of this.#copies) {
      after.push(copyCommand(this.#sliceOf(from, leaves, outputs), leaves[leaf]!, nodeBytes(from.spec)));
    }
    this.#outputs.forEach((value, i) => {
      const from = this.#sliceOf(value, leaves, outputs);
      const to = storages[i].slice;
      if (from.buffer !== to.buffer || from.offset !== to.offset)
        after.push(copyCommand(from, to, nodeBytes(value.spec)));
    });
    gpu.submit(before.length + after.length > 0 ? [...before, ...this.#commands, ...after] : this.#commands);
    return storages;
  }

  #leafSlice(leaf: LeafPlace, index: number, value: WebGpuLeafValue, before: Command[]): BufferSlice | undefined {
    if (leaf.role === "parameter") {
      if (value instanceof GpuStorage) {
        const to = { buffer: this.#parameters!, offset: leaf.offset * 4 };
        before.push(copyCommand(value.slice, to, nodeBytes(leaf.spec)));
      }
      return undefined;
    }
    if (value instanceof GpuStorage) return value.slice;
    let buffer = this.#inputs.get(index);
    if (!buffer) this.#inputs.set(index, (buffer = this.#gpu.acquire(nodeBytes(leaf.spec))));
    this.#gpu.write(buffer, 0, toDevice(value, leaf.spec.dtype));
    return { buffer };
  }

  #writeParameters(values: readonly WebGpuLeafValue[]): void {
    const words = new Uint32Array(this.#parameterWords);
    this.#leaves.forEach((leaf, i) => {
      const value = values[i];
      if (leaf.role !== "parameter" || value instanceof GpuStorage) return;
      const view = toDevice(value, leaf.spec.dtype);
      words.set(new Uint32Array(view.buffer, view.byteOffset, sizeOf(leaf.spec.shape)), leaf.offset);
    });
    this.#gpu.write(this.#parameters!, 0, words);
  }

  #sliceOf(
    { place }: Placed,
    leaves: readonly (BufferSlice | undefined)[],
    outputs: readonly BufferSlice[],
  ): BufferSlice {
    switch (place.kind) {
      case "slot":
        return { buffer: this.#slots[place.slot] };
      case "output":
        return outputs[place.output];
      case "leaf":
        return leaves[place.leaf]!;
      case "own":
        throw new Error("internal: memory of a loop outside it");
    }
  }

  /** Records the dispatches for these inputs and outputs, unless they are recorded already. */
  #record(leaves: readonly (BufferSlice | undefined)[], outputs: readonly BufferSlice[]): void {
    let key = "";
    for (const slice of leaves) key += slice ? `${slice.buffer.id}:${slice.offset ?? 0},` : ",";
    for (const slice of outputs) key += `${slice.buffer.id}:${slice.offset ?? 0};`;
    if (key === this.#recordedFor) return;
    const parameters = this.#parameters && {
      buffer: this.#parameters,
      offset: 0,
      size: this.#parameterWords * 4,
    };
    const sliceOf = (value: Placed): BufferSlice => this.#sliceOf(value, leaves, outputs);
    this.#commands = this.#steps.flatMap((s) =>
      isLoop(s) ? s.commands(sliceOf) : [dispatchCommand(this.#gpu, s, sliceOf, parameters)],
    );
    this.#recordedFor = key;
  }

  /** Bytes of device memory the runner keeps between runs. */
  get bytesHeld(): number {
    const own = [...this.#slots, ...this.#inputs.values(), ...this.#results.values()];
    const loops = this.#steps.reduce((sum, s) => sum + (isLoop(s) ? s.bytesHeld : 0), 0);
    return own.reduce((sum, b) => sum + b.size, loops + (this.#parameters?.size ?? 0));
  }

  /** What runs now: this, or what took its place. */
  get current(): WebGpuRunner {
    return this.#replacement ?? this;
  }

  /** Has another runner of the same graph run from now on, and gives this one's memory back. */
  replace(other: WebGpuRunner): void {
    if (this.#disposed) return other.dispose();
    this.dispose();
    this.#replacement = other;
  }

  /** Gives the runner's memory back to the pool. */
  dispose(): void {
    this.#replacement?.dispose();
    if (this.#disposed) return;
    this.#disposed = true;
    for (const b of [...this.#slots, ...this.#inputs.values(), ...this.#results.values()]) this.#gpu.release(b);
    for (const s of this.#steps) if (isLoop(s)) s.dispose();
    if (this.#parameters) this.#gpu.release(this.#parameters);
    this.#commands = [];
  }
}

const bothOf = (p: Work, q: Work): Work => ({ flops: p.flops + q.flops, bytes: p.bytes + q.bytes });

/** The dispatches of a plan, their pipelines compiled. */
async function recordPlan(gpu: Gpu, plan: Plan, options: RunnerOptions): Promise<Recorded[]> {
  const { profile } = gpu;
  const memoryOf = (node: Node): Node => {
    const place = plan.placeOf.get(node);
    return place?.kind === "leaf" ? plan.graph.leaves[place.leaf].node : node;
  };
  const at = (node: Node | "parameters"): Placed | "parameters" => (node === "parameters" ? node : placed(plan, node));
  const sources: (Omit<RecordedDispatch, "pipeline"> | LoopRunner | (() => Promise<PersistentRunner>))[] = [];
  const accesses: { access: "read" | "read_write" }[][] = [];
  for (const step of plan.steps) {
    const [kernel] = step.kernels;
    if (kernel.kind === "fused" && kernel.fused.loop) {
      const parts = options.loop(kernel);
      const inner = options.plan(parts.graph);
      const program = persistentProgram(kernel, parts, inner, profile);
      if (program) {
        const { name, wgsl, bindings } = program;
        const once = inner.steps.flatMap((s) => s.kernels.map(workOf)).reduce(bothOf);
        const work = { flops: once.flops * parts.loop.steps, bytes: once.bytes * parts.loop.steps };
        sources.push(async () => {
          const pipeline = await gpu.pipeline({ name, wgsl, bindings });
          return new PersistentRunner(gpu, kernel, program, pipeline, work, (node) => placed(plan, node));
        });
        accesses.push([]);
        continue;
      }
      const dispatches = await recordPlan(gpu, inner, options);
      sources.push(
        new LoopRunner(
          gpu,
          kernel,
          parts,
          inner,
          dispatches.filter((d): d is RecordedDispatch => !isLoop(d)),
          (node) => placed(plan, node),
        ),
      );
      accesses.push([]);
      continue;
    }
    if (kernel.kind === "fused") {
      const lowering = options.lower(kernel);
      const spare = spareOutputs(kernel, lowering);
      const outputs = kernel.outputs.map((o, i) => o.node ?? step.scratch[spare.indexOf(i)]);
      const scratch = step.scratch.slice(spare.length);
      // Which of several kernels does the arithmetic is not known: it counts for the first.
      let { flops } = workOf(kernel);
      for (const source of lowering.kernels) {
        const bindings = source.bindings.map((b) =>
          b.role === "in" ? kernel.inputs[b.index] : b.role === "out" ? outputs[b.index] : scratch[b.index],
        );
        const work = { flops, bytes: bindings.reduce((sum, node) => sum + nodeBytes(node), 0) };
        sources.push({
          name: source.name,
          wgsl: source.wgsl,
          bindings: bindings.map(at),
          workgroups: source.workgroups,
          work,
        });
        flops = 0;
        accesses.push(source.bindings.map(({ access }) => ({ access })));
      }
      continue;
    }
    const name = step.kernels.map(describeKernel).join(" + ");
    const products = step.kernels.filter((k) => k.kind === "matmul");
    const tiles = products.map((k) => options.tileOf(k));
    const program =
      products.length === 1
        ? printMatmulProgram(name, products[0], tiles[0], profile, memoryOf)
        : products.length > 1
          ? printMatmulsProgram(name, products, tiles, profile, memoryOf)
          : printMembers(
              name,
              step.kernels.map((k) => {
                if (k.kind === "matmul" || k.kind === "fused")
                  throw new Error("internal: only elementwise kernels share a step");
                return memberOf(k, profile);
              }),
              memoryOf,
            );
    sources.push({
      name,
      wgsl: program.wgsl,
      bindings: program.bindings.map((b) => at(b.node)),
      workgroups: program.workgroups,
      work: step.kernels.map(workOf).reduce(bothOf),
    });
    accesses.push(program.bindings.map(({ access }) => ({ access })));
  }
  return Promise.all(
    sources.map(async (s, i) => {
      if (s instanceof LoopRunner) return s;
      if (typeof s === "function") return s();
      return { ...s, pipeline: await gpu.pipeline({ name: s.name, wgsl: s.wgsl, bindings: accesses[i] }) };
    }),
  );
}
