/**
 * Tools of other people that the package is tried with: versions of TypeScript, bundlers, runtimes. They are pinned
 * here and installed into the cache folder at first use rather than into this project, where several versions of one
 * tool would fight for its name.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached } from "../environments/cached.ts";

/** Packages by the name they are installed under, with their exact versions. */
export const TOOLS = {
  typescript: { "ts-5.4": "npm:typescript@5.4.5", "ts-7": "npm:typescript@7.0.2" },
  bundlers: { vite: "8.4.0", rollup: "4.68.8", webpack: "5.113.0", "@rollup/plugin-node-resolve": "16.0.3" },
  bun: { bun: "1.4.5" },
} as const;

/** The folder whose `node_modules` has these tools, or why there is none: no registry can be reached. */
export async function toolFolder(name: keyof typeof TOOLS): Promise<{ folder: string } | { unavailable: string }> {
  const wanted = TOOLS[name];
  const versions = Object.values(wanted).map((version) => version.replace(/^.*@/, ""));
  const folder = cached(`tools/${name}-${versions.join("-")}`);
  if (existsSync(folder)) return { folder };
  mkdirSync(dirname(folder), { recursive: true });
  const making = mkdtempSync(join(dirname(folder), "installing-"));
  try {
    const scripts = name === "bun" ? { trustedDependencies: ["bun"] } : {};
    writeFileSync(join(making, "package.json"), JSON.stringify({ private: true, dependencies: wanted, ...scripts }));
    const args = ["install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"];
    if (name !== "bun") args.push("--ignore-scripts");
    execFileSync("npm", args, { cwd: making, stdio: "pipe", timeout: 90_000 });
    renameSync(making, folder);
    return { folder };
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    // Another process that was faster leaves the same.
    if (existsSync(folder)) return { folder };
    const said = String((error as { stderr?: unknown }).stderr ?? error);
    return { unavailable: `${name} cannot be installed: ${said.trim().split("\n")[0]}` };
  }
}
