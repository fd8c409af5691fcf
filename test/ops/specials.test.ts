/**
 * NaN and infinities through every op that works on more than one element: they come out, forward and backward, where
 * the decomposition in float64 on the reference device has them.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gradients } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { hardSigmoid, norm } from "../../src/ops/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { Tensor, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import { openTestDevice } from "../support/helpers.ts";
import type { SpecialCase } from "../support/special-cases.ts";
import { SPECIAL_CASES } from "../support/special-cases.ts";

const SPECIALS = [NaN, Infinity, -Infinity];

/** Ordinary values between −1 and 1, no two alike. */
function ordinary(shape: readonly number[], seed: number): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: size }, (_, i) => (((i * 0.61803 + seed * 0.37) % 1) - 0.5) * 1.9 + 0.01);
}

/** What an op gives of operands, one of which has a special element, and the gradients by all of them. */
async function results({ shapes, f, differentiable = true }: SpecialCase, place: number, special: number) {
  const data = shapes.map(ordinary);
  const cotangent = place === shapes.length;
  if (!cotangent) {
    const spot = Math.floor(data[place].length * 0.4);
    data[place][spot] = special;
  }
  const operands = data.map((d, i) => tensor(d, { shape: shapes[i] }));
  const made = f(...operands);
  const outputs = made instanceof Tensor ? [made] : [...made];
  const floating = outputs.filter((y) => y.dtype === "f32");
  const seeds = floating.map((y, i) => {
    const values = ordinary(y.shape, 3 + i);
    if (cotangent) values[Math.floor(values.length / 2)] = special;
    return tensor(values, { shape: y.shape });
  });
  const all = differentiable ? [...outputs, ...gradients(floating, seeds, operands)] : outputs;
  return Promise.all(all.map(async (t) => Array.from(await t.cast("f32").read())));
}

const devices: Record<string, () => Promise<Backend>> = {
  cpu: () => CpuDevice.open({ threads: 2 }),
  webgpu: () => openTestDevice(),
  "webgpu, kernels for a GPU": () => openTestDevice({ profile: "gpu" }),
};

function differs(value: number, expected: number, lenient: boolean): boolean {
  if (lenient) return Number.isFinite(value) && (!Number.isFinite(expected) || differs(value, expected, false));
  if (Number.isNaN(expected)) return !Number.isNaN(value);
  if (!Number.isFinite(expected)) return value !== expected;
  return !(Math.abs(value - expected) <= 2e-4 * Math.max(1, Math.abs(expected)));
}

for (const [kind, open] of Object.entries(devices)) {
  describe(`special values through ops on ${kind}`, () => {
    let device: Backend;
    const reference = new ReferenceDevice();
    before(async () => {
      device = await open();
    });
    after(() => device.close());

    for (const [name, one] of Object.entries(SPECIAL_CASES)) {
      // Of what the printer makes the variant for a GPU differs in sums only, which reductions.test.ts has.
      if (kind.endsWith("GPU") && !one.algebra && !name.startsWith("topK")) continue;
      test(name, async () => {
        const wrong: string[] = [];
        const places = one.shapes.length + (one.differentiable === false ? 0 : 1);
        for (let place = 0; place < places; place++) {
          for (const special of SPECIALS) {
            setDefaultDevice(device);
            const found = await results(one, place, special);
            setDefaultDevice(reference);
            const expected = await results(one, place, special);
            const outputs = expected.length - (one.differentiable === false ? 0 : one.shapes.length);
            expected.forEach((values, r) => {
              const lenient = one.algebra === true && r >= outputs;
              const at = values.findIndex((v, i) => differs(found[r][i], v, lenient));
              const where = place === one.shapes.length ? "the cotangent" : `operand ${place}`;
              if (at >= 0)
                wrong.push(`${special} in ${where}: result ${r} [${at}] is ${values[at]}, not ${found[r][at]}`);
            });
          }
        }
        assert.deepEqual(wrong, []);
      });
    }
  });
}

describe("NaN is no branch of a choice", () => {
  for (const [name, f] of Object.entries<(x: Tensor) => Tensor>({
    norm: (x) => norm(x, { axes: -1 }),
    "norm of order 3": (x) => norm(x, { axes: -1, p: 3 }),
    "norm of order 0.5": (x) => norm(x, { axes: -1, p: 0.5 }),
    hardSigmoid: (x) => hardSigmoid(x).sum(-1),
  })) {
    test(`${name} of NaN is NaN, of other rows what it was`, async () => {
      setDefaultDevice(new ReferenceDevice());
      const [lost, whole] = await f(
        tensor([
          [NaN, 4],
          [3, 4],
        ]),
      ).read();
      assert.ok(Number.isNaN(lost) && Number.isFinite(whole), `${lost}, ${whole}`);
    });
  }
});
