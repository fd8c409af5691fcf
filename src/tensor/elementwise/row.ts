/** What a row of the elementwise table says, and the pieces of WGSL that rows share. */
import type { DType } from "../dtype.ts";
import type { Tensor } from "../tensor.ts";

/** Literals of the width in use, when a row's WGSL is printed. */
export interface WgslWidth {
  readonly lanes: 1 | 4;
  f(value: number): string;
  u(value: number): string;
  /** Type name: `f32` or `vec4<f32>`, and so on. */
  type(scalar: "f32" | "i32" | "u32" | "bool"): string;
}

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

/** What shaders, gradients, tests and docs ask of an elementwise op. */
export interface ElementwiseForm {
  readonly wgsl: (w: WgslWidth, x: string, y: string, z: string, dtype: DType) => string;
  /** Cotangents of the operands. Absent: the op has derivative 0 almost everywhere, or none. */
  readonly grad?: (dy: Tensor, y: Tensor, a: Tensor, b: Tensor, c: Tensor) => (Tensor | undefined)[];
  /** Interval each float operand is drawn from by the tests (default ±3). */
  readonly domain?: readonly (readonly [number, number])[];
  /** Points the derivative does not exist at; tests keep away from them. */
  readonly kinks?: readonly number[];
  /** Largest error on a float32 device, relative to max(1, |value|) (default 2e-6). */
  readonly bound?: number;
  /** WGSL helper functions the form calls, by name (see shaders/print/helpers.ts). */
  readonly helpers?: readonly string[];
  /** One line for docs/ops.md. */
  readonly doc: string;
}

/** A row of the table of elementwise ops. */
export interface ElementwiseOp extends ElementwiseValue, ElementwiseForm {}

/** Whether x is not a number, by its bits: compilers of WGSL may assume that no float is. */
export const notANumber = (w: WgslWidth, x: string) =>
  `((bitcast<${w.type("u32")}>(${x}) & ${w.u(0x7fffffff)}) > ${w.u(0x7f800000)})`;

/** `value`, or the first of `operands` that is not a number. */
export const carrying = (w: WgslWidth, value: string, ...operands: string[]) =>
  operands.reduceRight((text, x) => `select(${text}, ${x}, ${notANumber(w, x)})`, value);
