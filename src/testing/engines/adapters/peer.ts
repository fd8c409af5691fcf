/** Libraries that this package does not depend on, looked for in the user's project. */
import { builtin } from "../../../io/builtin.ts";

/** `require` of some folder. */
export interface Resolver {
  resolve(specifier: string): string;
  (specifier: string): unknown;
}

/** `require` as it stands in the folder where the process was started. */
export function projectRequire(): Resolver {
  const { createRequire } = builtin<{ createRequire(from: string): Resolver }>("node:module", "check-engine");
  const { join } = builtin<{ join(...parts: string[]): string }>("node:path", "check-engine");
  return createRequire(join(process.cwd(), "package.json"));
}

/** A file's address for `import()`. */
export function addressOf(path: string): string {
  return builtin<{ pathToFileURL(path: string): URL }>("node:url", "check-engine").pathToFileURL(path).href;
}

/** The package's version, by the package.json above the file that its name leads to. */
export function versionOf(require: Resolver, name: string): string {
  const { dirname, join } = builtin<{ dirname(path: string): string; join(...parts: string[]): string }>(
    "node:path",
    name,
  );
  const { readFileSync } = builtin<{ readFileSync(path: string, encoding: string): string }>("node:fs", name);
  for (let at = dirname(require.resolve(name)); at !== dirname(at); at = dirname(at)) {
    try {
      const found = JSON.parse(readFileSync(join(at, "package.json"), "utf8")) as { name?: string; version?: string };
      if (found.name === name) return found.version ?? "";
    } catch {
      // No package.json in this folder.
    }
  }
  return "";
}

/** Whether the project has a package. */
export function has(require: Resolver, name: string): boolean {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** Says what to install where the project has it not. */
export function resolvePeer(require: Resolver, engine: string, names: readonly string[]): void {
  for (const name of names) {
    if (!has(require, name))
      throw new Error(`${engine} needs ${name}, which this project does not have: npm i -D ${names.join(" ")}`);
  }
}
