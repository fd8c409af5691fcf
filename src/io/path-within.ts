/** Where a path lies in a folder. */
import { isAbsolute, relative, resolve } from "node:path";

/** A path from a folder on; undefined for the folder itself, and for what lies outside of it. */
export function pathWithin(folder: string, path: string): string | undefined {
  const within = relative(resolve(folder), resolve(path));
  return within === "" || within.startsWith("..") || isAbsolute(within) ? undefined : within;
}
