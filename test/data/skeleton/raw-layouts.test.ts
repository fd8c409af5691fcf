/** Generated actions in the real layouts of NTU RGB+D 120 and PKU-MMD are read back as what was written. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { writeNtu120, writePkuMmd } from "../../../scripts/raw-layouts.ts";
import { generateClip } from "../../../src/data/synthetic/generator.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import { openSourceOf } from "../../../src/data/sources/kinds.ts";
import { ClipStore } from "../../../src/data/store/store.ts";
import { SYNTHETIC_ACTIONS } from "../../../src/data/synthetic/actions.ts";
import { maxDifference, SHARED_DATA, unless } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-layouts-"));
after(() => rmSync(folder, { recursive: true }));

test("NTU RGB+D 120: a file a clip, with both published protocols", async () => {
  const files = writeNtu120(join(folder, "ntu"), 6);
  const path = join(folder, "ntu.clips");
  const { source } = openSourceOf("ntu120", join(folder, "ntu"));
  const report = await prepareStore(source, path, { normalize: false, onBad: "fail" });
  assert.deepEqual([report.clips, report.protocols.map(({ name }) => name)], [6, ["ntu120-xsub", "ntu120-xset"]]);
  const store = ClipStore.open(path);
  for (let i = 0; i < store.length; i++) {
    const { name, label, subject, setup } = store.facts(i);
    assert.deepEqual(
      [subject, setup, files.map((file) => basename(file, ".skeleton")).indexOf(name)],
      [1, label + 1, label],
    );
    const { clip } = generateClip(SYNTHETIC_ACTIONS[label], label, 1, 1, { rate: 30, seed: label });
    const read = store.read(i);
    // Seven digits are written of every number.
    assert.ok(maxDifference(read.data, clip.data.subarray(0, read.data.length)) < 1e-5, name);
  }
  store.close();
});

test("PKU-MMD: recordings of many actions, label files, a list of those that train", async () => {
  const { recordings, labels, splitList } = writePkuMmd(join(folder, "pku"), 65);
  assert.equal(recordings.length, 4);
  const path = join(folder, "pku.clips");
  const { source } = openSourceOf("pku-mmd", join(folder, "pku", "skeleton"), { labels, splitList });
  const report = await prepareStore(source, path, { normalize: false, onBad: "fail" });
  assert.deepEqual(report.protocols, [{ name: "pku-mmd-cross-subject-v2", train: 60, test: 5 }]);
  const store = ClipStore.open(path);
  const names = Array.from({ length: store.length }, (_, i) => store.facts(i).name);
  const number = names.indexOf("A01N01-L_3");
  assert.equal(store.label(number), 3);
  const { clip } = generateClip(SYNTHETIC_ACTIONS[3], 3, 1, 1, { rate: 30, seed: 3 });
  assert.ok(maxDifference(store.read(number).data, clip.data.subarray(0, 300 * 150)) < 1e-5);
  store.close();
});

/** What a line looks like: its numbers as #. */
const formOf = (line: string): string => line.replace(/-?\d+(\.\d+)?(e-?\d+)?/g, "#");

const REAL = `${SHARED_DATA}/raw_samples`;

test("lines have the form of the real files'", { skip: unless(REAL) }, () => {
  const [made] = writeNtu120(join(folder, "form"), 1);
  const real = readFileSync(`${REAL}/ntu/S001C003P008R002A058.skeleton`, "utf8");
  const lines = (text: string): string[] => text.split("\n").slice(0, 6).map(formOf);
  assert.deepEqual(lines(readFileSync(made, "utf8")), lines(real));
  const {
    recordings: [recording],
  } = writePkuMmd(join(folder, "form"), 1);
  const pku = readFileSync(`${REAL}/pku/A10N08-L.txt`, "utf8");
  const [first, second] = readFileSync(recording, "utf8").split("\n").map(formOf);
  assert.deepEqual([first, second], pku.split("\n").slice(0, 2).map(formOf));
});
