/** Values made of parts side by side, whichever kernel stores them: to the bit what the reference device says. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gradients } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { concat, ones, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import { compile } from "../../src/tensor/program/compile.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../support/helpers.ts";

const SHAPE = [6, 5, 8];
/** Small whole numbers and −0: sums and products of them are exact on every device. */
const given = (start: number): Tensor =>
  tensor(
    Float32Array.from({ length: 240 }, (_, i) => ((i + start) % 7 === 3 ? -0 : ((3 * i + start) % 9) - 4)),
    { shape: SHAPE },
  );

/** A tensor at `low` of an axis of zeros. */
const at = (t: Tensor, axis: number, low: number, size: number): Tensor =>
  t.pad(t.shape.map((n, a) => (a === axis ? [low, size - low - n] : [0, 0])));

type Program = (x: Tensor, y: Tensor) => Tensor[];

const third = (x: Tensor, k: number): Tensor => x.slice([2 * k, 2 * k + 2]);

const programs: Record<string, Program> = {
  "gradients of slices": (x, y) => {
    const [a, b, c] = [0, 1, 2].map((k) => third(x, k));
    const z = a.mul(b).sub(b.mul(c).mul(third(y, 1)));
    return gradients([z.square()], [ones(z.shape)], [x, y]);
  },
  "gradients of slices of a kernel that reduces": (x, y) => {
    const [a, b, c] = [0, 1, 2].map((k) => third(x, k));
    const z = a.mul(b).add(c);
    const centred = z.sub(z.sum(-1, true));
    return gradients([centred.mul(third(y, 0))], [ones(z.shape)], [x]);
  },
  "minus nothing, joined and added up": (x, y) => {
    const [p, q] = [x.neg(), y.mul(x)];
    return [concat([p, q], 1), at(p, 1, 0, 10).add(at(q, 1, 5, 10)), at(q, 2, 8, 16).add(at(p, 2, 0, 16))];
  },
  "joined along every axis, in every order": (x, y) => {
    const [p, q, r] = [x.abs(), y.mul(2), x.add(y)];
    return [0, 1, 2].flatMap((axis) => [concat([p, q, r], axis), concat([r, p], axis), concat([q, q, p], axis)]);
  },
  "integers and truths": (x, y) => {
    const [p, q] = [x.cast("i32").add(1), y.cast("i32").mul(3)];
    return [concat([p, q], 0), at(p, 0, 6, 12).add(at(q, 0, 0, 12)), concat([x.gt(y), x.lt(y)], 2)];
  },
  "parts of different sizes, that overlap, leave a gap or come twice": (x, y) => {
    const [p, q] = [x.mul(3), y.add(x)];
    return [
      concat([p, q.slice([0, 2])], 0),
      at(p, 0, 0, 11).add(at(q, 0, 5, 11)),
      at(p, 0, 0, 13).add(at(q, 0, 7, 13)),
      at(p, 1, 0, 10)
        .add(at(q, 1, 5, 10))
        .add(at(q, 1, 5, 10)),
      at(at(p, 0, 0, 12), 1, 0, 10).add(at(at(q, 0, 6, 12), 1, 5, 10)),
    ];
  },
  "a sum on the way that others read": (x, y) => {
    const [p, q, r] = [x.mul(3), y.add(x), y.square()];
    const half = at(p, 0, 0, 18).add(at(q, 0, 6, 18));
    return [half.add(at(r, 0, 12, 18)), half.sum(0), half.mul(2)];
  },
  "parts that others read, and the whole that they read": (x, y) => {
    const [p, q] = [x.mul(3), y.add(x)];
    const whole = concat([p, q], 2);
    return [p.sum(0), whole.sum(2), whole.reshape([6, 80]).matmul(whole.reshape([80, 6])), q.sub(p), whole.mul(whole)];
  },
  "parts of a kernel that reduces, row by row and in another order": (x, y) => {
    const z = x.sub(y.mul(x).sum(-1, true));
    return [concat([z, z.mul(2)], 0), concat([z, z.flip(0)], 2), concat([z.mul(3), z.permute([0, 1, 2])], 1)];
  },
  "parts that are views": (x, y) => {
    const [p, q] = [x.mul(3), y.add(x)];
    return [
      concat([p.reshape([30, 8]), q.reshape([30, 8])], 1),
      concat([p.permute([0, 2, 1]), q.permute([0, 2, 1])], 1),
      concat([p, q.flip(0)], 0),
      concat([p, p.sum(0, true).expand(SHAPE)], 0),
    ];
  },
};

describe("parts side by side", () => {
  let devices: readonly Backend[];
  before(async () => {
    devices = [await CpuDevice.open({ threads: 2 }), await openTestDevice(), new ReferenceDevice()];
  });
  after(() => {
    setDefaultDevice(undefined);
    for (const device of devices) (device as CpuDevice | WebGpuDevice).close?.();
  });

  for (const [name, program] of Object.entries(programs)) {
    test(name, async () => {
      const found = [];
      for (const device of devices) {
        setDefaultDevice(device);
        const results = await compile(program)(given(0), given(5));
        const values = [];
        for (const t of results) values.push(await t.read());
        found.push(values);
      }
      const wanted = found[devices.length - 1];
      found.forEach((values, k) => assert.deepEqual(values, wanted, "device " + k));
    });
  }
});
