/** Runs the conformance suite on an engine. */
import { ReferenceDevice } from "../../device/reference/reference.ts";
import { meanings } from "./adapters/hico.ts";
import { judge, NOTES } from "./judge.ts";
import type { Fault } from "./judge.ts";
import type { EngineAdapter, EngineAnswer } from "./protocol.ts";
import type { ConformanceCase } from "./suite/case.ts";
import { conformanceCases } from "./suite/suite.ts";
import { reproduction } from "./reproduction.ts";
import type { ConformanceReport, Finding, OperationRow } from "./report.ts";

/** Which cases run, and who hears of it. */
export interface CheckEngineOptions {
  /** Of drawn operands; default 0. */
  readonly seed?: number;
  /** Operations by parts of their names; default all. */
  readonly only?: readonly string[];
  /** Milliseconds for one answer; default 20 000. */
  readonly timeout?: number;
  /** Ends after so many cases that were answered wrong; default: all are asked. */
  readonly most?: number;
  /** Is told how many cases are done, of how many, and which operation is asked about. */
  readonly progress?: (done: number, of: number, operation: string) => void;
}

/**
 * Asks an engine every case of the conformance suite and compares with this package's reference device in float64, and
 * with JavaScript's own functions.
 *
 * @throws Error where `only` names no operation.
 */
export async function checkEngine(engine: EngineAdapter, options: CheckEngineOptions = {}): Promise<ConformanceReport> {
  const { seed = 0, only = [], timeout = 20_000, most = Infinity, progress } = options;
  const cases = conformanceCases(
    seed,
    (operation) => only.length === 0 || only.some((part) => operation.includes(part)),
  );
  if (cases.length === 0) throw new Error(`checkEngine: no operation's name has ${only.join(" or ")} in it`);
  const oracle = meanings(new ReferenceDevice());
  const ask = async (one: ConformanceCase): Promise<Fault | undefined> => {
    const { outputs } = one;
    const expected =
      outputs && !one.request.gradient ? { outputs } : await oracle.run({ ...one.request, compiled: false });
    let found: EngineAnswer;
    try {
      found = await within(engine.run(one.request), timeout);
    } catch (error) {
      if (error instanceof NoAnswer) return { kind: "no answer", message: error.message };
      return { kind: "refusal", message: firstLine(error) };
    }
    return judge(one, found, expected);
  };

  const rows = new Map<string, Map<string, { passed: number; of: number }>>();
  const absent = new Set<string>();
  const findings: Finding[] = [];
  let asked = 0;
  let wrong = 0;
  for (const [n, one] of cases.entries()) {
    progress?.(n, cases.length, one.operation);
    if (one.request.compiled && !engine.compiles) continue;
    const steps = [...one.request.steps, ...(one.request.updates?.steps ?? [])];
    const lacking = steps.filter(({ op }) => !engine.operations.has(op));
    if (lacking.length > 0) {
      for (const { op } of lacking) absent.add(op);
      continue;
    }
    asked++;
    const row = rows.get(one.operation) ?? new Map<string, { passed: number; of: number }>();
    rows.set(one.operation, row);
    const cell = row.get(one.aspect) ?? { passed: 0, of: 0 };
    row.set(one.aspect, cell);
    cell.of++;
    const fault = await ask(one);
    if (!fault || NOTES.has(fault.kind)) cell.passed++;
    else wrong++;
    if (!fault) continue;
    const small = await smallest(one, fault, ask);
    findings.push(
      ...small.map(({ one: { operation, aspect, name, request }, fault: { kind, message } }) => ({
        ...{ operation, aspect, case: name, kind, message },
        ...{ code: reproduction(request), request },
      })),
    );
    if (wrong >= most) break;
  }
  progress?.(cases.length, cases.length, "");
  return {
    ...{ format: "hico-conformance", engine: engine.name, version: engine.version, seed, asked },
    operations: [...rows].map(([name, aspects]): OperationRow => ({ name, aspects: Object.fromEntries(aspects) })),
    absent: [...absent].sort(),
    findings,
  };
}

/** Of one case, so many small ones are told. */
const MOST_TOLD = 5;

/** The case's single elements that fail by themselves, or the case where none does. */
async function smallest(
  one: ConformanceCase,
  fault: Fault,
  ask: (one: ConformanceCase) => Promise<Fault | undefined>,
): Promise<{ one: ConformanceCase; fault: Fault }[]> {
  const found: { one: ConformanceCase; fault: Fault }[] = [];
  if (fault.kind === "no answer") return [{ one, fault }];
  for (const round of one.smaller?.() ?? []) {
    for (const smaller of round) {
      const again = await ask(smaller);
      if (again?.kind === fault.kind) found.push({ one: smaller, fault: again });
      if (found.length === MOST_TOLD) return found;
    }
    if (found.length > 0) break;
  }
  return found.length > 0 ? found : [{ one, fault }];
}

class NoAnswer extends Error {}

async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(`no answer within ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0].slice(0, 240);
}
