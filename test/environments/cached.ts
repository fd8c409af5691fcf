/** What the scripts of this project keep in the cache folder for the tests: other runtimes, other versions of Node. */
import { homedir } from "node:os";
import { join } from "node:path";

const cache = process.env.HICO_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "hico-webgpu");

/** The path of something in the cache folder; it need not be there. */
export function cached(path: string): string {
  return join(cache, path);
}
