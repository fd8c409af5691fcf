/** Planted errors in what runs when: the order of assignments, histories, calls, old values. */
import type { Mutation } from "./mutations.ts";

const PROGRAM = "src/tensor/program";
const edit = (file: string, find: string, replace: string, ...tests: string[]): Mutation => ({
  file,
  find,
  replace,
  tests,
});

export const PROGRAM_MUTATIONS: readonly Mutation[] = [
  // A compiled call that does not see what was assigned before it.
  edit(
    `${PROGRAM}/compile.ts`,
    "const storages = asked.length > 0 || sealed.length > 0 ? await execute(asked, sealed) : [];",
    "const storages = asked.length > 0 ? await execute(asked, []) : [];",
    "tensor/programs-compile",
  ),
  // Reading that cuts gradients.
  edit(
    `${PROGRAM}/realize.ts`,
    'node.become({ kind: "storage", storage }, remembered);',
    'node.become({ kind: "storage", storage }, false);',
    "tensor/programs",
  ),
  // A failing read that takes assignments along.
  edit(
    `${PROGRAM}/realize.ts`,
    "if (left.length > 0) await salvage(left);",
    "if (left.length > 0) settle(left);",
    "tensor/programs",
  ),
  // Old values that nobody keeps: outside of the run, and for a compiled step.
  edit(
    `${PROGRAM}/old-values.ts`,
    "if (node.users > (within.get(node) ?? 0)) asked.add(node);",
    "",
    "tensor/old-values",
  ),
  edit(`${PROGRAM}/compile.ts`, "await keepOldValues(assignments);", "", "tensor/old-values"),
  // What cannot be read any more is read all the same.
  edit(
    `${PROGRAM}/realize.ts`,
    'if (op.kind !== "variable" || op.version === op.variable.stored) return;',
    "return;",
    "tensor/old-values",
  ),
];
