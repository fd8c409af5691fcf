/** The kinds of cases that `hico verify` can replay. */
import type { CaseKind } from "./case.ts";
import { hicoStepCases } from "./hico-step.ts";
import { opCases } from "./ops.ts";
import { optimizerCases } from "./optimizers.ts";

export const CASE_KINDS: readonly CaseKind[] = [opCases, optimizerCases, hicoStepCases];
