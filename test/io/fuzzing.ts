/**
 * Fuzzing of the readers: mutated valid files must be read or refused with a `FormatError` or `DataError`, and what is read must be
 * whole: every tensor's dtype, shape and data agree, and the value can be written and read again.
 */
import { collectBytes } from "../../src/io/byte-sink.ts";
import { DataError } from "../../src/data/errors.ts";
import { FormatError } from "../../src/io/format-error.ts";
import {
  hostTensor,
  hostTensorFault,
  isHostTensor,
  type HostDType,
  type HostTensor,
} from "../../src/io/host-tensor.ts";
import { arrayTypeOf, HOST_DTYPES } from "../../src/io/host-tensor.ts";
import { encodeNpy, readNpyArray, type NpyArray } from "../../src/io/numpy/npy.ts";
import { encodeNpz, readNpz } from "../../src/io/numpy/npz.ts";
import { PickleWriter, type PicklableValue } from "../../src/io/torch/pickle-write.ts";
import { OrderedDict, TorchDevice, TorchDType, type PythonValue } from "../../src/io/torch/python-values.ts";
import { encodeSafetensors, readSafetensors } from "../../src/io/safetensors.ts";
import { readPickle, readTorchCheckpoint } from "../../src/io/torch/read.ts";
import { encodeTorchCheckpoint } from "../../src/io/torch/write.ts";
import { ZipWriter } from "../../src/io/zip/write.ts";
import { SKELETON_TARGETS } from "./fuzzing-skeletons.ts";
import {
  drawFor,
  mutateBytes,
  mutateNpyHeader,
  mutatePickle,
  mutateSafetensorsHeader,
  mutateZipEntry,
  splice,
  type Draw,
  type FuzzTarget,
} from "./mutation.ts";

const TARGETS = { npy: npyTarget, safetensors: safetensorsTarget, torch: torchTarget, ...SKELETON_TARGETS };
export type FuzzFormat = keyof typeof TARGETS;
export const FUZZ_FORMATS = Object.keys(TARGETS) as FuzzFormat[];

/** A tensor of `dtype` counting up from 0. */
export function counting(dtype: HostDType, shape: readonly number[]): HostTensor {
  const data = new (arrayTypeOf(dtype))(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < data.length; i++) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(i);
    else data[i] = dtype === "bool" ? i % 2 : i;
  }
  return hostTensor(dtype, shape, data);
}

/** An npy file put together by hand, of any version, type and order. */
export function npyFile(version: number, header: string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(header);
  const width = version === 1 ? 2 : 4;
  const start = new Uint8Array(8 + width);
  start.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  const view = new DataView(start.buffer);
  if (version === 1) view.setUint16(8, text.length, true);
  else view.setUint32(8, text.length, true);
  return splice(splice(start, start.length, 0, text), start.length + text.length, 0, data);
}

const isZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b;

function npyTarget(): FuzzTarget {
  const arrays: NpyArray[] = HOST_DTYPES.filter((dtype) => dtype !== "bf16").map((dtype) => counting(dtype, [2, 3]));
  arrays.push(counting("f32", []), counting("f64", [0, 4]), { dtype: "str", shape: [2], data: ["S001", "ü"] });
  const singles = arrays.map(encodeNpy);
  const bytes24 = new Uint8Array(24).fill(1);
  singles.push(
    npyFile(2, "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }", bytes24),
    npyFile(3, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 2)}\n", bytes24),
    npyFile(1, "{'descr': '|S3', 'fortran_order': False, 'shape': (8,), }", bytes24),
    npyFile(1, "{'descr': '>U2', 'fortran_order': True, 'shape': (3, 1), }", new Uint8Array(24)),
  );
  const named = { x: arrays[0], y: arrays[arrays.length - 1] };
  const archives = [encodeNpz(named), encodeNpz(named, { compress: true })];
  const mutateSingle = (draw: Draw, bytes: Uint8Array): Uint8Array =>
    draw.below(2) === 0 ? mutateNpyHeader(draw, bytes) : mutateBytes(draw, bytes, singles);
  return {
    seeds: [...singles, ...archives, ...archives],
    mutate: (draw, bytes) => {
      if (!isZip(bytes)) return mutateSingle(draw, bytes);
      return draw.below(2) === 0
        ? mutateBytes(draw, bytes, archives)
        : mutateZipEntry(draw, bytes, (entryDraw, _name, content) => mutateSingle(entryDraw, content));
    },
    read: (bytes) => {
      const found = isZip(bytes) ? [...readNpz(bytes).values()] : [readNpyArray(bytes)];
      for (const array of found) {
        if (array.dtype !== "str") requireWhole(array);
        const again = readNpyArray(encodeNpy(array));
        if (String(again.shape) !== String(array.shape)) throw new Error("written and read again, its shape differs");
      }
    },
  };
}

