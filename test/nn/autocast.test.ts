/** Mixed precision: which ops compute in what, and what its gradients and its errors are. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  BatchNorm2d,
  Conv2d,
  GRU,
  TransformerEncoderLayer,
  autocast,
  cosineSimilarity,
  crossEntropy,
  linear,
  meanSquaredError,
} from "../../src/nn/index.ts";
import {
  conv1d,
  convTranspose2d,
  depthwiseConv1d,
  layerNorm,
  logSoftmax,
  scaledDotProductAttention,
  softmax,
} from "../../src/ops/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { compile, Generator, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { onReference } from "./helpers.ts";

describe("autocast", () => {
  const [x, h] = [zeros([4, 8]), zeros([4, 8], "f16")];
  const w = variable(zeros([6, 8]));
  const image = zeros([2, 3, 5, 5]);

  test("products compute in f16, sums over many elements in f32, the rest as it comes", () => {
    autocast(() => {
      for (const y of [linear(x, w), linear(h, w, zeros([6])), conv1d(zeros([2, 3, 9]), zeros([4, 3, 3]))])
        assert.equal(y.dtype, "f16");
      assert.equal(new Conv2d(3, 4, 3).forward(image).dtype, "f16");
      assert.equal(convTranspose2d(image, zeros([3, 2, 2, 2]), { bias: zeros([2]) }).dtype, "f16");
      assert.equal(depthwiseConv1d(zeros([2, 9, 3]), zeros([3, 1, 3]), { bias: zeros([3]) }).dtype, "f16");
      for (const y of [layerNorm(h), softmax(h), logSoftmax(h), crossEntropy(h, zeros([4], "i32"))])
        assert.equal(y.dtype, "f32");
      for (const y of [meanSquaredError(h, x), cosineSimilarity(h, h), scaledDotProductAttention(h, h, h)])
        assert.equal(y.dtype, "f32");
      const norm = new BatchNorm2d(3);
      for (const y of [norm.forward(image.cast("f16")), norm.eval().forward(image.cast("f16"))])
        assert.equal(y.dtype, "f16");
      assert.equal(new GRU(8, 5).forward(zeros([3, 2, 8], "f16")).y.dtype, "f32");
      assert.equal(h.relu().add(1).dtype, "f16");
      assert.equal(h.add(x).dtype, "f32");
      assert.equal(linear(zeros([4, 8], "f64"), zeros([6, 8], "f64")).dtype, "f64");
    });
    assert.equal(linear(x, w).dtype, "f32");
    assert.equal(layerNorm(h).dtype, "f16");
  });

  test("it can be switched off within, ends with an error, and takes no async function", () => {
    const within = autocast(() => [linear(x, w), autocast(() => linear(x, w), { enabled: false }), linear(x, w)]);
    assert.deepEqual(
      within.map(({ dtype }) => dtype),
      ["f16", "f32", "f16"],
    );
    assert.throws(() =>
      autocast(() => {
        throw new Error("within");
      }),
    );
    assert.equal(linear(x, w).dtype, "f32");
    assert.throws(() => autocast(async () => linear(x, w)), /autocast: the function is async/);
    assert.throws(() => autocast(linear(x, w) as unknown as () => void), /autocast: takes a function/);
    assert.throws(() => autocast(() => 0, { on: true } as object), /on/);
  });

  test("gradients come to parameters in f32, and are those of f32 where nothing is rounded", () =>
    onReference(async () => {
      const generator = new Generator(3);
      const layer = new TransformerEncoderLayer(8, 2, { generator, feedForward: 16, dropout: 0, batchFirst: true });
      const given = generator.normal([2, 5, 8]);
      const gradients = async (loss: Tensor): Promise<number[][]> => {
        layer.zeroGrad();
        loss.backward();
        assert.ok(layer.parameters().every(({ grad }) => grad!.dtype === "f32"));
        return Promise.all(layer.parameters().map(({ grad }) => numbers(grad!)));
      };
      const loss = (): Tensor => layer.forward(given).square().sum(-1).mean();
      const whole = await gradients(loss());
      const mixed = await gradients(autocast(loss));
      // The reference device keeps f16 in double precision.
      mixed.forEach((g, i) => assertClose(g, whole[i]!, 1e-9));
    }));

  test("a function compiled within it or around it is traced for the mode that it is called in", () =>
    onReference(async () => {
      let traces = 0;
      const [x, w] = [tensor(new Float32Array(32), { shape: [4, 8] }), variable(zeros([6, 8]))];
      await x.realize();
      const plain = compile((y: Tensor) => {
        traces++;
        return linear(y, w);
      });
      const own = compile((y: Tensor) => {
        traces++;
        return autocast(() => linear(y, w));
      });
      const dtypes = async (): Promise<string[]> =>
        Promise.all([plain(x), autocast(() => ({ y: plain(x) })).y, own(x), autocast(() => ({ y: own(x) })).y]).then(
          (ys) => ys.map(({ dtype }) => dtype),
        );
      assert.deepEqual(await dtypes(), ["f32", "f16", "f16", "f16"]);
      const before = traces;
      for (let i = 0; i < 3; i++) await own(x);
      assert.equal(traces, before);
    }));

  test("cpu says that it has no f16, and what to do", async () => {
    const cpu = await CpuDevice.open({ threads: 1 });
    setDefaultDevice(cpu);
    try {
      const fault = /autocast: cpu.* has no f16 tensors.*enabled: false.*shader-f16/;
      assert.throws(() => autocast(() => linear(x, variable(zeros([6, 8])))), fault);
      const held = await tensor([[1, 2]]).realize();
      assert.throws(() => autocast(() => linear(held, zeros([1, 2]))), fault);
      await assert.rejects(autocast(() => linear(x.add(1), zeros([6, 8]))).read(), /has no f16 tensors/);
    } finally {
      setDefaultDevice(undefined);
      cpu.close();
    }
  });
});
