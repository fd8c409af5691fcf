/**
 * A GRU that foretells the next value of series of different lengths: sums of two sines, with noise.
 *
 * Shorter series are padded at their end, and a mask says which steps count. Run: npx tsx examples/forecast/main.ts
 *
 * Result: error relative to the last value <= 0.35
 */
import { compile, Generator, tensor, useDevice } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";
import { Adam, clipGradNorm, GRU, Linear, Module } from "hico-webgpu/nn";

await useDevice();
const [batch, longest, steps] = [32, 40, 250];
const generator = new Generator(0);

class Forecaster extends Module {
  readonly gru = new GRU(1, 32, { generator, batchFirst: true });
  readonly out = new Linear(32, 1, { generator });

  /** Series [B, T, 1] → the change to expect after each step, [B, T]. */
  forward(series: Tensor): Tensor {
    return this.out.forward(this.gru.forward(series).y).squeeze(-1);
  }
}

/** A generator of the host, for data: numbers in [0, 1). */
let state = 1;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

type Batch = { readonly now: Tensor; readonly next: Tensor; readonly mask: Tensor };

/** Series of 15 to 40 steps: the values, the ones after them, and 1 where there is a next one. */
function draw(): Batch {
  const [now, next, mask] = [0, 1, 2].map(() => new Float32Array(batch * longest)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  for (let b = 0; b < batch; b++) {
    const [f, g, p] = [0.2 + 0.3 * random(), 0.5 + 0.5 * random(), 6 * random()];
    const length = 15 + Math.floor(random() * (longest - 14));
    const at = (t: number): number => Math.sin(f * t + p) + 0.5 * Math.sin(g * t) + 0.05 * (random() - 0.5);
    const values = Array.from({ length: length + 1 }, (_, t) => at(t));
    for (let t = 0; t < length; t++) {
      now[b * longest + t] = values[t]!;
      next[b * longest + t] = values[t + 1]!;
      mask[b * longest + t] = t < 5 ? 0 : 1; // the first steps say too little
    }
  }
  const shape = [batch, longest];
  return { now: tensor(now, { shape }), next: tensor(next, { shape }), mask: tensor(mask, { shape }) };
}

const model = new Forecaster();
const optimizer = new Adam(model.parameters(), { lr: 0.01 });
const errorOf = ({ now, next, mask }: Batch, change: Tensor): Tensor =>
  now.add(change).sub(next).abs().mul(mask).sum().div(mask.sum());
const step = compile((now: Tensor, next: Tensor, mask: Tensor) => {
  const loss = errorOf({ now, next, mask }, model.forward(now.unsqueeze(-1)));
  optimizer.zeroGrad();
  loss.backward();
  clipGradNorm(model.parameters(), 1);
  optimizer.step();
  return loss;
});
for (let i = 0; i < steps; i++) {
  const { now, next, mask } = draw();
  const loss = await step(now, next, mask);
  if (i % 50 === 0) console.log(`step ${i}: mean error ${(await loss.item()).toFixed(3)}`);
}
const held = draw();
const own = await errorOf(held, model.forward(held.now.unsqueeze(-1))).item();
const still = await errorOf(held, held.now.mul(0)).item();
console.log(`error relative to the last value: ${(own / still).toFixed(3)}`);
