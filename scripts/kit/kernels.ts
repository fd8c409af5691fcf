/** Operations of one's own with kernels of one's own. */
import { customGradient, grad, noGrad, tensor, variable } from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import { defineFusedOp, f32, f32x4, i32, v128 } from "../../src/kernels/index.ts";
import type { WasmKernel, WgslKernel } from "../../src/kernels/index.ts";
import { SGD } from "../../src/nn/index.ts";
import type { KitCases } from "./case.ts";

interface Factor {
  readonly factor: number;
}

/** factor · x · y and x − y, element by element; two results, so that either may go without a gradient. */
const scaled = defineFusedOp<Factor, readonly Tensor[]>({
  name: "scaled",
  decompose: ([x, y], { factor }) => [x.mul(y).mul(factor), x.sub(y)],
  vjp: ([dproduct, dgap], [x, y], _, { factor }) => [
    dproduct.mul(y).mul(factor).add(dgap),
    dproduct.mul(x).mul(factor).sub(dgap),
  ],
  wgsl([{ shape }], { factor }): WgslKernel {
    const size = shape.reduce((a, b) => a * b, 1);
    return {
      workgroups: Math.ceil(size / 64),
      code: `
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read> y: array<f32>;
        @group(0) @binding(2) var<storage, read_write> product: array<f32>;
        @group(0) @binding(3) var<storage, read_write> gap: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) {
          if (id.x >= ${size}u) { return; }
          product[id.x] = x[id.x] * y[id.x] * f32(${factor});
          gap[id.x] = x[id.x] - y[id.x];
        }`,
    };
  },
  wasm([{ shape }], { factor }) {
    const size = shape.reduce((a, b) => a * b, 1);
    return {
      units: size,
      emit(f, { begin, end, input, output }) {
        f.for(begin, end, 1, (at) => {
          const [x, y] = [0, 1].map((k) => f.name(f32.load(i32.add(input(k), i32.mul(at, i32.const(4))))));
          f.store(i32.add(output(0), i32.mul(at, i32.const(4))), f32.mul(f32.mul(x, y), f32.const(factor)));
          f.store(i32.add(output(1), i32.mul(at, i32.const(4))), f32.sub(x, y));
        });
      },
    };
  },
});

/** factor · x, element by element; ops of this name are other ops all the same, whatever they are given. */
const times = (sign: 1 | -1) =>
  defineFusedOp<Factor, Tensor>({
    name: "times",
    decompose: ([x], { factor }) => x.mul(sign * factor),
    vjp: ([dy], _, __, { factor }) => [dy.mul(sign * factor)],
    wgsl([{ shape }], { factor }): WgslKernel {
      const size = shape.reduce((a, b) => a * b, 1);
      return {
        workgroups: Math.ceil(size / 64),
        code: `
          @group(0) @binding(0) var<storage, read> x: array<f32>;
          @group(0) @binding(1) var<storage, read_write> y: array<f32>;
          @compute @workgroup_size(64)
          fn main(@builtin(global_invocation_id) id: vec3u) {
            if (id.x < ${size}u) { y[id.x] = x[id.x] * f32(${sign * factor}); }
          }`,
      };
    },
    wasm([{ shape }], { factor }) {
      const vectors = Math.ceil(shape.reduce((a, b) => a * b, 1) / 4);
      return {
        units: vectors,
        emit(f, { begin, end, input, output }) {
          f.for(begin, end, 1, (at) => {
            const byte = f.name(i32.mul(at, i32.const(16)));
            const x = f32x4.mul(v128.load(i32.add(input(0), byte)), f32x4.const(sign * factor));
            f.store(i32.add(output(0), byte), x);
          });
        },
      };
    },
  });
const [multiplied, negated] = [times(1), times(-1)];

type Emit = WasmKernel["emit"];
type Refusals = Readonly<Record<string, () => unknown>>;

/** One element as it is, by a kernel that begins so. */
const asking = (begin: Emit) => (): unknown =>
  defineFusedOp({
    name: "outside",
    decompose: ([x]: readonly Tensor[]) => x.mul(1),
    wasm: () => ({
      units: 1,
      emit: (f, context) => {
        f.store(context.output(0), f32.load(context.input(0)));
        begin(f, context);
      },
    }),
  })([tensor([1])]).read();

