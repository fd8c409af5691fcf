/**
 * The plan of a realization: kernels in order, and a place in memory for every value they leave behind.
 *
 * Small independent kernels wait for each other and run side by side in one step. A variable's new value is written
 * straight over the old one where every reader of the old one has run; otherwise beside it, and copied at the end.
 * Intermediates share slots: two values may use the same slot when one is dead before the other is made.
 */
import type { Expr, ExprBuilder } from "./expr.ts";
import { bytesPerElement } from "../tensor/dtype.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import { Node } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Graph } from "./graph.ts";
import type { FusedKernel, Kernel, MatmulKernel, Store } from "./kernels.ts";
import { KernelBuilder } from "./kernels.ts";
import type { KernelSchedule } from "./schedule.ts";
import { schedule } from "./schedule.ts";

/** Kernels that run side by side: elementwise work and reductions, or products that may share. */
interface Step {
  readonly kernels: readonly Kernel[];
  /** Temporary buffers of a fused kernel. */
  readonly scratch: readonly Node[];
}

/** Where a value of the plan lies. */
export type Place =
  | { readonly kind: "slot"; readonly slot: number }
  /** The memory of a leaf: a variable assigned in place, or an input. */
  | { readonly kind: "leaf"; readonly leaf: number }
  | { readonly kind: "output"; readonly output: number };

export interface Plan {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly placeOf: ReadonlyMap<Node, Place>;
  /** Bytes of every slot. */
  readonly slots: readonly number[];
  /** After the last step: values to copy into variables. */
  readonly copies: readonly { readonly from: Node; readonly leaf: number }[];
  readonly lives: readonly Life[];
}

/** A value that lies in a slot, from the step that makes it to the last that reads it. */
interface Life {
  readonly bytes: number;
  readonly from: number;
  to: number;
}

interface PlanOptions {
  readonly maxBindings: number;
  /** Temporary buffers that the device's lowering of a fused kernel needs. */
  scratchOf(kernel: FusedKernel): readonly ValueSpec[];
  /** Products of equal keys may run in one dispatch; none may where the key is undefined. */
  sharingKeyOf(kernel: MatmulKernel): string | undefined;
}

/** Kernels that leave at most this many bytes behind, besides variables, wait for others like them. */
const LIGHT_KERNEL_BYTES = 1 << 18;
/** Waiting kernels may keep this share of all intermediates alive before they are run. */
const WAITING_SHARE = 1 / 32;

export function nodeBytes(node: { readonly shape: readonly number[]; readonly dtype: Node["dtype"] }): number {
  return Math.max(4, Math.ceil((sizeOf(node.shape) * bytesPerElement(node.dtype)) / 4) * 4);
}

interface Unit {
  readonly kernel: Kernel;
  readonly reads: ReadonlySet<Node>;
  readonly writes: readonly Node[];
  readonly scratch: readonly Node[];
  readonly rank: number;
  /** Units that must run first. */
  readonly after: Set<Unit>;
  /** Whether it reads the buffer of small host values. */
  readonly parameters: boolean;
  /** Elementwise work or reductions that leave little behind: they can wait, and run side by side. */
  light: boolean;
}

export function makePlan(graph: Graph, options: PlanOptions): Plan {
  const scheduled = schedule(graph, { maxBindings: options.maxBindings });
  const units = makeUnits(graph, scheduled, options);
  const producer = new Map<Node, Unit>();
  for (const unit of units) for (const node of unit.writes) producer.set(node, unit);
  for (const unit of units) {
    for (const node of unit.reads) {
      const source = producer.get(node);
      if (source && source !== unit) unit.after.add(source);
    }
  }
  const { inPlace, copies } = placeAssignments(graph, units, producer);
  const assigned = new Map([...inPlace].map(([value, leaf]) => [value, graph.leaves[leaf].node]));
  const memoryOf = (node: Node): Node => assigned.get(node) ?? node;
  for (const unit of units) {
    const left = unit.writes.reduce((sum, n) => sum + (assigned.has(n) ? 0 : nodeBytes(n)), 0);
    unit.light = (unit.kernel.kind === "loop" || unit.kernel.kind === "reduce") && left <= LIGHT_KERNEL_BYTES;
  }
  const steps = order(units, options, memoryOf);
  const { placeOf, slots, lives } = placeValues(graph, steps, inPlace, copies);
  return {
    graph,
    steps: steps.map((s) => ({ kernels: s.map((u) => u.kernel), scratch: s.flatMap((u) => u.scratch) })),
    placeOf,
    slots,
    lives,
    copies,
  };
}

