import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { collectBytes, type ByteSink } from "../../../src/io/byte-sink.ts";
import { openSource } from "../../../src/io/byte-source.ts";
import { crc32, crc32ByTable } from "../../../src/io/crc32.ts";
import { ZipReader, type ZipLimits } from "../../../src/io/zip/read.ts";
import { ZipWriter } from "../../../src/io/zip/write.ts";
import { latin1, refuses } from "../helpers.ts";
import { splice } from "../mutation.ts";

function zipOf(entries: Record<string, Uint8Array>, options: { deflate?: boolean; align?: number } = {}): Uint8Array {
  return collectBytes((sink) => {
    const zip = new ZipWriter(sink);
    for (const [name, bytes] of Object.entries(entries)) zip.add(name, bytes, options);
    zip.finish();
  });
}

function open(bytes: Uint8Array, limits?: ZipLimits): ZipReader {
  return new ZipReader(openSource(bytes), limits);
}

function readAll(bytes: Uint8Array, limits?: ZipLimits): Map<string, Uint8Array> {
  const zip = open(bytes, limits);
  return new Map([...zip.entries.keys()].map((name) => [name, zip.read(name)]));
}

/** Where the first directory entry and the end record of an archive start. */
function places(bytes: Uint8Array): { directory: number; end: number } {
  const buffer = Buffer.from(bytes);
  return { directory: buffer.indexOf("PK\x01\x02", 0, "latin1"), end: buffer.lastIndexOf("PK\x05\x06", -1, "latin1") };
}

/** A copy with a little-endian field changed. */
function patched(bytes: Uint8Array, at: number, width: 2 | 4, value: number): Uint8Array {
  const result = bytes.slice();
  const view = new DataView(result.buffer);
  if (width === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
  return result;
}

describe("crc32", () => {
  test("its check value, and both ways agree", () => {
    assert.equal(crc32(latin1("123456789")), 0xcbf43926);
    assert.equal(crc32ByTable(latin1("123456789")), 0xcbf43926);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => assert.equal(crc32ByTable(bytes), crc32(bytes))),
    );
  });
});

