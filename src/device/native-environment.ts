/**
 * The environment that native libraries see. Under Node's main thread and Deno it is `process.env`; a worker thread of
 * Node has a copy, so the main thread is asked to set it (by the inspector, which needs nothing of the program there);
 * and Bun's `process.env` is JavaScript's alone.
 */
import { importLate, isNode } from "./environment.ts";

type Variables = Readonly<Record<string, string | undefined>>;

interface BunForeign {
  dlopen(
    library: string,
    symbols: object,
  ): {
    symbols: {
      setenv(name: Uint8Array, value: Uint8Array, overwrite: number): number;
      unsetenv(name: Uint8Array): number;
    };
  };
}

const isBun = (globalThis as { readonly Bun?: unknown }).Bun !== undefined;

/** Sets variables for JavaScript and for native libraries; undefined removes one. */
export async function setNativeEnvironment(variables: Variables): Promise<void> {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  if (isNode && !isBun && (await isWorkerThread())) return setOnMainThread(variables);
  if (!isBun || process.platform !== "linux") return;
  const { dlopen } = await importLate<BunForeign>("bun:ffi");
  const { symbols } = dlopen("libc.so.6", {
    setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" },
    unsetenv: { args: ["ptr"], returns: "i32" },
  });
  const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) symbols.unsetenv(text(name));
    else symbols.setenv(text(name), text(value), 1);
  }
}

/** Milliseconds that the main thread is waited for: one that sleeps until its worker is done never answers. */
const PATIENCE = 5000;

/** Where the main thread cannot be asked, the driver is not found, and that error says what helps. */
async function setOnMainThread(variables: Variables): Promise<void> {
  const statement = ([name, value]: [string, string | undefined]): string => {
    const place = `process.env[${JSON.stringify(name)}]`;
    return value === undefined ? `delete ${place}` : `${place} = ${JSON.stringify(value)}`;
  };
  const expression = Object.entries(variables).map(statement).join("; ");
  try {
    const { Session } = await importLate<typeof import("node:inspector")>("node:inspector");
    const session = new Session();
    session.connectToMainThread();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PATIENCE);
      session.post("Runtime.evaluate", { expression }, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    session.disconnect();
  } catch {
    // A Node without inspector, or one that forbids it.
  }
}

/** True in a worker thread of Node, whose environment may be a copy that native libraries do not see. */
export async function isWorkerThread(): Promise<boolean> {
  return !(await importLate<typeof import("node:worker_threads")>("node:worker_threads")).isMainThread;
}
