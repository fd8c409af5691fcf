/**
 * NumPy arrays in pickles: what data sets are handed around in. Numbers and booleans only; an array of Python objects
 * would be a pickle's way to anything.
 *
 * NumPy writes `_reconstruct(ndarray, (0,), b"b")` and then sets the state (version, shape, dtype, Fortran order,
 * bytes); by protocol 5 `_frombuffer(bytes, dtype, shape, order)`.
 */
import { checkedElementCount, swapByteOrder, viewElements, bytesPerHostElement } from "../host-tensor.ts";
import type { HostDType, TypedArray } from "../host-tensor.ts";
import { describe, PickleFault, PickleFunction, PickleObject, type PickleItem } from "./pickle-items.ts";

/** NumPy's codes of the element types that are read. */
const NUMPY_ARRAY_DTYPES: Readonly<Record<string, HostDType>> = {
  f8: "f64",
  f4: "f32",
  f2: "f16",
  i8: "i64",
  i4: "i32",
  i2: "i16",
  i1: "i8",
  u8: "u64",
  u4: "u32",
  u2: "u16",
  u1: "u8",
  b1: "bool",
};

/** What a dtype of the pickle says. */
interface DTypeItem extends PickleObject {
  readonly code: string;
  readonly bigEndian: boolean;
}

/** `numpy.ndarray`, which stands as the first argument only. */
class ArrayType extends PickleObject {
  readonly pythonName = "numpy.ndarray class";
}

/** An array: a HostTensor once its state is set; without one the result is refused. */
class NumpyArray extends PickleObject {
  readonly pythonName = "numpy array without a state";
  declare dtype: HostDType;
  declare shape: readonly number[];
  declare data: TypedArray;

  readonly #fill: (array: NumpyArray, state: readonly PickleItem[]) => void;
  constructor(fill: (array: NumpyArray, state: readonly PickleItem[]) => void) {
    super();
    this.#fill = fill;
    // The result holds the tensor's fields alone.
    Object.defineProperty(this, "fill", { enumerable: false });
    Object.defineProperty(this, "pythonName", { enumerable: false });
  }

  override build(state: PickleItem): void {
    if (this.data !== undefined) throw new PickleFault("sets the state of a numpy array twice");
    if (!Array.isArray(state) || state.length !== 5) throw new PickleFault("sets an unknown state of a numpy array");
    this.#fill(this, state as readonly PickleItem[]);
  }
}

/**
 * Adds the names of NumPy arrays to an allow-list.
 * @param isDType whether an item is the list's own `numpy.dtype`
 * @param charge counts bytes that are copied
 */
export function defineNumpyArrays(
  table: Map<string, PickleItem>,
  isDType: (item: PickleItem | undefined) => item is DTypeItem,
  charge: (bytes: number) => void,
): void {
  const set = (array: NumpyArray, shape: unknown, dtype: PickleItem, fortran: boolean, bytes: PickleItem): void => {
    if (!isDType(dtype) || !Object.hasOwn(NUMPY_ARRAY_DTYPES, dtype.code))
      throw new PickleFault(`makes a numpy array of ${describe(dtype)}; arrays of numbers and booleans are read`);
    if (!Array.isArray(shape) || !Object.isFrozen(shape)) throw new PickleFault("a numpy array's shape is no tuple");
    const kind = NUMPY_ARRAY_DTYPES[dtype.code];
    const size = bytesPerHostElement(kind);
    const count = checkedElementCount(shape as number[], size);
    if (typeof count === "string") throw new PickleFault(`a numpy array has ${count}`);
    if (!(bytes instanceof Uint8Array) || bytes.length !== count * size)
      throw new PickleFault(
        `a numpy array needs ${count * size} bytes, its data is ${describe(bytes)} of another length`,
      );
    const swap = dtype.bigEndian && size > 1;
    // Whatever is not a view of the file is a copy.
    if (swap || fortran || bytes.byteOffset % size !== 0) charge(bytes.length);
    const values = viewElements(swap ? swapByteOrder(bytes, size) : bytes, kind, count);
    array.dtype = kind;
    array.shape = shape as number[];
    array.data = fortran && shape.length > 1 ? fromFortran(values, shape as number[]) : values;
  };
  const fill = (array: NumpyArray, state: readonly PickleItem[]): void =>
    set(array, state[1], state[2], state[3] === true, state[4]);
  const reconstruct = new PickleFunction("numpy.core.multiarray._reconstruct", ([type]) => {
    if (!(type instanceof ArrayType)) throw new PickleFault(`makes a numpy array of the class ${describe(type)}`);
    charge(64);
    return new NumpyArray(fill);
  });
  const fromBuffer = new PickleFunction("numpy.core.numeric._frombuffer", ([bytes, dtype, shape, order]) => {
    if (order !== "C" && order !== "F") throw new PickleFault("makes a numpy array in neither C nor F order");
    const array = new NumpyArray(fill);
    charge(64);
    set(array, shape, dtype, order === "F", bytes);
    return array as unknown as PickleItem;
  });
  for (const core of ["core", "_core"]) {
    table.set(`numpy.${core}.multiarray._reconstruct`, reconstruct);
    table.set(`numpy.${core}.numeric._frombuffer`, fromBuffer);
  }
  table.set("numpy.ndarray", new ArrayType());
}

/** From first axis fastest to last axis fastest. */
function fromFortran(values: TypedArray, shape: readonly number[]): TypedArray {
  const out = values.slice();
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    out[at] = values[i];
    for (let axis = 0; axis < shape.length; axis++) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}
