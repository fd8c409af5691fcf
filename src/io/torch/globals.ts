/**
 * The allow-list of PyTorch checkpoints: every Python name that a checkpoint of plain values and tensors needs, and
 * what each means here. A name that is not here is refused by the pickle reader.
 *
 * The functions are those of `torch/_utils.py`; the numbering and argument order is PyTorch's.
 */
import { quoteForError } from "../format-error.ts";
import { isHostTensor, MAX_RANK, type HostDType, type HostTensor } from "../host-tensor.ts";
import { describe, PickleFault, PickleFunction, PickleObject, type PickleItem } from "./pickle-items.ts";
import { f16ToFloat32 } from "../../tensor/float16.ts";
import { defineNumpyArrays } from "./numpy-globals.ts";
import { OrderedDict, TorchDevice, TorchDType, type PythonValue } from "./python-values.ts";

/** A storage class, `torch.FloatStorage`. Without a dtype it is `UntypedStorage`, of plain bytes. */
export class StorageType extends PickleObject {
  constructor(
    readonly pythonName: string,
    readonly dtype: HostDType | undefined,
  ) {
    super();
  }
}

/** A storage of the file: a run of bytes that tensors are views of. `dtype` as in {@link StorageType}. */
export class Storage extends PickleObject {
  readonly pythonName = "torch storage";
  constructor(
    readonly key: string,
    readonly dtype: HostDType | undefined,
    /** Bytes; shared by every tensor of this storage. */
    readonly bytes: Uint8Array,
  ) {
    super();
  }
}

/** Makes the tensor of a storage, an offset, sizes and strides (in elements): done by the reader, which has limits. */
type TensorBuilder = (
  storage: Storage,
  dtype: HostDType,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
) => HostTensor;

/** PyTorch's names of the element types; the storage classes of those that have one. */
export const TORCH_DTYPES: readonly { dtype: HostDType; name: string; storage?: string }[] = [
  { dtype: "f64", name: "float64", storage: "DoubleStorage" },
  { dtype: "f32", name: "float32", storage: "FloatStorage" },
  { dtype: "f16", name: "float16", storage: "HalfStorage" },
  { dtype: "bf16", name: "bfloat16", storage: "BFloat16Storage" },
  { dtype: "i64", name: "int64", storage: "LongStorage" },
  { dtype: "i32", name: "int32", storage: "IntStorage" },
  { dtype: "i16", name: "int16", storage: "ShortStorage" },
  { dtype: "i8", name: "int8", storage: "CharStorage" },
  { dtype: "u8", name: "uint8", storage: "ByteStorage" },
  { dtype: "bool", name: "bool", storage: "BoolStorage" },
  // PyTorch 2.3 and later, through untyped storages only.
  { dtype: "u64", name: "uint64" },
  { dtype: "u32", name: "uint32" },
  { dtype: "u16", name: "uint16" },
];
const HOST_DTYPE_OF = new Map(TORCH_DTYPES.map(({ name, dtype }) => [name, dtype]));
/** Element types that may be mentioned as values, though tensors of them are not read. */
const OTHER_DTYPES = ["complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"];

/** A tensor's class, in the arguments of `_rebuild_from_type_v2`. */
class TensorType extends PickleObject {
  constructor(readonly pythonName: string) {
    super();
  }
}

/** `numpy.dtype`, for the NumPy scalars that training scripts store as a best accuracy. */
class NumpyDType extends PickleObject {
  readonly pythonName = "numpy dtype";
  bigEndian = false;

  constructor(readonly code: string) {
    super();
  }

  /** State: (version, byte order, subarray, names, fields, size, alignment, flags). */
  override build(state: PickleItem): void {
    if (!Array.isArray(state) || (state[1] !== "<" && state[1] !== ">" && state[1] !== "|")) {
      throw new PickleFault("sets an unknown state of a numpy dtype");
    }
    this.bigEndian = state[1] === ">";
  }
}

/**
 * The lookup for the pickle reader.
 * @param build makes tensors
 * @param charge counts bytes that calls copy, which could otherwise grow faster than the file; throws past a limit
 */
