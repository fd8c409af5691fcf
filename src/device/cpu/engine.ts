/** Getting the JavaScript engine ready: what it can do, how many threads there may be. */
import { wasmFeatures } from "../../wasm/assembler/features.ts";
import type { WasmFeatures } from "../../wasm/assembler/features.ts";
import { environmentVariable, hasProcess, importLate, isNode } from "../environment.ts";
import { chooseWidth } from "./wide.ts";

/** Switches on what the engine has but hides, and asks what it can do. */
export async function prepareEngine(): Promise<WasmFeatures> {
  await enableRelaxedSimd();
  const features = wasmFeatures();
  return { ...features, ...(await chooseWidth(features)) };
}

/** Node 20 has fused multiply-add behind a flag; later ones have it without, and complain of the flag. */
export async function enableRelaxedSimd(): Promise<void> {
  if (!isNode || wasmFeatures().relaxedSimd) return;
  const v8 = await importLate<typeof import("node:v8")>("node:v8");
  v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
}

/** Most threads that may be asked for. */
const MAX_THREADS = 64;

/**
 * Threads to use: what was asked for, else HICO_THREADS, else one a core; 1 where the engine cannot share memory.
 *
 * @throws Error where the number is none
 */
export async function chooseThreads(asked: number | undefined, features: WasmFeatures): Promise<number> {
  const text = environmentVariable("HICO_THREADS");
  const wanted = asked ?? (text === undefined ? undefined : Number(text));
  if (wanted !== undefined && !(Number.isInteger(wanted) && wanted >= 1 && wanted <= MAX_THREADS)) {
    throw new Error(`threads must be a whole number from 1 to ${MAX_THREADS}, not ${asked ?? text}`);
  }
  if (!features.threads) return 1;
  return wanted ?? Math.max(1, Math.min(MAX_THREADS, await cores()));
}

async function cores(): Promise<number> {
  if (!hasProcess) return globalThis.navigator?.hardwareConcurrency ?? 1;
  return (await importLate<typeof import("node:os")>("node:os")).availableParallelism();
}