function makeUnits(graph: Graph, scheduled: KernelSchedule, options: PlanOptions): Unit[] {
  const builder = new KernelBuilder(graph, scheduled);
  const position = new Map(graph.nodes.map((n, i) => [n, i]));
  return scheduled.groups.map((group) => {
    const kernel = builder.build(group);
    const reads = readsOf(kernel);
    const writes = writesOf(kernel);
    const scratch: Node[] = [];
    if (kernel.kind === "fused") {
      for (const spec of options.scratchOf(kernel))
        scratch.push(new Node({ kind: "iota" }, [], spec.shape, spec.dtype));
    }
    // Fused kernels take whole buffers only.
    const parameters = kernel.kind !== "fused" && kernel.exprs.all.some((e) => e.kind === "parameter");
    const rank = Math.min(...[...group.members].map((m) => position.get(m) ?? Infinity));
    return { kernel, reads, writes, scratch, rank, after: new Set<Unit>(), parameters, light: false };
  });
}

/** All stores of a kernel that is made of expressions. */
export function storesOf(kernel: Exclude<Kernel, FusedKernel>): readonly Store[] {
  return kernel.kind === "reduce" ? [...kernel.rowStores, ...kernel.elementStores] : kernel.stores;
}

function loadsOf(exprs: ExprBuilder): (Expr & { kind: "load" })[] {
  return exprs.all.filter((e): e is Expr & { kind: "load" } => e.kind === "load");
}

/** The buffers a kernel reads. */
function readsOf(kernel: Kernel): ReadonlySet<Node> {
  return new Set(kernel.kind === "fused" ? kernel.inputs : loadsOf(kernel.exprs).map((l) => l.buffer));
}

/** The nodes a kernel leaves in memory, but for results of fused ops that nobody reads. */
function writesOf(kernel: Kernel): Node[] {
  if (kernel.kind === "fused") return kernel.outputs.flatMap(({ node }) => node ?? []);
  return storesOf(kernel).map((s) => s.target);
}

/**
 * Bytes of intermediates that are computed on the way to `node` and read by kernels that are not on that way. Where
 * `node` is a loss, this is what the forward pass keeps for the backward pass.
 */
export function bytesKeptBeyond(plan: Plan, node: Node): number {
  const kernels = plan.steps.flatMap((s) => s.kernels);
  const producer = new Map(kernels.flatMap((kernel) => writesOf(kernel).map((written) => [written, kernel] as const)));
  const onTheWay = new Set<Kernel>();
  const stack = [producer.get(node)];
  for (let kernel = stack.pop(); kernel; kernel = stack.pop()) {
    if (onTheWay.has(kernel)) continue;
    onTheWay.add(kernel);
    for (const read of readsOf(kernel)) if (producer.has(read)) stack.push(producer.get(read));
  }
  const kept = new Set<Node>();
  for (const kernel of kernels) {
    if (onTheWay.has(kernel)) continue;
    for (const read of readsOf(kernel)) {
      if (plan.placeOf.get(read)?.kind === "slot" && onTheWay.has(producer.get(read)!)) kept.add(read);
    }
  }
  return [...kept].reduce((sum, n) => sum + nodeBytes(n), 0);
}

/** Which assigned values are computed straight into the variable's memory, and which are copied there at the end. */
function placeAssignments(graph: Graph, units: readonly Unit[], producer: ReadonlyMap<Node, Unit>) {
  const inPlace = new Map<Node, number>();
  const copies: { from: Node; leaf: number }[] = [];
  const outputs = new Set(graph.outputs);
  for (const { leaf, value } of graph.assignments) {
    const variable = graph.leaves[leaf].node;
    const unit = producer.get(value);
    if (sizeOf(value.shape) === 0) continue;
    const readers = units.filter((u) => u !== unit && u.reads.has(variable));
    // A check that fails after the run leaves variables as they were.
    const fits =
      !graph.checks.some((c) => c.output !== undefined && !c.late) &&
      unit !== undefined &&
      !inPlace.has(value) &&
      !outputs.has(value) &&
      writesInPlace(unit, value, variable) &&
      readers.every((r) => !waitsFor(r, unit));
    if (fits) {
      for (const reader of readers) unit.after.add(reader);
      inPlace.set(value, leaf);
    } else copies.push({ from: value, leaf });
  }
  return { inPlace, copies };
}

