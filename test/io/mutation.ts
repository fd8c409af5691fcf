/**
 * Mutations for fuzzing the readers: of bytes, of length fields, of header text, of pickle instructions, and of zip
 * entries with the checksums made right again (a mutation that the checksum catches never reaches the parser behind).
 *
 * Every input is drawn from one number, so that a failure is reproduced from the seed and the input's index alone.
 */
import { collectBytes } from "../../src/io/byte-sink.ts";
import { openSource } from "../../src/io/byte-source.ts";
import { ZipReader } from "../../src/io/zip/read.ts";
import { ZipWriter } from "../../src/io/zip/write.ts";

/** A reader to fuzz. */
export interface FuzzTarget {
  readonly seeds: readonly Uint8Array[];
  readonly mutate: (draw: Draw, bytes: Uint8Array) => Uint8Array;
  /** Reads one input; throws when what it read is not whole. */
  readonly read: (bytes: Uint8Array) => void;
}

/** Uniform draws (mulberry32: a counter through a mixing function). */
export class Draw {
  constructor(private state: number) {}

  /** A number in [0, 1). */
  unit(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

/** The draws of one input of a run. */
export function drawFor(seed: number, index: number): Draw {
  return new Draw(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35));
}

const EDGE_BYTES = [0x00, 0x01, 0x7f, 0x80, 0xff];
const EDGE_INTEGERS = [
  0n,
  1n,
  2n,
  7n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xffffffffn,
  1n << 32n,
  1n << 40n,
].concat([(1n << 53n) - 1n, 1n << 53n, (1n << 63n) - 1n, (1n << 64n) - 1n]);

export function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length - remove + insert.length);
  result.set(bytes.subarray(0, at));
  result.set(insert, at);
  result.set(bytes.subarray(at + remove), at + insert.length);
  return result;
}

/** One mutation without knowledge of any format. `others` are files to splice pieces from. */
export function mutateBytes(draw: Draw, bytes: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  if (bytes.length === 0) return Uint8Array.of(draw.below(256));
  const at = draw.below(bytes.length);
  const length = Math.min(bytes.length - at, 1 + draw.below(draw.below(4) === 0 ? bytes.length : 16));
  switch (draw.below(8)) {
    case 0: {
      const result = bytes.slice();
      result[at] ^= 1 << draw.below(8);
      return result;
    }
    case 1: {
      const result = bytes.slice();
      result[at] = draw.pick(EDGE_BYTES);
      return result;
    }
    case 2:
      return bytes.slice(0, at);
    case 3:
      return splice(bytes, at, length, new Uint8Array(0));
    case 4:
      return splice(bytes, at, 0, bytes.slice(at, at + length));
    case 5: {
      const other = draw.pick(others);
      const from = draw.below(other.length);
      return splice(bytes, at, draw.below(2) * length, other.slice(from, from + 1 + draw.below(64)));
    }
    case 6: {
      const width = draw.pick([2, 4, 8]);
      if (bytes.length < width) return bytes.slice(0, at);
      const result = bytes.slice();
      const place =
        draw.below(2) === 0 ? draw.below(Math.min(32, bytes.length - width + 1)) : draw.below(bytes.length - width + 1);
      const view = new DataView(result.buffer);
      const old =
        width === 8
          ? view.getBigUint64(place, true)
          : BigInt(width === 4 ? view.getUint32(place, true) : view.getUint16(place, true));
      const value = draw.below(3) === 0 ? old + BigInt(draw.below(5) - 2) : draw.pick(EDGE_INTEGERS);
      if (width === 8) view.setBigUint64(place, BigInt.asUintN(64, value), true);
      else if (width === 4) view.setUint32(place, Number(BigInt.asUintN(32, value)), true);
      else view.setUint16(place, Number(BigInt.asUintN(16, value)), true);
      return result;
    }
    default:
      return splice(
        bytes,
        bytes.length,
        0,
        Uint8Array.from({ length }, () => draw.below(256)),
      );
  }
}

const EDGE_TEXT = [
  "0",
  "1",
  "-1",
  "3",
  "4294967296",
  "9007199254740991",
  "9007199254740993",
  "1e400",
  "1.5",
  "NaN",
].concat([
  "18446744073709551616",
  "null",
  "[]",
  "{}",
  "[[[[[[[[[[",
  '"',
  "\\",
  "'",
  "(",
  ")",
  ",",
  ":",
  "\0",
  "ü",
  "True",
  "__proto__",
]);

