/** Random programs, run by the engine and by the plain interpreter: the first that differs, shortened. */
import fc from "fast-check";
import { build, rows, type Row } from "./program.ts";
import { compare, execute, interpret, type Engine } from "./run.ts";

/** What docs/semantics.md says the engine refuses: such a program has no numbers to compare. */
const REFUSED = /its old value is gone/;

export interface Checked {
  readonly programs: number;
  /** Programs whose values were compared; the others were refused. */
  readonly compared: number;
  readonly failure?: { readonly rows: readonly Row[]; readonly message: string };
}

/** @param engine the exports of the package, with a default device set */
export async function check(engine: Engine, programs: number, seed: number): Promise<Checked> {
  let refused = 0;
  const property = fc.asyncProperty(rows, async (drawn) => {
    const program = build(drawn);
    let found: Awaited<ReturnType<typeof execute>>;
    try {
      found = await execute(program, engine);
    } catch (error) {
      if (!REFUSED.test((error as Error).message)) throw error;
      refused++;
      return;
    }
    const wrong = compare(interpret(program), found);
    if (wrong) throw new Error(wrong);
  });
  const result = await fc.check(property, { numRuns: programs, seed });
  const counts = { programs: result.numRuns, compared: result.numRuns - refused };
  if (!result.failed) return counts;
  const { message } = result.errorInstance as Error;
  return { ...counts, failure: { rows: result.counterexample![0], message } };
}
