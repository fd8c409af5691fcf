/**
 * Choosing a matmul tile by measuring, and remembering the choice.
 *
 * The tuner knows neither devices nor kernels: it is given candidates and a function that runs one and returns its
 * time. Candidates run in turn, round after round, so that a change in the machine's speed meets all alike, and the
 * smallest median wins. Choices are kept by adapter and problem, under Node and Deno in a JSON file in the cache
 * folder (`HICO_CACHE`, else `$XDG_CACHE_HOME/hico-webgpu`, else `~/.cache/hico-webgpu`), elsewhere in memory.
 */
import type { MatmulProblem, MatmulTile } from "../../shaders/matmul/product.ts";
import { formatTile, parseTile } from "../../shaders/matmul/matmul.ts";
import { cacheFolder, environmentVariable, hasProcess, importLate } from "../environment.ts";

/** Runs a tile's kernel once and returns milliseconds. May throw where the tile does not compile. */
type MeasureTile = (tile: MatmulTile) => Promise<number>;

interface AutotunerOptions {
  /** Name of the adapter that the times are of. */
  readonly adapter: string;
  /** Folder for the remembered choices; `undefined` is the default, `null` keeps them in memory. */
  readonly folder?: string | null;
  /** Use this tile (as `formatTile` writes it) for every problem; HICO_MATMUL_TILE by default. */
  readonly tile?: string;
  /** Rounds that count, default 5; one more goes before, since drivers compile late. */
  readonly runs?: number;
}

const FILE = "matmul-tiles.json";

/** Choices of another generation of kernels say nothing about this one: raise it when the generated text changes. */
const GENERATION = 1;

/** Slower than this many times the best of a round: out, and no more time spent on it. */
const HOPELESS = 3;

/** The file: tiles as text, by adapter, then by problem. */
interface Remembered {
  readonly generation: number;
  readonly choices: Record<string, Record<string, string>>;
}

/** What makes two problems the same for the tuner: sizes and how the operands are read. */
function problemSignature({ batch, m, n, k, a, b }: MatmulProblem): string {
  return `${batch}x${m}x${n}x${k} A:${a.vectorAxis} B:${b.vectorAxis}`;
}

/** Chooses tiles for one adapter. Open one with `Autotuner.open`. */
export class Autotuner {
  readonly #adapter: string;
  readonly #runs: number;
  readonly #override: MatmulTile | undefined;
  readonly #file: ChoiceFile | undefined;
  readonly #choices: Map<string, MatmulTile>;
  readonly #tuning = new Map<string, Promise<MatmulTile>>();

  private constructor(
    options: AutotunerOptions,
    override: MatmulTile | undefined,
    file: ChoiceFile | undefined,
    choices: Map<string, MatmulTile>,
  ) {
    this.#adapter = options.adapter;
    this.#runs = options.runs ?? 5;
    this.#override = override;
    this.#file = file;
    this.#choices = choices;
  }

  /**
   * Reads what is remembered for the adapter. A file that is missing or damaged counts as empty.
   * @throws Error when the tile given to override all others is not one, or `runs` is no positive integer.
   */
  static async open(options: AutotunerOptions): Promise<Autotuner> {
    const { adapter, runs = 5 } = options;
    if (!Number.isInteger(runs) || runs < 1) {
      throw new Error(`autotune: runs is ${runs}; it must be a whole number, 1 or more`);
    }
    const text = options.tile ?? environmentVariable("HICO_MATMUL_TILE");
    let override: MatmulTile | undefined;
    try {
      override = text === undefined ? undefined : parseTile(text);
    } catch (error) {
      throw new Error(
        `${options.tile === undefined ? "HICO_MATMUL_TILE" : "option tile"}: ${(error as Error).message}`,
        { cause: error },
      );
    }
    const file = options.folder === null ? undefined : await ChoiceFile.at(options.folder);
    const choices = new Map<string, MatmulTile>();
    for (const [signature, tile] of Object.entries((await file?.read())?.choices[adapter] ?? {})) {
      const parsed = tryParse(tile);
      if (parsed !== undefined) choices.set(signature, parsed);
    }
    return new Autotuner(options, override, file, choices);
  }

  /** The override, or what was chosen for the problem before, now or by an earlier process. */
  remembered(problem: MatmulProblem): MatmulTile | undefined {
    return this.#override ?? this.#choices.get(problemSignature(problem));
  }

