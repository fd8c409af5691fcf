/**
 * Planted errors: does the public kit notice, by itself?
 * `npm run mutate:kit [-- --only TEXT] [-- --device D] [-- --tally FILE] [-- --list] [-- --seconds N]`.
 *
 * Every mutation of mutations.ts that concerns a value, a gradient or a refusal is applied to a copy of the tree; the
 * program of scripts/kit, which knows the engine by its public entries only, then runs on that copy until it finds
 * something. On the tree as it is it must find nothing. Errors in shaders and in what runs them are looked for on
 * `webgpu` (`HICO_ADAPTER`, default swiftshader), all others on `cpu`. Prints a line a mutation with the check that
 * found it, and `N caught, M survived`; exit code 1 when any survives. `--tally` is as in `npm run mutate`. A run
 * ends after `--seconds` (120) of the processor, or ten times as many by the clock: it is told as TIMEOUT, and not counted
 * as caught.
 */
import { context } from "esbuild";
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
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
  },
});

/** Whether an edit is seen on WebGPU alone: shaders and their host. */
const isShader = ({ file }: Mutation): boolean => /^src\/(shaders|device\/webgpu)\//.test(file);

const folder = copyTree();
const bundle = join(folder, ".cache/kit.js");
const built = await context({
  ...{ absWorkingDir: folder, entryPoints: [join(folder, "scripts/kit/main.ts")], outfile: bundle },
  ...{ bundle: true, format: "esm", platform: "node", target: "node20", packages: "external", logLevel: "silent" },
});

/** What the kit says of the copy as it stands: nothing where it finds nothing. */
async function run(device: string, first: readonly string[]): Promise<{ code: number | null; said: string }> {
  const code = await built.rebuild().then(
    () => 0,
    () => 2,
  );
  if (code !== 0) return { code, said: "it does not load" };
  return new Promise((resolve) => {
    const env = { HICO_ADAPTER: "swiftshader", ...process.env };
    const args = [bundle, "--device", device, "--first", first.join(), "--seconds", values.seconds];
    const child = spawn(process.execPath, args, {
      ...{
        cwd: folder,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        timeout: 10_000 * Number(values.seconds),
        killSignal: "SIGKILL",
      },
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text) => {
        said = (said + String(text)).slice(-4000);
      });
    child.on("close", (exit) => resolve({ code: exit, said }));
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
      const { code, said } = await run(device, []);
      if (code !== 0) throw new Error(`mutate:kit: without any planted error the kit fails on ${device}: ${said}`);
      tally.tell(unchanged);
    }
    for (const { m, device } of chosen) {
      const begun = performance.now();
      const takeOut = plantIn(folder, m);
      const { code, said } = await run(device, firstFor(m));
      takeOut();
      const outcome =
        code === null || code === 3 ? "TIMEOUT " : code === 0 ? "SURVIVED" : code === 2 ? "BROKEN  " : "caught  ";
      if (outcome === "caught  ") tally.tell(titleOf(m));
      else survived++;
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      console.log(`${outcome}  ${titleOf(m)}\n            ${seconds} s, ${device}: ${words(said)}`);
    }
    console.log(`${asked.length - survived} caught, ${survived} survived`);
    process.exitCode = survived === 0 ? 0 : 1;
  }
} finally {
  await built.dispose();
  rmSync(folder, { recursive: true, force: true });
}
