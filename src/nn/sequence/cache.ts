/**
 * Keys and values of the steps so far, for generation: each step then computes its own alone and attends to the others'.
 *
 * The memory of a cache has room for all steps from the start, so that every call of a compiled step has one shape; a
 * counter on the device says how much of it is filled.
 */
import { arange, zeros } from "../../tensor/create.ts";
import { inBounds } from "../../tensor/bounds.ts";
import type { DType } from "../../tensor/dtype.ts";
import { formatShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import { variable } from "../../tensor/variable.ts";
import { requireCount } from "../initialize.ts";
import { checkOptions } from "../../tensor/door/door.ts";

/** Sizes of a `KeyValueCache`. */
export interface CacheSizes {
  /** Layers with self-attention. */
  readonly layers: number;
  readonly batch: number;
  readonly heads: number;
  /** Most steps of a sequence. */
  readonly steps: number;
  /** Channels of a head. */
  readonly dim: number;
  /** Default f32. */
  readonly dtype?: DType;
}

/** One layer's part of a `KeyValueCache`; handed to `MultiHeadAttention.forward` as `cache`. */
export class LayerCache {
  readonly #key: Variable;
  readonly #value: Variable;
  readonly #whole: KeyValueCache;

  constructor(whole: KeyValueCache, { batch, heads, steps, dim, dtype = "f32" }: CacheSizes) {
    const empty = (name: string) => variable(zeros([batch, heads, steps, dim], dtype), { name, trainable: false });
    this.#key = empty("key");
    this.#value = empty("value");
    this.#whole = whole;
  }

  /** Positions of the next `count` steps, i32 [count]. */
  positions(count: number): Tensor {
    return this.#whole.positions(count);
  }

  /**
   * Writes the next steps' keys and values [B, H, T, D] behind the others.
   *
   * @returns all of them [B, H, steps, D], and which of them each of the T steps attends to: bool [T, steps].
   */
  update(key: Tensor, value: Tensor): { key: Tensor; value: Tensor; mask: Tensor } {
    const [batch, heads, steps, dim] = this.#key.shape;
    const count = key.shape[2];
    if (key.rank !== 4 || key.shape[0] !== batch || key.shape[1] !== heads || key.shape[3] !== dim || count > steps) {
      throw new Error(
        `KeyValueCache: keys ${formatShape(key.shape)} must be [${batch}, ${heads}, T, ${dim}], T at most ${steps}`,
      );
    }
    const positions = this.#whole.positions(count);
    const place = arange(steps);
    const from = place.sub(positions.slice([0, 1]));
    const written = from.ge(0).and(from.lt(count)).reshape([1, 1, steps, 1]).expand(this.#key.shape);
    const source = from.maximum(0).minimum(count - 1);
    const put = (kept: Variable, next: Tensor): Tensor => {
      const spread = count === 1 ? next.expand(kept.shape) : next.take(source, 2);
      const all = written.where(spread, kept.detach());
      kept.assign(all.detach());
      return all;
    };
    const mask = place.unsqueeze(0).le(positions.unsqueeze(1));
    return { key: put(this.#key, key), value: put(this.#value, value), mask };
  }
}

/**
 * Keys and values of all layers. In a step: `cache.positions(T)` for embeddings of positions, the layers with
 * `{ cache: cache.layers[i] }`, then `cache.advance(T)`. Sequences of a batch are equally long.
 */
export class KeyValueCache {
  readonly layers: readonly LayerCache[];
  /** Most steps. */
  readonly steps: number;
  readonly #length: Variable;

  constructor(sizes: CacheSizes) {
    checkOptions("KeyValueCache", sizes, ["layers", "batch", "heads", "steps", "dim", "dtype"]);
    for (const name of ["layers", "batch", "heads", "steps", "dim"] as const) {
      requireCount("KeyValueCache", name, sizes[name]);
    }
    this.steps = sizes.steps;
    this.#length = variable(zeros([1], "i32"), { name: "length", trainable: false });
    this.layers = Array.from({ length: sizes.layers }, () => new LayerCache(this, sizes));
  }

  /** Steps in the cache, i32 [1]. */
  get length(): Tensor {
    return this.#length.detach();
  }

  /** Positions of the next `count` steps, i32 [count]. The device refuses one that is beyond the room there is. */
  positions(count: number): Tensor {
    const next = this.length.add(arange(count));
    return new Tensor(inBounds(next.node, { op: "KeyValueCache", what: "position", size: this.steps }));
  }

  /** Counts `count` steps as filled: after all layers have written theirs. */
  advance(count: number): void {
    this.#length.assign(this.length.add(count));
  }

  /** Empties the cache for the next sequence. */
  reset(): void {
    this.#length.assign(zeros([1], "i32"));
  }
}
