/** A checksum over everything that a checkpoint holds, by which one that has changed is known. */
import { crc32 } from "../../io/crc32.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import { bytesOf } from "../../io/host-tensor.ts";

/** CRC-32, in hex, over the names, forms and checksums of all tensors and all metadata but itself. */
export function checksumOf(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Iterable<readonly [string, string]>,
): string {
  const byName = (a: readonly unknown[], b: readonly unknown[]): number => (String(a[0]) < String(b[0]) ? -1 : 1);
  const parts = [...tensors].map(([name, t]) => [name, t.dtype, t.shape, crc32(bytesOf(t.data))]).sort(byName);
  const rest = [...metadata].filter(([name]) => name !== "checksum").sort(byName);
  return crc32(new TextEncoder().encode(JSON.stringify([parts, rest])))
    .toString(16)
    .padStart(8, "0");
}

/** A checkpoint whose bytes are not those that were written. */
export class DamagedCheckpointError extends Error {
  override readonly name = "DamagedCheckpointError";

  constructor(
    /** The file. */
    readonly path: string,
    /** What does not fit, in words that go on from "is damaged:". */
    readonly fault: string,
    /** The `cause`, where another error is behind it. */
    options?: ErrorOptions,
  ) {
    super(`${path} is damaged: ${fault}`, options);
  }
}
