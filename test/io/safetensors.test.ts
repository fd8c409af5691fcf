import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  encodeSafetensors,
  FormatError,
  hostTensor,
  listSafetensors,
  openSafetensors,
  readSafetensors,
  toFloat32,
  toFloat64,
  writeSafetensors,
} from "./io.ts";
import { assertSameTensor, fileOf, fixture, refuses, scratchFolder, tensors } from "./helpers.ts";

/** A file of the given header text (its length right unless given) and data. */
function file(header: string, data: Uint8Array = new Uint8Array(0), length?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

const entry = (begin: number, end: number, more = ""): string =>
  `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]${more}}`;

describe("safetensors", () => {
  test("what is written is read back, bit for bit", (context) => {
    const folder = scratchFolder(context);
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__"),
          tensors(),
        ),
        fc.dictionary(fc.string(), fc.string({ unit: "grapheme" })),
        (named, metadata) => {
          const given = new Map(Object.entries(named));
          const path = join(folder, "x.safetensors");
          writeSafetensors(path, given, metadata);
          for (const read of [readSafetensors(path), readSafetensors(encodeSafetensors(given, metadata))]) {
            assert.deepEqual(new Set(read.tensors.keys()), new Set(given.keys()));
            for (const [name, tensor] of given) assertSameTensor(read.tensors.get(name), tensor, name);
            assert.deepEqual(read.metadata, new Map(Object.entries(metadata)));
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test("a file of the format's own library", () => {
    const { tensors: read, metadata } = readSafetensors(fixture("library.safetensors"));
    assert.deepEqual([...metadata].sort(), [
      ["format", "pt"],
      ["quote", 'a "b" \\ ü'],
    ]);
    assert.deepEqual(toFloat64(read.get("f64")!), Float64Array.of(1.1, -2.2));
    assert.deepEqual(read.get("i64")!.data, BigInt64Array.of(2n ** 62n, -(2n ** 62n)));
    assert.deepEqual([...toFloat32(read.get("f16")!)], [1.5, -65504, 2 ** -24]);
    assert.deepEqual(read.get("scalar")!.shape, []);
    assert.deepEqual(read.get("empty")!.shape, [0, 3]);
    assert.deepEqual([...read.get("bool")!.data], [1, 0]);
  });

  test("single tensors are read by their range of the file", () => {
    const opened = openSafetensors(fixture("library.safetensors"));
    try {
      assert.deepEqual([...opened.entries.get("i32")!.shape], [2]);
      assert.deepEqual(opened.read("i32").data, Int32Array.of(2 ** 31 - 1, -(2 ** 31)));
      assert.throws(() => opened.read("i33"), /no tensor "i33"; it has "/);
    } finally {
      opened.close();
    }
    assert.equal(listSafetensors(fixture("library.safetensors")).entries.size, 11);
  });

  test("tensors are aligned in the file, whatever their order", () => {
    const { entries } = listSafetensors(
      encodeSafetensors({
        a: hostTensor("u8", [3], new Uint8Array(3)),
        b: hostTensor("f16", [1], new Uint16Array(1)),
        c: hostTensor("f64", [1], new Float64Array(1)),
      }),
    );
    assert.equal(entries.get("c")!.begin % 8, 0);
    assert.equal(entries.get("b")!.begin % 2, 0);
  });

  test("tensors are read from bytes at any alignment, and from a Buffer", () => {
    const tensor = hostTensor("f64", [2], Float64Array.of(1.5, -2));
    const encoded = encodeSafetensors({ x: tensor });
    for (let shift = 0; shift < 8; shift++) {
      const shifted = new Uint8Array(encoded.length + 8);
      shifted.set(encoded, shift);
      assertSameTensor(readSafetensors(shifted.subarray(shift, shift + encoded.length)).tensors.get("x"), tensor);
      const buffer = Buffer.from(shifted.buffer, shift, encoded.length);
      assertSameTensor(readSafetensors(buffer).tensors.get("x"), tensor);
    }
  });

  test("tensors without elements cost no array each", (context) => {
    const names = Array.from(
      { length: 20_000 },
      (_, i) => `"t${i}":${JSON.stringify({ dtype: i % 2 ? "F32" : "I64", shape: [0, 3], data_offsets: [0, 0] })}`,
    );
    const path = fileOf(scratchFolder(context), "empty.safetensors", file(`{${names.join(",")}}`));
    const { tensors } = readSafetensors(path);
    assert.equal(tensors.size, 20_000);
    assert.equal(new Set([...tensors.values()].map(({ data }) => data)).size, 2);
    assert.deepEqual([tensors.get("t7")!.shape, tensors.get("t7")!.data], [[0, 3], new Float32Array(0)]);
  });

  test("entries in the usual spelling are read as any other: each with a letter changed, and the same with blanks", () => {
    const text = `{"a":${entry(0, 2)},"b":{"dtype":"F32","shape":[3,0],"data_offsets":[2,2]}}`;
    const outcome = (header: string): unknown => {
      try {
        return [...listSafetensors(file(header.padEnd(200), new Uint8Array(2))).entries];
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
        return "refused";
      }
    };
    let read = 0;
    for (let at = 0; at < text.length; at++)
      for (const letter of [
        "",
        "0",
        "1",
        "00",
        "-",
        "e0",
        ".0",
        ",",
        "]",
        "}",
        " ",
        '"',
        "1234567890123456",
        "\n",
        "U",
      ]) {
        const changed = text.slice(0, at) + letter + text.slice(at + 1);
        const found = outcome(changed);
        if (found !== "refused") read++;
        // A blank after an entry's brace is nothing to JSON, and leaves the entry to the parser.
        assert.deepEqual(found, outcome(changed.replaceAll(':{"', ':{ "')), changed);
      }
    assert.ok(read > 20, `${read} read`);
    assert.notEqual(outcome(text), "refused");
  });

  describe("refuses", () => {
    const cases: [name: string, bytes: Uint8Array, fault: RegExp][] = [
      ["nothing", new Uint8Array(0), /^truncated: the header's length needs bytes 0 to 8, the file has 0$/],
      [
        "a huge header",
        file("{}", undefined, 100_000_001n),
        /^header of 100000001 bytes; safetensors allows 100000000/,
      ],
      ["a header length past 2^63", file("{}", undefined, 2n ** 64n - 1n), /^header of 18446744073709551615 bytes/],
      [
        "a header past the end",
        file("{}", undefined, 3n),
        /^truncated: the header needs bytes 8 to 11, the file has 10$/,
      ],
      ["text that is not JSON", file("{a}"), /^header is not valid JSON: expected a string at character 1, found "a"/],
      ["more than one value", file("{}{}"), /^header is not valid JSON: expected the end at character 2/],
      ["a list", file("[]"), /^header is not a JSON object$/],
      ["deep nesting", file("[".repeat(100_000)), /nested deeper than 4 levels/],
      ["invalid UTF-8", file('{"\xff'.slice(0, 2), Uint8Array.of(0xff), 3n), /^header is not valid UTF-8$/],
      ["a tensor twice", file(`{"a":${entry(0, 1)},"a":${entry(0, 1)}}`, new Uint8Array(1)), /key "a" appears twice/],
      ["a field twice", file('{"a":{"dtype":"U8","dtype":"I8"}}'), /key "dtype" appears twice/],
      [
        "an unknown field",
        file(`{"a":${entry(0, 1, ',"x":1')}}`, new Uint8Array(1)),
        /^tensor "a": unknown field "x"$/,
      ],
      [
        "an unknown dtype",
        file('{"a":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0]}}'),
        /dtype "F8_E4M3" is not supp/,
      ],
      ["no dtype", file('{"a":{"shape":[0],"data_offsets":[0,0]}}'), /^tensor "a": dtype is missing/],
      ["no shape", file('{"a":{"dtype":"U8","data_offsets":[0,0]}}'), /^tensor "a": shape is missing/],
      ["a fractional size", file('{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}'), /size 1\.5 in its shape/],
      ["a negative size", file('{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}'), /size -1 in its shape/],
      [
        "sizes that overflow",
        file('{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'),
        /byte count passes 2\^53-1/,
      ],
      [
        "offsets past 2^53",
        file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[1e300,1e300]}}'),
        /data_offsets is not/,
      ],
      [
        "offsets that fall",
        file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[2,1]}}'),
        /data_offsets \[2, 1\] span -1/,
      ],
      [
        "offsets of another size",
        file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`),
        /span 4 bytes; .* need 8$/,
      ],
      ["an entry that is a number", file('{"a":1}'), /^tensor "a": its entry is not an object$/],
      ["metadata of numbers", file('{"__metadata__":{"a":1}}'), /^__metadata__ "a" is not a string$/],
      ["metadata that is text", file('{"__metadata__":"a"}'), /^__metadata__ is not an object of strings$/],
      [
        "overlapping tensors",
        file(`{"a":${entry(0, 3)},"b":${entry(2, 4)}}`, new Uint8Array(4)),
        /^tensor "b" overlaps tensor "a" by 1 bytes$/,
      ],
      [
        "a hole",
        file(`{"a":${entry(0, 1)},"b":${entry(2, 3)}}`, new Uint8Array(3)),
        /^hole of 1 bytes before tensor "b"$/,
      ],
      ["a hole at the start", file(`{"a":${entry(1, 2)}}`, new Uint8Array(2)), /^hole of 1 bytes before tensor "a"$/],
      [
        "bytes after the last tensor",
        file(`{"a":${entry(0, 1)}}`, new Uint8Array(3)),
        /^2 bytes after the last tensor/,
      ],
      ["a tensor past the end", file(`{"a":${entry(0, 5)}}`, new Uint8Array(3)), /^truncated: tensor "a" ends at byte/],
      ["an escape that is none", file('{"\\x":1}'), /malformed escape/],
      ["a string without an end", file('{"abc'), /unterminated string/],
      ["a number of a thousand digits", file(`{"a":${"9".repeat(1000)}}`), /expected a value/],
    ];
    for (const [name, bytes, fault] of cases) test(name, () => refuses(() => readSafetensors(bytes), fault));

    test("a key called __proto__ is only a name", () => {
      const read = readSafetensors(file(`{"__proto__":${entry(0, 1)}}`, Uint8Array.of(5)));
      assert.deepEqual([...read.tensors.get("__proto__")!.data], [5]);
    });

    test("a file cut at any length, by its path", (context) => {
      const folder = scratchFolder(context);
      const whole = encodeSafetensors({ a: hostTensor("f32", [3], new Float32Array(3)) });
      const path = fileOf(folder, "cut.safetensors", whole);
      for (let length = whole.length - 1; length >= 0; length--) {
        truncateSync(path, length);
        refuses(() => readSafetensors(path), /truncated|not valid JSON/, path);
      }
    });

    test("a folder", (context) => {
      const folder = scratchFolder(context);
      assert.throws(() => readSafetensors(folder), FormatError);
    });
  });

  describe("writing", () => {
    test("an error leaves the previous file and no other", (context) => {
      const folder = scratchFolder(context);
      const path = join(folder, "x.safetensors");
      writeSafetensors(path, { a: hostTensor("f32", [1], Float32Array.of(7)) });
      const before = readFileSync(path);
      assert.throws(
        () => writeSafetensors(path, { a: { dtype: "f32", shape: [2], data: new Float32Array(1) } }),
        /tensor "a": shape \[2\] needs 2 elements, data has 1/,
      );
      assert.throws(
        () => writeSafetensors(path, { __metadata__: hostTensor("f32", [1], new Float32Array(1)) }),
        /cannot be called "__metadata__"/,
      );
      assert.deepEqual(readFileSync(path), before);
      assert.deepEqual(readdirSync(folder), ["x.safetensors"]);
    });

    test("a target that cannot be replaced leaves no temporary file", (context) => {
      const folder = scratchFolder(context);
      const missing = join(folder, "none", "x.safetensors");
      assert.throws(() => writeSafetensors(missing, {}), /there is no folder/);
      assert.ok(!existsSync(missing));
      mkdirSync(join(folder, "taken"));
      assert.throws(() => writeSafetensors(join(folder, "taken"), {}), /it is a folder/);
      assert.deepEqual(readdirSync(folder), ["taken"]);
    });
  });
});
