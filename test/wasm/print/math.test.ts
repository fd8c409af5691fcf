/** Elementary functions of the cpu device against float64, densely over their ranges and at the special values. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { enableRelaxedSimd } from "../../../src/device/cpu/engine.ts";
import { formOf } from "../../../src/tensor/elementwise/forms.ts";
import { erf as erf64 } from "../../../src/tensor/elementwise/values.ts";
import type { ElementwiseName } from "../../../src/tensor/elementwise/values.ts";
import { wasmFeatures } from "../../../src/wasm/assembler/features.ts";
import type { WasmFeatures } from "../../../src/wasm/assembler/features.ts";
import { i32, v128 } from "../../../src/wasm/assembler/instructions.ts";
import { wasmForms } from "../../../src/wasm/print/forms.ts";
import { ModuleBuilder } from "../../../src/wasm/assembler/module.ts";

await enableRelaxedSimd();

type Apply = (x: Float32Array, y?: Float32Array) => Float32Array;

/** The op as a function of arrays. */
function compiled(name: ElementwiseName, features: WasmFeatures): Apply {
  const module = new ModuleBuilder();
  module.function(
    { parameters: ["i32", "i32", "i32", "i32"] },
    (f) => {
      const [x, y, out, bytes] = f.parameters;
      f.for(i32.const(0), bytes, 16, (at) => {
        const [a, b] = [x, y].map((operand) => f.name(v128.load(i32.add(operand, at))));
        f.store(i32.add(out, at), formOf(wasmForms(f, features), name, a, b, b));
      });
    },
    "run",
  );
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode(false)), { env: { memory } });
  const run = instance.exports.run as (x: number, y: number, out: number, bytes: number) => void;
  return (x, y = x) => {
    const bytes = Math.ceil(x.length / 4) * 16;
    const needed = Math.ceil((3 * bytes) / 65536);
    if (memory.buffer.byteLength < needed * 65536) memory.grow(needed - memory.buffer.byteLength / 65536);
    new Float32Array(memory.buffer, 0, x.length).set(x);
    new Float32Array(memory.buffer, bytes, y.length).set(y);
    run(0, bytes, 2 * bytes, bytes);
    return new Float32Array(memory.buffer.slice(2 * bytes, 2 * bytes + 4 * x.length));
  };
}

/** Distance in units in the last place of the nearest float32 to `exact`. */
function ulps(value: number, exact: number): number {
  if (Object.is(Math.fround(exact), value) || Math.fround(exact) === value) return 0;
  const size = Math.abs(exact);
  const unit = 2 ** (Math.max(-126, Math.floor(Math.log2(size))) - 23);
  return Math.abs(value - exact) / unit;
}

/** Evenly spaced numbers, and numbers evenly spaced in the logarithm of their size. */
function sweep(low: number, high: number, count = 200_000): Float32Array {
  const even = Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
  const sized = Float32Array.from({ length: count }, (_, i) => {
    const size = 2 ** (-40 + (i / count) * (40 + Math.log2(Math.max(Math.abs(low), Math.abs(high)))));
    return i % 2 ? size : -size;
  }).filter((x) => x >= low && x <= high);
  return Float32Array.from([...even, ...sized]);
}

const sigmoid64 = (x: number) => 1 / (1 + Math.exp(-x));

interface Case {
  readonly name: ElementwiseName;
  readonly exact: (x: number) => number;
  readonly range: readonly [number, number];
  /** ULP; or an absolute error. */
  readonly bound: number;
  readonly absolute?: boolean;
}

