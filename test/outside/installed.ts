/**
 * The package as a stranger has it: compiled, packed, and unpacked into an empty project outside this repository.
 *
 * Nothing of the repository can be reached from there but what is put in by name: the package's own dependencies, the
 * types of Node, and what a sample imports. Packing takes a compiler run, so the tarball is kept in the system's
 * temporary folder under a checksum of everything that goes into it; the test files share it.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const NAME = "hico-webgpu";

interface Manifest {
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, unknown>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
export const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

/** The names of the package's entries: `hico-webgpu`, `hico-webgpu/nn`, …; its package.json is none. */
export const entries: readonly string[] = Object.keys(manifest.exports)
  .filter((entry) => entry !== "./package.json")
  .map((entry) => NAME + entry.slice(1));

/** Every file that a tarball is made of. */
function ingredients(): string[] {
  const below = (path: string): string[] =>
    !existsSync(path)
      ? []
      : statSync(path).isDirectory()
        ? readdirSync(path).flatMap((name) => below(join(path, name)))
        : [path];
  const made = [
    "src",
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "scripts/build.mjs",
    "scripts/line-maps.mjs",
  ];
  return [...made, ...manifest.files.filter((file) => file !== "dist")].flatMap((file) => below(join(root, file)));
}

/** Folders of older tarballs, which nobody will ask for again. */
function removeOlder(keep: string): void {
  for (const name of readdirSync(tmpdir())) {
    const path = join(tmpdir(), name);
    if (!name.startsWith("hico-packed-") || path === keep) continue;
    if (Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

/** Compiles and packs what is in the working tree, unless that is done already; the tarball's path. */
export function packed(): string {
  const sum = createHash("sha256");
  for (const file of ingredients().sort()) sum.update(file.slice(root.length)).update("\0").update(readFileSync(file));
  const folder = join(tmpdir(), `hico-packed-${sum.digest("hex").slice(0, 16)}`);
  const tarball = (): string => join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz"))!);
  if (existsSync(folder)) return tarball();
  const making = mkdtempSync(join(tmpdir(), "hico-packing-"));
  try {
    const stage = join(making, "package");
    execFileSync(process.execPath, [join(root, "scripts/build.mjs"), join(stage, "dist")], { stdio: "pipe" });
    for (const file of ["package.json", ...manifest.files]) {
      if (file !== "dist" && existsSync(join(root, file)))
        cpSync(join(root, file), join(stage, file), { recursive: true });
    }
    execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", making], { cwd: stage, stdio: "pipe" });
    rmSync(stage, { recursive: true });
    renameSync(making, folder);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    // Another process that was faster leaves a folder that a rename cannot replace: it is the same.
    if (!existsSync(folder)) throw error;
  }
  removeOlder(folder);
  return tarball();
}

/** Makes a package of this repository's `node_modules` known in a project, as a link. */
export function link(project: string, name: string): void {
  const target = join(root, "node_modules", name);
  if (!existsSync(target)) throw new Error(`the package "${name}" is not installed here; add it to devDependencies`);
  const place = join(project, "node_modules", name);
  if (existsSync(place)) return;
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(target, place);
}

/**
 * An empty project with the tarball in it and nothing else but its dependencies, without `optional` ones where asked.
 * The caller removes the folder.
 */
export function emptyProject({ optional = true }: { readonly optional?: boolean } = {}): string {
  const project = mkdtempSync(join(tmpdir(), "hico-outside-"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const home = join(project, "node_modules", NAME);
  mkdirSync(home, { recursive: true });
  execFileSync("tar", ["-xzf", packed(), "--strip-components=1", "-C", home]);
  for (const name of Object.keys(manifest.dependencies ?? {})) link(project, name);
  if (optional) for (const name of Object.keys(manifest.optionalDependencies ?? {})) link(project, name);
  return project;
}

/** What TypeScript is told in a stranger's strict project. */
export const STRICT = {
  target: "ES2022",
  module: "NodeNext",
  lib: ["ES2023", "DOM", "DOM.Iterable"],
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  rewriteRelativeImportExtensions: true,
  skipLibCheck: true,
} as const;

/** Compiles a project with these options and its `include`; the errors in words, none where all is well. */
export function compileProject(project: string, options: object, include: readonly string[]): string[] {
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "-p", project, "--pretty", "false"], { cwd: project, encoding: "utf8" });
    return [];
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? error)
      .split("\n")
      .filter((line) => line !== "");
  }
}
