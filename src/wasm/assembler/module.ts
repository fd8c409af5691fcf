/**
 * A WebAssembly module: functions on one imported, shared memory (`env.memory`), written out as bytes.
 */
import type { Callee, Signature } from "./function.ts";
import { FunctionBuilder, typeCode } from "./function.ts";
import { unsignedLeb } from "./instructions.ts";

/** Pages of 64 KiB that the memory may grow to: all that 32-bit addresses reach. */
export const MAX_PAGES = 65536;

/** Any bytes as a text of their own: what is equal is found at once among texts. */
const latin1 = new TextDecoder("latin1");

export class ModuleBuilder {
  readonly #functions: { readonly signature: Signature; readonly body: Uint8Array }[] = [];
  readonly #exports = new Map<string, number>();
  /** Exported functions by their code. */
  readonly #known = new Map<string, number>();

  /**
   * Adds a function; `write` writes its body. With a name it is exported, and one of equal code that is has both names.
   * Functions may call those added before, and themselves.
   */
  function(signature: Signature, write: (f: FunctionBuilder) => void, exported?: string): Callee {
    const builder = new FunctionBuilder(signature);
    write(builder);
    const body = builder.encode();
    const add = (): number => this.#functions.push({ signature, body }) - 1;
    if (!exported) return { index: add(), signature };
    const key = latin1.decode(body);
    const index = this.#known.get(key) ?? add();
    this.#known.set(key, index);
    this.#exports.set(exported, index);
    return { index, signature };
  }

  /** @param shared whether the memory is a shared one (threads) */
  encode(shared: boolean): Uint8Array & BufferSource {
    const types: string[] = [];
    const typeBytes: number[][] = [];
    const typeOf = this.#functions.map(({ signature }) => {
      const key = `${signature.parameters.join()}→${signature.result ?? ""}`;
      let index = types.indexOf(key);
      if (index < 0) {
        index = types.push(key) - 1;
        const results = signature.result ? [1, typeCode(signature.result)] : [0];
        typeBytes.push([
          0x60,
          ...unsignedLeb(signature.parameters.length),
          ...signature.parameters.map(typeCode),
          ...results,
        ]);
      }
      return index;
    });
    const limits = [shared ? 0x03 : 0x01, ...unsignedLeb(1), ...unsignedLeb(MAX_PAGES)];
    const memory = [...text("env"), ...text("memory"), 0x02, ...limits];
    const exported = [...this.#exports].map(([name, index]) => [...text(name), 0x00, ...unsignedLeb(index)]);
    const sections = [
      section(1, typeBytes),
      section(2, [memory]),
      section(3, typeOf.map(unsignedLeb)),
      section(7, exported),
      section(
        10,
        this.#functions.map(({ body }) => body),
      ),
    ];
    const parts = [[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], ...sections.flat()];
    const bytes = new Uint8Array(lengthOf(parts));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

function lengthOf(parts: readonly ArrayLike<number>[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...unsignedLeb(bytes.length), ...bytes];
}

/** In pieces. */
function section(id: number, entries: readonly ArrayLike<number>[]): readonly ArrayLike<number>[] {
  const parts = [unsignedLeb(entries.length), ...entries];
  return [[id, ...unsignedLeb(lengthOf(parts))], ...parts];
}
