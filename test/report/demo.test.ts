/**
 * `hico demo` in small, from generated clips to a report, on the device that `auto` takes; and the report in a real
 * browser: everything drawn, nothing asked of a network, no error.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import type { DemoResult } from "../../src/demo/index.ts";
import { runDemo } from "../../src/demo/index.ts";
import { device } from "../../src/device/index.ts";
import type { ReportData } from "../../src/report/index.ts";
import { reportPage, writeReport } from "../../src/report/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { startChromium } from "../environments/chromium.ts";
import { elements } from "./charts/svg.ts";

const small = {
  data: { subjects: 4, repetitions: 1, seed: 2 },
  settings: { hidden: 16, projection: 8, queue: 32, batch: 8, epochs: 2, frames: 16, minFrames: 16, workers: 1 },
} as const;

let folder: string;
let computer: Backend;
let found: DemoResult;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "hico-demo-"));
  computer = await device("cpu");
  setDefaultDevice(computer);
  found = (await runDemo({ folder, ...small }))!;
});
after(() => {
  setDefaultDevice(undefined);
  computer.close();
  rmSync(folder, { recursive: true, force: true });
});

const dataOf = (page: string): ReportData =>
  JSON.parse(/<script id="data"[^>]*>(.*?)<\/script>/s.exec(page)![1]) as ReportData;

test("the demo ends with results of all three and a page that holds them", () => {
  for (const subject of ["pretrained", "random", "raw"] as const) {
    assert.ok(found.linear.results[subject] && found.knn.results[subject], subject);
  }
  const data = dataOf(readFileSync(found.report, "utf8"));
  assert.deepEqual(data.curves.epoch, [1, 2]);
  assert.equal(data.results.find((r) => r.name === "1-NN")!.values.pretrained, found.knn.results.pretrained!.accuracy);
  assert.equal(data.map.clips.length, 28);
  assert.equal(data.gallery.length, 8);
  assert.deepEqual(data.confusion!.counts, found.linear.results.pretrained!.last.confusion);
  assert.equal(data.levels!.levels.length, 4);
  for (const { daviesBouldin, x } of data.levels!.levels) assert.ok(daviesBouldin! > 0 && x.length === 28);
});

test("figures are written as files, those that the page shows the same in both", async () => {
  const run = join(folder, "run");
  await assert.rejects(writeReport({ run: "absent" }), /absent holds no run/);
  const { figures } = await writeReport({
    run,
    out: join(folder, "with-figures.html"),
    svg: join(folder, "figures"),
    compare: run,
  });
  const names = figures.map((path) => basename(path, ".svg"));
  assert.deepEqual(names, ["map", "levels", "loss", "confusion", "classes", "compare-classes", "compare-confusion"]);
  const page = readFileSync(join(folder, "with-figures.html"), "utf8");
  for (const path of figures) {
    const svg = readFileSync(path, "utf8");
    assert.ok(elements(svg).length > 20, path);
    const shown = /levels|classes|compare/.test(path);
    assert.equal(page.includes(svg), shown, path);
  }
  const dots = elements(readFileSync(join(folder, "figures", "levels.svg"), "utf8")).filter(
    ({ name }) => name === "circle",
  );
  assert.equal(dots.length, 4 * 28);
});

test("run again, the demo trains no further and writes the same page", async () => {
  const before = dataOf(readFileSync(found.report, "utf8"));
  const again = (await runDemo({ folder, ...small }))!;
  assert.equal(again.pretraining.step, found.pretraining.step);
  const { pretraining: _, ...rest } = dataOf(readFileSync(again.report, "utf8"));
  const { pretraining: __, ...first } = before;
  assert.deepEqual(rest, first);
});

test("names with markup stay text", () => {
  const data = dataOf(readFileSync(found.report, "utf8"));
  const page = reportPage({
    ...data,
    title: "<img src=x>",
    classes: data.classes.map((name) => `${name}</script><b>`),
  });
  assert.ok(!page.includes("<img src=x>"));
  assert.equal(page.split("</script>").length - 1, 4);
  assert.equal(dataOf(page).classes[0], `${data.classes[0]}</script><b>`);
});

/** Run by the page; as text, since compilers add calls to helpers that the page does not have. */
const LOOK = `(() => {
  const painted = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte !== 0);
  const all = (selector) => [...document.querySelectorAll(selector)];
  return {
    bars: all(".bar").length, map: all(".points").every(painted), hovered: all(".hovered").every(painted),
    players: all(".card canvas").filter(painted).length, cells: all(".matrix td").length,
    figures: all(".figure svg").filter((svg) => svg.getBoundingClientRect().height > 100).length,
    charts: all(".charts canvas").filter(painted).length, wide: document.documentElement.scrollWidth > innerWidth,
  };
})()`;

test("in Chromium: bars, map, players, matrix and curves are drawn, without network or error", async (t) => {
  const browser = await startChromium();
  if ("unavailable" in browser) return t.skip(browser.unavailable);
  try {
    await browser.view(found.report, async (page, log) => {
      await page.waitForSelector("body[data-ready=yes]", { timeout: 30_000 });
      const seen = await page.evaluate(LOOK);
      assert.deepEqual(seen, {
        bars: 12,
        map: true,
        hovered: true,
        players: 48,
        cells: 196,
        figures: 2,
        charts: 3,
        wide: false,
      });
      const frame = (): Promise<string> =>
        page.$eval(".card canvas", (canvas) => (canvas as HTMLCanvasElement).toDataURL());
      // What is not on the screen stands still.
      await page.$eval(".card canvas", (canvas) => canvas.scrollIntoView());
      const first = await frame();
      await page.waitForFunction(
        (old) => document.querySelector<HTMLCanvasElement>(".card canvas")!.toDataURL() !== old,
        { timeout: 10_000 },
        first,
      );
      await page.$eval(".points", (canvas) => canvas.scrollIntoView());
      const name = await page.$eval(".hovered-name", (p) => p.textContent);
      const box = (await (await page.$(".points"))!.boundingBox())!;
      // Somewhere on the map there is another clip to point at.
      for (let k = 0; k < 400 && (await page.$eval(".hovered-name", (p) => p.textContent)) === name; k++) {
        await page.mouse.move(
          box.x + ((k % 20) + 0.5) * (box.width / 20),
          box.y + (Math.floor(k / 20) + 0.5) * (box.height / 20),
        );
      }
      assert.notEqual(await page.$eval(".hovered-name", (p) => p.textContent), name);
      assert.deepEqual(log, []);
    });
    assert.ok(statSync(found.report).size < 5e6);
  } finally {
    await browser.close();
  }
});
