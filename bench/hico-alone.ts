/**
 * Time and memory of a process that does nothing but HiCo pretraining steps on the `cpu` device, as one line of JSON:
 *
 *     node --import tsx bench/hico-alone.ts gru 128 [--batch 64] [--queue 2048] [--steps 5] [--threads 2]
 *
 * `bench/hico-step.ts` runs it for memory, since its own process holds the model twice, and `bench/hico-growth.ts` for
 * every size, so that each peak is of its size alone.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import { HiCo, HiCoTrainer } from "../src/hico/index.ts";
import type { EncoderName, HiCoBatch } from "../src/hico/index.ts";
import { realize, setDefaultDevice } from "../src/tensor/index.ts";
import { Generator } from "../src/tensor/random.ts";
import { BATCH, QUEUE, shapesOf } from "./hico-shapes.ts";

/** Steps in which plans are made and V8's optimised code takes over. */
const WARM_UP = 3;

export interface Alone {
  /** Milliseconds of every step after the warm-up. */
  readonly ms: readonly number[];
  /** The least time of all cores that one of them took, in milliseconds: what counts where others use the machine too. */
  readonly coreMs: number;
  /** Peak resident memory of the process, in MB. */
  readonly peakMb: number;
  /** The most that tensors and plans took of the device's memory at a time, in MB. */
  readonly deviceMb: number;
}

export interface AloneOptions {
  readonly batch?: number;
  readonly queue?: number;
  readonly steps?: number;
  readonly threads: number;
}

/** Runs the script in a process of its own. */
export function trainAlone(encoder: string, width: number, options: AloneOptions): Alone {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const args = [
    "--import",
    "tsx",
    fileURLToPath(import.meta.url),
    encoder,
    String(width),
    ...given.flatMap(([name, value]) => [`--${name}`, String(value)]),
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.slice(2).join(" ")} failed: ${stderr}`);
  return JSON.parse(stdout) as Alone;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      batch: { type: "string", default: String(BATCH) },
      queue: { type: "string", default: String(QUEUE) },
      steps: { type: "string", default: "5" },
      threads: { type: "string", default: "2" },
    },
  });
  const [encoder, hidden] = [positionals[0] as EncoderName, Number(positionals[1])];
  const device = await CpuDevice.open({ threads: Number(values.threads) });
  setDefaultDevice(device);
  const random = new Generator(7);
  const trainer = new HiCoTrainer(new HiCo({ encoder, hidden, queue: Number(values.queue), generator: random }));
  const batch = Object.fromEntries(
    Object.entries(shapesOf(Number(values.batch))).map(([name, shape]) => [name, random.normal([...shape])]),
  ) as unknown as HiCoBatch;
  await realize(Object.values(batch));
  const ms: number[] = [];
  let coreMs = Infinity;
  for (let i = 0; i < WARM_UP + Number(values.steps); i++) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await (await trainer.step(batch)).loss.item();
    const { user, system } = process.cpuUsage(before);
    if (i < WARM_UP) continue;
    ms.push(performance.now() - start);
    coreMs = Math.min(coreMs, (user + system) / 1e3);
  }
  const result: Alone = {
    ms,
    coreMs,
    peakMb: process.resourceUsage().maxRSS / 1024,
    deviceMb: device.counters.bytesPeak / 2 ** 20,
  };
  console.log(JSON.stringify(result));
  process.exit(0);
}
