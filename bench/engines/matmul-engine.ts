/** What the matrix-product benchmark asks of an engine. */
import type { AdapterKind } from "./engine.ts";

/** a [rows, inner] · b [inner, columns], row-major float32. */
export interface MatmulProblem {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

export interface MatmulEngine {
  readonly name: string;
  readonly adapter: AdapterKind;
  /** `true`, or the reason it cannot run here. */
  available(): Promise<true | string>;
  prepare(problem: MatmulProblem): Promise<MatmulRun>;
}

export interface MatmulRun {
  /** One product, from factors on the device to a result on the device; resolves when it is finished. */
  multiply(): Promise<void>;
  /** The latest product, [rows, columns]. */
  result(): Promise<Float32Array>;
  dispose(): void | Promise<void>;
}
