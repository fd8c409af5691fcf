/**
 * The matrix-product benchmark: C = A·B in float32, our engine, jax-js and TensorFlow.js against a plain WGSL kernel, in
 * one process.
 *
 *     node --import tsx bench/matmul.ts [--shapes 1024x1024x1024,13632x512x512] [--engines NAME,…] [--rounds 5]
 *                                       [--adapter swiftshader|lavapipe|system] [--json FILE]
 *     npx deno run -A --unstable-webgpu bench/matmul.ts …
 *
 * A shape is rows × inner × columns. The faster form of the plain kernel (`engines/plain-matmul.ts`) is the yardstick
 * of what a driver gives to straightforward code. Rounds are interleaved, in an order that rotates; a sample is one product and the
 * wait for it. 64 entries of every engine's result are held to float64.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { matmulEngines } from "./engines/all-matmul.ts";
import type { MatmulEngine, MatmulProblem, MatmulRun } from "./engines/matmul-engine.ts";
import { type AdapterChoice, installWebGpu } from "./webgpu-environment.ts";

/** Entries checked, and the largest error relative to √inner, the scale of an entry. */
const CHECKED = 64;
const TOLERANCE = 1e-5;

const { values } = parseArgs({
  options: {
    shapes: { type: "string", default: "1024x1024x1024" },
    engines: { type: "string" },
    rounds: { type: "string", default: "5" },
    adapter: { type: "string" },
    json: { type: "string" },
  },
});
const wanted = values.engines?.split(",");
const engines = matmulEngines.map((make) => make()).filter(({ name }) => !wanted || wanted.includes(name));
if (engines.length < (wanted?.length ?? 1)) {
  console.error(`--engines: choose from ${matmulEngines.map((make) => make().name).join(", ")}`);
  process.exit(1);
}
if (engines.some(({ adapter }) => adapter === "webgpu")) {
  const info = await installWebGpu(values.adapter as AdapterChoice | undefined);
  console.log(`adapter: ${info.vendor} ${info.architecture} ${info.description}`);
}
const reports = [];
let failed = false;
for (const text of values.shapes.split(",")) {
  const shape = text.split("x").map(Number);
  if (shape.length !== 3 || !shape.every((length) => Number.isInteger(length) && length > 0)) {
    console.error(`--shapes: "${text}" is not ROWSxINNERxCOLUMNS`);
    process.exit(1);
  }
  reports.push(await measure(problemOf(shape)));
}
if (values.json) writeFileSync(values.json, JSON.stringify(reports, null, 1));
process.exit(failed ? 1 : 0);

async function measure(problem: MatmulProblem) {
  const { rows, inner, columns } = problem;
  const contestants: { engine: MatmulEngine; run: MatmulRun; samples: number[] }[] = [];
  for (const engine of engines) {
    const available = await engine.available();
    if (available !== true) {
      console.log(`skipped ${engine.name}: ${available}`);
      continue;
    }
    const run = await engine.prepare(problem);
    await run.multiply();
    const error = largestError(problem, await run.result());
    if (!(error <= TOLERANCE)) {
      failed = true;
      console.error(`FAILED: ${engine.name}: error ${error} relative to √${inner}, allowed ${TOLERANCE}`);
      await run.dispose();
      continue;
    }
    contestants.push({ engine, run, samples: [] });
  }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (let i = 0; i < contestants.length; i++) {
      const { run, samples } = contestants[(i + round) % contestants.length];
      const start = performance.now();
      await run.multiply();
      samples.push(performance.now() - start);
    }
  }
  if (contestants.length === 0) return { rows, inner, columns, results: [] };
  console.log(
    `\n${rows}×${inner}×${columns}, GFLOP/s (best, median), ratio of the best to ${contestants[0].engine.name}`,
  );
  const rate = (ms: number) => (2 * rows * inner * columns) / ms / 1e6;
  const results = contestants.map(({ engine, samples }) => {
    const sorted = [...samples].sort((a, b) => a - b);
    const [best, median] = [rate(sorted[0]), rate(sorted[sorted.length >> 1])];
    const ratio = best / rate(Math.min(...contestants[0].samples));
    console.log(
      `${engine.name.padEnd(20)} ${best.toFixed(2).padStart(8)} ${median.toFixed(2).padStart(8)} ` +
        `${ratio.toFixed(2).padStart(6)}`,
    );
    return { engine: engine.name, best, median, ratio };
  });
  for (const { run } of contestants) await run.dispose();
  return { rows, inner, columns, results };
}

/** Factors with entries of unit scale and no pattern that repeats along a tile. */
function problemOf([rows, inner, columns]: readonly number[]): MatmulProblem {
  const fill = (size: number, seed: number) =>
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898 + seed) * 1.4);
  return { rows, inner, columns, a: fill(rows * inner, 1), b: fill(inner * columns, 2) };
}

function largestError({ rows, inner, columns, a, b }: MatmulProblem, result: Float32Array): number {
  if (result.length !== rows * columns) return Infinity;
  let largest = 0;
  for (let i = 0; i < CHECKED; i++) {
    // A stride that is coprime to the tile sizes visits rows and columns of all residues; the last entry is included.
    const at = (result.length - 1 - ((i * 104729) % result.length) + result.length) % result.length;
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += a[row * inner + k] * b[k * columns + column];
    const error = Math.abs(result[at] - sum) / Math.sqrt(inner);
    largest = Number.isNaN(error) ? Infinity : Math.max(largest, error);
  }
  return largest;
}
