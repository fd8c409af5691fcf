/**
 * A model trained in PyTorch (make_model.py; it multiplies two numbers), served by node:http: requests that come in
 * together are computed as one batch. A client asks for 200 points at once and compares with what PyTorch gave.
 * Run: npx tsx examples/serve/main.ts
 *
 * Result: largest difference <= 0.00001
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { compile, tensor, useDevice } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";
import { type HostTensor, readTorchCheckpoint, stateDictOf } from "hico-webgpu/io";
import { Linear, Sequential, Tanh } from "hico-webgpu/nn";

const device = await useDevice();
const checkpoint = readTorchCheckpoint(fileURLToPath(new URL("model.pt", import.meta.url)));
const model = new Sequential(new Linear(2, 16), new Tanh(), new Linear(16, 1)).eval();
model.loadStateDict(stateDictOf(checkpoint)); // the names are PyTorch's: 0.weight, 0.bias, 2.weight, 2.bias
const forward = compile((rows: Tensor) => model.forward(rows));

const SIZE = 64; // every batch has as many rows, so that there is one plan; the last ones may be unused
const WAIT = 5; // milliseconds that the first of a batch waits for others
let batches = 0;
let waiting: { row: number[]; answer: (value: number) => void; fail: (error: unknown) => void }[] = [];

/** The model's value at a point, computed together with all that were asked for meanwhile. */
function predict(row: number[]): Promise<number> {
  if (waiting.length === 0) setTimeout(() => void compute(), WAIT);
  return new Promise((answer, fail) => waiting.push({ row, answer, fail }));
}

async function compute(): Promise<void> {
  const batch = waiting.slice(0, SIZE);
  waiting = waiting.slice(SIZE);
  if (waiting.length > 0) setImmediate(() => void compute());
  try {
    const rows = new Float32Array(SIZE * 2);
    batch.forEach(({ row }, i) => rows.set(row, 2 * i));
    const values = await (await forward(tensor(rows, { shape: [SIZE, 2] }))).read();
    batch.forEach(({ answer }, i) => answer(values[i]!));
    batches++;
  } catch (error) {
    for (const { fail } of batch) fail(error);
  }
}

/** Two numbers out of a request's body. @throws Error where it is something else */
async function pointOf(request: IncomingMessage): Promise<number[]> {
  let text = "";
  for await (const chunk of request) text += chunk;
  const row: unknown = JSON.parse(text);
  if (Array.isArray(row) && row.length === 2 && row.every(Number.isFinite)) return row as number[];
  throw new Error("the body must be an array of two numbers");
}

const server = createServer((request, response) => {
  const send = (status: number, body: object): void => void response.writeHead(status).end(JSON.stringify(body));
  pointOf(request).then(
    (row) =>
      predict(row).then(
        (product) => send(200, { product }),
        (error) => send(500, { error: String(error) }),
      ),
    (error) => send(400, { error: String(error) }),
  );
});
await new Promise<void>((resolve) => server.listen(0, resolve));
const url = `http://localhost:${(server.address() as AddressInfo).port}`;

const [points, products] = ["points", "products"].map((key) => (checkpoint as Map<string, HostTensor>).get(key)!.data);
const answers = Array.from({ length: 200 }, async (_, i) => {
  const body = JSON.stringify([points![2 * i], points![2 * i + 1]]);
  const { product } = (await (await fetch(url, { method: "POST", body })).json()) as { product: number };
  return Math.abs(product - Number(products![i]));
});
console.log(`largest difference ${Math.max(...(await Promise.all(answers))).toExponential(1)}`);
console.log(`200 requests in ${batches} batches`);
server.close();
device.close();
