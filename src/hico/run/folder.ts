/**
 * The folder of a run: its resolved settings, its metrics, its checkpoints, and what was evaluated of it.
 *
 *     hico.config.json              the settings, whole
 *     store.json                    which store, protocol and layout they were used on
 *     run.lock                      the process that writes here, while it does
 *     metrics.jsonl                 one line an epoch, and one for every reading of the losses
 *     events.out.tfevents.*         the same for TensorBoard
 *     checkpoints/step-*.safetensors   the last ones; `best.safetensors`
 *     pretrain.json                 how pretraining went
 *     eval/*.json                   results of evaluations; eval/*.npz: features and scores of clips, by name
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { requireWritableFolder, writeTextAtomic } from "../../io/byte-sink.ts";
import { readFileText } from "../../io/byte-source.ts";
import { FormatError } from "../../io/format-error.ts";
import type { ClipStore } from "../../data/store/store.ts";
import type { RunSettings } from "./settings.ts";
import { resolveSettings } from "./settings.ts";

export const CONFIG_FILE = "hico.config.json";

/** What a run and its evaluations write into their folder, but for the lock. */
const OWN_FILES =
  /^(hico\.config\.json|store\.json|pretrain\.json|metrics\.jsonl|events\.out\.tfevents\..*|checkpoints|eval|report(-.*)?\.html)$/;

const PRETRAINING_FILE = "pretrain.json";
const STORE_FILE = "store.json";

/** The store that a run is of: what tells it from any other, wherever it lies. */
export interface RunStore {
  /** `ClipStore.checksum`. */
  readonly checksum: number;
  readonly clips: number;
  readonly protocol: string;
  readonly layout: string;
}