function safetensorsTarget(): FuzzTarget {
  const all = Object.fromEntries(HOST_DTYPES.map((dtype) => [dtype, counting(dtype, [2, 3])]));
  const seeds = [
    encodeSafetensors({}),
    encodeSafetensors({ a: counting("f32", [2]) }, { format: "pt" }),
    encodeSafetensors({ "a/b": counting("i64", []), c: counting("f16", [0, 3]), d: counting("u8", [5]) }),
    encodeSafetensors(all, { 'k"': "ü\n" }),
  ];
  return {
    seeds,
    mutate: (draw, bytes) =>
      draw.below(2) === 0 ? mutateSafetensorsHeader(draw, bytes) : mutateBytes(draw, bytes, seeds),
    read: (bytes) => {
      const { tensors, metadata } = readSafetensors(bytes);
      for (const tensor of tensors.values()) requireWhole(tensor);
      const again = readSafetensors(encodeSafetensors(tensors, metadata));
      if (again.tensors.size !== tensors.size) throw new Error("written and read again, it has other tensors");
    },
  };
}

/** A checkpoint with every kind of value, some of it shared. */
export function sampleCheckpoint(): PicklableValue {
  const tied = counting("f32", [2, 2]);
  const stateDict = new OrderedDict([
    ["a", tied],
    ["b", tied],
    ["c", counting("i64", [])],
  ]);
  stateDict.attributes = new Map([["_metadata", new OrderedDict([["", new Map([["version", 1]])]])]]);
  return {
    epoch: 7,
    state_dict: stateDict,
    optimizer: {
      state: new Map([[0, { m: counting("f64", [3]) }]]),
      groups: [{ lr: 0.1, betas: Object.freeze([0.9, 0.99]) }],
    },
    dtypes: HOST_DTYPES.map((dtype) => counting(dtype, [2])),
    plain: [null, true, -1, 2 ** 40, 2n ** 70n, "text", "text", Uint8Array.of(0, 255)],
    dtype: new TorchDType("float16"),
    device: new TorchDevice("cuda", 1),
  };
}

function torchTarget(): FuzzTarget {
  const stored = encodeTorchCheckpoint(sampleCheckpoint());
  const small = encodeTorchCheckpoint({ w: counting("f32", [2, 3]) });
  const deflated = collectBytes((sink) => {
    const zip = new ZipWriter(sink);
    zip.add("x/data.pkl", new PickleWriter(refuseTensor).dump({ text: "a".repeat(500) }), { deflate: true });
    zip.finish();
  });
  const plain = new PickleWriter(refuseTensor).dump([["name", "other"], [0, 1, 300, 70000], { k: [0.5, null] }]);
  const archives = [stored, small, deflated];
  return {
    seeds: [stored, small, small, deflated, plain, plain],
    mutate: (draw, bytes) => {
      if (!isZip(bytes)) return draw.below(4) === 0 ? mutateBytes(draw, bytes, [plain]) : mutatePickle(draw, bytes);
      if (draw.below(4) === 0) return mutateBytes(draw, bytes, archives);
      return mutateZipEntry(draw, bytes, (entryDraw, name, content) =>
        name.endsWith("data.pkl") && entryDraw.below(4) > 0
          ? mutatePickle(entryDraw, content)
          : mutateBytes(entryDraw, content, archives),
      );
    },
    read: (bytes) => {
      const value = isZip(bytes) ? readTorchCheckpoint(bytes) : readPickle(bytes);
      for (const tensor of tensorsIn(value)) requireWhole(tensor);
      readTorchCheckpoint(encodeTorchCheckpoint(value as PicklableValue));
    },
  };
}

function refuseTensor(): never {
  throw new Error("no tensors here");
}

/** Every distinct tensor of a value; shared containers are visited once. */
export function tensorsIn(value: PythonValue): HostTensor[] {
  const seen = new Set<unknown>();
  const found: HostTensor[] = [];
  const visit = (item: unknown): void => {
    if (typeof item !== "object" || item === null || seen.has(item)) return;
    seen.add(item);
    if (isHostTensor(item)) found.push(item);
    else if (item instanceof Map) for (const pair of item) pair.forEach(visit);
    else if (Array.isArray(item)) for (const child of item) visit(child);
  };
  visit(value);
  return found;
}

function requireWhole(tensor: HostTensor): void {
  const fault = hostTensorFault(tensor);
  if (fault !== undefined) throw new Error(`read a tensor that is not whole: ${fault}`);
}

const targets = new Map<FuzzFormat, FuzzTarget>();

function targetOf(format: FuzzFormat): FuzzTarget {
  let target = targets.get(format);
  if (target === undefined) {
    target = TARGETS[format]();
    targets.set(format, target);
  }
  return target;
}

/** The `index`-th input of a run: a valid file with one to four mutations. */
export function fuzzInput(format: FuzzFormat, seed: number, index: number): Uint8Array {
  const draw = drawFor(seed, index);
  const { seeds, mutate } = targetOf(format);
  let bytes = draw.pick(seeds);
  for (let left = 1 + (draw.below(2) === 0 ? draw.below(4) : 0); left > 0; left--) {
    try {
      bytes = mutate(draw, bytes);
    } catch {
      // After one mutation the file may be too broken for those that need its structure.
      bytes = mutateBytes(draw, bytes, seeds);
    }
  }
  return bytes;
}

/**
 * Reads one input. Returns undefined when it was read, the refusal's fault when it was refused with a `FormatError` or `DataError`;
 * any other error is a defect and passes through.
 */
export function readFuzzInput(format: FuzzFormat, bytes: Uint8Array): string | undefined {
  try {
    targetOf(format).read(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.fault;
    if (error instanceof DataError) return error.detail;
    throw error;
  }
}
