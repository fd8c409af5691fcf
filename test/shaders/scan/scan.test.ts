/**
 * The recurrent scans on a WebGPU adapter against plain float64 loops, and those loops' gradients against finite
 * differences.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { AdapterProfile, Lowering } from "../../../src/shaders/kernel.ts";
import type { ScanSpec } from "../../../src/specs/scan.ts";
import { gruBackward, gruForward } from "../../../src/shaders/scan/gru.ts";
import { lstmBackward, lstmForward } from "../../../src/shaders/scan/lstm.ts";
import { runLowering, seededRandom, testProfile } from "../lowering-runner.ts";
import type { ScanCell } from "./scan-problem.ts";
import { GRU, LSTM, assertPass, backwardOperands, draw, scanProblem } from "./scan-problem.ts";

type Lower = (spec: ScanSpec, profile: AdapterProfile) => Lowering;

interface Scan extends ScanCell {
  readonly forward: Lower;
  readonly backward: Lower;
}

const scans: readonly Scan[] = [
  { ...GRU, forward: gruForward, backward: gruBackward },
  { ...LSTM, forward: lstmForward, backward: lstmBackward },
];

async function check(scan: Scan, spec: ScanSpec, profile: AdapterProfile, seed: number, scale = 1): Promise<void> {
  const { forward, backward } = scanProblem(scan, spec, seed, scale);
  const label = `${scan.name} ${JSON.stringify(spec)} ${profile.kind}`;
  assertPass(label, forward, await runLowering(scan.forward(spec, profile), forward.inputs, forward.sizes));
  assertPass(label, backward, await runLowering(scan.backward(spec, profile), backward.inputs, backward.sizes));
}

/** Profiles that lead to every way of dealing out rows and units: see `chooseTile`. */
const profiles: readonly AdapterProfile[] = [
  testProfile("cpu"),
  testProfile("gpu"),
  testProfile("gpu", { maxInvocations: 4 }),
  testProfile("cpu", { maxWorkgroupBytes: 4096, maxInvocations: 64 }),
  testProfile("gpu", { maxWorkgroupBytes: 2048 }),
];

describe("the float64 loops' gradients are those of finite differences", () => {
  for (const scan of scans) {
    for (const masked of [false, true]) {
      test(`${scan.name}${masked ? " with a mask" : ""}`, () => {
        const spec: ScanSpec = { steps: 4, batch: 2, directions: 2, hidden: 3, masked };
        const random = seededRandom(11);
        const { inputs: inSpecs, outputs: outSpecs } = scan.forwardSignature(spec);
        const inputs = draw(inSpecs, spec, random);
        const outputs = scan.forwardLoops(spec, inputs);
        const operands = backwardOperands(scan, spec, inputs, outputs, random);
        const cotangents = operands.slice(0, scan.results);
        const gradients = scan.backwardLoops(spec, operands);
        const objective = (at: readonly Float64Array[]): number => {
          const results = scan.forwardLoops(spec, at).slice(0, scan.results);
          return results.reduce((sum, data, i) => sum + data.reduce((s, v, j) => s + v * cotangents[i][j], 0), 0);
        };
        const compare = (input: string, gradient: Float64Array): void => {
          const index = inSpecs.findIndex((s) => s.name === input);
          const scale = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          assert.ok(scale > 0, `${input}: the gradient is all zero`);
          for (let i = 0; i < gradient.length; i++) {
            const moved = (step: number): number =>
              objective(inputs.map((data, n) => (n === index ? data.map((x, j) => (j === i ? x + step : x)) : data)));
            const difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            const error = Math.abs(difference - gradient[i]) / scale;
            assert.ok(error <= 1e-6, `d${input}[${i}] is ${gradient[i]}, finite difference ${difference}`);
          }
        };
        for (const [output, input] of scan.gradients) compare(input, gradients[output]);

        // The sums left to the engine, over the outputs as documented.
        const { steps: T, batch: B, directions: D, hidden: H } = spec;
        const names = scan.backwardSignature(spec).outputs.map((s) => s.name);
        const dgates = gradients[Math.max(0, names.indexOf("dgatesH"))];
        const hPrev = outputs[outSpecs.findIndex((s) => s.name === "hPrev")];
        const units = dgates.length / (T * B * D);
        const dWeight = new Float64Array(D * units * H);
        const dBias = new Float64Array(D * units);
        for (let row = 0; row < T * B; row++) {
          for (let d = 0; d < D; d++) {
            for (let j = 0; j < units; j++) {
              const g = dgates[(row * D + d) * units + j];
              dBias[d * units + j] += g;
              for (let k = 0; k < H; k++) dWeight[(d * units + j) * H + k] += g * hPrev[(row * D + d) * H + k];
            }
          }
        }
        compare("weight", dWeight);
        compare("bias", dBias);
      });
    }
  }
});

