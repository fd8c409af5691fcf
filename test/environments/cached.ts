/**
 * What is kept in the cache folder for the tests: other runtimes, other versions of Node, a browser, bundlers. It is the
 * folder of the library's own drivers.
 */
import { join } from "node:path";
import { cacheFolder } from "../../src/device/environment.ts";

const cache = await cacheFolder();

/** The path of something in the cache folder; it need not be there. */
export function cached(path: string): string {
  return join(cache!, path);
}
