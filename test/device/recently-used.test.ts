/** Caches of devices keep a bounded number of entries, the most recently used ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LoweringCache } from "../../src/device/lowering-cache.ts";
import { RecentlyUsed } from "../../src/device/recently-used.ts";
import type { FusedOp } from "../../src/tensor/fused.ts";
import type { Node } from "../../src/tensor/node.ts";

test("the entry not used for longest leaves a full cache", () => {
  const cache = new RecentlyUsed<string>(2);
  const made: string[] = [];
  const get = (key: string) =>
    cache.get(key, () => {
      made.push(key);
      return key.toUpperCase();
    });
  assert.deepEqual(["a", "b", "a", "c", "a", "b"].map(get), ["A", "B", "A", "C", "A", "B"]);
  assert.deepEqual(made, ["a", "b", "c", "b"]);
  assert.equal(cache.size, 2);
});

test("an entry may be undefined: it is looked up once", () => {
  const cache = new RecentlyUsed<undefined>(2);
  let calls = 0;
  for (let i = 0; i < 3; i++) cache.get("none", () => void calls++ as undefined);
  assert.equal(calls, 1);
});

test("lowerings of ever other shapes are given up and made again when asked for", () => {
  const lowered: number[] = [];
  const cache = new LoweringCache<object>((_, __, [input]) => {
    lowered.push(input.shape[0]);
    return {};
  });
  const op = { name: "op", outputs: () => [{}] } as unknown as FusedOp;
  const ask = (length: number) =>
    cache.canLower(op, {
      op: { kind: "fused", attrs: {} },
      inputs: [{ dtype: "f32", shape: [length] }],
    } as unknown as Node);
  for (let length = 0; length < 5000; length++) assert.ok(ask(length));
  assert.ok(ask(4999));
  assert.equal(lowered.length, 5000);
  assert.ok(ask(0));
  assert.deepEqual(lowered.slice(5000), [0]);
});
