/**
 * Test files in plain JavaScript: what they share is read and translated once, where every process of node:test would
 * do it again. Each lies where its source lies, below a folder of the project, and takes paths from its source's place.
 */
import { build } from "esbuild";
import { readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";

/** Translates test files into `folder`, which is emptied. @returns their paths there, in the same order */
export async function bundleTests(root: string, files: readonly string[], folder: string): Promise<string[]> {
  rmSync(folder, { recursive: true, force: true });
  await build({
    ...{ absWorkingDir: root, entryPoints: [...files], outbase: root, outdir: folder, logLevel: "error" },
    ...{ bundle: true, splitting: true, format: "esm", platform: "node", target: "node20", packages: "external" },
    // A failure names the line of the source.
    sourcemap: true,
    // A name of its own in every file, on its first line: texts of programs in a test keep theirs.
    define: { "import.meta.url": "sourcePlace" },
    plugins: [
      {
        name: "place of the source",
        setup({ onLoad, onResolve }) {
          // A path of a server, which a browser asks for.
          onResolve({ filter: /^\// }, ({ path, kind }) =>
            kind === "dynamic-import" ? { path, external: true } : undefined,
          );
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const text = readFileSync(path, "utf8");
            const place = `const sourcePlace = ${JSON.stringify(pathToFileURL(path).href)};`;
            const contents = text.includes("import.meta.url") ? place + text.replace(/^#!.*/, "") : text;
            return { contents, loader: "ts" };
          });
        },
      },
    ],
  });
  return files.map((file) => join(folder, relative(root, file).replace(/\.ts$/, ".js")));
}
