/** Search: a clip by name or number, one of another store, a recording of one's own; and the page that shows it. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Clip } from "../../../src/data/skeleton/clip.ts";
import { generateClips } from "../../../src/data/synthetic/generator.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import { generatedSource } from "../../../src/data/sources/generated.ts";
import { openSourceOf } from "../../../src/data/sources/kinds.ts";
import { device } from "../../../src/device/index.ts";
import { embed, HiCo, HiCoTrainer, importCheckpoint, saveCheckpoint, search } from "../../../src/hico/index.ts";
import { readNpy } from "../../../src/io/index.ts";
import type { GalleryData } from "../../../src/report/index.ts";
import { writeSearchReport } from "../../../src/report/index.ts";
import type { Backend } from "../../../src/tensor/backend.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { Generator } from "../../../src/tensor/random.ts";
import { startChromium } from "../../environments/chromium.ts";
import { temporaryFolder, tinyStore } from "../run/run-helpers.ts";

let computer: Backend;
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let data: string;
const run = at("run");

before(async () => {
  computer = await device("cpu");
  setDefaultDevice(computer);
  data = await tinyStore(folder);
  const model = new HiCo({
    ...{ encoder: "gru", hidden: 16, granularity: 2, projection: 4, queue: 8, temporalInput: 150, spatialInput: 48 },
    generator: new Generator(2),
  });
  await saveCheckpoint(at("model.pth.tar"), new HiCoTrainer(model), 1);
  await importCheckpoint({ file: at("model.pth.tar"), run, data });
});
after(() => {
  setDefaultDevice(undefined);
  computer.close();
  rmSync(folder, { recursive: true });
});

test("a clip of the store: its nearest by cosine, without itself", async () => {
  const { report, clips } = await search({ query: "drink_p1_r1", data, run, k: 6 });
  assert.deepEqual([report.clips, report.queries.length, clips.length], [28, 1, 1]);
  const [{ index, label, nearest }] = report.queries;
  assert.equal(label, "drink");
  await embed({ run, out: at("all.npy") });
  const {
    data: values,
    shape: [rows, width],
  } = readNpy(at("all.npy")) as { data: Float32Array; shape: readonly number[] };
  const row = (i: number): Float32Array => values.subarray(i * width, (i + 1) * width);
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, c) => sum + x * b[c], 0);
  const cosine = (i: number): number =>
    dot(row(i), row(index!)) / Math.sqrt(dot(row(i), row(i)) * dot(row(index!), row(index!)));
  const expected = Array.from({ length: rows }, (_, i) => i)
    .filter((i) => i !== index)
    .sort((a, b) => cosine(b) - cosine(a))
    .slice(0, 6);
  assert.deepEqual(
    nearest.map((found) => found.index),
    expected,
  );
  nearest.forEach((found) => assert.ok(Math.abs(found.similarity - cosine(found.index)) < 1e-5));

  const byNumber = await search({ query: String(index), data, run, k: 6 });
  assert.deepEqual(byNumber.report.queries, report.queries);
  const again = await search({ query: String(index), data, run, k: 6, from: data });
  assert.deepEqual(again.report.queries, report.queries, "from the same store, named once more");
  const training = await search({ query: String(index), data, run, k: 100, split: "train" });
  assert.ok(
    training.report.queries[0].nearest.length === 13 &&
      training.report.queries[0].nearest.every(({ subject }) => subject === 1),
  );
});

test("a clip of another store is found where it is in this one as well", async () => {
  await prepareStore(generatedSource({ subjects: 1, repetitions: 1, actions: ["kick", "squat"] }), at("two.clips"));
  const { report } = await search({ query: "squat_p1_r1", data, run, from: at("two.clips"), k: 1 });
  const [
    {
      label,
      index,
      nearest: [found],
    },
  ] = report.queries;
  assert.deepEqual([label, index, found.name, found.label], ["squat", undefined, "squat_p1_r1", "squat"]);
  assert.ok(found.similarity > 0.9999);
});

/** As a Kinect's raw recording: x, y, z and tracking state of 25 joints. */
function kinectRows({ data: values, frames, persons, joints }: Clip): string {
  return Array.from(
    { length: frames },
    (_, t) =>
      Array.from({ length: joints }, (_, v) => {
        const from = (t * persons * joints + v) * 3;
        return `${[...values.subarray(from, from + 3)].map((x) => x.toFixed(6)).join(",")},2`;
      }).join(",") + ",\n",
  ).join("");
}

