/**
 * Times of dispatches on an adapter: by timestamp queries where it has them, else by the clock around a submit. Lists
 * are run by turns, sample after sample, so that a change of the clock rate meets all alike; medians count.
 */
import type { Command, Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import { median, type Sampling } from "../../src/bench/measure.ts";

/** The most runs of a list in one submit. */
const MOST_RUNS = 256;

/** Whether times are those of the adapter's own clock. */
export function hasTimestamps(gpu: Gpu): boolean {
  return gpu.device.features.has("timestamp-query");
}

/** Milliseconds by the clock of `runs` runs of a list in one submit, the wait for it included. */
export async function wallTime(gpu: Gpu, commands: readonly Command[], runs = 1): Promise<number> {
  const list = Array.from({ length: runs }, () => commands).flat();
  const start = performance.now();
  gpu.submit(list);
  await gpu.idle();
  return performance.now() - start;
}

/** Milliseconds that the dispatches of `runs` runs of a list took, by the adapter's clock where it can tell. */
async function kernelTime(gpu: Gpu, commands: readonly Command[], runs: number): Promise<number> {
  if (!hasTimestamps(gpu)) return wallTime(gpu, commands, runs);
  gpu.resetKernelTimes();
  gpu.timing = true;
  try {
    gpu.submit(Array.from({ length: runs }, () => commands).flat());
  } finally {
    gpu.timing = false;
  }
  return (await gpu.kernelTimes()).reduce((sum, { ms }) => sum + ms, 0);
}

/**
 * Median milliseconds of one run of each list. A sample takes at least `each` milliseconds where that is at most 256
 * runs; ends early, with at least one sample, where `timeLeft` says so.
 */
export async function timeLists(
  gpu: Gpu,
  lists: readonly (readonly Command[])[],
  { samples, each }: Sampling,
  timeLeft: () => number,
): Promise<number[]> {
  const runs: number[] = [];
  for (const list of lists) {
    await wallTime(gpu, list);
    const once = await kernelTime(gpu, list, 1);
    runs.push(Math.max(1, Math.min(MOST_RUNS, Math.ceil(each / Math.max(once, 1e-3)))));
  }
  const times = lists.map((): number[] => []);
  for (let sample = 0; sample < samples && (sample === 0 || timeLeft() > 0); sample++) {
    for (const [i, list] of lists.entries()) times[i].push((await kernelTime(gpu, list, runs[i])) / runs[i]);
  }
  return times.map(median);
}