/** One mutation of a header's text: a number, word or character replaced, a piece repeated or dropped. */
export function mutateText(draw: Draw, text: string): string {
  const tokens = text.match(/[A-Za-z_]+|\d+|\s+|[^\sA-Za-z_\d]/g) ?? [""];
  const at = draw.below(tokens.length);
  const length = 1 + draw.below(8);
  switch (draw.below(4)) {
    case 0:
      tokens[at] = draw.pick(EDGE_TEXT);
      break;
    case 1:
      tokens[at] = draw.pick(tokens);
      break;
    case 2:
      tokens.splice(at, length);
      break;
    default:
      tokens.splice(at, 0, ...tokens.slice(at, at + length));
  }
  return tokens.join("");
}

/** A safetensors file with one mutation of its JSON, its header's length made right. */
export function mutateSafetensorsHeader(draw: Draw, bytes: Uint8Array): Uint8Array {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  const text = mutateText(draw, new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const header = new TextEncoder().encode(text);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(header.length), true);
  return splice(splice(bytes, 0, 8 + length, header), 0, 0, prefix);
}

/** An npy file with one mutation of its header's text, its length made right. */
export function mutateNpyHeader(draw: Draw, bytes: Uint8Array): Uint8Array {
  const width = bytes[6] === 1 ? 2 : 4;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = width === 2 ? view.getUint16(8, true) : view.getUint32(8, true);
  const text = mutateText(draw, new TextDecoder("latin1").decode(bytes.subarray(8 + width, 8 + width + length)));
  const header = new TextEncoder().encode(text);
  const result = splice(bytes, 8 + width, length, header);
  const resultView = new DataView(result.buffer);
  if (width === 2) resultView.setUint16(8, header.length, true);
  else resultView.setUint32(8, header.length, true);
  return result;
}

/** A zip archive with one entry's content mutated, all sizes and checksums right. */
export function mutateZipEntry(
  draw: Draw,
  bytes: Uint8Array,
  mutate: (draw: Draw, name: string, content: Uint8Array) => Uint8Array,
): Uint8Array {
  const zip = new ZipReader(openSource(bytes));
  const names = [...zip.entries.keys()];
  // The structure is in the first entry; storages are only bytes.
  const chosen = draw.below(2) === 0 ? names[0] : draw.pick(names);
  const dropped = draw.below(32) === 0 ? draw.pick(names) : undefined;
  return collectBytes((sink) => {
    const writer = new ZipWriter(sink);
    for (const name of names) {
      if (name === dropped) continue;
      const content = zip.read(name);
      writer.add(name, name === chosen ? mutate(draw, name, content) : content, { deflate: draw.below(8) === 0 });
    }
    writer.finish();
  });
}

/** Bytes of fixed-size operands, by opcode; what follows a length is measured in {@link splitPickle}. */
const OPERAND_BYTES: Record<number, number> = { 0x80: 1, 0x95: 8, 0x4a: 4, 0x4b: 1, 0x4d: 2, 0x47: 8 };
Object.assign(OPERAND_BYTES, { 0x71: 1, 0x72: 4, 0x68: 1, 0x6a: 4 });
/** Width of the length that precedes a variable operand. */
const LENGTH_BYTES: Record<number, number> = { 0x8a: 1, 0x8b: 4, 0x58: 4, 0x8c: 1, 0x8d: 8, 0x54: 4, 0x55: 1 };
Object.assign(LENGTH_BYTES, { 0x42: 4, 0x43: 1, 0x8e: 8 });

