/** Every row of the elementwise table, from the table itself: its domain, the operands it takes, its bound. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import * as build from "../../src/tensor/build.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import { inClass } from "../../src/tensor/elementwise.ts";
import { ELEMENTWISE } from "../../src/tensor/elementwise/table.ts";
import { erf } from "../../src/tensor/elementwise/values.ts";
import type { ElementwiseOp } from "../../src/tensor/elementwise/row.ts";
import type { ElementwiseName } from "../../src/tensor/elementwise/values.ts";
import { DTYPES } from "../../src/tensor/dtype.ts";
import { Tensor, tensor } from "../../src/tensor/index.ts";
import type { Draw, ValueOptions } from "../support/draw.ts";
import { devicesAgree, gradientsAgree, openTestDevices, property, valuesOf } from "../support/helpers.ts";
import type { OpCase } from "../support/helpers.ts";

const NAMES = Object.keys(ELEMENTWISE) as ElementwiseName[];
const rowOf = (name: ElementwiseName): ElementwiseOp => ELEMENTWISE[name];

function valuesFor(name: ElementwiseName, operand: number, dtype: DType): ValueOptions {
  const row = rowOf(name);
  if (name.startsWith("shift") && operand === 1) return { dtype, most: 31 };
  const positive = name.startsWith("shift") && dtype === "i32";
  return { dtype, domain: row.domain?.[operand] ?? row.domain?.[0], grid: operand, wide: !positive || operand === 0 };
}

function drawCase(draw: Draw, name: ElementwiseName, floats: boolean): OpCase {
  const row = rowOf(name);
  const dtypes = DTYPES.filter((d) => d !== "f16" && d !== "f64" && inClass(d, row.takes) && (!floats || d === "f32"));
  const dtype = draw.pick(dtypes);
  const shape = draw.shape({ empty: 0.08, elements: floats ? 12 : 150 });
  const operands = Array.from({ length: row.arity }, (_, i) => {
    const values: ValueOptions = name === "where" && i === 0 ? { dtype: "bool" } : valuesFor(name, i, dtype);
    // Operands of one op lie on different grids, so that two are equal only where they are integers.
    const at = i === 0 || row.arity === 1 ? shape : draw.broadcastable(shape);
    const drawn = draw.operand(at, values);
    return name.startsWith("shift") && i === 1 ? nonNegative(drawn) : drawn;
  });
  return {
    name: `${name} (${operands.map((o) => o.how).join("; ")})`,
    leaves: operands.map((o) => o.leaf),
    f: (...t) =>
      new Tensor(
        build.apply(
          name,
          operands.map((o, i) => o.view(t[i]).node),
        ),
      ),
    bound: row.bound ?? 2e-6,
    each: true,
  };
}

function nonNegative(drawn: ReturnType<Draw["operand"]>) {
  const { leaf } = drawn;
  leaf.data.forEach((v, i) => (leaf.data[i] = v & 31));
  return drawn;
}

describe("elementwise table", () => {
  let devices: Backend[];
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  for (const name of NAMES.filter((n) => inClass("f32", rowOf(n).takes) && !rowOf(n).gives)) {
    test(`${name}: gradient against finite differences`, () =>
      property(6, (draw) => gradientsAgree(drawCase(draw, name, true))));
  }

  test("all rows: each device against reference, values and gradients", () =>
    property(5, (draw) =>
      devicesAgree(
        devices,
        NAMES.map((name) => drawCase(draw, name, false)),
      ),
    ));

  test("operands of equal values: ties share the gradient", () =>
    property(4, async (draw) => {
      const shape = draw.shape({ minRank: 1 });
      const leaf = draw.data(shape);
      const cases = (["maximum", "minimum", "eq", "le", "ge", "ne", "lt", "gt"] as const).map(
        (name): OpCase => ({
          name,
          leaves: [leaf, draw.data(shape)],
          bound: 2e-6,
          f: (a, b) => {
            const mixed = a.gt(0).where(a, b);
            return new Tensor(build.apply(name, [a.node, mixed.node]));
          },
        }),
      );
      await devicesAgree(devices, cases);
    }));

  test("rows of float operands at the ends of float32: nothing becomes NaN or infinite that is finite", async () => {
    const far = [-1e4, -300, -89, -50, -20, -9.75, -1e-6, 0, 1e-6, 9.75, 20, 50];
    const names: ElementwiseName[] = [
      "tanh",
      "sigmoid",
      "silu",
      "softplus",
      "relu",
      "elu",
      "gelu",
      "geluTanh",
      "erf",
      "atan",
    ];
    await devicesAgree(
      devices,
      names.map(
        (name): OpCase => ({
          name,
          leaves: [{ data: Float32Array.from([...far, 89, 300, 1e4, 3]), shape: [16], dtype: "f32" }],
          f: (x) => new Tensor(build.apply(name, [x.node])),
          bound: rowOf(name).bound ?? 2e-6,
          each: true,
          gradientBound: 2e-5,
        }),
      ),
    );
    for (const device of devices) {
      const values = await valuesOf(
        device,
        names.map((name) => build.apply(name, [tensor(far).node])),
      );
      for (const [i, v] of values.entries())
        assert.ok(v.every(Number.isFinite), `${names[i]}: ${Array.from(v).join()}`);
    }
  });

  test("rounding takes halves to even, and the other directions", async () => {
    const x = tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, -0.25, 7, 0.75]);
    const expected = {
      round: [-2, -2, 0, 0, 2, 2, 4, 0, 7, 1],
      floor: [-3, -2, -1, 0, 1, 2, 3, -1, 7, 0],
      ceil: [-2, -1, 0, 1, 2, 3, 4, 0, 7, 1],
      trunc: [-2, -1, 0, 0, 1, 2, 3, 0, 7, 0],
    };
    for (const device of [...devices, new ReferenceDevice()]) {
      const found = await valuesOf(
        device,
        [x.round(), x.floor(), x.ceil(), x.trunc()].map((t) => t.node),
      );
      assert.deepEqual(
        found.map((v) => Array.from(v, (e) => e + 0)),
        Object.values(expected),
      );
    }
  });

  test("NaN and infinities are seen as such, however they came about", async () => {
    const x = tensor(Float32Array.of(NaN, Infinity, -Infinity, 0, 1, -3.4e38, NaN, 1e-45));
    for (const device of [...devices, new ReferenceDevice()]) {
      const [nan, finite] = await valuesOf(device, [x.isNaN().node, x.isFinite().node]);
      assert.deepEqual(Array.from(nan), [1, 0, 0, 0, 0, 0, 1, 0], device.name);
      assert.deepEqual(Array.from(finite), [0, 0, 0, 1, 1, 1, 0, 1], device.name);
    }
  });

  test("integers: division rounds down, shifts and products wrap", async () => {
    const cases: [ElementwiseName, DType, number[], number[], number[]][] = [
      [
        "floorDiv",
        "i32",
        [7, -7, 7, -7, 5, -2147483648, 6, -6],
        [2, 2, -2, -2, 0, -1, 3, 3],
        [3, -4, -4, 3, 0, -2147483648, 2, -2],
      ],
      ["mod", "i32", [7, -7, 7, -7, 5, -2147483648, 6, -6], [2, 2, -2, -2, 0, -1, 3, 3], [1, 1, -1, -1, 0, 0, 0, 0]],
      ["floorDiv", "u32", [7, 4294967295, 5, 4000000000], [2, 3, 0, 4000000001], [3, 1431655765, 0, 0]],
      ["mod", "u32", [7, 4294967295, 5, 4000000000], [2, 2, 0, 7], [1, 1, 0, 4000000000 % 7]],
      [
        "mul",
        "i32",
        [65536, 2147483647, -3, 123456789],
        [65536, 2, 7, 987654321],
        [0, -2, -21, Math.imul(123456789, 987654321)],
      ],
      ["mul", "u32", [65536, 4294967295], [65536, 4294967295], [0, 1]],
      ["shiftRight", "i32", [-8, 8, -1, 1], [1, 1, 31, 31], [-4, 4, -1, 0]],
      ["shiftRight", "u32", [4294967288, 8, 4294967295, 1], [1, 1, 31, 31], [2147483644, 4, 1, 0]],
      ["shiftLeft", "i32", [1, 3, -1, 5], [31, 31, 4, 0], [-2147483648, -2147483648, -16, 5]],
    ];
    for (const device of [...devices, new ReferenceDevice()]) {
      const nodes = cases.map(([name, dtype, a, b]) =>
        build.apply(name, [tensor(a, { dtype }).node, tensor(b, { dtype }).node]),
      );
      const found = await valuesOf(device, nodes);
      cases.forEach(([name, dtype, , , expected], i) =>
        assert.deepEqual(Array.from(found[i]), expected, `${name} ${dtype} on ${device.name}`),
      );
    }
  });

  test("constants are folded to what the devices compute", () =>
    property(20, async (draw) => {
      const reference = new ReferenceDevice();
      const folded: Tensor["node"][] = [];
      const computed: Tensor["node"][] = [];
      for (const name of NAMES) {
        const row = rowOf(name);
        const dtype = draw.pick(DTYPES.filter((d) => d !== "f16" && d !== "f64" && inClass(d, row.takes)));
        const operands = Array.from({ length: row.arity }, (_, i) =>
          draw.data([1], name === "where" && i === 0 ? { dtype: "bool" } : valuesFor(name, i, dtype)),
        );
        if (name.startsWith("shift")) operands[1].data[0] &= 31;
        const constant = build.apply(
          name,
          operands.map((o) => build.full([1], o.data[0], o.dtype)),
        );
        assert.equal(constant.op.kind, "full", name);
        folded.push(constant);
        computed.push(
          build.apply(
            name,
            operands.map((o) => tensor(o.data, { shape: [1], dtype: o.dtype }).node),
          ),
        );
      }
      const [a, b] = [await valuesOf(reference, folded), await valuesOf(reference, computed)];
      a.forEach((v, i) => assert.deepEqual(Array.from(v), Array.from(b[i]), `${NAMES[i]} of ${folded[i].dtype}`));
    }));

  test("erf in float64", () => {
    // From Abramowitz and Stegun, table 7.1, and the asymptotic series.
    const known: [number, number][] = [
      [0, 0],
      [0.5, 0.5204998778130465],
      [1, 0.8427007929497149],
      [2, 0.9953222650189527],
      [3, 0.9999779095030014],
    ];
    for (const [x, y] of known) {
      assert.ok(Math.abs(erf(x) - y) < 1e-15, `erf(${x}) = ${erf(x)}`);
      assert.equal(erf(-x), -erf(x) + 0);
    }
    assert.equal(erf(10), 1);
  });

  test("every differentiable row is one that these tests draw for", () => {
    for (const name of NAMES) if (rowOf(name).grad) assert.ok(inClass("f32", rowOf(name).takes), name);
    assert.ok(isFloat("f32"));
  });
});
