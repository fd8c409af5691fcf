/**
 * What V8 makes of kernels written in pairs of vectors: of every family some are joined into vectors of 256 bits, and
 * how many pairs it gives up on is known.
 *
 * `--trace-wasm-revectorize` tells of each function what it began with (stores that are neighbours), where it gave up,
 * and how many operations it joined.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { cached } from "../environments/cached.ts";

/** Where scripts/node-versions.sh puts it. */
const newest = cached("node/node_modules/node/bin/node");
const kernels = fileURLToPath(new URL("./joined-kernels.ts", import.meta.url));
/** V8 of Node 24 is the first that joins fused multiply-adds. */
const node = Number(process.versions.node.split(".")[0]) >= 24 ? process.execPath : newest;
const skip =
  process.arch !== "x64"
    ? `V8 joins vectors on x64 only, and this is ${process.arch}`
    : !existsSync(node) && "no Node from 24 on in the cache folder: scripts/node-versions.sh gets it";

interface Joined {
  /** Operations saved by joining, where they are more than what it costs. */
  operations: number;
  /** Pairs of neighbouring stores, and of those the ones that were given up. */
  seeds: number;
  failed: number;
}

/**
 * Compiles everything by the optimising compiler, on one thread so that lines do not mix. V8 writes to a file, since what
 * does not fit into a pipe at once is lost.
 */
async function joinedByFamily(): Promise<Map<string, Joined>> {
  const flags = ["--experimental-wasm-revectorize", "--trace-wasm-revectorize"];
  const compiler = ["--no-liftoff", "--no-wasm-lazy-compilation", "--single-threaded"];
  const folder = mkdtempSync(join(tmpdir(), "hico-joined-"));
  try {
    const [trace, functions] = ["trace", "functions"].map((name) => join(folder, name));
    const [out, told] = [trace, functions].map((file) => openSync(file, "w"));
    const child = spawn(node, [...flags, ...compiler, "--import", "tsx", kernels], { stdio: ["ignore", out, told] });
    const [code] = (await once(child, "close")) as [number];
    [out, told].forEach(closeSync);
    const said = readFileSync(functions, "utf8").trim();
    assert.equal(code, 0, said);
    return countJoined(readFileSync(trace, "utf8"), JSON.parse(said.split("\n").at(-1)!) as Record<string, number>);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param ends past the number of the last function of each family */
function countJoined(trace: string, past: Readonly<Record<string, number>>): Map<string, Joined> {
  const ends = Object.entries(past);
  const found = new Map(ends.map(([name]): [string, Joined] => [name, { operations: 0, seeds: 0, failed: 0 }]));
  let family: Joined | undefined;
  let inSeeds = false;
  for (const line of trace.split("\n")) {
    const begun = /^Begin revec function wasm-function#(\d+)/.exec(line);
    if (begun) family = found.get(ends.find(([, end]) => Number(begun[1]) < end)?.[0] ?? "");
    inSeeds = line === "store seeds:" || (inSeeds && !line.endsWith("seeds:"));
    if (!family) continue;
    if (inSeeds && line === "{") family.seeds++;
    if (line.endsWith("Building SLP tree failed!")) family.failed++;
    const [, saved = 0, cost = 0] = /DecideVectorize \d+: Save: (\d+), cost: (\d+)/.exec(line) ?? [];
    if (Number(saved) > Number(cost)) family.operations += Number(saved);
  }
  return found;
}

/**
 * Operations that joining saves in the kernels of each family, in V8 of Node 24 and of Node 26. What the engine takes into
 * a kernel from a function that it calls counts as the kernel's.
 */
const JOINED: Readonly<Record<string, number>> = {
  "product, B packed": 66,
  "product, A packed": 64,
  "product in parts of k": 67,
  "product with an epilogue": 15,
  "elementwise loop": 5,
  "padded and joined rows": 19,
  exponentials: 31,
  gelu: 77,
  softmax: 62,
  "layer norm": 9,
  "sum of rows": 12,
  "sum across rows": 5,
  optimizer: 12,
  "attention forward": 297,
  "attention backward": 282,
  "InfoNCE forward": 198,
  "InfoNCE backward": 226,
  "GRU scan": 171,
  "GRU scan backward": 110,
  "LSTM scan": 239,
  "LSTM scan backward": 127,
};

test("V8 joins the vectors of every family of kernels", { skip }, async () => {
  const found = await joinedByFamily();
  assert.deepEqual([...found.keys()], Object.keys(JOINED));
  for (const [name, { operations, seeds, failed }] of found) {
    assert.ok(operations >= 0.75 * JOINED[name], `joining saves only ${operations} operations of ${name}`);
    assert.ok(failed <= 0.2 * seeds, `of ${name}'s ${seeds} pairs of stores V8 gives ${failed} up`);
  }
});
