import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { collectBytes } from "../../../src/io/byte-sink.ts";
import { openSource } from "../../../src/io/byte-source.ts";
import { ZipReader } from "../../../src/io/zip/read.ts";
import { ZipWriter } from "../../../src/io/zip/write.ts";
import {
  encodeTorchCheckpoint,
  hostTensor,
  OrderedDict,
  readTorchCheckpoint,
  stateDictFor,
  stateDictOf,
  TorchDevice,
  TorchDType,
  toFloat32,
  toFloat64,
  writeTorchCheckpoint,
  type HostTensor,
  type PicklableValue,
  type PythonValue,
  type TorchReadOptions,
} from "../io.ts";
import { sampleCheckpoint } from "../fuzzing.ts";
import { assertSameTensor, fixture, latin1, refuses, scratchFolder, tensors } from "../helpers.ts";

type Dict = Map<PythonValue, PythonValue>;
const dict = (value: PythonValue | undefined): Dict => {
  assert.ok(value instanceof Map);
  return value;
};
const tensor = (from: PythonValue | undefined, name: string): HostTensor => dict(from).get(name) as HostTensor;

/** A checkpoint of a hand-written pickle, with PROTO and STOP added, and storages of the given bytes. */
function checkpoint(
  instructions: string,
  storages: Record<string, Uint8Array> = {},
  more: Record<string, string> = {},
) {
  return collectBytes((sink) => {
    const zip = new ZipWriter(sink);
    zip.add("x/data.pkl", latin1(`\x80\x02${instructions}.`));
    for (const [key, bytes] of Object.entries(storages)) zip.add(`x/data/${key}`, bytes, { align: 64 });
    for (const [name, text] of Object.entries(more)) zip.add(`x/${name}`, latin1(text));
    zip.finish();
  });
}

const int = (value: number): string => `J${String.fromCharCode(...new Uint8Array(Int32Array.of(value).buffer))}`;
const ints = (values: number[]): string => `(${values.map(int).join("")}t`;
const storage = (type: string, key: string, count: number): string =>
  `(U\x07storagec${type}\nU\x01${key}U\x03cpu${int(count)}tQ`;
