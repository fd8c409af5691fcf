/**
 * Which JavaScript runtime this is, and how to reach what only some of them have.
 *
 * Files under `src/device` load in Node, Deno and browsers alike, so nothing that only one of them has may be imported
 * at the top of a module: it is asked for here, at the moment it is needed.
 */

interface ProcessLike {
  readonly versions?: { readonly node?: string; readonly electron?: string };
  readonly env?: Record<string, string | undefined>;
}

const scope = globalThis as { readonly process?: ProcessLike; readonly Deno?: unknown };

/** True under Node and what stands in for it (Bun): native addons load, and the event loop has `setImmediate`. */
export const isNode: boolean =
  scope.process?.versions?.node !== undefined &&
  scope.Deno === undefined &&
  (scope.process.versions as { electron?: string }).electron === undefined;

/** True under Deno. */
export const isDeno: boolean = scope.Deno !== undefined;

/** True where there is a process with files and environment variables: Node or Deno. */
export const hasProcess: boolean = isNode || isDeno;

/**
 * The environment variable `name`, or undefined where it is unset, empty, or there are none (browsers). Under Deno one
 * that may not be read counts as unset: no program needs the permission but to be told something by a variable.
 */
export function environmentVariable(name: string): string | undefined {
  if (!hasProcess) return undefined;
  try {
    const value = scope.process?.env?.[name];
    return value === "" ? undefined : value;
  } catch (error) {
    if (isDeno && /NotCapable|PermissionDenied/.test((error as Error).name)) return undefined;
    throw error;
  }
}

/**
 * Imports a module that exists only under Node or Deno. The specifier is not a literal, so a bundler that builds for
 * the browser neither follows nor rejects it.
 */
export function importLate<Module>(specifier: string): Promise<Module> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ specifier) as Promise<Module>;
}

/**
 * The folder for what is kept from run to run: `HICO_CACHE`, else `$XDG_CACHE_HOME/hico-webgpu`, else
 * `~/.cache/hico-webgpu`. Undefined where the program may not know the home folder: under Deno with neither
 * `--allow-sys=homedir` nor `--allow-env=HOME`.
 */
export async function cacheFolder(): Promise<string | undefined> {
  const given = environmentVariable("HICO_CACHE");
  if (given !== undefined) return given;
  const [path, os] = await Promise.all([
    importLate<typeof import("node:path")>("node:path"),
    importLate<typeof import("node:os")>("node:os"),
  ]);
  const caches = environmentVariable("XDG_CACHE_HOME");
  if (caches !== undefined) return path.join(caches, "hico-webgpu");
  let home: string | undefined;
  try {
    home = os.homedir();
  } catch {
    home = environmentVariable("HOME");
  }
  return home && path.join(home, ".cache", "hico-webgpu");
}

/** HICO_DEBUG as a number: 0 (quiet) to 4 (WGSL of every kernel). */
export function debugLevel(): number {
  const level = Number(environmentVariable("HICO_DEBUG") ?? 0);
  return Number.isFinite(level) ? level : 0;
}
