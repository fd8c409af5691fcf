/** The battery keeps each part, goes on after a kill, and makes its JSON and page on a software adapter. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type BatteryOptions, runBattery } from "../../bench/battery/battery.ts";
import type { Part } from "../../bench/battery/part.ts";
import { type BatteryReport, jsonFile, pageFile, type PartResult } from "../../bench/battery/results.ts";
import { hicoProblem } from "../../bench/hico-problem.ts";
import { greetTorch, openTorch, TORCH_MODES } from "../../bench/torch-peer.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { setDefaultDevice } from "../../src/tensor/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-battery-"));
after(() => rmSync(folder, { recursive: true }));

const adapter = {
  vendor: "v",
  architecture: "a",
  device: "A card",
  description: "driver 1",
} as BatteryReport["adapter"];
const report: BatteryReport = {
  format: "hico-gpu-battery",
  generation: 1,
  version: "0",
  runtime: "Node",
  small: true,
  adapter,
  begun: "2026-01-01T00:00:00.000Z",
  parts: [],
};

describe("the battery's loop", () => {
  let runs: string[] = [];
  let closed = 0;
  const part = (name: string, run?: Part["run"]): Part => ({
    name,
    title: `Part <${name}>`,
    seconds: { full: 1, small: 1 },
    run: async (context) => {
      runs.push(name);
      const result: PartResult = { summary: `${name} is done`, figures: { [name]: 7 }, tables: [] };
      return run ? run(context) : result;
    },
  });
  const options = (parts: readonly Part[], more: Partial<BatteryOptions> = {}): BatteryOptions => ({
    folder,
    parts,
    again: false,
    seconds: 100,
    python: "python3",
    open: async () => ({ close: () => void closed++ }) as unknown as WebGpuDevice,
    progress: () => undefined,
    ...more,
  });
  const states = ({ parts }: BatteryReport): string[] => parts.map(({ name, state }) => `${name} ${state}`);

  beforeEach(() => {
    rmSync(jsonFile(folder), { force: true });
    runs = [];
    closed = 0;
  });

  test("a part that fails is told, the others run, and what is done is not done again", async () => {
    const broken = part("b", () => Promise.reject(new Error("no such <thing>\nmore")));
    const seen: (number | undefined)[] = [];
    const reader = part("c", async ({ figure }) => {
      seen.push(figure("a"), figure("z"));
      return { summary: "read", tables: [] };
    });
    const first = await runBattery(report, options([part("a"), broken, reader]));
    assert.deepEqual(states(first), ["a done", "b failed", "c done"]);
    assert.equal(first.parts[1].reason, "no such <thing>");
    assert.deepEqual(seen, [7, undefined]);
    assert.equal(closed, 3);
    assert.match(readFileSync(pageFile(folder), "utf8"), /failed: no such &lt;thing&gt;/);
    const second = await runBattery(report, options([part("a"), part("b"), part("c")]));
    assert.deepEqual(runs, ["a", "b", "c", "b"]);
    assert.deepEqual(states(second), ["a done", "b done", "c done"]);
    assert.deepEqual(JSON.parse(readFileSync(jsonFile(folder), "utf8")), second);
    await runBattery(report, options([part("a")], { again: true }));
    assert.deepEqual(runs, ["a", "b", "c", "b", "a"]);
  });

  test("a killed part is tried once more, and no third time", async () => {
    const kept = (): BatteryReport => JSON.parse(readFileSync(jsonFile(folder), "utf8"));
    const die = part("b", async () => {
      assert.deepEqual(states(kept()), ["a done", "b running"]);
      return { summary: "lived", tables: [] };
    });
    await runBattery(report, options([part("a"), die]));
    const killed = (attempts: number): void => {
      const [a, b] = kept().parts;
      writeFileSync(jsonFile(folder), JSON.stringify({ ...report, parts: [a, { ...b, state: "running", attempts }] }));
    };
    killed(1);
    assert.deepEqual(states(await runBattery(report, options([part("a"), part("b")]))), ["a done", "b done"]);
    killed(2);
    runs = [];
    const last = await runBattery(report, options([part("a"), part("b")]));
    assert.deepEqual(states(last), ["a done", "b left out"]);
    assert.match(last.parts[1].reason!, /ended the process 2 times/);
    assert.deepEqual(runs, []);
  });

  test("what does not fit into the time is left out by name, and done by the next run", async () => {
    const first = await runBattery(report, options([part("a"), part("b")], { seconds: 0 }));
    assert.deepEqual(states(first), ["a done", "b left out"]);
    assert.match(first.parts[1].reason!, /no time was left/);
    assert.deepEqual(states(await runBattery(report, options([part("a"), part("b")]))), ["a done", "b done"]);
  });

  test("a file of another adapter, driver or size is not gone on with", async () => {
    await runBattery(report, options([part("a")]));
    for (const other of [
      { ...report, small: false },
      { ...report, adapter: { ...adapter, description: "driver 2" } },
      { ...report, generation: 2 },
    ]) {
      await assert.rejects(runBattery(other, options([part("a")])), /is of another battery .*A card.*--again/);
    }
    writeFileSync(jsonFile(folder), "{");
    await assert.rejects(runBattery(report, options([part("a")])), /is no report of this battery/);
  });
});

test("PyTorch takes the same steps, and says why it cannot", async (t) => {
  const python = "/usr/bin/python3";
  const greeting = await greetTorch(python, 1);
  if (!greeting) return t.skip(`${python} has no torch`);
  assert.equal(await greetTorch(join(folder, "no-python"), 1), undefined);
  const device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  const peer = openTorch(python, 1);
  try {
    const sizes = { encoder: "gru", hidden: 16, batch: 2, queue: 16 } as const;
    const problem = await hicoProblem(sizes);
    const files = problem.writeFiles(folder);
    const trainer = problem.trainer(0);
    const ours: number[] = [];
    for (let i = 0; i < 3; i++) ours.push(await (await trainer.step(problem.inputs)).loss.item());
    const request = {
      do: "open",
      encoder: "gru",
      hidden: 16,
      queue: 16,
      ...files,
      threads: 1,
      device: "cpu",
      dropout: 0,
    };
    for (const mode of TORCH_MODES) {
      const why = greeting.modes[mode];
      if (why !== "") {
        await assert.rejects(peer.ask({ ...request, mode }), (error) => (error as Error).message.includes(why));
        continue;
      }
      await peer.ask({ ...request, mode });
      const { losses } = await peer.ask({ do: "losses", count: 3 });
      (losses as number[]).forEach((loss, i) =>
        assert.ok(Math.abs(loss - ours[i]) < 1e-4 * ours[i], `${mode}, step ${i}`),
      );
      const { ms } = await peer.ask({ do: "steps", count: 2, each: 1 });
      assert.equal((ms as number[]).length, 2);
    }
    await assert.rejects(peer.ask({ ...request, state: join(folder, "nothing.pth") }), /PyTorch: FileNotFoundError/);
    assert.ok(ours[0] !== ours[2], "steps change the weights");
  } finally {
    peer.close();
    device.close();
  }
});

describe("npm run gpu-battery", () => {
  const battery = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const script = fileURLToPath(new URL("../../bench/gpu-battery.ts", import.meta.url));
    return spawnSync(process.execPath, ["--import", "tsx", script, ...args], { encoding: "utf8" });
  };

  test("helps, and refuses what it does not know", () => {
    assert.match(battery("--help").stdout, /Examples\n.*npm run gpu-battery/);
    const wrong = battery("--parts", "products,nonsense");
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /--parts nonsense: no part is called so; there are adapter,/);
    assert.match(battery("--nonsense").stderr, /Unknown option '--nonsense'/);
  });

  test("on a software adapter asks for --small, and makes its JSON and page with it", () => {
    const out = join(folder, "real");
    const refused = battery("--adapter", "swiftshader", "--out", out);
    assert.match(refused.stderr, /computes on the CPU.*--small/);
    assert.ok(!existsSync(out));
    // A HiCo step takes SwiftShader a minute to compile: what it is made of is tested beside this.
    const parts = "adapter,latency,bandwidth,peak,products,other-kernels";
    const { status, stderr } = battery("--small", "--adapter", "swiftshader", "--out", out, "--parts", parts);
    assert.equal(status, 0, stderr);
    const found = JSON.parse(readFileSync(jsonFile(out), "utf8")) as BatteryReport;
    assert.equal(found.parts.length, 6);
    const figures: Record<string, number> = Object.assign({}, ...found.parts.map(({ result }) => result?.figures));
    // A dispatch's own time is a difference of two, which may vanish on a busy machine.
    assert.ok(figures.dispatchUs >= 0);
    for (const name of ["submitUs", "copyGbs", "peakGflops", "productGflops"]) {
      assert.ok(figures[name] > 0, `${name} is ${figures[name]}`);
    }
    const page = readFileSync(pageFile(out), "utf8");
    for (const { name, title, state, result } of found.parts) {
      assert.equal(state, "done", `${name}: ${stderr}`);
      assert.ok(page.includes(`<section id="${name}"><h2>${title}`), title);
      for (const table of result!.tables) {
        assert.ok(table.rows.length > 0, `${name}: ${table.title}`);
        for (const row of table.rows)
          for (const { key } of table.columns) assert.ok(key in row, `${table.title}: ${key}`);
      }
      assert.ok(!(result!.notes ?? []).some((note) => /WRONG/.test(note)), result!.notes?.join("\n"));
    }
  });
});
