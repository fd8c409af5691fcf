/** What a row of the elementwise table says. */
import type { Tensor } from "../tensor.ts";

/** Which operand dtypes a row takes: all operands of one dtype out of the class. */
export type DTypeClass = "float" | "number" | "integer" | "bool" | "any";

/** What every program needs of an elementwise op. */
export interface ElementwiseValue {
  readonly arity: 1 | 2 | 3;
  readonly takes: DTypeClass;
  /** Result dtype; by default that of the operands. */
  readonly gives?: "bool";
  /** The value in float64; `integer` where 32-bit wrapping needs another form. */
  readonly f64: (x: number, y: number, z: number) => number;
  readonly integer?: (x: number, y: number, z: number) => number;
  /** Where unsigned integers need yet another. */
  readonly unsigned?: (x: number, y: number, z: number) => number;
  /** Rough price in multiplications, for the decision to recompute rather than store (default 1). */
  readonly cost?: number;
}

/** What gradients, tests and docs ask of an elementwise op. */
export interface ElementwiseRules {
  /** Cotangents of the operands. Absent: the op has derivative 0 almost everywhere, or none. */
  readonly grad?: (dy: Tensor, y: Tensor, a: Tensor, b: Tensor, c: Tensor) => (Tensor | undefined)[];
  /** Interval each float operand is drawn from by the tests (default ±3). */
  readonly domain?: readonly (readonly [number, number])[];
  /** Points the derivative does not exist at; tests keep away from them. */
  readonly kinks?: readonly number[];
  /** Largest error on a float32 device, relative to max(1, |value|) (default 2e-6). */
  readonly bound?: number;
  /** One line for docs/ops.md. */
  readonly doc: string;
}

/** A row of the table of elementwise ops. */
export interface ElementwiseOp extends ElementwiseValue, ElementwiseRules {}
