/** The cpu device by number of threads: the same bits, also where its memory has to grow under way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { JOB, workerText } from "../../src/device/cpu/worker-text.ts";
import { i32 } from "../../src/wasm/assembler/instructions.ts";
import { MAX_PAGES, ModuleBuilder } from "../../src/wasm/assembler/module.ts";
import { valueAndGrad } from "../../src/autograd/grad.ts";
import { crossEntropy, softmax } from "../../src/ops/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { Generator, realize, tensor } from "../../src/tensor/index.ts";

/** Loss and gradients of a small network, then of one that needs a few hundred megabytes. */
async function train(device: Backend): Promise<Uint8Array[]> {
  setDefaultDevice(device);
  try {
    const found: Uint8Array[] = [];
    for (const width of [33, 1030]) {
      const random = new Generator(3);
      const [x, w1, w2] = [
        random.normal([400, width]),
        random.normal([width, 2 * width], 0, 0.05),
        random.normal([2 * width, 7], 0, 0.05),
      ];
      const labels = tensor(Int32Array.from({ length: 400 }, (_, i) => i % 7));
      const [value, gradients] = valueAndGrad(([a, b]: Tensor[]) =>
        crossEntropy(softmax(x.matmul(a), -1).mul(100).tanh().matmul(b), labels),
      )([w1, w2]);
      await realize([value, ...gradients]);
      for (const t of [value, ...gradients])
        found.push(new Uint8Array(((await t.read()) as Float32Array).slice().buffer));
    }
    return found;
  } finally {
    setDefaultDevice(undefined);
  }
}

test("one, two and three threads give the same bits; memory grows under each", async () => {
  const results: Uint8Array[][] = [];
  for (const threads of [1, 2, 3]) {
    const device = await CpuDevice.open({ threads });
    try {
      assert.equal(device.threads, threads);
      results.push(await train(device));
    } finally {
      device.close();
    }
  }
  for (const other of results.slice(1)) other.forEach((bytes, i) => assert.deepEqual(bytes, results[0][i]));
});

test("a worker that has not heard of the memory's growth finds a program beyond what it knows of", async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true });
  // The memory as a worker has it that V8 does not tell of growth: as long as it was, until it is asked to grow.
  const unaware = `
    const { memory } = require("node:worker_threads").workerData;
    const { buffer } = memory;
    Object.defineProperty(memory, "buffer", { configurable: true, value: buffer });
    memory.grow = (pages) => {
      delete memory.buffer;
      return WebAssembly.Memory.prototype.grow.call(memory, pages);
    };
    require("node:worker_threads").parentPort.postMessage(0);
  `;
  const worker = new Worker(`{${unaware}}${workerText}`, { eval: true, workerData: { memory, thread: 1 } });
  const died = new Promise<never>((_, reject) => worker.once("error", reject));
  try {
    await Promise.race([new Promise((started) => worker.once("message", started)), died]);
    const program = new ModuleBuilder();
    const parameters = Array<"i32">(6).fill("i32");
    program.function({ parameters }, (f) => f.drop(i32.atomicAdd(f.parameters[0], i32.const(1))), "run");
    const bytes = program.encode(true);
    const at = memory.buffer.byteLength;
    memory.grow(1);
    new Uint8Array(memory.buffer, at).set(bytes);
    const words = new Int32Array(memory.buffer);
    const ran = 4096;
    words.set([at, bytes.length, 4 * ran], JOB.first);
    words[JOB.program] = 1;
    Atomics.add(words, JOB.sequence, 1);
    Atomics.notify(words, JOB.sequence);
    while (Atomics.load(words, ran) === 0) await Promise.race([new Promise((later) => setTimeout(later, 5)), died]);
  } finally {
    await worker.terminate();
  }
});
