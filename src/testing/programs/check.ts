/** Random programs, run by the engine and by the plain interpreter: the first that differs, shortened. */
import type { DrawOptions } from "../smallest.ts";
import { CheckError, fastCheck } from "../smallest.ts";
import { print } from "./print.ts";
import { build, refusals, rows } from "./program.ts";
import { compare, execute, interpret, StatementError } from "./run.ts";
import type { Engine } from "./worlds.ts";

/** What docs/semantics.md says the engine may refuse: such a program has no numbers to compare. */
const REFUSED =
  /its old value is gone|was set before compile traced|has no value outside it|argument of the compiled function/;

/** What `checkPrograms` did. */
export interface CheckedPrograms {
  readonly programs: number;
  /** Programs whose values were compared; the others were refused. */
  readonly compared: number;
}

/**
 * Random programs of statements on the default device against a plain interpreter in float64 that shares nothing with
 * the engine: tensors from host arrays, variables and assignments, reads awaited or not, `backward`, optimizers, modes,
 * seeds, compiled functions and their effects, calls that must be refused.
 *
 * `engine`: the exports of `hico-webgpu` and of `hico-webgpu/nn` in one object. `runs`: programs, default 200.
 *
 * @throws CheckError with the shortest failing program as code.
 */
export async function checkPrograms(
  engine: object,
  { runs = 200, seed, smallest = true }: Omit<DrawOptions, "sizes"> = {},
): Promise<CheckedPrograms> {
  const fc = await fastCheck("checkPrograms");
  let refused = 0;
  const property = fc.asyncProperty(rows(fc), async (drawn) => {
    const program = build(drawn);
    const { reads, refusable } = interpret(program);
    let found: Awaited<ReturnType<typeof execute>>;
    try {
      found = await execute(program, engine as Engine);
    } catch (error) {
      if (!(error instanceof StatementError) || !REFUSED.test(error.message) || error.at < refusable) throw error;
      refused++;
      return;
    }
    const wrong = compare(reads, found);
    if (wrong) throw new Error(wrong);
  });
  const result = await fc.check(property, {
    numRuns: runs,
    examples: [[refusals]],
    endOnFailure: !smallest,
    ...(seed === undefined ? {} : { seed }),
  });
  if (!result.failed) return { programs: result.numRuns, compared: result.numRuns - refused };
  const cause = result.errorInstance as Error | null;
  const code = print(build(result.counterexample![0]));
  throw new CheckError(
    `checkPrograms: ${cause?.message ?? "failed"}\n\nThe shortest failing program of ${result.numRuns} ` +
      `(seed ${result.seed}, ${result.numShrinks} times made shorter):\n\n${code}\n`,
    code,
    result.seed,
    cause,
  );
}