/** Of kernels of one's own on `cpu`, whose code is looked at. */
const OF_KERNELS: Refusals = {
  "a kernel that reads an input it has not": asking((f, { input, output }) => f.store(output(0), f32.load(input(1)))),
  // An address that nothing is done with is a mistake all the same.
  "a kernel that asks for an input it has not": asking((_, { input }) => input(1)),
  "a kernel that asks for an input before the first": asking((_, { input }) => input(-1)),
  "a kernel that asks for half of an input": asking((_, { input }) => input(0.5)),
  "a kernel that asks for a result it has not": asking((_, { output }) => output(1)),
  "a kernel that asks for scratch memory it has not": asking((_, { scratch }) => scratch(0)),
};

/** Calls that are refused: when they are made, or when their result is computed. */
const REFUSALS: Refusals = {
  "an index outside that is computed": () =>
    tensor([1, 2, 3])
      .take(tensor(Int32Array.of(2)).add(1))
      .read(),
  "an index below that is computed": () =>
    tensor([1, 2, 3])
      .gather(0, tensor(Int32Array.of(0, 1)).sub(1))
      .read(),
  "a meaning that uses what it was not given": () => {
    const w = variable(tensor([1, 2]));
    return defineFusedOp({ name: "captured", decompose: ([x]: readonly Tensor[]) => x.mul(w) })([tensor([1, 2])]);
  },
  "a gradient of one's own of what it was not given": () => {
    const w = variable(tensor([1, 2]));
    return customGradient(
      (x: Tensor) => x.mul(w),
      ([dy]) => [dy],
    )(tensor([1, 2]));
  },
  "an async function without gradients": () => noGrad(async () => tensor([1])),
  "a parameter's gradient of another shape": () => {
    const w = variable(tensor([[1, 2]]));
    w.grad = tensor([1]);
    new SGD([w], { lr: 1 }).step();
  },
  "a gradient of one's own of another shape": () => {
    const double = customGradient(
      (x: Tensor) => x.mul(2),
      ([dy]) => [dy.sum().mul(2)],
    );
    return grad((x: Tensor) => double(x).square().sum())(tensor([1, 2]));
  },
};

/** Throws where one of them is not refused. @param kernels whether those of kernels are asked for too */
export async function checkRefusals(kernels: boolean): Promise<void> {
  for (const [name, call] of Object.entries(kernels ? { ...REFUSALS, ...OF_KERNELS } : REFUSALS)) {
    const refused = await Promise.resolve()
      .then(call)
      .then(
        () => false,
        () => true,
      );
    if (!refused) throw new Error(`${name} is not refused`);
  }
}

/** How many units of a kernel have run, one after the other. */
const counted = defineFusedOp<{ readonly units: number }, Tensor>({
  name: "counted",
  decompose: ([x], { units }) => x.mul(0).add(units),
  vjp: () => [undefined],
  wasm: (_, { units }) => ({
    units,
    emit(f, { begin, end, output }) {
      f.for(begin, end, 1, (unit) => {
        f.if(i32.eq(unit, i32.const(0)), () => f.store(output(0), f32.const(0)));
        f.store(output(0), f32.add(f32.load(output(0)), f32.const(1)));
      });
    },
  }),
});

/** Throws where a unit does not run once on the default device, of one thread. */
export async function checkUnits(): Promise<void> {
  for (let units = 1; units < 70; units += 3) {
    const [found] = await counted([tensor([0])], { units }).read();
    if (found !== units) throw new Error(`${found} of ${units} units of a kernel have run`);
  }
}

/** By name. */
export const KERNELS: KitCases = {
  "kernels of one's own": {
    f: (x, y) => scaled([x, y], { factor: 3 }),
    inputs: [
      ["n", "m"],
      ["n", "m"],
    ],
    meaning: (x, y) => [x.mul(y).mul(3), x.sub(y)],
  },
  "kernels of one's own with a result nobody reads": {
    f: (x, y) => [scaled([x, y], { factor: -1 })[1].square(), scaled([x, y], { factor: 2 })[0].sin()],
    inputs: [
      ["n", "m"],
      ["n", "m"],
    ],
    meaning: (x, y) => [x.sub(y).square(), x.mul(y).mul(2).sin()],
  },
  "two ops of one name": {
    f: (x, y) => [negated([x], { factor: 3 }), multiplied([x], { factor: 3 }), multiplied([y], { factor: 3 })],
    inputs: [["n"], ["n"]],
    meaning: (x, y) => [x.mul(-3), x.mul(3), y.mul(3)],
  },
  "ops of one's own on several dtypes": {
    f: (x, y) => [scaled([x, x], { factor: 3 })[0], scaled([y, y], { factor: 3 })[0]],
    inputs: [["n"], { shape: ["n"], dtype: "i32", domain: [-9, 9] }],
    meaning: (x, y) => [x.square().mul(3), y.mul(y).mul(3)],
    order: 0,
  },
};
