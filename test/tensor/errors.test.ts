/** Errors at the door: a wrong shape, dtype or option throws at the call that made it, naming the op and the rule. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { grad, gradients, noGrad, valueAndGrad } from "../../src/autograd/grad.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import * as build from "../../src/tensor/build.ts";
import { requireFloat } from "../../src/tensor/door/door.ts";
import {
  ELEMENTWISE,
  Generator,
  type Tensor,
  arange,
  compile,
  concat,
  einsum,
  ones,
  realize,
  setDefaultDevice,
  stack,
  tensor,
  variable,
  zeros,
} from "../../src/tensor/index.ts";
import type { ElementwiseName } from "../../src/tensor/index.ts";
import { inClass } from "../../src/tensor/elementwise.ts";
import {
  attention,
  conv1d,
  crossEntropy,
  gruScan,
  infoNCE,
  interpolateLinear,
  l2Normalize,
  layerNorm,
  logSumExp,
  lstmScan,
  maxPool1d,
  meanSquaredError,
  ntXent,
  packedAttention,
  softmax,
  topK,
} from "../../src/ops/index.ts";
import { openTestDevice } from "../support/helpers.ts";

const x = zeros([2, 3]);
const i = zeros([2, 3], "i32");
const b = zeros([2, 3], "bool");

/** A call that must throw, and what its message must say: the op, the shapes or values, and the rule. */
type Refusal = readonly [what: string, call: () => unknown, message: RegExp];

