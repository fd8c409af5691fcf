/** What `tensor` takes besides arrays, and the array that `read` gives where the dtype is named. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import {
  encodeTorchCheckpoint,
  float32ToBf16,
  float32ToF16,
  hostTensor,
  readTorchCheckpoint,
} from "../../src/io/index.ts";
import { Linear, readState, SGD } from "../../src/nn/index.ts";
import { setDefaultDevice, tensor } from "../../src/tensor/index.ts";

setDefaultDevice(new ReferenceDevice());

describe("tensor", () => {
  test("takes what readers give, of every dtype", async () => {
    const halves = Float32Array.of(0.5, -2);
    for (const [given, dtype, values] of [
      [hostTensor("f32", [2, 1], halves), "f32", [0.5, -2]],
      [hostTensor("f16", [2, 1], float32ToF16(halves)), "f16", [0.5, -2]],
      [hostTensor("bf16", [2, 1], float32ToBf16(halves)), "f32", [0.5, -2]],
      [hostTensor("f64", [2, 1], Float64Array.of(1, 2)), "f64", [1, 2]],
      [hostTensor("i64", [2, 1], BigInt64Array.of(-1n, 2n)), "i32", [-1, 2]],
      [hostTensor("u8", [2, 1], Uint8Array.of(200, 2)), "i32", [200, 2]],
      [hostTensor("bool", [2, 1], Uint8Array.of(1, 0)), "bool", [1, 0]],
    ] as const) {
      const made = tensor(given);
      assert.deepEqual([made.dtype, made.shape, Array.from(await made.read())], [dtype, [2, 1], values], given.dtype);
    }
    assert.equal(tensor(hostTensor("i64", [1], BigInt64Array.of(3n)), { dtype: "f32" }).dtype, "f32");
    assert.throws(() => tensor(hostTensor("i64", [1], BigInt64Array.of(2n ** 40n))), /1099511627776/);
    assert.throws(() => tensor({ dtype: "f32", shape: [3], data: halves }), /shape \[3\] has 3 elements, the data 2/);
  });

  test("takes what stateDict and readState give, without a history", async () => {
    const layer = new Linear(2, 3);
    for (const [name, value] of await readState(layer.stateDict())) {
      assert.deepEqual(await tensor(value).read("f32"), value.data, name);
    }
    const weight = tensor(layer.stateDict().get("weight")!);
    assert.throws(() => weight.sum().backward(), /no trainable variable leads to this value/);
    assert.deepEqual(tensor(layer.weight, { shape: [6], dtype: "i32" }).label(), "Tensor(i32[6])");
  });

  test("a checkpoint takes what torchState gives, without a cast", async () => {
    const layer = new Linear(2, 1);
    const optimizer = new SGD(layer.parameters(), { lr: 0.1, momentum: 0.9 });
    layer
      .forward(tensor([[1, 2]]))
      .sum()
      .backward();
    optimizer.step();
    const bytes = encodeTorchCheckpoint(new Map([["optimizer", await optimizer.torchState()]]));
    encodeTorchCheckpoint(await optimizer.torchState());
    const read = readTorchCheckpoint(bytes) as Map<string, unknown>;
    optimizer.loadTorchState(read.get("optimizer"));
  });
});

describe("read", () => {
  test("gives the array of the dtype that is named, on the reference device too", async () => {
    const floats: Float32Array = await tensor([1, 2]).read("f32");
    const integers: Int32Array = await tensor(Int32Array.of(3)).read("i32");
    const doubles: Float64Array = await tensor([1], { dtype: "f64" }).read("f64");
    const flags: Uint8Array = await tensor([1, 2]).gt(1).read("bool");
    assert.ok(floats instanceof Float32Array && integers instanceof Int32Array);
    assert.ok(doubles instanceof Float64Array && flags instanceof Uint8Array);
    const found = await tensor([1, 2]).div(3).read();
    assert.ok(found instanceof Float32Array, "without the dtype's name as well");
    await assert.rejects(tensor([1]).read("i32"), /read: Tensor\(f32\[1\]\) is not i32; read\("f32"\), or cast it/);
  });
});
