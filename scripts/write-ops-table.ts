/** Writes docs/ops.md from the op table; with `--check`, fails where the file is not up to date. */
import { readFileSync, writeFileSync } from "node:fs";
import { opsTable } from "./ops-table.ts";

const file = new URL("../docs/ops.md", import.meta.url);
const text = opsTable();
if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== text) {
    console.error("docs/ops.md is not up to date; run: npm run docs");
    process.exit(1);
  }
} else {
  writeFileSync(file, text);
}