/** A tensor on storage "0" of four float32 elements. */
const view = (offset: number, size: number[], stride: number[], tail = "\x89N"): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${storage("torch\nFloatStorage", "0", 4)}${int(offset)}` +
  `${ints(size)}${ints(stride)}${tail}tR`;
/** The same on a storage of 16 plain bytes. */
const untyped = (text: string): string =>
  text.replace("torch\nFloatStorage", "torch\nUntypedStorage").replace(int(4), int(16));
const four = { 0: new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer) };

describe("checkpoints of PyTorch", () => {
  for (const [file, unsigned] of [
    ["torch_old.pth", false],
    ["torch_new.pth", true],
  ] as const) {
    test(`every kind of value (${file})`, () => {
      const read = dict(readTorchCheckpoint(fixture(file)));
      assert.equal(read.get("epoch"), 7);

      const state = read.get("state_dict");
      assert.ok(state instanceof OrderedDict);
      assert.deepEqual(tensor(state, "weight").shape, [2, 3]);
      assert.deepEqual([...tensor(state, "weight").data], [-0.125, 0.125, 0.375, 0.625, 0.875, 1.125]);
      assert.deepEqual([...tensor(state, "bias").data], [-1.125, 0.375]);
      const metadata = state.attributes?.get("_metadata");
      assert.ok(metadata instanceof OrderedDict);
      assert.deepEqual(metadata.get(""), new Map([["version", 1]]));

      const optimizer = dict(read.get("optimizer"));
      const [group] = optimizer.get("param_groups") as PythonValue[];
      assert.equal(dict(group).get("lr"), 0.125);
      assert.deepEqual(dict(group).get("params"), [0, 1]);
      const slots = dict(dict(optimizer.get("state")).get(1));
      assert.deepEqual([...tensor(slots, "momentum_buffer").data], [1, 1]);

      assert.deepEqual([...(read.get("parameter") as HostTensor).data], [3]);
      const dtypes = read.get("dtypes");
      assert.deepEqual(tensor(dtypes, "f64").data, Float64Array.of(1.1, -2.2));
      assert.deepEqual([...toFloat32(tensor(dtypes, "f16"))], [1.5, -65504, 2 ** -24]);
      assert.deepEqual(toFloat64(tensor(dtypes, "bf16"))[0], 1.5);
      assert.deepEqual(tensor(dtypes, "i64").data, BigInt64Array.of(2n ** 62n, -(2n ** 62n)));
      assert.deepEqual(tensor(dtypes, "i32").data, Int32Array.of(2 ** 31 - 1, -(2 ** 31)));
      assert.deepEqual(tensor(dtypes, "i16").data, Int16Array.of(-32768, 32767));
      assert.deepEqual(tensor(dtypes, "i8").data, Int8Array.of(-128, 127));
      assert.deepEqual(tensor(dtypes, "u8").data, Uint8Array.of(0, 255));
      assert.deepEqual(tensor(dtypes, "bool"), { dtype: "bool", shape: [2], data: Uint8Array.of(1, 0) });
      if (unsigned) {
        assert.deepEqual(tensor(dtypes, "u64").data, BigUint64Array.of(2n ** 63n, 1n));
        assert.deepEqual(tensor(dtypes, "u32").data, Uint32Array.of(2 ** 32 - 1, 1));
        assert.deepEqual(tensor(dtypes, "u16").data, Uint16Array.of(2 ** 16 - 1, 1));
      }

      const plain = dict(read.get("plain"));
      assert.deepEqual(
        [...plain],
        [
          ["none", null],
          ["true", true],
          ["float", -0.1],
          ["ints", [0, 255, 256, 65536, -1, -(2 ** 31), 2 ** 40, 2n ** 53n + 1n, -(2n ** 70n)]],
          ["text", "grün 😀"],
          ["tuple", [1, ["two"], []]],
          ["size", [4, 5]],
          ["dtype", new TorchDType("float16")],
          ["device", new TorchDevice("cuda", 1)],
          ["bytes", Uint8Array.of(0, 255)],
          ["numpy_float", 0.75],
          ["numpy_int", -3],
          [3, "integer key"],
        ],
      );
    });

    test(`views of storages (${file})`, () => {
      const views = dict(readTorchCheckpoint(fixture(file))).get("views");
      const expected: [string, number[], number[]][] = [
        ["whole", [4, 6], Array.from({ length: 24 }, (_, i) => i)],
        ["transposed", [6, 4], Array.from({ length: 24 }, (_, i) => (i % 4) * 6 + Math.floor(i / 4))],
        ["strided", [2, 2], [6, 9, 18, 21]],
        ["rows", [2, 6], Array.from({ length: 12 }, (_, i) => 12 + i)],
        ["expanded", [2, 3], [1, 1, 1, 2, 2, 2]],
        // permute(2, 0, 1) of (2, 3, 4): element (k, i, j) is 12 i + 4 j + k.
        [
          "permuted",
          [4, 2, 3],
          Array.from({ length: 24 }, (_, n) => 12 * (Math.floor(n / 3) % 2) + 4 * (n % 3) + Math.floor(n / 6)),
        ],
        ["scalar", [], [2.5]],
        ["empty", [0, 3], []],
      ];
      for (const [name, shape, data] of expected) {
        assert.deepEqual([...tensor(views, name).shape], shape, name);
        assert.deepEqual([...tensor(views, name).data], data, name);
      }
      assert.equal(tensor(views, "tied_a"), tensor(views, "tied_b"));
      assert.equal(tensor(views, "whole").data.buffer, tensor(views, "rows").data.buffer);
    });

    test(`written back, ${file} reads the same`, () => {
      const once = readTorchCheckpoint(fixture(file));
      const twice = readTorchCheckpoint(encodeTorchCheckpoint(once as PicklableValue));
      assert.deepEqual(twice, once);
    });
  }

  test("the format before 1.6 is refused, with the way out", () => {
    const path = fixture("torch_legacy.pth");
    refuses(
      () => readTorchCheckpoint(path),
      /before 1\.6.*torch\.save\(torch\.load\('IN', map_location='cpu'\), 'OUT'\)/,
      path,
    );
    const tar = new Uint8Array(1024);
    tar.set(latin1("ustar"), 257);
    refuses(() => readTorchCheckpoint(tar), /before 1\.6/);
  });

  test("state dicts are found at the top or under a key", () => {
    const read = readTorchCheckpoint(fixture("torch_new.pth"));
    assert.deepEqual([...stateDictOf(read).keys()], ["weight", "bias"]);
    assert.deepEqual([...stateDictOf(dict(read).get("state_dict")!).keys()], ["weight", "bias"]);
    assert.throws(() => stateDictOf(read, "plain", "f.pth"), /f\.pth: state dict has "none": None; it takes names and/);
    assert.throws(() => stateDictOf([1], "x", "f.pth"), /f\.pth: state dict is a list, not a dict/);
  });
});

describe("writing checkpoints", () => {
  test("tensors of every dtype are read back, bit for bit", (context) => {
    const folder = scratchFolder(context);
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), tensors()), (named) => {
        const path = join(folder, "x.pth");
        writeTorchCheckpoint(path, { state_dict: stateDictFor(Object.entries(named)) });
        const read = stateDictOf(readTorchCheckpoint(path));
        assert.deepEqual(new Set(read.keys()), new Set(Object.keys(named)));
        for (const [name, given] of Object.entries(named)) assertSameTensor(read.get(name), given, name);
      }),
      { numRuns: 100 },
    );
  });

  test("tensors of one array are one storage, and one array again", () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const bytes = encodeTorchCheckpoint({ a: hostTensor("f32", [4], data), b: hostTensor("f32", [2, 2], data) });
    const stored = [...new ZipReader(openSource(bytes)).entries.keys()].filter((name) => name.includes("/data/"));
    assert.deepEqual(stored, ["archive/data/0"]);
    const read = readTorchCheckpoint(bytes);
    assert.equal(tensor(read, "a").data.buffer, tensor(read, "b").data.buffer);
    assert.deepEqual([...tensor(read, "b").shape], [2, 2]);
  });

  test("the same value gives the same bytes, with storages 64-byte aligned", () => {
    const bytes = encodeTorchCheckpoint(sampleCheckpoint());
    assert.deepEqual(bytes, encodeTorchCheckpoint(sampleCheckpoint()));
    const zip = new ZipReader(openSource(bytes));
    for (const name of zip.entries.keys())
      if (name.includes("/data/")) assert.equal(zip.read(name).byteOffset % 64, 0, name);
  });

  test("a tensor that disagrees with itself is named", () => {
    const wrong = { dtype: "f32", shape: [3], data: new Float32Array(2) } as HostTensor;
    assert.throws(
      () => encodeTorchCheckpoint({ a: [wrong] }),
      /value\["a"\]\[0\]: shape \[3\] needs 3 elements, data has 2/,
    );
  });
});

describe("checkpoints that are refused", () => {
  const cases: [name: string, bytes: Uint8Array, fault: RegExp, options?: TorchReadOptions][] = [
    ["nothing", new Uint8Array(0), /not a PyTorch checkpoint: it does not start as a zip/],
    ["text", latin1("hello"), /not a PyTorch checkpoint/],
    [
      "another zip",
      collectBytes((sink) => new ZipWriter(sink).finish()),
      /not a PyTorch checkpoint: it has no FOLDER\/data\.pkl/,
    ],
    ["TorchScript", checkpoint("N", {}, { "constants.pkl": "" }), /TorchScript program/],
    ["an unknown byte order", checkpoint("N", {}, { byteorder: "middle" }), /byteorder is not little or big/],
    ["a missing storage", checkpoint(view(0, [4], [1])), /storage "0" is not in the file/],
    [
      "a storage cut short",
      checkpoint(view(0, [4], [1]), { 0: new Uint8Array(12) }),
      /should have 4 elements of 4 bytes; .* 12 bytes/,
    ],
    ["a view past the end", checkpoint(view(1, [4], [1]), four), /reaches element 4 of storage "0", which has 4/],
    ["a stride past the end", checkpoint(view(0, [2], [4]), four), /reaches element 4 of storage "0"/],
    ["a negative stride", checkpoint(view(3, [2], [-1]), four), /a tensor's stride is not of integers from 0/],
    ["a negative offset", checkpoint(view(-1, [1], [1]), four), /at the offset -1/],
    [
      "sizes that overflow",
      checkpoint(view(0, new Array<number>(8).fill(2 ** 30), new Array<number>(8).fill(0)), four),
      /byte count passes/,
    ],
    ["more sizes than strides", checkpoint(view(0, [1, 1], [1]), four), /2 sizes and 1 strides/],
    [
      "a tensor of 65 axes",
      checkpoint(view(0, new Array<number>(65).fill(1), new Array<number>(65).fill(1)), four),
      /has 65 axes/,
    ],
    [
      "an expanded tensor of 4 GB",
      checkpoint(view(0, [2 ** 30], [0]), four),
      /takes more than \d+ bytes for copies of expanded/,
    ],
    ["a conjugate", checkpoint(view(0, [4], [1], "\x89N}U\x04conj\x88s"), four), /pending conjugate or negation/],
    [
      "a storage as the result",
      checkpoint(storage("torch\nFloatStorage", "0", 4), four),
      /the result contains a torch storage/,
    ],
    ["an unknown persistent id", checkpoint("U\x01aQ"), /persistent id that is not a storage's/],
    [
      "a storage of another class",
      checkpoint(`(U\x07storageNU\x010U\x03cpu${int(4)}tQ`, four),
      /wrong class, key or element/,
    ],
    [
      "complex storages",
      checkpoint(storage("torch\nComplexFloatStorage", "0", 2), four),
      /torch\.ComplexFloatStorage.*not on the/,
    ],
    ["an untyped tensor without a dtype", checkpoint(untyped(view(0, [4], [1])), four), /on an untyped/],
    [
      "a list of sizes",
      checkpoint(view(0, [4], [1]).replace(ints([4]), `]${int(4)}a`), four),
      /a tensor's size is a list, not a tuple/,
    ],
    [
      "a call",
      checkpoint("cposix\nsystem\nU\x02id\x85R"),
      /pickle, byte 2: asks for "posix\.system", .* nothing was executed/,
    ],
    [
      "a subclass rebuilt by a call",
      checkpoint("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n)NtR"),
      /builds a tensor by "torch\.Size"/,
    ],
  ];
  for (const [name, bytes, fault, options] of cases) {
    test(name, () => refuses(() => readTorchCheckpoint(bytes, options), fault));
  }

  test("the hand-written checkpoint without a fault is read", () => {
    const read = readTorchCheckpoint(checkpoint(view(0, [2, 2], [1, 2]), four)) as HostTensor;
    assert.deepEqual([...read.data], [0, 2, 1, 3]);
    const expanded = readTorchCheckpoint(checkpoint(view(1, [1000], [0]), four)) as HostTensor;
    assert.deepEqual(expanded.data, new Float32Array(1000).fill(1));
  });

  describe("a doubling tuple, wherever a value is expected", () => {
    // Sixty levels of pairs: a walk over it, or its text, takes 2^60 steps.
    const bomb = `)${"2\x86".repeat(60)}`;
    const tensorOf = (...args: string[]): string => `ctorch._utils\n_rebuild_tensor_v2\n(${args.join("")}tR`;
    const float = storage("torch\nFloatStorage", "0", 4);
    const sizes = ints([4]);
    const places: [name: string, instructions: string][] = [
      ["the result", bomb],
      ["a storage", tensorOf(bomb, int(0), sizes, ints([1]), "\x89N")],
      ["an offset", tensorOf(float, bomb, sizes, ints([1]), "\x89N")],
      ["sizes", tensorOf(float, int(0), bomb, ints([1]), "\x89N")],
      ["strides", tensorOf(float, int(0), sizes, bomb, "\x89N")],
      ["a dtype", tensorOf(float, int(0), sizes, ints([1]), "\x89N", bomb).replace("_v2", "_v3")],
      ["a parameter", `ctorch._utils\n_rebuild_parameter\n${bomb}\x85R`],
      ["a rebuilt type", `ctorch._tensor\n_rebuild_from_type_v2\n(${bomb}${bomb}${bomb}NtR`],
      ["a persistent id", `${bomb}Q`],
      ["a storage's class", `(U\x07storage${bomb}U\x010U\x03cpu${int(4)}tQ`],
      ["a storage's key", `(U\x07storagectorch\nFloatStorage\n${bomb}U\x03cpu${int(4)}tQ`],
      ["a storage's element count", `(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu${bomb}tQ`],
      ["torch.Size", `ctorch\nSize\n${bomb}\x85R`],
      ["torch.device", `ctorch\ndevice\n${bomb}\x85R`],
      ["an encoding", `c_codecs\nencode\n${bomb}${bomb}\x86R`],
      ["a numpy dtype", `cnumpy\ndtype\n${bomb}\x85R`],
      ["a numpy dtype's state", `cnumpy\ndtype\nU\x02f8\x85R${bomb}b`],
      ["a numpy scalar", `cnumpy.core.multiarray\nscalar\n${bomb}${bomb}\x86R`],
      ["a callee", `${bomb})R`],
      ["arguments", `ccollections\nOrderedDict\n${bomb}R`],
      ["a class name", `${bomb}${bomb}\x93`],
      ["a class to instantiate", `${bomb})\x81`],
      ["a key", `}${bomb}K\x01s`],
      ["a target of items", `${bomb}K\x01K\x02s`],
      ["a target of appending", `${bomb}K\x01a`],
      ["a target of a state", `${bomb}}b`],
      ["attributes", `ccollections\nOrderedDict\n)R${bomb}b`],
    ];
    for (const [name, instructions] of places) {
      test(name, () =>
        refuses(() => readTorchCheckpoint(checkpoint(instructions, four)), /^pickle, byte \d+: .{0,200}$/),
      );
    }
  });

  test("limits can be raised for a trusted file", () => {
    const bytes = checkpoint(view(1, [2 ** 22], [0]), four);
    refuses(() => readTorchCheckpoint(bytes, { maxExpandedBytes: 2 ** 20 }), /maxExpandedBytes raises the limit/);
    assert.equal((readTorchCheckpoint(bytes, { maxExpandedBytes: 2 ** 24 }) as HostTensor).data.length, 2 ** 22);
  });

  test("big-endian storages are swapped", () => {
    const swapped = { 0: new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer.slice(0)).reverse() };
    const read = readTorchCheckpoint(checkpoint(view(0, [4], [1]), swapped, { byteorder: "big" })) as HostTensor;
    assert.deepEqual([...read.data], [3, 2, 1, 0]);
  });

  test("a file cut at any length", () => {
    const whole = new Uint8Array(readFileSync(fixture("torch_old.pth")));
    for (let length = 0; length < whole.length; length += 7) {
      refuses(() => readTorchCheckpoint(whole.subarray(0, length)), /truncated|does not start as a zip/);
    }
  });
});
