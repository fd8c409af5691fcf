/**
 * WGSL text to compute pipelines, each text compiled once.
 *
 * Layouts are explicit: an automatic layout drops bindings that the text does not use, and then no bind group that
 * names them fits. A text that does not compile gives a `KernelError` with the compiler's message and the line it is
 * about, and leaves the device usable.
 */
import { ShaderStage } from "./constants.ts";
import type { Counters } from "./counters.ts";
import { KernelError } from "./errors.ts";
import { waitFor } from "./wait.ts";
import { RecentlyUsed } from "../../recently-used.ts";
import type { GPUBindGroupLayout, GPUComputePipeline, GPUDevice } from "../../../shaders/webgpu.ts";

/** What is needed of a kernel to compile it; `KernelSource` of src/shaders/kernel.ts is one. */
export interface PipelineSource {
  readonly name: string;
  readonly wgsl: string;
  /** Access of `@group(0) @binding(i)`, all of them storage buffers. */
  readonly bindings: readonly { readonly access: "read" | "read_write" }[];
}

/** A compiled kernel. */
export interface Pipeline {
  /** Small integer, unique within a `Gpu`. */
  readonly id: number;
  readonly name: string;
  readonly bindings: number;
  readonly handle: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** The compiler's errors, each with the line of the text that it is about. */
function explain(wgsl: string, messages: readonly GPUCompilationMessage[]): string {
  const lines = wgsl.split("\n");
  const errors = messages.filter((message) => message.type === "error");
  return errors
    .map(({ lineNum, linePos, message }) => {
      if (lineNum === 0) return message.trim();
      const [first, ...rest] = message.trim().split("\n");
      return [`line ${lineNum}:${linePos}: ${first}`, `    ${(lines[lineNum - 1] ?? "").trim()}`, ...rest].join("\n");
    })
    .join("\n");
}

/** Pipelines remembered by a device. Plans hold their own, so that one which left is compiled again only by a next plan. */
const MAX_PIPELINES = 2048;

/** Compiles kernels and remembers them by their text and bindings, those used last. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #counters: Counters;
  readonly #pipelines: RecentlyUsed<Promise<Pipeline>>;
  readonly #layouts = new Map<string, { layout: GPUBindGroupLayout; pipelineLayout: GPUPipelineLayout }>();
  #nextId = 1;

  constructor(device: GPUDevice, counters: Counters, capacity = MAX_PIPELINES) {
    this.#device = device;
    this.#pipelines = new RecentlyUsed(capacity);
    this.#counters = counters;
  }

  /** The pipeline of a kernel, compiled at the first call. @throws KernelError (as a rejection). */
  get(source: PipelineSource): Promise<Pipeline> {
    const access = source.bindings.map((binding) => (binding.access === "read" ? "r" : "w")).join("");
    const key = `${access}\n${source.wgsl}`;
    const pipeline = this.#pipelines.get(key, () => {
      const compiled = this.#compile(source, access);
      // A failure may have been the device's, so it is not remembered.
      compiled.catch(() => this.#pipelines.forget(key, compiled));
      return compiled;
    });
    return pipeline;
  }

  #layout(access: string): { layout: GPUBindGroupLayout; pipelineLayout: GPUPipelineLayout } {
    let found = this.#layouts.get(access);
    if (found === undefined) {
      const layout = this.#device.createBindGroupLayout({
        label: access,
        entries: [...access].map((letter, binding) => ({
          binding,
          visibility: ShaderStage.COMPUTE,
          buffer: { type: letter === "r" ? "read-only-storage" : "storage" },
        })),
      });
      found = { layout, pipelineLayout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }) };
      this.#layouts.set(access, found);
    }
    return found;
  }

  async #compile(source: PipelineSource, access: string): Promise<Pipeline> {
    const { name, wgsl } = source;
    const limit = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (access.length > limit) {
      throw new KernelError(
        `kernel "${name}" binds ${access.length} storage buffers; this adapter's ` +
          `maxStorageBuffersPerShaderStage is ${limit}`,
        [name],
      );
    }
    this.#counters.pipelinesCreated++;
    const device = this.#device;
    const { layout, pipelineLayout } = this.#layout(access);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: name, code: wgsl });
    const created = device.createComputePipelineAsync({
      label: name,
      layout: pipelineLayout,
      compute: { module, entryPoint: "main" },
    });
    const scope = device.popErrorScope();
    try {
      const [handle] = await waitFor(Promise.all([created, scope.catch(() => null)]));
      return { id: this.#nextId++, name, bindings: access.length, handle, layout };
    } catch (error) {
      const info = await module.getCompilationInfo().catch(() => undefined);
      const detail = info === undefined ? "" : explain(wgsl, info.messages);
      const moduleError = await scope.catch(() => null);
      const message = detail !== "" ? detail : (moduleError?.message ?? (error as Error).message);
      throw new KernelError(`kernel "${name}" does not compile: ${message}`, [name], { cause: error });
    }
  }
}
