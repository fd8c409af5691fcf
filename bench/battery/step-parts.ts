/** A HiCo pretraining step on the adapter: its first one, its pace, and every kernel of it by timestamps. */
import { median } from "../../src/bench/measure.ts";
import type { EncoderName } from "../../src/hico/index.ts";
import { setDefaultDevice } from "../../src/tensor/index.ts";
import { hicoProblem, type HiCoSizes } from "../hico-problem.ts";
import { BATCH, QUEUE } from "../hico-shapes.ts";
import type { Part, PartContext } from "./part.ts";
import type { PartResult, Row } from "./results.ts";
import { hasTimestamps } from "./timing.ts";

/** The steps that are measured, in full and in small batteries. */
export function stepSizes(small: boolean): HiCoSizes[] {
  if (small) return [{ encoder: "gru", hidden: 16, batch: 2, queue: 64 }];
  const encoders: EncoderName[] = ["gru", "lstm", "transformer"];
  return [128, 512].flatMap((hidden) => encoders.map((encoder) => ({ encoder, hidden, batch: BATCH, queue: QUEUE })));
}

/** `dispatch.part` and `dispatch.other` are kernels of one op; products and loops have names of their sizes. */
function familyOf(name: string): string {
  return name.includes(" ") ? name : name.split(".")[0];
}

async function run(sizes: HiCoSizes, context: PartContext): Promise<PartResult> {
  const { device, small, tell, timeLeft, figure } = context;
  const { gpu } = device;
  setDefaultDevice(device);
  tell("weights and batch");
  const { inputs, trainer: trainerOf } = await hicoProblem(sizes);
  const before = gpu.snapshot();
  tell("the first step, which compiles");
  const start = performance.now();
  const trainer = trainerOf();
  const step = async (): Promise<void> => (await trainer.step(inputs)).loss.dispose();
  await (await trainer.step(inputs)).loss.item();
  const firstMs = performance.now() - start;
  const { pipelinesCreated, dispatches } = gpu.snapshot();
  const [samples, each] = small ? [2, 1] : [7, 20];
  tell("steps");
  const times: number[] = [];
  for (let sample = 0; sample <= samples && (sample < 2 || timeLeft() > 0); sample++) {
    const from = performance.now();
    for (let i = 1; i < each; i++) await step();
    await (await trainer.step(inputs)).loss.item();
    if (sample > 0) times.push((performance.now() - from) / each);
  }
  const stepMs = median(times);
  const rows: Row[] = [];
  const notes: string[] = [];
  let kernelMs = 0;
  let flops = 0;
  if (hasTimestamps(gpu)) {
    tell("kernels by timestamps");
    gpu.resetKernelTimes();
    gpu.timing = true;
    const timed = small ? 1 : 10;
    for (let i = 0; i < timed; i++) await step();
    await device.synchronize();
    gpu.timing = false;
    const families = new Map<string, { count: number; ms: number; flops: number; bytes: number }>();
    for (const { name, ...time } of await device.kernelTimes()) {
      const sum = families.get(familyOf(name)) ?? { count: 0, ms: 0, flops: 0, bytes: 0 };
      families.set(familyOf(name), {
        count: sum.count + time.count,
        ms: sum.ms + time.ms,
        flops: sum.flops + time.flops,
        bytes: sum.bytes + time.bytes,
      });
    }
    const [peak, copy] = [figure("peakGflops"), figure("copyGbs")];
    kernelMs = [...families.values()].reduce((sum, { ms }) => sum + ms, 0) / timed;
    for (const [name, total] of [...families].sort(([, p], [, q]) => q.ms - p.ms)) {
      const [ms, mflops, mbytes] = [total.ms / timed, total.flops / timed / 1e6, total.bytes / timed / 1e6];
      const [arithmetic, traffic] = [mflops / (peak ?? Number.NaN), mbytes / (copy ?? Number.NaN)];
      const bound = Math.max(arithmetic, traffic) / ms;
      flops += mflops / 1e3;
      rows.push({
        kernel: name,
        count: total.count / timed,
        ms,
        share: ms / kernelMs,
        mflops,
        mbytes,
        gflops: mflops / ms,
        gbs: mbytes / ms,
        by: Number.isNaN(bound) ? null : arithmetic > traffic ? "arithmetic" : "memory",
        bound: Number.isFinite(bound) ? bound : null,
      });
    }
  } else {
    notes.push("kernels: the adapter has no timestamp-query");
  }
  const key = `${sizes.encoder}${sizes.hidden}`;
  return {
    summary:
      `${stepMs.toPrecision(3)} ms a step, ${dispatches - before.dispatches} dispatches of ${kernelMs.toPrecision(3)} ms, ` +
      `${(flops / stepMs).toPrecision(3)} TFLOP/s; the first step takes ${(firstMs / 1000).toFixed(1)} s`,
    figures: { [`${key}StepMs`]: stepMs, [`${key}KernelMs`]: kernelMs, [`${key}FirstMs`]: firstMs },
    tables: [
      {
        title: "The step",
        columns: [
          { key: "what", label: "what", kind: "text" },
          { key: "value", label: "value", kind: "number" },
        ],
        rows: [
          { what: "ms a step, median", value: stepMs },
          { what: "ms of it in kernels, by timestamps", value: kernelMs },
          { what: "first step, ms: planning and compiling (drivers keep compiled kernels on disk)", value: firstMs },
          { what: "kernels compiled for it", value: pipelinesCreated - before.pipelinesCreated },
          { what: "dispatches", value: dispatches - before.dispatches },
          { what: "GFLOP", value: flops },
          { what: "MiB of device memory at most", value: gpu.counters.bytesPeak / 2 ** 20 },
        ],
      },
      {
        title: "Kernels by time",
        note:
          "Bytes are of the tensors a kernel touches, each once. The bound is the peak of multiply-adds or the copy's " +
          "bandwidth, whichever holds; above 100 % tensors stayed in the caches. A pass of its own for every dispatch costs time.",
        columns: [
          { key: "kernel", label: "kernel", kind: "text" },
          { key: "count", label: "dispatches", kind: "number" },
          { key: "ms", label: "ms a step", kind: "number" },
          { key: "share", label: "of the step", kind: "share" },
          { key: "mflops", label: "MFLOP", kind: "number" },
          { key: "mbytes", label: "MB", kind: "number" },
          { key: "gflops", label: "GFLOP/s", kind: "number" },
          { key: "gbs", label: "GB/s", kind: "number" },
          { key: "by", label: "bound by", kind: "text" },
          { key: "bound", label: "of bound", kind: "share" },
        ],
        rows,
      },
    ],
    notes,
  };
}

export function stepParts(small: boolean): Part[] {
  return stepSizes(small).map((sizes) => ({
    name: `step-${sizes.encoder}-${sizes.hidden}`,
    title: `HiCo step, ${sizes.encoder}, d ${sizes.hidden}`,
    seconds: { full: 16, small: 40 },
    run: (context) => run(sizes, context),
  }));
}
