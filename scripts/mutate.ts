/**
 * Planted errors: does the suite notice? `npm run mutate [-- --only TEXT] [-- --jobs N] [-- --list] [-- --check]`.
 *
 * Every mutation of mutations.ts is one edit, applied to a copy of the tree; a test named with it must then fail. The
 * same tests are run once on the tree as it is, and must pass: else everything would count as caught. Draws are on a
 * fixed seed, so that the answer is the same each time. Prints a line a mutation and `N caught, M survived`; exit code 1
 * when any survives. `--check` only looks whether every edit applies and leaves code that loads.
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MUTATIONS } from "./mutations.ts";
import type { Mutation } from "./mutations.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    jobs: { type: "string", default: "2" },
    list: { type: "boolean" },
    check: { type: "boolean" },
  },
});

/** Longer than any of the tests takes on a busy machine. What runs into it proves nothing. */
const MILLISECONDS = 600_000;

type Outcome = "passed" | "failed" | "timeout";

function node(folder: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const env = { ...process.env, HICO_SEED: "1" };
    const child = spawn(process.execPath, ["--import", "tsx", ...args], {
      cwd: folder,
      stdio: "ignore",
      env,
      timeout: MILLISECONDS,
    });
    child.on("exit", (code, signal) => resolve(signal ? "timeout" : code === 0 ? "passed" : "failed"));
  });
}

function runTest(folder: string, test: string): Promise<Outcome> {
  const [file, pattern] = test.split("#");
  return node(folder, ["--test", ...(pattern ? ["--test-name-pattern", pattern] : []), `test/${file}.test.ts`]);
}

/** A copy of the tree that shares the installed packages. */
function copyTree(): string {
  const folder = mkdtempSync(join(tmpdir(), "hico-mutant-"));
  for (const name of ["src", "test", "scripts", "bench", "docs", "package.json", "tsconfig.json", "README.md"]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

async function plant(mutation: Mutation): Promise<string> {
  const folder = copyTree();
  try {
    const path = join(folder, mutation.file);
    writeFileSync(
      path,
      readFileSync(path, "utf8").replace(mutation.find, () => mutation.replace),
    );
    if ((await node(folder, ["-e", `await import("./src/index.ts")`])) !== "passed") return "BROKEN  ";
    if (values.check) return "applies ";
    for (const test of mutation.tests) {
      const outcome = await runTest(folder, test);
      if (outcome === "timeout") return "TIMEOUT ";
      if (outcome === "failed") return "caught  ";
    }
    return "SURVIVED";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs `work` on every item, `jobs` at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, worker));
}

const chosen = MUTATIONS.filter(
  (m) => values.only === undefined || `${m.file} ${m.find} ${m.tests.join(" ")}`.includes(values.only),
);
for (const { file, find } of chosen) {
  if (!readFileSync(join(root, file), "utf8").includes(find))
    throw new Error(`${file} has no "${find}": the list is out of date`);
}
if (values.list) {
  for (const m of chosen) console.log(`${m.file}: ${m.find}  →  ${m.replace || "(nothing)"}`);
} else {
  if (!values.check) {
    const folder = copyTree();
    const wrong: string[] = [];
    await each([...new Set(chosen.flatMap((m) => m.tests))], async (test) => {
      if ((await runTest(folder, test)) !== "passed") wrong.push(test);
    });
    rmSync(folder, { recursive: true, force: true });
    if (wrong.length > 0) throw new Error(`mutate: without any planted error these do not pass: ${wrong.join(", ")}`);
  }
  const count = new Map<string, number>();
  await each(chosen, async (m) => {
    const outcome = await plant(m);
    count.set(outcome, (count.get(outcome) ?? 0) + 1);
    console.log(`${outcome}  ${m.file}: ${m.find}  →  ${m.replace || "(nothing)"}`);
  });
  const caught = (count.get("caught  ") ?? 0) + (count.get("applies ") ?? 0);
  console.log(`${caught} ${values.check ? "apply" : "caught"}, ${chosen.length - caught} survived`);
  process.exitCode = caught === chosen.length ? 0 : 1;
}
