/** A process of PyTorch that computes HiCo steps as it is told: `torch/hico_step.py`, which tells what may be asked. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** How PyTorch runs a step. */
export const TORCH_MODES = ["eager", "compile", "graphs"] as const;

/** What PyTorch is, and why a mode cannot be had; empty where it can. */
export interface TorchGreeting {
  readonly torch: string;
  readonly cuda: boolean;
  readonly gpu: string;
  readonly modes: Readonly<Record<(typeof TORCH_MODES)[number], string>>;
}

export interface TorchPeer {
  /** One answer a request. @throws Error with what PyTorch says where it cannot. */
  ask(request: object): Promise<Record<string, unknown>>;
  close(): void;
}

export function openTorch(python: string, threads: number): TorchPeer {
  const script = fileURLToPath(new URL("torch/hico_step.py", import.meta.url));
  // Threads that have nothing to do must sleep while it is the other side's turn.
  const count = String(threads);
  const env = { ...process.env, OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, OMP_WAIT_POLICY: "PASSIVE" };
  const child = spawn(python, [script], { stdio: ["pipe", "pipe", "ignore"], env });
  const failed = new Promise<never>((_, reject) => void child.on("error", reject));
  failed.catch(() => undefined);
  child.stdin.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await Promise.race([lines.next(), failed]);
      if (done) throw new Error(`${script} ended early`);
      const answer = JSON.parse(String(value)) as Record<string, unknown>;
      if (answer.error !== undefined) throw new Error(`PyTorch: ${answer.error}`);
      return answer;
    },
    close: () => child.stdin.end(),
  };
}

/** What the Python's PyTorch is; undefined where it has none. */
export async function greetTorch(python: string, threads: number): Promise<TorchGreeting | undefined> {
  const peer = openTorch(python, threads);
  try {
    return (await peer.ask({ do: "hello" })) as unknown as TorchGreeting;
  } catch {
    return undefined;
  } finally {
    peer.close();
  }
}
