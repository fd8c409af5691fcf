/**
 * Kills every command and starts it again until it ends; what it leaves must be what an uninterrupted one leaves, bit for
 * bit, with nothing left over:
 *
 *     npm run kill-resume -- [--kills 100] [--command pretrain,linear,…] [--signal KILL|TERM] [--npx | --built]
 *                            [--device cpu] [--encoder gru] [--epochs 6] [--seed 1] [--tally FILE]
 *
 * Every other kill comes at a moment drawn from the processor time that the whole command takes, which a loaded machine
 * does not move; the others at one of its calls that change files, drawn as well: before it, after it, or in the middle
 * of a write (kill/at-call.mjs). `--kills` are for each command. With `--built` the compiled program is started (after
 * `npm run build`), which takes a third of the time. With `--npx` the commands are started by `npx --no hico` (compiled
 * as well), and the signal goes to npx alone, as a scheduler sends it. `--tally` names a file that gets a line for every
 * run that ended: kills that it tells of are not repeated, so that a drill may itself be stopped and go on, or be shared
 * out. Exit code 1 at the first difference.
 */
import { spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { generatedSource } from "../src/data/sources/generated.ts";
import { prepareStore } from "../src/data/sources/prepare.ts";
import { RunFolder } from "../src/hico/run/folder.ts";
import { readSafetensors } from "../src/io/safetensors.ts";
import type { Command } from "./kill/commands.ts";
import { commandsOf, makeRecordings } from "./kill/commands.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "100" },
    command: { type: "string" },
    signal: { type: "string", default: "KILL" },
    npx: { type: "boolean", default: false },
    built: { type: "boolean", default: false },
    device: { type: "string", default: "cpu" },
    encoder: { type: "string", default: "gru" },
    seed: { type: "string", default: "1" },
    epochs: { type: "string", default: "6" },
    tally: { type: "string" },
  },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const program = values.npx
  ? ["npx", "--no", "hico"]
  : values.built
    ? [process.execPath, join(root, "dist/cli/main.js")]
    : [process.execPath, "--import", import.meta.resolve("tsx"), join(root, "src/cli/main.ts")];
const signal = `SIG${values.signal}` as NodeJS.Signals;
const how = `${signal}${values.npx ? " to npx" : ""}`;
const folder = mkdtempSync(join(tmpdir(), "hico-kill-"));
/** Where npx finds the program as in a project that has installed the package. */
const project = join(folder, "project");
const made = {
  data: join(folder, "data.clips"),
  recordings: join(folder, "recordings"),
  model: join(folder, "model"),
  published: join(folder, "published.pth.tar"),
};
const COMMANDS = commandsOf(made, values.encoder, Number(values.epochs), values.device);

/** When an attempt is killed: at seconds of processor time, or at a call that changes files. */
type When = { readonly seconds: number } | { readonly call: number; readonly where: string };

interface Ended {
  readonly ended: boolean;
  /** Of processor time, as far as it was seen. */
  readonly seconds: number;
}

/** Ticks of the kernel's clock a second, in which it tells processor time. */
const TICKS = 100;

/** Seconds of processor time of a process, and of all that it started. */
function processorTime(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    // utime, stime, and those of children that have ended.
    const own = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0) / TICKS;
    return children.reduce((sum, child) => sum + processorTime(Number(child)), own);
  } catch {
    return 0;
  }
}

/** Starts the command and kills it. @throws Error where it ends of itself and not well. */
function attempt(words: readonly string[], when?: When, count?: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let [errors, seconds, sent] = ["", 0, false];
    const calls = count !== undefined || (when && "call" in when);
    const child = spawn(program[0]!, [...program.slice(1), ...words], {
      cwd: values.npx ? project : root,
      stdio: ["ignore", "ignore", "pipe"],
      env: {
        ...process.env,
        NO_COLOR: "1",
        HICO_THREADS: process.env.HICO_THREADS ?? "1",
        HICO_KILL_SIGNAL: signal,
        ...(values.npx ? { HICO_KILL_STARTER: "1" } : {}),
        ...(calls ? { NODE_OPTIONS: `--import ${new URL("./kill/at-call.mjs", import.meta.url).href}` } : {}),
        ...(count === undefined ? {} : { HICO_KILL_COUNT: count }),
        ...(when && "call" in when ? { HICO_KILL_AT: `${when.call}:${when.where}` } : {}),
      },
    });
    const watch = setInterval(() => {
      seconds = Math.max(seconds, processorTime(child.pid!));
      if (!sent && when && "seconds" in when && seconds >= when.seconds) sent = child.kill(signal);
    }, 5);
    child.stderr.on("data", (text: Buffer) => (errors += text.toString()));
    child.on("exit", (code, killedBy) => {
      clearInterval(watch);
      const stopped = killedBy !== null || code === 143 || code === 130;
      if (code !== 0 && !stopped) reject(new Error(`hico ${words.join(" ")} ended with code ${code}:\n${errors}`));
      else resolve({ ended: code === 0, seconds });
    });
  });
}

/** Waits until no process has the folder on its command line: npx dies before what it started. */
async function quiet(at: string): Promise<void> {
  const end = Date.now() + 120_000;
  for (; Date.now() < end; await sleep(50)) {
    const busy = readdirSync("/proc").some((name) => {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(at);
      } catch {
        return false;
      }
    });
    if (!busy) return;
  }
  throw new Error(`a process goes on in ${at}, two minutes after its starter was stopped`);
}

