/** Grids: which runs they stand for, in which order, and what is refused. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Grid } from "../../src/sweep/index.ts";
import { parseGrid, readGrid, shellLine, stagesOf } from "../../src/sweep/index.ts";

const grid = (source: Record<string, unknown>, over = {}): Grid => parseGrid(source, "grids/try.json", over);

describe("a grid", () => {
  test("is every case with every value of every axis, all of them for one seed before the next", () => {
    const { runs, axes, configurations, name } = grid({
      preset: "nw-ucla",
      settings: { epochs: 7 },
      seeds: [3, 5],
      cases: [{ name: "tuned", lr: 0.03 }, { temperature: 0.1 }, {}],
      axes: { granularity: [1, 4], mix: { "clip & part": { contrast: ["clip", "part"] } } },
    });
    assert.equal(name, "try");
    assert.deepEqual(
      axes.map((axis) => [axis.name, axis.values.map(({ label }) => label)]),
      [
        ["case", ["tuned", "temperature=0.1", "as is"]],
        ["granularity", ["1", "4"]],
        ["mix", ["clip & part"]],
      ],
    );
    assert.equal(configurations.length, 6);
    assert.deepEqual(
      runs.map(({ seed }) => seed),
      [...Array<number>(6).fill(3), ...Array<number>(6).fill(5)],
    );
    assert.deepEqual(
      runs.slice(0, 3).map((run) => run.name),
      [
        "case=tuned_granularity=1_mix=clip-part_seed=3",
        "case=tuned_granularity=4_mix=clip-part_seed=3",
        "case=temperature=0.1_granularity=1_mix=clip-part_seed=3",
      ],
    );
    const { settings } = runs[1];
    assert.deepEqual(
      [
        settings.encoder,
        settings.epochs,
        settings.lr,
        settings.granularity,
        settings.contrast,
        settings.seed,
        settings.temperature,
      ],
      ["gru", 7, 0.03, 4, ["clip", "part"], 3, 0.2],
    );
  });

  test("is one run where it says nothing; options stand over its settings", () => {
    const { runs, configurations } = grid({}, { epochs: "3", holdOut: "9,10" });
    assert.deepEqual(configurations, [{ labels: [], given: {} }]);
    assert.deepEqual(
      runs.map(({ name, settings }) => [name, settings.epochs, settings.holdOut]),
      [["seed=0", 3, [9, 10]]],
    );
  });

  test("becomes commands that a shell takes as they are", () => {
    const { runs, ...rest } = grid({
      preset: "sbu",
      settings: { data: "my clips.clips" },
      cases: { a: { contrast: ["clip", "instance"] } },
      eval: { knn: false, linear: { batch: 1024, lr: 1, weightDecay: 0.005 }, checkpoint: "best" },
    });
    const stages = stagesOf({ runs, ...rest }, runs[0], {
      folder: "/nowhere/s",
      common: ["--device=cpu"],
      defaults: { workers: 1, data: "unused" },
    });
    assert.deepEqual(
      stages.map(({ args, done }) => [shellLine(["hico", ...args]), done]),
      [
        [
          "hico pretrain --run=/nowhere/s/runs/case=a_seed=0 --resume --no-fit --preset=sbu --workers=1 '--data=my clips.clips' --contrast=clip,instance --seed=0 --device=cpu",
          false,
        ],
        [
          "hico eval linear /nowhere/s/runs/case=a_seed=0 --batch=1024 --lr=1 --weight-decay=0.005 --checkpoint=best --no-baselines --device=cpu",
          false,
        ],
      ],
    );
    assert.equal(shellLine(["it's"]), `'it'\\''s'`);
  });

  test("in the examples is whole", () => {
    const folder = fileURLToPath(new URL("../../examples/sweeps", import.meta.url));
    const grids = readdirSync(folder).map((name) => readGrid(join(folder, name)));
    assert.deepEqual(grids.map(({ name, runs }) => [name, runs.length]).sort(), [
      ["generated", 12],
      ["nw-ucla-ablation", 9],
      ["nw-ucla-streams", 9],
      ["nw-ucla-tuned", 3],
      ["sbu-hold-out", 4],
      ["sbu-tuned", 5],
      ["utd-mhad-streams", 9],
      ["utd-mhad-tuned", 3],
    ]);
  });

  test("that cannot be meant is refused with the key and the rule", () => {
    for (const [source, message] of [
      [{ setting: {} }, /try\.json: a grid has no "setting"; it has preset, settings, cases, axes, seeds, eval/],
      [{ settings: { learningRate: 1 } }, /try\.json: settings: there is no setting "learningRate"/],
      [{ axes: { tuning: [1, 2] } }, /axes\.tuning: there is no setting "tuning"/],
      [{ axes: { lr: [] } }, /the axis lr has no values/],
      [{ axes: { lr: 3 } }, /axes\.lr is 3; it must be an object/],
      [{ axes: { lr: [0.1, -1] } }, /try\.json, lr=-1_seed=0: lr is -1; it must be a number above 0/],
      [{ axes: { lr: [0.1, 0.1] } }, /two runs would be called lr=0\.1_seed=0/],
      [{ axes: { lr: [0.1], rates: { a: { lr: 2 } } } }, /lr is set by lr and by rates/],
      [{ settings: { seed: 3 } }, /a grid has its seeds under "seeds"/],
      [{ seeds: [1, 1] }, /"seeds" is \[1,1\]; it must be a list of different whole numbers/],
      [{ seeds: 3 }, /"seeds" is 3; it must be a list/],
      [{ preset: "huge" }, /there is no preset "huge"/],
      [{ eval: { linear: { rate: 1 } } }, /eval: linear has no "rate"; it has lr, weightDecay, epochs, batch, seed/],
      [{ eval: { knn: { k: 0 } } }, /knn\.k is 0; it must be a whole number of at least 1/],
      [{ eval: { linear: { weightDecay: -1 } } }, /linear\.weightDecay is -1; it must be a number of at least 0/],
      [{ eval: { knn: false, linear: false } }, /neither knn nor linear/],
      [{ eval: { checkpoint: "x" } }, /checkpoint is "x"; it must be "last" or "best"/],
    ] as const)
      assert.throws(() => grid(source), message);
    assert.throws(() => grid({ axes: { lr: [1, 2] } }, { lr: "3" }), /lr is set by options and by lr/);
    assert.throws(() => grid({}, { seed: "3" }), /its seeds under "seeds"; no option/);
    assert.throws(() => readGrid("/nowhere/grid.json"), /grid\.json: there is no such file/);
  });
});
