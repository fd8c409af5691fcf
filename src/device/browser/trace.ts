/** In place of `trace.ts` in bundles for browsers, where HICO_TRACE names no file (the field "browser" of package.json). */

/** There is none. */
export function tracer(): undefined {
  return undefined;
}

/** Runs `work`. */
export function traced<T>(_track: string, _category: string, _name: unknown, _args: unknown, work: () => T): T {
  return work();
}
