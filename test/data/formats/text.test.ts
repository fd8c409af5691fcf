/** Text files as editors and spreadsheets save them: byte order marks, UTF-16, every line end. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readText, splitLines } from "../../../src/data/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-text-"));
after(() => rmSync(folder, { recursive: true }));

test("encodings with a mark give the text without it", () => {
  const text = "file,label\nä.csv,wave\n";
  const wide = Buffer.from(`\ufeff${text}`, "utf16le");
  for (const bytes of [Buffer.from(text), Buffer.from(`\ufeff${text}`), wide, Buffer.from(wide).swap16()]) {
    writeFileSync(join(folder, "t.csv"), bytes);
    assert.equal(readText(join(folder, "t.csv")), text);
  }
});

test("what is no UTF-8 keeps different letters apart", () => {
  writeFileSync(join(folder, "t.csv"), Buffer.from("a.csv,H\u00f6he\nb.csv,H\u00e4he\n", "latin1"));
  assert.equal(readText(join(folder, "t.csv")), "a.csv,Höhe\nb.csv,Hähe\n");
});

test("line ends: LF, CRLF, CR", () => {
  for (const end of ["\n", "\r\n", "\r"]) assert.deepEqual(splitLines(["a", "", "b", ""].join(end)), ["a", "", "b"]);
});
