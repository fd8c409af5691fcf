/** What the tests of the readers share: scratch files, fixtures, and the check of a refusal. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import fc from "fast-check";
import { arrayTypeOf, bytesOf, FormatError, HOST_DTYPES, type HostDType, type HostTensor } from "./io.ts";

/** The path of a file of test/fixtures/io. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/io/${name}`, import.meta.url));
}

/** A folder that is removed after the test. */
export function scratchFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "io-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** `read` must throw a FormatError whose text names the file and matches `fault`. */
export function refuses(read: () => unknown, fault: RegExp, file = "<bytes>"): void {
  assert.throws(read, (error: unknown) => {
    assert.ok(error instanceof FormatError, `not a FormatError: ${String((error as Error)?.stack ?? error)}`);
    assert.equal(error.file, file);
    assert.ok(error.message.startsWith(`${file}: `), error.message);
    assert.match(error.fault, fault);
    return true;
  });
}

/** Same dtype, shape and bits. */
export function assertSameTensor(actual: HostTensor | undefined, expected: HostTensor, name = "tensor"): void {
  assert.ok(actual !== undefined, `${name} is missing`);
  assert.equal(actual.dtype, expected.dtype, name);
  assert.deepEqual([...actual.shape], [...expected.shape], name);
  assert.deepEqual(Buffer.from(bytesOf(actual.data)), Buffer.from(bytesOf(expected.data)), name);
}

/** Tensors of random dtype, up to four axes of up to four elements (none included), and random bits. */
export function tensors(dtypes: readonly HostDType[] = HOST_DTYPES): fc.Arbitrary<HostTensor> {
  return fc
    .record({ dtype: fc.constantFrom(...dtypes), shape: fc.array(fc.nat({ max: 4 }), { maxLength: 4 }) })
    .chain(({ dtype, shape }) => {
      const ArrayType = arrayTypeOf(dtype);
      const length = shape.reduce((product, size) => product * size, 1) * ArrayType.BYTES_PER_ELEMENT;
      return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes): HostTensor => {
        const bits = dtype === "bool" ? bytes.map((byte) => byte & 1) : bytes.slice();
        return { dtype, shape, data: new ArrayType(bits.buffer) };
      });
    });
}

/** Writes bytes to a file of the folder and returns its path. */
export function fileOf(folder: string, name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Bytes as they stand in a string of Latin-1 characters. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
