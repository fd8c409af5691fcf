/**
 * Runs the tests: `npm test` all of them, `npm run test:fast` those that need no browser, no software GPU and no
 * process of their own, for daily work. Words name parts of paths: `npm test -- hico/run io`. Prints node:test's report
 * and, at the end, the ten files that took longest.
 *
 * What a test needs is read from its text and from the helpers it imports, so that each finds its place by itself.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleCommand, bundleTests } from "./test-bundle.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Words that only slow tests have: adapters, browsers, child processes, whole runs of training, recordings. */
const SLOW =
  /openTestGpu|openTestDevice|testAdapter|swiftshader|lavapipe|node:child_process|run-hico|puppeteer|runInDeno|pretrain\(|run-helpers|HICO_DATA|sharedData|cpu-training/;

/** The files a test is made of: itself and the helpers below `test` that it imports. */
function partsOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, target] of readFileSync(file, "utf8").matchAll(/from "(\.[^"]+)"/g)) {
    const path = resolve(dirname(file), target);
    if (path.startsWith(join(root, "test")) && existsSync(path)) partsOf(path, seen);
  }
  return seen;
}

/**
 * Tests that are long by nature: graphs of 100,000 nodes, hundreds of drawn programs, files that are changed at random,
 * functions on dense grids, whole generated data sets, the reference of all exported names, other engines, threads that
 * load batches, kernels held to hundreds of decompositions in float64, training of the whole model.
 */
const LONG = new RegExp(
  "large-graphs|programs/programs|autograd/checkpoint|io/fuzz|docs/api|test/bench/|print/math|sources/prepare|" +
    "synthetic/generator|batches/loader|wasm/(scan|attention|info-nce)/|hico/model/(model|queue)",
);

/** Whether a test's own text asks for what is slow: helpers may offer it to others. */
function isSlow(file: string): boolean {
  if (LONG.test(file) || SLOW.test(readFileSync(file, "utf8"))) return true;
  return [...partsOf(file)].some((part) => /test\/environments\/|lowering-runner|run-hico/.test(part));
}

const fast = process.argv.includes("--fast");
/** Words of paths: the files of a part of the project. */
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const all = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((f) => f.endsWith(".test.ts") && (words.length === 0 || words.some((word) => join("test", f).includes(word))))
  .map((f) => join(root, "test", f))
  .sort();
const files = fast ? all.filter((file) => !isSlow(file)) : all;
if (fast) console.log(`${files.length} of ${all.length} test files; npm test runs the others too`);

if (files.length === 0) throw new Error(`no test file has ${words.join(" or ")} in its path`);
// A folder of its own, so that two runs do not take each other's.
const bundles = join(root, `.cache/tests/${process.pid}`);
const run = await bundleTests(root, files, bundles);
const commands = files.some((file) => [...partsOf(file)].some((part) => part.endsWith("run-hico.ts")));
const command = commands ? await bundleCommand(root, join(bundles, "command")) : undefined;
const reporter = join(root, "scripts/slowest-reporter.mjs");
const args = [
  "--enable-source-maps",
  // Threads and programs that a test starts may be sources.
  ...(fast ? [] : ["--import", "tsx"]),
  "--test",
  "--test-concurrency=2",
  `--test-reporter=${process.stdout.isTTY ? "spec" : "tap"}`,
  "--test-reporter-destination=stdout",
];
const child = spawn(
  process.execPath,
  [...args, `--test-reporter=${reporter}`, "--test-reporter-destination=stdout", ...run.map((f) => relative(root, f))],
  { cwd: root, stdio: "inherit", env: { ...process.env, ...(command && { HICO_TEST_COMMAND: command }) } },
);
child.on("exit", (code) => {
  rmSync(bundles, { recursive: true, force: true });
  process.exitCode = code ?? 1;
});
