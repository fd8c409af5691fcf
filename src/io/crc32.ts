/**
 * CRC-32 (ISO 3309, polynomial 0xEDB88320 reflected): the checksum of zip entries.
 *
 * zlib's own is used where the runtime exposes it (Node 20.15 and later); otherwise the table method, eight bytes a
 * step ("slicing-by-8", Kounavis and Berry, 2005).
 */
import { builtinOrNone } from "./builtin.ts";

let tables: Uint32Array[] | undefined;

function buildTables(): Uint32Array[] {
  const result = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    result[0][byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let k = 1; k < 8; k++) {
      const previous = result[k - 1][byte];
      result[k][byte] = (previous >>> 8) ^ result[0][previous & 0xff];
    }
  }
  return result;
}

/** The table method, on any runtime. */
export function crc32ByTable(bytes: Uint8Array): number {
  tables ??= buildTables();
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let crc = 0xffffffff;
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc =
      t7[crc & 0xff] ^
      t6[(crc >>> 8) & 0xff] ^
      t5[(crc >>> 16) & 0xff] ^
      t4[crc >>> 24] ^
      t3[bytes[at + 4]] ^
      t2[bytes[at + 5]] ^
      t1[bytes[at + 6]] ^
      t0[bytes[at + 7]];
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

const native = builtinOrNone<{ crc32?: (data: Uint8Array) => number }>("node:zlib")?.crc32;

/** CRC-32 of `bytes`, as an unsigned 32-bit number. */
export const crc32: (bytes: Uint8Array) => number = native ?? crc32ByTable;