test("a recording is read as the store's own were, whole or in windows", async () => {
  mkdirSync(at("recordings/mine"), { recursive: true });
  for (const { facts, clip } of generateClips({ subjects: 1, repetitions: 1, actions: ["wave", "kick", "squat"] })) {
    writeFileSync(at(`recordings/mine/${facts.name}.csv`), kinectRows(clip));
  }
  const windows = { window: "20", hop: "10" };
  await prepareStore(openSourceOf("csv", at("recordings"), windows).source, at("mine.clips"));
  const query = at("recordings/mine/kick_p1_r1.csv");
  const { report, clips } = await search({ query, data: at("mine.clips"), run, k: 2, ...windows });
  assert.ok(report.queries.length > 2);
  assert.deepEqual(
    clips.map(({ frames, persons }) => [frames, persons]),
    clips.map(() => [20, 2]),
  );
  for (const {
    name,
    index,
    label,
    nearest: [first],
  } of report.queries) {
    assert.deepEqual([index, label, first.name], [undefined, undefined, `mine/${name}`]);
    assert.ok(first.similarity > 0.9999);
  }
  await prepareStore(openSourceOf("csv", at("recordings")).source, at("whole.clips"));
  const whole = await search({ query, data: at("whole.clips"), run, k: 1 });
  assert.deepEqual(
    whole.report.queries.map(({ name, nearest }) => [name, nearest[0].name]),
    [["kick_p1_r1.csv", "mine/kick_p1_r1.csv"]],
  );

  // MediaPipe's layout without its map, and a store that keeps the sensor's coordinates.
  const spec = fileURLToPath(new URL("../../../docs/mediapipe/csv.json", import.meta.url));
  writeFileSync(
    at("landmarks.csv"),
    `${Array.from({ length: 132 }, (_, c) => `c${c}`).join(",")}\n${Array.from({ length: 132 }, (_, c) => c / 100).join(",")}\n`,
  );
  await assert.rejects(
    search({ query: at("landmarks.csv"), data, run, spec }),
    /landmarks\.csv: shape: has layout "mediapipe33" \(33 joints × 2\), .*tiny\.clips has layout "ntu25"/,
  );
  await prepareStore(generatedSource({ subjects: 1, repetitions: 1 }), at("raw.clips"), { normalize: false });
  await assert.rejects(
    search({ query: "0", data, run, from: at("raw.clips") }),
    /raw\.clips: shape: .*not normalised.*--normalize/,
  );
});

test("what there is not is said", async () => {
  await assert.rejects(
    search({ query: "dance", data, run }),
    /tiny\.clips has no clip "dance", and there is no such file; its 28 clips are named like "wave_p1_r1"/,
  );
  await assert.rejects(search({ query: "28", data, run }), /has no clip "28"/);
  const { source } = openSourceOf("csv", at("recordings"));
  await prepareStore(source, at("unsplit.clips"));
  await assert.rejects(
    search({ query: "0", data: at("unsplit.clips"), run, split: "test" }),
    /unsplit\.clips: no clip to test with/,
  );
  await assert.rejects(
    search({ query: "wave_p1_r1", data, run, window: "20" }),
    /there is no recording wave_p1_r1 to read with --window/,
  );
  await assert.rejects(search({ query: "0", data, run, from: at("none.clips") }), /none\.clips: unreadable/);
});

test("the page shows query and neighbours, moving", async (t) => {
  const result = await search({ query: "kick_p2_r1", data, run, k: 4 });
  assert.throws(() => writeSearchReport(at("page.txt"), result), /must end in \.html/);
  writeSearchReport(at("page.html"), result);
  const page = readFileSync(at("page.html"), "utf8");
  const shown = JSON.parse(/<script id="data"[^>]*>(.*?)<\/script>/s.exec(page)![1]) as GalleryData;
  const [{ query, nearest }] = shown.gallery;
  assert.deepEqual(
    nearest.map(({ clip }) => clip),
    result.report.queries[0].nearest.map(({ index }) => index),
  );
  assert.equal(shown.classes[shown.clips[query].label], "kick");
  const browser = await startChromium();
  if ("unavailable" in browser) return t.skip(browser.unavailable);
  try {
    await browser.view(at("page.html"), async (view, log) => {
      await view.waitForSelector("body[data-ready=yes]", { timeout: 30_000 });
      const painted = await view.evaluate(`[...document.querySelectorAll(".card canvas")].filter((canvas) =>
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte !== 0)).length`);
      assert.equal(painted, 5);
      assert.deepEqual(log, []);
    });
  } finally {
    await browser.close();
  }
});
