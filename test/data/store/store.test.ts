/** The clip store: what goes in comes out, damage is found, nothing half-written ever appears. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { Clip } from "../../../src/data/skeleton/clip.ts";
import { newClip } from "../../../src/data/skeleton/clip.ts";
import { DataError } from "../../../src/data/errors.ts";
import { crc32 } from "../../../src/io/crc32.ts";
import { NTU25, SBU15 } from "../../../src/data/skeleton/layout.ts";
import type { Protocol } from "../../../src/data/store/protocol.ts";
import { protocolNamed } from "../../../src/data/store/protocol.ts";
import { ClipStore } from "../../../src/data/store/store.ts";
import type { ClipFacts } from "../../../src/data/store/format.ts";
import type { StoreOptions } from "../../../src/data/store/writer.ts";
import { ClipStoreWriter } from "../../../src/data/store/writer.ts";
import { erase, randomClip } from "../synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-store-"));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, "set.clips");

const OPTIONS: StoreOptions = { layout: SBU15, classes: ["push", "kick"], normalized: false };

function write(clips: readonly (readonly [ClipFacts, Clip])[], options: Partial<StoreOptions> = {}): void {
  const writer = new ClipStoreWriter(path, { ...OPTIONS, ...options });
  for (const [facts, clip] of clips) writer.add(facts, clip);
  writer.commit();
}

/** A store of three small clips of the 15-joint body, the second of one person. */
function writeThree(options: Partial<StoreOptions> = {}): Clip[] {
  const clips = [randomClip(1, 2, 2, 15), randomClip(2, 3, 2, 15), randomClip(3, 1, 2, 15)];
  for (let t = 0; t < 3; t++) erase(clips[1], t, 1);
  write(
    clips.map((clip, i) => [{ name: `clip-${i}`, label: i - 1, subject: i + 1 }, clip]),
    options,
  );
  return clips;
}

