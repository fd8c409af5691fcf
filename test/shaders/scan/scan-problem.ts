/**
 * Scans to be computed and what they must give: random operands of a forward and a backward pass, and the float64
 * loops' results.
 */
import assert from "node:assert/strict";
import type { NamedSpec, ScanSignature, ScanSpec } from "../../../src/specs/scan.ts";
import { gruBackwardSignature, gruForwardSignature } from "../../../src/shaders/scan/gru.ts";
import { lstmBackwardSignature, lstmForwardSignature } from "../../../src/shaders/scan/lstm.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import { seededRandom } from "../lowering-runner.ts";
import {
  gruBackwardLoops,
  gruForwardLoops,
  inSegments,
  lstmBackwardLoops,
  lstmForwardLoops,
} from "./scan-reference.ts";

type Loops = (spec: ScanSpec, inputs: readonly Float64Array[]) => Float64Array[];

/** A cell's operands and reference loops. */
export interface ScanCell {
  readonly name: string;
  readonly forwardSignature: (spec: ScanSpec) => ScanSignature;
  readonly backwardSignature: (spec: ScanSpec) => ScanSignature;
  readonly forwardLoops: Loops;
  readonly backwardLoops: Loops;
  /** Outputs of the forward pass that are results rather than values kept for the backward one. */
  readonly results: number;
  /** Gradient outputs that stand for the forward inputs of these names. */
  readonly gradients: readonly (readonly [output: number, input: string])[];
}

export const GRU: ScanCell = {
  name: "gru",
  forwardSignature: gruForwardSignature,
  backwardSignature: gruBackwardSignature,
  forwardLoops: gruForwardLoops,
  backwardLoops: gruBackwardLoops,
  results: 2,
  gradients: [
    [0, "gates"],
    [2, "h0"],
  ],
};

export const LSTM: ScanCell = {
  name: "lstm",
  forwardSignature: lstmForwardSignature,
  backwardSignature: lstmBackwardSignature,
  forwardLoops: lstmForwardLoops,
  backwardLoops: lstmBackwardLoops,
  results: 3,
  gradients: [
    [0, "gates"],
    [1, "h0"],
    [2, "c0"],
  ],
};

/** Random operands: weights of PyTorch's scale, masks that end rows early and also have holes. */
export function draw(specs: readonly NamedSpec[], spec: ScanSpec, random: () => number): Float64Array[] {
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

export const single = (data: Float64Array): Float32Array => Float32Array.from(data);

/** Asserts that no element differs by more than 1e-5 of the expected tensor's largest magnitude. */
export function assertClose(what: string, actual: Float32Array, expected: Float64Array): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]) / scale;
    assert.ok(error <= 1e-5, `${what}: element ${i} is ${actual[i]}, expected ${expected[i]} (${error} of the scale)`);
  }
}

/** Operands of the backward pass: what the float64 forward pass saved, the weight and mask, and random cotangents. */
export function backwardOperands(
  scan: ScanCell,
  spec: ScanSpec,
  inputs: readonly Float64Array[],
  outputs: readonly Float64Array[],
  random: () => number,
): Float64Array[] {
  const { inputs: inSpecs, outputs: outSpecs } = scan.forwardSignature(spec);
  const specs = scan.backwardSignature(spec).inputs;
  const drawn = draw(specs, spec, random);
  return specs.map(({ name }, i) => {
    const input = inSpecs.findIndex((s) => s.name === name);
    const output = outSpecs.findIndex((s) => s.name === name);
    return input >= 0 ? inputs[input] : output >= 0 ? outputs[output] : drawn[i];
  });
}

/** The loops for a spec, which may hold several sequences. */
function loopsFor(loops: Loops, signature: ScanSignature): Loops {
  return inSegments(
    loops,
    signature.inputs.map((s) => s.name),
    signature.outputs.map((s) => ({ name: s.name, size: sizeOf(s.shape) })),
  );
}

/** One pass: its operands and what it must give, both in the order of the signature. */
export interface ScanPass {
  readonly signature: ScanSignature;
  readonly inputs: readonly Float32Array[];
  /** Elements of every output. */
  readonly sizes: readonly number[];
  readonly expected: readonly Float64Array[];
}

/** Both passes on random operands; `scale` multiplies the input's part of the gates. */
export function scanProblem(
  scan: ScanCell,
  spec: ScanSpec,
  seed: number,
  scale = 1,
): { forward: ScanPass; backward: ScanPass } {
  const random = seededRandom(seed);
  const pass = (signature: ScanSignature, inputs: readonly Float64Array[], loops: Loops): ScanPass => ({
    signature,
    inputs: inputs.map(single),
    sizes: signature.outputs.map((s) => sizeOf(s.shape)),
    expected: loopsFor(loops, signature)(spec, inputs),
  });
  const inputs = draw(scan.forwardSignature(spec).inputs, spec, random);
  if (scale !== 1) inputs[0] = inputs[0].map((x) => Math.fround(x * scale));
  const forward = pass(scan.forwardSignature(spec), inputs, scan.forwardLoops);
  // Rounded as the kernel will read them, so that only its own arithmetic is judged.
  const rounded = forward.expected.map((data) => data.map(Math.fround));
  const operands = backwardOperands(scan, spec, inputs, rounded, random);
  return { forward, backward: pass(scan.backwardSignature(spec), operands, scan.backwardLoops) };
}

/** Asserts that outputs are those expected. */
export function assertPass(label: string, pass: ScanPass, outputs: readonly Float32Array[]): void {
  pass.signature.outputs.forEach(({ name }, i) => assertClose(`${label} ${name}`, outputs[i], pass.expected[i]));
}
