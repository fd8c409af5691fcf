/** The model: names, options, variants of its encoder, the key network, dropout. Its numbers are in golden.test.ts. */
import { afterEach, describe, test } from "node:test";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import type { EncoderFactory, EncoderName, HiCoOptions } from "../../../src/hico/index.ts";
import { ENCODER_NAMES, HiCo, HiCoTrainer, LOSS_PARTS, partsOfLevels } from "../../../src/hico/index.ts";
import { readSafetensors } from "../../../src/io/index.ts";
import { GRU, Linear, Module } from "../../../src/nn/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { ones, tensor } from "../../../src/tensor/create.ts";
import { Generator } from "../../../src/tensor/random.ts";
import { realize } from "../../../src/tensor/program/realize.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { batchOf, small } from "../helpers.ts";

setDefaultDevice(new ReferenceDevice());
// An expected error may leave assignments waiting.
afterEach(() => realize([]));

const fixture = fileURLToPath(new URL("../../fixtures/golden/hico_lstm_g3_f64.safetensors", import.meta.url));

describe("state", () => {
  test("has the names, order and shapes of the published checkpoints", () => {
    const model = new HiCo({
      encoder: "lstm",
      temporalInput: 60,
      spatialInput: 96,
      hidden: 16,
      granularity: 3,
      projection: 8,
      queue: 32,
    });
    const published = [...readSafetensors(fixture).tensors].filter(([name]) => name.startsWith("after8/"));
    const names = new Map(published.map(([name, { shape }]) => [name.slice("after8/".length), [...shape]]));
    assert.deepEqual(new Map([...model.stateDict()].map(([name, v]) => [name, [...v.shape]])), names);
    // Queues first, then the query network, then the key network, each in the order of the layers.
    const order = [...model.stateDict().keys()];
    assert.deepEqual(order.slice(0, 4), ["c_queue", "c_queue_ptr", "p_queue", "p_queue_ptr"]);
    const half = order.slice(10, 10 + (order.length - 10) / 2);
    assert.deepEqual(half[0], "encoder_q.hi_encoder.t_embedding.0.weight");
    assert.deepEqual(half[half.length - 1], "encoder_q.instance_proj.2.bias");
    assert.deepEqual(
      order.slice(10 + half.length),
      half.map((name) => name.replace("encoder_q", "encoder_k")),
    );
  });

  test("another encoder's checkpoint is refused by name", () => {
    const { tensors } = readSafetensors(fixture);
    const state = new Map(
      [...tensors].filter(([n]) => n.startsWith("after8/")).map(([n, v]) => [n.slice("after8/".length), v]),
    );
    const options = { temporalInput: 60, spatialInput: 96, hidden: 16, granularity: 3, projection: 8, queue: 32 };
    assert.throws(
      () => new HiCo({ ...options, encoder: "transformer" }).loadStateDict(state),
      /missing.*self_attn[\s\S]*unexpected.*weight_ih_l0/,
    );
    assert.throws(
      () => new HiCo({ ...options, encoder: "gru" }).loadStateDict(state),
      /of another shape.*weight_ih_l0/,
    );
  });

  test("queues start as columns of length 1, pointers at 0, and the key network as a copy", async () => {
    const model = new HiCo(small());
    const lengths = await model.c_queue.square().sum(0).read();
    assert.deepEqual(model.c_queue.shape, [4, 24]);
    for (const length of lengths) assert.ok(Math.abs(length - 1) < 1e-6);
    assert.equal((await model.c_queue_ptr.read())[0], 0);
    const [q, k] = [model.encoder_q.stateDict(), model.encoder_k.stateDict()];
    for (const [name, p] of q) assert.deepEqual(await k.get(name)!.read(), await p.read(), name);
  });

  test("matrices are drawn from Xavier's range and fill it", async () => {
    const { weight } = new HiCo(
      small({ hidden: 32, heads: 4 }),
    ).encoder_q.hi_encoder.t_embedding.namedModules()[1][1] as Linear;
    const bound = Math.sqrt(6 / (weight.shape[0] + weight.shape[1]));
    const values = [...(await weight.read())].map(Math.abs);
    assert.ok(Math.max(...values) <= bound && Math.max(...values) > 0.9 * bound);
  });
});

