/**
 * The schedule: which nodes are computed together in one kernel.
 *
 * Nodes are visited from the inputs on. A pointwise node joins the kernel of an input it reads element by element
 * (the epilogue of a matmul, a step after a reduction, a longer elementwise chain), unless that would make the kernel
 * wait for itself. A reduction over the space of an earlier reduction joins it as a further pass over the rows, which
 * is what makes softmax or layer normalisation one kernel. Afterwards, elementwise kernels with a single cheap or
 * single-use result are dissolved into the kernels that read it (the prologues).
 */
import { elementwise } from "../tensor/elementwise.ts";
import type { Node } from "../tensor/node.ts";
import { isMovement } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { producerOf, resolve } from "./access.ts";
import type { Graph } from "./graph.ts";
import { PARAMETER_LIMIT } from "./graph.ts";
import { Reachability } from "./reachability.ts";
import type { IntExpr } from "./int-expr.ts";
import { flatten, loopVariable, unflatten } from "./int-expr.ts";

export interface GroupSpace {
  /** Shape that is reduced, and the axes reduced away. */
  readonly shape: Shape;
  readonly axes: readonly number[];
  readonly rows: number;
  readonly columns: number;
}

/** The nodes of one kernel. */
export interface Group {
  readonly id: number;
  kind: "loop" | "reduce" | "matmul" | "fused";
  readonly members: Set<Node>;
  /** Elements of the iteration space: results of a loop or matmul, rows × columns of a reduction. */
  size: number;
  space?: GroupSpace;
  /** The matmul or fused node. */
  readonly root?: Node;
}

export interface Schedule {
  /** In no particular order; every node that is stored or folded away is in exactly one, or in `inlined`. */
  readonly groups: readonly Group[];
  readonly groupOf: ReadonlyMap<Node, Group>;
  /** Nodes that are computed wherever they are read. */
  readonly inlined: ReadonlySet<Node>;
  /** Members that others read, and results of the graph: they get memory. */
  readonly stored: ReadonlySet<Node>;
}

export interface ScheduleLimits {
  /** Storage buffers a kernel may bind. */
  readonly maxBindings: number;
}

const MAX_MEMBERS = 256;
/**
 * Nodes that a kernel's expressions may hold, those computed for it where they are read among them: expressions are
 * walked by recursion, which takes a few frames of the stack a node.
 */
const MAX_EXPRESSION = 512;
/** A reduction shares the kernel of the elementwise work it reads only where that leaves enough to do side by side. */
const MIN_ROWS = 64;
const SMALL_SPACE = 4096;

export function schedule(graph: Graph, limits: ScheduleLimits): Schedule {
  return new Scheduler(graph, limits).run();
}

/** One read of a pointwise node: the first non-movement node behind an operand, and the place read. */
interface Read {
  readonly producer: Node;
  /** Flat index in the producer as a function of the reader's flat index "i"; absent where data decides it. */
  readonly flat?: IntExpr;
  readonly guarded: boolean;
}

export function isPointwise(node: Node): boolean {
  switch (node.op.kind) {
    case "elementwise":
    case "cast":
    case "bits":
    case "concat":
    case "gather":
    case "contiguous":
      return true;
    default:
      return false;
  }
}

/** Leaves and constants: known before any kernel runs. */
function isGiven(node: Node): boolean {
  switch (node.op.kind) {
    case "data":
    case "storage":
    case "variable":
    case "full":
    case "iota":
      return true;
    default:
      return false;
  }
}

class Scheduler {
  readonly #graph: Graph;
  readonly #limits: ScheduleLimits;
  readonly #groups = new Set<Group>();
  readonly #groupOf = new Map<Node, Group>();
  /** Non-movement readers of every non-movement node. */
  readonly #readers = new Map<Node, Node[]>();
  readonly #results: ReadonlySet<Node>;
  readonly #reach: Reachability;
  readonly #inlined = new Set<Node>();
  /** Nodes dissolved into each group. */
  readonly #dissolved = new Map<Group, number>();

