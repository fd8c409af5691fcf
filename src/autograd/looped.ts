/**
 * A step that is a function of tensors, traced once and run as a loop.
 *
 * What the function computes from neither inputs nor carries is computed once, before the loop. What it draws is drawn
 * for every step, in the order of the steps.
 */
import type { Body } from "../tensor/program/body.ts";
import { bodyOf, placeholder, timeOf } from "../tensor/program/body.ts";
import * as build from "../tensor/build.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import { stack } from "../tensor/methods/join.ts";
import type { Node } from "../tensor/node.ts";
import { uncounted } from "../tensor/node.ts";
import { pendingAssignments } from "../tensor/program/pending.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CellTrace, cellLeaves } from "./cells.ts";
import { drawsOfSteps } from "./loop-draws.ts";
import { partsOf } from "./loop-parts.ts";
import { runLoop } from "./loop.ts";

interface LoopedStep {
  /** [T, …]: a step is given its own. */
  readonly xs: readonly Tensor[];
  /** What the first step is given of what is carried from step to step. */
  readonly carries: readonly Tensor[];
  readonly steps: number;
  /** Whether the last step comes first. */
  readonly reverse: boolean;
  /** How the device `cpu` lays the loop out. */
  readonly cpu: object;
  /** The next carries, of the shapes and dtypes of those before, and what the step leaves. */
  step(
    xs: readonly Tensor[],
    carries: readonly Tensor[],
  ): readonly [carries: readonly Tensor[], left: readonly Tensor[]];
}

/** Runs a step over time: the last carries, and what all steps left, [T, …]. */
export function looped({ xs, carries, steps, reverse, cpu, step }: LoopedStep): { last: Tensor[]; left: Tensor[] } {
  const trace = new CellTrace();
  const place = (spec: ValueSpec, what: string): Node => {
    const own = placeholder(spec);
    own.traced = trace;
    cellLeaves.set(own, what);
    return own;
  };
  const xPlaces = xs.map((x) => place({ shape: x.shape.slice(1), dtype: x.dtype }, "an input of a scan's cell"));
  const sPlaces = carries.map((s) => place(s.node, "the state of a scan's cell"));
  const waiting = new Map(pendingAssignments);
  const [[next, left], draws] = build.collectingDraws(() =>
    uncounted(() =>
      step(
        xPlaces.map((n) => new Tensor(n)),
        sPlaces.map((n) => new Tensor(n)),
      ),
    ),
  );
  for (const [variable, value] of pendingAssignments) {
    if (waiting.get(variable) === value) continue;
    pendingAssignments.clear();
    for (const [v, node] of waiting) pendingAssignments.set(v, node);
    throw new Error(
      `scan: the cell assigns variable "${variable.name}", but it runs once, for all steps; ` +
        "hand what changes from step to step on as part of the state",
    );
  }
  const drawn = drawsOfSteps(draws, steps, reverse);
  const roots = [...next, ...left].map((t) => t.node);
  const own = [...xPlaces, ...draws];
  const made = partsOf(roots, [...own, ...sPlaces], new Set(own));
  for (const node of draws) {
    node.traced = trace;
    cellLeaves.set(node, "what a scan's cell draws");
  }
  trace.end();
  if (roots.length === 0) return { last: [], left: [] };
  if (made.unchecked) return unrolled({ xs, carries, steps, reverse, cpu, step });
  const given = [...xs, ...drawn].map((x, i) => made.held(own[i], x));
  const constants = made.constants.map((n) => new Tensor(n));
  const body: Body = bodyOf(roots, [...made.constants, ...xPlaces, ...draws, ...sPlaces], made.enter);
  return runLoop(body, { constants, xs: given, carries }, steps, reverse, cpu);
}

/** The same, step after step in the graph. */
function unrolled({ xs, carries, steps, reverse, step }: LoopedStep): { last: Tensor[]; left: Tensor[] } {
  let state = carries;
  const left = new Array<readonly Tensor[]>(steps);
  for (let k = 0; k < steps; k++) {
    const t = timeOf({ steps, reverse }, k);
    [state, left[t]] = step(
      xs.map((x) => x.slice(t)),
      state,
    );
  }
  return { last: [...state], left: left[0].map((_, i) => stack(left.map((leaves) => leaves[i]))) };
}