describe("options", () => {
  test("what makes no sense is refused by name", () => {
    const make = (options: HiCoOptions) => () => new HiCo({ ...small(), ...options });
    assert.throws(make({ granularity: 0 }), /HiCo: granularity is 0; it must be a whole number of at least 1/);
    assert.throws(make({ temperature: 0 }), /HiCo: temperature is 0; it must be a number above 0/);
    assert.throws(make({ momentum: 1.5 }), /momentum is 1.5/);
    assert.throws(make({ variant: "fixed" as never }), /variant is "fixed"; it must be one of corrected, released/);
    assert.throws(
      make({ encoder: "rnn" as EncoderName }),
      /encoder is "rnn"; it must be one of gru, lstm, transformer/,
    );
    assert.throws(make({ heads: 3 }), /width 8 is no multiple of 3 heads/);
    assert.throws(make({ encoder: "gru", hidden: 9 }), /hidden is 9; a bidirectional encoder needs an even number/);
    assert.throws(make({ size: 3 } as never), /no option "size"/);
  });

  test("batches that do not fit are refused by name", () => {
    const model = new HiCo(small());
    const batch = batchOf(2);
    assert.throws(
      () => model.contrast({ ...batch, querySpatial: batch.queryTemporal }),
      /querySpatial has shape \[2, 16, 6\]; it must be \[2 clips, tokens, 8\]/,
    );
    const short = {
      ...batch,
      queryTemporal: batch.queryTemporal.slice(null, [0, 3]),
      keyTemporal: batch.keyTemporal.slice(null, [0, 3]),
    };
    assert.throws(() => model.contrast(short), /3 temporal tokens are too few for 3 levels \(3, 1, 0 tokens\)/);
  });
});

describe("encoders", () => {
  for (const encoder of ENCODER_NAMES) {
    test(`${encoder}: all levels together are each level by itself`, async () => {
      const together = new HiCo(small({ encoder, layers: 2 }));
      const { t_encoder } = together.encoder_q.hi_encoder;
      assert.ok("encode" in t_encoder);
      const x = batchOf(3).queryTemporal.matmul(
        ones([6, 8]).mul(tensor(Float32Array.from({ length: 8 }, (_, i) => 0.1 * i))),
      );
      const lengths = [7, 5, 4];
      const y = await t_encoder.encode(x, lengths).read();
      let start = 0;
      for (const length of lengths) {
        const alone = await t_encoder.encode(x.slice(null, [start, start + length]), [length]).read();
        for (let n = 0; n < 3; n++) {
          for (let i = 0; i < length * 8; i++) {
            assert.ok(Math.abs(y[(n * 16 + start) * 8 + i] - alone[n * length * 8 + i]) < 1e-12);
          }
        }
        start += length;
      }
    });
  }

  test("any module of the shape [N, T, d] can be plugged in, and is trained", async () => {
    class Averages extends Module {
      readonly map: Linear;
      constructor(width: number) {
        super();
        this.map = new Linear(width, width);
      }
      forward(x: Tensor): Tensor {
        return this.map.forward(x).add(x.mean(1, true));
      }
    }
    const factory: EncoderFactory = ({ width }) => new Averages(width);
    const model = new HiCo(small({ encoder: factory }));
    assert.ok(model.stateDict().has("encoder_q.hi_encoder.s_encoder.map.weight"));
    const { weight } = (model.encoder_q.hi_encoder.t_encoder as Averages).map;
    const before = await weight.read();
    const { loss } = await new HiCoTrainer(model).step(batchOf(4));
    assert.ok(Number.isFinite(await loss.item()));
    assert.notDeepEqual(await weight.read(), before);
  });

  test("a module that changes the shape is refused", () => {
    class Doubling extends Module {
      forward(x: Tensor): Tensor {
        return x.expand([2, ...x.shape]).reshape([-1, ...x.shape.slice(1)]);
      }
    }
    const model = new HiCo(small({ encoder: () => new Doubling() }));
    assert.throws(
      () => model.encoder_q.forward(batchOf(2).queryTemporal, batchOf(2).querySpatial),
      /made \[4, 28, 8\] of \[2, 28, 8\]; the shape must stay/,
    );
    assert.throws(() => new HiCo(small({ encoder: (() => "gru") as never })), /factory must return a Module/);
  });

  test("a recurrent module of nn plugs in through a wrapper", async () => {
    class Forwards extends Module {
      readonly inner: GRU;
      constructor(width: number) {
        super();
        this.inner = new GRU(width, width, { batchFirst: true });
      }
      forward(x: Tensor): Tensor {
        return this.inner.forward(x).y;
      }
    }
    const model = new HiCo(small({ encoder: ({ width }) => new Forwards(width) }));
    const features = model.encoder_q.features(batchOf(2).queryTemporal, batchOf(2).querySpatial);
    assert.deepEqual(features.shape, [2, 2 * 3 * 8]);
    assert.ok((await features.read()).every(Number.isFinite));
  });
});

