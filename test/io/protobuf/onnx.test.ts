/** ONNX files: what ONNX Runtime computes from one, and what is no model is refused before anything is written. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { InferenceSession } from "onnxruntime-web";
import type { OnnxModel } from "../../../src/io/index.ts";
import { encodeOnnx, hostTensor, writeOnnx } from "../../../src/io/index.ts";
import { fieldsOf, Message } from "../../../src/io/protobuf/protobuf.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-onnx-"));
after(() => rmSync(folder, { recursive: true }));

/** y = [leaky(x·W), x], turned round: every kind of attribute that is not text, weights of two dtypes. */
const MODEL: OnnxModel = {
  name: "small",
  opset: 17,
  nodes: [
    { op: "MatMul", inputs: ["x", "W"], outputs: ["product"] },
    { op: "LeakyRelu", inputs: ["product"], outputs: ["leaky"], attributes: { alpha: { float: 0.25 } } },
    { op: "Concat", inputs: ["leaky", "x"], outputs: ["both"], attributes: { axis: { int: 1 } } },
    { op: "Transpose", inputs: ["both"], outputs: ["turned"], attributes: { perm: { ints: [1, 0] } } },
    { op: "Reshape", inputs: ["turned", "shape"], outputs: ["flat"] },
    { op: "Pad", inputs: ["flat", "pads"], outputs: ["y"], attributes: { mode: { text: "edge" } } },
  ],
  initializers: new Map([
    ["W", hostTensor("f32", [2, 1], Float32Array.of(1, -2))],
    ["shape", hostTensor("i64", [1], BigInt64Array.of(-1n))],
    ["pads", hostTensor("i64", [2], BigInt64Array.of(1n, 0n))],
  ]),
  inputs: [{ name: "x", shape: ["rows", 2] }],
  outputs: [{ name: "y", shape: ["values"] }],
  metadata: { made: "by a test" },
};

test("a model computes what it says, for any number of rows", async (context) => {
  const runtime = await import("onnxruntime-web").catch(() => undefined);
  if (!runtime) return context.skip("onnxruntime-web cannot be loaded here");
  const path = join(folder, "small.onnx");
  writeOnnx(path, MODEL);
  const session = await runtime.InferenceSession.create(readFileSync(path));
  for (const [x, y] of [
    [
      [3, 1],
      [1, 1, 3, 1],
    ],
    [
      [3, 1, 1, 2],
      [1, 1, -0.75, 3, 1, 1, 2],
    ],
  ]) {
    const results: InferenceSession.OnnxValueMapType = await session.run({
      x: new runtime.Tensor("float32", Float32Array.from(x), [x.length / 2, 2]),
    });
    assert.deepEqual([...(results.y.data as Float32Array)], y);
  }
  await session.release();
});

test("what is no model is refused", () => {
  const bad = (change: Partial<OnnxModel>, expected: RegExp): void => {
    assert.throws(() => writeOnnx(join(folder, "bad.onnx"), { ...MODEL, ...change }), expected);
    assert.ok(!existsSync(join(folder, "bad.onnx")));
  };
  bad({ nodes: MODEL.nodes.slice(1) }, /LeakyRelu takes "product", which nothing before it makes/);
  bad({ nodes: [...MODEL.nodes, MODEL.nodes[0]] }, /"product" is made twice/);
  bad({ outputs: [{ name: "z", shape: [1] }] }, /the output takes "z"/);
  bad(
    { initializers: new Map([...MODEL.initializers, ["half", hostTensor("bf16", [1], Uint16Array.of(1))]]) },
    /"half" is bf16; there is f32,/,
  );
  const broken = { dtype: "f32", shape: [3], data: new Float32Array(2) } as const;
  bad({ initializers: new Map([...MODEL.initializers, ["short", broken]]) }, /"short": /);
});

test("messages within messages, and numbers of any length", () => {
  const inner = new Message().varint(1, 300).packed(2, [1, 2 ** 40]);
  const bytes = new Message().message(3, inner).text(4, "é").toBytes();
  const [message, text] = fieldsOf(bytes, "test");
  assert.deepEqual([message.field, text.field, new TextDecoder().decode(text.value as Uint8Array)], [3, 4, "é"]);
  assert.deepEqual(
    fieldsOf(message.value as Uint8Array, "test").map(({ value }) => value),
    [300, Uint8Array.of(1, 128, 128, 128, 128, 128, 32)],
  );
  assert.throws(() => new Message().varint(1, -1), /-1 is not an integer from 0/);
  assert.throws(() => fieldsOf(bytes.subarray(0, -1), "cut"), /cut: a message is cut off/);
  assert.ok(encodeOnnx(MODEL).length < 1000);
});
