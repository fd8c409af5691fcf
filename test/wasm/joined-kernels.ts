/**
 * A kernel of every family the `cpu` device has, written in pairs of vectors, in one module that V8 compiles at once: run
 * by `joined.test.ts` in a process of its own. Prints on its standard error, as JSON, which functions of the module
 * belong to which family.
 */
import { CpuPlanner } from "../../src/device/cpu/planner.ts";
import { layOut } from "../../src/device/cpu/program-layout.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { concat, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { wasmFeatures } from "../../src/wasm/assembler/features.ts";
import { attentionBackward, attentionForward } from "../../src/wasm/attention/attention.ts";
import { infoNceBackward, infoNceForward } from "../../src/wasm/info-nce/info-nce.ts";
import type { WasmKernel, WasmLowering } from "../../src/wasm/kernel.ts";
import { emitProgram } from "../../src/wasm/program.ts";
import { GRU, LSTM } from "../../src/specs/cells.ts";
import { scanBackward, scanForward } from "../../src/wasm/scan/scan.ts";

const features = { ...wasmFeatures(), wide: true };
const planner = new CpuPlanner(features);

/** The kernels a result takes; its leaves are read, not made. */
function kernelsOf(...results: readonly Tensor[]): readonly WasmKernel[] {
  const plan = planner.plan(
    planner.graph(
      results.map((r) => r.node),
      [],
    ),
  );
  return layOut(plan, planner).entries.map(({ kernel }) => kernel);
}

const fused = ({ kernels }: WasmLowering): readonly WasmKernel[] => kernels;

/** A tensor of the given shape that stands in memory. */
const given = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });

function layerNorm(x: Tensor, gain: Tensor): Tensor {
  const centred = x.sub(x.mean(1, true));
  return centred.div(centred.square().mean(1, true).add(1e-5).sqrt()).mul(gain);
}

/** Depthwise convolution along the second axis of x [N, T, C] by w [C, K], its result in parts that follow each other. */
function shifted(x: Tensor, w: Tensor): Tensor {
  const count = x.shape[1];
  const padded = x.pad([
    [0, 0],
    [w.shape[1], 0],
    [0, 0],
  ]);
  const terms = Array.from({ length: w.shape[1] }, (_, k) => padded.slice(null, [k, k + count]).mul(w.slice(null, k)));
  return concat([terms.reduce((sum, term) => sum.add(term)), x], 1).relu();
}

/** Momentum, as optimizers write it: the slot's and the parameter's next values. */
function momentum(p: Tensor, v: Tensor, g: Tensor): Tensor[] {
  const next = v.mul(0.9).add(g.add(p.mul(1e-4)));
  return [next, p.sub(next.mul(0.1))];
}

const scan = { steps: 4, batch: 16, directions: 1, hidden: 64, masked: false };
const heads = { batch: 1, heads: 2, queries: 64, keys: 64, dim: 32, scale: 0.2, packed: true, mask: false, keep: true };
const queue = { rows: 32, channels: 64, positives: 1, negatives: 512, temperature: 0.2 };

const FAMILIES: Readonly<Record<string, readonly WasmKernel[]>> = {
  "product, B packed": kernelsOf(given(256, 256).matmul(given(256, 256))),
  "product, A packed": kernelsOf(given(256, 256).transpose().matmul(given(256, 256))),
  "product in parts of k": kernelsOf(given(4096, 128).transpose().matmul(given(4096, 128))),
  "product with an epilogue": kernelsOf(given(256, 256).matmul(given(256, 256)).add(given(256)).relu()),
  "elementwise loop": kernelsOf(given(64, 256).mul(given(64, 256)).add(given(256))),
  "padded and joined rows": kernelsOf(shifted(given(8, 16, 256), given(256, 3))),
  exponentials: kernelsOf(given(64, 256).sub(given(256)).exp()),
  gelu: kernelsOf(given(64, 256).gelu()),
  softmax: kernelsOf(softmax(given(64, 256), 1)),
  "layer norm": kernelsOf(layerNorm(given(64, 256), given(256))),
  "sum of rows": kernelsOf(given(64, 256).sum(1)),
  "sum across rows": kernelsOf(given(512, 256).sum(0)),
  optimizer: kernelsOf(...momentum(given(256, 256), given(256, 256), given(256, 256))),
  "attention forward": fused(attentionForward(heads)),
  "attention backward": fused(attentionBackward(heads)),
  "InfoNCE forward": fused(infoNceForward(queue)),
  "InfoNCE backward": fused(infoNceBackward(queue)),
  "GRU scan": fused(scanForward(GRU, scan, true, true)),
  "GRU scan backward": fused(scanBackward(GRU, scan, true)),
  "LSTM scan": fused(scanForward(LSTM, scan, true, true)),
  "LSTM scan backward": fused(scanBackward(LSTM, scan, true)),
};

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const entries = Object.values(FAMILIES)
  .flat()
  .map((kernel) => ({ kernel, inputs: range(20), outputs: range(20), scratch: range(20), sizes: range(2) }));
/** Past the last function of each family: those that its kernels share come before them. */
const ends: Record<string, number> = {};
const bytes = emitProgram(entries, features, false, (_, kernels) => {
  let last = 0;
  for (const [name, family] of Object.entries(FAMILIES)) {
    last += family.length;
    ends[name] = kernels[last - 1].index + 1;
  }
});
new WebAssembly.Module(bytes);
console.error(JSON.stringify(ends));
