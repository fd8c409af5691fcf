/**
 * Prologues: elementwise values that are computed where they are read instead of being stored and loaded.
 *
 * Whole elementwise kernels dissolve into their readers where their results are cheap or read once; cheap values within
 * other kernels leave them where what they are made from is in memory anyway.
 */
import type { Node } from "../../tensor/node.ts";
import { producerOf } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { PARAMETER_LIMIT } from "../graph.ts";
import type { Draft } from "./draft.ts";
import type { Group } from "./group.ts";
import { costOf, isConstant, isGiven } from "./reads.ts";

/** Rows or columns of a tile of a product: an operand's element is read once for each tile that needs it. */
const TILE = 16;
/** Evaluations an element up to which a value counts as read once: edges of windows are read twice. */
const ABOUT_ONCE = 1.05;
/** Cost of a value that is cheaper to compute than to load. */
const CHEAP = 4;
/** Cost of a value of no buffer that is computed everywhere, and of one that is computed once in a few kernels. */
const CHEAP_DRAWN = 8;
const MODERATE_DRAWN = 80;

/** Dissolves elementwise kernels into their readers, readers first. */
export function dissolveLoops(draft: Draft): void {
  const position = new Map(draft.graph.nodes.map((n, i) => [n, i]));
  const last = (g: Group) => Math.max(...[...g.members].map((m) => position.get(m) ?? -1));
  const loops = [...draft.groups].filter((g) => g.kind === "loop").sort((a, b) => last(b) - last(a));
  for (const group of loops) {
    if (!mayDissolve(draft, group)) continue;
    const places = placesOf(draft, valuesReadOutside(draft, group));
    for (const member of group.members) draft.inlined.add(member);
    if ([...places].every((p) => draft.canBind(p))) draft.dissolve(group, places);
    else for (const member of group.members) draft.inlined.delete(member);
  }
}

/** Whether a loop's values cost less computed where they are read than stored and loaded. */
export function mayDissolve(draft: Draft, group: Group): boolean {
  if ([...group.members].some((m) => m.op.kind === "contiguous" || draft.results.has(m))) return false;
  const values = valuesReadOutside(draft, group);
  if (values.length === 0) return false;
  const places = placesOf(draft, values);
  if (readByFused(places) || [...places].some((p) => !draft.canHold(p, group))) return false;
  const cost = [...group.members].reduce((sum, m) => sum + costOf(m), 0);
  const inputs = inputsOf(group);
  const drawn = [...inputs].every((n) => isGiven(n) && sizeOf(n.shape) <= PARAMETER_LIMIT);
  return worthRecomputing(draft, { values, places: places.size, cost, inputs: drawn ? 0 : inputs.size });
}

/** What a decision about a loop rests on. */
interface Prologue {
  /** The values that others read. */
  readonly values: readonly Node[];
  /** Kernels that read them. */
  readonly places: number;
  readonly cost: number;
  /** Buffers the values are made from. */
  readonly inputs: number;
}

function worthRecomputing(draft: Draft, prologue: Prologue): boolean {
  const { values, places, cost, inputs } = prologue;
  if (inputs === 0 && drawnAnew(draft, prologue)) return true;
  if (values.some((v) => feedsMatmul(draft, v))) return operandComputed(draft, prologue);
  if (cost <= CHEAP && inputs <= 1) return true;
  if (values.length > 1 || places > 1) return false;
  return (cost <= CHEAP && inputs <= 2) || evaluationsEach(draft, values[0]) <= ABOUT_ONCE;
}

/** Values out of nothing: masks by position, constants, and random numbers, which cost about as much as two loads. */
function drawnAnew(draft: Draft, { values, places, cost }: Prologue): boolean {
  return cost <= CHEAP_DRAWN || (cost <= MODERATE_DRAWN && readOnceEach(draft, values, places));
}

/** An operand of a product is read once a tile: computed there if that is once, or if it is cheap however often. */
function operandComputed(draft: Draft, { values, places, cost, inputs }: Prologue): boolean {
  if (values.length !== 1) return false;
  const evaluations = evaluationsEach(draft, values[0]);
  return (evaluations <= ABOUT_ONCE && places === 1) || (cost * evaluations <= 8 && inputs <= 1);
}