export function torchGlobals(
  build: TensorBuilder,
  charge: (bytes: number) => void,
): (module: string, name: string) => PickleItem | undefined {
  const table = new Map<string, PickleItem>();
  const define = (name: string, call: (args: readonly PickleItem[]) => PickleItem): void => {
    table.set(name, new PickleFunction(name, call));
  };

  define("collections.OrderedDict", (args) => {
    if (args.length !== 0) throw new PickleFault("calls collections.OrderedDict with arguments; none are taken");
    return new OrderedDict();
  });
  define("torch._utils._rebuild_tensor", ([storage, offset, size, stride]) =>
    rebuild(build, storage, offset, size, stride, undefined, null),
  );
  define("torch._utils._rebuild_tensor_v2", ([storage, offset, size, stride, , , metadata]) =>
    rebuild(build, storage, offset, size, stride, undefined, metadata),
  );
  define("torch._utils._rebuild_tensor_v3", ([storage, offset, size, stride, , , dtype, metadata]) =>
    rebuild(build, storage, offset, size, stride, dtype, metadata),
  );
  define("torch._utils._rebuild_parameter", ([data]) => tensorArgument("torch._utils._rebuild_parameter", data));
  define("torch._utils._rebuild_parameter_with_state", ([data]) =>
    tensorArgument("torch._utils._rebuild_parameter_with_state", data),
  );
  define("torch._tensor._rebuild_from_type_v2", rebuildFromType);
  define("torch.Size", ([sizes]) => integers("torch.Size", sizes) as PythonValue);
  define("torch.device", ([type, index]) => {
    if (typeof type !== "string" || (index !== undefined && typeof index !== "number")) {
      throw new PickleFault("calls torch.device without a type and an index");
    }
    return new TorchDevice(type, index);
  });
  define("_codecs.encode", ([text, encoding]) => {
    if (typeof text !== "string" || encoding !== "latin1") {
      throw new PickleFault("calls _codecs.encode other than to make bytes out of latin1 text");
    }
    charge(text.length);
    return Uint8Array.from(text, (character) => {
      const code = character.charCodeAt(0);
      if (code > 0xff) throw new PickleFault("makes bytes out of text that is not latin1");
      return code;
    });
  });
  define("numpy.dtype", ([code]) => {
    if (typeof code !== "string" || !Object.hasOwn(NUMPY_SCALARS, code)) {
      const shown = typeof code === "string" ? quoteForError(code) : describe(code);
      throw new PickleFault(`asks for the numpy dtype ${shown}, which is not supported`);
    }
    return new NumpyDType(code);
  });
  const scalar = new PickleFunction("numpy.core.multiarray.scalar", numpyScalar);
  table.set("numpy.core.multiarray.scalar", scalar);
  table.set("numpy._core.multiarray.scalar", scalar);

  defineNumpyArrays(table, (item) => item instanceof NumpyDType, charge);

  for (const { dtype, name, storage } of TORCH_DTYPES) {
    table.set(`torch.${name}`, new TorchDType(name));
    if (storage !== undefined) table.set(`torch.${storage}`, new StorageType(`torch.${storage}`, dtype));
  }
  for (const name of OTHER_DTYPES) table.set(`torch.${name}`, new TorchDType(name));
  for (const name of ["torch.UntypedStorage", "torch.storage.UntypedStorage", "torch.storage._UntypedStorage"]) {
    table.set(name, new StorageType(name, undefined));
  }
  for (const name of ["torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter"]) {
    table.set(name, new TensorType(name));
  }
  return (module, name) => table.get(`${module}.${name}`);
}

function rebuild(
  build: TensorBuilder,
  storage: PickleItem | undefined,
  offset: PickleItem | undefined,
  size: PickleItem | undefined,
  stride: PickleItem | undefined,
  dtype: PickleItem | undefined,
  metadata: PickleItem | undefined,
): HostTensor {
  if (!(storage instanceof Storage)) throw new PickleFault(`builds a tensor on a ${describe(storage)}, not a storage`);
  if (typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 0) {
    // Only numbers are printed: text of a container can be exponentially longer than the file (see plain-check.ts).
    throw new PickleFault(`builds a tensor at the offset ${typeof offset === "number" ? offset : describe(offset)}`);
  }
  const shape = integers("a tensor's size", size);
  const strides = integers("a tensor's stride", stride);
  if (shape.length !== strides.length) {
    throw new PickleFault(`builds a tensor of ${shape.length} sizes and ${strides.length} strides`);
  }
  // A tensor may be marked as the lazy conjugate or negative of its storage; dropping the mark would change values.
  if (metadata instanceof Map && (metadata.get("conj") === true || metadata.get("neg") === true)) {
    throw new PickleFault("builds a tensor with a pending conjugate or negation; call resolve_neg() before saving");
  }
  return build(storage, elementType(storage, dtype), offset, shape, strides);
}

