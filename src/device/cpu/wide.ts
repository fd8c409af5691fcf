/**
 * Whether kernels are written in pairs of vectors, which V8 joins into 256-bit ones on x64 with AVX2.
 *
 * V8 does so only when asked by a flag, which counts for the whole process and for modules compiled after it. What it
 * is worth is measured once a process: tiles of matrix products of 4 × 16 and 6 × 16 against one of 4 × 8, which must
 * agree to the bit. Where it is worth nothing the flag is taken back.
 */
import type { WasmFeatures } from "../../wasm/assembler/features.ts";
import { i32 } from "../../wasm/assembler/instructions.ts";
import type { WasmKernel } from "../../wasm/kernel.ts";
import { MR, NR, TALL, WIDE_NR, strip } from "../../wasm/matmul/micro-kernel.ts";
import { emitProgram } from "../../wasm/program.ts";
import { environmentVariable, hasProcess, importLate } from "../environment.ts";
import { reserveMemory } from "./memory.ts";

/** The width of the arithmetic, and why. */
export interface Width {
  readonly wide: boolean;
  /** Whether products take six rows at a time. */
  readonly tall?: boolean;
  /** As of `WasmFeatures`. */
  settle?(): void;
  readonly reason: string;
}

interface Process {
  readonly arch?: string;
  readonly execArgv?: readonly string[];
  readonly versions?: { readonly v8?: string };
}

type SetFlags = (flags: string) => void;

const FLAG = "experimental-wasm-revectorize";
/** V8 of Node 24: that of Node 22 knows the flag, and joins neither fused multiply-adds nor the loops around them. */
const FIRST_V8 = 13;
/** How much faster the wide tile must be, and than it the tall one. */
const WORTH = 1.15;
const TALL_WORTH = 1.03;

let chosen: Promise<Width> | undefined;

/**
 * The width for this process: chosen at the first call, by HICO_WASM_WIDE where it is set.
 *
 * @throws Error where HICO_WASM_WIDE is neither 0 nor 1
 */
export function chooseWidth(features: WasmFeatures): Promise<Width> {
  return (chosen ??= choose(features));
}

async function choose(features: WasmFeatures): Promise<Width> {
  const asked = environmentVariable("HICO_WASM_WIDE");
  if (asked !== undefined && asked !== "0" && asked !== "1") {
    throw new Error(`HICO_WASM_WIDE must be 0 (128-bit vectors) or 1 (pairs of them), not "${asked}"`);
  }
  if (asked === "0") return { wide: false, reason: "HICO_WASM_WIDE=0" };
  const missing = whatIsMissing();
  const setFlags = missing === undefined ? await flagSetter() : undefined;
  setFlags?.(`--${FLAG}`);
  const settle = setFlags && (await settler());
  if (asked === "1") return { wide: true, settle, reason: "HICO_WASM_WIDE=1" };
  if (missing !== undefined) return { wide: false, reason: missing };
  if (!setFlags) return { wide: false, reason: "this runtime sets no flags of V8" };
  const { equal, rounds } = probe(features, setFlags);
  /** Of one tile's time to another's, in the middle round: a busy moment falls on all tiles of a round. */
  const ratioOf = (over: number, under: number): number =>
    rounds.map((times) => times[over]! / times[under]!).sort((a, b) => a - b)[ROUNDS / 2]!;
  const ratio = ratioOf(0, 1);
  const wide = equal && ratio >= WORTH;
  if (!wide) setFlags(`--no-${FLAG}`);
  const speed = `the wide tile ran at ${ratio.toFixed(2)} times the narrow one's speed when the device was opened`;
  return {
    wide,
    tall: wide && ratioOf(1, 2) >= TALL_WORTH,
    settle: wide ? settle : undefined,
    reason: equal ? speed : "the wide tile's results differed from the narrow one's",
  };
}

/** Why the flag is not even asked for: an engine that does not know it says so on its standard error. */
function whatIsMissing(): string | undefined {
  if (!hasProcess) return "a web page sets no flags of V8";
  const { arch, versions } = (globalThis as { readonly process?: Process }).process ?? {};
  if (arch !== "x64") return `V8 joins vectors on x64 only, and this is ${arch}`;
  const v8 = versions?.v8 ?? "0";
  if (Number.parseInt(v8, 10) < FIRST_V8)
    return `V8 ${v8.split("-")[0]} joins no fused multiply-adds: Node 24 or later does`;
  return undefined;
}

