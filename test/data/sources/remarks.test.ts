/** Nothing is left out, cut or taken otherwise without a word; a split without clips is an error. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { ClipStore, describeStore, mapClip, openSourceOf, prepareStore } from "../../../src/data/index.ts";
import type { PrepareOptions, PrepareReport, SourceKindOptions } from "../../../src/data/index.ts";

const root = mkdtempSync(join(tmpdir(), "hico-remarks-"));
after(() => rmSync(root, { recursive: true }));
let next = 0;

/** A folder of recordings of a two-joint body, by path and frames. */
function recordings(files: Readonly<Record<string, number>>): string {
  const folder = join(root, String(next++), "rec");
  for (const [name, frames] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), Array.from({ length: frames }, (_, t) => `${t + 1},1,1,${t + 1},2,1\n`).join(""));
  }
  return folder;
}

const spec = join(root, "spec.json");
const axes = { centre: ["a"], up: ["a", "b"], across: ["a", "b"] };
const layout = { name: "two", joints: ["a", "b"], parents: [-1, 0], axes };
writeFileSync(spec, JSON.stringify({ layout, fields: ["x", "y", "z"] }));

const layout3 = {
  ...{ name: "three", joints: ["a", "b", "c"], parents: [-1, 0, 0], persons: 1 },
  axes: { centre: [0], up: [[0], [1]], across: [[0], [1]] },
} as const;

function table(text: string): string {
  const path = join(root, `labels${next++}.csv`);
  writeFileSync(path, text);
  return path;
}

async function prepare(
  folder: string,
  options: SourceKindOptions = {},
  more: PrepareOptions = {},
): Promise<PrepareReport> {
  const { source } = openSourceOf("csv", folder, { spec, ...options });
  return prepareStore(source, join(root, `${next++}.clips`), more);
}

const said = (report: PrepareReport): string[] =>
  report.remarks.map(({ what, names }) => `${what}: ${names.join(" ")}`);

test("links are followed, capitals are matched, what is hidden is named", async () => {
  const folder = recordings({ "sit/b.csv": 3, "sit/C.CSV": 3, "../real/a.csv": 3, "sit/.old/x.csv": 3 });
  symlinkSync("../real", join(folder, "walk"));
  symlinkSync("..", join(folder, "sit", "round"));
  symlinkSync("nowhere", join(folder, "sit", "lost.csv"));
  const report = await prepare(folder);
  assert.equal(report.clips, 3);
  assert.equal(report.classes, 2);
  const [links, broken, hidden] = said(report);
  assert.equal(links, "links, which were followed: sit/round walk");
  assert.equal(broken, "links that lead nowhere, left out: sit/lost.csv");
  assert.equal(hidden, "hidden, left out: sit/.old");
  await assert.rejects(prepare(folder, {}, { strict: true }), /--strict\): 1 links that lead nowhere/);
});

test("folders of subjects within folders of classes", async () => {
  const report = await prepare(recordings({ "walk/s1/a.csv": 2, "walk/s2/a.csv": 2, "sit/s1/a.csv": 2 }));
  assert.equal(report.classes, 2);
  assert.match(said(report)[0], /taken for subjects.*: s1 s2/);
});

test("a table's lines without a file and labels alike are named; quotes are not part of a label", async () => {
  const folder = recordings({ "a.csv": 2, "b.csv": 2, "c.csv": 2 });
  const labels = table('file,label\na.csv,"lift"\nb.csv,Lift\nc.csv,lift\ngone.csv,jump\n');
  const report = await prepare(folder, { labels });
  assert.equal(report.classes, 2);
  assert.equal(said(report)[0], `lines of ${labels} without a file: gone.csv`);
  assert.equal(said(report)[1], 'labels that differ by blanks or case, kept apart as classes: "Lift" and "lift"');
  await assert.rejects(prepare(folder, { labels }, { strict: true }), /1 lines of .* without a file: gone.csv/);
  await assert.rejects(prepare(folder, { labels: table("file,label\na,x\n") }), /it names "a"; write "a.csv"/);
});

test("subject 0 and splits without clips are refused", async () => {
  const folder = recordings({ "a.csv": 2, "b.csv": 2 });
  const labels = table("file,label,subject\na.csv,x,1\nb.csv,x,3\n");
  await assert.rejects(prepare(folder, { labels, testSubjects: [0] }), /subject 0; subjects count from 1/);
  await assert.rejects(prepare(folder, { labels, testSubjects: [99] }), /leaves nothing to test on: all 2 clips train/);
  await assert.rejects(prepare(folder, { labels, testSubjects: [1, 3] }), /leaves nothing to train on/);
  const zero = table("file,label,subject\na.csv,x,0\nb.csv,x,3\n");
  await assert.rejects(prepare(folder, { labels: zero }), /line 2: subject is 0; subjects count from 1/);
  assert.deepEqual((await prepare(folder, { labels, testSubjects: [3] })).protocols, [
    { name: "xsub", train: 1, test: 1 },
  ]);
  const nobody = "subjects named of whom there is no clip (there are 1, 3): 9";
  assert.deepEqual(said(await prepare(folder, { labels, testSubjects: [3, 9] })), [nobody]);
  await assert.rejects(prepare(folder, { labels, testSubjects: [3, 9] }, { strict: true }), /1 subjects named of whom/);
});

test("recordings keep all their frames unless a limit is given, and a cut is told", async () => {
  const folder = recordings({ "x/long.csv": 400 });
  assert.deepEqual(said(await prepare(folder)), []);
  assert.deepEqual(said(await prepare(folder, {}, { maxFrames: 300 })), [
    "clips cut to their first 300 frames: x/long.csv (400 frames)",
  ]);
});