function elementType(storage: Storage, dtype: PickleItem | undefined): HostDType {
  if (dtype === undefined) {
    if (storage.dtype === undefined) throw new PickleFault("builds a tensor on an untyped storage without a dtype");
    return storage.dtype;
  }
  const found = dtype instanceof TorchDType ? HOST_DTYPE_OF.get(dtype.name) : undefined;
  if (found === undefined) {
    const name = dtype instanceof TorchDType ? `torch.${dtype.name}` : describe(dtype);
    throw new PickleFault(`builds a tensor of dtype ${name}, which is not supported`);
  }
  return found;
}

/** `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor on which Python attributes were set. */
function rebuildFromType(args: readonly PickleItem[]): PickleItem {
  const [rebuilder, type, inner] = args;
  if (!(rebuilder instanceof PickleFunction) || !rebuilder.name.startsWith("torch._utils._rebuild_")) {
    throw new PickleFault(`builds a tensor by ${describe(rebuilder)}, which is refused`);
  }
  if (!(type instanceof TensorType))
    throw new PickleFault(`builds a tensor of the class ${describe(type)}, which is refused`);
  if (!Array.isArray(inner)) throw new PickleFault("builds a tensor without arguments");
  return tensorArgument(rebuilder.name, rebuilder.call(inner));
}

function tensorArgument(caller: string, value: PickleItem | undefined): HostTensor {
  if (!isHostTensor(value)) throw new PickleFault(`calls ${caller} with a ${describe(value)} in place of a tensor`);
  return value;
}

/**
 * A tuple of sizes or strides. Returned as it is: a tuple cannot change later, as a list could. Its length is checked
 * first, so that many calls with one long shared tuple do not multiply work.
 */
function integers(what: string, value: PickleItem | undefined): readonly number[] {
  if (!Array.isArray(value) || !Object.isFrozen(value))
    throw new PickleFault(`${what} is a ${describe(value)}, not a tuple`);
  if (value.length > MAX_RANK)
    throw new PickleFault(`${what} has ${value.length} axes; at most ${MAX_RANK} are allowed`);
  if (!value.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new PickleFault(`${what} is not of integers from 0 to 2^53-1`);
  }
  return value as number[];
}

const NUMPY_SCALARS: Record<string, (view: DataView, littleEndian: boolean) => PythonValue> = {
  f8: (view, little) => view.getFloat64(0, little),
  f4: (view, little) => view.getFloat32(0, little),
  f2: (view, little) => f16ToFloat32(Uint16Array.of(view.getUint16(0, little)))[0],
  i8: (view, little) => exactInteger(view.getBigInt64(0, little)),
  i4: (view, little) => view.getInt32(0, little),
  i2: (view, little) => view.getInt16(0, little),
  i1: (view) => view.getInt8(0),
  u8: (view, little) => exactInteger(view.getBigUint64(0, little)),
  u4: (view, little) => view.getUint32(0, little),
  u2: (view, little) => view.getUint16(0, little),
  u1: (view) => view.getUint8(0),
  b1: (view) => view.getUint8(0) !== 0,
};

function exactInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** `scalar(dtype, bytes)` becomes a plain number or boolean. */
function numpyScalar(args: readonly PickleItem[]): PickleItem {
  const [dtype, bytes] = args;
  if (!(dtype instanceof NumpyDType) || !(bytes instanceof Uint8Array) || bytes.length !== Number(dtype.code[1])) {
    throw new PickleFault("makes a numpy scalar without a dtype and that many bytes");
  }
  return NUMPY_SCALARS[dtype.code](new DataView(bytes.buffer, bytes.byteOffset, bytes.length), !dtype.bigEndian);
}
