/**
 * Products of the `cpu` device in vectors of 128 and of 256 bits against OpenBLAS's, one thread each.
 *
 *     node --import tsx bench/cpu-blas.ts [--rounds 15] [--python /usr/bin/python3] [--core Haswell]
 *
 * Three processes take turns, one product of each a turn, so that a busy moment of the machine falls on all; counted is
 * time of the processor. Ratios are medians of the ratios of each round. `--core` is OpenBLAS's name of the processor
 * whose kernels it takes: Haswell's are of 256 bits, as ours are; an empty name leaves it to OpenBLAS. PyTorch calls
 * OpenBLAS; Debian has both (python3-torch, libopenblas0-pthread).
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../src/bench/measure.ts";
import { CpuDevice } from "../src/device/cpu/cpu-device.ts";
import { compile, setDefaultDevice, tensor } from "../src/tensor/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

const SIZES = [
  [1024, 1024, 1024],
  [13632, 512, 512],
] as const;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    python: { type: "string", default: "/usr/bin/python3" },
    core: { type: "string", default: "Haswell" },
    /** Of the processes that this one starts: answers as matmul.py does. */
    serve: { type: "boolean", default: false },
  },
});

if (options.serve) await serve();
else await compare();

/** Answers every line m, n, k with the milliseconds of the processor that one product took, the best of some. */
async function serve(): Promise<void> {
  setDefaultDevice(await CpuDevice.open({ threads: 1 }));
  const known = new Map<string, () => Promise<Tensor>>();
  for await (const line of createInterface({ input: process.stdin })) {
    let run = known.get(line);
    if (!run) {
      const [m, n, k] = line.split(" ").map(Number) as [number, number, number];
      const [a, b] = await Promise.all([m, n].map((rows) => tensor(filled(rows * k), { shape: [rows, k] }).realize()));
      const product = compile((x: Tensor, y: Tensor) => x.matmul(y.transpose()));
      known.set(line, (run = () => product(a!, b!)));
      // Until the optimising compiler has done its part.
      for (let i = 0; i < 6; i++) await run();
    }
    let best = Infinity;
    for (let i = 0; i < 3; i++) {
      const before = process.cpuUsage();
      await run();
      const used = process.cpuUsage(before);
      best = Math.min(best, (used.user + used.system) / 1e3);
    }
    console.log(best);
  }
  process.exit();
}

async function compare(): Promise<void> {
  const self = ["--import", "tsx", fileURLToPath(import.meta.url), "--serve"];
  const script = fileURLToPath(new URL("torch/matmul.py", import.meta.url));
  const blas = options.core ? { OPENBLAS_CORETYPE: options.core } : {};
  const peers = [
    open(process.execPath, self, { HICO_WASM_WIDE: "0" }),
    open(process.execPath, self, {}),
    open(options.python, [script], { OPENBLAS_NUM_THREADS: "1", OMP_NUM_THREADS: "1", ...blas }),
  ];
  console.log("GFLOP/s a core-second, the best; ratios are medians");
  for (const size of SIZES) {
    const times: number[][] = [];
    await Promise.all(peers.map((p) => p.ask(size)));
    for (let round = 0; round < Number(options.rounds); round++) {
      const row: number[] = [];
      for (const peer of peers) row.push(await peer.ask(size));
      times.push(row);
    }
    const flops = 2 * size[0] * size[1] * size[2];
    const [narrow, wide, openblas] = peers.map((_, p) => flops / Math.min(...times.map((t) => t[p]!)) / 1e6);
    const ratio = (over: number): string => median(times.map((t) => t[over]! / t[1]!)).toFixed(2);
    console.log(
      `${size.join("×").padEnd(16)} 128 bits ${narrow!.toFixed(1)}, 256 bits ${wide!.toFixed(1)}, OpenBLAS ${openblas!.toFixed(1)}; ` +
        `256 over 128 bits ${ratio(0)}, over OpenBLAS ${ratio(2)}`,
    );
  }
  for (const peer of peers) peer.close();
}

function filled(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => ((i * 2654435761) % 1000) / 1000 - 0.5);
}

function open(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(size: readonly number[]): Promise<number> {
      child.stdin.write(`${size.join(" ")}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${command} ended early`);
      return Number(value);
    },
    close: () => child.stdin.end(),
  };
}
