/** C3D files put together by hand, for the reader's tests and fuzzing. */

export interface C3dOptions {
  /** Float32 points, else 16-bit ones of this scale. */
  readonly scale?: number;
  readonly units?: string;
  readonly names?: readonly string[];
}

/** `points[t][v]` is [x, y, z], or null where it was not seen; Intel's byte order, two blocks of parameters; TRIAL's where there are many frames. */
export function c3dFile(
  points: readonly (readonly (readonly number[] | null)[])[],
  { scale, units = "mm", names = points[0].map((_, v) => `M${v}`) }: C3dOptions = {},
): Uint8Array {
  const [count, frames] = [points[0].length, points.length];
  const size = scale === undefined ? 4 : 2;
  const file = Buffer.alloc(3 * 512 + frames * count * 4 * size);
  file.set([2, 0x50]);
  file.writeUInt16LE(count, 2);
  file.writeUInt16LE(1, 6);
  file.writeUInt16LE(Math.min(frames, 0xffff), 8);
  file.writeFloatLE(scale ?? -1, 12);
  file.writeUInt16LE(4, 16);
  file.writeFloatLE(100, 20);
  file.set([1, 0x50, 2, 84], 512);
  let at = 516;
  const entry = (id: number, name: string, content: readonly number[]): void => {
    file.set([name.length, id & 255, ...Buffer.from(name)], at);
    file.writeInt16LE(content.length + 2, at + 2 + name.length);
    file.set(content, at + 4 + name.length);
    at += 4 + name.length + content.length;
  };
  entry(-1, "POINT", [0]);
  const width = Math.max(...names.map((name) => name.length));
  const labels = names.map((name) => name.padEnd(width)).join("");
  entry(1, "LABELS", [255, 2, width, names.length, ...Buffer.from(labels), 0]);
  entry(1, "UNITS", [255, 1, units.length, ...Buffer.from(units), 0]);
  if (frames > 0xffff) {
    // Where a trial begins and ends, a low word and a high one.
    const words = (n: number) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, 0];
    entry(-2, "TRIAL", [0]);
    entry(2, "ACTUAL_START_FIELD", [2, 1, 2, ...words(1), 0]);
    entry(2, "ACTUAL_END_FIELD", [2, 1, 2, ...words(frames), 0]);
  }
  points.flat().forEach((place, i) => {
    const to = 3 * 512 + i * 4 * size;
    const numbers = [...(place ?? [0, 0, 0]), place ? 0 : -1];
    numbers.forEach((x, c) => {
      if (scale === undefined) file.writeFloatLE(x, to + 4 * c);
      else file.writeInt16LE(c < 3 ? x / scale : x, to + 2 * c);
    });
  });
  return Uint8Array.from(file);
}
