/** Settings: layers, checks, presets. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { RunSettings } from "../../../src/hico/index.ts";
import { PRESET_NAMES, presetNamed, resolveSettings, SETTING_NAMES, SETTINGS } from "../../../src/hico/index.ts";

const resolve = (given: Record<string, unknown>) => resolveSettings({ from: "test", given });

describe("settings", () => {
  test("later layers stand over earlier ones; text is read as numbers and lists", () => {
    const settings = resolveSettings(
      { from: "a", given: { lr: 0.5, queue: 64, batch: 8 } },
      { from: "b", given: { lr: "0.25", drops: "10,0.5", queue: undefined } },
    );
    assert.deepEqual([settings.lr, settings.queue, settings.drops, settings.epochs], [0.25, 64, [10, 0.5], 451]);
  });

  test("defaults are valid, and resolving what was resolved changes nothing", () => {
    for (const name of PRESET_NAMES) {
      const settings = resolve({ ...presetNamed(name) });
      assert.deepEqual(resolve(JSON.parse(JSON.stringify(settings)) as Record<string, unknown>), settings);
    }
  });

  test("what is out of range is named with its rule and where it came from", () => {
    assert.throws(() => resolve({ lr: 0 }), /test: lr is 0; it must be a number above 0/);
    assert.throws(() => resolve({ epochs: 1.5 }), /epochs is 1\.5; it must be a whole number of at least 1/);
    assert.throws(() => resolve({ encoder: "rnn" }), /encoder is "rnn"; it must be one of gru, lstm, transformer/);
    assert.throws(() => resolve({ drops: "a" }), /drops is "a"; it must be a list of numbers of at least 0/);
    assert.throws(
      () => resolve({ contrast: "clip,video" }),
      /contrast is "clip,video"; it must be one or more of clip, part, domain, instance/,
    );
    assert.throws(() => resolve({ contrast: [] }), /contrast is \[\]; it must be one or more of/);
    assert.deepEqual(resolve({ contrast: "instance, clip" }).contrast, ["clip", "instance"]);
    assert.throws(() => resolve({ learningRate: 1 }), /there is no setting "learningRate"; there is data, /);
    assert.throws(() => resolve({ hidden: 10, heads: 4 }), /a Transformer of 4 heads needs a multiple of 4/);
    assert.throws(() => resolve({ hidden: 11, encoder: "gru" }), /needs an even number/);
    assert.throws(() => resolve({ variant: "released", batch: 60 }), /one that divides the queue, 2048/);
    assert.throws(() => presetNamed("toString"), /there is no preset "toString"; there is paper/);
  });

  test("no value at all gets through that is not of its setting's kind", () => {
    fc.assert(
      fc.property(fc.constantFrom(...SETTING_NAMES), fc.anything(), (name, value) => {
        if (value === undefined) return;
        let settings: RunSettings;
        try {
          settings = resolve({ [name]: value });
        } catch (error) {
          assert.match((error as Error).message, new RegExp(`${name} is|hidden is|batch is`));
          return;
        }
        assert.equal(typeof settings[name], typeof SETTINGS[name].default);
      }),
    );
  });
});
