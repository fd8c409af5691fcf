/**
 * Kills every command at random moments and starts it again until it ends; what it leaves must be what an uninterrupted
 * one leaves, bit for bit, with nothing left over:
 *
 *     npm run kill-resume -- [--kills 100] [--command pretrain,linear,…] [--signal KILL|TERM] [--npx | --built]
 *                            [--device cpu] [--encoder gru] [--epochs 30] [--seed 1]
 *
 * `--kills` are for each command. With `--built` the compiled program is started (after `npm run build`), which takes a
 * third of the time. With `--npx` the commands are started by `npx --no hico` (compiled as well), and
 * the signal goes to npx alone, as a scheduler sends it. Exit code 1 at the first difference.
 */
import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
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
import { flagOf } from "../src/hico/run/settings.ts";
import { readSafetensors } from "../src/io/safetensors.ts";

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
    epochs: { type: "string", default: "30" },
  },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const program = values.npx
  ? ["npx", "--no", "hico"]
  : values.built
    ? [process.execPath, join(root, "dist/cli/main.js")]
    : [process.execPath, "--import", import.meta.resolve("tsx"), join(root, "src/cli/main.ts")];
const signal = `SIG${values.signal}` as NodeJS.Signals;
const folder = mkdtempSync(join(tmpdir(), "hico-kill-"));
const data = join(folder, "data.clips");
const model = join(folder, "model");
await prepareStore(generatedSource({ subjects: 2, repetitions: 2 }), data);

const SIZES = {
  encoder: values.encoder,
  hidden: 8,
  heads: 2,
  projection: 4,
  queue: 16,
  granularity: 2,
  batch: 4,
  frames: 16,
  minFrames: 8,
  epochs: Number(values.epochs),
  saveEvery: 1,
  logEvery: 3,
  seed: 3,
  dropout: 0.2,
};
const flags = (settings: object): string[] =>
  Object.entries(settings).map(([name, value]) => `--${flagOf(name)}=${value}`);
const device = [`--device=${values.device}`];
const pretrain = (run: string, epochs = SIZES.epochs): string[] => [
  ...["pretrain", "--data", data, "--run", run, "--resume"],
  ...flags({ ...SIZES, epochs }),
  ...device,
];

/** A command in a folder of its own: what is there before it, and its words. */
interface Command {
  readonly before?: (at: string) => void;
  readonly words: (at: string) => string[];
}

const onModel = (words: (run: string, at: string) => string[]): Command => ({
  before: (at) => cpSync(model, join(at, "run"), { recursive: true }),
  words: (at) => [...words(join(at, "run"), at), ...device],
});

/** Recordings for `data prepare`. */
const recordings = join(folder, "recordings");

const COMMANDS: Readonly<Record<string, Command>> = {
  pretrain: { words: (at) => pretrain(join(at, "run")) },
  linear: onModel((run) => ["eval", "linear", run, "--epochs=40"]),
  knn: onModel((run) => ["eval", "knn", run]),
  finetune: onModel((run) => ["eval", "finetune", run, "--epochs=6"]),
  semi: onModel((run) => ["eval", "semi", run, "--epochs=3"]),
  embed: onModel((run, at) => ["embed", run, join(at, "features.npy")]),
  export: onModel((run, at) => ["export", run, join(at, "model.safetensors")]),
  report: onModel((run) => ["report", run]),
  prepare: {
    words: (at) => ["data", "prepare", recordings, join(at, "own.clips"), "--layout", join(recordings, "arm.json")],
  },
  generate: { words: (at) => ["data", "generate", join(at, "made.clips"), "--subjects=2"] },
  sweep: {
    before: (at) =>
      writeFileSync(
        join(at, "grid.json"),
        JSON.stringify({
          settings: { ...SIZES, data, epochs: 6, seed: undefined },
          seeds: [0, 1],
          eval: { knn: { k: 1 }, linear: { epochs: 3 } },
        }),
      ),
    words: (at) => ["sweep", join(at, "grid.json"), "--folder", join(at, "sweep"), ...device],
  },
};

function makeRecordings(): void {
  mkdirSync(recordings);
  const joints = ["hip", "chest", "head", "hand", "foot"];
  const layout = {
    name: "arm",
    joints,
    bones: [
      [0, 1],
      [1, 2],
      [1, 3],
      [0, 4],
    ],
    persons: 1,
  };
  writeFileSync(join(recordings, "arm.json"), JSON.stringify(layout));
  const columns = joints.flatMap((joint) => ["x", "y", "z"].map((axis) => `${joint}_${axis}`));
  for (let file = 0; file < 40; file++) {
    const rows = Array.from({ length: 200 }, (_, t) =>
      columns.map((_name, c) => Math.sin(t / 9 + c + file).toFixed(4)),
    );
    writeFileSync(join(recordings, `take${file}.csv`), [columns, ...rows].map((row) => row.join(",")).join("\n"));
  }
}

