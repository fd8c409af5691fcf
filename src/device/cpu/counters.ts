/** What the cpu device has done, as plain numbers: the basis of tests such as "a replayed step compiles nothing". */
export interface CpuCounters {
  /** Plans run. */
  runs: number;
  /** Kernels run, each once for all its units. */
  kernels: number;
  /** Values copied from one place to another after a plan's kernels. */
  copies: number;
  /** WebAssembly modules compiled, and their size. */
  modulesCompiled: number;
  moduleBytes: number;
  /** Bytes of memory in use, and the most there have been. */
  bytesLive: number;
  bytesPeak: number;
  /** Blocks of memory handed out. */
  allocations: number;
  /** Bytes copied in from the host. */
  bytesWritten: number;
  /** Tensors read back. */
  reads: number;
}

export function newCpuCounters(): CpuCounters {
  return {
    runs: 0,
    kernels: 0,
    copies: 0,
    modulesCompiled: 0,
    moduleBytes: 0,
    bytesLive: 0,
    bytesPeak: 0,
    allocations: 0,
    bytesWritten: 0,
    reads: 0,
  };
}
