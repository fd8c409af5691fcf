/**
 * Python's plain values, as JavaScript holds them: what a checkpoint is read into and written from.
 *
 * | Python | JavaScript |
 * |---|---|
 * | None, True, False | null, true, false |
 * | int | number where exact (within ±(2^53-1)), else bigint |
 * | float | number |
 * | str | string |
 * | bytes | Uint8Array |
 * | list | array |
 * | tuple, torch.Size | frozen array (`Object.isFrozen`) |
 * | dict | Map |
 * | collections.OrderedDict | OrderedDict, a Map |
 * | torch.Tensor, torch.nn.Parameter | HostTensor |
 * | torch.dtype, torch.device | TorchDType, TorchDevice |
 *
 * A float with an integral value (`1.0`) is read as a number and so written back as an int; Python holds the two
 * equal.
 */
import type { HostTensor } from "../host-tensor.ts";

/** What a pickle may hold, as JavaScript has it: plain values, lists, dictionaries, tensors. No code is ever run. */
export type PythonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PythonValue[]
  | ReadonlyMap<PythonValue, PythonValue>
  | HostTensor
  | TorchDType
  | TorchDevice;

/**
 * Python's `collections.OrderedDict`: a Map (which keeps order too) that is written back as an OrderedDict.
 * `attributes` holds what Python set on the object itself; a state dict carries its modules' versions there, as
 * `_metadata`.
 */
export class OrderedDict extends Map<PythonValue, PythonValue> {
  declare attributes?: ReadonlyMap<PythonValue, PythonValue>;
}

/** An element type as a value, `torch.float32`. */
export class TorchDType {
  /** @param name without `torch.`: "float32" */
  constructor(readonly name: string) {}
}

/** A device as a value, `torch.device("cuda", 0)`. It names where a tensor was; nothing is placed there. */
export class TorchDevice {
  constructor(
    /** The kind of device: "cpu", "cuda". */
    readonly type: string,
    /** Which of several, from 0; undefined where none is named. */
    readonly index?: number,
  ) {}
}

/** A value's kind, in Python's words, for error messages. */
export function pythonTypeName(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  if (typeof value === "bigint") return "int";
  if (typeof value === "string") return "str";
  if (value instanceof Uint8Array) return "bytes";
  if (Array.isArray(value)) return Object.isFrozen(value) ? "tuple" : "list";
  if (value instanceof OrderedDict) return "OrderedDict";
  if (value instanceof Map) return "dict";
  return typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
}
