/**
 * Batches of a data set, epoch after epoch: shuffled by a seed, made ahead of time, and to be resumed at any batch.
 *
 * The order of an epoch follows from the seed and the epoch's number alone, so where a training stands is two numbers:
 * an epoch and a batch in it.
 */
import { checkOptions, describeValue, requireCount } from "../../tensor/door/door.ts";
import { Generator } from "../../tensor/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { BatchedDataset, Dataset } from "./dataset.ts";
import { collate } from "./dataset.ts";

/** Samples, or batches, one after the other; a function begins them anew for every epoch, counted from 0. */
export type Stream<Item> =
  | Iterable<Item>
  | AsyncIterable<Item>
  | ((epoch: number) => Iterable<Item> | AsyncIterable<Item>);

/** How batches are made, with PyTorch's defaults. */
export interface DataLoaderOptions<Batch = readonly Tensor[]> {
  /** Samples a batch; default 1. Null: what is iterated over are batches already, and handed on as they are. */
  readonly batchSize?: number | null;
  /** Every epoch in an order of its own, that of `seed` and the epoch's number; default false. Data sets only. */
  readonly shuffle?: boolean;
  /** Default 0. */
  readonly seed?: number;
  /** Leaves out an epoch's last batch where it is smaller than the others; default false. */
  readonly dropLast?: boolean;
  /** Batches that are made ahead, those of sources that answer later side by side; default 2. */
  readonly prefetch?: number;
  /** Makes a batch of samples; default `collate`. */
  // Samples are what the source gives, which only the caller knows.
  // biome-ignore lint/suspicious/noExplicitAny: the function says what it takes
  readonly collate?: (samples: readonly any[]) => Batch;
}

/** Where a loader stands. */
export interface LoaderState {
  /** Counted from 0. */
  readonly epoch: number;
  /** Batches of the epoch that were handed out. */
  readonly batch: number;
}

/** A batch with its place. */
export interface PlacedBatch<Batch> {
  readonly batch: Batch;
  /** Counted from 0. */
  readonly epoch: number;
  /** Place in the epoch, counted from 0. */
  readonly index: number;
  /** Whether the epoch ends with it. */
  readonly last: boolean;
}

const OPTIONS = ["batchSize", "shuffle", "seed", "dropLast", "prefetch", "collate"] as const;

/**
 * Batches of a data set or of anything iterable (torch.utils.data.DataLoader).
 *
 * ```ts
 * const batches = new DataLoader(data, { batchSize: 128, shuffle: true, seed: 0 });
 * while (batches.epoch < 10) for await (const [x, labels] of batches) await step(x, labels);
 * ```
 *
 * A loop over a loader gives what is left of its epoch: all of it, unless `load(state)` put the loader into the middle
 * of one or the loop before was left early. Of an iterable, batches that were handed out before are read again and
 * passed over.
 */
export class DataLoader<Batch = readonly Tensor[]> implements AsyncIterable<Batch> {
  readonly #source: Dataset<unknown> | BatchedDataset<Batch> | Stream<unknown>;
  readonly #options: Required<Omit<DataLoaderOptions<Batch>, "collate">>;
  readonly #collate: (samples: readonly unknown[]) => Batch;
  #state: LoaderState = { epoch: 0, batch: 0 };

  /** @throws Error naming an option out of range, or one that does not go with the source. */
  constructor(
    source: BatchedDataset<Batch> | Dataset<unknown> | Stream<unknown>,
    options: DataLoaderOptions<Batch> = {},
  ) {
    checkOptions("DataLoader", options, OPTIONS);
    const { batchSize = 1, shuffle = false, seed = 0, dropLast = false, prefetch = 2 } = options;
    if (batchSize !== null) requireCount("DataLoader", "batchSize", batchSize, 1);
    requireCount("DataLoader", "prefetch", prefetch);
    if (!isDataset(source) && !isStream(source)) {
      throw new TypeError(
        `DataLoader: the source is ${describeValue(source)}; give a data set (length, and get(index) or ` +
          "batch(indices)), something iterable, or a function that gives something iterable",
      );
    }
    if (shuffle && !isDataset(source)) {
      throw new Error(
        "DataLoader: shuffle needs a data set, whose samples have numbers; an iterable is to give them in the order " +
          "wanted: a function of the epoch's number can",
      );
    }
    if (isDataset(source) && batchSize === null) {
      throw new Error("DataLoader: batchSize null is for iterables of batches; a data set needs a number");
    }
    this.#source = source;
    this.#options = { batchSize, shuffle, seed, dropLast, prefetch };
    this.#collate = options.collate ?? ((samples) => collate(samples) as Batch);
  }

