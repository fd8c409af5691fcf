/** Reads SVG documents back, strictly. */
import assert from "node:assert/strict";

export interface Element {
  readonly name: string;
  readonly attributes: Record<string, string>;
}

/** All elements of a document; fails unless every one is closed in order. */
export function elements(svg: string): Element[] {
  const found: Element[] = [];
  const open: string[] = [];
  for (const [, close, name, rest, alone] of svg.matchAll(/<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g)) {
    if (close) assert.equal(open.pop(), name);
    else {
      found.push({
        name,
        attributes: Object.fromEntries([...rest.matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, k, v]) => [k, v])),
      });
      if (!alone) open.push(name);
    }
  }
  assert.deepEqual(open, []);
  assert.equal(svg.replace(/<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g, "").includes("<"), false);
  return found;
}
