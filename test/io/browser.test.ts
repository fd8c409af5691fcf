/** What browsers lack: files and synchronous decompression. The package's own inflate agrees with zlib's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";
import { constants, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import {
  encodeNpz,
  encodeSafetensors,
  hostTensor,
  readBytes,
  readNpyArray,
  readNpz,
  readSafetensors,
  readTorchCheckpoint,
  writeNpz,
  writeSafetensors,
} from "../../src/io/index.ts";
import { requireWritable } from "../../src/io/byte-sink.ts";
import { inflateRaw, InflateFault, InflateTooLarge } from "../../src/io/zip/inflate.ts";

/** Runs `use` as a browser would: without Node's modules. */
function withoutNode<T>(use: () => T): T {
  const { getBuiltinModule } = process;
  (process as { getBuiltinModule: unknown }).getBuiltinModule = undefined;
  try {
    return use();
  } finally {
    process.getBuiltinModule = getBuiltinModule;
  }
}

const { Z_FIXED, Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY } = constants;
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc.array(fc.constantFrom(0, 1, 65), { maxLength: 5000 }).map((values) => Uint8Array.from(values)),
);

describe("inflate", () => {
  test("unpacks what zlib packs, at every level and strategy", () => {
    const level = fc.constantFrom(0, 1, 6, 9);
    const strategy = fc.constantFrom(Z_FIXED, Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY);
    fc.assert(
      fc.property(bytes, level, strategy, (plain, level, strategy) => {
        const found = inflateRaw(deflateRawSync(plain, { level, strategy }), plain.length);
        assert.deepEqual(Buffer.from(found), Buffer.from(plain));
      }),
    );
    const large = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 7);
    assert.deepEqual(Buffer.from(inflateRaw(deflateRawSync(large), large.length)), Buffer.from(large));
  });

  test("damage is an InflateFault, and what is too large is told as such", () => {
    const packed = deflateRawSync(new Uint8Array(5000));
    assert.throws(() => inflateRaw(packed, 4999), InflateTooLarge);
    for (let cut = 0; cut < packed.length; cut++) {
      assert.throws(() => inflateRaw(packed.subarray(0, cut), 5000), InflateFault, `cut at ${cut}`);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          inflateRaw(noise, 10_000);
        } catch (error) {
          assert.ok(error instanceof InflateFault, String(error));
        }
      }),
    );
  });
});

describe("without files", () => {
  const state = new Map([["w", hostTensor("f32", [3], Float32Array.of(1, 2, 3))]]);

  test("npz and safetensors are read from bytes, a Blob, a Response and a stream", async () => {
    const packed = encodeNpz(state, { compress: true }) as Uint8Array<ArrayBuffer>;
    assert.deepEqual(
      withoutNode(() => readNpz(packed)),
      state,
    );
    assert.deepEqual(await readNpz(new Blob([packed])), state);
    const plain = encodeSafetensors(state) as Uint8Array<ArrayBuffer>;
    assert.deepEqual(withoutNode(() => readSafetensors(plain)).tensors, state);
    for (const input of [new Blob([plain]), new Response(plain), new Blob([plain]).stream()]) {
      assert.deepEqual((await readSafetensors(input)).tensors, state);
    }
  });

  test("what is no bytes says what it is, and a view of single bytes is read whatever its class", () => {
    const plain = encodeSafetensors(state);
    const readers = [readSafetensors, readNpyArray, readNpz, readTorchCheckpoint] as ((input: unknown) => unknown)[];
    for (const [input, said] of [
      [Promise.resolve(plain), /this is a Promise; await it first/],
      [plain.buffer, /this is an ArrayBuffer; hand in new Uint8Array\(buffer\)/],
      [new Float32Array(8), /of the kind Float32Array/],
      [new DataView(plain.buffer), /of the kind DataView/],
      [new URL("file:///a.npz"), /of the kind URL/],
      [undefined, /this is undefined/],
    ] as const) {
      for (const read of readers) assert.throws(() => read(input), said);
    }
    const foreign = runInNewContext("Uint8Array.from(plain)", { plain }) as Uint8Array;
    assert.deepEqual(readSafetensors(foreign).tensors, state);
    assert.deepEqual(readSafetensors(Buffer.from(plain)).tensors, state);
  });

  test("an answer that is no success, paths and compression say what to do", async () => {
    await assert.rejects(
      readBytes(new Response("", { status: 404, statusText: "Not Found" })),
      /answers 404 Not Found/,
    );
    assert.throws(
      () => withoutNode(() => readNpz("a.npz")),
      /"a\.npz": there are no files here; read from bytes, a Blob/,
    );
    for (const write of [
      () => writeNpz("a.npz", state),
      () => writeSafetensors("a.npz", state),
      () => requireWritable("a.npz"),
    ]) {
      assert.throws(() => withoutNode(write), /"a\.npz": .* write with encode… instead of write…/);
    }
    assert.throws(() => withoutNode(() => encodeNpz(state, { compress: true })), /leave \{ compress: true \} out/);
  });
});
