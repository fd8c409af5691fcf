/** In place of `cpu/debug.ts` in bundles for browsers, where HICO_DEBUG is unset (the field "browser" of package.json). */

/** Says nothing. */
export function reportCpuPlan(): void {}
