/** Scans to be computed and what they must give: random operands of a forward and a backward pass, and their results. */
import type { NamedSpec, ScanSignature, ScanSpec } from "../../src/specs/scan.ts";
import { gruBackwardSignature, gruForwardSignature } from "../../src/shaders/scan/gru.ts";
import { lstmBackwardSignature, lstmForwardSignature } from "../../src/shaders/scan/lstm.ts";
import type { ScanAttrs } from "../../src/ops/kernels/scan.ts";
import { GRU_SCAN, GRU_SCAN_BACKWARD, LSTM_SCAN, LSTM_SCAN_BACKWARD } from "../../src/ops/scan.ts";
import type { FusedOp } from "../../src/tensor/fused.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Pass } from "../support/decomposition.ts";
import { assertNear, passOf } from "../support/decomposition.ts";
import { seededRandom } from "../support/draw.ts";

/** A cell's ops and operands. */
export interface ScanCell {
  readonly name: string;
  readonly forwardOp: FusedOp<ScanAttrs>;
  readonly backwardOp: FusedOp<ScanAttrs>;
  readonly forwardSignature: (spec: ScanSpec) => ScanSignature;
  readonly backwardSignature: (spec: ScanSpec) => ScanSignature;
  /** Outputs of the forward pass that are results rather than values kept for the backward one. */
  readonly results: number;
}

export const GRU: ScanCell = {
  name: "gru",
  forwardOp: GRU_SCAN,
  backwardOp: GRU_SCAN_BACKWARD,
  forwardSignature: gruForwardSignature,
  backwardSignature: gruBackwardSignature,
  results: 2,
};

export const LSTM: ScanCell = {
  name: "lstm",
  forwardOp: LSTM_SCAN,
  backwardOp: LSTM_SCAN_BACKWARD,
  forwardSignature: lstmForwardSignature,
  backwardSignature: lstmBackwardSignature,
  results: 3,
};

/** Random operands: weights of PyTorch's scale, masks that end rows early and also have holes. */
function draw(specs: readonly NamedSpec[], spec: ScanSpec, random: () => number): Float64Array[] {
  const uniform = (scale: number): number => Math.fround((2 * random() - 1) * scale);
  return specs.map(({ name, shape }) => {
    const data = new Float64Array(sizeOf(shape));
    if (name === "mask") {
      for (let b = 0; b < spec.batch; b++) {
        const length = Math.floor(random() * (spec.steps + 1));
        for (let t = 0; t < spec.steps; t++) data[t * spec.batch + b] = t < length && random() > 0.2 ? 1 : 0;
      }
      return data;
    }
    const scale = name === "weight" ? 1 / Math.sqrt(spec.hidden) : name === "gates" ? 2 : 1;
    return data.map(() => uniform(scale));
  });
}

/** A pass with the operands' names. */
export interface ScanPass extends Pass {
  readonly signature: ScanSignature;
}

async function scanPass(
  op: FusedOp<ScanAttrs>,
  signature: ScanSignature,
  { masked, segments }: ScanSpec,
  operands: readonly Float64Array[],
): Promise<ScanPass> {
  const names = signature.outputs.map((s) => s.name);
  const pass = await passOf(op, signature.inputs, { masked, segments }, operands, names);
  return { ...pass, signature };
}

/** Both passes on random operands; `scale` multiplies the input's part of the gates. */
export async function scanProblem(
  scan: ScanCell,
  spec: ScanSpec,
  seed: number,
  scale = 1,
): Promise<{ forward: ScanPass; backward: ScanPass }> {
  const random = seededRandom(seed);
  const { inputs: inSpecs, outputs: outSpecs } = scan.forwardSignature(spec);
  const inputs = draw(inSpecs, spec, random);
  if (scale !== 1) inputs[0] = inputs[0].map((x) => Math.fround(x * scale));
  const forward = await scanPass(scan.forwardOp, scan.forwardSignature(spec), spec, inputs);
  // Cotangents are drawn. The rest is what the forward pass was given and gave, rounded as the kernel will read it, so
  // that only its own arithmetic is judged.
  const signature = scan.backwardSignature(spec);
  const drawn = draw(signature.inputs, spec, random);
  const operands = signature.inputs.map(({ name }, i) => {
    const input = inSpecs.findIndex((s) => s.name === name);
    const output = outSpecs.findIndex((s) => s.name === name);
    return input >= 0 ? inputs[input] : output >= 0 ? forward.expected[output].map(Math.fround) : drawn[i];
  });
  return { forward, backward: await scanPass(scan.backwardOp, signature, spec, operands) };
}

/** Asserts that outputs are those expected. */
export function assertPass(label: string, pass: Pass, outputs: readonly Float32Array[]): void {
  pass.names.forEach((name, i) => assertNear(`${label} ${name}`, outputs[i], pass.expected[i], { least: 1e-3 }));
}
