/**
 * Runs parts one after the other, keeps what each found before the next begins, and leaves out what there is no time
 * for. A part that fails is told and does not end the battery; one that ended the process twice is not tried again.
 */
import { duration } from "../../src/train/progress.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { batteryPage } from "./page.ts";
import type { Part } from "./part.ts";
import { type BatteryReport, type PartRecord, pageFile, partsBefore, writeReport, writeText } from "./results.ts";

/** Begun so often and never done: the driver does not survive it. */
const MOST_ATTEMPTS = 2;

export interface BatteryOptions {
  readonly folder: string;
  readonly parts: readonly Part[];
  /** Measure them even where the folder has their results. */
  readonly again: boolean;
  /** Seconds for all parts that are still to be measured. */
  readonly seconds: number;
  readonly python: string;
  open(): Promise<WebGpuDevice>;
  /** Told what is going on: a line that may be replaced, or one that stays. */
  progress(line: string, stays: boolean): void;
}

/** The report with the parts of earlier runs, gone on with. `report` has no parts yet. */
export async function runBattery(given: BatteryReport, options: BatteryOptions): Promise<BatteryReport> {
  const { folder, parts, again } = options;
  const records = new Map<string, PartRecord>(
    partsBefore(folder, given).map((record): [string, PartRecord] => [record.name, record]),
  );
  const wanted = new Set(parts.map(({ name }) => name));
  if (again) for (const name of wanted) records.delete(name);
  const report = (): BatteryReport => ({ ...given, parts: [...records.values()] });
  const keep = (record: PartRecord): void => {
    records.set(record.name, record);
    writeReport(folder, report());
  };
  const size = given.small ? "small" : "full";
  const open = parts.filter(({ name }) => records.get(name)?.state !== "done");
  if (open.length < parts.length) options.progress(`${parts.length - open.length} parts are done already`, true);
  const end = performance.now() + 1000 * options.seconds;
  for (const [at, part] of open.entries()) {
    const { name, title } = part;
    const attempts = records.get(name)?.state === "running" ? records.get(name)!.attempts : 0;
    const record = { name, title, attempts: attempts + 1, seconds: 0 };
    const left = end - performance.now();
    if (attempts >= MOST_ATTEMPTS) {
      const reason = `it ended the process ${attempts} times; --again --parts ${name} tries once more`;
      keep({ ...record, attempts, state: "left out", reason });
      continue;
    }
    if (at > 0 && left < 500 * part.seconds[size]) {
      keep({
        ...record,
        attempts: 0,
        state: "left out",
        reason: "no time was left; running the battery again goes on here",
      });
      options.progress(`${title}: no time left`, true);
      continue;
    }
    keep({ ...record, state: "running" });
    const start = performance.now();
    const rest = open.slice(at).reduce((sum, other) => sum + other.seconds[size], 0);
    // Time that is left over goes to the parts in proportion.
    const until = start + Math.max(1000 * part.seconds[size], (left * part.seconds[size]) / rest);
    let device: WebGpuDevice | undefined;
    try {
      device = await options.open();
      const result = await part.run({
        device,
        small: given.small,
        python: options.python,
        figure: (key) =>
          [...records.values()].map(({ result: found }) => found?.figures?.[key]).find((x) => x !== undefined),
        timeLeft: () => until - performance.now(),
        tell: (text) => {
          const spent = (performance.now() - start) / 1000;
          const toGo = Math.max(0, Math.min(rest - spent, (end - performance.now()) / 1000));
          options.progress(`[${at + 1}/${open.length}] ${title}: ${text}, about ${duration(toGo)} left`, false);
        },
      });
      const seconds = (performance.now() - start) / 1000;
      keep({ ...record, state: "done", seconds, result });
      options.progress(`[${at + 1}/${open.length}] ${title}: ${result.summary} (${duration(seconds)})`, true);
    } catch (error) {
      const reason = (error as Error).message.split("\n")[0];
      keep({ ...record, state: "failed", seconds: (performance.now() - start) / 1000, reason });
      options.progress(`[${at + 1}/${open.length}] ${title}: failed: ${reason}`, true);
    } finally {
      device?.close();
    }
  }
  const whole = report();
  writeText(folder, pageFile(folder), batteryPage(whole));
  return whole;
}
