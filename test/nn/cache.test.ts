/** Decoding step by step through a key-value cache gives what the whole sequence gives at once. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Embedding, KeyValueCache, Linear, Module, TransformerEncoderLayer } from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { Generator, compile, seed, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { onReference } from "./helpers.ts";

const [VOCABULARY, WIDTH, HEADS, STEPS] = [11, 8, 2, 10];

class Decoder extends Module {
  readonly embedding = new Embedding(VOCABULARY, WIDTH);
  readonly positions = new Embedding(STEPS, WIDTH);
  readonly layers = [0, 1].map(
    () => new TransformerEncoderLayer(WIDTH, HEADS, { feedForward: 16, dropout: 0, batchFirst: true, normFirst: true }),
  );
  readonly head = new Linear(WIDTH, VOCABULARY);

  /** tokens [B, T] → logits [B, T, V]. */
  forward(tokens: Tensor, positions: Tensor, cache?: KeyValueCache): Tensor {
    let x = this.embedding.forward(tokens).add(this.positions.forward(positions));
    this.layers.forEach((layer, i) => {
      x = layer.forward(x, { causal: true, rotary: true, cache: cache?.layers[i] });
    });
    cache?.advance(tokens.shape[1]);
    return this.head.forward(x);
  }
}

async function stepByStep(device: Backend, bound: number): Promise<void> {
  setDefaultDevice(device);
  try {
    seed(4);
    const net = new Decoder();
    const tokens = await new Generator(8).integers([2, STEPS], 0, VOCABULARY).realize();
    const all = tensor(Int32Array.from({ length: STEPS }, (_, i) => i));
    const whole = await numbers(net.forward(tokens, all));
    const cache = new KeyValueCache({ layers: 2, batch: 2, heads: HEADS, steps: STEPS, dim: WIDTH / HEADS });
    const step = compile((t: Tensor) => net.forward(t, cache.positions(t.shape[1]), cache));
    for (let round = 0; round < 2; round++) {
      cache.reset();
      let at = 0;
      // A prompt of three, then one by one.
      for (const count of [3, 1, 1, 1, 1, 1, 1, 1]) {
        const logits = await numbers(await step(tokens.slice(null, [at, at + count])));
        for (let b = 0; b < 2; b++) {
          const from = (b * STEPS + at) * VOCABULARY;
          const own = logits.slice(b * count * VOCABULARY, (b + 1) * count * VOCABULARY);
          assertClose(own, whole.slice(from, from + count * VOCABULARY), bound);
        }
        at += count;
      }
      assert.equal((await numbers(cache.length))[0], STEPS);
    }
  } finally {
    setDefaultDevice(undefined);
  }
}

describe("key-value cache", () => {
  let cpu: CpuDevice;
  before(async () => {
    cpu = await CpuDevice.open({ threads: 2 });
  });
  after(() => cpu.close());

  test("step by step as all at once: reference", () => stepByStep(new ReferenceDevice(), 1e-9));
  test("step by step as all at once: cpu", () => stepByStep(cpu, 1e-5));

  test("a step beyond the room there is names the cache; keys of other sizes are refused", () =>
    onReference(async () => {
      const cache = new KeyValueCache({ layers: 1, batch: 1, heads: 1, steps: 2, dim: 2 });
      cache.advance(2);
      await assert.rejects(async () => cache.positions(1).read(), /KeyValueCache: position/);
      assert.throws(
        () => cache.layers[0].update(tensor([[[[1, 2, 3]]]]), tensor([[[[1, 2, 3]]]])),
        /KeyValueCache: keys \[1, 1, 1, 3\] must be \[1, 1, T, 2\]/,
      );
    }));
});
