/** `hico bench`: a table on standard output, files that a later run is compared with, mistakes in one line. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { withShares } from "../../src/bench/measure.ts";
import { type BenchReport, benchTable, parseReport } from "../../src/bench/report.ts";
import { HICO } from "./run-hico.ts";

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), "hico-bench-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const options = { env: { ...process.env, NO_COLOR: "1", HICO_DEVICE: "", HICO_ADAPTER: "" } };
  return new Promise((resolve) => {
    execFile(HICO[0], [...HICO.slice(1), "bench", ...args], options, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

test("a quick run measures every case, and is kept and compared with", async () => {
  const [json, svg] = [join(folder, "a.json"), join(folder, "a.svg")];
  const first = await bench("--quick", "--device", "cpu", "--threads", "1", "--no-peers", "--json", json, "--svg", svg);
  assert.equal(first.code, 0, first.stderr);
  const report = JSON.parse(readFileSync(json, "utf8")) as BenchReport;
  const [{ device, cases }] = report.results;
  assert.equal(device, "cpu (1 thread)");
  assert.deepEqual(
    cases.map(({ name }) => name),
    ["product", "bandwidth", "softmax", "layer norm", "attention", "scan", "conv2d"].concat(
      ["MLP", "Transformer layer", "GRU"].map((name) => `step: ${name}`),
    ),
  );
  for (const { name, milliseconds, share } of cases) {
    assert.ok(milliseconds > 0 && share! > 0 && share! <= 1, name);
    assert.match(first.stdout, new RegExp(`^  ${name} .* %$`, "m"));
  }
  assert.match(readFileSync(svg, "utf8"), /^<svg[\s\S]*bandwidth[\s\S]*<\/svg>\s*$/);

  const only = ["--quick", "--device", "cpu", "--only", "softmax", "--no-peers"];
  const second = await bench(...only, "--against", json);
  assert.equal(second.code, 0, second.stderr);
  assert.match(second.stdout, /^ {2}softmax .*[\d.]+ ×$/m);
  assert.doesNotMatch(second.stdout, /product|%/, "without what sets the bounds there are no shares");
  const kept = await bench(...only, "--json", json);
  assert.equal(kept.code, 1);
  assert.match(kept.stderr, /a\.json is there already; --force/);
});

test("mistakes are told in one line", async () => {
  const none = await bench("--only", "softmaxx", "--device", "cpu");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^hico: --only softmaxx: no case is called so; there are product, /);
  writeFileSync(join(folder, "other.json"), "{}");
  const other = await bench("--quick", "--against", join(folder, "other.json"));
  assert.match(other.stderr, /^hico: .*other\.json is no report of hico bench/);
});

test("shares are of what product and bandwidth allow; reports of other sizes are refused", () => {
  const line = (name: string, gigaflops: number, gigabytes: number) => ({
    name,
    sizes: "",
    milliseconds: 2,
    gigaflops,
    gigabytes,
  });
  const found = withShares([line("product", 100, 1), line("bandwidth", 1, 10), line("softmax", 20, 5)]);
  assert.deepEqual(
    found.map(({ share }) => share),
    [1, 1, 0.5],
  );
  const head = { format: "hico-bench", version: "1", runtime: "Node", quick: true } as const;
  const report = { ...head, results: [{ device: "cpu (8 threads)", cases: [{ ...found[2], milliseconds: 5 }] }] };
  assert.match(benchTable([{ device: "cpu (2 threads)", cases: found }], report), /softmax .* 50 % {2}.*2\.50 ×/);
  assert.throws(() => parseReport(JSON.stringify(report), "a.json", false), /a\.json was made with --quick/);
});
