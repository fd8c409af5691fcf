/** Pickles that hold NumPy arrays, written by hand: what PySKL and MMAction2 hand around. */
import type { HostDType, HostTensor } from "../../../src/io/host-tensor.ts";
import { PickleWriter, type PicklableValue } from "../../../src/io/torch/pickle-write.ts";

const CODES: Partial<Record<HostDType, string>> = { f32: "f4", f64: "f8", f16: "f2", i32: "i4", i64: "i8", u8: "u1" };

/** A pickle in which every tensor is an array, as NumPy's `_frombuffer` rebuilds it. */
export function numpyPickle(value: PicklableValue): Uint8Array {
  const array = (tensor: HostTensor, writer: PickleWriter, path: string): void => {
    const item = (part: PicklableValue) => () => writer.value(part, path);
    const { data } = tensor;
    writer.global("numpy.core.numeric", "_frombuffer");
    writer.tuple(
      item(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
      () => {
        writer.global("numpy", "dtype");
        writer.tuple(item(CODES[tensor.dtype]!), item(false), item(true));
        writer.reduce();
      },
      () => writer.tuple(...tensor.shape.map(item)),
      item("C"),
    );
    writer.reduce();
  };
  return new PickleWriter(array).dump(value);
}
