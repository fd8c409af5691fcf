import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Autotuner, fastestTile } from "../../src/device/webgpu/autotune.ts";
import type { MatmulProblem, MatmulTile } from "../../src/shaders/matmul/product.ts";
import { parseTile } from "../../src/shaders/matmul/matmul.ts";

const problem: MatmulProblem = { batch: 1, m: 64, n: 32, k: 16, a: { vectorAxis: "k" }, b: { vectorAxis: "outer" } };
const tiles = ["registers 16x4 8x1", "registers 8x4 4x2", "shared 8x2 16x16 k8"].map(parseTile);

/** A stopwatch that reads the next of each tile's given times, the last one again and again, and counts its uses. */
function stopwatch(times: readonly (readonly number[])[]): {
  measure: (tile: MatmulTile) => Promise<number>;
  uses: number[];
  order: number[];
} {
  const uses = times.map(() => 0);
  const order: number[] = [];
  return {
    uses,
    order,
    measure: async (tile) => {
      const i = tiles.indexOf(tile);
      order.push(i);
      return times[i][Math.min(uses[i]++, times[i].length - 1)];
    },
  };
}

describe("autotuning a tile", () => {
  test("the smallest median wins: not the best time, not the mean, and the first round does not count", async () => {
    const { measure } = stopwatch([
      [1, 5, 9, 9, 9, 9],
      [90, 8, 8, 8, 20, 20],
      [1, 10, 10, 10, 2, 2],
    ]);
    assert.equal(await fastestTile("p", tiles, measure, 5), tiles[1]);
  });

  test("candidates run in turn, round after round, and once hopelessly slow no more", async () => {
    const { measure, uses, order } = stopwatch([[5], [16], [6]]);
    assert.equal(await fastestTile("p", tiles, measure, 3), tiles[0]);
    assert.deepEqual(order, [0, 1, 2, 0, 1, 2, 0, 2, 0, 2]);
    assert.deepEqual(uses, [4, 2, 4]);
  });

  test("a candidate that does not compile or gives no time is passed over", async () => {
    const measure = async (tile: MatmulTile): Promise<number> => {
      if (tile === tiles[0]) throw new Error("does not compile");
      return tile === tiles[1] ? Number.NaN : 7;
    };
    assert.equal(await fastestTile("p", tiles, measure), tiles[2]);
  });

  test("when no candidate runs, the error holds all of theirs", async () => {
    const measure = async (): Promise<number> => {
      throw new Error("out of registers");
    };
    await assert.rejects(fastestTile("64x32", tiles, measure), (error: AggregateError) => {
      assert.equal(error.errors.length, 3);
      assert.match(error.message, /autotune of 64x32.*registers 16x4 8x1: out of registers/);
      return true;
    });
    await assert.rejects(fastestTile("64x32", [], measure), /no candidates/);
  });
});

describe("remembering choices", () => {
  let folder: string;
  const file = (): string => join(folder, "deep", "matmul-tiles.json");
  const open = (adapter = "one", tile?: string): Promise<Autotuner> =>
    Autotuner.open({ adapter, tile, folder: join(folder, "deep") });
  const never = async (): Promise<number> => {
    throw new Error("nothing should be measured");
  };
  const prefer =
    (best: number) =>
    async (tile: MatmulTile): Promise<number> =>
      tiles.indexOf(tile) === best ? 1 : 2;
  let given: string | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "hico-autotune-"));
    given = process.env.HICO_MATMUL_TILE;
    delete process.env.HICO_MATMUL_TILE;
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
    if (given === undefined) delete process.env.HICO_MATMUL_TILE;
    else process.env.HICO_MATMUL_TILE = given;
  });

  test("a choice outlives the process, for its adapter and its problem only", async () => {
    await (await open()).tune(problem, tiles, prefer(2));
    const later = await open();
    assert.deepEqual(await later.tune(problem, tiles, never), tiles[2]);
    assert.deepEqual(later.remembered(problem), tiles[2]);
    assert.equal(later.remembered({ ...problem, k: 20 }), undefined);
    assert.equal(later.remembered({ ...problem, b: { vectorAxis: "k" } }), undefined);
    assert.equal((await open("two")).remembered(problem), undefined);
  });

  test("tuners that share a file keep each other's choices and leave nothing lying about", async () => {
    const [one, two] = [await open("one"), await open("two")];
    await one.tune(problem, tiles, prefer(0));
    await two.tune(problem, tiles, prefer(1));
    await Promise.all([4, 5, 6].map((k) => one.tune({ ...problem, k }, tiles, prefer(2))));
    const { choices } = JSON.parse(readFileSync(file(), "utf8")) as { choices: Record<string, object> };
    assert.deepEqual([Object.keys(choices.one).length, Object.keys(choices.two).length], [4, 1]);
    assert.deepEqual(readdirSync(join(folder, "deep")), ["matmul-tiles.json"]);
  });

  test("a damaged file counts as empty and is replaced", async () => {
    await (await open()).tune(problem, tiles, prefer(2));
    const whole = readFileSync(file(), "utf8");
    const damages = [
      "",
      "{",
      "null",
      "[]",
      '{"generation":1,"choices":[1]}',
      whole.replace("shared 8x2", "shared 7x2"),
      whole.replace('"generation": 1', '"generation": 0'),
    ];
    for (const damage of damages) {
      writeFileSync(file(), damage);
      const tuner = await open();
      assert.equal(tuner.remembered(problem), undefined, damage);
      assert.deepEqual(await tuner.tune(problem, tiles, prefer(1)), tiles[1]);
      assert.deepEqual((await open()).remembered(problem), tiles[1]);
    }
  });

  test("a folder that cannot be made costs the memory only", async () => {
    writeFileSync(join(folder, "deep"), "a file is in the way");
    const tuner = await open();
    assert.deepEqual(await tuner.tune(problem, tiles, prefer(1)), tiles[1]);
    assert.deepEqual(tuner.remembered(problem), tiles[1]);
  });

  test("without a folder nothing is written", async () => {
    const tuner = await Autotuner.open({ adapter: "one", folder: null });
    await tuner.tune(problem, tiles, prefer(1));
    assert.deepEqual(tuner.remembered(problem), tiles[1]);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("two calls at once measure once", async () => {
    const watch = stopwatch([[3], [2], [4]]);
    const tuner = await open();
    const both = await Promise.all([1, 2].map(() => tuner.tune(problem, tiles, watch.measure)));
    assert.equal(both[0], both[1]);
    assert.deepEqual(watch.uses, [6, 6, 6]);
  });

  test("a tuning that failed may be tried again", async () => {
    const tuner = await open();
    await assert.rejects(tuner.tune(problem, tiles, never), /no candidate runs/);
    assert.deepEqual(await tuner.tune(problem, tiles, prefer(0)), tiles[0]);
  });

  test("HICO_MATMUL_TILE and the option override all choices, the option first; nonsense is refused", async () => {
    process.env.HICO_MATMUL_TILE = "registers 8x4 4x2";
    assert.deepEqual(await (await open()).tune(problem, tiles, never), tiles[1]);
    assert.deepEqual((await open("one", "registers 16x4 8x1")).remembered(problem), tiles[0]);
    process.env.HICO_MATMUL_TILE = "huge";
    await assert.rejects(open(), /HICO_MATMUL_TILE: matmul tile "huge" is not understood/);
    await assert.rejects(open("one", "tiny"), /option tile: matmul tile "tiny"/);
    const none = Autotuner.open({ adapter: "one", folder: null, tile: "registers 1x1 8x1", runs: 0 });
    await assert.rejects(none, /runs is 0/);
  });
});
