/**
 * The recurrent scans alone: milliseconds of one pass and of the first one (which compiles), below the engine.
 *
 *     node --import tsx bench/scan-kernels.ts [--shapes 64x64x128x1,64x64x256x2] [--rounds 5] [--kind cpu|gpu]
 *     npx deno run -A --unstable-webgpu bench/scan-kernels.ts …
 *
 * A shape is steps × batch × hidden × directions. A sample is one submit of both kernels of the pass and the wait
 * for it; the best of the rounds counts. Processor time is of all this process's threads, so for a software driver it
 * tells what a pass costs where other work competes for the cores.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { scanBackward, scanForward } from "../src/shaders/scan/scan.ts";
import { GRU, LSTM } from "../src/specs/cells.ts";
import { backwardSignature, forwardSignature } from "../src/specs/scan.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { LoadedLowering, openRunner, testProfile } from "../test/shaders/lowering-runner.ts";
import { seededRandom } from "../test/support/draw.ts";

const { values } = parseArgs({
  options: {
    shapes: { type: "string", default: "64x64x128x1,64x64x256x2" },
    rounds: { type: "string", default: "5" },
    kind: { type: "string", default: "cpu" },
  },
});
if (values.kind !== "cpu" && values.kind !== "gpu") throw new Error(`--kind ${values.kind}: choose cpu or gpu`);

const passes = [
  { name: "gru forward", cell: GRU, lower: scanForward, signature: forwardSignature },
  { name: "gru backward", cell: GRU, lower: scanBackward, signature: backwardSignature },
  { name: "lstm forward", cell: LSTM, lower: scanForward, signature: forwardSignature },
  { name: "lstm backward", cell: LSTM, lower: scanBackward, signature: backwardSignature },
];

const runner = await openRunner();
const { limits } = runner.device;
const profile = testProfile(values.kind, {
  maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
  maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
});
console.log(`${runner.title}, profile ${values.kind}`);
console.log("T x B x H x D      pass            ms  GFLOP/s   processor ms  first ms");
const random = seededRandom(1);
for (const shape of values.shapes.split(",")) {
  const [steps, batch, hidden, directions] = shape.split("x").map(Number);
  const spec = { steps, batch, directions, hidden, masked: false };
  for (const { name, cell, lower, signature } of passes) {
    const { inputs, outputs } = signature(cell, spec);
    const size = (operand: { shape: readonly number[] }): number => sizeOf(operand.shape);
    const start = performance.now();
    const loaded = await LoadedLowering.load(runner, lower(cell, spec, profile), inputs.map(size), outputs.map(size));
    loaded.write(inputs.map((input) => Float32Array.from({ length: size(input) }, () => (random() - 0.5) * 0.2)));
    await loaded.time(1);
    const first = performance.now() - start;
    let [best, processor] = [Infinity, Infinity];
    for (let round = 0; round < Number(values.rounds); round++) {
      const before = process.cpuUsage();
      best = Math.min(best, await loaded.time(1));
      const { user, system } = process.cpuUsage(before);
      processor = Math.min(processor, (user + system) / 1000);
    }
    const flops = 2 * steps * batch * directions * cell.gates * hidden * hidden;
    console.log(
      `${shape.padEnd(18)} ${name.padEnd(13)} ${best.toFixed(0).padStart(5)} ` +
        `${(flops / best / 1e6).toFixed(1).padStart(8)} ${processor.toFixed(0).padStart(14)} ` +
        `${first.toFixed(0).padStart(9)}`,
    );
    loaded.destroy();
  }
}
process.exit(0);