const CASES: readonly Case[] = [
  { name: "exp", exact: Math.exp, range: [-86.9, 88.72], bound: 1.2 },
  { name: "expm1", exact: Math.expm1, range: [-30, 88.02], bound: 1.7 },
  { name: "log", exact: Math.log, range: [1e-30, 1e30], bound: 1 },
  { name: "log", exact: Math.log, range: [0.3, 4], bound: 1 },
  { name: "log1p", exact: Math.log1p, range: [-0.9999, 10], bound: 1.5 },
  { name: "log1p", exact: Math.log1p, range: [-0.9, 1e10], bound: 1.5 },
  { name: "tanh", exact: Math.tanh, range: [-12, 12], bound: 6 },
  { name: "sigmoid", exact: sigmoid64, range: [-86, 30], bound: 2.5 },
  { name: "erf", exact: erf64, range: [-6, 6], bound: 2.5 },
  { name: "sin", exact: Math.sin, range: [-1e4, 1e4], bound: 1.6 * 2 ** -24, absolute: true },
  { name: "cos", exact: Math.cos, range: [-1e4, 1e4], bound: 1.6 * 2 ** -24, absolute: true },
  { name: "sin", exact: Math.sin, range: [-3, 3], bound: 2 },
  { name: "atan", exact: Math.atan, range: [-20, 20], bound: 2.5 },
];

const found = wasmFeatures();
const builds: [string, WasmFeatures][] = [["two roundings", { ...found, relaxedSimd: false }]];
if (found.relaxedSimd) builds.push(["fused multiply-add", found]);

