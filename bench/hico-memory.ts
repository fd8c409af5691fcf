/**
 * Peak resident memory of a process that does nothing but HiCo pretraining steps on the `cpu` device, in MB:
 *
 *     node --import tsx bench/hico-memory.ts gru 128 [--threads 2]
 *
 * `bench/hico-step.ts` runs it for every configuration; its own process holds the model twice, to compare losses.
 */
import { parseArgs } from "node:util";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import { HiCo, HiCoTrainer } from "../src/hico/index.ts";
import type { EncoderName, HiCoBatch } from "../src/hico/index.ts";
import { realize, setDefaultDevice } from "../src/tensor/index.ts";
import { Generator } from "../src/tensor/random.ts";
import { QUEUE, SHAPES } from "./hico-shapes.ts";

/** By then plans are made, and memory is what it stays. */
const STEPS = 5;

const { positionals, values } = parseArgs({ allowPositionals: true, options: { threads: { type: "string", default: "2" } } });
const [encoder, hidden] = [positionals[0] as EncoderName, Number(positionals[1])];
setDefaultDevice(await CpuDevice.open({ threads: Number(values.threads) }));
const random = new Generator(7);
const trainer = new HiCoTrainer(new HiCo({ encoder, hidden, queue: QUEUE, generator: random }));
const batch = Object.fromEntries(Object.entries(SHAPES).map(([name, shape]) => [name, random.normal([...shape])])) as unknown as HiCoBatch;
await realize(Object.values(batch));
for (let i = 0; i < STEPS; i++) await (await trainer.step(batch)).loss.item();
console.log(process.resourceUsage().maxRSS / 1024);
process.exit(0);
