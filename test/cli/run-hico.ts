/** The command as users run it: a process of its own. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The command in plain JavaScript, which scripts/test.ts makes once for all files. */
const bundled = process.env.HICO_TEST_COMMAND;

/** Program and arguments that those of `hico` follow; a file that is run by hand takes the source. */
export const HICO: readonly string[] = [
  process.execPath,
  ...(bundled === undefined
    ? ["--import", import.meta.resolve("tsx"), fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))]
    : [bundled]),
];

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `hico` in `folder`; `interruptAt` sends SIGINT once standard error shows these words, `onStart` gets the process.
 */
export function runHico(
  folder: string,
  args: readonly string[],
  options: {
    readonly device?: string;
    readonly interruptAt?: RegExp;
    readonly onStart?: (child: ChildProcess) => void;
  } = {},
): Promise<CommandResult> {
  const { device = "reference", interruptAt, onStart } = options;
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1", HICO_DEVICE: device };
    const child = spawn(HICO[0], [...HICO.slice(1), ...args], { env, cwd: folder });
    let [stdout, stderr, sent] = ["", "", false];
    child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
    child.stderr.on("data", (text: Buffer) => {
      stderr += text.toString();
      if (!sent && interruptAt?.test(stderr)) sent = child.kill("SIGINT");
    });
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    onStart?.(child);
  });
}
