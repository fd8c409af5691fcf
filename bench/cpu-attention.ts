/**
 * Attention and InfoNCE of the cpu device alone, on one thread: milliseconds and GFLOP/s of a pass, beside the register
 * tile's own rate.
 *
 *     node --import tsx bench/cpu-attention.ts [--rounds 7] [--only attention]
 *
 * GFLOP/s count the products: of attention 2 forward and 5 backward of Tq×Tk×D for each head (of segments, each its own
 * square), of InfoNCE 1 forward and 2 backward of N×K×C. The tile's rate is taken between the passes; of both the best
 * counts.
 */
import { parseArgs } from "node:util";
import {
  attentionBackwardInputs,
  attentionBackwardOutputs,
  attentionForwardInputs,
  attentionForwardOutputs,
} from "../src/shaders/attention/attention.ts";
import type { AttentionSpec } from "../src/shaders/attention/attention.ts";
import {
  infoNceBackwardInputs,
  infoNceBackwardOutputs,
  infoNceForwardInputs,
  infoNceForwardOutputs,
} from "../src/specs/info-nce.ts";
import type { InfoNceSpec } from "../src/specs/info-nce.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { attentionBackward, attentionForward } from "../src/wasm/attention/attention.ts";
import { infoNceBackward, infoNceForward } from "../src/wasm/info-nce/info-nce.ts";
import type { WasmLowering } from "../src/wasm/kernel.ts";
import { loadKernels, peakRate } from "./cpu-kernel.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, only: { type: "string", default: "" } },
});

type Tensors = readonly { readonly shape: readonly number[] }[];
const sizes = (tensors: Tensors): number[] => tensors.map((t) => sizeOf(t.shape));

function measure(name: string, lowering: WasmLowering, inputs: Tensors, outputs: Tensors, flops: number): void {
  if (!name.includes(values.only)) return;
  const { run, bytes } = loadKernels(lowering, sizes(inputs), sizes(outputs));
  for (let i = 0; i < 3; i++) run();
  let [best, rate]: [number[], number] = [[Infinity], 0];
  const total = (times: readonly number[]): number => times.reduce((a, b) => a + b, 0);
  for (let round = 0; round < Number(values.rounds); round++) {
    const times = run();
    if (total(times) < total(best)) best = times;
    rate = Math.max(rate, peakRate());
  }
  const reached = flops / total(best) / 1e6;
  console.log(
    `${name.padEnd(56)} ${total(best).toFixed(2).padStart(8)} ms ${reached.toFixed(1).padStart(6)} GFLOP/s  ` +
      `peak ${rate.toFixed(1)}  ${(reached / rate).toFixed(2)}  kernels ` +
      `${best.map((t) => t.toFixed(2)).join(" ")}  ${bytes} bytes`,
  );
}

function attention(name: string, given: Partial<AttentionSpec>): void {
  const steps = given.segments?.reduce((a, b) => a + b, 0) ?? given.queries ?? 64;
  const spec: AttentionSpec = {
    batch: 64,
    heads: 4,
    queries: steps,
    keys: steps,
    dim: 32,
    scale: 0.2,
    packed: true,
    mask: false,
    keep: false,
    ...given,
  };
  const pairs = spec.segments?.reduce((sum, n) => sum + n * n, 0) ?? spec.queries * spec.keys;
  const product = 2 * spec.batch * spec.heads * pairs * spec.dim;
  const [forward, backward] = [attentionForward(spec), attentionBackward(spec)];
  const title = `attention ${name}`;
  measure(`${title}, forward`, forward, attentionForwardInputs(spec), attentionForwardOutputs(spec), 2 * product);
  measure(`${title}, backward`, backward, attentionBackwardInputs(spec), attentionBackwardOutputs(spec), 5 * product);
}

function infoNce(rows: number, negatives: number, positives = 1): void {
  const spec: InfoNceSpec = { rows, channels: 128, positives, negatives, temperature: 0.2 };
  const product = 2 * rows * spec.channels * negatives;
  const name = `infoNce ${rows}x${negatives}, ${positives} positive${positives > 1 ? "s" : ""}`;
  const [forward, backward] = [infoNceForward(spec), infoNceBackward(spec)];
  measure(`${name}, forward`, forward, infoNceForwardInputs(spec), infoNceForwardOutputs(spec), product);
  measure(`${name}, backward`, backward, infoNceBackwardInputs(spec), infoNceBackwardOutputs(spec), 2 * product);
}

attention("B64 H4 T64 D32", {});
attention("B64 H4 T64 D32, keep", { keep: true });
attention("B64 H4 T64/32/16/8 D32, keep (HiCo, d=128)", { segments: [64, 32, 16, 8], keep: true });
attention("B64 H4 T50/25/12/6 D32, keep (HiCo, d=128)", { segments: [50, 25, 12, 6], keep: true });
attention("B64 H4 T64/32/16/8 D128, keep (HiCo, d=512)", { segments: [64, 32, 16, 8], dim: 128, keep: true });
attention("B1 H8 T1024 D64", { batch: 1, heads: 8, queries: 1024, dim: 64 });
infoNce(64, 2048);
infoNce(64, 8192, 4);
infoNce(64, 65536);
infoNce(512, 16384);
