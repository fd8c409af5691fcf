/** Operations of one's own: their kernels against their meaning on every device, and what is refused at the door. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  compile,
  CpuDevice,
  grad,
  gradcheck,
  ReferenceDevice,
  setDefaultDevice,
  tensor,
  variable,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import { defineFusedOp, f32, i32 } from "../../src/kernels/index.ts";
import type { FusedOpDefinition, WasmBody, WasmContext } from "../../src/kernels/index.ts";
import { checkKernel } from "../../src/testing/index.ts";
import { asked, definition, meaning, movingAverage } from "./moving-average.ts";

const cpu = await CpuDevice.open({ threads: 2 });
const reference = new ReferenceDevice();
setDefaultDevice(cpu);
after(() => cpu.close());

describe("an operation of one's own", () => {
  const kernel = (x: Tensor): Tensor => movingAverage([x], { decay: 0.75 });
  const plain = (x: Tensor): Tensor => meaning([x], { decay: 0.75 });

  test("on cpu: the kernel runs, and has its meaning's values and gradients", async () => {
    asked.wasm = 0;
    await checkKernel(kernel, plain, [["rows", "length"]], { device: cpu, runs: 20 });
    assert.ok(asked.wasm > 0);
  });

  test("views, broadcasts and results of other operations are operands as they are", async () => {
    const x = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] });
    for (const y of [x.transpose(0, 1), x.slice([0, 2], [1, 3]), tensor([1, 2, 4]).expand([5, 3]), x.mul(2).add(1)]) {
      const [found, expected] = await Promise.all([kernel(y).toArray(), plain(y).toArray()]);
      const flat = (values: unknown): number[] => (values as number[][]).flat();
      flat(found).forEach((value, i) => assert.ok(Math.abs(value - flat(expected)[i]) < 1e-5));
    }
  });

  test("double gradients, on the reference device", async () => {
    setDefaultDevice(reference);
    try {
      const x = tensor([0.5, -1, 2, 0.25], { shape: [2, 2], dtype: "f64" });
      const found = await gradcheck((t: Tensor) => kernel(t).square(), [x], { order: 2 });
      assert.ok(found.checked > 0);
    } finally {
      setDefaultDevice(cpu);
    }
  });

  test("gradients flow through a result whatever dtype the first result has", async () => {
    const signs = defineFusedOp({
      name: "signsAndSquares",
      decompose: ([x]: readonly Tensor[]): readonly Tensor[] => [x.gt(0).cast("i32"), x.square()],
    });
    const squares = (x: Tensor): Tensor => signs([x])[1];
    assert.deepEqual(await grad((x: Tensor) => squares(x).sum())(tensor([1, -2])).toArray(), [2, -4]);
  });

  test("compiled, with a variable: one plan, attributes part of its key", async () => {
    const w = variable(tensor([1, 2, 3, 4], { shape: [2, 2] }));
    const step = compile((x: Tensor) => movingAverage([w.mul(x)], { decay: 0.5 }).sum());
    assert.equal(await (await step(tensor([1, 1]))).item(), await meaning([w], { decay: 0.5 }).sum().item());
    const slow = await movingAverage([w], { decay: 0.9 }).sum().item();
    assert.ok(Math.abs(slow - (await meaning([w], { decay: 0.9 }).sum().item())) < 1e-6);
  });

  test("two of one name keep kernels of their own; several outputs are an array", async () => {
    const scaled = (by: number) =>
      defineFusedOp({
        name: "scaled",
        decompose: ([x]: readonly Tensor[]) => [x.mul(by), x.neg()] as const,
        wasm: ([{ shape }]) => ({
          units: shape.reduce((a, b) => a * b, 1),
          emit(f, { begin, end, input, output }) {
            f.for(begin, end, 1, (i) => {
              const at = i32.shl(i, i32.const(2));
              f.store(i32.add(output(0), at), f32.mul(f32.const(by), f32.load(i32.add(input(0), at))));
              f.store(i32.add(output(1), at), f32.neg(f32.load(i32.add(input(0), at))));
            });
          },
        }),
      });
    const x = tensor([1, 2]);
    const [[two, minus], [three]] = [scaled(2)([x]), scaled(3)([x])];
    assert.deepEqual(await Promise.all([two, minus, three].map((y) => y.toArray())), [
      [2, 4],
      [-1, -2],
      [3, 6],
    ]);
    // Of one output alone the other has no reader.
    assert.deepEqual(await grad((t: Tensor) => scaled(2)([t])[1].sum())(x).toArray(), [-1, -1]);
  });

  test("a gradient of several outputs is given a cotangent for each, zeros where nothing depends on one", async () => {
    const both = defineFusedOp({
      name: "both",
      decompose: ([x]: readonly Tensor[]) => [x.square(), x.mul(3)] as const,
      vjp: ([a, b], [x]) => [a.mul(x).mul(2).add(b.mul(3))],
    });
    const slope = (f: (outputs: readonly [Tensor, Tensor]) => Tensor): Promise<unknown> =>
      grad((x: Tensor) => f(both([x])).sum())(tensor([1, 4])).toArray();
    assert.deepEqual(await slope(([a, b]) => a.add(b)), [5, 11]);
    assert.deepEqual(await slope(([, b]) => b), [3, 3]);
    assert.deepEqual(await slope(([a]) => a), [2, 8]);
  });

  test("another dtype, and a kernel that declines, run the meaning", async () => {
    const declining = defineFusedOp({ ...definition, name: "declining", wasm: () => undefined });
    const x = tensor([1, 2, 3], { shape: [1, 3] });
    assert.deepEqual(await declining([x], { decay: 0.5 }).toArray(), await meaning([x], { decay: 0.5 }).toArray());
    const halves = tensor([1, 2, 3], { shape: [1, 3], dtype: "f16" });
    assert.equal(movingAverage([halves], { decay: 0.5 }).dtype, "f16");
  });
});

describe("what cannot be is said at the door", () => {
  const x = tensor([1, 2]);
  const same = ([a]: readonly Tensor[]): Tensor => a.mul(1);

  test("parts of a definition, inputs and attributes", () => {
    const define = (parts: object) => () => defineFusedOp(parts as FusedOpDefinition<object, Tensor>);
    assert.throws(define({ name: "a b", decompose: same }), /name must be letters, digits.*not .*a b/);
    assert.throws(define({ name: "a" }), /defineFusedOp of a: decompose must be a function, not undefined/);
    assert.throws(define({ name: "a", decompose: same, wgsl: "text" }), /wgsl must be a function/);
    const op = defineFusedOp({ name: "a", decompose: same });
    assert.throws(() => op(x as never), /a: inputs must be an array of tensors/);
    assert.throws(() => op([3 as never]), /a: input 0 /);
    assert.throws(() => op([x], { rate: NaN }), /a: attributes must be plain JSON.*rate is NaN/);
    assert.throws(() => op([x], { f: () => 1 }), /f is a function/);
    // What JSON writes as something else would reach the kernel as that.
    assert.throws(() => op([x], { rates: [1, { low: Infinity }] }), /rates\[1\]\.low is Infinity/);
    assert.throws(() => op([x], { rates: [undefined] }), /rates\[0\] is undefined/);
    assert.throws(() => op([x], { taps: Float32Array.of(1) }), /taps is /);
    assert.throws(() => op([x], { names: new Map() }), /names is /);
    op([x], { rates: [1, { low: null, high: [true, "x"] }] });
  });

  test("a meaning that gives nothing, or uses a variable that is not its input", () => {
    assert.throws(
      () => defineFusedOp({ name: "none", decompose: () => [] })([x]),
      /none: decompose must give at least/,
    );
    const w = variable(tensor([1, 2]));
    const captured = defineFusedOp({ name: "captured", decompose: ([a]: readonly Tensor[]) => a.mul(w) });
    assert.throws(() => captured([x]), /captured: the function uses .*not among its inputs/);
  });

  test("gradients of another number or shape", () => {
    const wrong = (vjp: FusedOpDefinition<object, Tensor>["vjp"]) => () =>
      grad((t: Tensor) => defineFusedOp({ name: "wrong", decompose: same, vjp })([t]).sum())(x);
    assert.throws(
      wrong(() => []),
      /wrong: vjp gave 0 gradients for 1 inputs/,
    );
    assert.throws(
      wrong(([dy]) => [dy.sum()]),
      /wrong: vjp gave f32\[\] as the gradient of input 0, which is f32\[2\]/,
    );
  });

  test("kernels that write no output, reach beyond the operands, or mix types", async () => {
    const ask = (emit: (f: WasmBody, context: WasmContext) => void): Promise<unknown> =>
      defineFusedOp({ name: "bad", decompose: same, wasm: () => ({ units: 1, emit }) })([x]).toArray();
    await assert.rejects(
      ask((_, { input }) => void input(1)),
      /bad: there is no input 1; the op has 1/,
    );
    await assert.rejects(
      ask(() => void i32.add(f32.const(1), i32.const(1))),
      /WebAssembly's instruction 106: operand 0 is f32, not i32/,
    );
    const units = defineFusedOp({
      name: "units",
      decompose: same,
      wasm: () => ({ units: 0.5, emit: () => undefined }),
    });
    await assert.rejects(units([x]).toArray(), /units: units are 0\.5; they must be a whole number above 0/);
  });
});
