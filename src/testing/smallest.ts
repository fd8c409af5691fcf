/** Runs a check on drawn inputs, and tells the smallest one that fails as a program to paste. */
// biome-ignore lint/suspicious/noTsIgnore: there is an error only where fast-check is not installed.
/** @ts-ignore: fast-check is an optional peer; without it these types are `any`. */
import type { default as FastCheck } from "fast-check";
import { describeValue } from "../tensor/door/door.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Input, OperandSpec } from "./arbitraries.ts";
import { arbitraries, specOf } from "./arbitraries.ts";
import { Operand } from "./operand.ts";

/** How many inputs a check draws, and which. */
export interface DrawOptions {
  /** Inputs that are drawn; default 20. One where every input is a given tensor. */
  readonly runs?: number;
  /** Repeats the draws of another call, whose error told it; default: another one each time. */
  readonly seed?: number;
  /** Largest of the sizes that are named; default 4. */
  readonly sizes?: number;
  /** Whether a failing input is made smaller; default true. Where false, the first that fails is told. */
  readonly smallest?: boolean;
}

/** A check failed: on which input, as code, and why. */
export class CheckError extends Error {
  override readonly name = "CheckError";
  constructor(
    /** What failed on which input, and what happened. */
    message: string,
    /** The smallest failing input that was found, as a program around the same call. */
    readonly code: string,
    /** Draws the same inputs again. */
    readonly seed: number,
    /** What the check threw on that input. */
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

/** The fast-check of the project; `check` is who asks. */
export async function fastCheck(check: string): Promise<typeof FastCheck> {
  try {
    return (await import("fast-check")).default;
  } catch (cause) {
    throw new Error(`${check} draws its inputs with fast-check, which is not installed: npm i -D fast-check`, {
      cause,
    });
  }
}

/**
 * Runs `body` on drawn inputs until one fails, then on smaller ones.
 *
 * `call` writes the call of the check with the arguments in place of what they were drawn from.
 */
export async function onSmallest(
  check: string,
  inputs: readonly Input[],
  { runs = 20, seed, sizes = 4, smallest: makeSmaller = true }: DrawOptions,
  call: (inputs: string) => string,
  body: (tensors: Tensor[]) => Promise<void>,
): Promise<void> {
  for (const [name, value] of Object.entries({ runs, sizes }))
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`${check}: ${name} must be a whole number above 0, not ${describeValue(value)}`);
  const fc = await fastCheck(check);
  const specs = inputs.map((input) => specOf(input));
  const drawn = specs.filter((spec): spec is OperandSpec => !(spec instanceof Tensor));
  const given = (operands: readonly Operand[]): (Tensor | Operand)[] => {
    const rest = [...operands];
    return specs.map((spec) => (spec instanceof Tensor ? spec : rest.shift()!));
  };
  const tensors = (list: readonly (Tensor | Operand)[]): Tensor[] =>
    list.map((one) => (one instanceof Operand ? one.tensor() : one));

  const property = fc.asyncProperty(arbitraries(fc).operands(drawn, sizes), async (operands: Operand[]) => {
    await body(tensors(given(operands)));
  });
  const found = await fc.check(property, {
    numRuns: drawn.length === 0 ? 1 : runs,
    endOnFailure: !makeSmaller,
    ...(seed === undefined ? {} : { seed }),
  });
  if (!found.failed) return;
  const shorten = makeSmaller
    ? shortened
    : async (_: unknown, operands: readonly Operand[]) => ({ operands, error: undefined });
  const shorter = await shorten(drawn, found.counterexample![0], async (operands) => {
    try {
      await body(tensors(given(operands)));
      return undefined;
    } catch (error) {
      return error;
    }
  });
  const smallest = given(shorter.operands);
  const lines = await Promise.all(
    smallest.map(async (one) => `  ${one instanceof Operand ? one.code : await codeOf(one)},`),
  );
  const code =
    `import { tensor } from "hico-webgpu";\nimport { ${check} } from "hico-webgpu/testing";\n\n` +
    `await ${call(lines.length === 0 ? "[]" : `[\n${lines.join("\n")}\n]`)};`;
  const cause = (shorter.error ?? found.errorInstance) as Error | null;
  throw new CheckError(
    `${check}: ${cause?.message ?? "failed"}\n\nThe smallest failing input of ${found.numRuns} runs ` +
      `(seed ${found.seed}, ${found.numShrinks} times made smaller):\n\n${code}\n`,
    code,
    found.seed,
    cause,
  );
}

/** A given tensor as code. */
async function codeOf(t: Tensor): Promise<string> {
  return new Operand(t.shape, t.dtype, Array.from(await t.read(), Number)).code;
}

/**
 * Operands without the rows that a failure does not need: fast-check makes sizes smaller by drawing all values again,
 * which loses the one that matters.
 */
async function shortened(
  specs: readonly OperandSpec[],
  operands: readonly Operand[],
  failure: (operands: readonly Operand[]) => Promise<unknown>,
): Promise<{ operands: readonly Operand[]; error?: unknown }> {
  let best: { operands: readonly Operand[]; error?: unknown } = { operands };
  for (const name of new Set(specs.flatMap(({ shape }) => shape.filter((size) => typeof size === "string")))) {
    const axes = specs.map(({ shape }) => shape.flatMap((size, axis) => (size === name ? [axis] : [])));
    const n = axes.findIndex((list) => list.length > 0);
    for (let row = best.operands[n].shape[axes[n][0]] - 1; row >= 0; row--) {
      if (best.operands[n].shape[axes[n][0]] === 1) break;
      const less = best.operands.map((operand, at) =>
        axes[at].reduce((whole, axis) => whole.without(axis, row), operand),
      );
      const error = await failure(less);
      if (error !== undefined) best = { operands: less, error };
    }
  }
  return best;
}
