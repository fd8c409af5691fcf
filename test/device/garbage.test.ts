import assert from "node:assert/strict";
import { test } from "node:test";
import { isNode } from "../../src/device/environment.ts";
import { collectAfterSubmit, prepareCollection } from "../../src/device/garbage.ts";

const turn = (ms = 0): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

test("some hundred submits collect what is no longer referenced, fewer do not", async (context) => {
  if (!isNode) return context.skip("only Node lets a package ask for a collection");
  await prepareCollection();
  let kept = false;
  // The engine may collect by itself at any time: of some rounds one is enough in which it does not.
  for (let round = 0; round < 5 && !kept; round++) {
    const dropped = new WeakRef({ wrapper: true });
    await turn();
    for (let i = 0; i < 255; i++) collectAfterSubmit();
    await turn();
    kept = dropped.deref() !== undefined;
    await turn();
    const start = performance.now();
    collectAfterSubmit();
    // A collection is followed by none for twenty times as long as it took.
    const rest = 25 * (performance.now() - start);
    await turn();
    assert.equal(dropped.deref(), undefined);
    await turn(rest);
  }
  assert.ok(kept, "a collection at every submit would be dear");
});
