/**
 * PyTorch as the suite sees it, in a Python of its own that is asked over a pipe. Gradients are
 * `torch.autograd.functional.vjp`, which gives zeros for inputs that nothing depends on.
 */
import { builtin } from "../../../io/builtin.ts";
import type { EngineAdapter, EngineAnswer, EngineRequest, PlainArray, PlainDType } from "../protocol.ts";
import { TORCH_PROGRAM } from "./torch-program.ts";

type ChildProcess = import("node:child_process").ChildProcess;

/** An array on its way: base64 of its bytes. */
interface Packed {
  readonly shape: readonly number[];
  readonly dtype: PlainDType;
  readonly data: string;
}

/** What the program writes first: what it can do, or why it cannot. */
interface Hello {
  readonly version: string;
  readonly operations: readonly string[];
  readonly lacking?: string;
  readonly refused?: string;
}

interface Reply {
  readonly id: number;
  readonly refused?: string;
  readonly outputs: readonly Packed[];
  readonly gradients?: readonly Packed[];
  readonly seconds?: readonly Packed[];
}

interface Waiting {
  readonly resolve: (line: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * PyTorch of `python` (default `python3`) on `backend`, a device of its own (default `cpu`). Where the process dies, the
 * request that it was asked is refused with its last words, and the next starts another.
 */
export async function torchEngine(
  options: { readonly python?: string; readonly backend?: string } = {},
): Promise<EngineAdapter> {
  const { python = "python3", backend = "cpu" } = options;
  let [torch, hello] = await TorchProcess.start(python, backend);
  return {
    name: `PyTorch (${backend})`,
    version: hello.version,
    operations: new Set(hello.operations),
    async run(request) {
      if (torch.ended) [torch] = await TorchProcess.start(python, backend);
      return torch.ask(request);
    },
    close: () => torch.close(),
  };
}

class TorchProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #closed: Promise<void>;
  /** Who waits for which reply; the first line has the number 0. */
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #words = "";
  ended = false;

  private constructor(python: string, device: string) {
    const { spawn } = builtin<typeof import("node:child_process")>("node:child_process", "check-engine");
    const { createInterface } = builtin<typeof import("node:readline")>("node:readline", "check-engine");
    const child = spawn(python, ["-c", TORCH_PROGRAM, device], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    this.#name = `${python} (process ${child.pid})`;
    child.stdin.on("error", () => {}); // A dead reader is told of by its end.
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#words = (this.#words + text).slice(-2000);
    });
    createInterface({ input: child.stdout }).on("line", (line) => this.#hear(line));
    this.#closed = new Promise((resolve) => {
      child.on("error", (cause) => {
        this.#end(new Error(`torch needs Python, and ${python} does not start: name one by --python`, { cause }));
        resolve();
      });
      child.on("close", (code, signal) => {
        const last = this.#words.trim().split("\n").at(-1);
        this.#end(new Error(`${this.#name} ended by ${signal ?? `exit code ${code}`}${last ? `: ${last}` : ""}`));
        resolve();
      });
    });
  }

  /** @throws Error where there is no such Python, or it has no PyTorch, or PyTorch has no such device. */
  static async start(python: string, device: string): Promise<[TorchProcess, Hello]> {
    const torch = new TorchProcess(python, device);
    const hello = (await torch.#reply(0)) as Hello;
    if (hello.lacking === undefined && hello.refused === undefined) return [torch, hello];
    await torch.close();
    throw new Error(
      hello.lacking !== undefined
        ? `torch needs PyTorch, which ${python} does not have (${hello.lacking}): pip install torch, or --python`
        : `torch does not compute on ${device}: ${hello.refused}`,
    );
  }

  async ask(request: EngineRequest): Promise<EngineAnswer> {
    const id = ++this.#asked;
    const reply = this.#reply(id);
    const { inputs, gradient } = request;
    const packed = gradient && {
      of: gradient.of,
      cotangents: gradient.cotangents.map(pack),
      directions: gradient.directions?.map(pack),
    };
    this.#child.stdin!.write(`${JSON.stringify({ ...request, id, inputs: inputs.map(pack), gradient: packed })}\n`);
    const { refused, outputs, gradients, seconds } = (await reply) as Reply;
    if (refused !== undefined) throw new Error(refused);
    return { outputs: outputs.map(unpack), gradients: gradients?.map(unpack), seconds: seconds?.map(unpack) };
  }

  async close(): Promise<void> {
    this.#child.stdin!.end();
    this.#child.kill("SIGKILL");
    await this.#closed;
  }

  #reply(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #hear(line: string): void {
    const said = JSON.parse(line) as Partial<Reply>;
    const { id = 0 } = said;
    this.#waiting.get(id)?.resolve(said);
    this.#waiting.delete(id);
  }

  #end(error: Error): void {
    this.ended = true;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

const ARRAYS = { f32: Float32Array, i32: Int32Array, bool: Uint8Array };

function pack({ shape, dtype, data }: PlainArray): Packed {
  return { shape, dtype, data: Buffer.from(ARRAYS[dtype].from(data).buffer).toString("base64") };
}

function unpack({ shape, dtype, data }: Packed): PlainArray {
  const bytes = Uint8Array.from(Buffer.from(data, "base64"));
  return { shape, dtype, data: new ARRAYS[dtype](bytes.buffer) };
}
