/** Whole training steps, compiled, on both devices: they converge, agree, and cost few dispatches and no new buffers. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import {
  Adam,
  AdamW,
  GRU,
  Linear,
  Module,
  SGD,
  Sequential,
  TransformerEncoderLayer,
  clipGradNorm,
  cosineSchedule,
  crossEntropy,
  emaUpdate,
} from "../../src/nn/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { Generator, compile, setDefaultDevice, tensor, variable, zeros } from "../../src/tensor/index.ts";
import { assertClose, numbers, openTestDevice } from "../support/helpers.ts";
import { onEach } from "./helpers.ts";

let gpu: WebGpuDevice;
before(async () => {
  gpu = await openTestDevice();
});
after(() => gpu.close());

/** Losses of compiled steps of an optimizer on a batch. */
async function train(
  model: { forward(x: Tensor): Tensor },
  optimizer: SGD | Adam,
  x: Tensor,
  labels: Tensor,
  count: number,
  options: { rate?: (step: number) => number; clip?: number } = {},
): Promise<number[]> {
  const step = compile((input: Tensor, target: Tensor) => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(input), target);
    loss.backward();
    if (options.clip) clipGradNorm(optimizer.parameters, options.clip);
    optimizer.step();
    return loss;
  });
  const losses: Tensor[] = [];
  for (let i = 0; i < count; i++) {
    if (options.rate) optimizer.lr = options.rate(i);
    losses.push(await step(x, labels));
  }
  return Promise.all(losses.map((l) => l.item()));
}

describe("training", () => {
  onEach(
    "an MLP learns exclusive or",
    () => gpu,
    async () => {
      const generator = new Generator(4);
      const model = new Sequential(new Linear(2, 16, { generator }), (x) => x.tanh(), new Linear(16, 2, { generator }));
      const x = tensor([
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ]);
      const labels = tensor(Int32Array.of(0, 1, 1, 0));
      const losses = await train(model, new Adam(model.parameters(), { lr: 0.05 }), x, labels, 120);
      assert.ok(losses[0] > 0.5 && losses[119] < 0.02, `${losses[0]} … ${losses[119]}`);
      assert.deepEqual(await numbers(model.forward(x).argmax()), [0, 1, 1, 0]);
    },
  );

  onEach(
    "a GRU remembers its first step",
    () => gpu,
    async () => {
      class Classifier extends Module {
        gru = new GRU(1, 12, { generator: new Generator(1) });
        head = new Linear(12, 2, { generator: new Generator(2) });
        forward(x: Tensor): Tensor {
          return this.head.forward(this.gru.forward(x).hn.squeeze(0));
        }
      }
      const rows = Array.from({ length: 16 }, (_, i) => Array.from({ length: 4 }, (__, t) => ((i >> t) & 1) * 2 - 1));
      const x = tensor(rows).transpose(0, 1).unsqueeze(-1);
      const labels = tensor(Int32Array.from(rows, (row) => Number(row[0] > 0)));
      const model = new Classifier();
      const optimizer = new SGD(model.parameters(), { lr: 0.5, momentum: 0.9, nesterov: true });
      const losses = await train(model, optimizer, x, labels, 60, { rate: cosineSchedule(0.5, 60), clip: 1 });
      assert.ok(losses[0] > 0.5 && losses[59] < 0.05, `${losses[0]} … ${losses[59]}`);
    },
  );

  test("the devices take the same steps with a Transformer layer", async () => {
    const run = async (device: ReferenceDevice | WebGpuDevice) => {
      setDefaultDevice(device);
      try {
        const generator = new Generator(6);
        const layer = new TransformerEncoderLayer(8, 2, { feedForward: 12, dropout: 0.1, batchFirst: true, generator });
        const x = new Generator(7).normal([2, 3, 8]);
        const labels = tensor(Int32Array.of(1, 5, 2, 0, 7, 7));
        const model = { forward: (t: Tensor) => layer.forward(t).reshape([-1, 8]) };
        const optimizer = new AdamW(layer.parameters(), { lr: 0.01 });
        // Dropout draws from the same counters on both devices, in the same order.
        const losses = await train(model, optimizer, x, labels, 12);
        return [losses, await numbers(layer.linear2.weight)];
      } finally {
        setDefaultDevice(undefined);
      }
    };
    const [[losses, weight], [expectedLosses, expectedWeight]] = [await run(gpu), await run(new ReferenceDevice())];
    assertClose(losses, expectedLosses, 1e-5);
    assertClose(weight, expectedWeight, 1e-3);
    assert.ok(losses[11] < losses[0]);
  });
});