/** Whether a kernel may write `value` over `variable`: it reads the variable only where it writes. */
function writesInPlace(unit: Unit, value: Node, variable: Node): boolean {
  const { kernel } = unit;
  if (!unit.reads.has(variable)) return true;
  if (kernel.kind === "fused") return false;
  const store = storesOf(kernel).find((s) => s.target === value);
  // A row is stored when other invocations may still read the row's elements.
  if (
    !store ||
    (kernel.kind === "reduce" && kernel.rowStores.includes(store) && sizeOf(variable.shape) !== kernel.rows)
  )
    return false;
  return loadsOf(kernel.exprs).every((l) => l.buffer !== variable || l.index.key === store.index.key);
}

function waitsFor(unit: Unit, other: Unit): boolean {
  const seen = new Set<Unit>();
  const stack = [unit];
  while (stack.length > 0) {
    const at = stack.pop()!;
    if (at === other) return true;
    if (seen.has(at)) continue;
    seen.add(at);
    stack.push(...at.after);
  }
  return false;
}

/**
 * Steps in an order that respects all dependencies.
 *
 * Units are taken level by level, the distance from the start of the computation, so that branches that do the same
 * (two networks, two inputs) advance together and their kernels share dispatches. Within a level, the one that frees
 * most memory comes first; what frees memory and could share with nothing does not wait for its level. Light units are held back until nothing else can run, or until they keep much alive.
 */
function order(units: readonly Unit[], options: PlanOptions, memoryOf: (node: Node) => Node): Unit[][] {
  const waiting = new Map(units.map((u) => [u, u.after.size]));
  const users = new Map<Unit, Unit[]>();
  for (const unit of units) for (const before of unit.after) users.set(before, [...(users.get(before) ?? []), unit]);
  const levelOf = levels(units, users);
  const readsLeft = new Map<Node, number>();
  for (const unit of units) for (const node of unit.reads) readsLeft.set(node, (readsLeft.get(node) ?? 0) + 1);
  const ready = new Set([...units].filter((u) => u.after.size === 0).sort((a, b) => a.rank - b.rank));
  const steps: Unit[][] = [];

  const run = (step: Unit[]): void => {
    steps.push(step);
    for (const unit of step) {
      ready.delete(unit);
      for (const node of unit.reads) readsLeft.set(node, readsLeft.get(node)! - 1);
      for (const user of users.get(unit) ?? []) {
        const left = waiting.get(user)! - 1;
        waiting.set(user, left);
        if (left === 0) ready.add(user);
      }
    }
  };
  const gain = (unit: Unit): number => {
    let bytes = 0;
    for (const node of unit.reads) if (readsLeft.get(node) === 1) bytes += nodeBytes(node);
    for (const node of unit.writes) bytes -= nodeBytes(node);
    return bytes;
  };
  const dueAt = (unit: Unit): number => Math.min(...(users.get(unit) ?? []).map((u) => levelOf.get(u)!));
  const produced = new Set(units.flatMap((u) => u.writes));
  const patience = [...produced].reduce((sum, n) => sum + nodeBytes(n), 0) * WAITING_SHARE;
  /** Bytes that would be free if these units had run. */
  const keptAlive = (waiters: readonly Unit[]): number => {
    const reads = new Map<Node, number>();
    for (const unit of waiters) for (const node of unit.reads) reads.set(node, (reads.get(node) ?? 0) + 1);
    let bytes = 0;
    for (const [node, count] of reads)
      if (produced.has(node) && readsLeft.get(node) === count) bytes += nodeBytes(node);
    return bytes;
  };
  while (ready.size > 0) {
    const heavy = [...ready].filter((u) => !u.light);
    const waiters = [...ready].filter((u) => u.light);
    const gains = new Map(heavy.map((u) => [u, gain(u)]));
    // What shares with nothing need not wait for its level where it frees memory.
    const turn = new Map(
      heavy.map((u) => [u, gains.get(u)! > 0 && sharingClass(u, options) === undefined ? -1 : levelOf.get(u)!]),
    );
    heavy.sort((x, y) => turn.get(x)! - turn.get(y)! || gains.get(y)! - gains.get(x)! || x.rank - y.rank);
    // Waiters are due when what they hold up would otherwise have its turn, or, since that may be what frees memory,
    // before much is taken.
    const takesMuch =
      heavy.length > 0 && sharingClass(heavy[0], options) === undefined && -gains.get(heavy[0])! > patience;
    const due = heavy.length > 0 && waiters.some((u) => takesMuch || dueAt(u) <= turn.get(heavy[0])!);
    if (heavy.length > 0 && !due && keptAlive(waiters) <= patience) {
      const [first] = heavy;
      const key = sharingClass(first, options);
      const alike = key === undefined ? [first] : heavy.filter((u) => sharingClass(u, options) === key);
      run(pack(alike, options.maxBindings, memoryOf)[0]);
      continue;
    }
    for (const step of pack(
      waiters.sort((x, y) => x.rank - y.rank),
      options.maxBindings,
      memoryOf,
    ))
      run(step);
  }
  return steps;
}

