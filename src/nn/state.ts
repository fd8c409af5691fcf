/**
 * State dictionaries: variables by name, assigned from tensors or host data, and read back to the host.
 *
 * Whatever fits is found before anything is assigned, so a dictionary that does not fit leaves the variables alone.
 */
import type { HostTensor } from "../io/host-tensor.ts";
import { hostTensor, isHostTensor, toFloat64 } from "../io/host-tensor.ts";
import { tensor } from "../tensor/create.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import { hostArray } from "../tensor/dtype.ts";
import { describeValue } from "../tensor/door/door.ts";
import { realize } from "../tensor/program/realize.ts";
import { formatShape, sameShape, sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";

/** A typed array with its shape, where no dtype has to be told. */
export interface ShapedArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A value of a state dictionary: a tensor, or host data with a shape. */
export type StateValue = Tensor | HostTensor | ShapedArray;
/** Values by name. `unknown`, so that dictionaries as read from checkpoints can be handed in; what is no tensor throws. */
export type StateSource = ReadonlyMap<unknown, unknown> | Readonly<Record<string, unknown>>;

/** How a state dictionary is loaded. */
export interface LoadOptions {
  /** Whether missing and unexpected names are errors; default true (said out loud, errors do not offer false). A wrong shape always is. */
  readonly strict?: boolean;
  /** What is loaded, in errors. */
  readonly name?: string;
}

/** Names that did not meet; both empty after a strict load. */
export interface LoadReport {
  readonly missing: string[];
  readonly unexpected: string[];
}

/** Assigns each of the `variables`, by their names, the value of its name. See `Module.loadStateDict`. */
export function loadState(
  variables: ReadonlyMap<string, Variable>,
  source: StateSource,
  options: LoadOptions = {},
): LoadReport {
  const { strict = true, name = "state" } = options;
  const given = entriesOf(source, name);
  const missing = [...variables.keys()].filter((key) => !given.has(key));
  const unexpected = [...given.keys()].filter((key) => !variables.has(key));
  const misshapen: string[] = [];
  const assign: [Variable, StateValue][] = [];
  for (const [key, variable] of variables) {
    const value = given.get(key);
    if (value === undefined) continue;
    const fault = faultOf(value, variable);
    if (fault !== undefined) misshapen.push(`"${key}": ${fault}`);
    else assign.push([variable, value as StateValue]);
  }
  const faults = [
    ...(strict
      ? list(
          "missing",
          missing.map((key) => `"${key}"`),
        )
      : []),
    ...(strict
      ? list(
          "unexpected",
          unexpected.map((key) => `"${key}"`),
        )
      : []),
    ...list("of another shape", misshapen),
  ];
  if (faults.length > 0) {
    const hint =
      options.strict === undefined && misshapen.length === 0 ? "\nPass { strict: false } to load what is there." : "";
    throw new Error(`loadStateDict: the dictionary does not fit ${name}\n${faults.join("\n")}${hint}`);
  }
  // All are converted before the first is assigned: a conversion may throw as well.
  const converted = assign.map(([variable, value]) => [variable, tensorFor(value, variable.dtype)] as const);
  for (const [variable, value] of converted) variable.assign(value);
  return { missing, unexpected };
}

/** A state value as a tensor of `dtype`. 64-bit integers that a number cannot hold throw. */
export function tensorFor(value: StateValue, dtype: DType): Tensor {
  if (value instanceof Tensor) return value.cast(dtype);
  const data = isHostTensor(value) ? toFloat64(value) : (value as ShapedArray).data;
  const array = hostArray(dtype, sizeOf(value.shape));
  for (let i = 0; i < array.length; i++) array[i] = dtype === "bool" ? Number(data[i] !== 0) : data[i];
  return tensor(array, { shape: value.shape, dtype });
}

/** What keeps `value` from being assigned to the variable, or undefined. */
function faultOf(value: unknown, variable: Variable): string | undefined {
  if (!(value instanceof Tensor) && !isShaped(value)) return `is no tensor (${value === null ? "null" : typeof value})`;
  if (!sameShape(value.shape, variable.shape)) {
    return `has shape ${formatShape(value.shape)}, the model ${formatShape(variable.shape)}`;
  }
  const length = value instanceof Tensor ? undefined : value.data.length;
  if (length === undefined || length === sizeOf(value.shape)) return undefined;
  return `has ${length} elements for shape ${formatShape(value.shape)}`;
}

function isShaped(value: unknown): value is ShapedArray {
  if (isHostTensor(value)) return true;
  const { shape, data } = (value ?? {}) as Partial<ShapedArray>;
  return Array.isArray(shape) && (ArrayBuffer.isView(data) || Array.isArray(data));
}

function entriesOf(source: StateSource, name: string): Map<string, unknown> {
  const pairs: Iterable<readonly [unknown, unknown]> = source instanceof Map ? source : Object.entries(source);
  const entries = new Map<string, unknown>();
  for (const [key, value] of pairs) {
    if (typeof key !== "string")
      throw new Error(`loadStateDict: the dictionary for ${name} has a key that is no string: ${String(key)}`);
    entries.set(key, value);
  }
  return entries;
}

function list(what: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`  ${what} (${items.length}): ${items.join(", ")}`];
}

/**
 * The values of a state dictionary on the host, in one realization: what `writeSafetensors` and `writeTorchCheckpoint`
 * take. Each has its tensor's dtype, but f16, which comes as f32.
 */
export async function readState(state: ReadonlyMap<string, Tensor>): Promise<Map<string, HostTensor>> {
  if (!(state instanceof Map))
    throw new TypeError(
      `readState: takes a Map of tensors by name, as stateDict() gives it, not ${describeValue(state)}`,
    );
  const storages = await realize([...state.values()]);
  const result = new Map<string, HostTensor>();
  let next = 0;
  for (const [name, { shape, dtype }] of state) {
    const storage = storages[next++];
    const data = await storage.device.read(storage);
    // The reference device holds every floating tensor in double precision.
    result.set(name, hostTensor(dtype === "f16" ? "f32" : dtype, shape, dtype === "f64" ? data : narrowed(data)));
  }
  return result;
}

function narrowed(data: HostArray): HostArray {
  return data instanceof Float64Array ? Float32Array.from(data) : data;
}