/** What is no result: moments, speeds, and the folder's own name. */
const TIMES =
  /"?(seconds|examplesPerSecond|clipsPerSecond|dataWait|clips\/s|waiting|time|when|started|ended|date|wall|took|elapsed)\w*"?[^,}\n]*/gi;

/** What a command left, file by file; what tells times is compared without them, event files not at all. */
function leftBy(at: string, timed?: RegExp): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of readdirSync(at, { recursive: true, encoding: "utf8" }).sort()) {
    const file = join(at, path);
    if (statSync(file).isDirectory() || /events\.out\.tfevents|\.log$/.test(path)) continue;
    const bytes = readFileSync(file);
    const plain = /\.(jsonl?|md|csv|svg|html)$/.test(path);
    const text = plain ? bytes.toString().replaceAll(at, "AT").replace(TIMES, "") : bytes.toString("latin1");
    found.set(path, timed?.test(path) ? "" : text);
  }
  return found;
}

/** A generator of its own (mulberry32), so that a drill can be repeated. */
let state = Number(values.seed);
function uniform(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

interface Tally {
  kills: number;
  runs: number;
}

/** What the file of an earlier drill tells of this command and signal. */
function tallied(name: string): Tally {
  const tally = { kills: 0, runs: 0 };
  if (values.tally === undefined || !existsSync(values.tally)) return tally;
  for (const line of readFileSync(values.tally, "utf8").split("\n").filter(Boolean)) {
    const found = JSON.parse(line) as { name: string; how: string; kills: number };
    if (found.name !== name || found.how !== how) continue;
    tally.kills += found.kills;
    tally.runs++;
  }
  return tally;
}

async function drill(name: string, { before, words, force, timed }: Command): Promise<void> {
  const wanted = Number(values.kills);
  const tally = tallied(name);
  // Draws of a drill that goes on are others than those it had.
  state = (Number(values.seed) + 7919 * tally.kills) | 0;
  const place = (called: string): string => {
    const at = join(folder, `${name}-${called}`);
    mkdirSync(at);
    before?.(at);
    return at;
  };
  if (tally.kills < wanted) {
    const whole = place("whole");
    const counted = join(folder, `${name}.calls`);
    const { seconds } = await attempt(words(whole), undefined, counted);
    await quiet(whole);
    const calls = Number(readFileSync(counted, "utf8").trim().split("\n").at(-1));
    const expected = leftBy(whole, timed);
    while (tally.kills < wanted) {
      const at = place(String(tally.runs++));
      let kills = 0;
      for (let last = 0; ; last++) {
        const draw: When =
          (tally.kills + kills) % 2 === 0 || calls === 0
            ? // Each further attempt gets more time, so that a command that begins anew gets to its end as well.
              { seconds: seconds * uniform() * (1 + last / 8) }
            : {
                call: 1 + Math.floor(calls * uniform() * (1 + last / 8)),
                where: ["before", "after", "torn"][Math.floor(3 * uniform())]!,
              };
        const retry = force && last > 0 ? ["--force"] : [];
        const { ended } = await attempt([...words(at), ...retry], tally.kills + kills < wanted ? draw : undefined);
        await quiet(at);
        if (ended) break;
        kills++;
        const run = new RunFolder(join(at, "run"));
        if (existsSync(run.path)) for (const { path } of run.checkpoints()) readSafetensors(path);
      }
      const found = leftBy(at, timed);
      const names = [...new Set([...expected.keys(), ...found.keys()])];
      const differing = names.filter((path) => expected.get(path) !== found.get(path));
      if (differing.length > 0) {
        const faults = differing.map(
          (path) => `${path} ${!found.has(path) ? "is missing" : expected.has(path) ? "differs" : "is left over"}`,
        );
        throw new Error(
          `${name}, run ${tally.runs}, after kills (${relative(process.cwd(), at)}): ${faults.join("; ")}`,
        );
      }
      tally.kills += kills;
      if (values.tally !== undefined) appendFileSync(values.tally, `${JSON.stringify({ name, how, kills })}\n`);
      process.stderr.write(`\r${name}: ${tally.kills} kills, ${tally.runs} runs `);
      rmSync(at, { recursive: true });
    }
    process.stderr.write("\r\x1b[2K");
  }
  console.log(
    `${name}: ${tally.kills} × ${how} over ${tally.runs} runs: every one ended, bit-identical to the uninterrupted one; ` +
      "nothing left over, no checkpoint unreadable",
  );
}

const names = values.command?.split(",") ?? Object.keys(COMMANDS);
const strange = names.find((name) => !(name in COMMANDS));
if (strange !== undefined) throw new Error(`no command "${strange}"; there is ${Object.keys(COMMANDS).join(", ")}`);
let failed = true;
try {
  mkdirSync(join(project, "node_modules/.bin"), { recursive: true });
  writeFileSync(join(project, "package.json"), "{}");
  symlinkSync(join(root, "dist/cli/main.js"), join(project, "node_modules/.bin/hico"));
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), made.data);
  makeRecordings(made.recordings);
  await attempt(commandsOf(made, values.encoder, 1, values.device).pretrain!.words(folder));
  await attempt(["export", join(folder, "run"), made.published, `--device=${values.device}`]);
  renameSync(join(folder, "run"), made.model);
  for (const name of names) await drill(name, COMMANDS[name]!);
  failed = false;
} finally {
  if (failed) console.error(`what was left is kept in ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
