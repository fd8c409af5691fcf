/** Trainings in mixed precision next to trainings in f32, on adapters that have shader-f16. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import {
  AdamW,
  BatchNorm2d,
  Conv2d,
  GradScaler,
  LayerNorm,
  Linear,
  Module,
  Sequential,
  autocast,
  crossEntropy,
} from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { Generator, compile, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { lavapipeUnavailableInNode } from "../environments/lavapipe.ts";
import { testAdapter } from "../environments/test-gpu.ts";

/** Images of four kinds: a bright quarter each, and noise. */
function images(generator: Generator, count: number): [Tensor, Tensor] {
  const labels = Int32Array.from({ length: count }, (_, i) => i % 4);
  const bright = new Float32Array(count * 16);
  labels.forEach((label, i) => {
    for (const k of [0, 1, 4, 5]) bright[16 * i + k + 8 * (label >> 1) + 2 * (label & 1)] = 1;
  });
  return [tensor(bright, { shape: [count, 1, 4, 4] }).add(generator.normal([count, 1, 4, 4], 0, 0.3)), tensor(labels)];
}

class Net extends Module {
  readonly conv: Conv2d;
  readonly norm: BatchNorm2d;
  readonly inner: Sequential;
  constructor(generator: Generator) {
    super();
    this.conv = new Conv2d(1, 4, 3, { padding: 1, generator });
    this.norm = new BatchNorm2d(4);
    const layers = [new Linear(64, 16, { generator }), new LayerNorm(16), (y: Tensor) => y.relu()] as const;
    this.inner = new Sequential(...layers, new Linear(16, 4, { generator }));
  }
  forward(x: Tensor): Tensor {
    const y = this.norm.forward(this.conv.forward(x)).relu();
    return this.inner.forward(y.reshape([x.shape[0]!, -1]));
  }
}

/** Losses of compiled steps, and the scale at the end. */
async function losses(mixed: boolean, initScale: number, steps = 40): Promise<{ losses: number[]; scale: number }> {
  const generator = new Generator(7);
  const model = new Net(generator);
  const optimizer = new AdamW(model.parameters(), { lr: 1e-2 });
  const scaler = new GradScaler({ enabled: mixed, initScale, growthInterval: 10 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = autocast(() => crossEntropy(model.forward(x), y), { enabled: mixed });
    optimizer.zeroGrad();
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
    return loss;
  });
  const [x, y] = images(generator, 16);
  const found: number[] = [];
  for (let i = 0; i < steps; i++) found.push(await (await step(x, y)).item());
  return { losses: found, scale: await scaler.getScale() };
}

describe("a training in f16", () => {
  for (const adapter of new Set([testAdapter, "lavapipe"])) {
    test(`follows the one in f32: ${adapter}`, async (context) => {
      const missing = adapter === "lavapipe" ? await lavapipeUnavailableInNode() : undefined;
      if (missing !== undefined) return context.skip(missing);
      const device = await WebGpuDevice.open({ adapter });
      setDefaultDevice(device);
      try {
        if (!device.supports("f16")) {
          await assert.rejects(losses(true, 1024, 1), /has no f16 tensors.*shader-f16/);
          return context.skip(`${device.name} has no shader-f16`);
        }
        const whole = await losses(false, 1);
        const mixed = await losses(true, 1024);
        assert.ok(mixed.losses[39]! < 0.1 * mixed.losses[0]!, `${mixed.losses[0]} fell to ${mixed.losses[39]}`);
        mixed.losses.forEach((loss, i) => assert.ok(Math.abs(loss - whole.losses[i]!) < 0.02, `step ${i}: ${loss}`));
        assert.equal(mixed.scale, 16384);
        // A scale that overflows f16 comes down by itself, and the training goes on.
        const steep = await losses(true, 2 ** 30);
        assert.ok(steep.scale < 2 ** 26, `the scale is ${steep.scale}`);
        assert.equal(steep.losses[1], steep.losses[0]);
        assert.ok(steep.losses[39]! < 0.2 * steep.losses[0]!);
      } finally {
        setDefaultDevice(undefined);
        device.close();
      }
    });
  }
});
