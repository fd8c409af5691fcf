/**
 * What the conformance suite asks of an engine: a program over plain arrays, its results, and their gradients. Nothing
 * here knows of tensors, so that any engine can answer, in this process or over a pipe.
 */

/** Element types of the suite: float32, int32, and bools as 0 and 1. */
export type PlainDType = "f32" | "i32" | "bool";

/** An array as numbers in row-major order. */
export interface PlainArray {
  readonly shape: readonly number[];
  readonly dtype: PlainDType;
  readonly data: ArrayLike<number>;
}

/** What an operation is told besides its operands: numbers, lists of numbers, flags. */
export type EngineAttributes = Readonly<Record<string, number | boolean | string | readonly number[] | number[][]>>;

/** One step of a program: an operation of earlier values. Values are numbered: the inputs, then the steps. */
export interface EngineStep {
  readonly op: string;
  readonly of: readonly number[];
  readonly with?: EngineAttributes;
}

/** A gradient that is asked for: of Σ ⟨cotangent, output⟩. */
export interface EngineGradient {
  /** Numbers of the inputs with respect to which. */
  readonly of: readonly number[];
  /** One an output, of its shape. */
  readonly cotangents: readonly PlainArray[];
  /** Where given, the gradient of Σ ⟨direction, gradient⟩ is asked for as well: one an input of `of`. */
  readonly directions?: readonly PlainArray[];
}

/** Values that are carried from one run of a program to the next: `input` becomes `value` for all of them at once. */
export interface EngineUpdates {
  /** How many times the program runs. */
  readonly times: number;
  /** Steps after the program's, over its values, then its gradients (which follow them in number). */
  readonly steps: readonly EngineStep[];
  readonly next: readonly { readonly input: number; readonly value: number }[];
}

/** A program, its inputs, and what is wanted of it. */
export interface EngineRequest {
  readonly inputs: readonly PlainArray[];
  readonly steps: readonly EngineStep[];
  /** Numbers of the values that are wanted. */
  readonly outputs: readonly number[];
  readonly gradient?: EngineGradient;
  readonly updates?: EngineUpdates;
  /** Whether the engine's compiler, if it has one, is used. */
  readonly compiled?: boolean;
}

/** What came out. With updates, `outputs` are those of every run, one run after another, then the carried values. */
export interface EngineAnswer {
  readonly outputs: readonly PlainArray[];
  readonly gradients?: readonly PlainArray[];
  readonly seconds?: readonly PlainArray[];
}

/** An engine as the suite sees it. */
export interface EngineAdapter {
  readonly name: string;
  readonly version: string;
  /** Operations by the suite's names; cases of others are counted as absent. */
  readonly operations: ReadonlySet<string>;
  /** Whether it has a compiler; requests that are to be compiled are not asked of others. Default false. */
  readonly compiles?: boolean;
  /** @throws Error where the engine refuses: that is a finding. */
  run(request: EngineRequest): Promise<EngineAnswer>;
  close?(): Promise<void> | void;
}

export function plain(data: ArrayLike<number>, shape: readonly number[], dtype: PlainDType = "f32"): PlainArray {
  return { data, shape, dtype };
}
