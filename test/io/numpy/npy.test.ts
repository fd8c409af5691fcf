import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  encodeNpy,
  encodeNpz,
  HOST_DTYPES,
  hostTensor,
  openNpy,
  openNpz,
  readNpy,
  readNpyArray,
  readNpz,
  toFloat64,
  writeNpy,
  writeNpz,
  type HostTensor,
} from "../io.ts";
import { counting, npyFile } from "../fuzzing.ts";
import { assertSameTensor, fileOf, fixture, latin1, refuses, scratchFolder, tensors } from "../helpers.ts";

const NPY_DTYPES = HOST_DTYPES.filter((dtype) => dtype !== "bf16");
const header = (descr: string, shape: string, order = "False"): string =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;

describe("npy", () => {
  test("what is written is read back, bit for bit", (context) => {
    const folder = scratchFolder(context);
    fc.assert(
      fc.property(tensors(NPY_DTYPES), (tensor) => {
        const path = join(folder, "x.npy");
        writeNpy(path, tensor);
        assertSameTensor(readNpy(path), tensor);
        assertSameTensor(readNpy(encodeNpy(tensor)), tensor);
      }),
      { numRuns: 200 },
    );
  });

  test("text is written and read back", () => {
    // NumPy drops zero characters at the end, and so does this reader.
    const text = fc.string({ unit: "grapheme", maxLength: 5 }).filter((s) => !s.endsWith("\0"));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 6 }), (data) => {
        const read = readNpyArray(encodeNpy({ dtype: "str", shape: [data.length], data }));
        assert.deepEqual(read, { dtype: "str", shape: [data.length], data });
      }),
    );
  });

  test("Fortran order is put in row-major order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 3 }), (shape) => {
        const size = shape.reduce((a, b) => a * b, 1);
        const stored = Int32Array.from({ length: size }, (_, i) => i);
        const text = header("'<i4'", `(${shape.join(", ")})`, "True");
        const { data } = readNpy(npyFile(1, text, new Uint8Array(stored.buffer)));
        // Element (i0, i1, ...) is stored at i0 + n0·(i1 + n1·(...)).
        for (let flat = 0; flat < size; flat++) {
          let rest = flat;
          let expected = 0;
          for (let axis = shape.length - 1; axis >= 0; axis--) {
            expected += (rest % shape[axis]) * shape.slice(0, axis).reduce((a, b) => a * b, 1);
            rest = Math.floor(rest / shape[axis]);
          }
          assert.equal(data[flat], expected);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("rows are read by range", (context) => {
    const tensor = counting("f32", [5, 2, 3]);
    const opened = openNpy(fileOf(scratchFolder(context), "rows.npy", encodeNpy(tensor)));
    try {
      assert.deepEqual([...opened.shape], [5, 2, 3]);
      const rows = opened.readRows(1, 2);
      assert.deepEqual([...rows.shape], [2, 2, 3]);
      assert.deepEqual(rows.data, (tensor.data as Float32Array).slice(6, 18));
      assert.deepEqual([...opened.readRows(5, 0).shape], [0, 2, 3]);
      assert.throws(() => opened.readRows(4, 2), /rows 4 to 6 asked for; it has rows 0 to 5/);
    } finally {
      opened.close();
    }
    refuses(() => openNpy(npyFile(1, header("'<f4'", "(1, 1)", "True"), new Uint8Array(4))), /Fortran order/);
    refuses(() => openNpy(encodeNpy(counting("f32", []))), /is a scalar/);
  });

  describe("files of NumPy", () => {
    test("every element type", () => {
      const arrays = readNpz(fixture("numpy.npz"));
      const names = {
        f8: "f64",
        f4: "f32",
        f2: "f16",
        i8: "i64",
        i4: "i32",
        i2: "i16",
        i1: "i8",
        u8: "u64",
        u4: "u32",
      };
      for (const [name, dtype] of Object.entries({ ...names, u2: "u16", u1: "u8" })) {
        const array = arrays.get(name) as HostTensor;
        assert.equal(array.dtype, dtype);
        assert.deepEqual([...array.shape], [2, 3]);
        assert.deepEqual([...toFloat64(array)], [0, 1, 2, 3, 4, 5], name);
      }
      assert.deepEqual(arrays.get("b1"), { dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) });
    });

    test("byte order, Fortran order, scalars, empty arrays, text", () => {
      const arrays = readNpz(fixture("numpy.npz"));
      assert.deepEqual([...arrays.get("big")!.data], [0, 0.25, 0.5, 0.75, 1, 1.25]);
      assert.deepEqual(
        [...arrays.get("fortran")!.data],
        Array.from({ length: 24 }, (_, i) => i),
      );
      assert.deepEqual(arrays.get("scalar"), { dtype: "f64", shape: [], data: Float64Array.of(1.25) });
      assert.deepEqual(arrays.get("empty"), { dtype: "f32", shape: [0, 3], data: new Float32Array(0) });
      assert.deepEqual(arrays.get("text"), { dtype: "str", shape: [2, 2], data: ["S001", "grün", "", "😀"] });
      assert.deepEqual(arrays.get("ascii"), { dtype: "str", shape: [2], data: ["ab", "abc"] });
    });

    test("versions 2 and 3", () => {
      for (const version of [2, 3]) {
        assert.deepEqual([...readNpy(fixture(`numpy_v${version}.npy`)).data], [0, 1, 2, 3, 4, 5]);
      }
    });

    test("deflated archives, one array at a time", () => {
      const opened = openNpz(fixture("numpy_compressed.npz"));
      try {
        assert.deepEqual([...opened.names].sort(), ["fortran", "zeros"]);
        assert.deepEqual([...opened.read("zeros").shape], [50, 50]);
        assert.equal(opened.readArray("fortran").data[23], 23);
        assert.throws(() => opened.read("ones"), /no array "ones"; it has "zeros", "fortran"/);
      } finally {
        opened.close();
      }
    });
  });

  describe("refuses", () => {
    const four = new Uint8Array(4);
    const valid = npyFile(1, header("'<f4'", "(1,)"), four);
    const cases: [name: string, bytes: Uint8Array, fault: RegExp][] = [
      ["nothing", new Uint8Array(0), /^truncated: the npy signature/],
      ["another format", latin1("PK\x03\x04 and so on"), /does not start with \\x93NUMPY/],
      ["an unknown version", npyFile(4, header("'<f4'", "(1,)"), four), /npy version 4\.0 is unknown/],
      [
        "a huge header",
        Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 2, 0, 255, 255, 255, 255),
        /header of 4294967295/,
      ],
      ["a header past the end", valid.subarray(0, 30), /^truncated: the header/],
      [
        "a truncated array",
        valid.subarray(0, valid.length - 1),
        /^truncated: the array ends at byte \d+, the file has/,
      ],
      ["bytes after the array", npyFile(1, header("'<f4'", "(1,)"), new Uint8Array(6)), /^2 bytes follow the array$/],
      ["Python objects", npyFile(1, header("'|O'", "(1,)"), four), /holds Python objects, which are refused/],
      ["records", npyFile(1, header("[('a', '<f4')]", "(1,)"), four), /structured dtype/],
      ["complex numbers", npyFile(1, header("'<c8'", "(1,)"), four), /element type "<c8" is not supported/],
      ["a descr that is a number", npyFile(1, header("4", "(1,)"), four), /descr is not an element type/],
      ["a negative size", npyFile(1, header("'<f4'", "(-1,)"), four), /size -1 in its shape/],
      ["sizes that overflow", npyFile(1, header("'<f8'", "(4294967296, 4294967296)"), four), /byte count passes/],
      ["a shape that is text", npyFile(1, header("'<f4'", "'1'"), four), /shape is not a tuple of integers/],
      ["no order", npyFile(1, "{'descr': '<f4', 'shape': (1,)}", four), /fortran_order is not True or False/],
      ["an unknown key", npyFile(1, "{'descr': '<f4', 'x': 1}", four), /unknown key "x"/],
      ["a key twice", npyFile(1, "{'descr': '<f4', 'descr': '<f4'}", four), /key "descr" appears twice/],
      ["a call", npyFile(1, "__import__('os')", four), /not a Python dict: expected a value at character 0, found "_"/],
      ["deep nesting", npyFile(1, "(".repeat(5000), four), /nested deeper than 8 levels/],
      [
        "a code point past Unicode",
        npyFile(1, header("'<U1'", "(1,)"), four.slice().fill(255)),
        /code point 0xffffffff/,
      ],
      [
        "a billion empty strings",
        npyFile(1, header("'<U0'", "(1000000000,)"), four.slice(0, 0)),
        /strings of no characters/,
      ],
    ];
    for (const [name, bytes, fault] of cases) test(name, () => refuses(() => readNpyArray(bytes), fault));

    test("text where numbers are asked for", () => {
      refuses(() => readNpy(encodeNpy({ dtype: "str", shape: [1], data: ["a"] })), /read it with readNpyArray/);
    });

    test("writing bf16", () => {
      assert.throws(() => encodeNpy(hostTensor("bf16", [1], new Uint16Array(1))), /npy has no element type for bf16/);
    });
  });
});

