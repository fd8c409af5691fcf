/** Looking inside: HICO_DEBUG, kernel times, and errors of the device as they reach a user of the engine. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { DeviceLostError, KernelError, OutOfMemoryError } from "../../src/device/webgpu/gpu/errors.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import * as build from "../../src/tensor/build.ts";
import { FORMS } from "../../src/tensor/elementwise/forms.ts";
import { Tensor, compile, realize, setDefaultDevice, tensor, variable, zeros } from "../../src/tensor/index.ts";
import { numbers, openTestDevice } from "../support/helpers.ts";
import { testAdapter } from "../environments/test-gpu.ts";

const PROGRAM = `
  import { tensor, setDefaultDevice } from "./src/tensor/index.ts";
  import { WebGpuDevice } from "./src/device/webgpu/webgpu-device.ts";
  const device = await WebGpuDevice.open({ adapter: ${JSON.stringify(testAdapter)} });
  setDefaultDevice(device);
  const x = tensor(Float32Array.from({ length: 24 }, (_, i) => i), { shape: [4, 6] });
  for (let i = 0; i < 2; i++) console.log((await x.matmul(x.transpose()).tanh().sum(1).read()).join());
  console.log(JSON.stringify((await device.kernelTimes()).map((t) => t.name)));
  device.close();
`;

function runWithDebug(level: number): { out: string; log: string[] } {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", PROGRAM],
    {
      encoding: "utf8",
      cwd: new URL("../..", import.meta.url),
      env: { ...process.env, HICO_DEBUG: String(level) },
    },
  );
  assert.equal(status, 0, stderr);
  return { out: stdout, log: stderr.split("\n").filter((l) => l !== "") };
}

describe("HICO_DEBUG", () => {
  test("0 says nothing; 1 a line a plan, once however often it runs", () => {
    assert.deepEqual(
      runWithDebug(0).log.filter((l) => l.includes("hico")),
      [],
    );
    const { log } = runWithDebug(1);
    assert.equal(log.filter((l) => l.startsWith("[hico] plan: ")).length, 1, log.join("\n"));
    assert.match(
      log.join("\n"),
      /\[hico\] plan: \d+ nodes, \d+ dispatches; intermediates hold [\d.]+ KiB \(alive at once [\d.]+ KiB, in all [\d.]+ KiB\)/,
    );
  });

  test("2 names the kernels and measures them; 3 adds operands, 4 the WGSL", () => {
    const two = runWithDebug(2);
    assert.match(two.log.join("\n"), /\[hico\] +0 {2}matmul 4x4x6 {2}\(\d+ × \d+ × \d+ workgroups\)/);
    assert.match(two.out, /"matmul 4x4x6"/);
    assert.doesNotMatch(two.log.join("\n"), /@compute/);
    const four = runWithDebug(4).log.join("\n");
    assert.match(four, /f32\[4, 6\] leaf \d/);
    assert.match(four, /f32\[4\] output 0/);
    assert.match(four, /@compute/);
    assert.match(four, /var<storage, read_write>/);
  });
});

describe("errors of the device", () => {
  test("a kernel that does not compile is named, and the next plan runs", async () => {
    const gpu = await openTestDevice();
    setDefaultDevice(gpu);
    const forms = FORMS as { atan: unknown };
    const { atan } = forms;
    try {
      forms.atan = () => "no_such_function()";
      const broken = () => tensor([1, 2, 3, 4]).atan().read();
      await assert.rejects(
        broken(),
        (e) =>
          e instanceof KernelError && /kernel "elementwise 4" does not compile: .*no_such_function/s.test(e.message),
      );
      assert.deepEqual(await numbers(tensor([1, 2]).add(1)), [2, 3]);
      await assert.rejects(broken(), KernelError);
    } finally {
      forms.atan = atan;
    }
    assert.ok(
      Math.abs((await numbers(tensor([1, 2, 3, 4]).atan()))[0] - Math.PI / 4) < 1e-4,
      "once it compiles, the same graph runs",
    );
    setDefaultDevice(undefined);
    gpu.close();
  });

  test("a tensor that is too large is an OutOfMemoryError that says how large; an assignment made before it is not lost", async () => {
    const gpu = await openTestDevice();
    setDefaultDevice(gpu);
    const v = variable(tensor([1, 2]), { name: "kept" });
    await realize([v]);
    const n = Math.floor(gpu.gpu.profile.maxBindingBytes / 4) + 1024;
    const huge = tensor([1, 2]).slice(0).expand([n]);
    v.assign(v.add(1));
    await assert.rejects(
      huge.mul(2).read(),
      (e) =>
        e instanceof OutOfMemoryError &&
        e.bytes >= n * 4 &&
        /split the tensor or make the batch smaller/.test(e.message),
    );
    assert.deepEqual(await numbers(v), [2, 3]);
    v.assign(v.add(1));
    assert.deepEqual(await numbers(v), [3, 4]);
    const total = huge.sum();
    assert.equal(await total.item(), Math.fround(n), "a sum over it needs no memory for it");
    setDefaultDevice(undefined);
    gpu.close();
  });

  test("a lost device is a DeviceLostError at every later use, and another one can be opened", async () => {
    const gpu = await openTestDevice();
    setDefaultDevice(gpu);
    const v = variable(tensor([1, 2, 3]));
    const step = compile((x: Tensor) => {
      v.assign(v.add(x));
      return v.sum();
    });
    assert.equal(await (await step(tensor([1, 1, 1]))).item(), 9);
    gpu.gpu.device.destroy();
    await gpu.gpu.device.lost;
    const lost = (e: unknown) => e instanceof DeviceLostError && /resume from the last checkpoint/.test(e.message);
    await assert.rejects(v.read(), lost);
    await assert.rejects(
      step(tensor([1, 1, 1])).then((t) => t.read()),
      lost,
    );
    await assert.rejects(tensor([1]).add(1).read(), lost);
    gpu.close();
    const next = await openTestDevice();
    setDefaultDevice(next);
    assert.deepEqual(await numbers(tensor([1]).add(1)), [2]);
    next.close();
    setDefaultDevice(undefined);
  });

  test("devices do not mix", async () => {
    const [a, b] = [await openTestDevice(), await openTestDevice()];
    const x = await place(tensor([1, 2]).add(1), a);
    const y = await place(tensor([1, 2]).add(1), b);
    await assert.rejects(
      x.add(y).read(),
      /tensors on webgpu .* and on webgpu .* meet in one computation; move one with to\(tensor, device\)/,
    );
    const { to } = await import("../../src/tensor/index.ts");
    assert.deepEqual(await numbers(x.add(await to(y, a))), [4, 6]);
    a.close();
    b.close();
  });
});

async function place(x: Tensor, device: WebGpuDevice): Promise<Tensor> {
  const [storage] = await device.realize([x.node], []);
  return new Tensor(build.makeNode({ kind: "storage", storage }, [], x.shape, x.dtype));
}

describe("kernels bind no more buffers than the adapter has", () => {
  let gpu: WebGpuDevice;
  before(async () => {
    gpu = await openTestDevice();
  });
  after(() => gpu.close());

  test("sums and concatenations of forty tensors, each of its own", async () => {
    setDefaultDevice(gpu);
    const parts = Array.from({ length: 40 }, (_, i) => tensor(Float32Array.from({ length: 32 }, (_, j) => i + j)));
    await realize(parts);
    const sum = parts.reduce((a, b) => a.add(b));
    const nested = parts.map((p) => p.mul(2).add(1)).reduce((a, b) => a.maximum(b.sub(a.mul(0.001))));
    const { concat, stack } = await import("../../src/tensor/index.ts");
    const joined = concat(parts).sum();
    const stacked = stack(parts, 1).max(1);
    const values = await Promise.all([sum, nested, joined, stacked].map(numbers));
    assert.deepEqual(values[0].slice(0, 3), [780, 820, 860]);
    assert.equal(values[2][0], 40 * 496 + 32 * 780);
    assert.deepEqual(values[3].slice(0, 2), [39, 40]);
    assert.ok(values[1].every(Number.isFinite));
    await realize(parts.map((p, i) => p.mul(i)));
    assert.equal(zeros([1]).size, 1);
    setDefaultDevice(undefined);
  });
});