describe("zip", () => {
  test("what is written is read back, stored, deflated and aligned", () => {
    const name = fc.string({ unit: "grapheme" }).filter((s) => !s.includes("\0"));
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.uint8Array({ maxLength: 300 })),
        fc.boolean(),
        fc.constantFrom(undefined, 8, 64),
        (entries, deflate, align) => {
          const bytes = zipOf(entries, { deflate, align });
          const read = readAll(bytes);
          assert.deepEqual(new Set(read.keys()), new Set(Object.keys(entries)));
          for (const [key, content] of Object.entries(entries)) {
            const found = read.get(key)!;
            assert.deepEqual(Buffer.from(found), Buffer.from(content));
            if (align !== undefined && !deflate) assert.equal(found.byteOffset % align, 0);
          }
        },
      ),
    );
  });

  test("an archive with a comment, and an empty one", () => {
    const bytes = zipOf({ a: latin1("A") });
    const withComment = splice(patched(bytes, bytes.length - 2, 2, 5), bytes.length, 0, latin1("hello"));
    assert.deepEqual(Buffer.from(readAll(withComment).get("a")!), Buffer.from("A"));
    assert.equal(readAll(zipOf({})).size, 0);
  });

  test("more than 65,535 entries take zip64, and are read back", () => {
    const none = new Uint8Array(0);
    const bytes = zipOf(Object.fromEntries(Array.from({ length: 65_540 }, (_, i) => [`e${i}`, none])));
    assert.equal(open(bytes).entries.size, 65_540);
  });

  test("entries past 4 GiB are written with zip64 offsets", () => {
    // An archive whose first 5 GiB are a hole that nothing refers to.
    const kept: { at: number; bytes: Uint8Array }[] = [];
    const sink: ByteSink & { position: number } = {
      position: 5 * 2 ** 30,
      write(bytes) {
        kept.push({ at: this.position, bytes: bytes.slice() });
        this.position += bytes.length;
      },
    };
    const zip = new ZipWriter(sink);
    zip.add("d", latin1("DDDD"), { align: 64 });
    zip.add("e", latin1("E"), { deflate: true });
    zip.finish();
    const sparse = {
      name: "sparse.zip",
      size: sink.position,
      read(offset: number, length: number): Uint8Array {
        const result = new Uint8Array(length);
        for (const { at, bytes } of kept) {
          const from = Math.max(at, offset);
          const to = Math.min(at + bytes.length, offset + length);
          if (from < to) result.set(bytes.subarray(from - at, to - at), from - offset);
        }
        return result;
      },
      close() {},
    };
    const reader = new ZipReader(sparse);
    assert.ok(reader.entries.get("d")!.start > 2 ** 32);
    assert.deepEqual(Buffer.from(reader.read("d")), Buffer.from("DDDD"));
    assert.deepEqual(Buffer.from(reader.read("e")), Buffer.from("E"));
  });

  test("two entries of one name are not written", () => {
    const zip = new ZipWriter({ position: 0, write() {} });
    zip.add("a", latin1("A"));
    assert.throws(() => zip.add("a", latin1("B")), /two entries called "a"/);
  });

  describe("refuses", () => {
    const two = zipOf({ a: latin1("AAAA"), b: latin1("BBBB") });
    const { directory, end } = places(two);
    const second = directory + 47;
    const deflated = zipOf({ a: new Uint8Array(1000) }, { deflate: true });
    const deflatedAt = places(deflated).directory;
    const cases: [name: string, bytes: Uint8Array, fault: RegExp][] = [
      ["nothing", new Uint8Array(0), /not a zip archive, or is truncated/],
      ["a truncated archive", two.subarray(0, two.length - 1), /not a zip archive, or is truncated/],
      ["a part of several", patched(two, end + 4, 2, 1), /one part of a zip archive in several parts/],
      ["a directory elsewhere", patched(two, end + 16, 4, 0xfffffff0), /directory does not lie before its end record/],
      ["more entries than fit", patched(two, end + 10, 2, 9999), /cannot hold its 9999 entries/],
      ["a malformed directory", patched(two, directory, 4, 0), /directory is malformed at entry 0 of 2/],
      ["a directory entry past the end", patched(two, second + 30, 2, 500), /directory ends inside entry 1/],
      ["encryption", patched(two, directory + 8, 2, 1), /zip entry "a" is encrypted/],
      ["an unknown method", patched(two, directory + 10, 2, 14), /uses compression method 14/],
      ["a stored size that differs", patched(two, directory + 24, 4, 5), /"a" is stored, but declares 5 bytes in 4/],
      ["overlapping entries", patched(two, second + 42, 4, 10), /zip entry "a" overlaps what follows it/],
      ["one entry's data used twice", patched(two, second + 42, 4, 0), /overlaps what follows it/],
      [
        "an entry that reaches the directory",
        patched(patched(two, second + 20, 4, 99), second + 24, 4, 99),
        /"b" overlaps/,
      ],
      ["a long local header", patched(two, 28, 2, 60000), /zip entry "a" overlaps what follows it/],
      ["a local header elsewhere", patched(two, 0, 4, 0), /local header of entry "a" is not where it should be/],
      ["a local header of another name", splice(two, 30, 1, latin1("c")), /local header of entry "a" contradicts/],
      ["duplicate names", splice(two, second + 46, 1, latin1("a")), /two entries called "a"/],
      ["a zero character in a name", splice(two, second + 46, 1, latin1("\0")), /zero character in its name/],
      ["a wrong checksum", splice(two, 31, 1, latin1("X")), /entry "a" does not match its checksum/],
      ["a missing zip64 field", patched(two, directory + 24, 4, 0xffffffff), /lacks the zip64 field for its size/],
      [
        "more than is declared",
        patched(deflated, deflatedAt + 24, 4, 999),
        /unpacks to more than its declared 999 bytes/,
      ],
      ["less than is declared", patched(deflated, deflatedAt + 24, 4, 1001), /unpacks to 1000 bytes; it declares 1001/],
      ["a broken stream", splice(deflated, 31, 2, latin1("\xff\xff")), /not a valid deflate stream/],
    ];
    for (const [name, bytes, fault] of cases) test(name, () => refuses(() => readAll(bytes), fault));

    test("sizes out of proportion, before unpacking anything", () => {
      const declared = patched(deflated, deflatedAt + 24, 4, 0xf0000000);
      refuses(
        () => open(declared),
        /zip declares 4026531840 bytes out of \d+ compressed ones; at most 67108864 \+ 200/,
      );
      const zeros = zipOf({ a: new Uint8Array(2 ** 20) }, { deflate: true });
      refuses(() => open(zeros, { freeBytes: 1000 }), /raise the options freeBytes or maxRatio/);
      assert.equal(readAll(zeros, { freeBytes: 1000, maxRatio: 2000 }).get("a")!.length, 2 ** 20);
      assert.equal(readAll(zeros).get("a")!.length, 2 ** 20);
    });

    test("a bomb that declares little and unpacks to much", () => {
      const packed = deflateRawSync(new Uint8Array(50 * 2 ** 20));
      const stored = zipOf({ a: packed });
      const at = places(stored).directory;
      let bomb = patched(patched(stored, 8, 2, 8), at + 10, 2, 8);
      bomb = patched(bomb, at + 24, 4, 100);
      const before = process.memoryUsage().arrayBuffers;
      refuses(() => readAll(bomb), /unpacks to more than its declared 100 bytes/);
      assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20);
    });

    test("a file of end records, in linear time", () => {
      const bytes = latin1("PK\x05\x06".repeat(500_000));
      refuses(() => open(bytes), /not a zip archive, or is truncated/);
    });
  });
});