async function flagSetter(): Promise<SetFlags | undefined> {
  try {
    const { setFlagsFromString } = await importLate<typeof import("node:v8")>("node:v8");
    setFlagsFromString(`--no-${FLAG}`);
    return setFlagsFromString;
  } catch {
    return undefined;
  }
}

/**
 * V8 leaves the upper halves of registers in use after operations of 256 bits, and code that knows of the lower halves
 * alone, such as the C library's `exp`, then runs at a twelfth of its speed. What frees them is an instruction at the
 * end of any function that uses wide registers itself, which `isAscii` of 64 bytes is the shortest of.
 */
async function settler(): Promise<() => void> {
  const { Buffer, isAscii } = await importLate<typeof import("node:buffer")>("node:buffer");
  const bytes = Buffer.alloc(64);
  return () => void isAscii(bytes);
}

const STEPS = 128;
const ROWS = 4 * TALL;
/** Addresses of A, of a panel of B, and of each tile's C. */
const A_AT = 1024;
const B_AT = A_AT + 4 * ROWS * STEPS;
const C_AT = B_AT + 4 * WIDE_NR * STEPS;
const C_BYTES = 4 * ROWS * WIDE_NR;
const ROUNDS = 24;
const REPEATS = 16;
/** Rows and columns. */
const TILES = [
  [MR, NR],
  [MR, WIDE_NR],
  [TALL, WIDE_NR],
];

/** A product of 24 rows by 16 columns over 128 steps; the narrow tile takes half of B's panel at a time. */
function tileKernel([rows, columns]: readonly number[], number: number): WasmKernel {
  return {
    name: `probe ${rows}x${columns}`,
    units: 1,
    threadBytes: 0,
    emit(f, context) {
      const strides = { aRow: 4 * STEPS, aStep: 4, bStep: 4 * WIDE_NR };
      const callee = strip(context, { rows, columns, strides, accumulate: false });
      f.for(context.begin, context.end, 1, () => {
        for (let first = 0; first < WIDE_NR; first += columns) {
          const [b, c] = [B_AT + 4 * first, C_AT + number * C_BYTES + 4 * first];
          const sizes = [b, b + 4 * WIDE_NR * STEPS, c, 4 * WIDE_NR, ROWS / rows, 4 * rows * STEPS];
          f.call(callee, [A_AT, ...sizes].map(i32.const));
        }
      });
    },
  };
}

function probe(features: WasmFeatures, setFlags: SetFlags): { equal: boolean; rounds: readonly number[][] } {
  const memory = reserveMemory(false, 2);
  const floats = new Float32Array(memory.buffer);
  for (let i = A_AT / 4; i < C_AT / 4; i++) floats[i] = ((i * 2654435761) % 1009) / 1009 - 0.5;
  const entries = TILES.map((tile, i) => ({ kernel: tileKernel(tile, i), inputs: [], outputs: [], scratch: [] }));
  const runs = optimised(setFlags, () => {
    const module = new WebAssembly.Module(emitProgram(entries, features, false));
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return entries.map((_, i) => {
      const run = exports[`kernel${i}`] as (table: number, begin: number, end: number, own: number) => void;
      run(0, 0, 1, 0);
      return run;
    });
  });
  const rounds = Array.from({ length: ROUNDS }, () =>
    runs.map((run) => {
      const start = performance.now();
      run(0, 0, REPEATS, 0);
      return performance.now() - start;
    }),
  );
  const words = new Int32Array(memory.buffer, C_AT, (TILES.length * C_BYTES) / 4);
  const first = C_BYTES / 4;
  return { equal: words.every((word, i) => word === words[i % first]), rounds };
}

/**
 * What `make` returns, with all that it compiles compiled by V8's optimising compiler at once, unless the process was
 * started with flags of its own for it. V8 compiles a function when it is first called, so `make` has to call it.
 */
function optimised<T>(setFlags: SetFlags, make: () => T): T {
  const { execArgv } = (globalThis as { readonly process?: Process }).process ?? {};
  if (execArgv?.some((flag) => flag.includes("liftoff"))) return make();
  setFlags("--no-liftoff");
  try {
    return make();
  } finally {
    setFlags("--liftoff");
  }
}