/** A pickle, cut into its instructions. */
export function splitPickle(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const instructions: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const opcode = bytes[at];
    let end = at + 1 + (OPERAND_BYTES[opcode] ?? 0);
    const width = LENGTH_BYTES[opcode];
    if (width === 1) end += 1 + view.getUint8(at + 1);
    else if (width === 4) end += 4 + view.getUint32(at + 1, true);
    else if (width === 8) end += 8 + Number(view.getBigUint64(at + 1, true));
    else if (opcode === 0x63) end = bytes.indexOf(0x0a, bytes.indexOf(0x0a, at) + 1) + 1;
    // An already mutated pickle may name a length or a line that is not there: the rest is then one piece.
    if (end <= at || end > bytes.length) end = bytes.length;
    instructions.push(bytes.slice(at, end));
    at = end;
  }
  return instructions;
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Instructions that a hostile pickle is made of: calls, cycles, deep nesting, doubling, huge lengths. */
const HOSTILE: readonly ((draw: Draw) => Uint8Array)[] = [
  () => ascii("cos\nsystem\n"),
  () => ascii("cbuiltins\neval\n"),
  () => ascii("ccollections\nOrderedDict\n"),
  () => ascii("ctorch._utils\n_rebuild_tensor_v2\n"),
  () => ascii("ctorch\nSize\n"),
  () => ascii("c_codecs\nencode\n"),
  () => ascii("cnumpy\ndtype\n"),
  () => ascii("iposix\nsystem\n"),
  () => ascii("X\x08\0\0\0builtinsX\x04\0\0\0exec\x93"),
  () => ascii("o"),
  () => ascii("\x81"),
  () => ascii("\x92"),
  () => ascii("b"),
  () => ascii("R"),
  () => ascii("Q"),
  () => ascii("0"),
  () => ascii("1"),
  () => ascii("2"),
  () => ascii("("),
  () => ascii("a"),
  () => ascii("e"),
  () => ascii("u"),
  () => ascii("s"),
  () => ascii("t"),
  () => ascii("l"),
  () => ascii("d"),
  () => ascii("."),
  () => ascii("]q\x00h\x00a"),
  () => ascii("}q\x00K\x01h\x00s"),
  (draw) => ascii("]".repeat(1 + draw.below(400)) + "a".repeat(draw.below(400))),
  (draw) => ascii("(".repeat(1 + draw.below(400)) + "t".repeat(draw.below(400))),
  (draw) => ascii("]q\x01" + "(h\x01h\x01h\x01h\x01lq\x01".repeat(1 + draw.below(200))),
  (draw) => ascii("K\x01" + "2\x86".repeat(1 + draw.below(200))),
  () => ascii("\x8b\xff\xff\xff\x7f"),
  () => ascii("X\xff\xff\xff\xff"),
  () => ascii("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
  () => ascii("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
  () => ascii("M\xff\xff"),
  () => ascii("J\xff\xff\xff\xff"),
  (draw) => Uint8Array.of(0x68, draw.below(256)),
  (draw) => Uint8Array.of(0x71, draw.below(256)),
  () => Uint8Array.of(0x6a, 0xff, 0xff, 0xff, 0xff),
  () => Uint8Array.of(0x72, 0xff, 0xff, 0xff, 0xff),
  (draw) => Uint8Array.of(draw.below(256)),
];

/** A pickle with one instruction dropped, repeated, moved, replaced, inserted or edited. */
export function mutatePickle(draw: Draw, bytes: Uint8Array): Uint8Array {
  const instructions = splitPickle(bytes);
  const at = draw.below(instructions.length);
  switch (draw.below(7)) {
    case 0:
      instructions.splice(at, 1 + draw.below(3));
      break;
    case 1:
      instructions.splice(at, 0, instructions[at]);
      break;
    case 2:
      instructions.splice(draw.below(instructions.length), 0, ...instructions.splice(at, 1 + draw.below(8)));
      break;
    case 3:
      instructions[at] = draw.pick(instructions);
      break;
    case 4:
      instructions.splice(at, draw.below(2), draw.pick(HOSTILE)(draw));
      break;
    case 5: {
      // Integers are what sizes, strides, offsets and counts are made of.
      const integers = instructions.flatMap((code, i) => (code[0] === 0x4b || code[0] === 0x4d ? [i] : []));
      const target = integers.length > 0 ? draw.pick(integers) : at;
      const edge = draw.pick([
        "K\x00",
        "K\xff",
        "M\xff\xff",
        "J\xff\xff\xff\x7f",
        "J\xff\xff\xff\xff",
        "N",
        "G\0\0\0\0\0\0\0\0",
      ]);
      instructions[target] = ascii(draw.below(4) === 0 ? "\x8a\x07\xff\xff\xff\xff\xff\xff\x1f" : edge);
      break;
    }
    default:
      instructions[at] = mutateBytes(draw, instructions[at], [bytes]);
  }
  const result = new Uint8Array(instructions.reduce((sum, code) => sum + code.length, 0));
  let offset = 0;
  for (const code of instructions) {
    result.set(code, offset);
    offset += code.length;
  }
  return result;
}
