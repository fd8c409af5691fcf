/**
 * Compiles src into a folder (default dist).
 *
 * - TypeScript wraps the argument of every `import(…)` that is no literal, to rewrite `.ts` in it; words to bundlers count
 *   only before the argument itself, so it is unwrapped again.
 * - Source maps are cut to lines.
 * - Declarations that no entry of the package leads to are left out: nobody can import what they describe.
 * - What charts and pages use of d3-scale and uPlot is put into the package, beside its licences: of both packages and
 *   the eight below them a user would install a megabyte, of which this is a twentieth.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { lineMappings } from "./line-maps.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = process.argv[2] ?? join(root, "dist");
const modules = join(root, "node_modules");

rmSync(out, { recursive: true, force: true });
const tsc = join(modules, "typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", out], { cwd: root, stdio: "inherit" });

const wrapped = "__rewriteRelativeImportExtension(";
const helper = /^var __rewriteRelativeImportExtension = [\s\S]*?^};\n/m;
let found = 0;
for (const name of readdirSync(out, { recursive: true, encoding: "utf8" })) {
  const file = join(out, name);
  if (name.endsWith(".js.map")) shorten(file, name);
  const text = name.endsWith(".js") ? readFileSync(file, "utf8") : "";
  if (!text.includes("__rewriteRelativeImportExtension")) continue;
  found++;
  const plain = unwrapped(text).replace(helper, (lines) => "\n".repeat(lines.split("\n").length - 1));
  if (plain.includes("__rewrite")) throw new Error(`${name}: an import() that scripts/build.mjs does not expect`);
  writeFileSync(file, plain);
}
if (found === 0) throw new Error("no file has an import() of what is no literal: scripts/build.mjs has nothing to mend");
await takeIn();
leaveOutInnerDeclarations();
chmodSync(join(out, "cli/main.js"), 0o755);

/** The text with `import(wrapper(ARGUMENT))` as `import(ARGUMENT)`. */
function unwrapped(text) {
  for (let at = text.indexOf(`import(${wrapped}`); at >= 0; at = text.indexOf(`import(${wrapped}`)) {
    const from = at + "import(".length + wrapped.length;
    let to = from;
    for (let depth = 1; depth > 0; to++) depth += text[to] === "(" ? 1 : text[to] === ")" ? -1 : 0;
    text = text.slice(0, at + "import(".length) + text.slice(from, to - 1) + text.slice(to);
  }
  return text;
}

/** Cuts a map to lines. An empty text as the source's tells tools not to look for a file that is not installed. */
function shorten(file, name) {
  const { mappings } = JSON.parse(readFileSync(file, "utf8"));
  const source = relative(dirname(join("dist", name)), join("src", name.replace(/\.js\.map$/, ".ts")));
  const lines = { version: 3, sources: [source.replaceAll("\\", "/")], sourcesContent: [""], names: [] };
  writeFileSync(file, JSON.stringify({ ...lines, mappings: lineMappings(mappings) }));
}

function leaveOutInnerDeclarations() {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const reached = new Set();
  const visit = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const [, name] of readFileSync(file, "utf8").matchAll(/(?:from |import |import\()"(\.[^"]+)"/g))
      visit(join(dirname(file), name.replace(/(?:\.d)?\.[jt]s$/, ".d.ts")));
  };
  for (const { types } of Object.values(exports)) if (types) visit(join(out, relative("dist", types)));
  for (const name of readdirSync(out, { recursive: true, encoding: "utf8" }))
    if (name.endsWith(".d.ts") && !reached.has(join(out, name))) rmSync(join(out, name));
}

/** Replaces a text that must be there. */
function replace(file, from, to) {
  const text = readFileSync(file, "utf8");
  if (!text.includes(from)) throw new Error(`${file} has no ${from}, which scripts/build.mjs replaces`);
  writeFileSync(file, text.replace(from, to));
}

/** Puts what is used of d3-scale and uPlot beside the files that use it. */
async function takeIn() {
  const charts = join(out, "report/charts");
  replace(join(charts, "chart.js"), 'from "d3-scale"', 'from "./d3-scale.js"');
  const { metafile } = await build({
    stdin: { contents: 'export { scaleBand, scaleLinear, scaleLog } from "d3-scale";', resolveDir: root },
    bundle: true,
    format: "esm",
    minify: true,
    metafile: true,
    banner: { js: "/* d3-scale and what it needs of other packages; their licences are in d3-scale.LICENSES */" },
    outfile: join(charts, "d3-scale.js"),
  });
  const inputs = Object.keys(metafile.inputs).map((input) => /node_modules\/([^/]+)\//.exec(input)?.[1]);
  const licences = [...new Set(inputs)].filter(Boolean).sort().map(licence);
  writeFileSync(join(charts, "d3-scale.LICENSES"), licences.join("\n\n"));

  const page = join(out, "report/page");
  for (const name of ["uPlot.iife.min.js", "uPlot.min.css"]) {
    replace(join(page, "page.js"), `packageFile.resolve("uplot/dist/${name}")`, `new URL("./${name}", import.meta.url)`);
    copyFileSync(join(modules, "uplot/dist", name), join(page, name));
  }
  writeFileSync(join(page, "uPlot.LICENSE"), licence("uplot"));
}

function licence(name) {
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((one) => join(modules, name, one)).find(existsSync);
  if (!file) throw new Error(`${name} has no licence to be put into the package`);
  return `${name}\n\n${readFileSync(file, "utf8").trim()}\n`;
}