for (const [build, features] of builds) {
  describe(`elementary functions, ${build}`, () => {
    for (const { name, exact, range, bound, absolute } of CASES) {
      test(`${name} on ${range.join("…")} within ${absolute ? bound.toExponential(1) : `${bound} ULP`}`, () => {
        const x = sweep(...range);
        const values = compiled(name, features)(x);
        let worst = { error: 0, at: NaN };
        values.forEach((value, i) => {
          const error = absolute ? Math.abs(value - exact(x[i])) : ulps(value, exact(x[i]));
          if (!(error <= worst.error)) worst = { error, at: x[i] };
        });
        if (process.env.SHOW) console.log(name, worst);
        assert.ok(worst.error <= bound, `error ${worst.error} at ${worst.at}`);
      });
    }

    test("special values", () => {
      const check = (name: Case["name"], x: number, wanted: number) => {
        const [value] = compiled(name, features)(Float32Array.of(x));
        assert.ok(Object.is(value, Math.fround(wanted)), `${name}(${x}) is ${value}, not ${wanted}`);
      };
      for (const { name } of CASES) check(name, NaN, NaN);
      const limits: [Case["name"], number, number][] = [
        ["exp", Infinity, Infinity],
        ["exp", 89, Infinity],
        ["exp", -Infinity, 0],
        ["exp", -90, 0],
        ["exp", 0, 1],
        ["expm1", Infinity, Infinity],
        ["expm1", -Infinity, -1],
        ["expm1", 0, 0],
        ["log", 0, -Infinity],
        ["log", -1, NaN],
        ["log", Infinity, Infinity],
        ["log", 1, 0],
        ["log", 1e-40, Math.log(Math.fround(1e-40))],
        ["log1p", -1, -Infinity],
        ["log1p", -2, NaN],
        ["log1p", Infinity, Infinity],
        ["log1p", 0, 0],
        ["tanh", 0, 0],
        ["tanh", -0, -0],
        ["tanh", Infinity, 1],
        ["tanh", -Infinity, -1],
        ["tanh", 10, 1],
        ["tanh", -10, -1],
        ["sigmoid", Infinity, 1],
        ["sigmoid", -Infinity, 0],
        ["sigmoid", 0, 0.5],
        ["erf", Infinity, 1],
        ["erf", -Infinity, -1],
        ["erf", -5, -1],
        ["sin", Infinity, NaN],
        ["cos", Infinity, NaN],
        ["atan", Infinity, Math.PI / 2],
        ["atan", -Infinity, -Math.PI / 2],
      ];
      for (const [name, x, wanted] of limits) check(name, x, wanted);
    });

    test("tanh and sigmoid stay within their bounds and never fall back by more than their error", () => {
      for (const name of ["tanh", "sigmoid"] as const) {
        const x = Float32Array.from({ length: 400_000 }, (_, i) => -20 + i * 1e-4);
        const y = compiled(name, features)(x);
        const drop = y.findIndex((v, i) => i > 0 && v < y[i - 1] * (1 - Math.sign(y[i - 1]) * 8e-7));
        assert.equal(drop, -1, `${name} falls at ${x[drop]}`);
        assert.ok(
          y.every((v) => Math.abs(v) <= 1),
          name,
        );
      }
    });

    test("pow within its bound", () => {
      const bases = Float32Array.from({ length: 300 }, (_, i) => 10 ** (-4 + i / 37.5));
      const x: number[] = [];
      const y: number[] = [];
      for (const base of bases) {
        for (let e = -6; e <= 6; e += 0.37) {
          x.push(base);
          y.push(e);
        }
      }
      const xs = Float32Array.from(x);
      const ys = Float32Array.from(y);
      compiled("pow", features)(xs, ys).forEach((value, i) => {
        const exact = xs[i] ** ys[i];
        const bound = (3 + 2 * Math.abs(ys[i] * Math.log(xs[i]))) * 2 ** -24;
        assert.ok(Math.abs(value - exact) <= bound * exact, `${xs[i]}^${ys[i]} is ${value}, not ${exact}`);
      });
    });

    test("pow of exponents 1, 2, −1 and ½ is rounded once", () => {
      const bases = [3.4028234663852886e38, 1.8446743e19, 1.8446744073709552e19, 1.17e-38, 1e-40, 0.1, 3, 7e-30, 5e33];
      const xs = Float32Array.from(bases.flatMap((x) => [x, -x]));
      for (const y of [1, 2, -1, 0.5]) {
        compiled("pow", features)(
          xs,
          xs.map(() => y),
        ).forEach((value, i) => {
          assert.ok(Object.is(value, Math.fround(xs[i] ** y)), `${xs[i]}^${y} is ${value}`);
        });
      }
    });

    test("pow is infinite above the largest float, and only there", () => {
      const [xs, ys]: [number[], number[]] = [[], []];
      for (let i = 0; i < 400; i++) {
        const x = Math.fround(2 ** ((i % 127) + 1 + ((i * 37) % 100) / 100));
        const y = Math.fround((128 * Math.LN2) / Math.log(x));
        for (const ulps of [-3, -1, 0, 1, 3]) {
          xs.push(x, 1 / x);
          ys.push(Math.fround(y * (1 + ulps * 2 ** -23)), -Math.fround(y * (1 + ulps * 2 ** -23)));
        }
      }
      // 2¹²⁸ and its likes, exactly at the end.
      for (const n of [1, 2, 4, 8, 16, 32, 64]) {
        xs.push(2 ** n, 2 ** -n);
        ys.push(128 / n, -128 / n);
      }
      const bases = Float32Array.from(xs);
      const exponents = Float32Array.from(ys);
      const values = compiled("pow", features)(bases, exponents);
      let infinite = 0;
      values.forEach((value, i) => {
        const exact = bases[i] ** exponents[i];
        const wanted = Math.fround(exact);
        infinite += Number(value === Infinity);
        // So near the end that the logarithm's own error decides.
        if (Math.abs(exact / 2 ** 128 - 1) < 1e-7 + Math.abs(exponents[i]) * 2 ** -24) return;
        const right = wanted === Infinity ? value === Infinity : Math.abs(value - wanted) <= 2e-5 * wanted;
        assert.ok(right, `${bases[i]}^${exponents[i]} is ${value}, not ${exact}`);
      });
      assert.ok(infinite > 100 && infinite < values.length - 100, `${infinite} of ${values.length}`);
      for (const i of [1, 2, 3]) assert.equal(values.at(-i), Infinity);
    });

    test("pow at the edges, as Math.pow", () => {
      const run = compiled("pow", features);
      for (const [x, y] of [
        [-2, 3],
        [-2, 2],
        [-2, 0.5],
        [0, 2],
        [0, 0],
        [0, -1],
        [-3, 0],
        [NaN, 0],
        [NaN, 1],
        [2, NaN],
        [-2, -3],
      ] as const) {
        const [value] = run(Float32Array.of(x), Float32Array.of(y));
        const wanted = x ** y;
        const close = Object.is(value, wanted) || Math.abs(value - wanted) <= 1e-6 * Math.abs(wanted);
        assert.ok(close, `${x}^${y} is ${value}, not ${wanted}`);
      }
    });
  });
}
