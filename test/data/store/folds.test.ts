/** Own folds: one subject out, groups of subjects, files; what has no place is refused. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatPrepareReport } from "../../../src/cli/data/prepare-report.ts";
import type { ClipFacts } from "../../../src/data/index.ts";
import { ClipStore, foldProtocols, generatedSource, prepareStore } from "../../../src/data/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-folds-"));
after(() => rmSync(folder, { recursive: true }));

const clips: ClipFacts[] = [1, 2, 2, 5, 7].map((subject, i) => ({ name: `c${i}`, label: 0, subject }));

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

/** Per fold its name and the clips that test. */
const made = (folds: string, of = clips): Record<string, string> =>
  Object.fromEntries(
    foldProtocols(folds, of, 0).map(({ name, split }) => [
      name,
      of
        .filter((facts) => split(facts) === "test")
        .map((facts) => facts.name)
        .join(" "),
    ]),
  );

test("by subject: one out, or groups", () => {
  assert.deepEqual(made("subject"), { "subject-1": "c0", "subject-2": "c1 c2", "subject-5": "c3", "subject-7": "c4" });
  assert.deepEqual(made("subject:2"), { "fold-1": "c0 c3", "fold-2": "c1 c2 c4" });
  assert.throws(() => made("subject:x"), /neither subject nor subject:GROUPS/);
  assert.throws(() => made("subject", [...clips, { name: "who", label: 0 }]), /who: label: has no subject/);
  const many = Array.from({ length: 20 }, (_, i) => ({ name: `m${i}`, label: 0, subject: i + 1 }));
  assert.throws(() => made("subject", many), /makes 20 folds; a store has room for 16 more; --folds subject:10/);
});

test("from a file: lists or a table; windows go where their recording goes", () => {
  const lists = file("lists.json", JSON.stringify({ a: ["c0", "c1", "c2"], b: ["c3", "c4"] }));
  assert.deepEqual(made(lists), { a: "c0 c1 c2", b: "c3 c4" });
  const table = file("table.csv", "file,fold\nc0,1\nc1,1\nc2,2\nc3,2\nr.csv,2\n");
  const windows = [...clips.slice(0, 4), { name: "r.csv@90", label: 0 }];
  assert.deepEqual(made(table, windows), { "fold-1": "c0 c1", "fold-2": "c2 c3 r.csv@90" });
  assert.throws(() => made(table), /table\.csv: label: names no fold for clip c4/);
  writeFileSync(table, `file,fold\n${clips.map(({ name }, i) => `${name},${i % 2 ? "1" : "fold-1"}\n`).join("")}`);
  assert.throws(() => made(table), /has a fold fold-1 and another that is called fold-1 too/);
  assert.throws(() => made(file("twice.csv", "file,fold\nc0,1\nc0,2\n")), /puts c0 into 1 and into 2/);
  assert.throws(() => made(file("head.csv", "clip,group\n")), /columns file,fold; it is "clip,group"/);
  assert.throws(() => made(join(folder, "absent.csv")), /absent\.csv: unreadable/);
});

test("a store has them beside its own protocol; one without any says so when it is made", async () => {
  const path = join(folder, "folds.clips");
  const source = generatedSource({ subjects: 4, repetitions: 1 });
  const report = await prepareStore(source, path, { folds: "subject" });
  assert.deepEqual(
    report.protocols.map(({ name }) => name),
    [source.protocols[0].name, "subject-1", "subject-2", "subject-3", "subject-4"],
  );
  const store = ClipStore.open(path);
  for (const subject of [1, 2, 3, 4])
    assert.ok(store.indices(`subject-${subject}`, "test").every((i) => store.facts(i).subject === subject));
  store.close();
  const bare = await prepareStore({ ...source, protocols: [] }, join(folder, "bare.clips"));
  assert.match(formatPrepareReport(bare), /no split: all clips train/);
});
