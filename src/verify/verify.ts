/** Replays the cases of a golden file on a device and measures their errors. */
import { readSafetensors } from "../io/safetensors.ts";
import type { Backend } from "../tensor/backend.ts";
import { setDefaultDevice } from "../tensor/backend.ts";
import type { GoldenFile } from "./case.ts";
import { errorsOf } from "./case.ts";
import { CASE_KINDS } from "./kinds.ts";

/** The largest errors allowed, by the dtype a device computes in. */
const TOLERANCES: Readonly<Record<"f64" | "f32", number>> = { f64: 1e-9, f32: 1e-4 };

interface VerifyOptions {
  /** Largest error allowed, relative to each tensor's scale; default 1e-9 in float64, 1e-4 in float32. */
  readonly tolerance?: number;
  /** Told of each case as it is done. */
  readonly onCase?: (result: CaseResult) => void;
}

export interface CaseResult {
  readonly name: string;
  readonly kind: string;
  readonly passed: boolean;
  /** Largest error of all quantities, relative to the scale of each, and the quantity it belongs to. */
  readonly error?: number;
  readonly worst?: string;
  /** Values compared. */
  readonly compared: number;
  /** Where the case could not be replayed. */
  readonly failure?: string;
}

export interface VerifyReport {
  readonly device: string;
  readonly tolerance: number;
  readonly passed: number;
  readonly failed: number;
  readonly cases: readonly CaseResult[];
}

/**
 * Replays every case of the file at `path` on `device`, which becomes the default device.
 *
 * @throws FormatError where the file cannot be read; Error where it holds no case.
 */
export async function verifyFile(path: string, device: Backend, options: VerifyOptions = {}): Promise<VerifyReport> {
  setDefaultDevice(device);
  const dtype = device.supports("f64") ? "f64" : "f32";
  const tolerance = options.tolerance ?? TOLERANCES[dtype];
  if (!(tolerance >= 0)) throw new Error(`the tolerance must be a number of at least 0, not ${tolerance}`);
  const file: GoldenFile = { ...readSafetensors(path), dtype };
  const found = CASE_KINDS.flatMap((kind) => kind.find(file).map((one) => ({ one, kind: kind.name })));
  if (found.length === 0) {
    throw new Error(
      `${path} holds no case of a known kind (${CASE_KINDS.map((k) => k.name).join(", ")}); layouts are in docs`,
    );
  }
  const cases: CaseResult[] = [];
  for (const { one, kind } of found.sort((a, b) => (a.one.name < b.one.name ? -1 : 1))) {
    let error = 0;
    let worst: string | undefined;
    let compared = 0;
    let failure: string | undefined;
    let passed = true;
    try {
      await one.run(async (batch) => {
        const errors = await errorsOf(batch);
        errors.forEach((e, i) => {
          compared++;
          if (e > tolerance * (batch[i].slack ?? 1)) passed = false;
          if (worst === undefined || e > error) [error, worst] = [e, batch[i].name];
        });
      });
    } catch (reason) {
      failure = reason instanceof Error ? reason.message : String(reason);
    }
    const result: CaseResult = {
      name: one.name,
      kind,
      passed: passed && failure === undefined && compared > 0,
      error,
      worst,
      compared,
      failure,
    };
    cases.push(result);
    options.onCase?.(result);
  }
  const failed = cases.filter((c) => !c.passed).length;
  return { device: device.name, tolerance, passed: cases.length - failed, failed, cases };
}

/** A case as a line for people. */
export function formatCase({ name, passed, error, worst, failure }: CaseResult): string {
  const mark = passed ? "ok    " : "FAILED";
  if (failure !== undefined) return `${mark} ${name.padEnd(28)} ${failure}`;
  const where = worst !== undefined && !passed ? ` at ${worst}` : "";
  return `${mark} ${name.padEnd(28)} ${(error ?? 0).toExponential(1)}${where}`;
}
