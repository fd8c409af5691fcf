/**
 * The buffers of a kernel: which node is bound where, read or written, in elements or in vec4s.
 *
 * A buffer is declared as an array of vec4 when every access of it in the kernel is four elements wide. That is known
 * only after printing, so a kernel is printed once to find out and, where a buffer turned out to be mixed, again.
 */
import type { DType } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import { storageType, typeName } from "./types.ts";

interface BoundBuffer {
  readonly node: Node;
  written: boolean;
  vectors: boolean;
  /** What of it is accessed one element at a time: itself, or values within it. */
  readonly scalars: Set<Node>;
}

/** Which node's memory a node shares: a value assigned in place shares that of the variable. */
export type MemoryOf = (node: Node) => Node;

/** Where a value lies within a buffer, where that changes as the kernel runs. */
export interface Spot {
  readonly memory: Node;
  /** What is accessed in vec4s or not: the value, or all of the buffer. */
  readonly unit: Node;
  /** Elements before the value, `per` apart, as an expression: multiples of 4 where it is accessed in vec4s. */
  offset(per: 1 | 4): string;
  /** Elements that may be read, where the index may be outside them: first and last, `per` apart, as expressions. */
  within?(per: 1 | 4): readonly [first: string, last: string];
}

/** Where a node's value is written, and read from the first of them; undefined for all of a buffer. */
export type SpotsOf = (node: Node, mixed: ReadonlySet<Node>) => readonly Spot[] | undefined;

export class BindingTable {
  readonly #buffers = new Map<Node, BoundBuffer>();
  readonly #memoryOf: MemoryOf;
  /** Buffers that are accessed one element at a time somewhere, from an earlier printing. */
  readonly #mixed: ReadonlySet<Node>;
  readonly #spotsOf: SpotsOf;
  #parameters = false;

  constructor(memoryOf: MemoryOf, mixed: ReadonlySet<Node> = new Set(), spotsOf: SpotsOf = () => undefined) {
    this.#memoryOf = memoryOf;
    this.#mixed = mixed;
    this.#spotsOf = spotsOf;
  }

  get usesParameters(): boolean {
    return this.#parameters;
  }

  /** Bound buffers in the order of their bindings. */
  get buffers(): readonly BoundBuffer[] {
    return [...this.#buffers.values()];
  }

  /** What was accessed in elements in buffers that were accessed in vec4s: print again with these as `mixed`. */
  conflicts(): Set<Node> {
    return new Set(this.buffers.flatMap((b) => (b.vectors ? [...b.scalars] : [])));
  }

  #spots(node: Node): readonly Spot[] {
    const found = this.#spotsOf(node, this.#mixed);
    if (found) return found;
    const memory = this.#memoryOf(node);
    return [{ memory, unit: memory, offset: () => "" }];
  }

  #bind(memory: Node): { buffer: BoundBuffer; name: string } {
    let buffer = this.#buffers.get(memory);
    if (!buffer) {
      buffer = { node: memory, written: false, vectors: false, scalars: new Set() };
      this.#buffers.set(memory, buffer);
    }
    return { buffer, name: `buffer${[...this.#buffers.keys()].indexOf(memory)}` };
  }

  loadScalar(node: Node, index: string): string {
    const [spot] = this.#spots(node);
    const { buffer, name } = this.#bind(spot.memory);
    buffer.scalars.add(spot.unit);
    return fromStorage(`${name}[${place(spot, 1, inside(spot, 1, index))}]`, node.dtype, 1);
  }

  /** Four elements from four times `quarter`. */
  loadVector(node: Node, quarter: string): string {
    const [spot] = this.#spots(node);
    const { buffer, name } = this.#bind(spot.memory);
    if (this.#mixed.has(spot.unit)) {
      buffer.scalars.add(spot.unit);
      const parts = [0, 1, 2, 3].map((k) => `${name}[${place(spot, 1, inside(spot, 1, `(${quarter}) * 4 + ${k}`))}]`);
      return fromStorage(`vec4<${storageType(node.dtype)}>(${parts.join(", ")})`, node.dtype, 4);
    }
    buffer.vectors = true;
    return fromStorage(`${name}[${place(spot, 4, inside(spot, 4, quarter))}]`, node.dtype, 4);
  }

  storeScalar(node: Node, index: string, value: string): string {
    return this.#spots(node)
      .map((spot) => {
        const { buffer, name } = this.#bind(spot.memory);
        buffer.scalars.add(spot.unit);
        buffer.written = true;
        return `${name}[${place(spot, 1, index)}] = ${toStorage(value, node.dtype, 1)};`;
      })
      .join(" ");
  }

  storeVector(node: Node, quarter: string, value: string): string | undefined {
    const spots = this.#spots(node);
    if (spots.some(({ unit }) => this.#mixed.has(unit))) return undefined;
    return spots
      .map((spot) => {
        const { buffer, name } = this.#bind(spot.memory);
        buffer.vectors = true;
        buffer.written = true;
        return `${name}[${place(spot, 4, quarter)}] = ${toStorage(value, node.dtype, 4)};`;
      })
      .join(" ");
  }

  parameter(index: string, dtype: DType): string {
    this.#parameters = true;
    const word = `parameters[${index}]`;
    switch (storageType(dtype)) {
      case "f32":
      case "f16":
        return `bitcast<f32>(${word})`;
      case "i32":
        return `bitcast<i32>(${word})`;
      case "u32":
        return dtype === "bool" ? `(${word} != 0u)` : word;
    }
  }

  /** Declarations of all bindings; the parameter buffer comes last. */
  declarations(): string {
    const lines = this.buffers.map((b, i) => {
      const type = typeName(storageType(b.node.dtype), b.vectors ? 4 : 1);
      const access = b.written ? "read_write" : "read";
      // Without a size: wgpu checks sizes of one dispatch against the bindings of another.
      return `@group(0) @binding(${i}) var<storage, ${access}> buffer${i}: array<${type}>;`;
    });
    if (this.#parameters) {
      lines.push(`@group(0) @binding(${this.#buffers.size}) var<storage, read> parameters: array<u32>;`);
    }
    return lines.join("\n");
  }

  get usesHalf(): boolean {
    return this.buffers.some((b) => b.node.dtype === "f16");
  }
}

function place(spot: Spot, per: 1 | 4, index: string): string {
  const offset = spot.offset(per);
  return offset === "" ? index : `${offset} + ${index}`;
}

function inside({ within }: Spot, per: 1 | 4, index: string): string {
  return within ? `clamp(${index}, ${within(per).join(", ")})` : index;
}

function fromStorage(text: string, dtype: DType, lanes: 1 | 4): string {
  if (dtype === "bool") return lanes === 4 ? `(${text} != vec4<u32>(0u))` : `(${text} != 0u)`;
  return dtype === "f16" ? `${typeName("f32", lanes)}(${text})` : text;
}

function toStorage(text: string, dtype: DType, lanes: 1 | 4): string {
  if (dtype === "bool") return `${typeName("u32", lanes)}(${text})`;
  return dtype === "f16" ? `${typeName("f16", lanes)}(${text})` : text;
}
