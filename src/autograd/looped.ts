/**
 * A step that is a function of tensors, traced once and run as a loop.
 *
 * What the function computes from neither inputs nor carries is computed once, before the loop. What it draws is drawn
 * for every step, in the order of the steps.
 */
import type { Body } from "../tensor/program/body.ts";
import { bodyOf, placeholder, timeOf } from "../tensor/program/body.ts";
import { inBounds, valuesBehind } from "../tensor/bounds.ts";
import type { Bounds } from "../tensor/bounds.ts";
import * as build from "../tensor/build.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import { stack } from "../tensor/methods/join.ts";
import type { Node } from "../tensor/node.ts";
import { isMovement, topologicalOrder, uncounted } from "../tensor/node.ts";
import { pendingAssignments } from "../tensor/program/pending.ts";
import { sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CellTrace, cellLeaves } from "./cells.ts";
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
  const varying = new Set([...xPlaces, ...draws, ...sPlaces]);
  const made = traced(roots, varying);
  trace.end();
  if (roots.length === 0) return { last: [], left: [] };
  if (made.unchecked) return unrolled({ xs, carries, steps, reverse, cpu, step });
  const given = [...xs, ...drawn].map((x, i) => {
    const leaf = [...xPlaces, ...draws][i];
    const demand = made.demands.get(leaf);
    return demand ? demand.reduce((t, bounds) => new Tensor(inBounds(t.node, bounds)), x) : x;
  });
  const constants = made.constants.map((n) => new Tensor(n));
  const body: Body = bodyOf(roots, [...made.constants, ...xPlaces, ...draws, ...sPlaces], made.enter);
  return runLoop(body, { constants, xs: given, carries }, steps, reverse, cpu);
}

interface Traced {
  /** Computed before the loop. */
  readonly constants: readonly Node[];
  /** What indices that come from a leaf must be within. */
  readonly demands: ReadonlyMap<Node, readonly Bounds[]>;
  /** Whether the body computes indices that must be checked. */
  readonly unchecked: boolean;
  enter(node: Node): Node | undefined;
}

/** What of a traced step is its body, and what comes before the loop. */
function traced(roots: readonly Node[], leaves: ReadonlySet<Node>): Traced {
  const varies = new Set<Node>();
  for (const node of topologicalOrder(roots, (n) => (leaves.has(n) ? [] : n.inputs))) {
    if (leaves.has(node) || node.inputs.some((n) => varies.has(n))) varies.add(node);
  }
  const constants: Node[] = [];
  const demands = new Map<Node, Bounds[]>();
  let unchecked = false;
  const inputsOf = (node: Node): readonly Node[] => {
    if (leaves.has(node)) return [];
    if (varies.has(node) || isMovement(node.op)) return node.inputs;
    return [];
  };
  for (const node of topologicalOrder(roots, inputsOf)) {
    const { kind } = node.op;
    if (varies.has(node)) {
      if (node.op.kind !== "inBounds") continue;
      const base = valuesBehind(node.inputs[0]);
      if (leaves.has(base)) demands.set(base, [...(demands.get(base) ?? []), node.op.bounds]);
      else unchecked = true;
    } else if (kind !== "full" && kind !== "iota" && !isMovement(node.op)) constants.push(node);
  }
  return {
    constants,
    demands,
    unchecked,
    enter: (node) => (node.op.kind === "inBounds" ? node.inputs[0] : undefined),
  };
}

/** What a step draws, drawn for all steps in the order they run: [T, …] for every draw. */
function drawsOfSteps(draws: readonly Node[], steps: number, reverse: boolean): Tensor[] {
  const offsets = new Map<DType, number>();
  const at = draws.map(({ shape, dtype }) => {
    const from = offsets.get(dtype) ?? 0;
    offsets.set(dtype, from + sizeOf(shape));
    return from;
  });
  /** Asked for all at once by whoever is asked first, and kept until each has been asked. */
  let values: Map<DType, HostArray> | undefined;
  let first = true;
  const asked = new Set<DType>();
  const all = (dtype: DType): HostArray => {
    if (!values || asked.has(dtype)) {
      asked.clear();
      values = new Map();
      for (let k = 0; k < steps; k++) {
        const t = timeOf({ steps, reverse }, k);
        draws.forEach(({ op, dtype: own, shape }, i) => {
          if (op.kind !== "data" || !op.refresh) return;
          const data = first && k === 0 ? op.data : op.refresh();
          const width = offsets.get(own)!;
          const known = values!.get(own);
          const into = known ?? new (data.constructor as new (n: number) => HostArray)(steps * width);
          if (!known) values!.set(own, into);
          for (let e = 0; e < sizeOf(shape); e++) into[t * width + at[i] + e] = data[e];
        });
      }
      first = false;
    }
    asked.add(dtype);
    return values.get(dtype)!;
  };
  const leaf = new Map(
    [...offsets].map(([dtype, width]) => [dtype, build.drawn(() => all(dtype), [steps, width], dtype)]),
  );
  return draws.map(({ shape, dtype }, i) =>
    new Tensor(leaf.get(dtype)!).slice(null, [at[i], at[i] + sizeOf(shape)]).reshape([steps, ...shape]),
  );
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
