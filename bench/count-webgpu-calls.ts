/**
 * Counts the WebGPU calls of whatever runs in this process, without its cooperation.
 *
 * The methods on the prototypes of `GPUDevice`, `GPUQueue` and `GPUComputePassEncoder` are replaced by ones that count
 * and then call the original, so an engine's own device is counted whichever way it was made. The counters are for the
 * whole process: reset before a step, read after it, and run one engine at a time.
 */

/** Calls since the last `reset()`. */
export interface WebGpuCalls {
  dispatches: number;
  submits: number;
  buffers: number;
  bindGroups: number;
  pipelines: number;
  shaderModules: number;
  writes: number;
}

const zero: Readonly<WebGpuCalls> = {
  dispatches: 0,
  submits: 0,
  buffers: 0,
  bindGroups: 0,
  pipelines: 0,
  shaderModules: 0,
  writes: 0,
};

/** Which counter each method adds to, by class and method name. */
const counted: Record<string, Record<string, keyof WebGpuCalls>> = {
  GPUDevice: {
    createBuffer: "buffers",
    createBindGroup: "bindGroups",
    createComputePipeline: "pipelines",
    createComputePipelineAsync: "pipelines",
    createShaderModule: "shaderModules",
  },
  GPUQueue: { submit: "submits", writeBuffer: "writes" },
  GPUComputePassEncoder: { dispatchWorkgroups: "dispatches", dispatchWorkgroupsIndirect: "dispatches" },
};

export interface WebGpuCallCounter {
  /** Sets every counter to zero. */
  reset(): void;
  /** A copy of the counters. */
  read(): WebGpuCalls;
  /** Puts the original methods back. */
  uninstall(): void;
}

/**
 * Starts counting.
 * @param classes where the WebGPU classes are found; in Node they must have been installed as globals first.
 * @throws Error if the classes are not there.
 */
export function countWebGpuCalls(classes: object = globalThis): WebGpuCallCounter {
  const calls: WebGpuCalls = { ...zero };
  const restore: (() => void)[] = [];
  for (const [className, methods] of Object.entries(counted)) {
    const prototype = (classes as Record<string, { prototype?: Record<string, unknown> } | undefined>)[className]
      ?.prototype;
    if (!prototype) {
      throw new Error(`countWebGpuCalls: ${className} is not a global; install the globals of "webgpu" first`);
    }
    for (const [method, counter] of Object.entries(methods)) {
      const original = prototype[method] as ((...args: unknown[]) => unknown) | undefined;
      if (typeof original !== "function") continue;
      prototype[method] = function (this: unknown, ...args: unknown[]): unknown {
        calls[counter]++;
        return original.apply(this, args);
      };
      restore.push(() => {
        prototype[method] = original;
      });
    }
  }
  return {
    reset: () => {
      Object.assign(calls, zero);
    },
    read: () => ({ ...calls }),
    uninstall: () => {
      for (const undo of restore.splice(0)) undo();
    },
  };
}
