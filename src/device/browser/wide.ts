/** In place of `cpu/wide.ts` in bundles for browsers, where no flags of V8 are set (the field "browser" of package.json). */
import type { Width } from "../cpu/wide.ts";

/** Vectors of 128 bits. */
export async function chooseWidth(): Promise<Width> {
  return { wide: false, reason: "a web page sets no flags of V8" };
}
