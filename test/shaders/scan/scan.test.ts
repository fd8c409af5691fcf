/** The recurrent scans on a WebGPU adapter against the ops' decompositions in float64. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { AdapterProfile } from "../../../src/shaders/kernel.ts";
import { backwardSignature, forwardSignature } from "../../../src/specs/scan.ts";
import type { ScanSpec } from "../../../src/specs/scan.ts";
import { scanBackward, scanForward } from "../../../src/shaders/scan/scan.ts";
import type { Scan } from "../../specs/scan-problem.ts";
import { SCANS, assertPass, scanProblem } from "../../specs/scan-problem.ts";
import { seededRandom } from "../../support/draw.ts";
import { runLowering, testProfile } from "../lowering-runner.ts";

async function check(scan: Scan, spec: ScanSpec, profile: AdapterProfile, seed: number, scale = 1): Promise<void> {
  const { forward, backward } = await scanProblem(scan, spec, seed, scale);
  const label = `${scan.name} ${JSON.stringify(spec)} ${profile.kind}`;
  assertPass(label, forward, await runLowering(scanForward(scan.cell, spec, profile), forward.inputs, forward.sizes));
  assertPass(
    label,
    backward,
    await runLowering(scanBackward(scan.cell, spec, profile), backward.inputs, backward.sizes),
  );
}

/** Profiles that lead to every way of dealing out rows and units: see `chooseTile`. */
const profiles: readonly AdapterProfile[] = [
  testProfile("cpu"),
  testProfile("gpu"),
  testProfile("gpu", { maxInvocations: 4 }),
  testProfile("cpu", { maxWorkgroupBytes: 4096, maxInvocations: 64 }),
  testProfile("gpu", { maxWorkgroupBytes: 2048 }),
];

describe("scan kernels against the decompositions", () => {
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
  for (const scan of SCANS) {
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
          [scanForward, forwardSignature],
          [scanBackward, backwardSignature],
        ] as const) {
          const { kernels } = lower(scan.cell, spec, testProfile("cpu"));
          const { inputs, outputs } = signature(scan.cell, spec);
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
      assert.throws(
        () => scanBackward(scan.cell, { ...spec, hidden: 5000 }, testProfile("gpu")),
        /hidden size of at most 4096/,
      );
    });
  }
});
