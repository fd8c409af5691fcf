/** A map of bounded size: what was not used for longest leaves it, so that ever other shapes cost time, not memory. */
export class RecentlyUsed<V> {
  readonly #entries = new Map<string, V>();
  readonly #most: number;

  /** @param most entries kept, at least 1 */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The entry of this key, made where there is none. */
  get(key: string, make: () => V): V {
    const known = this.#entries.has(key);
    const value = known ? this.#entries.get(key)! : make();
    // A map keeps the order of insertion: the first entry is the one not used for longest.
    if (known) this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#most) this.#entries.delete(this.#entries.keys().next().value!);
    return value;
  }

  /** Drops this entry, unless another one has its key by now. */
  forget(key: string, value: V): void {
    if (this.#entries.get(key) === value) this.#entries.delete(key);
  }
}