/** Whether elements are evaluated about once in each of a few kernels. */
function readOnceEach(draft: Draft, values: readonly Node[], places: number): boolean {
  return values.every(
    (v) => !feedsMatmul(draft, v) && evaluationsOf(draft, v) <= sizeOf(v.shape) * Math.min(places, 3),
  );
}

/**
 * Takes out of their kernels the cheap elementwise values that only other kernels read, and that follow from what is
 * in memory anyway: reading that instead saves a store and the memory.
 */
export function recomputeCheap(draft: Draft): void {
  for (const node of [...draft.graph.nodes].reverse()) {
    const group = draft.groupOf.get(node);
    if (!group || !mayLeave(draft, node, group)) continue;
    const places = placesOf(draft, [node]);
    draft.inlined.add(node);
    if ([...places].every((p) => draft.canBind(p))) group.members.delete(node);
    else draft.inlined.delete(node);
  }
}

function mayLeave(draft: Draft, node: Node, group: Group): boolean {
  if (!draft.groups.has(group) || draft.inlined.has(node) || group.members.size === 1) return false;
  if ((node.op.kind !== "elementwise" && node.op.kind !== "cast") || costOf(node) > 2 || draft.isResult(node))
    return false;
  const places = placesOf(draft, [node]);
  if (places.size === 0 || places.has(group) || feedsMatmul(draft, node)) return false;
  if (readByFused(places) || evaluationsOf(draft, node) > 4 * sizeOf(node.shape)) return false;
  return node.inputs.map(producerOf).every((n) => isInMemory(draft, n));
}

/** Whether a value is in memory whatever is decided about its readers. */
function isInMemory(draft: Draft, node: Node): boolean {
  if (isGiven(node)) return true;
  const source = draft.groupOf.get(node);
  return source !== undefined && !draft.inlined.has(node) && draft.groups.has(source) && draft.isStored(node, source);
}

function valuesReadOutside(draft: Draft, group: Group): Node[] {
  return [...group.members].filter((m) => draft.readersOf(m).some((r) => !group.members.has(r)));
}

function placesOf(draft: Draft, values: readonly Node[]): Set<Group> {
  return new Set(values.flatMap((v) => draft.readerGroups(v)));
}

/** Fused kernels take whole buffers. */
function readByFused(places: ReadonlySet<Group>): boolean {
  return [...places].some((p) => p.kind === "fused");
}

/** Buffers a group reads. */
function inputsOf(group: Group): Set<Node> {
  const inputs = new Set<Node>();
  for (const member of group.members) {
    for (const input of member.inputs) {
      const producer = producerOf(input);
      if (!group.members.has(producer) && !isConstant(producer)) inputs.add(producer);
    }
  }
  return inputs;
}

function feedsMatmul(draft: Draft, node: Node): boolean {
  return draft.readersOf(node).some((r) => r.op.kind === "matmul" || (draft.inlined.has(r) && feedsMatmul(draft, r)));
}

/** How often each element of a node would be evaluated if it were computed where it is read. */
function evaluationsEach(draft: Draft, node: Node): number {
  return evaluationsOf(draft, node) / sizeOf(node.shape);
}

/** How often an element-wise node would be evaluated in all if it were computed where it is read. */
function evaluationsOf(draft: Draft, node: Node): number {
  let total = 0;
  for (const reader of draft.readersOf(node)) {
    if (reader.op.kind === "matmul") {
      const [a, b] = reader.inputs;
      const [m, n] = [a.shape[a.shape.length - 2], b.shape[b.shape.length - 1]];
      // Each tile row or column reads the operand anew.
      if (producerOf(a) === node) total += sizeOf(a.shape) * Math.ceil(n / TILE);
      if (producerOf(b) === node) total += sizeOf(b.shape) * Math.ceil(m / TILE);
    } else if (draft.inlined.has(reader)) total += evaluationsOf(draft, reader);
    else total += sizeOf(reader.op.kind === "reduce" ? reader.inputs[0].shape : reader.shape);
  }
  return total;
}
