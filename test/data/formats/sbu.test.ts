/** SBU's text files, exactly made, from folder to clip; the names of its folders, and refusals. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { detectKind, openSourceOf, parseSbu, parseSbuPath } from "../../../src/data/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-sbu-"));
after(() => rmSync(folder, { recursive: true }));

/** A line in which all joints lie at (x, 0.25, 2), the first one of the second person lost. */
const line = (frame: number, x: number): string =>
  [frame, ...Array.from({ length: 30 }, (_, v) => (v === 15 ? "0,0,0" : `${x},0.25,2`))].join(",");

test("a folder is recognised, and its joints come back into metres", () => {
  for (const name of ["skeleton_pos.txt", "SKELETON_POS.TXT"]) {
    const take = join(folder, name, "s01s02", "08", "003");
    mkdirSync(take, { recursive: true });
    writeFileSync(join(take, name), `${line(1, 0.5)}\r\n${line(2, 0.25)},\n`);
    assert.equal(detectKind(join(folder, name))?.kind, "sbu");
    const { source, map } = openSourceOf("sbu", join(folder, name));
    assert.equal(map?.from.name, "sbu15");
    const [{ facts, clip }] = source.clips(assert.ifError, () => {});
    assert.deepEqual(facts, { name: "s01s02/08/003", label: 7 });
    assert.equal(source.classes[facts.label], "punching");
    assert.deepEqual([clip.frames, clip.persons, clip.joints], [2, 2, 15]);
    const at = (t: number, m: number): number[] => [...clip.data.subarray((t * 2 + m) * 45, (t * 2 + m) * 45 + 3)];
    assert.deepEqual(at(0, 0), [0, 0.48, 2.56].map(Math.fround));
    assert.deepEqual(at(1, 0), [0.64, 0.48, 2.56].map(Math.fround));
    assert.deepEqual(at(1, 1), [NaN, NaN, NaN]);
    assert.equal(source.protocols.find(({ name: fold }) => fold === "sbu-fold1")?.split(facts), "test");
  }
});

test("refusals name the line, the rule, the folders", () => {
  assert.throws(() => parseSbu(`${line(1, 0.5)}\n1,2,3\n`, "x.txt"), /line 2 holds 3 numbers.*2 x 15 x 3/);
  assert.throws(() => parseSbu(line(1, NaN), "x.txt"), /not-finite/);
  assert.equal(parseSbuPath("SBU/s01s02/09/001/skeleton_pos.txt"), undefined);
  assert.equal(parseSbuPath("SBU/s01s02/01/001/skeleton.txt"), undefined);
});
