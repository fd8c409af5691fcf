/** The structure of the source, read from its files: who imports whom, in which room, and what the table allows. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Text of source files by their path from the project's folder. */
export type Sources = ReadonlyMap<string, string>;

export interface Import {
  readonly file: string;
  readonly line: number;
  readonly target: string;
}

/** All TypeScript below a folder of the project. */
export function readSources(folder = "src"): Sources {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return new Map(
    files
      .filter((f) => f.endsWith(".ts"))
      .map((f) => join(folder, f).replaceAll("\\", "/"))
      .map((f) => [f, readFileSync(join(root, f), "utf8")]),
  );
}

/** Imports of the project's own files, `import(…)` and types included. */
export function importsOf(sources: Sources): Import[] {
  const found: Import[] = [];
  for (const [file, text] of sources) {
    for (const { fileName, pos } of ts.preProcessFile(text).importedFiles) {
      if (!fileName.startsWith(".")) continue;
      const line = text.slice(0, pos).split("\n").length;
      found.push({ file, line, target: normalize(join(dirname(file), fileName)).replaceAll("\\", "/") });
    }
  }
  return found;
}

/** The room of a file: the folder directly below `src`; "index" for the package's entry. */
export const roomOf = (file: string): string => (file.split("/").length > 2 ? file.split("/")[1] : "index");

/** Which rooms each room may import: the table of docs/design.md under "The house". */
export function readTable(markdown: string): ReadonlyMap<string, readonly string[] | "all"> {
  const rows = [...markdown.matchAll(/^\| `src\/([a-z]+)` \|[^|]*\|([^|]*)\|$/gm)];
  return new Map<string, readonly string[] | "all">(
    rows.map(([, room, allowed]): [string, readonly string[] | "all"] => {
      const text = allowed.trim();
      if (text === "all") return [room, "all"];
      return [room, text === "–" ? [] : text.split(",").map((name) => name.trim())];
    }),
  );
}

/** Imports that the table does not allow, each in words. */
export function wrongImports(imports: readonly Import[], table: ReturnType<typeof readTable>): string[] {
  return imports.flatMap(({ file, line, target }) => {
    const [from, to] = [roomOf(file), roomOf(target)];
    if (from === to || from === "index") return [];
    const allowed = table.get(from);
    if (!allowed) return [`${file}:${line}: the room src/${from} is not in the table of docs/design.md`];
    if (allowed === "all" || allowed.includes(to)) return [];
    return [`${file}:${line} imports ${target}: src/${from} may import ${allowed.join(", ") || "no other room"}`];
  });
}

/** Circles of files that import each other: the strongly connected parts with more than one file (Tarjan 1972). */
export function circles(imports: readonly Import[]): string[][] {
  const next = new Map<string, Set<string>>();
  for (const { file, target } of imports) {
    if (!next.has(file)) next.set(file, new Set());
    next.get(file)!.add(target);
  }
  const [index, low, stack, found] = [
    new Map<string, number>(),
    new Map<string, number>(),
    [] as string[],
    [] as string[][],
  ];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.get(file)!);
    stack.push(file);
    for (const target of next.get(file) ?? []) {
      if (!index.has(target)) visit(target);
      if (stack.includes(target)) low.set(file, Math.min(low.get(file)!, low.get(target)!));
    }
    if (low.get(file) !== index.get(file)) return;
    const part = stack.splice(stack.indexOf(file));
    if (part.length > 1 || next.get(file)?.has(file)) found.push(part.sort());
  };
  for (const file of next.keys()) if (!index.has(file)) visit(file);
  return found.sort();
}

/** Folders with more files of their own than `most`, in words. */
export function heaps(sources: Sources, most: number): string[] {
  const count = new Map<string, number>();
  for (const file of sources.keys()) count.set(dirname(file), (count.get(dirname(file)) ?? 0) + 1);
  return [...count].filter(([, files]) => files > most).map(([folder, files]) => `${folder}: ${files} files`);
}

/** Files of more than `most` lines, with how many they have. */
export function longFiles(sources: Sources, most: number): Map<string, number> {
  const lines = [...sources].map(([file, text]): [string, number] => [
    file,
    text.replace(/\n$/, "").split("\n").length,
  ]);
  return new Map(lines.filter(([, count]) => count > most));
}

export const designText = (): string => readFileSync(join(root, "docs/design.md"), "utf8");
export const exists = (file: string): boolean => existsSync(join(root, file));
