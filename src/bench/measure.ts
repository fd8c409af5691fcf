/**
 * Times of cases on a device: medians of samples, each as many runs as fill its time, and what share they come to of the
 * bound that holds: the arithmetic at the rate of the fastest product or the traffic at the rate of the copy, whichever
 * takes longer, both as measured on the same device.
 */
import type { Backend } from "../tensor/backend.ts";
import { setDefaultDevice } from "../tensor/backend.ts";
import type { BenchCase, Work } from "./cases.ts";

/** What a case came to. */
export interface Measured {
  readonly name: string;
  readonly sizes: string;
  /** Median milliseconds of a run. */
  readonly milliseconds: number;
  readonly gigaflops: number;
  readonly gigabytes: number;
  /** The bound's time over the measured one, from 0 to 1; undefined for another library's. */
  readonly share?: number;
}

/** What one device, or another library, came to. */
export interface BenchResult {
  readonly device: string;
  readonly cases: readonly Measured[];
}

/** How long is measured. */
export interface Sampling {
  readonly samples: number;
  /** Milliseconds a sample takes at least. */
  readonly each: number;
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[sorted.length >> 1] + sorted[(sorted.length - 1) >> 1]) / 2;
}

/** Median milliseconds of `run`, after two runs that compile and warm up. `settle` waits until all has run. */
export async function timeOf(
  run: () => Promise<void>,
  settle: () => Promise<void>,
  { samples, each }: Sampling,
): Promise<number> {
  for (let i = 0; i < 2; i++) await run();
  await settle();
  const times: number[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const start = performance.now();
    let runs = 0;
    do {
      await run();
      runs++;
    } while (performance.now() - start < each);
    await settle();
    times.push((performance.now() - start) / runs);
  }
  return median(times);
}

/** A line of the table from a time and its work. */
export function measured(one: BenchCase, quick: boolean, { flops, bytes }: Work, milliseconds: number): Measured {
  return {
    name: one.name,
    sizes: one.sizes(quick),
    milliseconds,
    gigaflops: flops / milliseconds / 1e6,
    gigabytes: bytes / milliseconds / 1e6,
  };
}

/** Runs the cases on a device one after the other. `tell` hears of each before it runs. */
export async function benchDevice(
  device: Backend,
  cases: readonly BenchCase[],
  quick: boolean,
  sampling: Sampling,
  tell: (name: string) => void,
): Promise<BenchResult> {
  setDefaultDevice(device);
  const found: Measured[] = [];
  for (const one of cases) {
    tell(one.name);
    const prepared = one.prepare(quick);
    const run = async (): Promise<void> => (await prepared.run()).dispose();
    found.push(measured(one, quick, prepared, await timeOf(run, () => device.synchronize(), sampling)));
  }
  return { device: device.name, cases: withShares(found) };
}

/** The cases with their shares of the bounds that the best of them set. */
export function withShares(found: readonly Measured[]): Measured[] {
  // What sets the bounds must have been measured too.
  if (!["product", "bandwidth"].every((name) => found.some((one) => one.name === name))) return [...found];
  const rate = Math.max(...found.map(({ gigaflops }) => gigaflops));
  const traffic = Math.max(...found.map(({ gigabytes }) => gigabytes));
  return found.map((one) => ({ ...one, share: Math.max(one.gigaflops / rate, one.gigabytes / traffic) }));
}