describe("scan kernels against float64 loops", () => {
  const sizes: readonly (readonly [steps: number, batch: number, directions: number, hidden: number])[] = [
    [1, 1, 1, 1],
    [2, 3, 2, 1],
    [9, 17, 1, 3],
    [2, 3, 2, 5],
    [9, 1, 2, 32],
    [9, 17, 2, 32],
    [2, 17, 1, 130],
    [9, 3, 2, 130],
  ];
  for (const scan of scans) {
    sizes.forEach(([steps, batch, directions, hidden], n) => {
      test(`${scan.name}: T=${steps} B=${batch} D=${directions} H=${hidden}`, async () => {
        for (const masked of [false, true]) {
          const spec: ScanSpec = { steps, batch, directions, hidden, masked };
          const [cpu, gpu, ...others] = profiles;
          await check(scan, spec, masked === (n % 2 === 0) ? cpu : gpu, 100 + n);
          if (masked) await check(scan, spec, others[(n + 1) % others.length], 200 + n);
        }
      });
    });

    test(`${scan.name}: a product large enough for the large tile`, async () => {
      const spec: ScanSpec = { steps: 3, batch: 61, directions: 1, hidden: 196, masked: true };
      await check(scan, spec, testProfile("cpu"), 9);
    });

    test(`${scan.name}: random sizes`, async () => {
      const random = seededRandom(7);
      for (let n = 0; n < 6; n++) {
        const spec: ScanSpec = {
          steps: 1 + Math.floor(random() * 6),
          batch: 1 + Math.floor(random() * 40),
          directions: 1 + Math.floor(random() * 2),
          hidden: 1 + Math.floor(random() * 40),
          masked: random() < 0.5,
        };
        await check(scan, spec, profiles[n % profiles.length], 1000 + n);
      }
    });

    test(`${scan.name}: several sequences in one dispatch, each as by itself`, async () => {
      const shapes = [
        { segments: [5, 2, 1], batch: 3, directions: 2, hidden: 6 },
        { segments: [1, 4], batch: 17, directions: 1, hidden: 32 },
        { segments: [3], batch: 2, directions: 2, hidden: 8 },
      ];
      for (const [n, shape] of shapes.entries()) {
        const steps = shape.segments.reduce((a, b) => a + b, 0);
        for (const masked of [false, true]) {
          await check(scan, { ...shape, steps, masked }, profiles[(2 * n + Number(masked)) % profiles.length], 300 + n);
        }
      }
    });

    test(`${scan.name}: a state as large as the workgroup memory holds`, async () => {
      const spec: ScanSpec = { steps: 2, batch: 3, directions: 1, hidden: 1024, masked: false };
      await check(scan, spec, testProfile("cpu", { maxWorkgroupBytes: 4096 }), 5);
    });

    test(`${scan.name}: saturated gates give finite values`, async () => {
      const spec: ScanSpec = { steps: 3, batch: 2, directions: 1, hidden: 6, masked: false };
      for (const profile of profiles.slice(0, 2)) await check(scan, spec, profile, 3, 500);
    });

    test(`${scan.name}: operands it does not need are not bound, and none is a ninth storage buffer`, () => {
      for (const masked of [false, true]) {
        const spec: ScanSpec = { steps: 2, batch: 2, directions: 1, hidden: 4, masked };
        for (const [lower, signature] of [
          [scan.forward, scan.forwardSignature],
          [scan.backward, scan.backwardSignature],
        ] as const) {
          const { kernels } = lower(spec, testProfile("cpu"));
          const { inputs, outputs } = signature(spec);
          const used = (role: string): Set<number> =>
            new Set(kernels.flatMap((k) => k.bindings.filter((b) => b.role === role).map((b) => b.index)));
          assert.deepEqual(
            [...used("in")].sort(),
            inputs.map((_, i) => i),
          );
          assert.deepEqual(
            [...used("out")].sort(),
            outputs.map((_, i) => i),
          );
          for (const kernel of kernels) assert.ok(kernel.bindings.length <= 8, kernel.name);
        }
      }
    });

    test(`${scan.name}: a state too wide for the workgroup's memory is refused`, () => {
      const spec: ScanSpec = { steps: 2, batch: 2, directions: 1, hidden: 4, masked: false };
      assert.throws(() => scan.backward({ ...spec, hidden: 5000 }, testProfile("gpu")), /hidden size of at most 4096/);
    });
  }
});
