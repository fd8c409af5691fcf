/**
 * C3D, the binary marker files of motion capture (c3d.org): a heading of 512 bytes, parameters, then frames.
 *
 * Read are 3D points: float32 or scaled 16-bit, in the byte order of Intel or of SGI/MIPS; a residual below 0 is a point
 * that was not seen. Analogue channels are passed over. DEC's floats are refused by name. The point rate and unit come
 * from POINT:RATE and POINT:UNITS; without a unit, millimetres, as laboratories use.
 */
import { DataError } from "../../errors.ts";
import { checkClip, newClip } from "../../skeleton/clip.ts";
import { markMissing } from "../../skeleton/missing.ts";
import { metresIn, MOST_MARKERS, type MarkerRecording } from "./markers.ts";

const BLOCK = 512;
const MOST_FRAMES = 10_000_000;

interface Parameter {
  readonly type: number;
  readonly dimensions: readonly number[];
  readonly at: number;
}

/**
 * The markers in the bytes of a C3D file, in metres; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseC3d(bytes: Uint8Array, file: string): MarkerRecording {
  const fail = (detail: string): never => {
    throw new DataError(file, "format", detail);
  };
  if (bytes.length < 2 * BLOCK || bytes[1] !== 0x50) fail("is no C3D file: its second byte is 80 (hex 50)");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = (bytes[0] - 1) * BLOCK;
  if (start < 0 || start + 4 > bytes.length) fail(`its parameters would lie in block ${bytes[0]}, past the end`);
  const processor = bytes[start + 3];
  if (processor === 85) fail("is of a DEC computer; convert it to Intel's byte order (Mokka, ezc3d, btk)");
  if (processor !== 84 && processor !== 86) fail(`names processor ${processor}; 84 is Intel, 86 SGI`);
  const little = processor === 84;
  const u16 = (at: number): number => (at + 2 <= bytes.length ? view.getUint16(at, little) : fail("is cut off"));
  const f32 = (at: number): number => (at + 4 <= bytes.length ? view.getFloat32(at, little) : fail("is cut off"));
  const parameters = readParameters(bytes, view, start, little, fail);
  const text = (name: string): string[] => {
    const found = parameters.get(name);
    if (!found || found.type !== -1) return [];
    const [width = 0, count = 1] = found.dimensions;
    if (width * count > 1 << 16) return fail(`parameter ${name} is longer than any`);
    return Array.from({ length: count }, (_, i) =>
      new TextDecoder("latin1").decode(bytes.subarray(found.at + i * width, found.at + (i + 1) * width)).trim(),
    );
  };
  const number = (name: string): number | undefined => {
    const found = parameters.get(name);
    if (!found) return undefined;
    return found.type === 4 ? f32(found.at) : found.type === 2 ? u16(found.at) : undefined;
  };
  const points = u16(2);
  const analog = u16(4);
  const first = u16(6);
  const scale = f32(12);
  const rate = number("POINT:RATE") ?? f32(20);
  const block = number("POINT:DATA_START") ?? u16(16);
  if (points < 2 || points > MOST_MARKERS) fail(`holds ${points} points; 2 to ${MOST_MARKERS} are read`);
  if (!Number.isFinite(scale) || scale === 0) fail(`its scale is ${scale}`);
  if (!(Number.isFinite(rate) && rate > 0)) fail(`its rate is ${rate} frames a second`);
  const size = scale < 0 ? 4 : 2;
  const stride = (4 * points + analog) * size;
  const from = (block - 1) * BLOCK;
  if (!(from > 0 && from < bytes.length)) fail(`its frames would begin in block ${block}, past the end`);
  // The count of 16 bits ends at 65,535; longer recordings say where they begin and end as TRIAL's fields, two words
  // each, and most programs their length as POINT:FRAMES too, a word or a float.
  const field = (name: string): number | undefined => {
    const found = parameters.get(name);
    return found?.type === 2 && found.dimensions[0] === 2 ? u16(found.at) + 2 ** 16 * u16(found.at + 2) : undefined;
  };
  const [begun, ended] = [field("TRIAL:ACTUAL_START_FIELD"), field("TRIAL:ACTUAL_END_FIELD")];
  const trial = begun === undefined || ended === undefined ? 0 : ended - begun + 1;
  const frames = Math.max(u16(8) - first + 1, number("POINT:FRAMES") ?? 0, trial);
  if (!(frames >= 1 && frames <= MOST_FRAMES)) throw new DataError(file, "empty", `holds ${frames} frames`);
  if (from + frames * stride > bytes.length)
    throw new DataError(
      file,
      "shape",
      `${frames} frames of ${points} points need ${frames * stride} bytes; ${bytes.length - from} are there`,
    );
  const units = text("POINT:UNITS")[0];
  const metres = units
    ? (metresIn(units) ?? fail(`its unit is "${units.slice(0, 20)}"; known are mm, cm, m, in`))
    : 0.001;
  const labels = text("POINT:LABELS");
  const taken = new Set<string>();
  const names = Array.from({ length: points }, (_, v) => {
    const own = (labels[v] ?? "").replace(/^.*:/, "") || `point ${v + 1}`;
    const name = taken.has(own) ? `${own} ${v + 1}` : own;
    taken.add(name);
    return name;
  });
  if (taken.size !== points) fail("names a point twice");
  const clip = newClip(frames, 1, points);
  for (let t = 0; t < frames; t++)
    for (let v = 0; v < points; v++) {
      const at = from + t * stride + v * 4 * size;
      const to = (t * points + v) * 3;
      const residual = scale < 0 ? f32(at + 12) : view.getInt16(at + 6, little);
      if (!(residual >= 0)) {
        markMissing(clip.data, to);
        continue;
      }
      for (let c = 0; c < 3; c++)
        clip.data[to + c] = metres * (scale < 0 ? f32(at + 4 * c) : scale * view.getInt16(at + 2 * c, little));
    }
  checkClip(clip, file);
  return { names, clip, rate };
}

/** The parameters by GROUP:NAME, in capitals. */
function readParameters(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  little: boolean,
  fail: (detail: string) => never,
): Map<string, Parameter> {
  const groups = new Map<number, string>();
  const found: { readonly group: number; readonly name: string; readonly parameter: Parameter }[] = [];
  let at = start + 4;
  for (let count = 0; count < 10_000; count++) {
    if (at + 2 > bytes.length) return fail("its parameters are cut off");
    const length = Math.abs(view.getInt8(at));
    const id = view.getInt8(at + 1);
    if (length === 0 || id === 0) break;
    const next = at + 2 + length;
    if (next + 3 > bytes.length) return fail("its parameters are cut off");
    const name = new TextDecoder("latin1").decode(bytes.subarray(at + 2, next)).toUpperCase();
    const offset = view.getInt16(next, little);
    if (id < 0) groups.set(-id, name);
    else {
      const dimensions = [...bytes.subarray(next + 4, next + 4 + bytes[next + 3])];
      found.push({
        group: id,
        name,
        parameter: { type: view.getInt8(next + 2), dimensions, at: next + 4 + dimensions.length },
      });
    }
    if (offset <= 0) break;
    at = next + offset;
  }
  return new Map(found.map(({ group, name, parameter }) => [`${groups.get(group) ?? ""}:${name}`, parameter]));
}
