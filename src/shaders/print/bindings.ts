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
  scalars: boolean;
}

/** Which node's memory a node shares: a value assigned in place shares that of the variable. */
export type MemoryOf = (node: Node) => Node;

export class BindingTable {
  readonly #buffers = new Map<Node, BoundBuffer>();
  readonly #memoryOf: MemoryOf;
  /** Buffers that are accessed one element at a time somewhere, from an earlier printing. */
  readonly #mixed: ReadonlySet<Node>;
  #parameters = false;

  constructor(memoryOf: MemoryOf, mixed: ReadonlySet<Node> = new Set()) {
    this.#memoryOf = memoryOf;
    this.#mixed = mixed;
  }

  get usesParameters(): boolean {
    return this.#parameters;
  }

  /** Bound buffers in the order of their bindings. */
  get buffers(): readonly BoundBuffer[] {
    return [...this.#buffers.values()];
  }

  /** Buffers declared as vec4s that were also accessed in elements: print again with these as `mixed`. */
  conflicts(): Set<Node> {
    return new Set(this.buffers.filter((b) => b.vectors && b.scalars).map((b) => b.node));
  }

  #bind(node: Node): { buffer: BoundBuffer; name: string } {
    const memory = this.#memoryOf(node);
    let buffer = this.#buffers.get(memory);
    if (!buffer) {
      buffer = { node: memory, written: false, vectors: false, scalars: false };
      this.#buffers.set(memory, buffer);
    }
    return { buffer, name: `buffer${[...this.#buffers.keys()].indexOf(memory)}` };
  }

  loadScalar(node: Node, index: string): string {
    const { buffer, name } = this.#bind(node);
    buffer.scalars = true;
    return fromStorage(`${name}[${index}]`, node.dtype, 1);
  }

  /** Four elements from four times `quarter`. */
  loadVector(node: Node, quarter: string): string {
    const { buffer, name } = this.#bind(node);
    if (this.#mixed.has(buffer.node)) {
      buffer.scalars = true;
      const parts = [0, 1, 2, 3].map((k) => `${name}[(${quarter}) * 4 + ${k}]`);
      return fromStorage(`vec4<${storageType(node.dtype)}>(${parts.join(", ")})`, node.dtype, 4);
    }
    buffer.vectors = true;
    return fromStorage(`${name}[${quarter}]`, node.dtype, 4);
  }

  storeScalar(node: Node, index: string, value: string): string {
    const { buffer, name } = this.#bind(node);
    buffer.scalars = true;
    buffer.written = true;
    return `${name}[${index}] = ${toStorage(value, node.dtype, 1)};`;
  }

  storeVector(node: Node, quarter: string, value: string): string | undefined {
    const { buffer, name } = this.#bind(node);
    if (this.#mixed.has(buffer.node)) return undefined;
    buffer.vectors = true;
    buffer.written = true;
    return `${name}[${quarter}] = ${toStorage(value, node.dtype, 4)};`;
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

function fromStorage(text: string, dtype: DType, lanes: 1 | 4): string {
  if (dtype === "bool") return lanes === 4 ? `(${text} != vec4<u32>(0u))` : `(${text} != 0u)`;
  return dtype === "f16" ? `${typeName("f32", lanes)}(${text})` : text;
}

function toStorage(text: string, dtype: DType, lanes: 1 | 4): string {
  if (dtype === "bool") return `${typeName("u32", lanes)}(${text})`;
  return dtype === "f16" ? `${typeName("f16", lanes)}(${text})` : text;
}
