/** What planting errors needs: a copy of the tree, its edit, and a record of what is done. */
import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutation } from "./mutation.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** A copy of the tree that shares the installed packages. */
export function copyTree(): string {
  const folder = mkdtempSync(join(tmpdir(), "hico-mutant-"));
  for (const name of ["src", "test", "scripts", "bench", "docs", "package.json", "tsconfig.json", "README.md"]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Plants an error in a copy of the tree. @returns what takes it out again */
export function plantIn(folder: string, { file, find, replace }: Mutation): () => void {
  const path = join(folder, file);
  const text = readFileSync(path, "utf8");
  if (!text.includes(find)) throw new Error(`${file} has no "${find}": the list is out of date`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
  return () => writeFileSync(path, text);
}

export const titleOf = ({ file, find, replace }: Mutation): string => `${file}: ${find}  →  ${replace || "(nothing)"}`;

/** What an earlier run has seen, each as JSON on a line of its own. */
export class Tally {
  readonly #file: string | undefined;
  readonly #told: Set<string>;

  constructor(file: string | undefined) {
    this.#file = file;
    const lines = file !== undefined && existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
    this.#told = new Set(lines.filter(Boolean).map((line) => JSON.parse(line) as string));
  }

  has(what: string): boolean {
    return this.#told.has(what);
  }

  tell(what: string): void {
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(what)}\n`);
  }
}
