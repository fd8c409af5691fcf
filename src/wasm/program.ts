/**
 * Kernels as one WebAssembly module. Function `kernel{i}` takes the address of a table of addresses, the first and last
 * (exclusive) unit, and the address of the calling thread's own memory. Kernels of equal code are one function.
 */
import { getOrCompute } from "../compiler/memo.ts";
import type { WasmFeatures } from "./assembler/features.ts";
import type { Callee, Signature } from "./assembler/function.ts";
import type { Value } from "./assembler/instructions.ts";
import { i32 } from "./assembler/instructions.ts";
import type { Operands, WasmKernel } from "./kernel.ts";
import { ModuleBuilder } from "./assembler/module.ts";

/** A kernel and where its operands' addresses stand in the table. */
export interface ProgramEntry {
  readonly kernel: WasmKernel;
  /** Entries of the table, 4 bytes each. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly scratch: readonly number[];
  /** Entries that hold the kernel's `sizes`; default none. */
  readonly sizes?: readonly number[];
}

const KERNEL: Signature = { parameters: ["i32", "i32", "i32", "i32"] };

/**
 * @param shared whether the memory is shared between threads
 * @param also adds functions that call the kernels
 */
export function emitProgram(
  entries: readonly ProgramEntry[],
  features: WasmFeatures,
  shared: boolean,
  also?: (module: ModuleBuilder, kernels: readonly Callee[]) => void,
): Uint8Array & BufferSource {
  const module = new ModuleBuilder();
  const subroutines = new Map<string, Callee>();
  const sharedFunction = (key: string, make: (module: ModuleBuilder) => Callee): Callee => {
    return getOrCompute(subroutines, key, () => make(module));
  };
  const kernels = entries.map(({ kernel, inputs, outputs, scratch, sizes = [] }, number) =>
    module.function(
      KERNEL,
      (f) => {
        const [table, begin, end, threadMemory] = f.parameters;
        // Loaded at the start, so that they are known wherever the kernel asks for them.
        const load = (entry: number): Value => f.name(i32.load(table, 4 * entry));
        const [input, output, temporary, size] = [inputs, outputs, scratch, sizes].map((list) => list.map(load));
        const operands: Operands = {
          input: (i) => input[i],
          output: (i) => output[i],
          scratch: (i) => temporary[i],
        };
        kernel.emit(f, {
          ...operands,
          size: (i) => size[i],
          features,
          begin,
          end,
          threadMemory,
          shared: sharedFunction,
        });
      },
      `kernel${number}`,
    ),
  );
  also?.(module, kernels);
  return module.encode(shared);
}
