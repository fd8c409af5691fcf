/**
 * A reporter of node:test that says, at the end, which ten files took longest. It is JavaScript, since node:test loads
 * reporters before what reads TypeScript.
 */
import { relative } from "node:path";

/** The source of a translated test (test-bundle.ts). */
const sourceOf = (file) => relative(process.cwd(), file).replace(/^\.cache\/tests\/\d+\/(.*)\.js$/, "$1.ts");

export default async function* slowest(events) {
  const seconds = new Map();
  for await (const { type, data } of events) {
    if ((type !== "test:pass" && type !== "test:fail") || data.nesting !== 0 || !data.file) continue;
    const file = sourceOf(data.file);
    seconds.set(file, (seconds.get(file) ?? 0) + (data.details?.duration_ms ?? 0) / 1000);
  }
  const longest = [...seconds].sort((a, b) => b[1] - a[1]).slice(0, 10);
  yield "# slowest files\n";
  for (const [file, took] of longest) yield `# ${took.toFixed(1).padStart(7)} s  ${file}\n`;
}
