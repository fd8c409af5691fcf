/**
 * The recurrent scans of the cpu device alone, on one thread: milliseconds and GFLOP/s of one pass, beside the register
 * tile's own rate, below the engine.
 *
 *     node --import tsx bench/cpu-scan.ts [--shapes 64x64x128x1,64x64x256x2,64x64x512x1] [--rounds 5]
 *                                         [--cells gru,lstm]
 *
 * A shape is steps × batch × hidden × directions; where the engine joins vectors (`hico info`) every pass is timed
 * written for 128 and for 256 bits. `peak` is the register tile on panels that stay in the first-level cache,
 * timed between the passes; the best of the rounds counts for both. GFLOP/s count the products with the recurrent
 * weight. Times are of the processor, so that what else the machine does counts less; `first` is by the clock, of
 * printing, compiling and the first run.
 */
import { parseArgs } from "node:util";
import { GRU, LSTM } from "../src/specs/cells.ts";
import type { GatedCell } from "../src/specs/cells.ts";
import { backwardSignature, forwardSignature } from "../src/specs/scan.ts";
import type { ScanSpec } from "../src/specs/scan.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { scanBackward, scanForward } from "../src/wasm/scan/scan.ts";
import { features, loadKernels, peakRate } from "./cpu-kernel.ts";

const { values } = parseArgs({
  options: {
    shapes: { type: "string", default: "64x64x128x1,64x64x256x2,64x64x512x1" },
    rounds: { type: "string", default: "5" },
    cells: { type: "string", default: "gru,lstm" },
  },
});

/** Of states and gates: nothing saturates. */
const LARGEST = 0.1;

const forward = (cell: GatedCell, spec: ScanSpec, wide: boolean) => scanForward(cell, spec, true, wide);

const passes = [
  { name: "gru forward", cell: GRU, lower: forward, signature: forwardSignature },
  { name: "gru backward", cell: GRU, lower: scanBackward, signature: backwardSignature },
  { name: "lstm forward", cell: LSTM, lower: forward, signature: forwardSignature },
  { name: "lstm backward", cell: LSTM, lower: scanBackward, signature: backwardSignature },
].filter(({ name }) => values.cells.split(",").some((cell) => name.startsWith(cell)));

const widths = features.wide ? [false, true] : [false];
console.log("T x B x H x D      pass           bits pack     scan ms  GFLOP/s  peak   ratio  first ms  bytes");
for (const shape of values.shapes.split(",")) {
  const [steps, batch, hidden, directions] = shape.split("x").map(Number);
  const spec = { steps, batch, directions, hidden, masked: false };
  const flops = 2 * steps * batch * directions * hidden * hidden;
  for (const { name, cell, lower, signature } of passes) {
    const { inputs, outputs } = signature(cell, spec);
    const sizes = (operands: typeof inputs) => operands.map((s) => sizeOf(s.shape));
    const timed = widths.map((wide) => {
      const { run, bytes, start } = loadKernels(lower(cell, spec, wide), sizes(inputs), sizes(outputs), LARGEST);
      run();
      return { wide, run, bytes, first: performance.now() - start, best: Infinity, pack: Infinity };
    });
    let rate = 0;
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const pass of timed) {
        const [packing, scan] = pass.run();
        [pass.best, pass.pack] = [Math.min(pass.best, scan), Math.min(pass.pack, packing)];
      }
      rate = Math.max(rate, peakRate());
    }
    const column = (value: number, digits: number, width: number): string => value.toFixed(digits).padStart(width);
    for (const { wide, bytes, first, best, pack } of timed) {
      const reached = (flops * cell.gates) / best / 1e6;
      console.log(
        [
          shape.padEnd(18),
          name.padEnd(14),
          wide ? "256" : "128",
          column(pack, 2, 5),
          column(best, 2, 11),
          column(reached, 1, 8),
          column(rate, 1, 6),
          column(reached / rate, 2, 6),
          column(first, 0, 9),
          column(bytes, 0, 6),
        ].join(" "),
      );
    }
  }
}
