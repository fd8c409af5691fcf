/** Whether an engine's answer is right, and if not, in what way. */
import type { EngineAnswer, PlainArray } from "./protocol.ts";
import type { ConformanceCase } from "./suite/case.ts";

/**
 * How an answer may be wrong:
 * a value, a shape, a gradient that differs; a gradient of zeros where there should be another; a refusal; an answer
 * that did not come. No faults but notes: a value with fewer digits than float32 has room for, and another subgradient
 * than PyTorch's at a kink.
 */
export type FaultKind =
  | "value"
  | "shape"
  | "gradient"
  | "zero gradient"
  | "refusal"
  | "no answer"
  | "imprecise"
  | "other subgradient";

/** Kinds that are no faults. */
export const NOTES: ReadonlySet<FaultKind> = new Set(["imprecise", "other subgradient"]);

export interface Fault {
  readonly kind: FaultKind;
  readonly message: string;
}

/** Smallest number of float32 that has its full precision. */
const LEAST_NORMAL = 1.1754943508222875e-38;

/** What is wrong with `found`, whose right answer is `expected`; undefined where nothing is. */
export function judge(one: ConformanceCase, found: EngineAnswer, expected: EngineAnswer): Fault | undefined {
  let note: Fault | undefined;
  for (const [what, list, right] of [
    ["output", found.outputs, one.outputs ?? expected.outputs],
    ["gradient", found.gradients, expected.gradients],
    ["second derivative", found.seconds, expected.seconds],
  ] as const) {
    for (const [n, want] of (right ?? []).entries()) {
      const label = right!.length > 1 ? `${what} ${n}` : what;
      const got = list?.[n];
      if (!got) return { kind: "shape", message: `${label} is missing` };
      if (got.shape.join() !== want.shape.join())
        return { kind: "shape", message: `${label} has the shape [${got.shape}], and should have [${want.shape}]` };
      const wrong = difference(one, got, want);
      if (!wrong) continue;
      const message = `${label}${wrong.words}`;
      if (wrong.near) note ??= { kind: "imprecise", message };
      else if (what === "gradient" && one.otherwise?.(list!)) note ??= { kind: "other subgradient", message };
      else if (what === "output") return { kind: "value", message };
      else return { kind: allZero(got) && !allZero(want) ? "zero gradient" : "gradient", message };
    }
  }
  return note;
}

function allZero({ data }: PlainArray): boolean {
  return Array.from(data).every((x) => x === 0);
}

/** The first element that is wrong, or else the first that is only near. */
function difference(
  { relative = 1e-5, absolute = 1e-6, scaled, signed }: ConformanceCase,
  got: PlainArray,
  want: PlainArray,
): { readonly words: string; readonly near: boolean } | undefined {
  const exact = Array.from(want.data);
  let largest = 1;
  if (scaled) for (const value of exact) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  const words = (i: number): string =>
    `${exact.length === 1 ? "" : `, element ${i},`} is ${name(got.data[i])}, and should be ${name(Math.fround(exact[i]))}`;
  let note: { words: string; near: boolean } | undefined;
  for (const [i, value] of exact.entries()) {
    const [x, right] = [Math.fround(got.data[i]), Math.fround(value)];
    if (signed && right === 0 && x === 0 && !Object.is(x, right)) return { words: words(i), near: false };
    if (x === right || (Number.isNaN(x) && Number.isNaN(right))) continue;
    // Numbers too small for full precision may be taken for 0.
    if (Math.abs(value) < LEAST_NORMAL && Math.abs(x) < LEAST_NORMAL) continue;
    const error = Math.abs(x - value);
    if (Number.isFinite(right) && error <= relative * Math.abs(value) + absolute * largest) continue;
    if (!Number.isFinite(right) || absolute === 0 || !(error <= 5e-4 * Math.abs(value) + 1e-5 * largest))
      return { words: words(i), near: false };
    note ??= { words: words(i), near: true };
  }
  return note;
}

const name = (x: number): string =>
  Object.is(x, -0) ? "-0" : String(Number.isInteger(x) ? x : Number(x.toPrecision(7)));