describe("npz", () => {
  test("what is written is read back, stored and deflated", (context) => {
    const folder = scratchFolder(context);
    const name = fc.string({ unit: "grapheme", maxLength: 8 }).filter((s) => !s.includes("\0"));
    fc.assert(
      fc.property(fc.dictionary(name, tensors(NPY_DTYPES), { maxKeys: 5 }), fc.boolean(), (arrays, compress) => {
        const path = join(folder, "x.npz");
        writeNpz(path, arrays, { compress });
        for (const read of [readNpz(path), readNpz(encodeNpz(arrays, { compress }))]) {
          assert.deepEqual(new Set(read.keys()), new Set(Object.keys(arrays)));
          for (const [key, tensor] of Object.entries(arrays))
            assertSameTensor(read.get(key) as HostTensor, tensor, key);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a fault inside an array names the file and the array", () => {
    const bytes = encodeNpz({ x: counting("f32", [3]) });
    const at = Buffer.from(bytes).indexOf("NUMPY");
    bytes[at] = 0x58;
    refuses(() => readNpz(bytes, { name: "a.npz" }), /entry "x\.npy" does not match its checksum/, "a.npz");
    refuses(() => readNpz(bytes, { name: "a.npz", verifyChecksums: false }), /is not an npy file/, "a.npz[x]");
  });
});
