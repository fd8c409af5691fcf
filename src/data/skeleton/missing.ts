/**
 * A joint that was not seen: what a reader writes in place of its coordinates.
 *
 * Readers know which joints a sensor lost; what stands for one in a clip is decided here alone.
 */

/** Marks the joint whose x lies at `data[at]` as not seen. */
export function markMissing(data: Float32Array, at: number): void {
  data.fill(0, at, at + 3);
}

/** Puts a joint's coordinates at `data[at]`; (0, 0, 0) is the sensor's own place, where formats put a lost joint. */
export function putJoint(data: Float32Array, at: number, x: number, y: number, z: number): void {
  if (x === 0 && y === 0 && z === 0) return markMissing(data, at);
  data[at] = x;
  data[at + 1] = y;
  data[at + 2] = z;
}