describe("a step", () => {
  test("the key network keeps m of itself and takes 1 − m of the query network, before the keys are made", async () => {
    const model = new HiCo(small({ momentum: 0.75 }));
    const trainer = new HiCoTrainer(model, { lr: 0.1 });
    await trainer.step(batchOf(2, 1));
    const names = ["hi_encoder.t_embedding.3.weight", "instance_proj.0.bias"];
    for (const name of names) {
      const [q, k] = [model.encoder_q.stateDict().get(name)!, model.encoder_k.stateDict().get(name)!];
      // As doubles, which the reference device computes in.
      const doubles = async (x: Tensor): Promise<number[]> => (await x.reshape([-1]).toArray()) as number[];
      const [q1, k1] = [await doubles(q), await doubles(k)];
      assert.notDeepEqual(q1, k1);
      await trainer.step(batchOf(2, 2));
      const k2 = await doubles(k);
      k2.forEach((value, i) => assert.ok(Math.abs(value - (0.75 * k1[i] + 0.25 * q1[i])) < 1e-12));
    }
  });

  test("no gradient reaches the key network or the queues, and every query parameter has one", async () => {
    const model = new HiCo(small());
    const { loss } = model.contrast(batchOf(3));
    loss.backward();
    for (const [name, p] of model.encoder_q.namedParameters()) assert.ok(p.grad, name);
    for (const [name, v] of model.stateDict()) {
      if (name.startsWith("encoder_q.")) continue;
      assert.equal(v.grad, undefined, name);
      assert.equal(v.trainable, false, name);
    }
    const slopes = await realize(model.encoder_q.parameters().map((p) => p.grad!));
    for (const storage of slopes) assert.ok((await storage.device.read(storage)).every(Number.isFinite));
    model.encoder_q.zeroGrad();
  });

  test("the loss is the sum of five parts, each about log(1 + K) where vectors are random", async () => {
    const { loss, parts } = new HiCo(small({ temperature: 100, queue: 8 })).contrast(batchOf(3));
    const values = (await parts.toArray()) as number[];
    assert.equal(values.length, LOSS_PARTS.length);
    assert.ok(Math.abs((await loss.item()) - values.reduce((a, b) => a + b)) < 1e-9);
    // At this temperature all logits are alike: P positives of P + K.
    const expected = [Math.log((3 + 24) / 3), Math.log((3 + 24) / 3), Math.log(9), Math.log(9), Math.log(9)];
    values.forEach((v, i) =>
      assert.ok(Math.abs(v - expected[i]) < 0.05, `${LOSS_PARTS[i]} is ${v}, not ${expected[i]}`),
    );
  });

  test("levels that are left out: loss 0, no gradient in their heads, queues as they began; the others as ever", async () => {
    const all = new HiCo(small()).contrast(batchOf(3));
    const expected = [...(await all.parts.read())];
    for (const contrast of [["instance"], ["clip", "domain"], ["part"]] as const) {
      const model = new HiCo(small({ contrast }));
      const queues = ["c", "p", "t", "s", "i"].map((letter) => model.stateDict().get(`${letter}_queue`)!);
      const before = await Promise.all(queues.map(async (queue) => [...(await queue.read())]));
      const { loss, parts } = model.contrast(batchOf(3));
      loss.backward();
      const on = partsOfLevels(contrast);
      assert.deepEqual(
        [...(await parts.read())],
        LOSS_PARTS.map((name, i) => (on.includes(name) ? expected[i] : 0)),
      );
      const after = await Promise.all(queues.map(async (queue) => [...(await queue.read())]));
      LOSS_PARTS.forEach((name, i) =>
        assert.equal(JSON.stringify(after[i]) !== JSON.stringify(before[i]), on.includes(name), name),
      );
      const { clip_proj, part_proj, td_proj, sd_proj, instance_proj } = model.encoder_q;
      [clip_proj, part_proj, td_proj, sd_proj, instance_proj].forEach((head, i) => {
        for (const p of head.parameters())
          assert.equal(p.grad !== undefined, on.includes(LOSS_PARTS[i]), LOSS_PARTS[i]);
      });
      model.encoder_q.zeroGrad();
    }
    assert.throws(
      () => new HiCo(small({ contrast: [] })),
      /contrast is \[\]; it must be one or more of clip, part, domain, instance/,
    );
  });

  test("dropout is drawn in training, anew each time and for both networks, and not in evaluation", async () => {
    const model = new HiCo(small({ dropout: 0.5, generator: new Generator(3) }));
    const { queryTemporal: t, querySpatial: s } = batchOf(2);
    const of = async (network: "encoder_q" | "encoder_k") => [...(await model[network].features(t, s).read())];
    assert.notDeepEqual(await of("encoder_q"), await of("encoder_q"));
    assert.notDeepEqual(await of("encoder_k"), await of("encoder_k"));
    model.eval();
    assert.deepEqual(await of("encoder_q"), await of("encoder_q"));
    assert.deepEqual(await of("encoder_q"), await of("encoder_k"));
    const off = new HiCo(small({ dropout: 0 }));
    assert.deepEqual(
      [...(await off.encoder_q.features(t, s).read())],
      [...(await off.encoder_q.features(t, s).read())],
    );
  });

  test("steps lower the loss", async () => {
    const trainer = new HiCoTrainer(new HiCo(small({ momentum: 0.9, queue: 32 })), { lr: 0.05 });
    const losses: number[] = [];
    for (let n = 0; n < 25; n++) losses.push(await (await trainer.step(batchOf(4, n % 2))).loss.item());
    const mean = (list: number[]) => list.reduce((a, b) => a + b) / list.length;
    assert.ok(mean(losses.slice(-5)) < 0.9 * mean(losses.slice(0, 5)), losses.join(", "));
  });
});
