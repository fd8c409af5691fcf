/**
 * A golden file: named cases of inputs and expected values, and what it takes to replay one.
 *
 * Every kind of case (an op, an optimizer, a training step) is a `CaseKind`: it finds its cases in a file by the names
 * of their tensors, and replays one on the default device. Comparing and reporting are the same for all.
 */
import type { HostTensor } from "../io/host-tensor.ts";
import { toFloat64 } from "../io/host-tensor.ts";
import type { SafetensorsContents } from "../io/safetensors.ts";
import { tensor } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { realize } from "../tensor/program/realize.ts";

/** An open golden file and the dtype that the device computes in. */
export interface GoldenFile extends SafetensorsContents {
  /** f64 on a device that has it, else f32. */
  readonly dtype: DType;
}

/** A value computed, and what it should be. */
export interface Comparison {
  /** Of the expected tensor in the file. */
  readonly name: string;
  readonly actual: Tensor;
  readonly expected: HostTensor;
  /** Factor on the kind's tolerance for this quantity; default 1. */
  readonly slack?: number;
}

export interface GoldenCase {
  readonly name: string;
  /** Replays the case and hands out every value to compare, in one or several batches. */
  run(compare: (batch: readonly Comparison[]) => Promise<void>): Promise<void>;
}

/** A kind of case. Another kind is another file, listed in kinds.ts. */
export interface CaseKind {
  readonly name: string;
  /** The cases of this kind in a file; none where the file holds no such case. */
  find(file: GoldenFile): GoldenCase[];
}

/** The largest difference relative to the expected tensor's scale: max|actual − expected| / max|expected|. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    // NaN where a number was expected, and the other way round, is as wrong as can be; equal infinities are right.
    const same = Object.is(actual[i], expected[i]) || actual[i] === expected[i];
    if (!same && !(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
    if (Math.abs(expected[i]) > scale) scale = Math.abs(expected[i]);
  }
  return worst === 0 ? 0 : worst / Math.max(scale, Number.MIN_VALUE);
}

/** Computes a batch in one realization and gives the error of each. */
export async function errorsOf(batch: readonly Comparison[]): Promise<number[]> {
  for (const { name, actual, expected } of batch) {
    if (sameShape(actual.shape, expected.shape)) continue;
    throw new Error(
      `"${name}" came out with shape ${formatShape(actual.shape)}; the file has ${formatShape(expected.shape)}`,
    );
  }
  const storages = await realize(batch.map((c) => c.actual));
  const errors: number[] = [];
  for (const [i, { expected }] of batch.entries()) {
    errors.push(relativeError(await storages[i].device.read(storages[i]), toFloat64(expected)));
  }
  return errors;
}

/** A tensor of the file on the device: floating ones in the device's dtype, integers as i32. */
export function tensorOf(value: HostTensor, dtype: DType): Tensor {
  const floating = value.dtype.startsWith("f") || value.dtype === "bf16";
  const numbers = toFloat64(value);
  return floating
    ? tensor(dtype === "f64" ? numbers : Float32Array.from(numbers), { shape: value.shape, dtype })
    : tensor(Int32Array.from(numbers), { shape: value.shape, dtype: "i32" });
}

/** The file's tensors under `prefix/`, by the rest of their names. */
export function tensorsUnder(file: GoldenFile, prefix: string): Map<string, HostTensor> {
  const found = new Map<string, HostTensor>();
  for (const [name, value] of file.tensors)
    if (name.startsWith(`${prefix}/`)) found.set(name.slice(prefix.length + 1), value);
  return found;
}

/** The case's settings, from JSON in the file's metadata; `{}` where it has none. */
export function attributesOf(file: GoldenFile, name: string): Record<string, unknown> {
  const text = file.metadata.get(name);
  if (text === undefined) return {};
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`metadata "${name}" is no JSON object: ${text}`);
  return value as Record<string, unknown>;
}
