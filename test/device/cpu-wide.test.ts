/** The width of the cpu device's arithmetic: what chooses it, and that a model trains to the same bits at either. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import type { Width } from "../../src/device/cpu/wide.ts";
import type { CpuTraining } from "../environments/cpu-training.ts";

const training = new URL("../environments/cpu-training.ts", import.meta.url).href;
const programs = new URL("../support/cpu-bits.ts", import.meta.url).href;
const index = new URL("../../src/index.ts", import.meta.url).href;
const engine = new URL("../../src/device/cpu/engine.ts", import.meta.url).href;
const width = new URL("../../src/device/cpu/wide.ts", import.meta.url).href;

/** Runs a module in a process of its own, since the width is chosen once a process; what it prints, as JSON. */
async function inProcess<Result>(wide: string, code: string): Promise<{ result: Result; stderr: string }> {
  const args = ["--import", "tsx", "--input-type=module", "-e", code];
  const env = { ...process.env, HICO_WASM_WIDE: wide };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env });
  return { result: JSON.parse(stdout) as Result, stderr };
}

const chosen = (wide: string): Promise<{ result: Width & { features: boolean }; stderr: string }> =>
  inProcess(
    wide,
    `const features = await (await import(${JSON.stringify(engine)})).prepareEngine();
     const width = await (await import(${JSON.stringify(width)})).chooseWidth(features);
     console.log(JSON.stringify({ ...width, features: features.wide }));`,
  );

test("is what HICO_WASM_WIDE says, else what a probe found; the engine is asked for no flag that it does not know", async () => {
  for (const wide of ["0", "1", ""]) {
    const { result, stderr } = await chosen(wide);
    assert.doesNotMatch(stderr, /flag/i);
    assert.equal(result.features, result.wide);
    if (wide !== "") assert.equal(result.wide, wide === "1");
    assert.match(
      result.reason,
      wide === ""
        ? /times the narrow one's speed|^V8 \d+\S* joins no fused multiply-adds|x64 only/
        : new RegExp(`=${wide}$`),
    );
  }
  await assert.rejects(chosen("yes"), /HICO_WASM_WIDE must be 0 \(128-bit vectors\) or 1 \(pairs of them\), not "yes"/);
});

test("after kernels of 256 bits, what frees registers for the rest of the process is called once a run", async () => {
  const program = (wide: string) =>
    inProcess<{ settles: boolean; calls: number }>(
      wide,
      `const { CpuDevice, setDefaultDevice, ones } = await import(${JSON.stringify(index)});
       const device = await CpuDevice.open({ threads: 1 });
       setDefaultDevice(device);
       const { settle } = device.features;
       let calls = 0;
       Object.assign(device.features, { settle: () => { calls++; settle?.(); } });
       for (let i = 0; i < 3; i++) await ones([8, 8]).mul(i + 2).matmul(ones([8, 8])).read();
       console.log(JSON.stringify({ settles: settle !== undefined, calls }));`,
    );
  assert.deepEqual((await program("0")).result, { settles: false, calls: 3 });
  const joins = process.arch === "x64" && Number.parseInt(process.versions.v8, 10) >= 13;
  assert.deepEqual((await program("1")).result, { settles: joins, calls: 3 });
});

test("does not change the bits of a trained model", async () => {
  const train = (wide: string): Promise<{ result: CpuTraining }> =>
    inProcess(
      wide,
      `const { trainOnCpu } = await import(${JSON.stringify(training)});
       console.log(JSON.stringify(await trainOnCpu({ threads: 1 })));`,
    );
  const narrow = (await train("0")).result;
  const wide = (await train("1")).result;
  assert.deepEqual([narrow.wide, wide.wide], [false, true]);
  assert.deepEqual(wide.losses, narrow.losses);
  assert.deepEqual(wide.bits, narrow.bits);
});

test("does not change the bits of loops and reductions", async () => {
  const bits = async (wide: string): Promise<string[]> =>
    (
      await inProcess<string[]>(
        wide,
        `console.log(JSON.stringify(await (await import(${JSON.stringify(programs)})).cpuBits()));`,
      )
    ).result;
  assert.deepEqual(await bits("1"), await bits("0"));
});