/** The folder of a run: its settings, checkpoints, log and results, by path. */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Whether a run was begun here: there are settings and something came of them. */
  get exists(): boolean {
    const { metricsPath } = this;
    const begun = (existsSync(metricsPath) && statSync(metricsPath).size > 0) || this.checkpoints().length > 0;
    return begun && existsSync(this.#at(CONFIG_FILE));
  }

  /** The file of measures, a line of JSON a step. */
  get metricsPath(): string {
    return this.#at("metrics.jsonl");
  }

  /** Makes the folder. */
  create(): void {
    mkdirSync(this.#at("checkpoints"), { recursive: true });
  }

  #at(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** The settings the run was begun with. @throws Error where there is no run or its file is not one. */
  settings(): RunSettings {
    const path = this.#at(CONFIG_FILE);
    if (!existsSync(path))
      throw new Error(`${this.path} holds no run: there is no ${CONFIG_FILE} in it; hico pretrain --run makes one`);
    return resolveSettings({ from: path, given: readConfig(path) });
  }

  /** Writes what the run was asked for. */
  writeSettings(settings: RunSettings): void {
    writeJson(this.#at(CONFIG_FILE), { ...settings, data: resolve(settings.data) });
  }

  /** Writes which data it is of. */
  writeStore(store: RunStore): void {
    writeJson(this.#at(STORE_FILE), store);
  }

  /** The store that the run was begun on, where it says so. */
  store(): RunStore | undefined {
    return readJson(this.#at(STORE_FILE)) as RunStore | undefined;
  }

  /** Makes sure that there is a file at `data`, where its store is to lie. @throws Error where there is none */
  requireData(data: string): void {
    if (existsSync(data)) return;
    throw new Error(`${this.path}: its store ${data} is not there; name where it lies now with --data`);
  }

  /** Makes sure that a store is the one that the run was begun on. @throws Error where it is not */
  requireStore(store: Pick<ClipStore, "path" | "checksum" | "length">): void {
    const begun = this.store();
    if (begun === undefined || begun.checksum === store.checksum) return;
    throw new Error(
      `${store.path} is not the store that ${this.path} was begun on: its checksum is ${hex(store.checksum)} ` +
        `(${store.length} clips), the run's is ${hex(begun.checksum)} (${begun.clips} clips); ` +
        `name that one with --data, or begin another run`,
    );
  }

  /** Paths of the checkpoints by step, latest first. */
  checkpoints(): { readonly path: string; readonly step: number }[] {
    const folder = this.#at("checkpoints");
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .map((name) => ({ path: join(folder, name), match: /^step-(\d+)\.safetensors$/.exec(name) }))
      .filter(({ match }) => match !== null)
      .map(({ path, match }) => ({ path, step: Number(match![1]) }))
      .sort((a, b) => b.step - a.step);
  }

  /** The checkpoint of a step. */
  checkpointPath(step: number): string {
    return this.#at("checkpoints", `step-${String(step).padStart(8, "0")}.safetensors`);
  }

  /** The best checkpoint so far. */
  get bestPath(): string {
    return this.#at("checkpoints", "best.safetensors");
  }

  /**
   * Removes all checkpoints but the latest and, `keep` in all, the last of those that are written in turn, and what killed
   * processes left half-written. One that a stop asked for between two turns goes with the next, so that a run that was
   * stopped leaves what one that was not leaves.
   */
  prune(keep: number, inTurn: (step: number) => boolean): void {
    const [, ...others] = this.checkpoints();
    const turns = others.filter(({ step }) => inTurn(step)).slice(0, keep - 1);
    for (const other of others) if (!turns.includes(other)) rmSync(other.path, { force: true });
    const folder = this.#at("checkpoints");
    for (const name of readdirSync(folder)) if (/^\..*\.tmp$/.test(name)) rmSync(join(folder, name), { force: true });
  }

  /** Removes everything that a run and its evaluations left here; other files stay. */
  clear(): void {
    for (const name of readdirSync(this.path)) {
      if (OWN_FILES.test(name)) rmSync(this.#at(name), { recursive: true, force: true });
    }
  }

  /** Renames the damaged checkpoint at `path`, so that it is none any more. */
  putAside(path: string): void {
    renameSync(path, `${path}.damaged`);
  }

  /** The path of a checkpoint; `which` is "last", "best" or a path itself. @throws Error where there is none. */
  checkpoint(which = "last"): string {
    if (which === "last") {
      const [latest] = this.checkpoints();
      if (latest) return latest.path;
      throw new Error(`${this.path} holds no checkpoint yet`);
    }
    const path = which === "best" ? this.bestPath : which;
    if (existsSync(path)) return path;
    throw new Error(`there is no checkpoint ${path}`);
  }

  /** The lines of metrics, but one that is cut off: by a kill, or because it is being written. */
  metrics(): MetricsLine[] {
    if (!existsSync(this.metricsPath)) return [];
    const lines = readFileSync(this.metricsPath, "utf8").split("\n");
    return lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as MetricsLine];
      } catch {
        return [];
      }
    });
  }

  /** Drops the lines of metrics after `step`, which a resumed run writes again, and any line cut off by a kill. */
  rewindMetrics(step: number): void {
    if (!existsSync(this.metricsPath)) return;
    const kept = this.metrics().filter((line) => line.step <= step);
    writeTextAtomic(this.metricsPath, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
  }

  /** Refuses a folder that takes no results, before the work that they would come of. @throws Error saying why. */
  requireWritable(): void {
    for (const folder of [this.path, this.#at("eval")]) if (existsSync(folder)) requireWritableFolder(folder);
  }

  /** A file among the results of evaluations. */
  evaluationPath(file: string): string {
    return this.#at("eval", file);
  }

  /** Writes `value`, the result of an evaluation, as JSON under this `name`; its path. */
  writeEvaluation(name: string, value: unknown): string {
    const path = this.evaluationPath(`${name}.json`);
    mkdirSync(dirname(path), { recursive: true });
    writeJson(path, value);
    return path;
  }

  /** Names under which something was evaluated, sorted. */
  evaluations(): string[] {
    const folder = this.#at("eval");
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length))
      .sort();
  }

  /** Renames the file `from` among the results to `to`; does nothing where there is none. */
  moveEvaluation(from: string, to: string): void {
    if (existsSync(this.evaluationPath(from))) renameSync(this.evaluationPath(from), this.evaluationPath(to));
  }

  /** What was evaluated under this name, if anything was. */
  evaluation(name: string): unknown {
    return readJson(this.evaluationPath(`${name}.json`));
  }

  /** Writes the `report` of how the pretraining ended, as JSON. */
  writePretraining(report: object): void {
    writeJson(this.#at(PRETRAINING_FILE), report);
  }

  /** How pretraining went, if it has ended or was interrupted. */
  pretraining(): Record<string, unknown> | undefined {
    return readJson(this.#at(PRETRAINING_FILE)) as Record<string, unknown> | undefined;
  }
}

/** A line of metrics: a reading of the losses, or the means of an epoch. */
export interface MetricsLine {
  readonly kind: string;
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly accuracy: number;
}

/** Lines of metrics, appended; each is on the disk when the checkpoint after it is. */
export class MetricsLog {
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#descriptor = openSync(path, "a");
  }

  write(line: Readonly<Record<string, unknown>>): void {
    if (this.#descriptor !== undefined) writeSync(this.#descriptor, `${JSON.stringify(line)}\n`);
  }

  sync(): void {
    if (this.#descriptor !== undefined) fsyncSync(this.#descriptor);
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    this.sync();
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** A checksum as people compare it. */
export function hex(checksum: number): string {
  return (checksum >>> 0).toString(16).padStart(8, "0");
}

function readJson(path: string): unknown {
  return existsSync(path) ? parsed(path) : undefined;
}

/** The JSON in a file. @throws Error naming it and the fault */
function parsed(path: string): unknown {
  try {
    return JSON.parse(readFileText(path));
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new Error(`${path} is no JSON: ${(error as Error).message}; mend or remove it`, { cause: error });
  }
}

export function writeJson(path: string, value: unknown): void {
  writeTextAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The settings in the configuration file at `path`: a JSON object. @throws Error naming the file and the fault. */
export function readConfig(path: string): Record<string, unknown> {
  const value = parsed(path);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${path}: a configuration is a JSON object of settings`);
}
