/**
 * Compiles src into a folder (default dist). TypeScript wraps the argument of every `import(…)` that is no literal, to
 * rewrite `.ts` in it; words to bundlers count only before the argument itself, so it is unwrapped again.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = process.argv[2] ?? join(root, "dist");

rmSync(out, { recursive: true, force: true });
const tsc = join(root, "node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", out], { cwd: root, stdio: "inherit" });

const wrapped = /import\(__rewriteRelativeImportExtension\((.*specifier)\)\)/g;
const helper = /^var __rewriteRelativeImportExtension = [\s\S]*?^};\n/m;
let found = 0;
for (const name of readdirSync(out, { recursive: true, encoding: "utf8" })) {
  const text = name.endsWith(".js") ? readFileSync(join(out, name), "utf8") : "";
  if (!text.includes("__rewriteRelativeImportExtension")) continue;
  found++;
  const plain = text.replace(wrapped, "import($1)").replace(helper, "");
  if (plain.includes("__rewrite")) throw new Error(`${name}: an import() that scripts/build.mjs does not expect`);
  writeFileSync(join(out, name), plain);
}
if (found === 0) throw new Error("no file has an import() of what is no literal: scripts/build.mjs has nothing to mend");
chmodSync(join(out, "cli/main.js"), 0o755);
