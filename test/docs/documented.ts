/** Figures that docs/benchmarks.md states, for the tests that count the same things. */
import { readFileSync } from "node:fs";

const text = readFileSync(new URL("../../docs/benchmarks.md", import.meta.url), "utf8");

/**
 * The table whose head begins with these cells, its rows by their first cell.
 * @throws Error where there is none, or more than one.
 */
export function documentedTable(...head: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const lines = text.split("\n");
  const start = `| ${head.join(" | ")} |`;
  const [at, ...others] = lines.flatMap((line, i) => (line.startsWith(start) ? [i] : []));
  if (at === undefined || others.length > 0)
    throw new Error(`docs/benchmarks.md has ${others.length + (at === undefined ? 0 : 1)} tables that begin ${start}`);
  const rows = lines.slice(at + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return new Map(
    rows.slice(0, end).map((line): [string, string[]] => {
      const [first, ...cells] = line
        .slice(1, line.lastIndexOf("|"))
        .split("|")
        .map((cell) => cell.trim());
      return [first, cells];
    }),
  );
}