test("a lost joint takes its place between the frames around, is counted, and the store knows which it was", async () => {
  const folder = recordings({ "x/a.csv": 1 });
  writeFileSync(
    join(folder, "x", "a.csv"),
    "1,1,1,1,2,1\n2,1,1,nan,nan,nan\n3,1,1,3,2,5\n4,1,1,nan,nan,nan\n5,1,1,0,0,0\n",
  );
  const path = join(root, "filled.json");
  writeFileSync(path, JSON.stringify({ layout, fields: ["x", "y", "z"], missing: ["nan"] }));
  const report = await prepare(folder, { spec: path }, { normalize: false });
  assert.deepEqual(said(report), ["clips with lost joints, which were filled: x/a.csv (2 joints)"]);
  assert.deepEqual(report.missing, { joints: 2, of: 10, clips: 1, inTime: 2 });
  const store = ClipStore.open(report.path);
  assert.deepEqual(
    [...store.read(0).data.slice(9, 12), ...store.read(0).data.slice(21)],
    [2, 2, 3, 1.5, 1, 2.5, 5, 1, 1, 0, 0, 0],
  );
  assert.deepEqual([...store.lost(0)!], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]);
  assert.deepEqual(describeStore(report.path).lost, { joints: 2, clips: 1 });
  store.close();
});

test("a map takes the mean of the joints that are there", () => {
  const map = {
    from: layout3,
    to: layout3,
    sources: [
      [
        [0, 0.5],
        [1, 0.5],
      ],
      [[1, 1]],
      [[0, 1]],
    ],
  } as const;
  const mapped = mapClip(
    { data: Float32Array.of(NaN, NaN, NaN, 1, 2, 3, 4, 5, 6), frames: 1, persons: 1, joints: 3 },
    map,
  );
  assert.deepEqual([...mapped.data], [1, 2, 3, 1, 2, 3, NaN, NaN, NaN]);
});

test("clips that are the same recording are named, and left out where asked", async () => {
  const folder = recordings({
    "sit/a.csv": 3,
    "sit/b.csv": 4,
    "sit/c.csv": 4,
    "stand/d.csv": 5,
    "walk/e.csv": 3,
    "walk/f.csv": 5,
    "walk/g.csv": 6,
  });
  const labels = table(
    "file,label,subject\nsit/a.csv,sit,1\nsit/b.csv,sit,1\nsit/c.csv,sit,2\nstand/d.csv,walk,1\nwalk/e.csv,walk,2\nwalk/f.csv,walk,1\nwalk/g.csv,walk,2\n",
  );
  const options = { labels, testSubjects: [2] };
  // As it is read: what moves as a whole stands still once it is centred.
  const raw = { normalize: false };
  const kept = await prepare(folder, options, raw);
  assert.equal(kept.clips, 7);
  const [classes, sides, others] = said(kept).filter((line) => line.includes("same recording"));
  assert.match(
    classes,
    /^clips are the same recording as one of another class, .* wrong: \S*e\S* \(walk\) is \S*a\S* \(sit\)$/,
  );
  assert.match(
    sides,
    /^clips are the same recording as one on the other side of a protocol, .*: \S*c\S* is \S*b\S* \(/,
  );
  assert.match(others, /^clips are the same recording as another: \S*f\S* is \S*d\S*$/);
  await assert.rejects(prepare(folder, options, { ...raw, strict: true }), /same recording as one of another class/);

  const skipped = await prepare(folder, options, { ...raw, onSame: "skip" });
  assert.equal(skipped.clips, 4);
  assert.equal(said(skipped).filter((line) => line.startsWith("clips are left out, the same recording as")).length, 3);
});

test("the same recording on two sides of own folds is named, by subject and by file", async () => {
  const folder = recordings({ "sit/a.csv": 3, "sit/b.csv": 3, "walk/c.csv": 4, "walk/d.csv": 5 });
  const labels = table("file,label,subject\nsit/a.csv,sit,1\nsit/b.csv,sit,2\nwalk/c.csv,walk,1\nwalk/d.csv,walk,2\n");
  const apart = table("file,fold\nsit/a.csv,one\nsit/b.csv,two\nwalk/c.csv,one\nwalk/d.csv,two\n");
  const together = table("file,fold\nsit/a.csv,one\nsit/b.csv,one\nwalk/c.csv,two\nwalk/d.csv,two\n");
  const same = async (folds: string, more: PrepareOptions = {}): Promise<string[]> =>
    said(await prepare(folder, { labels }, { normalize: false, folds, ...more })).filter((line) =>
      line.includes("same recording"),
    );
  const sides =
    "clips are the same recording as one on the other side of a protocol, which trains on it and tests with it";
  assert.deepEqual(await same("subject"), [`${sides}: sit/b.csv is sit/a.csv (subject-1, subject-2)`]);
  assert.deepEqual(await same(apart), [`${sides}: sit/b.csv is sit/a.csv (one, two)`]);
  await assert.rejects(same("subject", { strict: true }), /--strict.*on the other side of a protocol/);
  assert.deepEqual(await same(together, { strict: true }), [
    "clips are the same recording as another: sit/b.csv is sit/a.csv",
  ]);
});

test("bodies that never move are no recording of each other", async () => {
  const folder = recordings({ "sit/a.csv": 1, "walk/b.csv": 1 });
  assert.deepEqual(
    said(await prepare(folder)).filter((line) => line.includes("same recording")),
    [],
  );
});
