/** HICO_TRACE: what a program does on its devices, in a file that is JSON at any moment. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Tracer } from "../../src/device/trace.ts";
import { testAdapter } from "../environments/test-gpu.ts";

interface Event {
  readonly ph: string;
  readonly name: string;
  readonly cat?: string;
  readonly ts: number;
  readonly dur: number;
  readonly tid: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), "hico-trace-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

const program = (steps: string): string => {
  const file = join(folder, `${steps.length}.mts`);
  writeFileSync(
    file,
    `import { compile, tensor, useDevice, variable } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)};
    const device = await useDevice();
    const w = variable(tensor([[0.5, 1], [2, 3]]));
    const step = compile(() => { const loss = w.matmul(w).square().mean(); w.assign(w.mul(0.9)); return loss; });
    ${steps}
    device.close();`,
  );
  return file;
};

const environment = (file: string, device: string) => ({
  ...process.env,
  HICO_TRACE: file,
  HICO_DEVICE: device,
  HICO_ADAPTER: testAdapter,
});

const root = new URL("../..", import.meta.url);

function traceOf(device: string, name: string): Event[] {
  const file = join(folder, name);
  const three = program("for (let i = 0; i < 3; i++) await (await step()).item();");
  execFileSync(process.execPath, ["--import", "tsx", three], {
    cwd: root,
    env: environment(file, device),
  });
  return JSON.parse(readFileSync(file, "utf8")) as Event[];
}

describe("HICO_TRACE", () => {
  for (const device of ["cpu", "webgpu"]) {
    test(`${device}: plans, steps, kernels by name and reads`, () => {
      const events = traceOf(device, `${device}.json`);
      const of = (category: string): Event[] => events.filter((one) => one.cat === category && one.ph !== "e");
      assert.ok(of("plan").some(({ name }) => /^plan of \d+ nodes$/.test(name)));
      assert.equal(of("step").length, 3);
      assert.equal(of("read").length, 3);
      const kernels = of("kernel");
      const products = kernels.filter(({ name }) => name.includes("matmul"));
      assert.equal(products.length % 3, 0);
      assert.ok(products.length > 0, "every step's product has its name");
      for (const one of events.filter(({ ph }) => ph === "X")) assert.ok(one.dur >= 0 && one.ts >= 0, one.name);
      const ends = kernels.map(({ ts, dur }) => ts + dur);
      kernels.slice(1).forEach(({ ts }, i) => assert.ok(ts >= ends[i] - 0.01, "kernels of a device do not overlap"));
      const named = new Set(events.filter(({ name }) => name === "thread_name").map(({ tid }) => tid));
      for (const one of events) if (one.ph !== "M") assert.ok(named.has(one.tid), "every track has a name");
    });
  }

  test("a process that is killed leaves JSON", async () => {
    const file = join(folder, "killed.json");
    const endless = program('await step(); console.log("going"); for (;;) await step();');
    const child = spawn(process.execPath, ["--import", "tsx", endless], {
      cwd: root,
      env: environment(file, "cpu"),
      stdio: ["ignore", "pipe", "inherit"],
    });
    await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
    assert.equal(child.exitCode, null, "it runs");
    const seen = (): boolean => readFileSync(file, "utf8").includes('"step"');
    while (!seen()) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGKILL");
    await once(child, "exit");
    const text = readFileSync(file, "utf8");
    // A write of several pages may be cut between two of them: then the last line is.
    const whole = text.endsWith("]\n") ? text : `${text.slice(0, text.lastIndexOf(",\n"))}]`;
    const events = JSON.parse(whole) as Event[];
    assert.ok(events.some(({ cat }) => cat === "step"));
  });

  test("a file that cannot be written is an error that names it", () => {
    const file = join(folder, "none", "trace.json");
    assert.throws(
      () =>
        execFileSync(process.execPath, ["--import", "tsx", program("")], {
          cwd: root,
          env: environment(file, "cpu"),
          stdio: "pipe",
        }),
      /HICO_TRACE: ".*none.trace\.json" cannot be written/,
    );
  });

  test("the text is JSON after every write", () => {
    let file = "";
    const trace = new Tracer(7, "program", (text, at) => {
      file = file.slice(0, at) + text;
      JSON.parse(file);
      return text.length;
    });
    for (let i = 0; i < 3; i++) {
      trace.span("device", "step", `step "${i}"`, 0);
      const done = trace.begin("device", "read", "read", { shape: [2] });
      trace.flush();
      done();
    }
    trace.flush();
    const events = JSON.parse(file) as Event[];
    assert.deepEqual(
      events
        .filter(({ ph }) => ph !== "M")
        .map(({ ph }) => ph)
        .join(""),
      "XbeXbeXbe",
    );
  });
});
