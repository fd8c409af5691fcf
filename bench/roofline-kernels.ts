/** The kernels of fused ops that `bench/roofline.ts` times, with their bytes and operations. */
import {
  attentionBackwardInputs,
  attentionBackwardOutputs,
  attentionForwardInputs,
  attentionForwardOutputs,
} from "../src/shaders/attention/attention.ts";
import {
  infoNceBackwardInputs,
  infoNceBackwardOutputs,
  infoNceForwardInputs,
  infoNceForwardOutputs,
} from "../src/specs/info-nce.ts";
import { GRU, LSTM } from "../src/specs/cells.ts";
import type { GatedCell } from "../src/specs/cells.ts";
import { backwardSignature, forwardSignature } from "../src/specs/scan.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { attentionBackward, attentionForward } from "../src/wasm/attention/attention.ts";
import { infoNceBackward, infoNceForward } from "../src/wasm/info-nce/info-nce.ts";
import type { WasmLowering } from "../src/wasm/kernel.ts";
import { scanBackward, scanForward } from "../src/wasm/scan/scan.ts";
import type { Work } from "./roofline.ts";

interface KernelWork {
  readonly work: Work;
  readonly lowering: WasmLowering;
  /** Elements of each. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

type Tensors = readonly { readonly shape: readonly number[] }[];

/** Operations of an exponential, beside what goes in and comes out. */
const EXP = 12;

export function kernelWork(wide: boolean): KernelWork[] {
  const entry = (
    family: string,
    sizes: string,
    lowering: WasmLowering,
    [given, made]: readonly [Tensors, Tensors],
    multiplyAdds: number,
    operations: number,
  ): KernelWork => {
    const [inputs, outputs] = [given, made].map((list) => list.map(({ shape }) => sizeOf(shape)));
    const bytes = 4 * [...inputs, ...outputs].reduce((a, b) => a + b, 0);
    return { work: { family, sizes, multiplyAdds, operations, bytes }, lowering, inputs, outputs };
  };
  const heads = {
    batch: 64,
    heads: 4,
    queries: 64,
    keys: 64,
    dim: 32,
    scale: 0.2,
    packed: true,
    mask: false,
    keep: true,
  };
  const pairs = heads.batch * heads.heads * heads.queries * heads.keys;
  const queue = { rows: 64, channels: 128, positives: 1, negatives: 2048, temperature: 0.2 };
  const logits = queue.rows * queue.negatives;
  const scan = { steps: 64, batch: 64, directions: 1, hidden: 128, masked: false };
  const states = scan.steps * scan.batch * scan.hidden;
  const attention = "B 64, H 4, T 64, D 32, dropout";
  const infoNce = "64 × 2048, C 128";
  const steps = "T 64, B 64, H 128";
  const scans = (name: string, cell: GatedCell): KernelWork[] =>
    ["scan", "scan backward"].map((pass, i) => {
      const { inputs, outputs } = i === 0 ? forwardSignature(cell, scan) : backwardSignature(cell, scan);
      return entry(
        `${name} ${pass}`,
        steps,
        i === 0 ? scanForward(cell, scan, true, wide) : scanBackward(cell, scan, wide),
        [inputs, outputs],
        cell.gates * states * scan.hidden,
        // Of the gates, an exponential each and a few operations on the state.
        i === 0 ? (cell.gates * (EXP + 2) + 5) * states : 16 * states,
      );
    });
  return [
    entry(
      "attention",
      attention,
      attentionForward(heads),
      [attentionForwardInputs(heads), attentionForwardOutputs(heads)],
      2 * pairs * heads.dim,
      (EXP + 4) * pairs,
    ),
    entry(
      "attention backward",
      attention,
      attentionBackward(heads),
      [attentionBackwardInputs(heads), attentionBackwardOutputs(heads)],
      5 * pairs * heads.dim,
      (EXP + 5) * pairs,
    ),
    entry(
      "InfoNCE",
      infoNce,
      infoNceForward(queue),
      [infoNceForwardInputs(queue), infoNceForwardOutputs(queue)],
      logits * queue.channels,
      (EXP + 3) * logits,
    ),
    entry(
      "InfoNCE backward",
      infoNce,
      infoNceBackward(queue),
      [infoNceBackwardInputs(queue), infoNceBackwardOutputs(queue)],
      2 * logits * queue.channels,
      (EXP + 2) * logits,
    ),
    ...scans("GRU", GRU),
    ...scans("LSTM", LSTM),
  ];
}