describe("cost", () => {
  /** Dispatches and buffers of a step in steady state, of an MLP with 20 parameters. */
  async function cost(update: (parameters: ReturnType<Module["parameters"]>) => (() => void) | undefined) {
    setDefaultDevice(gpu);
    try {
      const layers = Array.from({ length: 10 }, () => [new Linear(32, 32), (x: Tensor) => x.relu()]).flat();
      const model = new Sequential(...(layers as Linear[]));
      const parameters = model.parameters();
      assert.equal(parameters.length, 20);
      const finish = update(parameters);
      const step = compile((x: Tensor, labels: Tensor) => {
        model.zeroGrad();
        const loss = crossEntropy(model.forward(x), labels);
        loss.backward();
        finish?.();
        return finish ? [loss] : [loss, ...parameters.map((p) => p.grad!)];
      });
      const x = await new Generator(0).normal([64, 32]).realize();
      const labels = await new Generator(1).integers([64], 0, 32).realize();
      const run = async () => {
        for (const t of await step(x, labels)) t.dispose();
      };
      for (let i = 0; i < 3; i++) await run();
      const start = { ...gpu.counters };
      await run();
      return difference(gpu.counters, start);
    } finally {
      setDefaultDevice(undefined);
    }
  }

  test("updates of 20 parameters add few dispatches to the backward pass, and no submit, buffer or pipeline", async () => {
    const gradientsAlone = (await cost(() => undefined)).dispatches;
    const bounds = {
      SGD: [
        3,
        (ps) => {
          const o = new SGD(ps, { lr: 0.1 });
          return () => o.step();
        },
      ],
      "SGD with momentum and decay": [
        3,
        (ps) => {
          const o = new SGD(ps, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 });
          return () => o.step();
        },
      ],
      AdamW: [
        5,
        (ps) => {
          const o = new AdamW(ps);
          return () => o.step();
        },
      ],
      "SGD and a moving average": [
        4,
        (ps) => {
          const o = new SGD(ps, { lr: 0.1, momentum: 0.9 });
          const average = ps.map((p) => variable(zeros(p.shape), { trainable: false }));
          return () => {
            o.step();
            emaUpdate(average, ps, 0.99);
          };
        },
      ],
    } satisfies Record<string, [number, (ps: ReturnType<Module["parameters"]>) => () => void]>;
    for (const [name, [most, update]] of Object.entries(bounds)) {
      const { dispatches, submits, buffersCreated, bindGroupsCreated, pipelinesCreated } = await cost(update);
      assert.deepEqual(
        { submits, buffersCreated, bindGroupsCreated, pipelinesCreated },
        { submits: 1, buffersCreated: 0, bindGroupsCreated: 0, pipelinesCreated: 0 },
        name,
      );
      assert.ok(
        dispatches <= gradientsAlone + most,
        `${name}: ${dispatches} dispatches; ${gradientsAlone} for the gradients alone`,
      );
    }
  });

  test("a learning rate that changes compiles nothing", async () => {
    setDefaultDevice(gpu);
    try {
      const p = variable(tensor([1, 2, 3]));
      const optimizer = new SGD([p], { lr: 1 });
      const step = compile(() => {
        optimizer.zeroGrad();
        p.sum().backward();
        optimizer.step();
      });
      await step();
      const start = { ...gpu.counters };
      for (const lr of [0.5, 0.25, 2]) {
        optimizer.lr = lr;
        await step();
      }
      assert.equal(difference(gpu.counters, start).pipelinesCreated, 0);
      assertClose(
        await numbers(p),
        [1, 2, 3].map((v) => v - 3.75),
        1e-6,
      );
    } finally {
      setDefaultDevice(undefined);
    }
  });
});
