/**
 * An autoencoder with a layer of one's own: curves of 32 points, which five numbers describe, through a bottleneck of
 * five. Run: npx tsx examples/autoencoder/main.ts
 *
 * Result: explained variance >= 0.98
 */
import { compile, Generator, tensor, useDevice, variable } from "hico-webgpu";
import type { Tensor, Variable } from "hico-webgpu";
import { AdamW, Linear, meanSquaredError, Module, Sequential } from "hico-webgpu/nn";

await useDevice();
const [points, batch, steps] = [32, 64, 600];
const generator = new Generator(0);

/** Snake (Ziyin et al. 2020): x + sin²(a·x) / a with a learned a for each channel. A variable in a field is a parameter. */
class Snake extends Module {
  readonly a: Variable;

  constructor(channels: number) {
    super();
    this.a = variable(generator.uniform([channels], 0.5, 2), { name: "a" });
  }
  /** x [..., channels] → the same shape. */
  forward(x: Tensor): Tensor {
    return x.add(x.mul(this.a).sin().square().div(this.a));
  }
}

const model = new Sequential(
  new Linear(points, 64, { generator }),
  new Snake(64),
  new Linear(64, 5, { generator }),
  new Linear(5, 64, { generator }),
  new Snake(64),
  new Linear(64, points, { generator }),
);

/** Curves of five random numbers each: two waves with their heights and phases, and a slope. */
function curves(): Tensor {
  const [phase, other, height, second, slope] = [6, 6, 1, 1, 1].map((most) =>
    generator.uniform([batch, 1], 0, most),
  ) as Tensor[];
  const x = tensor(Float32Array.from({ length: points }, (_, i) => i / points));
  const wave = (by: number, from: Tensor, size: Tensor): Tensor => x.mul(by).add(from).sin().mul(size);
  return wave(5, phase!, height!)
    .add(wave(9, other!, second!))
    .add(x.mul(slope!));
}

const optimizer = new AdamW(model.parameters(), { lr: 3e-3 });
const step = compile(() => {
  const x = curves();
  const loss = meanSquaredError(model.forward(x), x);
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
  return loss;
});
for (let i = 0; i < steps; i++) {
  optimizer.lr = 3e-3 * (1 - i / steps);
  const loss = await step();
  if (i % 100 === 0) console.log(`step ${i}: mean squared error ${(await loss.item()).toFixed(4)}`);
}
const held = curves();
const rest = meanSquaredError(model.forward(held), held).div(held.variance());
console.log(`explained variance ${(1 - (await rest.item())).toFixed(3)}`);