interface Ended {
  readonly ended: boolean;
  /** Milliseconds. */
  readonly took: number;
}

/** Starts the command, and sends the signal `after` milliseconds. @throws Error where it ends of itself and not well. */
function attempt(words: readonly string[], after?: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let errors = "";
    const child = spawn(program[0]!, [...program.slice(1), ...words], {
      cwd: root,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    const timer = after === undefined ? undefined : setTimeout(() => child.kill(signal), after);
    child.stderr.on("data", (text: Buffer) => (errors += text.toString()));
    child.on("exit", (code, killedBy) => {
      clearTimeout(timer);
      const stopped = killedBy !== null || code === 143 || code === 130;
      if (code !== 0 && !stopped) reject(new Error(`hico ${words.join(" ")} ended with code ${code}:\n${errors}`));
      else resolve({ ended: code === 0, took: performance.now() - began });
    });
  });
}

/** Waits until no process has the folder on its command line: npx dies before what it started. */
async function quiet(at: string): Promise<void> {
  for (let tries = 0; tries < 300; tries++, await sleep(100)) {
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
  throw new Error(`a process goes on in ${at}, 30 s after its starter was stopped`);
}

/** What is no result: moments, speeds, and the folder's own name. */
const TIMES =
  /"?(seconds|examplesPerSecond|clipsPerSecond|dataWait|clips\/s|waiting|time|when|started|ended|date|wall|took|elapsed)\w*"?[^,}\n]*/gi;

/** What a command left, file by file; what tells times is compared without them, event files not at all. */
function leftBy(at: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of readdirSync(at, { recursive: true, encoding: "utf8" }).sort()) {
    const file = join(at, path);
    if (statSync(file).isDirectory() || /events\.out\.tfevents|\.log$/.test(path)) continue;
    const bytes = readFileSync(file);
    const plain = /\.(jsonl?|md|csv|svg|html)$/.test(path);
    found.set(path, plain ? bytes.toString().replaceAll(at, "AT").replace(TIMES, "") : bytes.toString("latin1"));
  }
  return found;
}

/** A generator of its own (mulberry32), so that a run of this script can be repeated. */
let state = Number(values.seed);
function uniform(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

async function drill(name: string, { before, words }: Command): Promise<void> {
  const place = (called: string): string => {
    const at = join(folder, `${name}-${called}`);
    mkdirSync(at);
    before?.(at);
    return at;
  };
  const whole = place("whole");
  const { took } = await attempt(words(whole));
  const expected = leftBy(whole);
  const wanted = Number(values.kills);
  let [kills, runs] = [0, 0];
  while (kills < wanted) {
    const at = place(String(runs++));
    for (let last = 0; ; last++) {
      // Each further attempt gets more time, so that a command that begins anew gets to its end as well.
      const { ended } = await attempt(words(at), kills < wanted ? took * uniform() * (1 + last / 8) : undefined);
      await quiet(at);
      if (ended) break;
      kills++;
      const run = new RunFolder(join(at, "run"));
      if (existsSync(run.path)) for (const { path } of run.checkpoints()) readSafetensors(path);
      process.stderr.write(`\r${name}: ${kills} kills, ${runs} runs`);
    }
    const found = leftBy(at);
    const names = [...new Set([...expected.keys(), ...found.keys()])];
    const differing = names.filter((path) => expected.get(path) !== found.get(path));
    if (differing.length > 0) {
      const how = differing.map(
        (path) => `${path} ${!found.has(path) ? "is missing" : expected.has(path) ? "differs" : "is left over"}`,
      );
      throw new Error(`${name}, run ${runs}, after kills (${relative(process.cwd(), at)}): ${how.join("; ")}`);
    }
    rmSync(at, { recursive: true });
  }
  process.stderr.write("\r\x1b[2K");
  console.log(
    `${name}: ${kills} × SIG${values.signal}${values.npx ? " to npx" : ""} over ${runs} runs: every one ended, bit-identical to the ` +
      "uninterrupted one; nothing left over, no checkpoint unreadable",
  );
}

const names = values.command?.split(",") ?? Object.keys(COMMANDS);
const strange = names.find((name) => !(name in COMMANDS));
if (strange !== undefined) throw new Error(`no command "${strange}"; there is ${Object.keys(COMMANDS).join(", ")}`);
let failed = true;
try {
  makeRecordings();
  await attempt(pretrain(model, 3));
  for (const name of names) await drill(name, COMMANDS[name]!);
  failed = false;
} finally {
  if (failed) console.error(`what was left is kept in ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