  constructor(graph: Graph, limits: ScheduleLimits) {
    this.#graph = graph;
    this.#limits = limits;
    this.#results = new Set([...graph.outputs, ...graph.assignments.map((a) => a.value)]);
    this.#reach = new Reachability(graph.nodes.length + this.#results.size);
    for (const node of graph.nodes) {
      if (isMovement(node.op)) continue;
      for (const input of node.inputs) {
        const producer = producerOf(input);
        const list = this.#readers.get(producer);
        if (list) list.push(node);
        else this.#readers.set(producer, [node]);
      }
    }
  }

  run(): Schedule {
    for (const node of this.#graph.nodes) this.#place(node);
    // Results that are bare views, constants or leaves need a kernel that writes them out.
    for (const node of this.#results) {
      if (this.#groupOf.has(node) || sizeOf(node.shape) === 0) continue;
      const group = this.#open("loop", sizeOf(node.shape), node);
      this.#dependOn(group, [producerOf(node)]);
    }
    this.#dissolve();
    this.#recompute();
    const stored = new Set<Node>();
    for (const [node, group] of this.#groupOf) {
      if (this.#inlined.has(node) || !this.#groups.has(group)) continue;
      if (this.#isStored(node, group)) stored.add(node);
    }
    return { groups: [...this.#groups], groupOf: this.#groupOf, inlined: this.#inlined, stored };
  }

  #place(node: Node): void {
    if (isGiven(node) || isMovement(node.op)) return;
    if (node.op.kind === "pick") {
      const group = this.#groupOf.get(node.inputs[0])!;
      group.members.add(node);
      this.#groupOf.set(node, group);
      return;
    }
    if (isPointwise(node)) this.#placePointwise(node);
    else if (node.op.kind === "reduce") this.#placeReduce(node);
    else {
      const group = this.#open(node.op.kind === "matmul" ? "matmul" : "fused", sizeOf(node.shape), node, node);
      this.#dependOn(group, node.inputs.map(producerOf));
    }
  }

  #open(kind: Group["kind"], size: number, node: Node, root?: Node, space?: GroupSpace): Group {
    const group: Group = { id: this.#reach.add(), kind, members: new Set([node]), size, root, space };
    this.#groups.add(group);
    this.#groupOf.set(node, group);
    return group;
  }

  #dependOn(group: Group, producers: readonly Node[]): void {
    for (const producer of producers) {
      const source = this.#groupOf.get(producer);
      if (source && source !== group) this.#reach.addEdge(source.id, group.id);
    }
  }

  // --- joining

  #placePointwise(node: Node): void {
    const reads = readsOf(node);
    const candidates = new Set<Group>();
    if (node.op.kind !== "contiguous") {
      for (const read of reads) {
        const source = this.#groupOf.get(read.producer);
        if (source) candidates.add(source);
      }
    }
    const order = { reduce: 0, matmul: 1, loop: 2, fused: 3 };
    const ranked = [...candidates].sort((a, b) => order[a.kind] - order[b.kind]);
    const home = ranked.find((g) => this.#canJoin(node, reads, g));
    if (!home) {
      const group = this.#open("loop", sizeOf(node.shape), node);
      this.#dependOn(
        group,
        reads.map((r) => r.producer),
      );
    } else {
      home.members.add(node);
      this.#groupOf.set(node, home);
      this.#dependOn(
        home,
        reads.map((r) => r.producer),
      );
    }
    const group = this.#groupOf.get(node)!;
    if (node.op.kind === "contiguous") return;
    for (const other of ranked) {
      if (other !== group && this.#groups.has(other)) this.#tryMerge(group, other);
    }
  }

  #canJoin(node: Node, reads: readonly Read[], group: Group): boolean {
    if (group.kind === "fused" || group.members.size >= MAX_MEMBERS) return false;
    if (!this.#fitsSpace(node, reads, group)) return false;
    const producers = reads.map((r) => r.producer);
    // Waiting for something that itself waits for this kernel would be waiting forever.
    for (const producer of producers) {
      const source = this.#groupOf.get(producer);
      if (source && source !== group && this.#reach.reaches(group.id, source.id)) return false;
    }
    return this.#bindings(group, [node]) <= this.#limits.maxBindings;
  }

  /** Whether every read from within the group is of the element (or row) being computed. */
  #fitsSpace(node: Node, reads: readonly Read[], group: Group): boolean {
    const size = sizeOf(node.shape);
    const rowSize = group.space?.rows;
    const level = size === group.size ? "full" : size === rowSize ? "row" : undefined;
    if (!level) return false;
    for (const read of reads) {
      if (this.#groupOf.get(read.producer) !== group) continue;
      if (!read.flat || read.guarded) return false;
      const producerLevel = levelOf(read.producer, group);
      if (producerLevel === undefined) return false;
      const expected =
        level === producerLevel ? identity(size) : level === "full" ? rowOfFlat(group.space!) : undefined;
      if (read.flat.key !== expected?.key) return false;
    }
    return true;
  }

  #placeReduce(node: Node): void {
    if (node.op.kind !== "reduce") return;
    const input = node.inputs[0];
    const rows = sizeOf(node.shape);
    const size = sizeOf(input.shape);
    const space: GroupSpace = { shape: input.shape, axes: node.op.axes, rows, columns: size / rows };
    const { producer, access } = resolve(input, unflatten(loopVariable("i", size), input.shape));
    const flat = flatten(access.index, producer.shape);
    const source = this.#groupOf.get(producer);
    const trailing = node.op.axes[0] === input.shape.length - node.op.axes.length;
    if (source && access.conditions.length === 0 && source.members.size < MAX_MEMBERS) {
      const joins =
        source.kind === "reduce"
          ? source.size === size &&
            sameSpace(source.space!, space) &&
            flat.key === (levelOf(producer, source) === "full" ? identity(size) : rowOfFlat(space)).key
          : source.kind === "loop" &&
            trailing &&
            source.size === size &&
            flat.key === identity(size).key &&
            (rows >= MIN_ROWS || size <= SMALL_SPACE);
      if (joins && this.#bindings(source, [node]) <= this.#limits.maxBindings) {
        if (source.kind === "loop") {
          source.kind = "reduce";
          source.space = space;
        }
        source.members.add(node);
        this.#groupOf.set(node, source);
        return;
      }
    }
    const group = this.#open("reduce", size, node, undefined, space);
    this.#dependOn(group, [producer]);
    if (source && trailing && source.kind === "reduce") this.#tryMerge(group, source);
  }

  /** Merges `other` into `group` where both run over the same elements and nothing in between separates them. */
  #tryMerge(group: Group, other: Group): void {
    const [host, guest] = group.kind === "loop" && other.kind !== "loop" ? [other, group] : [group, other];
    if (host.kind === "fused" || guest.kind === "fused" || guest.kind === "matmul") return;
    if (guest.kind === "reduce" && !(host.kind === "reduce" && sameSpace(host.space!, guest.space!))) return;
    if (guest.size !== host.size && guest.size !== host.space?.rows) return;
    if (host.members.size + guest.members.size > MAX_MEMBERS) return;
    if (
      [...guest.members].some((m) => m.op.kind === "contiguous") ||
      [...host.members].some((m) => m.op.kind === "contiguous")
    )
      return;
    if (this.#reach.separated(host.id, guest.id)) return;
    // Reads across the two must be element by element.
    for (const [readers, source] of [
      [guest.members, host],
      [host.members, guest],
    ] as const) {
      for (const reader of readers) {
        if (reader.op.kind === "pick") continue;
        for (const read of isPointwise(reader) ? readsOf(reader) : readsOfReduce(reader)) {
          if (this.#groupOf.get(read.producer) !== source) continue;
          const size = sizeOf(reader.op.kind === "reduce" ? reader.inputs[0].shape : reader.shape);
          const producerSize = sizeOf(read.producer.shape);
          if (size < producerSize) return;
          const expected = size === producerSize ? identity(size) : host.space ? rowOfFlat(host.space) : undefined;
          if (!read.flat || read.guarded || read.flat.key !== expected?.key) return;
          if (
            reader.op.kind === "matmul" ||
            (source === host && host.kind === "reduce" && levelOf(read.producer, host) === undefined)
          )
            return;
        }
      }
    }
    // The matmul itself must not need what its epilogue computes.
    if (host.kind === "matmul" && this.#reach.reaches(guest.id, host.id)) return;
    if (this.#bindings(host, [...guest.members]) > this.#limits.maxBindings) return;
    for (const member of guest.members) {
      host.members.add(member);
      this.#groupOf.set(member, host);
    }
    this.#groups.delete(guest);
    this.#reach.merge(host.id, guest.id);
  }

  // --- counting buffers

  /** Storage buffers the group would bind with `extra` members: what it reads from outside and what it must write. */
  #bindings(group: Group, extra: readonly Node[]): number {
    const members = new Set([...group.members, ...extra]);
    const buffers = new Set<Node>();
    const visit = (producer: Node): void => {
      if (members.has(producer) || isConstant(producer)) return;
      if (this.#inlined.has(producer)) {
        for (const input of producer.inputs) visit(producerOf(input));
      } else buffers.add(producer);
    };
    for (const member of members) for (const input of member.inputs) visit(producerOf(input));
    let writes = 0;
    for (const member of members) {
      const outside = (this.#readers.get(member) ?? []).some((r) => !members.has(r));
      if (outside || this.#isResult(member)) writes++;
    }
    // One for the parameter buffer.
    return buffers.size + writes + 1;
  }

  #isResult(node: Node): boolean {
    if (this.#results.has(node)) return true;
    for (const result of this.#results) if (isMovement(result.op) && producerOf(result) === node) return true;
    return false;
  }

  #isStored(node: Node, group: Group): boolean {
    if (this.#results.has(node)) return true;
    if (group.kind === "fused") return node.op.kind === "pick";
    return this.#readerGroups(node).some((g) => g !== group);
  }

  /** Groups that read a node: directly, through inlined nodes, or to write out a view of it. */
  #readerGroups(node: Node, seen = new Set<Node>()): Group[] {
    const groups: Group[] = [];
    for (const reader of this.#readers.get(node) ?? []) {
      if (seen.has(reader)) continue;
      seen.add(reader);
      if (this.#inlined.has(reader)) groups.push(...this.#readerGroups(reader, seen));
      else {
        const group = this.#groupOf.get(reader);
        if (group) groups.push(group);
      }
    }
    for (const result of this.#results) {
      if (isMovement(result.op) && producerOf(result) === node) groups.push(this.#groupOf.get(result)!);
    }
    return groups;
  }

  // --- prologues

  /** Dissolves elementwise kernels into their readers, readers first. */
  #dissolve(): void {
    const position = new Map(this.#graph.nodes.map((n, i) => [n, i]));
    const last = (g: Group) => Math.max(...[...g.members].map((m) => position.get(m) ?? -1));
    const loops = [...this.#groups].filter((g) => g.kind === "loop").sort((a, b) => last(b) - last(a));
    for (const group of loops) {
      if ([...group.members].some((m) => m.op.kind === "contiguous" || this.#results.has(m))) continue;
      const read = [...group.members].filter((m) => (this.#readers.get(m) ?? []).some((r) => !group.members.has(r)));
      if (read.length === 0) continue;
      const places = new Set(read.flatMap((v) => this.#readerGroups(v)));
      if ([...places].some((p) => p.kind === "fused")) continue;
      const cost = [...group.members].reduce((sum, m) => sum + costOf(m), 0);
      const inputs = this.#inputsOf(group);
      const drawn = [...inputs].every((n) => isGiven(n) && sizeOf(n.shape) <= PARAMETER_LIMIT);
      if (!this.#worthRecomputing(read, places.size, cost, drawn ? 0 : inputs.size)) continue;
      const nested = this.#nested(group);
      if ([...places].some((p) => this.#nested(p) + nested > MAX_EXPRESSION)) continue;
      for (const member of group.members) this.#inlined.add(member);
      if ([...places].some((p) => this.#bindings(p, []) > this.#limits.maxBindings)) {
        for (const member of group.members) this.#inlined.delete(member);
        continue;
      }
      this.#groups.delete(group);
      for (const place of places) this.#dissolved.set(place, (this.#dissolved.get(place) ?? 0) + nested);
    }
  }

  /** Nodes computed in a group's kernel. */
  #nested(group: Group): number {
    return group.members.size + (this.#dissolved.get(group) ?? 0);
  }

  /** Whether values cost less computed where they are read than stored and loaded. */
  #worthRecomputing(values: readonly Node[], places: number, cost: number, inputs: number): boolean {
    // Out of nothing: masks by position, constants, and random numbers, which cost about as much as two loads.
    if (inputs === 0 && (cost <= 8 || (cost <= 80 && this.#readOnceEach(values, places)))) return true;
    if (values.some((v) => this.#feedsMatmul(v))) {
      const [value] = values;
      const evaluations = this.#evaluations(value) / sizeOf(value.shape);
      return values.length === 1 && ((evaluations <= 1.05 && places === 1) || (cost * evaluations <= 8 && inputs <= 1));
    }
    if (cost <= 4 && inputs <= 1) return true;
    if (values.length > 1 || places > 1) return false;
    return (cost <= 4 && inputs <= 2) || this.#evaluations(values[0]) / sizeOf(values[0].shape) <= 1.05;
  }

  /** Whether elements are evaluated about once in each of a few kernels. */
  #readOnceEach(values: readonly Node[], places: number): boolean {
    return values.every((v) => !this.#feedsMatmul(v) && this.#evaluations(v) <= sizeOf(v.shape) * Math.min(places, 3));
  }

  /**
   * Takes out of their kernels the cheap elementwise values that only other kernels read, and that follow from what is
   * in memory anyway: reading that instead saves a store and the memory.
   */
  #recompute(): void {
    for (const node of [...this.#graph.nodes].reverse()) {
      const group = this.#groupOf.get(node);
      if (!group || !this.#groups.has(group) || this.#inlined.has(node) || group.members.size === 1) continue;
      if ((node.op.kind !== "elementwise" && node.op.kind !== "cast") || costOf(node) > 2 || this.#isResult(node))
        continue;
      const places = new Set(this.#readerGroups(node));
      if (places.size === 0 || places.has(group) || this.#feedsMatmul(node)) continue;
      if ([...places].some((p) => p.kind === "fused") || this.#evaluations(node) > 4 * sizeOf(node.shape)) continue;
      // Whatever it is made from has to be in memory already.
      const kept = node.inputs.map(producerOf).every((n) => {
        const source = this.#groupOf.get(n);
        if (isConstant(n) || isGiven(n)) return true;
        return source !== undefined && !this.#inlined.has(n) && this.#groups.has(source) && this.#isStored(n, source);
      });
      if (!kept) continue;
      this.#inlined.add(node);
      if ([...places].some((p) => this.#bindings(p, []) > this.#limits.maxBindings)) this.#inlined.delete(node);
      else group.members.delete(node);
    }
  }

  /** Buffers a group reads. */
  #inputsOf(group: Group): Set<Node> {
    const inputs = new Set<Node>();
    for (const member of group.members) {
      for (const input of member.inputs) {
        const producer = producerOf(input);
        if (!group.members.has(producer) && !isConstant(producer)) inputs.add(producer);
      }
    }
    return inputs;
  }

  #feedsMatmul(node: Node): boolean {
    return (this.#readers.get(node) ?? []).some(
      (r) => r.op.kind === "matmul" || (this.#inlined.has(r) && this.#feedsMatmul(r)),
    );
  }

  /** How often an element-wise node would be evaluated in all if it were computed where it is read. */
  #evaluations(node: Node): number {
    let total = 0;
    for (const reader of this.#readers.get(node) ?? []) {
      if (reader.op.kind === "matmul") {
        const [a, b] = reader.inputs;
        const [m, n] = [a.shape[a.shape.length - 2], b.shape[b.shape.length - 1]];
        // Each tile row or column reads the operand anew.
        if (producerOf(a) === node) total += sizeOf(a.shape) * Math.ceil(n / 16);
        if (producerOf(b) === node) total += sizeOf(b.shape) * Math.ceil(m / 16);
      } else if (this.#inlined.has(reader)) total += this.#evaluations(reader);
      else total += sizeOf(reader.op.kind === "reduce" ? reader.inputs[0].shape : reader.shape);
    }
    return total;
  }
}

function costOf(node: Node): number {
  switch (node.op.kind) {
    case "elementwise":
      return elementwise(node.op.name).cost ?? 1;
    case "bits":
      return 60;
    case "gather":
      return 2;
    case "concat":
      return node.inputs.length;
    default:
      return 0;
  }
}

function isConstant(node: Node): boolean {
  return node.op.kind === "full" || node.op.kind === "iota";
}

const IDENTITIES = new Map<number, IntExpr>();
function identity(size: number): IntExpr {
  let expr = IDENTITIES.get(size);
  if (!expr) IDENTITIES.set(size, (expr = loopVariable("i", size)));
  return expr;
}

/** The row of the space that flat element "i" of the reduced shape belongs to. */
function rowOfFlat(space: GroupSpace): IntExpr {
  const index = unflatten(loopVariable("i", sizeOf(space.shape)), space.shape);
  const kept = index.filter((_, axis) => !space.axes.includes(axis));
  return flatten(
    kept,
    space.shape.filter((_, axis) => !space.axes.includes(axis)),
  );
}

function sameSpace(a: GroupSpace, b: GroupSpace): boolean {
  return a.rows === b.rows && a.columns === b.columns && rowOfFlat(a).key === rowOfFlat(b).key;
}

/** Whether a member of a group is one value an element or one a row. */
function levelOf(node: Node, group: Group): "row" | "full" | undefined {
  const size = sizeOf(node.shape);
  if (node.op.kind === "reduce" && group.kind === "reduce") return "row";
  if (size === group.size) return "full";
  return size === group.space?.rows ? "row" : undefined;
}

function readsOf(node: Node): Read[] {
  const size = sizeOf(node.shape);
  const index = unflatten(loopVariable("i", size), node.shape);
  return node.inputs.map((input, k) => {
    if (node.op.kind === "bits" || node.op.kind === "concat" || (node.op.kind === "gather" && k === 0)) {
      return { producer: producerOf(input), guarded: true };
    }
    const { producer, access } = resolve(input, index);
    return { producer, flat: flatten(access.index, producer.shape), guarded: access.conditions.length > 0 };
  });
}

function readsOfReduce(node: Node): Read[] {
  if (node.op.kind !== "reduce") return node.inputs.map((n) => ({ producer: producerOf(n), guarded: true }));
  const { shape } = node.inputs[0];
  const { producer, access } = resolve(node.inputs[0], unflatten(loopVariable("i", sizeOf(shape)), shape));
  return [{ producer, flat: flatten(access.index, producer.shape), guarded: access.conditions.length > 0 }];
}
