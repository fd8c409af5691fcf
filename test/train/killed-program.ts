/** A training that is to be killed: `node killed-program.ts FOLDER`. Prints every step, and at its end all weights. */
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { AdamW, crossEntropy, Dropout, Linear, Sequential } from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { Generator, tensor } from "../../src/tensor/index.ts";
import { DataLoader, fit, TensorDataset } from "../../src/train/index.ts";

const [folder] = process.argv.slice(2);
const device = await CpuDevice.open({ threads: 1 });
setDefaultDevice(device);
const random = new Generator(3);
const points = tensor(await random.normal([90, 4]).read(), { shape: [90, 4] });
const labels = Int32Array.from({ length: 90 }, (_, i) => i % 3);
const [noise, first] = [new Generator(1), new Generator(2)];
const model = new Sequential(
  new Linear(4, 32, { generator: first }),
  (x) => x.relu(),
  new Dropout(0.3, noise),
  new Linear(32, 3, { generator: first }),
);
await fit({
  model,
  optimizer: new AdamW(model.parameters(), { lr: 0.01 }),
  batches: new DataLoader(new TensorDataset(points, labels), { batchSize: 8, shuffle: true, seed: 9 }),
  loss: (x, y) => crossEntropy(model.forward(x), y),
  epochs: 5,
  checkpoints: folder!,
  saveEvery: 5,
  resume: true,
  state: { noise },
  readEvery: 1,
  onStep: ({ step }) => process.stdout.write(`step ${step}\n`),
});
const weights: number[] = [];
for (const v of model.parameters()) weights.push(...new Uint32Array(((await v.read()) as Float32Array).slice().buffer));
process.stdout.write(`weights ${weights.join(" ")}\n`);
device.close();