describe("clip store", () => {
  test("what goes in comes out", () => {
    const camera = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined });
    const clip = fc.record({
      name: fc.string({ minLength: 1, unit: "grapheme" }),
      label: fc.integer({ min: -1, max: 1 }),
      subject: fc.option(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { nil: undefined }),
      camera,
      setup: camera,
      frames: fc.integer({ min: 1, max: 5 }),
      persons: fc.integer({ min: 1, max: 2 }),
      seed: fc.nat(),
    });
    const half: Protocol = {
      name: "half",
      rule: "short names train",
      split: ({ name }) => (name.length < 5 ? "train" : "test"),
    };
    const all: Protocol = { name: "all", rule: "all train", split: () => "train" };
    fc.assert(
      fc.property(fc.uniqueArray(clip, { selector: (c) => c.name, minLength: 1, maxLength: 8 }), (entries) => {
        const clips = entries.map((e) => randomClip(e.seed, e.frames, e.persons, 15));
        const facts = entries.map(({ frames: _f, persons: _p, seed: _s, ...known }) => known);
        const notes = { from: "nowhere", bad: [1, 2] };
        write(
          facts.map((f, i) => [f, clips[i]] as const),
          { protocols: [half, all], notes },
        );
        const store = ClipStore.open(path);
        assert.equal(store.length, entries.length);
        assert.deepEqual(store.header, {
          layout: SBU15,
          classes: OPTIONS.classes,
          protocols: [half, all].map(({ name, rule }) => ({ name, rule })),
          normalized: false,
          normalization: "none",
          normalizedPer: "clip",
          notes,
        });
        entries.forEach((entry, i) => {
          assert.deepEqual(store.facts(i), facts[i]);
          assert.equal(store.label(i), entry.label);
          assert.equal(store.frames(i), entry.frames);
          const read = store.read(i);
          assert.equal(read.persons, 2);
          for (let t = 0; t < entry.frames; t++) {
            for (let j = 0; j < 90; j++) {
              const stored = j < entry.persons * 45 ? clips[i].data[t * entry.persons * 45 + j] : 0;
              assert.equal(read.data[t * 90 + j], stored);
            }
          }
        });
        const short = entries.flatMap((e, i) => (e.name.length < 5 ? [i] : []));
        assert.deepEqual(store.indices("half", "train"), short);
        assert.equal(store.indices("half", "test").length, entries.length - short.length);
        assert.equal(store.indices("all", "train").length, entries.length);
        assert.deepEqual(store.verify(), []);
        assert.throws(() => store.indices("xsub", "train"), /no protocol "xsub"; this store has half, all/);
        assert.throws(() => store.read(entries.length), RangeError);
        store.close();
      }),
      { numRuns: 40 },
    );
  });

  test("an absent second person takes no room", () => {
    writeThree();
    const both = readFileSync(path).length;
    const clips = [randomClip(1, 2, 2, 15), randomClip(2, 3, 2, 15), randomClip(3, 1, 2, 15)];
    write(clips.map((clip, i) => [{ name: `clip-${i}`, label: i - 1, subject: i + 1 }, clip]));
    assert.equal(readFileSync(path).length - both, 3 * 45 * 4);
  });

  test("any changed byte is found", () => {
    const clips = writeThree();
    const good = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(good);
        bytes[at] ^= change;
        let store: ClipStore;
        try {
          store = ClipStore.open(bytes, "s.clips");
        } catch (error) {
          assert.ok(error instanceof DataError && error.file === "s.clips" && error.reason === "format", String(error));
          return;
        }
        const damaged = store.verify();
        assert.equal(damaged.length, 1);
        assert.match(damaged[0].message, /s\.clips: format: clip \d \(clip-\d\) is damaged/);
        const whole = clips.filter((clip, i) => {
          try {
            const read = store.read(i).data;
            return read.length === clip.data.length && read.every((x, at) => x === clip.data[at]);
          } catch {
            return false;
          }
        });
        assert.equal(whole.length, 2);
      }),
      { numRuns: 500 },
    );
  });

  test("any cut is found, and so is any file that is no store", () => {
    writeThree();
    const good = readFileSync(path);
    for (let length = 0; length < good.length; length += 7) {
      assert.throws(() => ClipStore.open(Uint8Array.from(good.subarray(0, length)), "s"), { name: "DataError" });
    }
    assert.throws(() => ClipStore.open(Buffer.concat([good, Buffer.alloc(4)]), "s"), { name: "DataError" });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.throws(() => ClipStore.open(bytes, "s"), { name: "DataError", file: "s" });
      }),
    );
    assert.throws(() => ClipStore.open(join(folder, "none")), { name: "DataError", reason: "unreadable" });
  });

  test("a clip that cannot be stored is refused by name, and the rest is kept", () => {
    const writer = new ClipStoreWriter(path, { ...OPTIONS, protocols: [protocolNamed("utd-mhad-xsub")] });
    const clip = randomClip(1, 2, 2, 15);
    writer.add({ name: "good", label: 0, subject: 1 }, clip);
    const refused = (facts: Partial<ClipFacts>, bad: Clip, part: RegExp) =>
      assert.throws(() => writer.add({ name: "bad", label: 0, subject: 1, ...facts }, bad), part);
    refused({}, randomClip(1, 2, 2, 14), /bad: shape: 2 persons of 14 joints; layout "sbu15" has room for 2 of 15/);
    refused({}, randomClip(1, 2, 3, 15), /shape: 3 persons/);
    refused({}, newClip(2, 2, 15), /bad: empty/);
    refused({}, { ...clip, data: clip.data.map((x, i) => (i === 50 ? NaN : x)) }, /bad: not-finite/);
    refused({ label: 2 }, clip, /bad: label: label 2 is outside 0..1/);
    refused({ label: 0.5 }, clip, /label 0.5/);
    refused({ name: "good" }, clip, /good: label: a clip's name must be given, and only once/);
    refused({ subject: 9 }, clip, /bad: label: protocol utd-mhad-xsub needs a subject from 1 to 8, got 9/);
    writer.add({ name: "good too", label: 1, subject: 2 }, clip);
    assert.equal(writer.length, 2);
    writer.commit();
    const store = ClipStore.open(path);
    assert.deepEqual(
      [0, 1].map((i) => store.facts(i).name),
      ["good", "good too"],
    );
    assert.deepEqual(store.verify(), []);
    store.close();
  });

  test("an aborted or empty store leaves what was there", () => {
    writeThree();
    const before = readFileSync(path);
    const writer = new ClipStoreWriter(path, OPTIONS);
    writer.add({ name: "x", label: 0 }, randomClip(1, 200, 2, 15));
    writer.abort();
    assert.throws(() => write([]), { name: "DataError", reason: "empty" });
    assert.deepEqual(readFileSync(path), before);
    assert.deepEqual(readdirSync(folder), ["set.clips"]);
    const many = Array.from({ length: 17 }, () => protocolNamed("utd-mhad-xsub"));
    assert.throws(() => new ClipStoreWriter(path, { ...OPTIONS, protocols: many }), /at most 16 protocols, got 17/);
  });

  test("a process killed while it writes leaves what was there", () => {
    writeThree();
    const before = readFileSync(path);
    const data = fileURLToPath(new URL("../../../src/data/index.ts", import.meta.url));
    const script = join(folder, "killed.mts");
    writeFileSync(
      script,
      `import { ClipStoreWriter, newClip, SBU15 } from ${JSON.stringify(data)};
       const options = { layout: SBU15, classes: ["a"], normalized: false };
       const writer = new ClipStoreWriter(${JSON.stringify(path)}, options);
       for (let i = 0; i < 50; i++) {
         const clip = newClip(100, 2, 15);
         clip.data.fill(1);
         writer.add({ name: String(i), label: 0 }, clip);
       }
       process.kill(process.pid, "SIGKILL");`,
    );
    const child = spawnSync(process.execPath, ["--import", "tsx", script], {
      cwd: fileURLToPath(new URL("../../../", import.meta.url)),
    });
    assert.equal(child.signal, "SIGKILL", child.stderr.toString());
    assert.deepEqual(readFileSync(path), before);
    assert.equal(ClipStore.open(path).length, 3);
  });

  test("clips of one person read with the room that the layout has", () => {
    write([[{ name: "a", label: 0 }, randomClip(4, 2, 1, 25)]], { layout: NTU25 });
    const store = ClipStore.open(path);
    assert.equal(store.read(0).persons, 2);
    store.close();
  });

  test("a store that another program wrote is checked as well: a class that there is not, a number that is none", () => {
    writeThree();
    /** The file with an edit, and checksums that say it is as it was meant. */
    const edited = (edit: (view: DataView, index: number) => void): Uint8Array => {
      const bytes = new Uint8Array(readFileSync(path));
      const view = new DataView(bytes.buffer);
      const index = Number(view.getBigUint64(bytes.length - 40, true));
      edit(view, index);
      const first = bytes.subarray(8, Number(view.getBigUint64(index + 48, true)));
      view.setUint32(index + 40, crc32(first), true);
      view.setUint32(bytes.length - 12, crc32(bytes.subarray(index, bytes.length - 12)), true);
      return bytes;
    };
    assert.equal(ClipStore.open(edited(() => {})).read(0).frames, 2);
    assert.throws(
      () => ClipStore.open(edited((view, index) => view.setInt32(index + 48 + 16, 7, true))),
      /clip 1 has the label 7; labels are 0 to 1, or -1 for none \(it is called clip-1\)/,
    );
    const hole = ClipStore.open(edited((view) => view.setFloat32(8 + 4 * (3 * 15 + 2), NaN, true)));
    assert.throws(() => hole.read(0), /clip 0 \(clip-0\): z is NaN in frame 0, person 1, joint 0/);
  });
});
