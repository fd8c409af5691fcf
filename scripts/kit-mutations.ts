/**
 * Planted errors: does the public kit notice, by itself?
 * `npm run mutate:kit [-- --only TEXT] [-- --device D] [-- --tally FILE] [-- --list] [-- --seconds N] [-- --node PATH]`.
 *
 * Every mutation of mutations.ts that concerns a value, a gradient or a refusal is applied to a copy of the tree; the
 * program of scripts/kit, which knows the engine by its public entries only, then runs on that copy until it finds
 * something. On the tree as it is it must find nothing. Errors in shaders and in what runs them are looked for on
 * `webgpu` (`HICO_ADAPTER`, default swiftshader), all others on `cpu`. Prints a line a mutation with the check that
 * found it, and `N caught, M survived`; exit code 1 when any survives. `--tally` is as in `npm run mutate`. Caught is
 * only what a check of the kit says: a program that crashes outside of one, one that ends after `--seconds` (120) of the
 * processor (TOO LONG), one that is then still in the same check (ENDLESS) and one that waits for ever (ASLEEP) are told
 * as such and counted as survivors. `--node` is what runs the program: pairs of vectors and products of six rows at a
 * time are there on a newer Node alone (`scripts/node-versions.sh` gets one).
 */
import { context } from "esbuild";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { firstFor, outside } from "./kit/plan.ts";
import { copyTree, plantIn, Tally, titleOf } from "./mutant.ts";
import type { Mutation } from "./mutation.ts";
import { MUTATIONS } from "./mutations.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    device: { type: "string" },
    tally: { type: "string" },
    list: { type: "boolean" },
    seconds: { type: "string", default: "120" },
    node: { type: "string", default: process.execPath },
  },
});

/** Whether an edit is seen on WebGPU alone: shaders and their host. */
const isShader = ({ file }: Mutation): boolean => /^src\/(shaders|device\/webgpu)\/|row-local/.test(file);

const folder = copyTree();
const bundle = join(folder, ".cache/kit.js");
const built = await context({
  ...{ absWorkingDir: folder, entryPoints: [join(folder, "scripts/kit/main.ts")], outfile: bundle },
  ...{ bundle: true, format: "esm", platform: "node", target: "node20", packages: "external", logLevel: "silent" },
});

/** What the system says of a process: seconds of the processor it has taken, and whether all of its threads wait. */
interface Look {
  readonly seconds: number;
  readonly waits: boolean;
}

/** undefined where the system does not say, or the process has ended. */
function lookAt(pid: number): Look | undefined {
  try {
    // After the name, which may hold anything: the state, and as 12th and 13th what was taken, in ticks of a hundredth.
    const parts = (path: string): string[] => readFileSync(path, "utf8").split(") ").at(-1)!.split(" ");
    const threads = readdirSync(`/proc/${pid}/task`).map((task) => parts(`/proc/${pid}/task/${task}/stat`)[0]);
    const [user, system] = parts(`/proc/${pid}/stat`).slice(11, 13);
    return { seconds: (Number(user) + Number(system)) / 100, waits: threads.every((state) => state === "S") };
  } catch {
    return undefined;
  }
}

/**
 * How many looks in a row, a second apart, must find a process waiting that has taken no time: one whose threads wait
 * for each other for ever is found so by all of them. One that is stopped, or that others leave no processor to, does
 * not wait; and where this program is stopped too, it does not look.
 */
const ASLEEP = 90;

interface Told {
  readonly outcome: "passed" | "caught" | "crashed" | "broken" | "endless" | "asleep" | "too long";
  readonly said: string;
}

/** What the kit says of the copy as it stands, within so many seconds of the processor. */
async function run(device: string, first: readonly string[], seconds: number): Promise<Told> {
  const loads = await built.rebuild().then(
    () => true,
    () => false,
  );
  if (!loads) return { outcome: "broken", said: "it does not load" };
  return new Promise((resolve) => {
    const env = { HICO_ADAPTER: "swiftshader", ...process.env };
    const args = [bundle, "--device", device, "--first", first.join(), "--seconds", String(seconds)];
    const child = spawn(values.node, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text) => {
        said = (said + String(text)).slice(-4000);
      });
    let ended: "endless" | "asleep" | undefined;
    let [taken, asleep] = [0, 0];
    const watch = setInterval(() => {
      const look = lookAt(child.pid!);
      if (!look) return;
      asleep = look.waits && look.seconds < taken + 0.2 ? asleep + 1 : 0;
      if (asleep === 0) taken = look.seconds;
      // The program ends by itself between two checks: what goes on for as long again is inside of one.
      if (taken > 2 * seconds) ended = "endless";
      else if (asleep > ASLEEP) ended = "asleep";
      if (ended) child.kill("SIGKILL");
    }, 1000);
    child.on("close", (code) => {
      clearInterval(watch);
      const found = said.includes("found by ");
      const outcome = ended ?? (code === 0 ? "passed" : code === 3 ? "too long" : found ? "caught" : "crashed");
      resolve({ outcome, said });
    });
  });
}

/** The check that found something, and the first line of what it found. */
function words(said: string): string {
  const found = /found by ([^\n]*)/.exec(said)?.[1];
  return (found ?? said.trim().split("\n").at(-1) ?? "").slice(0, 110);
}

const tally = new Tally(values.tally);
const asked = MUTATIONS.filter((m) => outside(m) === undefined)
  .map((m) => ({ m, device: isShader(m) ? "webgpu" : "cpu" }))
  .filter(({ device }) => values.device === undefined || device === values.device)
  .filter(({ m }) => values.only === undefined || `${m.file} ${m.find}`.includes(values.only));
const chosen = asked.filter(({ m }) => !tally.has(titleOf(m)));
let survived = 0;
try {
  if (values.list) {
    for (const { m, device } of chosen) console.log(`${device}  ${titleOf(m)}`);
  } else {
    for (const device of new Set(chosen.map((one) => one.device))) {
      const unchanged = `passes: ${device}`;
      if (tally.has(unchanged)) continue;
      const { outcome, said } = await run(device, [], Infinity);
      if (outcome !== "passed")
        throw new Error(`mutate:kit: without any planted error the kit fails on ${device}: ${said}`);
      tally.tell(unchanged);
    }
    for (const { m, device } of chosen) {
      const begun = performance.now();
      const takeOut = plantIn(folder, m);
      const { outcome, said } = await run(device, firstFor(m), Number(values.seconds));
      takeOut();
      if (outcome === "caught") tally.tell(titleOf(m));
      else survived++;
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      const word = outcome === "caught" ? outcome : outcome === "passed" ? "SURVIVED" : outcome.toUpperCase();
      console.log(`${word.padEnd(8)}  ${titleOf(m)}\n            ${seconds} s, ${device}: ${words(said)}`);
    }
    console.log(`${asked.length - survived} caught, ${survived} survived`);
    process.exitCode = survived === 0 ? 0 : 1;
  }
} finally {
  await built.dispose();
  rmSync(folder, { recursive: true, force: true });
}
