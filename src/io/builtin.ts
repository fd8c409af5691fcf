/**
 * Node's own modules, asked for when they are needed: readers and writers of bytes load in browsers too, where there
 * are none, and no bundler sees an import to follow. Bun and Deno answer as Node does.
 */
interface Host {
  readonly getBuiltinModule?: (name: string) => unknown;
}

/** Node's module of this name, or undefined where the runtime has none. */
export function builtinOrNone<Module>(name: string): Module | undefined {
  const host = (globalThis as { readonly process?: Host }).process;
  return host?.getBuiltinModule?.(name) as Module | undefined;
}

/** This machine's name; undefined where the program may not know it (Deno without `--allow-sys=hostname`). */
export function machineName(): string | undefined {
  try {
    return builtinOrNone<typeof import("node:os")>("node:os")?.hostname();
  } catch {
    return undefined;
  }
}

/** Node's module of this name. @throws Error that says what to hand in instead, in browsers */
export function builtin<Module>(name: string, path: string): Module {
  const found = builtinOrNone<Module>(name);
  if (found !== undefined) return found;
  throw new Error(
    `"${path}": there are no files here; read from bytes, a Blob, a Response or a stream, and write with encode… ` +
      "instead of write… (under Node, files need version 20.16 or later)",
  );
}
