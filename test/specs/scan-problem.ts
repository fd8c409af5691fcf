/** Scans to be computed and what they must give: random operands of a forward and a backward pass, and their results. */
import type { GatedCell } from "../../src/specs/cells.ts";
import { backwardSignature, forwardSignature } from "../../src/specs/scan.ts";
import type { NamedSpec, ScanSignature, ScanSpec } from "../../src/specs/scan.ts";
import type { ScanAttrs } from "../../src/ops/kernels/scan.ts";
import { GRU_SCAN, LSTM_SCAN, gatedScan } from "../../src/ops/scan.ts";
import type { GatedScan } from "../../src/ops/scan.ts";
import type { FusedOp } from "../../src/tensor/fused.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Pass } from "../support/decomposition.ts";
import { assertNear, passOf } from "../support/decomposition.ts";
import { seededRandom } from "../support/draw.ts";

/**
 * LSTM whose input and forget gates are coupled (Greff et al. 2017, "LSTM: A Search Space Odyssey", CIFG); gates i, g, o:
 *   i, o = σ(x + h)   g = tanh(x + h)   c' = (1 − i)·c + i·g   h' = o·tanh(c')
 * The package has no such layer: a gated cell is what it says of itself, and nothing else has to know it.
 */
const COUPLED: GatedCell = {
  name: "coupledScan",
  gates: 3,
  states: ["h", "c"],
  kept: 3,
  activations: ["sigmoid", "tanh", "sigmoid"],
  update(b, unit, activated) {
    const c = b.name(unit.state(1));
    const next = b.name(b.multiplyAdd(activated(0), b.sub(activated(1), c), c));
    return { states: [b.mul(activated(2), b.tanh(next)), next], kept: [] };
  },
  backward(b, unit) {
    const [i, g, o] = [0, 1, 2].map((part) => b.name(unit.kept(part)));
    const one = b.const(1);
    const c = b.name(unit.state(1));
    const squashed = b.name(b.tanh(b.name(b.multiplyAdd(i, b.sub(g, c), c))));
    const dh = unit.cotangent(0);
    const slope = (x: typeof c) => b.mul(x, b.sub(one, x));
    const dc = b.name(b.multiplyAdd(b.mul(dh, o), b.negativeMultiplyAdd(squashed, squashed, one), unit.cotangent(1)));
    const gates = [
      b.mul(b.mul(dc, b.sub(g, c)), slope(i)),
      b.mul(b.mul(dc, i), b.negativeMultiplyAdd(g, g, one)),
      b.mul(b.mul(dh, squashed), slope(o)),
    ];
    return { input: gates, recurrent: gates, states: [undefined, b.mul(dc, b.sub(one, i))] };
  },
  scaled: false,
  readsState: false,
  flops: { forward: 11, backward: 18 },
};

/** A cell's ops under a short name. */
export interface Scan extends GatedScan {
  readonly name: string;
}

export const SCANS: readonly Scan[] = [
  { name: "gru", ...GRU_SCAN },
  { name: "lstm", ...LSTM_SCAN },
  { name: "a cell of one's own", ...gatedScan(COUPLED) },
];

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
  scan: Scan,
  spec: ScanSpec,
  seed: number,
  scale = 1,
): Promise<{ forward: ScanPass; backward: ScanPass }> {
  const random = seededRandom(seed);
  const { inputs: inSpecs, outputs: outSpecs } = forwardSignature(scan.cell, spec);
  const inputs = draw(inSpecs, spec, random);
  if (scale !== 1) inputs[0] = inputs[0].map((x) => Math.fround(x * scale));
  const forward = await scanPass(scan.forward, forwardSignature(scan.cell, spec), spec, inputs);
  // Cotangents are drawn. The rest is what the forward pass was given and gave, rounded as the kernel will read it, so
  // that only its own arithmetic is judged.
  const signature = backwardSignature(scan.cell, spec);
  const drawn = draw(signature.inputs, spec, random);
  const operands = signature.inputs.map(({ name }, i) => {
    const input = inSpecs.findIndex((s) => s.name === name);
    const output = outSpecs.findIndex((s) => s.name === name);
    return input >= 0 ? inputs[input] : output >= 0 ? forward.expected[output].map(Math.fround) : drawn[i];
  });
  return { forward, backward: await scanPass(scan.backward, signature, spec, operands) };
}

/** Asserts that outputs are those expected. */
export function assertPass(label: string, pass: Pass, outputs: readonly Float32Array[]): void {
  pass.names.forEach((name, i) => assertNear(`${label} ${name}`, outputs[i], pass.expected[i], { least: 1e-3 }));
}