  /** Batches an epoch; undefined of something iterable, which tells at its end. */
  get length(): number | undefined {
    const { batchSize, dropLast } = this.#options;
    if (!isDataset(this.#source)) return undefined;
    return (dropLast ? Math.floor : Math.ceil)(this.#source.length / batchSize!);
  }
  /** Epochs that were handed out whole. */
  get epoch(): number {
    return this.#state.epoch;
  }

  /** Where the loader stands, behind the batch handed out last. */
  state(): LoaderState {
    return { ...this.#state };
  }
  /** Goes on from there. */
  load({ epoch, batch }: LoaderState): void {
    requireCount("DataLoader", "epoch", epoch);
    requireCount("DataLoader", "batch", batch);
    this.#state = { epoch, batch };
  }

  /** What is left of the epoch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const { epoch, batch: from } = this.#state;
    for await (const { batch, index, last } of this.placed(epoch, from)) {
      this.#state = last ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: index + 1 };
      yield batch;
    }
    // An epoch of which nothing was left ends all the same.
    if (this.#state.epoch === epoch && this.#state.batch === from) this.#state = { epoch: epoch + 1, batch: 0 };
  }

  /** Batches of an epoch from number `from` on, with their places; the loader's own place stays as it is. */
  async *placed(epoch = 0, from = 0): AsyncGenerator<PlacedBatch<Batch>, void, undefined> {
    const { length } = this;
    const batches = length === undefined ? this.#ofStream(epoch, from) : this.#ofDataset(epoch, from, length);
    const begun: Promise<IteratorResult<Batch, unknown>>[] = [];
    const take = (): Promise<IteratorResult<Batch, unknown>> => {
      while (begun.length <= this.#options.prefetch) {
        const promise = batches.next();
        // An error is thrown where the batch's turn comes.
        promise.catch(() => undefined);
        begun.push(promise);
      }
      return begun.shift()!;
    };
    try {
      let found = await take();
      for (let index = from; !found.done; index++) {
        // What an iterable gives next tells whether this is its last.
        const following = length === undefined ? await take() : undefined;
        yield { batch: found.value, epoch, index, last: following ? following.done === true : index === length! - 1 };
        found = following ?? (await take());
      }
    } finally {
      await batches.return?.(undefined);
    }
  }

  /** Batches of a data set, made side by side by as many calls. */
  #ofDataset(epoch: number, from: number, length: number): AsyncIterator<Batch, unknown> {
    const source = this.#source as Dataset<unknown> | BatchedDataset<Batch>;
    const { shuffle, seed } = this.#options;
    const size = this.#options.batchSize!;
    const order = shuffle ? new Generator(seed, epoch).shuffled(source.length) : undefined;
    let at = from;
    return {
      next: async () => {
        if (at >= length) return { done: true, value: undefined };
        const [begin, end] = [at * size, Math.min((at + 1) * size, source.length)];
        at++;
        const indices = Array.from({ length: end - begin }, (_, i) => order?.[begin + i] ?? begin + i);
        if ("batch" in source) return { done: false, value: await source.batch(indices, epoch) };
        const samples = await Promise.all(indices.map((index) => source.get(index, epoch)));
        return { done: false, value: this.#collate(samples) };
      },
    };
  }

  /** Batches of something iterable. */
  async *#ofStream(epoch: number, from: number): AsyncGenerator<Batch, void, undefined> {
    const source = this.#source as Stream<unknown>;
    const { batchSize, dropLast } = this.#options;
    let given = 0;
    let samples: unknown[] = [];
    for await (const item of typeof source === "function" ? source(epoch) : source) {
      given++;
      if (given <= from * (batchSize ?? 1)) continue;
      if (batchSize === null) yield item as unknown as Batch;
      else if (samples.push(item) === batchSize) {
        yield this.#collate(samples);
        samples = [];
      }
    }
    if (samples.length > 0 && !dropLast) yield this.#collate(samples);
    if (given === 0 && epoch > 0 && typeof source !== "function") {
      throw new Error(
        `DataLoader: the iterable gave nothing in epoch ${epoch}, counted from 0; one that can be iterated over once ` +
          "(a generator) is to be begun anew by a function: new DataLoader(() => samples())",
      );
    }
  }
}

function isDataset(source: unknown): source is { readonly length: number } {
  if (typeof source !== "object" || source === null || Array.isArray(source)) return false;
  const { length, get, batch } = source as { length?: unknown; get?: unknown; batch?: unknown };
  return typeof length === "number" && (typeof get === "function" || typeof batch === "function");
}

function isStream(source: unknown): source is Stream<never> {
  if (typeof source === "function") return true;
  return typeof source === "object" && source !== null && (Symbol.iterator in source || Symbol.asyncIterator in source);
}
