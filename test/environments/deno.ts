/** Deno, from its npm package, to run a module on wgpu instead of Dawn. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cached } from "./cached.ts";

/** Where scripts/runtime.sh deno puts it, or a Deno that was installed into the project by hand. */
const candidates = [
  cached("deno/node_modules/.bin/deno"),
  fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url)),
];
/** Deno's program; see {@link denoUnavailable}. */
export const denoExecutable = candidates.find((file) => existsSync(file)) ?? candidates[0];
const runner = fileURLToPath(new URL("./deno-run.ts", import.meta.url));

/** Why Deno cannot run here, or undefined. */
export function denoUnavailable(): string | undefined {
  return existsSync(denoExecutable) ? undefined : "there is no Deno; scripts/runtime.sh deno gets it";
}

/**
 * Calls the export `name` of the module at `file` with `argument` under Deno. Argument and result are plain data.
 * @throws Error with what Deno printed when the call fails.
 */
export function runInDeno<Result>(
  file: URL,
  name: string,
  argument?: unknown,
  environment: Record<string, string> = {},
): Promise<Result> {
  const args = ["run", "-A", "--no-check", "--unstable-webgpu", runner, file.href, name];
  if (argument !== undefined) args.push(JSON.stringify(argument));
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...environment }, timeout: 300_000, maxBuffer: 2 ** 26 };
    execFile(denoExecutable, args, options, (error, stdout, stderr) => {
      const line = stdout.split("\n").findLast((text) => text.startsWith("RESULT "));
      if (error === null && line !== undefined) resolve(JSON.parse(line.slice("RESULT ".length)) as Result);
      else {
        const reason = error?.message ?? "no result";
        reject(new Error(`in Deno, ${name} of ${file.pathname}: ${reason}\n${stdout}${stderr}`));
      }
    });
  });
}
