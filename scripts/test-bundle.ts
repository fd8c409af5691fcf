/**
 * What tests run, in plain JavaScript: what test files share is read and translated once, where every process of
 * node:test would do it again, and so is the command, which many of them start. Each file lies below a folder of the
 * project, as its source does.
 */
import type { BuildOptions, Plugin } from "esbuild";
import { build } from "esbuild";
import { copyFileSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";

const MODULES = {
  ...{ bundle: true, splitting: true, format: "esm", platform: "node", target: "node20", packages: "external" },
  // A failure names the line of the source.
  ...{ sourcemap: true, logLevel: "error" },
  // A name of its own in every file, on its first line: texts of programs in a test keep theirs.
  define: { "import.meta.url": "sourcePlace" },
} as const satisfies BuildOptions;

/** Programs of threads, by their path in src. */
const WORKERS = [
  "data/batches/loader-worker.ts",
  "data/synthetic/generator-worker.ts",
  "report/measures/tsne-worker.ts",
];

/** Tells every file the place that `placeOf` gives for its source's path. */
function placed(placeOf: (path: string) => string): Plugin {
  return {
    name: "place of the source",
    setup({ onLoad, onResolve }) {
      // A path of a server, which a browser asks for.
      onResolve({ filter: /^\// }, ({ path, kind }) =>
        kind === "dynamic-import" ? { path, external: true } : undefined,
      );
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, "utf8");
        const place = `const sourcePlace = ${JSON.stringify(pathToFileURL(placeOf(path)).href)};`;
        const contents = text.includes("import.meta.url") ? place + text.replace(/^#!.*/, "") : text;
        return { contents, loader: "ts" };
      });
    },
  };
}

/**
 * Translates test files into `folder`, which is emptied; each takes paths from its source's place.
 * @returns their paths there, in the same order
 */
export async function bundleTests(root: string, files: readonly string[], folder: string): Promise<string[]> {
  rmSync(folder, { recursive: true, force: true });
  const places = { absWorkingDir: root, entryPoints: [...files], outbase: root, outdir: folder };
  await build({ ...MODULES, ...places, plugins: [placed((path) => path)] });
  return files.map((file) => join(folder, relative(root, file).replace(/\.ts$/, ".js")));
}

/**
 * Translates the command into `folder`, laid out as a package: it finds its threads' and its children's programs there,
 * all of them JavaScript, as an installed one does.
 * @returns the path of its program
 */
export async function bundleCommand(root: string, folder: string): Promise<string> {
  const [src, outdir] = [join(root, "src"), join(folder, "dist")];
  const programs = ["cli/main.ts", ...WORKERS];
  await build({
    ...MODULES,
    ...{ absWorkingDir: root, entryPoints: programs.map((path) => join(src, path)), outbase: src, outdir },
    // package.json tells of side effects of files in dist alone.
    ignoreAnnotations: true,
    plugins: [placed((path) => join(outdir, relative(src, path).replace(/\.ts$/, ".js")))],
  });
  copyFileSync(join(root, "package.json"), join(folder, "package.json"));
  return join(outdir, "cli/main.js");
}
