import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { lavapipe, readTar, swiftShader, withSoftwareDriver } from "../../src/device/software-vulkan.ts";
import type { VulkanDriver } from "../../src/device/software-vulkan.ts";

/** A ustar archive, written from the format's description: the counterpart that `readTar` is held to. */
function writeTar(files: readonly { name: string; bytes: Uint8Array }[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const { name, bytes } of files) {
    const header = Buffer.alloc(512);
    header.write(name, 0, 100, "utf8");
    header.write("0000755\0", 100);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("        ", 148);
    header.write("0", 156);
    header.write("ustar\u000000", 257, "latin1");
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(bytes.length / 512) * 512);
    body.set(bytes);
    blocks.push(header, body);
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

const file = fc.record({
  name: fc.stringMatching(/^[a-z][a-z0-9._/]{0,60}$/),
  bytes: fc.uint8Array({ maxLength: 2000 }),
});

describe("readTar", () => {
  test("gives back what was archived", () => {
    fc.assert(
      fc.property(fc.array(file, { maxLength: 6 }), (files) => {
        const read = readTar(writeTar(files));
        assert.deepEqual(
          read.map(({ name, bytes, mode }) => ({ name, bytes: Buffer.from(bytes), mode })),
          files.map(({ name, bytes }) => ({ name, bytes: Buffer.from(bytes), mode: 0o755 })),
        );
      }),
    );
  });

  test("names a cut file and a damaged header", () => {
    const archive = writeTar([{ name: "library.so", bytes: new Uint8Array(1500) }]);
    assert.throws(() => readTar(archive.subarray(0, 1024)), /"library\.so" needs 1500 bytes/);
    const damaged = archive.slice();
    damaged[3]! ^= 1;
    assert.throws(() => readTar(damaged), /wrong checksum in the header at byte 0/);
  });
});

describe("software drivers", () => {
  let cache: string;
  const before = { cache: process.env.HICO_CACHE, lavapipe: process.env.HICO_LAVAPIPE };

  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), "hico-cache-"));
    process.env.HICO_CACHE = cache;
  });
  afterEach(() => {
    rmSync(cache, { recursive: true });
    for (const [name, value] of [
      ["HICO_CACHE", before.cache],
      ["HICO_LAVAPIPE", before.lavapipe],
    ] as const) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });

  test("SwiftShader is unpacked once, also by several callers at once", async () => {
    const found = await Promise.all([swiftShader(), swiftShader(), swiftShader()]);
    for (const driver of found) {
      assert.deepEqual(driver, found[0]);
      assert.ok(existsSync(driver.manifest));
      assert.ok(existsSync(driver.loader!));
    }
    assert.equal(readdirSync(cache).length, 1, "nothing half-unpacked stays");
  });

  test("lavapipe comes from HICO_LAVAPIPE, and a wrong path is named", async () => {
    process.env.HICO_LAVAPIPE = join(cache, "absent.json");
    await assert.rejects(lavapipe(), /HICO_LAVAPIPE=.*absent\.json: there is no such file/);
    const { manifest } = await swiftShader();
    process.env.HICO_LAVAPIPE = manifest;
    assert.equal((await lavapipe()).manifest, manifest);
  });

  test("the environment is one driver's at a time, and put back, also after an error", async () => {
    const driver = (name: string): VulkanDriver => ({ name: "swiftshader", manifest: name, loader: undefined });
    const saved = process.env.VK_ICD_FILENAMES;
    const seen: (string | undefined)[] = [];
    const look = async (): Promise<void> => {
      seen.push(process.env.VK_ICD_FILENAMES);
      await new Promise((resolve) => {
        setTimeout(resolve, 2);
      });
      seen.push(process.env.VK_ICD_FILENAMES);
    };
    const failing = withSoftwareDriver(driver("b"), async () => {
      await look();
      throw new Error("no adapter");
    });
    await Promise.all([
      withSoftwareDriver(driver("a"), look),
      assert.rejects(failing, /no adapter/),
      withSoftwareDriver(driver("c"), look),
    ]);
    assert.deepEqual(seen.toSorted(), ["a", "a", "b", "b", "c", "c"]);
    for (let i = 0; i < seen.length; i += 2) assert.equal(seen[i], seen[i + 1]);
    assert.equal(process.env.VK_ICD_FILENAMES, saved);
  });
});
