/** The page on which clips are looked at: what it shows of a store, and where joints were lost. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { NTU25 } from "../../src/data/skeleton/layout.ts";
import { ClipStoreWriter } from "../../src/data/store/writer.ts";
import { writeLook } from "../../src/report/index.ts";
import { randomClip } from "../data/synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-look-"));
after(() => rmSync(folder, { recursive: true }));

test("a page holds clips of every class, joints by name, and marks those that were lost", () => {
  const store = join(folder, "three.clips");
  const writer = new ClipStoreWriter(store, { layout: NTU25, classes: ["sit </script>", "stand"], normalized: false });
  for (let i = 0; i < 6; i++) {
    const clip = randomClip(i + 1, 200, 1, 25);
    if (i === 4) clip.data.fill(NaN, 0, 9);
    writer.add({ name: `clip-${i}`, label: i < 5 ? 0 : 1, subject: i + 1 }, clip);
  }
  writer.commit();
  const path = join(folder, "look.html");
  const report = writeLook(path, store, { clips: 5, rate: 20, from: "three" });
  assert.equal(report.clips, 5);
  assert.ok(report.height > 0);
  const page = readFileSync(path, "utf8");
  const data = JSON.parse(/<script id="data"[^>]*>(.*?)<\/script>/s.exec(page)![1]!) as {
    rate: number;
    skeleton: { joints: string[] };
    clips: { name: string; label: number; frames: number; length: number; lost?: string; lostCount: number }[];
  };
  assert.equal(data.rate, 20);
  assert.deepEqual(data.skeleton.joints, NTU25.joints);
  assert.ok(
    data.clips.some(({ label }) => label === 1),
    "the class of one clip is there",
  );
  for (const { frames, length } of data.clips) assert.deepEqual([frames, length], [120, 200]);
  const lost = data.clips.filter(({ lostCount }) => lostCount > 0);
  for (const clip of lost) {
    assert.equal(clip.lostCount, 3);
    const flags = Buffer.from(clip.lost!, "base64");
    assert.equal(flags.length % (120 * 25), 0);
    assert.deepEqual([...flags.subarray(0, 5)], [1, 1, 1, 0, 0]);
  }
  assert.match(page, /20 frames\/s/);
  assert.throws(() => writeLook(join(folder, "look.txt"), store), /must end in .html/);
});
