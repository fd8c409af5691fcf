import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fittedBatch, fittedSettings } from "../../../src/hico/run/fit.ts";
import { resolveSettings, SETTINGS } from "../../../src/hico/run/settings.ts";

describe("sizes that fit the data", () => {
  test("a small set is given steps, a batch it fills and a queue no larger than half of it", () => {
    for (const clips of [4, 56, 100, 291, 1020, 9999]) {
      const fitted = fittedSettings(clips, false);
      const { batch, epochs, queue, keyMomentum } = resolveSettings({ from: "fit", given: fitted });
      const perEpoch = Math.floor(clips / batch);
      assert.ok(perEpoch >= 4 || clips < 8, `${clips} clips in batches of ${batch}`);
      assert.ok(
        perEpoch * epochs >= 1500 && perEpoch * epochs < 1500 + perEpoch,
        `${clips}: ${perEpoch * epochs} steps`,
      );
      assert.ok(queue <= Math.max(batch, clips / 2));
      assert.ok(1 / (1 - keyMomentum) < 200, "the key network follows within the run");
    }
  });

  test("fewer epochs or another batch of a user's own move queue and momentum with them", () => {
    for (const given of [{ epochs: 3 }, { batch: 48 }, { epochs: 20, batch: 7 }]) {
      const settings = resolveSettings({ from: "fit", given: { ...fittedSettings(100, false, given), ...given } });
      const steps = settings.epochs * Math.floor(100 / settings.batch);
      assert.equal(settings.queue % settings.batch, 0);
      assert.ok(steps * (1 - settings.keyMomentum) > 1, `${steps} steps with ${settings.keyMomentum}`);
    }
    assert.equal(fittedSettings(1020, false).keyMomentum, 0.99);
  });

  test("a large set takes the paper's, but for the width on a CPU", () => {
    assert.deepEqual(fittedSettings(40_000, true), {});
    assert.deepEqual(fittedSettings(40_000, false), { encoder: "gru", hidden: 128 });
    assert.equal(SETTINGS.epochs.default, 451);
  });

  test("a preset's batch that a store does not fill becomes the largest power of two that it does", () => {
    assert.equal(fittedBatch(64, 56), 32);
    assert.equal(fittedBatch(64, 64), 64);
    assert.equal(fittedBatch(64, 1), 1);
  });
});
