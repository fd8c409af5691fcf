/**
 * Files of tensors: safetensors, npy, npz and PyTorch checkpoints, read and written on plain host arrays; ONNX models,
 * written. It needs no device, and nothing else of this package at run time but shape arithmetic; it loads in browsers,
 * where readers take bytes, a Blob, a Response or a stream.
 *
 * Readers treat every file as untrusted: malformed input gives a {@link FormatError} that names the file and the
 * fault, in time and memory bounded by the file's size and the limits stated at each reader.
 *
 * @module hico-webgpu/io
 */
export { FormatError } from "./format-error.ts";
export { readBytes } from "./byte-source.ts";
export type { ByteStream, BytesOrPath } from "./byte-source.ts";
export {
  arrayTypeOf,
  bytesPerHostElement,
  HOST_DTYPES,
  hostTensor,
  hostTensorFault,
  isHostTensor,
  toFloat32,
  toFloat64,
  toIntegers,
  type HostDType,
  type HostTensor,
  type TypedArray,
  type TypedArrayConstructor,
} from "./host-tensor.ts";
export { bf16ToFloat32, f16ToFloat32, float32ToBf16, float32ToF16 } from "../tensor/float16.ts";
export {
  encodeSafetensors,
  listSafetensors,
  openSafetensors,
  readSafetensors,
  SafetensorsFile,
  writeSafetensors,
  type NamedStrings,
  type NamedTensors,
  type SafetensorsContents,
  type SafetensorsEntry,
} from "./safetensors.ts";
export {
  encodeNpy,
  NpyFile,
  openNpy,
  readNpy,
  readNpyArray,
  writeNpy,
  type HostStrings,
  type NpyArray,
} from "./numpy/npy.ts";
export { encodeNpz, NpzFile, openNpz, readNpz, writeNpz, type NamedArrays, type NpzReadOptions } from "./numpy/npz.ts";
export {
  encodeOnnx,
  writeOnnx,
  type OnnxAttribute,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from "./protobuf/onnx.ts";
export { matArray, readMat, type MatVariable } from "./matlab.ts";
export type { ZipLimits } from "./zip/read.ts";
export { readPickle, readTorchCheckpoint, stateDictOf, type TorchReadOptions } from "./torch/read.ts";
export { encodeTorchCheckpoint, stateDictFor, writeTorchCheckpoint } from "./torch/write.ts";
export type { PicklableValue } from "./torch/pickle-write.ts";
export { OrderedDict, TorchDevice, TorchDType, type PythonValue } from "./torch/python-values.ts";