  /**
   * The tile for a problem: remembered, or the fastest of the candidates, which is then remembered. Two calls for one
   * problem measure once.
   * @throws Error when there are no candidates, AggregateError when none of them runs.
   */
  tune(problem: MatmulProblem, candidates: readonly MatmulTile[], measure: MeasureTile): Promise<MatmulTile> {
    const known = this.remembered(problem);
    if (known !== undefined) return Promise.resolve(known);
    const signature = problemSignature(problem);
    const running = this.#tuning.get(signature);
    if (running !== undefined) return running;
    const tuning = (async () => {
      try {
        const best = await fastestTile(signature, candidates, measure, this.#runs);
        this.#choices.set(signature, best);
        await this.#file?.add(this.#adapter, signature, formatTile(best));
        return best;
      } finally {
        this.#tuning.delete(signature);
      }
    })();
    this.#tuning.set(signature, tuning);
    return tuning;
  }
}

/**
 * The candidate with the smallest median time over `runs` rounds. Candidates that throw or return no time, and those
 * that are hopelessly slow, drop out.
 * @throws Error without candidates; AggregateError with every candidate's error when none runs.
 */
export async function fastestTile(
  name: string,
  candidates: readonly MatmulTile[],
  measure: MeasureTile,
  runs = 5,
): Promise<MatmulTile> {
  if (candidates.length === 0) throw new Error(`autotune of ${name}: there are no candidates; give at least one`);
  let racing = candidates.map((tile) => ({ tile, times: [] as number[] }));
  if (racing.length === 1) return racing[0].tile;
  const errors: Error[] = [];
  for (let round = 0; round <= runs; round++) {
    for (const entry of [...racing]) {
      try {
        const time = await measure(entry.tile);
        if (!Number.isFinite(time) || time < 0) throw new Error(`measured ${time}, which is no time`);
        if (round > 0) entry.times.push(time);
      } catch (error) {
        errors.push(new Error(`${formatTile(entry.tile)}: ${(error as Error).message}`, { cause: error }));
        racing = racing.filter((other) => other !== entry);
      }
    }
    if (racing.length === 0) {
      const reasons = errors.map(({ message }) => message).join("; ");
      throw new AggregateError(errors, `autotune of ${name}: no candidate runs: ${reasons}`);
    }
    if (round === 1) {
      const best = Math.min(...racing.map(({ times }) => times[0]));
      racing = racing.filter(({ times }) => times[0] <= HOPELESS * best);
    }
  }
  return racing.reduce((best, entry) => (median(entry.times) < median(best.times) ? entry : best)).tile;
}

function median(times: readonly number[]): number {
  const sorted = [...times].sort((p, q) => p - q);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function tryParse(text: unknown): MatmulTile | undefined {
  try {
    return typeof text === "string" ? parseTile(text) : undefined;
  } catch {
    return undefined;
  }
}

/** The JSON file of choices. */
class ChoiceFile {
  readonly #fs: typeof import("node:fs/promises");
  readonly #path: string;
  readonly #folder: string;
  /** Writes of this process, one after the other. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(fs: typeof import("node:fs/promises"), folder: string, path: string) {
    this.#fs = fs;
    this.#folder = folder;
    this.#path = path;
  }

  /** The file in a folder, or in the default one; undefined where there are no files. */
  static async at(folder: string | undefined): Promise<ChoiceFile | undefined> {
    if (!hasProcess) return undefined;
    const [fs, path, where] = await Promise.all([
      importLate<typeof import("node:fs/promises")>("node:fs/promises"),
      importLate<typeof import("node:path")>("node:path"),
      folder ?? cacheFolder(),
    ]);
    if (where === undefined) return undefined;
    return new ChoiceFile(fs, where, path.join(where, FILE));
  }

  async read(): Promise<Remembered> {
    try {
      const found = JSON.parse(await this.#fs.readFile(this.#path, "utf8")) as Partial<Remembered> | null;
      const choices: unknown = found?.choices;
      if (found?.generation === GENERATION && isRecord(choices) && Object.values(choices).every(isRecord)) {
        return found as Remembered;
      }
    } catch {
      // Missing, unreadable or damaged: tuning starts over, which costs time and nothing else.
    }
    return { generation: GENERATION, choices: {} };
  }

  /**
   * Adds a choice to what the file holds now, and replaces it by a rename, so that no reader sees half of it. Where the
   * folder cannot be written, the choice lives as long as the process.
   */
  add(adapter: string, signature: string, tile: string): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const temporary = `${this.#path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
      try {
        const { choices } = await this.read();
        const merged: Remembered = {
          generation: GENERATION,
          choices: { ...choices, [adapter]: { ...choices[adapter], [signature]: tile } },
        };
        await this.#fs.mkdir(this.#folder, { recursive: true });
        await this.#fs.writeFile(temporary, `${JSON.stringify(merged, undefined, 2)}\n`);
        await this.#fs.rename(temporary, this.#path);
      } catch {
        await this.#fs.rm(temporary, { force: true }).catch(() => undefined);
      }
    });
    return this.#writing;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