const REFUSALS: readonly Refusal[] = [
  // shapes and elements
  ["ragged arrays", () => tensor([[1, 2], [3]]), /tensor: ragged array: axis 1 has rows of 1 and of 2 elements/],
  ["numbers beside arrays", () => tensor([[1], 2 as never]), /tensor: ragged array: 2 stands where axis 1 has arrays/],
  [
    "text of a file",
    () => tensor({ dtype: "str", shape: [2], data: ["a", "b"] }),
    /tensor: the data is no number: an array of text; number its words first/,
  ],
  ["elements that are no numbers", () => tensor(["a" as never]), /tensor: an element is no number: the string "a"/],
  [
    "a shape of another size",
    () => tensor(new Float32Array(5), { shape: [2, 3] }),
    /tensor: shape \[2, 3\] has 6 elements, the data 5/,
  ],
  ["a variable of a number", () => variable(5 as never), /variable: the first value must be a tensor, not 5/],
  ["a number assigned", () => variable(ones([1])).assign(5 as never), /assign: the value must be a tensor, not 5/],
  ["the gradient of a number", () => grad(() => 5 as never)(x), /grad: the function's value must be a tensor, not 5/],
  ["a shift by 32 bits", () => i.shiftLeft(32), /shiftLeft: the operand must be a whole number from 0 to 31, not 32/],
  ["a shift the other way", () => i.shiftRight(-1), /shiftRight: .* from 0 to 31, not -1/],
  [
    "integers beyond 32 bits",
    () => tensor(BigInt64Array.of(2n ** 40n)),
    /tensor: element 0 is 1099511627776, which no i32 holds exactly/,
  ],
  ["sizes that are no sizes", () => zeros([2, -1]), /zeros: shape \[2, -1\]: sizes must be integers ≥ 0, not -1/],
  ["fractional sizes", () => ones([1.5]), /ones: shape \[1.5\]: sizes must be integers ≥ 0, not 1.5/],
  ["a bare constant NaN", () => build.full([2], NaN, "f32"), /full: NaN cannot be a constant/],
  ["a range without steps", () => arange(0, 3, 0), /arange: step must not be 0/],
  // broadcasting and dtypes
  [
    "shapes that do not broadcast",
    () => x.add(zeros([2, 4])),
    /add: shapes \[2, 3\] and \[2, 4\] do not broadcast: axis -1 has sizes 3 and 4; they must be equal or one of them 1/,
  ],
  ["in the middle", () => zeros([4, 3, 2]).mul(zeros([4, 5, 2])), /mul: .* axis -2 has sizes 3 and 5/],
  ["an empty axis and one of 2", () => zeros([0]).add(zeros([2])), /do not broadcast: axis -1 has sizes 0 and 2/],
  [
    "bare ops of two dtypes",
    () => build.apply("add", [x.node, i.node]),
    /add: dtypes f32 and i32 differ; cast one with \.cast\("f32"\)/,
  ],
  [
    "integers of two signs",
    () => i.add(zeros([3], "u32")),
    /add: no dtype holds both i32 and u32; cast one with \.cast\("i32"\)/,
  ],
  [
    "bare functions of integers",
    () => build.apply("exp", [i.node]),
    /exp: takes float operands, not i32; cast it with \.cast\("f32"\)/,
  ],
  ["integers only", () => x.bitAnd(2), /bitAnd: takes integer operands, not f32/],
  ["bools only", () => i.and(i), /and: takes bool operands, not i32/],
  ["numbers only", () => b.neg(), /neg: takes number operands, not bool/],
  ["differences of bools", () => b.sub(b), /sub: bools have no difference; write a\.ne\(b\)/],
  [
    "a condition that is no bool",
    () => x.where(x, x),
    /where: the condition must be bool, not f32; compare first, for example x\.gt\(0\)/,
  ],
  [
    "branches of integers of two signs",
    () => b.where(i, zeros([2, 3], "u32")),
    /where: no dtype holds both i32 and u32/,
  ],
  [
    "expanding to fewer axes",
    () => x.expand([3]),
    /expand: \[2, 3\] cannot be expanded to \[3\]: aligned at the last axis, sizes must be equal or 1/,
  ],
  ["expanding a size above 1", () => x.expand([4, 3]), /expand: \[2, 3\] cannot be expanded to \[4, 3\]/],
  ["requireFloat", () => requireFloat("thing", i), /thing: takes floating tensors, not i32/],
  // axes
  ["an axis out of range", () => x.sum(2), /sum: axis 2 is out of range for a tensor of 2 axes \(allowed: -2\.\.1\)/],
  ["a fractional axis", () => x.max(0.5), /max: axis 0.5 is out of range/],
  ["an axis twice", () => x.sum([0, -2]), /sum: axis 0 is given twice/],
  [
    "bare reductions of bools",
    () => build.reduce("sum", b.node, [0]),
    /sum: takes numbers, not bool; cast with \.cast\("i32"\) to count/,
  ],
  ["a variance of too few", () => zeros([1]).variance(0, false, 1), /variance: 1 elements with correction 1/],
  ["argmax over a missing axis", () => x.argmax(5), /argmax: axis 5 is out of range/],
  [
    "a transpose of a vector",
    () => zeros([3]).transpose(),
    /transpose: axis -2 is out of range for a tensor of 1 axes/,
  ],
  // views
  [
    "a reshape to another size",
    () => x.reshape([4, 2]),
    /reshape: \[2, 3\] has 6 elements, \[4, 2\] 8; they must be equal/,
  ],
  [
    "two inferred sizes",
    () => x.reshape([-1, -1]),
    /reshape: cannot infer the -1 of \[-1, -1\] for 6 elements of shape \[2, 3\]/,
  ],
  ["an inferred size that does not divide", () => x.reshape([4, -1]), /cannot infer the -1 of \[4, -1\]/],
  ["negative sizes", () => x.reshape([-2, -3]), /reshape: .*\[-2, -3\]/],
  [
    "an order that misses an axis",
    () => x.permute([0, 0]),
    /permute: order \[0, 0\] must name each of the 2 axes of \[2, 3\] once/,
  ],
  ["an order too short", () => x.permute([1]), /permute: order \[1\] must name each of the 2 axes/],
  ["squeezing what is not 1", () => x.squeeze(0), /squeeze: axis 0 of \[2, 3\] has size 2, not 1/],
  ["unsqueezing out of range", () => x.unsqueeze(4), /unsqueeze: axis 4 is out of range for a tensor of 3 axes/],
  ["a position outside", () => x.slice(2), /slice: position 2 is outside axis 0 of \[2, 3\]/],
  ["a negative position outside", () => x.slice(null, -4), /slice: position -4 is outside axis 1 of \[2, 3\]/],
  ["a fractional position", () => x.slice(0.5), /slice: position 0.5 is outside axis 0/],
  ["a fractional bound", () => x.slice([0.5, 1]), /slice: bound 0.5 must be an integer/],
  ["step 0", () => x.slice([0, 1, 0]), /slice: step 0 must be a non-zero integer/],
  ["more ranges than axes", () => x.slice(null, null, null), /slice: 3 ranges for \[2, 3\]/],
  [
    "a bare slice outside",
    () => build.slice(x.node, [0, 2], [2, 2], [1, 1]),
    /slice: axis 1 of \[2, 3\]: start 2, 2 elements, step 1 runs outside 0\.\.2/,
  ],
  ["too few widths", () => x.pad([[1, 1]]), /pad: needs 2 pairs of integers ≥ 0 for \[2, 3\], got \[\[1,1\]\]/],
  [
    "a negative width",
    () =>
      x.pad([
        [0, 0],
        [-1, 0],
      ]),
    /pad: needs 2 pairs of integers ≥ 0/,
  ],
  [
    "a bare pad that does not fit",
    () => build.pad(x.node, [0, 0], [2, 4], [1, 2]),
    /pad: axis 1: 3 elements from 0 in steps of 2 do not fit in 4/,
  ],
  [
    "a window longer than its axis",
    () => x.window(1, 3, 1, 2),
    /window: size 3, stride 1, dilation 2 on axis 1 of \[2, 3\]: all must be ≥ 1 and \(size − 1\)·dilation \+ 1 = 5 at most 3/,
  ],
  ["a window of stride 0", () => x.window(1, 2, 0), /window: size 2, stride 0/],
  // products
  ["inner sizes", () => x.matmul(x), /matmul: \[2, 3\] times \[2, 3\]: inner sizes 3 and 2 must be equal/],
  ["batch sizes", () => zeros([2, 3, 4]).matmul(zeros([3, 4, 5])), /matmul: shapes \[2\] and \[3\] do not broadcast/],
  [
    "products of integers",
    () => i.matmul(i.transpose()),
    /matmul: .*operands must be of one floating dtype, not i32 and i32/,
  ],
  ["products of two dtypes", () => x.matmul(zeros([3, 1], "f64")), /of one floating dtype, not f32 and f64/],
  ["products with scalars", () => x.matmul(zeros([])), /matmul: \[2, 3\] times \[\]: scalars are not matrices/],
  [
    "bare products of vectors",
    () => build.matmul(zeros([3]).node, zeros([3]).node),
    /both operands need at least 2 axes/,
  ],
  ["an equation without a result", () => einsum("ab,bc", x, x), /einsum: "ab,bc" is not of the form "ab,bc->ac"/],
  [
    "an equation for other operands",
    () => einsum("ab,bc->ac", x),
    /einsum: "ab,bc->ac" names 2 operands, 1 were given/,
  ],
  ["an equation of other ranks", () => einsum("abc->a", x), /einsum: "abc" names 3 axes, operand 0 is \[2, 3\]/],
  ["a letter twice in an operand", () => einsum("aa->a", zeros([2, 2])), /einsum: a letter repeats in "aa"/],
  [
    "a letter of two sizes",
    () => einsum("ab,ac->bc", x, zeros([3, 2])),
    /einsum: "a" has sizes 2 and 3 in "ab,ac->bc"/,
  ],
  ["a letter out of nowhere", () => einsum("ab->abc", x), /einsum: "c" of the result is in no operand/],
  ["a letter twice in the result", () => einsum("ab->aa", x), /einsum: a letter repeats in the result "aa"/],
  // indexing and joining
  [
    "an index of another shape",
    () => x.gather(1, zeros([3, 1], "i32")),
    /gather: index \[3, 1\] and x \[2, 3\] must have equal sizes except along axis 1/,
  ],
  ["an index of floats", () => x.gather(0, x), /gather: the index must be i32 or u32, not f32/],
  [
    "an index into nothing",
    () => zeros([0, 3]).gather(0, zeros([1, 3], "i32")),
    /gather: axis 0 of \[0, 3\] is empty: there is nothing to index/,
  ],
  ["take by a matrix", () => x.take(i), /take: the index must have 1 axis, not shape \[2, 3\]/],
  [
    "scatterAdd of another shape",
    () => x.scatterAdd(0, zeros([1, 3], "i32"), zeros([1, 2])),
    /scatterAdd: index \[1, 3\] and source \[1, 2\] must have one shape, equal to \[2, 3\] except along axis 0/,
  ],
  ["concat of nothing", () => concat([]), /concat: needs at least one tensor/],
  [
    "concat of two shapes",
    () => concat([x, zeros([2, 4])], 0),
    /concat: f32\[2, 3\], f32\[2, 4\]: dtypes must be one, and sizes equal except along axis 0/,
  ],
  ["bare concat of two dtypes", () => build.concat([x.node, i.node], 0), /concat: f32\[2, 3\], i32\[2, 3\]/],
  ["concat of two ranks", () => concat([x, zeros([3])]), /concat: f32\[2, 3\], f32\[3\]/],
  ["stack of nothing", () => stack([]), /stack: needs at least one tensor/],
  [
    "stack of two shapes",
    () => stack([x, zeros([3])]),
    /stack: Tensor\(f32\[2, 3\]\) and Tensor\(f32\[3\]\) must have one shape/,
  ],
  // random
  ["a fractional seed", () => new Generator(0.5), /Generator: the seed must be a whole number, not 0.5/],
  ["dropping everything", () => new Generator(0).dropoutMask([2], 1), /dropoutMask: p must be in \[0, 1\), not 1/],
  [
    "bits of a wrong shape",
    () => new Generator(0).uniform([-1]),
    /Generator\.uniform: shape \[-1\]: sizes must be integers ≥ 0, not -1/,
  ],
  [
    "a number for a draw's shape",
    () => new Generator(0).normal(3 as never),
    /Generator\.normal: the shape must be an array of sizes, not 3/,
  ],
  [
    "options for a draw's bound",
    () => new Generator(0).uniform([2], { low: 1 } as never),
    /Generator\.uniform: low must be a number, not an object/,
  ],
  [
    "a draw's bounds the other way round",
    () => new Generator(0).uniform([2], 3, 1),
    /Generator\.uniform: low = 3 must not be above high = 1/,
  ],
  [
    "draws of real numbers as integers",
    () => new Generator(0).normal([2], 0, 1, "i32"),
    /Generator\.normal: the dtype must be a floating one, not i32/,
  ],
  // functions of functions
  ["no function to differentiate", () => grad(3 as never), /grad: takes a function, not 3/],
  ["nothing to differentiate at", () => grad((() => x) as never)(undefined as never), /grad: x must be a tensor/],
  ["no function to compile", () => compile(x as never), /compile: takes a function, not Tensor\(f32\[2, 3\]\)/],
  ["no function without gradients", () => noGrad(undefined as never), /noGrad: takes a function, not undefined/],
  ["an async function without gradients", () => noGrad(async () => x.mul(2)), /noGrad: the function is async/],
  ["a tensor for a list of tensors", () => realize(x as never), /realize: takes an array of tensors/],
  ["a device's name", () => setDefaultDevice("cpu" as never), /setDefaultDevice: takes a device, not cpu/],
  // gradients
  [
    "grad of a vector",
    () => grad((t: Tensor) => t.mul(2))(x),
    /grad: the function must give one number, not shape \[2, 3\]; reduce it, for example with \.mean\(\)/,
  ],
  [
    "grad of integers",
    () => valueAndGrad((t: Tensor) => t.sum())(i),
    /grad: cannot differentiate with respect to a i32 tensor/,
  ],
  ["grad of an integer value", () => grad((t: Tensor) => t.cast("i32").sum())(x), /grad: a i32 value has no gradient/],
  [
    "cotangents of another shape",
    () => gradients([x.mul(2)], [zeros([3])], [x]),
    /gradient: the cotangent \[3\] must have the output's shape \[2, 3\]/,
  ],
  // ops above the primitives
  ["layerNorm of integers", () => layerNorm(i), /layerNorm: takes floating tensors/],
  ["softmax over a missing axis", () => softmax(x, 2), /softmax: axis 2 is out of range/],
  ["softmax over nothing", () => softmax(zeros([2, 0])), /softmax: axis -1 of \[2, 0\] is empty/],
  ["logSumExp of a scalar", () => logSumExp(zeros([])), /logSumExp: axis -1 is out of range/],
  ["layerNorm of a scalar", () => layerNorm(zeros([])), /layerNorm: \[\] has no last axis to normalise/],
  [
    "layerNorm's weight",
    () => layerNorm(x, { weight: zeros([2]) }),
    /layerNorm: weight has shape \[2\], the last axis of x is 3/,
  ],
  ["layerNorm's bias", () => layerNorm(x, { bias: zeros([1, 3]) }), /layerNorm: bias has shape \[1, 3\]/],
  ["l2Normalize of integers", () => l2Normalize(i), /l2Normalize: takes floating tensors/],
  [
    "labels of another shape",
    () => crossEntropy(x, zeros([3], "i32")),
    /crossEntropy: logits \[2, 3\] need labels of shape \[2\], not \[3\]/,
  ],
  ["labels of floats", () => crossEntropy(x, zeros([2])), /crossEntropy: labels must be i32 or u32, not f32/],
  [
    "smoothing of 1",
    () => crossEntropy(x, zeros([2], "i32"), { labelSmoothing: 1 }),
    /labelSmoothing 1 must be in \[0, 1\)/,
  ],
  [
    "a target of another shape",
    () => meanSquaredError(x, zeros([3])),
    /meanSquaredError: prediction is \[2, 3\] and target \[3\]; they must be of one shape/,
  ],
  [
    "a convolution's channels",
    () => conv1d(zeros([1, 3, 5]), zeros([2, 2, 1])),
    /conv1d: weight \[2, 2, 1\] must be \[O, C \/ groups, …\] for the 3 channels of x \[1, 3, 5\]/,
  ],
  ["a pool that does not fit", () => maxPool1d(x, 4), /maxPool1d: windows of 4 do not fit in axis 1 of \[2, 3\]/],
  ["no points", () => interpolateLinear(x, 0), /interpolateLinear: cannot make 0 points of the last axis of \[2, 3\]/],
  ["too many of the largest", () => topK(x, 4), /topK: k = 4 must be in 1\.\.3 for \[2, 3\]/],
  [
    "a temperature of 0",
    () => infoNCE(x, x, zeros([3, 4]), { temperature: 0 }),
    /infoNCE: temperature 0 must be above 0/,
  ],
  [
    "a queue of other features",
    () => infoNCE(x, x, zeros([2, 4]), { temperature: 1 }),
    /infoNCE: q \[2, 3\] must be \[N, C\], positives \[2, 3\].*queue \[2, 4\] \[C, K\]/,
  ],
  [
    "views of two shapes",
    () => ntXent(x, zeros([3, 3]), { temperature: 1 }),
    /ntXent: a \[2, 3\] and b \[3, 3\] must be \[N, C\] both/,
  ],
  [
    "a scan's gates",
    () => gruScan({ gates: zeros([2, 1, 1, 4]), weight: zeros([1, 4, 1]) }),
    /gruScan: gates \[2, 1, 1, 4\] must be \[steps, batch, directions, 3·hidden\], none of them 0/,
  ],
  [
    "a scan's weight",
    () => gruScan({ gates: zeros([2, 1, 1, 6]), weight: zeros([1, 6, 3]) }),
    /gruScan: weight has shape \[1, 6, 3\], gates \[2, 1, 1, 6\] need \[1, 6, 2\]/,
  ],
  [
    "a scan's state",
    () => lstmScan({ gates: zeros([2, 1, 1, 8]), weight: zeros([1, 8, 2]), c0: zeros([1, 2]) }),
    /lstmScan: c0 has shape \[1, 2\], not \[1, 1, 2\]/,
  ],
  [
    "a scan's segments",
    () => gruScan({ gates: zeros([2, 1, 1, 6]), weight: zeros([1, 6, 2]), segments: [1, 2] }),
    /gruScan: segments \[1, 2\] must be positive integers whose sum is the 2 steps/,
  ],
  [
    "a scan's directions",
    () => gruScan({ gates: zeros([2, 1, 3, 6]), weight: zeros([3, 6, 2]) }),
    /gruScan: gates \[2, 1, 3, 6\] have 3 directions; there are 1 or 2/,
  ],
  [
    "attention's scale",
    () => packedAttention(zeros([1, 2, 6]), 1, { scale: NaN }),
    /attention: scale is NaN; it must be a finite number/,
  ],
  [
    "attention without heads",
    () => attention(zeros([1, 2, 0, 3]), zeros([1, 2, 0, 3]), zeros([1, 2, 0, 3])),
    /attention: no axis may be empty/,
  ],
  [
    "attention's segments",
    () => packedAttention(zeros([1, 3, 6]), 1, { segments: [2, 2] }),
    /attention: segments \[2, 2\] must be positive integers whose sum is the 3 queries and 3 keys/,
  ],
  [
    "attention's operands",
    () => attention(zeros([1, 2, 1, 3]), zeros([1, 4, 1, 3]), zeros([1, 5, 1, 3])),
    /attention: q \[1, 2, 1, 3\] must be \[B, Tq, H, D\], and k \[1, 4, 1, 3\], v \[1, 5, 1, 3\]/,
  ],
  [
    "attention's mask",
    () => packedAttention(zeros([1, 2, 6]), 1, { mask: zeros([1, 3]) }),
    /attention: mask has shape \[1, 3\], not \[1, 2\]/,
  ],
  [
    "attention's heads",
    () => packedAttention(zeros([1, 2, 6]), 4),
    /packedAttention: \[1, 2, 6\] must be \[B, T, 3·H·D\] for 4 heads/,
  ],
];

describe("errors at the door", () => {
  for (const [what, call, message] of REFUSALS) test(what, () => assert.throws(call, message));

  test("every elementwise row refuses dtypes outside its class", () => {
    for (const name of Object.keys(ELEMENTWISE) as ElementwiseName[]) {
      const row = ELEMENTWISE[name];
      for (const dtype of ["f32", "i32", "u32", "bool"] as const) {
        const operands = Array.from(
          { length: row.arity },
          (_, k) => zeros([2], name === "where" && k === 0 ? "bool" : dtype).node,
        );
        const call = () => build.apply(name, operands);
        if (inClass(dtype, row.takes)) assert.doesNotThrow(call, `${name} of ${dtype}`);
        else assert.throws(call, new RegExp(`${name}: takes ${row.takes} operands, not ${dtype}`));
      }
    }
  });

  test("at reading", async () => {
    setDefaultDevice(new ReferenceDevice());
    assert.deepEqual([...(await noGrad(() => x.add(1).read()))], [1, 1, 1, 1, 1, 1]);
    await assert.rejects(x.item(), /item: shape \[2, 3\] has 6 elements, not 1; use read\(\)/);
    await assert.rejects(
      compile((t: Tensor) => t.reshape([7]))(tensor([1, 2])),
      /reshape: \[2\] has 2 elements, \[7\] 7/,
    );
    const gone = await tensor([1, 2])
      .add(1)
      .realize()
      .then((t) => {
        t.dispose();
        return t;
      });
    await assert.rejects(gone.read(), /the tensor was disposed of/);
    setDefaultDevice(undefined);
  });

  test("dtypes a device does not have", async () => {
    const gpu = await openTestDevice();
    setDefaultDevice(gpu);
    await assert.rejects(
      tensor([1], { dtype: "f64" }).add(1).read(),
      /has no f64 tensors: it exists on the reference device only; cast to f32 with \.cast\("f32"\)/,
    );
    await assert.rejects(tensor([1], { dtype: "f64" }).read(), /has no f64 tensors/);
    if (!gpu.supports("f16"))
      await assert.rejects(tensor([1]).cast("f16").read(), /has no f16 tensors: the adapter has no shader-f16/);
    assert.deepEqual(Array.from(await tensor([1]).add(1).read()), [2], "the device goes on");
    setDefaultDevice(undefined);
    gpu.close();
  });
});
