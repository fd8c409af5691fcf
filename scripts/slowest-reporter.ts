/** A reporter of node:test that says, at the end, which ten files took longest. */
import { relative } from "node:path";

interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly file?: string;
    readonly nesting?: number;
    readonly details?: { readonly duration_ms?: number };
  };
}

export default async function* slowest(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const seconds = new Map<string, number>();
  for await (const { type, data } of events) {
    if ((type !== "test:pass" && type !== "test:fail") || data.nesting !== 0 || !data.file) continue;
    seconds.set(data.file, (seconds.get(data.file) ?? 0) + (data.details?.duration_ms ?? 0) / 1000);
  }
  const longest = [...seconds].sort((a, b) => b[1] - a[1]).slice(0, 10);
  yield "\nslowest files:\n";
  for (const [file, took] of longest) yield `${took.toFixed(1).padStart(7)} s  ${relative(process.cwd(), file)}\n`;
}
