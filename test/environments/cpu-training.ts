/**
 * A small HiCo model trained on the `cpu` device, as one function that runs under Node, by Deno and in a browser: GRU
 * scans, products, normalisation, dropout, queues, the contrastive losses, and SGD. The result is plain data.
 */
import { CpuDevice, Generator, realize, setDefaultDevice } from "../../src/index.ts";
import { HiCo } from "../../src/hico/model/model.ts";
import type { EncoderName, HiCoBatch } from "../../src/hico/index.ts";
import { HiCoTrainer } from "../../src/hico/model/trainer.ts";
import { CONTROL } from "../../src/wasm/work-sharing.ts";

export interface CpuTraining {
  /** The device's, which tells the threads. */
  readonly name: string;
  readonly threads: number;
  readonly relaxedSimd: boolean;
  /** Whether kernels were written in pairs of vectors. */
  readonly wide: boolean;
  /** Whether a page is cross-origin isolated; undefined outside browsers. */
  readonly isolated: boolean | undefined;
  /** Threads beside the first that have taken part in a plan. */
  readonly workersAtWork: number;
  readonly losses: readonly number[];
  /** FNV-1a hash of every parameter's bits after the last step, in order of the model's. */
  readonly bits: readonly number[];
}

const STEPS = 6;
const PATIENCE = 200;

/** How to train. */
export interface CpuTrainingOptions {
  readonly threads?: number;
  /** Default GRU. */
  readonly encoder?: EncoderName;
  readonly steps?: number;
  /** Steps more, at most, until every worker has been seen at work. */
  readonly patience?: number;
}

export async function trainOnCpu({
  threads,
  encoder = "gru",
  steps = STEPS,
  patience = PATIENCE,
}: CpuTrainingOptions = {}): Promise<CpuTraining> {
  const memories = watchSharedMemories();
  const device = await CpuDevice.open({ threads });
  memories.stop();
  setDefaultDevice(device);
  try {
    const random = new Generator(11);
    const model = new HiCo({
      encoder,
      hidden: 32,
      projection: 16,
      queue: 64,
      granularity: 3,
      dropout: 0.1,
      generator: random,
    });
    const trainer = new HiCoTrainer(model, { lr: 0.05 });
    const batch = {
      queryTemporal: random.normal([8, 64, 150]),
      querySpatial: random.normal([8, 50, 192]),
      keyTemporal: random.normal([8, 64, 150]),
      keySpatial: random.normal([8, 50, 192]),
    } satisfies HiCoBatch;
    await realize(Object.values(batch));
    const losses: number[] = [];
    for (let i = 0; i < steps; i++) losses.push(await (await trainer.step(batch)).loss.item());
    const bits: number[] = [];
    for (const parameter of model.parameters()) bits.push(hash((await parameter.read()) as Float32Array));
    // Workers start when they get a core, and a page starts them only while it does nothing else.
    for (let i = 0; i < patience && memories.workersAtWork(device.threads) < device.threads - 1; i++) {
      await trainer.step(batch);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return {
      name: device.name,
      threads: device.threads,
      relaxedSimd: device.features.relaxedSimd,
      wide: device.features.wide === true,
      isolated: (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated,
      workersAtWork: memories.workersAtWork(device.threads),
      losses,
      bits,
    };
  } finally {
    setDefaultDevice(undefined);
    device.close();
  }
}

/** The device's memory is its own: it is seen as it is made. A thread leaves the number of its phase in it. */
function watchSharedMemories(): { stop(): void; workersAtWork(threads: number): number } {
  const original = WebAssembly.Memory;
  const made: WebAssembly.Memory[] = [];
  WebAssembly.Memory = new Proxy(original, {
    construct(target, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      const memory = new target(descriptor);
      if (descriptor.shared) made.push(memory);
      return memory;
    },
  });
  return {
    stop: () => {
      WebAssembly.Memory = original;
    },
    workersAtWork(threads) {
      if (made.length === 0) return 0;
      const words = new Int32Array(made[0].buffer);
      const all = Array.from({ length: threads - 1 }, (_, i) => words[CONTROL.phaseOfThread / 4 + 16 * (i + 1)]);
      return all.filter((phase) => phase > 0).length;
    },
  };
}

function hash(values: Float32Array): number {
  let h = 0x811c9dc5;
  for (const byte of new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}
