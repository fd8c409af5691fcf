/** Which kernel must run after which: the transitive closure of a growing acyclic graph, as bit sets. */
export class Reachability {
  readonly #words: number;
  /** Bit d of `#ancestors[n]`: n waits for d, directly or through others. */
  readonly #ancestors: Uint32Array[] = [];

  constructor(capacity: number) {
    this.#words = Math.ceil(Math.max(1, capacity) / 32);
  }

  /** A further vertex; its number. */
  add(): number {
    this.#ancestors.push(new Uint32Array(this.#words));
    return this.#ancestors.length - 1;
  }

  #has(set: Uint32Array, id: number): boolean {
    return (set[id >>> 5] & (1 << (id & 31))) !== 0;
  }

  /** Whether `to` waits for `from`. */
  reaches(from: number, to: number): boolean {
    return this.#has(this.#ancestors[to], from);
  }

  /** From now on `to` waits for `from` and all that `from` waits for. */
  addEdge(from: number, to: number): void {
    if (from === to || this.reaches(from, to)) return;
    const gained = this.#ancestors[from].slice();
    gained[from >>> 5] |= 1 << (from & 31);
    for (let id = 0; id < this.#ancestors.length; id++) {
      if (id !== to && !this.reaches(to, id)) continue;
      const set = this.#ancestors[id];
      for (let w = 0; w < this.#words; w++) set[w] |= gained[w];
    }
  }

  /** Whether something must run between the two, so that they cannot become one. */
  separated(a: number, b: number): boolean {
    for (let id = 0; id < this.#ancestors.length; id++) {
      if (id === a || id === b) continue;
      if (this.reaches(a, id) && this.reaches(id, b)) return true;
      if (this.reaches(b, id) && this.reaches(id, a)) return true;
    }
    return false;
  }

  /** `guest` becomes part of `host`. */
  merge(host: number, guest: number): void {
    const clear = (set: Uint32Array, id: number) => (set[id >>> 5] &= ~(1 << (id & 31)));
    const gained = this.#ancestors[guest].slice();
    clear(gained, host);
    const dependents: number[] = [];
    for (let id = 0; id < this.#ancestors.length; id++) {
      if (id !== host && (this.reaches(guest, id) || this.reaches(host, id)) && id !== guest) dependents.push(id);
    }
    const union = this.#ancestors[host];
    for (let w = 0; w < this.#words; w++) union[w] |= gained[w];
    clear(union, guest);
    clear(union, host);
    for (const id of dependents) {
      const set = this.#ancestors[id];
      for (let w = 0; w < this.#words; w++) set[w] |= union[w];
      set[host >>> 5] |= 1 << (host & 31);
      clear(set, guest);
    }
    this.#ancestors[guest].fill(0);
  }
}
