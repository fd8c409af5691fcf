/**
 * Planted errors: does the suite notice?
 * `npm run mutate [-- --only TEXT] [-- --jobs N] [-- --list] [-- --check] [-- --tally FILE]`.
 *
 * Every mutation of mutations.ts is one edit, applied to a copy of the tree; a test named with it must then fail. The
 * same tests are run once on the tree as it is, and must pass: else everything would count as caught. Draws are on a
 * fixed seed, so that the answer is the same each time. Prints a line a mutation and `N caught, M survived`; exit code 1
 * when any survives. `--check` only looks whether every edit applies and leaves code that loads. `--tally` names a file
 * that gets a line for every mutation that was caught and every test that passes on the tree as it is: what it tells of
 * is not done again, so that a run of hours may be stopped and go on.
 */
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { copyTree, plantIn, Tally, titleOf } from "./mutant.ts";
import type { Mutation } from "./mutation.ts";
import { MUTATIONS } from "./mutations.ts";
import { bundleTests } from "./test-bundle.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    jobs: { type: "string", default: "2" },
    list: { type: "boolean" },
    check: { type: "boolean" },
    tally: { type: "string" },
  },
});

/** Longer than any of the tests takes on a busy machine. What runs into it proves nothing. */
const MILLISECONDS = 600_000;

type Outcome = "passed" | "failed" | "timeout";

/** Runs a module, or tests of it; these must be some: a pattern that names none would pass by doing nothing. */
function node(folder: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const env = { ...process.env, HICO_SEED: "1" };
    const child = spawn(process.execPath, ["--import", "tsx", ...args], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
      env,
      timeout: MILLISECONDS,
    });
    let said = "";
    child.stdout.on("data", (part) => {
      said = (said + part).slice(-2000);
    });
    child.on("close", (code, signal) => {
      const none = args.includes("--test") && /^# pass 0$/m.test(said);
      resolve(signal ? "timeout" : code === 0 && !none ? "passed" : "failed");
    });
  });
}

const fileOf = (test: string): string => `test/${test.split("#")[0]}.test.ts`;
let translations = 0;

/** Runs tests of a copy of the tree one by one, until one does not pass; undefined where the library does not load. */
async function runTests(folder: string, tests: readonly string[]): Promise<Outcome | undefined> {
  const sources = ["src/index.ts", ...new Set(tests.map(fileOf))];
  const entries = sources.map((file) => join(folder, file));
  const translated = await bundleTests(folder, entries, join(folder, ".cache", String(translations++))).catch(() => []);
  if (translated.length === 0 || (await node(folder, [translated[0]!])) !== "passed") return undefined;
  if (values.check) return "passed";
  for (const test of tests) {
    const pattern = test.split("#")[1];
    const named = pattern ? ["--test-name-pattern", pattern] : [];
    const outcome = await node(folder, [
      "--test",
      "--test-reporter=tap",
      ...named,
      translated[sources.indexOf(fileOf(test))]!,
    ]);
    if (outcome !== "passed") return outcome;
  }
  return "passed";
}

async function plant(mutation: Mutation): Promise<string> {
  const folder = copyTree();
  try {
    plantIn(folder, mutation);
    const outcome = await runTests(folder, mutation.tests);
    if (outcome === undefined) return "BROKEN  ";
    if (values.check) return "applies ";
    return outcome === "timeout" ? "TIMEOUT " : outcome === "failed" ? "caught  " : "SURVIVED";
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

const fits = (m: Mutation): boolean =>
  values.only === undefined || `${m.file} ${m.find} ${m.tests.join(" ")}`.includes(values.only);
/** What an earlier run has seen: titles of caught ones, and tests that pass. */
const tally = new Tally(values.tally);
const passing = (test: string): string => `passes: ${test}`;
const asked = MUTATIONS.filter(fits);
const chosen = asked.filter((m) => !tally.has(titleOf(m)));
for (const { file, find } of chosen) {
  if (!readFileSync(join(root, file), "utf8").includes(find))
    throw new Error(`${file} has no "${find}": the list is out of date`);
}
if (values.list) {
  for (const m of chosen) console.log(titleOf(m));
} else {
  if (!values.check) {
    const folder = copyTree();
    const wrong: string[] = [];
    const tests = [...new Set(chosen.flatMap((m) => m.tests))].filter((test) => !tally.has(passing(test)));
    await each(tests, async (test) => {
      if ((await runTests(folder, [test])) === "passed") tally.tell(passing(test));
      else wrong.push(test);
    });
    rmSync(folder, { recursive: true, force: true });
    if (wrong.length > 0) throw new Error(`mutate: without any planted error these do not pass: ${wrong.join(", ")}`);
  }
  const count = new Map<string, number>();
  await each(chosen, async (m) => {
    const outcome = await plant(m);
    count.set(outcome, (count.get(outcome) ?? 0) + 1);
    console.log(`${outcome}  ${titleOf(m)}`);
    if (outcome === "caught  ") tally.tell(titleOf(m));
  });
  const caught = (count.get("caught  ") ?? 0) + (count.get("applies ") ?? 0) + asked.length - chosen.length;
  console.log(`${caught} ${values.check ? "apply" : "caught"}, ${asked.length - caught} survived`);
  process.exitCode = caught === asked.length ? 0 : 1;
}