/** Units of one class may run in one dispatch. */
function sharingClass({ kernel }: Unit, options: PlanOptions): string | undefined {
  if (kernel.kind === "loop" || kernel.kind === "reduce") return "elements";
  return kernel.kind === "matmul" ? options.sharingKeyOf(kernel) : undefined;
}

/** Longest way from the start to each unit; what needs nothing computed comes just before its first user. */
function levels(units: readonly Unit[], users: ReadonlyMap<Unit, readonly Unit[]>): Map<Unit, number> {
  const level = new Map<Unit, number>();
  const left = new Map(units.map((u) => [u, u.after.size]));
  const stack = units.filter((u) => u.after.size === 0);
  for (const unit of stack) level.set(unit, 0);
  for (let unit = stack.pop(); unit; unit = stack.pop()) {
    for (const user of users.get(unit) ?? []) {
      level.set(user, Math.max(level.get(user) ?? 0, level.get(unit)! + 1));
      left.set(user, left.get(user)! - 1);
      if (left.get(user) === 0) stack.push(user);
    }
  }
  for (const unit of units) {
    const next = users.get(unit);
    if (unit.after.size === 0 && next) level.set(unit, Math.min(...next.map((u) => level.get(u)!)) - 1);
  }
  return level;
}

/** Kernels in groups that share a dispatch: as many as the bindings allow. */
function pack(units: readonly Unit[], maxBindings: number, memoryOf: (node: Node) => Node): Unit[][] {
  const steps: { units: Unit[]; buffers: Set<Node | "parameters"> }[] = [];
  for (const unit of units) {
    const buffers = [
      ...[...unit.reads, ...unit.writes].map(memoryOf),
      ...(unit.parameters ? (["parameters"] as const) : []),
    ];
    const fit = steps.find((s) => new Set([...s.buffers, ...buffers]).size <= maxBindings);
    if (fit) {
      fit.units.push(unit);
      for (const b of buffers) fit.buffers.add(b);
    } else steps.push({ units: [unit], buffers: new Set(buffers) });
  }
  return steps.map((s) => s.units);
}

function placeValues(
  graph: Graph,
  steps: readonly (readonly Unit[])[],
  inPlace: ReadonlyMap<Node, number>,
  copies: readonly { from: Node; leaf: number }[],
) {
  const placeOf = new Map<Node, Place>();
  graph.leaves.forEach((leaf, i) => placeOf.set(leaf.node, { kind: "leaf", leaf: i }));
  for (const [value, leaf] of inPlace) placeOf.set(value, { kind: "leaf", leaf });
  graph.outputs.forEach((node, i) => {
    if (!placeOf.has(node)) placeOf.set(node, { kind: "output", output: i });
  });

  const lives = new Map<Node, Life>();
  const readAt = (node: Node, at: number): void => {
    const life = lives.get(node);
    if (life) life.to = at;
  };
  steps.forEach((step, at) => {
    for (const unit of step) {
      for (const node of [...unit.writes, ...unit.scratch]) {
        if (!placeOf.has(node)) lives.set(node, { bytes: nodeBytes(node), from: at, to: at });
      }
      for (const node of unit.reads) readAt(node, at);
    }
  });
  for (const { from } of copies) readAt(from, steps.length);

  // Largest first: a slot is as large as the first value put in it.
  const slots: { bytes: number; lives: Life[] }[] = [];
  for (const [node, life] of [...lives].sort(([, a], [, b]) => b.bytes - a.bytes)) {
    let slot = slots.findIndex((s) => s.lives.every((l) => l.to < life.from || l.from > life.to));
    if (slot < 0) {
      slot = slots.length;
      slots.push({ bytes: life.bytes, lives: [] });
    }
    slots[slot].lives.push(life);
    placeOf.set(node, { kind: "slot", slot });
  }
  return { placeOf, slots: slots.map((s) => s.bytes), lives: [...lives.values()] };
}
