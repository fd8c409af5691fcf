/**
 * Inflate (RFC 1951; with zlib's header, RFC 1950), for runtimes whose own decompression is asynchronous: browsers.
 * Huffman codes are decoded bit by bit over counts per length, as in Mark Adler's puff.
 */

/** What the data breaks, for the caller to put into an error of its own. */
export class InflateFault extends Error {}
/** The data unpacks to more than it may. */
export class InflateTooLarge extends InflateFault {}

interface Code {
  /** Number of symbols of each length. */
  readonly counts: Uint16Array;
  /** Symbols by length, then by value. */
  readonly symbols: Uint16Array;
}

const MAX_BITS = 15;
const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
];
const DISTANCE_BITS = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

function codeOf(lengths: readonly number[], mayBeIncomplete: boolean): Code {
  const counts = new Uint16Array(MAX_BITS + 1);
  for (const length of lengths) counts[length]++;
  let left = 1;
  for (let length = 1; length <= MAX_BITS; length++) {
    left = 2 * left - counts[length];
    if (left < 0) throw new InflateFault("a code has too many symbols");
  }
  const used = lengths.length - counts[0];
  if (left > 0 && !(mayBeIncomplete && used <= 1)) throw new InflateFault("a code is incomplete");
  const offsets = new Uint16Array(MAX_BITS + 2);
  for (let length = 1; length <= MAX_BITS; length++) offsets[length + 1] = offsets[length] + counts[length];
  const symbols = new Uint16Array(used);
  lengths.forEach((length, symbol) => {
    if (length !== 0) symbols[offsets[length]++] = symbol;
  });
  return { counts, symbols };
}

let fixed: readonly [Code, Code] | undefined;

function fixedCodes(): readonly [Code, Code] {
  const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
  fixed ??= [codeOf(lengths, false), codeOf(new Array<number>(32).fill(5), false)];
  return fixed;
}

/** One stream being unpacked. */
class Inflater {
  #out: Uint8Array;
  #length = 0;
  #at = 0;
  #bits = 0;
  #bitCount = 0;

  readonly #packed: Uint8Array;
  readonly #most: number;

  constructor(packed: Uint8Array, most: number) {
    this.#packed = packed;
    this.#most = most;
    this.#out = new Uint8Array(Math.min(most, Math.max(1024, packed.length * 4)));
  }

  run(): Uint8Array {
    for (let last = 0; last === 0; ) {
      last = this.#take(1);
      const kind = this.#take(2);
      if (kind === 0) this.#stored();
      else if (kind === 1) this.#coded(...fixedCodes());
      else if (kind === 2) this.#coded(...this.#dynamicCodes());
      else throw new InflateFault("a block is of no known kind");
    }
    return this.#out.subarray(0, this.#length);
  }

  #take(count: number): number {
    while (this.#bitCount < count) {
      if (this.#at === this.#packed.length) throw new InflateFault("the stream is cut off");
      this.#bits |= this.#packed[this.#at++] << this.#bitCount;
      this.#bitCount += 8;
    }
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#bitCount -= count;
    return value;
  }

  #symbol({ counts, symbols }: Code): number {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= MAX_BITS; length++) {
      code |= this.#take(1);
      const count = counts[length];
      if (code - count < first) return symbols[index + (code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new InflateFault("there is no such code");
  }

  #room(more: number): void {
    const wanted = this.#length + more;
    if (wanted > this.#most) throw new InflateTooLarge("it unpacks to more than it may");
    if (wanted <= this.#out.length) return;
    const larger = new Uint8Array(Math.min(this.#most, Math.max(wanted, 2 * this.#out.length)));
    larger.set(this.#out.subarray(0, this.#length));
    this.#out = larger;
  }

  #stored(): void {
    this.#bits = 0;
    this.#bitCount = 0;
    const packed = this.#packed;
    if (this.#at + 4 > packed.length) throw new InflateFault("the stream is cut off");
    const length = packed[this.#at] | (packed[this.#at + 1] << 8);
    const inverse = packed[this.#at + 2] | (packed[this.#at + 3] << 8);
    if ((length ^ inverse) !== 0xffff) throw new InflateFault("a stored block's length is damaged");
    this.#at += 4;
    if (this.#at + length > packed.length) throw new InflateFault("the stream is cut off");
    this.#room(length);
    this.#out.set(packed.subarray(this.#at, this.#at + length), this.#length);
    this.#at += length;
    this.#length += length;
  }

  #dynamicCodes(): readonly [Code, Code] {
    const [literals, distances, codes] = [this.#take(5) + 257, this.#take(5) + 1, this.#take(4) + 4];
    if (literals > 286 || distances > 30) throw new InflateFault("a code has too many symbols");
    const lengthLengths = new Array<number>(19).fill(0);
    for (let i = 0; i < codes; i++) lengthLengths[CODE_ORDER[i]] = this.#take(3);
    const lengthCode = codeOf(lengthLengths, false);
    const lengths: number[] = [];
    while (lengths.length < literals + distances) {
      const symbol = this.#symbol(lengthCode);
      if (symbol < 16) lengths.push(symbol);
      else {
        if (symbol === 16 && lengths.length === 0) throw new InflateFault("there is no length to repeat");
        const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
        let times = symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7);
        if (lengths.length + times > literals + distances) throw new InflateFault("there are too many lengths");
        while (times-- > 0) lengths.push(value);
      }
    }
    if (lengths[256] === 0) throw new InflateFault("a block has no end");
    return [codeOf(lengths.slice(0, literals), true), codeOf(lengths.slice(literals), true)];
  }

  #coded(literals: Code, distances: Code): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol === 256) return;
      if (symbol < 256) {
        this.#room(1);
        this.#out[this.#length++] = symbol;
        continue;
      }
      if (symbol > 285) throw new InflateFault("there is no such length");
      const length = LENGTH_BASE[symbol - 257] + this.#take(LENGTH_BITS[symbol - 257]);
      const distanceSymbol = this.#symbol(distances);
      if (distanceSymbol > 29) throw new InflateFault("there is no such distance");
      const distance = DISTANCE_BASE[distanceSymbol] + this.#take(DISTANCE_BITS[distanceSymbol]);
      if (distance > this.#length) throw new InflateFault("a distance reaches before the start");
      this.#room(length);
      // Byte by byte: the copy may read what it writes.
      for (let i = 0; i < length; i++, this.#length++) this.#out[this.#length] = this.#out[this.#length - distance];
    }
  }
}

/**
 * The bytes of a raw deflate stream.
 *
 * @param most bytes that it may unpack to
 * @throws InflateFault where the stream is malformed; InflateTooLarge where it unpacks to more
 */
export function inflateRaw(packed: Uint8Array, most: number): Uint8Array {
  return new Inflater(packed, most).run();
}
