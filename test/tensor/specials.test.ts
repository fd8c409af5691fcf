/**
 * The table of special values: NaN, infinities, zeros of both signs, the smallest and the largest, through every
 * elementwise op and reduction, as IEEE 754 and PyTorch have it, on every device.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import * as build from "../../src/tensor/build.ts";
import { ELEMENTWISE, elementwiseRow } from "../../src/tensor/elementwise/table.ts";
import type { ElementwiseName } from "../../src/tensor/elementwise/values.ts";
import { Tensor, full, realize, setDefaultDevice, tensor } from "../../src/tensor/index.ts";
import { logSumExp } from "../../src/ops/softmax.ts";
import { openTestDevice } from "../support/helpers.ts";

const LARGEST = 3.4028234663852886e38;
const SUBNORMAL = 2 ** -140;
const SPECIALS = [NaN, Infinity, -Infinity, 0, -0, SUBNORMAL, -SUBNORMAL, LARGEST, -LARGEST, 1, -1, 0.5, -2.5, 3, 100];

/** What a driver gets wrong by itself, by op; docs/wgsl.md lists it. */
const DRIVER_FAULTS: Record<string, ReadonlySet<string>> = { cpu: new Set(), reference: new Set(), webgpu: new Set() };

/** Whether a float32 result is the value: the same special, or near it. Subnormal numbers may be flushed to zero. */
function isRight(actual: number, expected: number, bound: number): boolean {
  const wanted = Math.fround(expected);
  if (Number.isNaN(wanted)) return Number.isNaN(actual);
  if (!Number.isFinite(wanted)) return actual === wanted || (Number.isFinite(expected) && Math.abs(actual) > 3.4e38);
  // Where the true value is 0, so is the device's: e⁻∞, a sigmoid at −∞.
  if (expected === 0) return actual === 0;
  if (Math.abs(actual) === Infinity) return Math.abs(wanted) > 3.4e38 && actual > 0 === wanted > 0;
  return Math.abs(actual - wanted) <= bound * Math.max(1, Math.abs(wanted));
}

const devices: Record<string, () => Promise<Backend>> = {
  cpu: () => CpuDevice.open({ threads: 2 }),
  reference: () => Promise.resolve(new ReferenceDevice()),
  webgpu: () => openTestDevice(),
};

for (const [kind, open] of Object.entries(devices)) {
  describe(`special values on ${kind}`, () => {
    let device: Backend;
    before(async () => setDefaultDevice((device = await open())));
    after(() => device.close());

    for (const name of Object.keys(ELEMENTWISE) as ElementwiseName[]) {
      const row = elementwiseRow(name);
      if (row.takes === "integer" || row.takes === "bool" || name === "where") continue;
      if (DRIVER_FAULTS[kind].has(name)) continue;
      test(name, async () => {
        const pairs = SPECIALS.flatMap((x) => (row.arity === 1 ? [[x, 0]] : SPECIALS.map((y) => [x, y])));
        const operands = (row.arity === 1 ? [0] : [0, 1]).map((k) => tensor(Float32Array.from(pairs, (p) => p[k])));
        const values = await new Tensor(
          build.apply(
            name,
            operands.map((t) => t.node),
          ),
        )
          .cast("f32")
          .read();
        const wrong = pairs.flatMap(([x, y], i) => {
          const expected = row.f64(x, y, 0);
          // Beyond 10⁴ the periodic functions lose their argument; a device may flush what is subnormal.
          if (["sin", "cos", "tan"].includes(name) && Math.abs(x) > 1e4 && Number.isFinite(x)) return [];
          const flushed = row.f64(flush(x), flush(y), 0);
          const bound = Math.max(row.bound ?? 2e-6, 1e-5);
          if (isRight(values[i], expected, bound) || isRight(values[i], flushed, bound)) return [];
          return [`${name}(${x}${row.arity === 2 ? `, ${y}` : ""}) is ${expected}, not ${values[i]}`];
        });
        assert.deepEqual(wrong, []);
      });
    }

    for (const name of ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "lt", "eq"] as const) {
      test(`${name} with a constant on either side`, async () => {
        const constants = [0, -0, 1, -1, 0.5, 2, Infinity, -Infinity, NaN];
        const x = tensor(Float32Array.from(SPECIALS));
        const results = constants.flatMap((c) => {
          const all = full([SPECIALS.length], c);
          return [x[name](c), x[name](all), all[name](x)].map((t) => t.cast("f32"));
        });
        await realize(results);
        const { f64 } = elementwiseRow(name);
        const wrong: string[] = [];
        for (const [k, t] of results.entries()) {
          const c = constants[Math.floor(k / 3)];
          const values = await t.read();
          SPECIALS.forEach((v, i) => {
            const [a, b] = k % 3 === 2 ? [c, v] : [v, c];
            const right = [f64(a, b, 0), f64(flush(a), flush(b), 0)];
            // PyTorch takes the root for this exponent.
            if (name === "pow" && b === 0.5 && a === -Infinity) return;
            if (!right.some((r) => isRight(values[i], r, 1e-5)))
              wrong.push(`${name}(${a}, ${b}) is ${right[0]}, not ${values[i]}`);
          });
        }
        assert.deepEqual(wrong, []);
      });
    }

    if (kind !== "webgpu") {
      test("logSumExp of infinities", async () => {
        const x = [-Infinity, -Infinity, Infinity, 0, -Infinity, 2, NaN, 0];
        const values = await logSumExp(tensor(Float32Array.from(x), { shape: [4, 2] })).read();
        assert.deepEqual([...values], [-Infinity, Infinity, 2, NaN]);
      });
    }

    const rows = SPECIALS.flatMap((a) => SPECIALS.map((b) => [1, a, 0.25, b, -3, 2, 1, 1]));
    for (const [name, of] of Object.entries({
      sum: (r: number[]) => r.reduce((a, b) => a + b),
      prod: (r: number[]) => r.reduce((a, b) => a * b),
      max: (r: number[]) => Math.max(...r),
      min: (r: number[]) => Math.min(...r),
    })) {
      test(`${name} over rows, over columns, and of all`, async () => {
        const x = tensor(Float32Array.from(rows.flat()), { shape: [rows.length, 8] });
        const reduce = (t: Tensor, axis?: number) => (t[name as "sum"] as (axis?: number) => Tensor).call(t, axis);
        const byRow = await reduce(x, 1).read();
        const byColumn = await reduce(x.transpose().contiguous(), 0).read();
        const wrong = rows.flatMap((row, i) => {
          const expected = of(row);
          // Whether a sum of the largest numbers overflows on the way depends on the order.
          const largest = row.filter((v) => Math.abs(v) === LARGEST).length;
          if ((name === "sum" || name === "prod") && largest > 0 && Number.isFinite(of(row))) return [];
          return [byRow[i], byColumn[i]].flatMap((v) =>
            isRight(v, expected, 1e-5) || isRight(v, of(row.map(flush)), 1e-5)
              ? []
              : [`${name}(${row.join()}) is ${expected}, not ${v}`],
          );
        });
        assert.deepEqual(wrong, []);
        for (const special of [NaN, Infinity, -Infinity]) {
          const long = new Float32Array(20_000).fill(0.5);
          long[12_345] = special;
          const value = await reduce(tensor(long)).item();
          const expected = name === "prod" ? special * 0 : of([0.5, special]);
          assert.ok(isRight(value, expected, 0), `${name} of 20,000 with ${special} is ${expected}, not ${value}`);
        }
      });
    }
  });
}

const flush = (x: number) => (Math.abs(x) < 2 ** -126 ? 0 * x : x);
