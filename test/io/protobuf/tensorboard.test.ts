/** TensorBoard event files: checksums against published vectors, framing, re-reading, and TensorBoard's own reader. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { crc32c, maskedCrc32c } from "../../../src/io/protobuf/crc32c.ts";
import {
  decodeEvent,
  decodeRecords,
  encodeEvent,
  encodeRecord,
  readTensorBoard,
  TensorBoardWriter,
} from "../../../src/io/protobuf/tensorboard.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-tensorboard-"));
after(() => rmSync(folder, { recursive: true }));

/** Prints what TensorBoard's event accumulator finds. */
const PYTHON = `
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
found = {}
for tag in events.Tags()["scalars"] + events.Tags()["tensors"]:
    try: found[tag] = [[e.step, e.value] for e in events.Scalars(tag)]
    except KeyError: found[tag] = [[e.step, e.tensor_proto.float_val[0]] for e in events.Tensors(tag)]
print(json.dumps(found))
`;

describe("CRC-32C", () => {
  // RFC 3720, B.4.
  const vectors: readonly [Uint8Array, number][] = [
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    [new TextEncoder().encode("123456789"), 0xe3069283],
  ];
  test("has the published values", () => {
    for (const [bytes, crc] of vectors) assert.equal(crc32c(bytes), crc);
  });

  test("is masked by a rotation and an offset that can be undone", () => {
    for (const [bytes, crc] of vectors) {
      const moved = (maskedCrc32c(bytes) - 0xa282ead8) >>> 0;
      assert.equal(((moved >>> 17) | (moved << 15)) >>> 0, crc);
    }
  });
});

describe("events", () => {
  test("any event comes back as it was", () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            wallTime: fc.double({ noNaN: true }),
            step: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
            scalars: fc.dictionary(fc.string({ minLength: 1 }), fc.float({ noNaN: true }), { noNullPrototype: true }),
          },
          { noNullPrototype: true },
        ),
        (event) => {
          const [record] = decodeRecords(encodeRecord(encodeEvent(event)));
          assert.deepEqual(decodeEvent(record), event);
        },
      ),
    );
  });

  test("a file holds its version, then scalars by step; a resumed one says where", () => {
    const writer = new TensorBoardWriter(folder, 5);
    writer.scalars(5, { "train/loss": 1.5, "train/accuracy": 0.25 }, 1000.5);
    writer.scalars(300, { "train/loss": -(2 ** -30) }, 1001);
    writer.close();
    const [version, start, first, second, ...more] = readTensorBoard(writer.path);
    assert.equal(version.fileVersion, "brain.Event:2");
    assert.deepEqual([start.step, start.sessionStart], [5, true]);
    assert.deepEqual(first, { wallTime: 1000.5, step: 5, scalars: { "train/loss": 1.5, "train/accuracy": 0.25 } });
    assert.deepEqual(second, { wallTime: 1001, step: 300, scalars: { "train/loss": -(2 ** -30) } });
    assert.equal(more.length, 0);
    assert.throws(() => writer.scalars(1, { a: 1 }), /write after close/);
  });

  test("a record that a kill cut off is passed over; a changed byte is found", () => {
    const writer = new TensorBoardWriter(folder);
    writer.scalars(1, { loss: 1 });
    writer.scalars(2, { loss: 2 });
    writer.close();
    const whole = readFileSync(writer.path);
    truncateSync(writer.path, whole.length - 3);
    assert.deepEqual(
      readTensorBoard(writer.path).map(({ step }) => step),
      [0, 1],
    );
    for (let i = 0; i < whole.length; i++) {
      const changed = Uint8Array.from(whole);
      changed[i] ^= 1;
      assert.throws(() => decodeRecords(changed, "x"), /x: .*record \d+.* checksum/, `byte ${i}`);
    }
  });

  test("TensorBoard reads it", (context) => {
    if (spawnSync("python3", ["-c", "import tensorboard"]).status !== 0)
      return context.skip("python3 has no tensorboard");
    const own = mkdtempSync(join(folder, "tb-"));
    const writer = new TensorBoardWriter(own);
    for (let step = 1; step <= 40; step++) writer.scalars(step, { "train/loss": 1 / step });
    writer.close();
    const { stdout, stderr } = spawnSync("python3", ["-c", PYTHON, own], { encoding: "utf8" });
    const found = JSON.parse(stdout || JSON.stringify(stderr)) as Record<string, [number, number][]>;
    assert.deepEqual(found, { "train/loss": Array.from({ length: 40 }, (_, i) => [i + 1, Math.fround(1 / (i + 1))]) });
  });

  test("bytes that are no records give an error with the name, never another exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 200 }), (bytes) => {
        const path = join(folder, "noise");
        writeFileSync(path, bytes);
        try {
          readTensorBoard(path);
        } catch (error) {
          assert.equal((error as Error).name, "FormatError");
          assert.match((error as Error).message, /noise/);
        }
      }),
    );
  });
});
