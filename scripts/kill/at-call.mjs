/**
 * Loaded before a program (`--import`), it ends it at one of its calls that change files: `HICO_KILL_AT=NUMBER:WHEN`,
 * WHEN being before, after, or torn (a write stops at half of its bytes). The signal is `HICO_KILL_SIGNAL`, sent to the
 * process itself, or with `HICO_KILL_STARTER` to the npx that started it. Without a number it counts: `HICO_KILL_COUNT`
 * names the file that gets how many such calls there were. Children that the program starts are left alone.
 */
import { appendFileSync, readFileSync } from "node:fs";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const CHANGES = [
  ...["openSync", "writeSync", "writeFileSync", "appendFileSync", "renameSync", "rmSync", "unlinkSync", "mkdirSync"],
  ...["fsyncSync", "closeSync", "linkSync", "copyFileSync", "ftruncateSync"],
];

const { HICO_KILL_AT, HICO_KILL_COUNT, HICO_KILL_SIGNAL = "SIGKILL", HICO_KILL_STARTER, NODE_OPTIONS } = process.env;
if (/hico|main\.[jt]s/.test(process.argv[1] ?? "") && (HICO_KILL_AT ?? HICO_KILL_COUNT) !== undefined) {
  for (const name of ["HICO_KILL_AT", "HICO_KILL_COUNT", "HICO_KILL_SIGNAL", "HICO_KILL_STARTER"]) delete process.env[name];
  if (NODE_OPTIONS?.includes("at-call")) delete process.env.NODE_OPTIONS;
  const [number, when] = (HICO_KILL_AT ?? "0:after").split(":");
  let [calls, inside] = [0, false];

  const parentOf = (pid) => Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1]);
  const end = () => {
    // npx starts a shell, and the shell this.
    process.kill(HICO_KILL_STARTER ? parentOf(process.ppid) : process.pid, HICO_KILL_SIGNAL);
  };

  for (const name of CHANGES) {
    const real = fs[name];
    fs[name] = (...args) => {
      // A call that others are made of is one, and one that opens a file to be read changes none.
      if (inside || (name === "openSync" && (args[1] ?? "r") === "r")) return real(...args);
      inside = true;
      try {
        if (++calls !== Number(number)) return real(...args);
        if (when === "torn" && name === "writeSync" && args[1]?.length > 1) {
          const [offset, length] = [args[2] ?? 0, args[3] ?? args[1].length - (args[2] ?? 0)];
          if (typeof args[1] === "string") real(args[0], args[1].slice(0, args[1].length >> 1));
          else real(args[0], args[1], offset, length >> 1);
          end();
          // Not reached after SIGKILL; after another signal the call is to be whole.
          if (typeof args[1] === "string") return (args[1].length >> 1) + real(args[0], args[1].slice(args[1].length >> 1));
          return (length >> 1) + real(args[0], args[1], offset + (length >> 1), length - (length >> 1));
        }
        if (when !== "after") end();
        const result = real(...args);
        if (when === "after") end();
        return result;
      } finally {
        inside = false;
      }
    };
  }
  syncBuiltinESMExports();
  if (HICO_KILL_COUNT) process.on("exit", () => appendFileSync(HICO_KILL_COUNT, `${calls}\n`));
}
