/** What a product is to its kernels: its sizes, where its operands are read and where its results go. */
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import type { ComputedElements, PlainView, SeparableView } from "./packing.ts";

/** A view of memory with the address of the first element of each matrix of the batch. */
export interface PlainOperand {
  readonly plain: PlainView;
  readonly lanes?: undefined;
  readonly address: (f: FunctionBuilder, context: KernelContext, batch: Value) => Value;
}

/** A plain view, one whose addresses are sums of a part by each axis, or computed elements. */
export type Operand =
  | PlainOperand
  | {
      readonly plain?: undefined;
      readonly lanes?: undefined;
      separable(f: FunctionBuilder, context: KernelContext, batch: Value): SeparableView;
    }
  | {
      readonly plain?: undefined;
      readonly separable?: undefined;
      readonly lanes: "outer" | "k";
      elements(f: FunctionBuilder, context: KernelContext, batch: Value): ComputedElements;
    };

/** A block of C of one matrix of the batch. */
export interface BlockPlace {
  readonly batch: Value;
  readonly m0: Value;
  readonly n0: Value;
  readonly rows: Value;
  readonly columns: Value;
}

/** Where C goes. */
export interface Result {
  /** Address of the first element of a matrix of the batch (or of a part's) where C is stored as it is, row-major. */
  readonly address?: (f: FunctionBuilder, context: KernelContext, batch: Value) => Value;
  /** Bytes from row to row there; default 4·n. With room for a multiple of 8 columns, n need not be one. */
  readonly stride?: number;
  /**
   * Stores a finished block, which lies at `from`, `stride` bytes from row to row; its first column is a multiple of 4,
   * and rows may be read in fours. Absent: C is computed at `address`.
   */
  store?(f: FunctionBuilder, context: KernelContext, place: BlockPlace, from: Value, stride: number): void;
}

/** Sizes are at least 1. */
export interface Product {
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Operand;
  readonly b: Operand;
  readonly c: Result;
}
