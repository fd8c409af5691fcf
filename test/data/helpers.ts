/**
 * What the data tests share: where the optional real data and golden numbers are, and how far two arrays differ.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { HostTensor } from "../../src/io/host-tensor.ts";
import { toFloat64 } from "../../src/io/host-tensor.ts";

const repository = fileURLToPath(new URL("../../", import.meta.url));

export const FIXTURES = `${repository}test/fixtures/data`;
export const SHARED_DATA = process.env.HICO_DATA ?? `${repository}../shared/data`;
export const GOLDEN = process.env.HICO_GOLDEN ?? `${repository}../shared/golden`;

/** For `test(name, { skip: unless(path) }, ...)`: the printed reason where a file is absent, else false. */
export function unless(path: string): string | false {
  return existsSync(path) ? false : `${path} is not here`;
}

/** The tensor `name`, as numbers. */
export function numbers(tensors: ReadonlyMap<string, HostTensor>, name: string): Float32Array | Float64Array {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`golden file has no tensor "${name}"`);
  return tensor.data instanceof Float32Array ? tensor.data : toFloat64(tensor);
}

/** Greatest absolute difference. NaN where lengths differ or either holds a NaN, so that a bound on it fails. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return NaN;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference;
    if (Number.isNaN(difference)) return NaN;
  }
  return worst;
}

/** The clips of the golden file that the fixture keeps: one that starts empty, one whose second person leaves early. */
export const CUT_CLIPS: readonly number[] = [2, 3];
export const CUT_STRIDE = 23;

/** Every n-th number. */
export function everyNth(values: ArrayLike<number>, n: number): Float32Array {
  return Float32Array.from({ length: Math.ceil(values.length / n) }, (_, i) => values[i * n]);
}

/** Row `i` of a tensor's first axis. */
export function goldenRow(tensors: ReadonlyMap<string, HostTensor>, name: string, i: number): Float32Array {
  const values = numbers(tensors, name);
  const size = values.length / (tensors.get(name)?.shape[0] ?? 1);
  return Float32Array.from(values.subarray(i * size, (i + 1) * size));
}
