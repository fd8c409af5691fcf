/**
 * A schedule in the making: which groups there are, what each waits for, and how many buffers it would bind. The rules
 * beside this file decide; the draft keeps their decisions consistent.
 */
import type { Node } from "../../tensor/node.ts";
import { isMovement, producerOf } from "../../tensor/node.ts";
import type { Graph } from "../graph.ts";
import { getOrCompute } from "../memo.ts";
import { Reachability } from "../reachability.ts";
import type { Group, GroupSpace } from "./group.ts";
import { isConstant } from "./reads.ts";

export interface ScheduleLimits {
  /** Storage buffers a kernel may bind. */
  readonly maxBindings: number;
}

/** Nodes of a kernel: beyond that, printing and compiling it takes longer than it saves. */
const MAX_MEMBERS = 256;
/**
 * Nodes that a kernel's expressions may hold, those computed for it where they are read among them: expressions are
 * walked by recursion, which takes a few frames of the stack a node.
 */
const MAX_EXPRESSION = 512;

export class Draft {
  readonly graph: Graph;
  readonly groups = new Set<Group>();
  readonly groupOf = new Map<Node, Group>();
  /** Nodes that are computed wherever they are read. */
  readonly inlined = new Set<Node>();
  readonly results: ReadonlySet<Node>;
  /** Results that are views, by what they are views of. */
  readonly #views = new Map<Node, Node[]>();
  readonly #limits: ScheduleLimits;
  /** Non-movement readers of every non-movement node. */
  readonly #readers = new Map<Node, Node[]>();
  readonly #reach: Reachability;
  /** Nodes dissolved into each group. */
  readonly #dissolved = new Map<Group, number>();

  constructor(graph: Graph, limits: ScheduleLimits) {
    this.graph = graph;
    this.#limits = limits;
    this.results = new Set([...graph.outputs, ...graph.assignments.map((a) => a.value)]);
    for (const result of this.results)
      if (isMovement(result.op)) getOrCompute(this.#views, producerOf(result), () => []).push(result);
    this.#reach = new Reachability(graph.nodes.length + this.results.size);
    for (const node of graph.nodes) {
      if (isMovement(node.op)) continue;
      for (const input of node.inputs) getOrCompute(this.#readers, producerOf(input), () => []).push(node);
    }
  }

  // --- groups

  /** A further group with one member. */
  open(kind: Group["kind"], size: number, node: Node, more: { root?: Node; space?: GroupSpace } = {}): Group {
    const group: Group = { id: this.#reach.add(), kind, members: new Set([node]), size, ...more };
    this.groups.add(group);
    this.groupOf.set(node, group);
    return group;
  }

  join(node: Node, group: Group): void {
    group.members.add(node);
    this.groupOf.set(node, group);
  }

  /** A node is computed in another group. One that has lost its last is no more: what waited for it waits for that. */
  move(node: Node, host: Group): void {
    const from = this.groupOf.get(node)!;
    from.members.delete(node);
    this.join(node, host);
    if (from.members.size > 0) return;
    this.groups.delete(from);
    this.#reach.merge(host.id, from.id);
  }

  /** `guest` becomes part of `host`. */
  merge(host: Group, guest: Group): void {
    for (const member of guest.members) this.move(member, host);
  }

  /** A group ends: its members are computed in these others, which read them. */
  dissolve(group: Group, places: Iterable<Group>): void {
    this.groups.delete(group);
    for (const place of places) {
      this.#dissolved.set(place, (this.#dissolved.get(place) ?? 0) + this.#nested(group));
    }
  }

  // --- order

  dependOn(group: Group, producers: readonly Node[]): void {
    for (const producer of producers) {
      const source = this.groupOf.get(producer);
      if (source && source !== group) this.#reach.addEdge(source.id, group.id);
    }
  }

  /** Whether `later` waits for `earlier`. */
  waitsFor(later: Group, earlier: Group): boolean {
    return this.#reach.reaches(earlier.id, later.id);
  }

  /** Whether a third kernel has to run between two. */
  separated(a: Group, b: Group): boolean {
    return this.#reach.separated(a.id, b.id);
  }

  // --- readers

  readersOf(node: Node): readonly Node[] {
    return this.#readers.get(node) ?? [];
  }

  /** Groups that read a node: directly, through inlined nodes, or to write out a view of it. */
  readerGroups(node: Node, seen = new Set<Node>()): Group[] {
    const groups: Group[] = [];
    for (const reader of this.readersOf(node)) {
      if (seen.has(reader)) continue;
      seen.add(reader);
      if (this.inlined.has(reader)) groups.push(...this.readerGroups(reader, seen));
      else {
        const group = this.groupOf.get(reader);
        if (group) groups.push(group);
      }
    }
    for (const view of this.#views.get(node) ?? []) groups.push(this.groupOf.get(view)!);
    return groups;
  }

  /** Whether a node is a result of the graph, or what one is a view of. */
  isResult(node: Node): boolean {
    return this.results.has(node) || this.#views.has(node);
  }

  /** Whether a member of a group needs memory. */
  isStored(node: Node, group: Group): boolean {
    if (this.results.has(node)) return true;
    if (group.kind === "fused") return node.op.kind === "pick";
    return this.readerGroups(node).some((g) => g !== group);
  }

  // --- limits

  /** Whether a group may have that many more members. */
  hasRoom(group: Group, extra: number): boolean {
    return group.members.size + extra <= MAX_MEMBERS;
  }

  /** Whether the expressions of a group may hold those of another one besides. */
  canHold(place: Group, group: Group): boolean {
    return this.#nested(place) + this.#nested(group) <= MAX_EXPRESSION;
  }

  /** Nodes computed in a group's kernel. */
  #nested(group: Group): number {
    return group.members.size + (this.#dissolved.get(group) ?? 0);
  }

  /** Whether a group with further members binds no more buffers than a kernel may. */
  canBind(group: Group, extra: readonly Node[] = []): boolean {
    const { maxBindings } = this.#limits;
    // Without what is computed where it is read, a group binds no more than its members and what they name.
    const most = [...group.members, ...extra].reduce((sum, m) => sum + m.inputs.length + 1, 1);
    return (this.inlined.size === 0 && most <= maxBindings) || this.#bindings(group, extra) <= maxBindings;
  }

  /** Storage buffers the group would bind with `extra` members: what it reads from outside and what it must write. */
  #bindings(group: Group, extra: readonly Node[]): number {
    const members = new Set([...group.members, ...extra]);
    const buffers = new Set<Node>();
    const visit = (producer: Node): void => {
      if (members.has(producer) || isConstant(producer)) return;
      if (this.inlined.has(producer)) {
        for (const input of producer.inputs) visit(producerOf(input));
      } else buffers.add(producer);
    };
    for (const member of members) for (const input of member.inputs) visit(producerOf(input));
    let writes = 0;
    for (const member of members) {
      const outside = this.readersOf(member).some((r) => !members.has(r));
      if (outside || this.isResult(member)) writes++;
    }
    // One for the parameter buffer.
    return buffers.size + writes + 1;
  }
}
