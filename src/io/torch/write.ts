/**
 * PyTorch checkpoints, written so that `torch.load` reads them, with `weights_only=True` too.
 *
 * The archive is laid out as `torch.save` does it (torch/serialization.py): entries stored, storages 64-byte aligned
 * so that PyTorch can map them into memory, `data.pkl` first, `version` last. Tensors that share one typed array's
 * memory are written as one storage, so tied weights are tied again in PyTorch.
 */
import { collectBytes, writeFileAtomic, type ByteSink } from "../byte-sink.ts";
import { bytesOf, hostTensorFault, type HostDType, type HostTensor, type TypedArray } from "../host-tensor.ts";
import { PickleWriter, type PicklableValue } from "./pickle-write.ts";
import { OrderedDict } from "./python-values.ts";
import { TORCH_DTYPES } from "./globals.ts";
import { ZipWriter } from "../zip/write.ts";
import { contiguousStrides } from "../../tensor/shape.ts";

/** The folder inside the archive; PyTorch takes any name. */
const FOLDER = "archive";
const ALIGNMENT = 64;

/**
 * Writes what `torch.load(path)` gives back: dicts (Map, plain object), OrderedDict, lists, tuples (frozen arrays),
 * tensors, numbers, strings, null, booleans, TorchDType, TorchDevice. The file appears whole or not at all.
 *
 * Throws, naming the place, on anything else, on cycles, and on tensors whose dtype, shape and data disagree.
 * u16, u32 and u64 tensors need PyTorch 2.3 or later to load.
 */
export function writeTorchCheckpoint(path: string, value: PicklableValue): void {
  writeFileAtomic(path, (sink) => emitCheckpoint(sink, value));
}

/** The bytes {@link writeTorchCheckpoint} would write. */
export function encodeTorchCheckpoint(value: PicklableValue): Uint8Array {
  return collectBytes((sink) => emitCheckpoint(sink, value));
}

/** Named tensors as the OrderedDict that `Module.load_state_dict` takes. */
export function stateDictFor(tensors: Iterable<readonly [string, HostTensor]>): OrderedDict {
  return new OrderedDict(tensors);
}

interface StoredArray {
  readonly key: string;
  readonly dtype: HostDType;
  readonly data: TypedArray;
}

function emitCheckpoint(sink: ByteSink, value: PicklableValue): void {
  const storages = new StorageTable();
  const pickle = new PickleWriter((tensor, writer, path) => pickleTensor(tensor, writer, path, storages)).dump(value);
  const text = new TextEncoder();
  const zip = new ZipWriter(sink);
  zip.add(`${FOLDER}/data.pkl`, pickle, { align: ALIGNMENT });
  zip.add(`${FOLDER}/byteorder`, text.encode("little"), { align: ALIGNMENT });
  for (const { key, data } of storages.list) zip.add(`${FOLDER}/data/${key}`, bytesOf(data), { align: ALIGNMENT });
  zip.add(`${FOLDER}/version`, text.encode("3\n"), { align: ALIGNMENT });
  zip.finish();
}

/** One storage for each distinct piece of memory and element type. */
class StorageTable {
  readonly list: StoredArray[] = [];
  readonly #byBuffer = new Map<ArrayBufferLike, StoredArray[]>();

  keyOf({ dtype, data }: HostTensor): string {
    const sharing = this.#byBuffer.get(data.buffer) ?? [];
    const same = sharing.find(
      (stored) =>
        stored.dtype === dtype && stored.data.byteOffset === data.byteOffset && stored.data.length === data.length,
    );
    if (same !== undefined) return same.key;
    const stored = { key: String(this.list.length), dtype, data };
    this.list.push(stored);
    sharing.push(stored);
    this.#byBuffer.set(data.buffer, sharing);
    return stored.key;
  }
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`, or `_v3` with the dtype. */
function pickleTensor(tensor: HostTensor, writer: PickleWriter, path: string, storages: StorageTable): void {
  const fault = hostTensorFault(tensor);
  if (fault !== undefined) throw new Error(`writeTorchCheckpoint: ${path}: ${fault}`);
  const { dtype, shape, data } = tensor;
  const row = TORCH_DTYPES.find((entry) => entry.dtype === dtype);
  if (row === undefined) throw new Error(`writeTorchCheckpoint: ${path}: PyTorch has no ${dtype}`);
  const key = storages.keyOf(tensor);
  const value = (item: PicklableValue) => () => writer.value(item, path);
  const integers = (list: readonly number[]) => () => writer.tuple(...list.map(value));

  const storage = () => {
    writer.tuple(
      value("storage"),
      () =>
        row.storage === undefined
          ? writer.global("torch.storage", "UntypedStorage")
          : writer.global("torch", row.storage),
      value(key),
      value("cpu"),
      value(row.storage === undefined ? data.byteLength : data.length),
    );
    writer.persistentId();
  };
  const hooks = () => {
    writer.global("collections", "OrderedDict");
    writer.tuple();
    writer.reduce();
  };
  const args = [storage, value(0), integers(shape), integers(contiguousStrides(shape)), value(false), hooks];
  if (row.storage === undefined) {
    writer.global("torch._utils", "_rebuild_tensor_v3");
    writer.tuple(...args, () => writer.global("torch", row.name));
  } else {
    writer.global("torch._utils", "_rebuild_tensor_v2");
    writer.tuple(...args);
  }
  writer.reduce();
}
