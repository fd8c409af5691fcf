/**
 * The engine's kernels against the float64 reference, as one function that runs under Node, by Deno and in a browser.
 *
 * Every elementwise op, the reductions, views, products and fused ops with their gradients, and a compiled training
 * step. The result is plain data: the largest error of each case relative to its tensor's scale.
 */
import type { Tensor, WebGpuOptions } from "../../src/index.ts";
import {
  Generator,
  ReferenceDevice,
  WebGpuDevice,
  attention,
  compile,
  concat,
  conv1d,
  crossEntropy,
  difference,
  gradients,
  gruScan,
  infoNCE,
  interpolateLinear,
  l2Normalize,
  layerNorm,
  lstmScan,
  maxPool1d,
  ntXent,
  packedAttention,
  realize,
  setDefaultDevice,
  softmax,
  tensor,
  topK,
  variable,
} from "../../src/index.ts";
import { Tensor as TensorClass } from "../../src/index.ts";
import { apply } from "../../src/tensor/build.ts";
import type { ElementwiseOp } from "../../src/tensor/elementwise/row.ts";
import type { ElementwiseName } from "../../src/tensor/elementwise/values.ts";
import { ELEMENTWISE } from "../../src/tensor/elementwise/table.ts";

export interface BatteryResult {
  readonly adapter: string;
  readonly cases: readonly { readonly name: string; readonly error: number; readonly bound: number }[];
  /** Counters of a replayed training step. */
  readonly step: { readonly submits: number; readonly buffersCreated: number; readonly bindGroupsCreated: number };
  /** Losses of the first and the last training step. */
  readonly losses: readonly [number, number];
}

type Device = ReferenceDevice | WebGpuDevice;
interface Case {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  readonly f: (...inputs: Tensor[]) => Tensor[];
  readonly bound?: number;
  /** Maps standard normal values into the op's domain. */
  readonly place?: (value: number, input: number) => number;
}

/** Values from a fixed generator, the same everywhere. */
function values(random: Generator, size: number): Float32Array {
  return Float32Array.from(random.shuffled(size), (v, i) => 2 * Math.sin(1 + v * 0.7 + i * 1.3));
}

function elementwiseCases(): Case[] {
  return Object.entries<ElementwiseOp>(ELEMENTWISE).flatMap(([name, row]) => {
    if (row.takes === "integer" || row.takes === "bool" || name === "where" || row.gives === "bool") return [];
    const place = (value: number, input: number): number => {
      const [low, high] = row.domain?.[input] ?? row.domain?.[0] ?? [-3, 3];
      const at = low + ((value + 2) / 4) * (high - low);
      const kink = (row.kinks ?? []).find((k) => Math.abs(at - k) < 0.05);
      return kink === undefined ? at : kink + 0.1;
    };
    const shapes = Array.from({ length: row.arity }, (_, i) => (i === 0 ? [3, 9] : [9]));
    return [
      {
        name,
        shapes,
        place,
        bound: Math.max(row.bound ?? 0, 1e-5),
        f: (...x: Tensor[]) => [
          new TensorClass(
            apply(
              name as ElementwiseName,
              x.map((t) => t.node),
            ),
          ),
        ],
      },
    ];
  });
}

const cases: Case[] = [
  ...elementwiseCases(),
  {
    name: "matmul",
    shapes: [
      [37, 21],
      [21, 18],
    ],
    f: (a, b) => [a.matmul(b)],
  },
  {
    name: "matmul batched, transposed",
    shapes: [
      [3, 20, 8],
      [16, 20],
    ],
    f: (a, b) => [b.matmul(a), a.transpose().matmul(b.transpose())],
  },
  {
    name: "sums and extremes",
    shapes: [[5, 7, 12]],
    f: (x) => [x.sum(1), x.max(2), x.min([0, 2]), x.mean(), x.prod(0)],
  },
  {
    name: "views",
    shapes: [[6, 8]],
    f: (x) => [
      x.flip(1).transpose().slice([1, 7, 2]),
      x.pad([
        [1, 2],
        [0, 3],
      ]),
      x.window(1, 3, 2),
    ],
  },
  {
    name: "concat, gather",
    shapes: [
      [4, 6],
      [3, 6],
    ],
    f: (a, b) => [concat([a, b]), a.take(tensor(Int32Array.of(2, 0, 2)), 0)],
  },
  {
    name: "softmax, layer norm, normalise",
    shapes: [[5, 33]],
    f: (x) => [softmax(x), layerNorm(x), l2Normalize(x), softmax(x, 0)],
  },
  { name: "cross-entropy", shapes: [[5, 7]], f: (x) => [crossEntropy(x, tensor(Int32Array.of(0, 6, 3, 3, 1)))] },
  {
    name: "attention",
    shapes: [
      [2, 5, 2, 8],
      [2, 7, 2, 8],
      [2, 7, 2, 8],
    ],
    f: (q, k, v) => [attention(q, k, v)],
  },
  { name: "packed attention", shapes: [[2, 17, 96]], f: (x) => [packedAttention(x, 4)] },
  {
    name: "gru",
    shapes: [
      [5, 3, 2, 12],
      [2, 12, 4],
      [2, 12],
      [2, 3, 4],
    ],
    f: (gates, weight, bias, h0) => Object.values(gruScan({ gates, weight, bias, h0 })),
  },
  {
    name: "lstm",
    shapes: [
      [5, 3, 1, 20],
      [1, 20, 5],
      [1, 20],
    ],
    f: (gates, weight, bias) => Object.values(lstmScan({ gates, weight, bias })),
  },
  {
    name: "infoNCE",
    shapes: [
      [6, 8],
      [6, 4, 8],
      [8, 20],
    ],
    f: (q, k, queue) => [infoNCE(q, k, queue, { temperature: 0.5 })],
  },
  {
    name: "ntXent",
    shapes: [
      [6, 8],
      [6, 8],
    ],
    f: (a, b) => [ntXent(a, b, { temperature: 0.5 })],
  },
  {
    name: "conv1d",
    shapes: [
      [2, 6, 11],
      [4, 3, 3],
    ],
    f: (x, w) => [conv1d(x, w, { stride: 2, padding: 1, groups: 2 })],
  },
  { name: "pool, interpolate", shapes: [[2, 3, 11]], f: (x) => [maxPool1d(x, 2), interpolateLinear(x, 16)] },
  { name: "topK", shapes: [[3, 150]], f: (x) => [topK(x, 5).values] },
];

async function results(device: Device, c: Case): Promise<ArrayLike<number>[]> {
  setDefaultDevice(device);
  const random = new Generator(7);
  const inputs = c.shapes.map((shape, k) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(
      values(random, size).map((v) => c.place?.(v, k) ?? v),
      { shape },
    );
  });
  const outputs = c.f(...inputs);
  const cotangents = outputs.map((o) => tensor(values(random, o.size), { shape: o.shape }));
  const all = [...outputs, ...gradients(outputs, cotangents, inputs)];
  await realize(all);
  const read: ArrayLike<number>[] = [];
  for (const t of all) read.push(await t.read());
  return read;
}

function relativeError(found: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  let worst = 0;
  expected.forEach((e, i) => {
    let scale = 1e-6;
    let largest = 0;
    for (let k = 0; k < e.length; k++) {
      scale = Math.max(scale, Math.abs(e[k]));
      const off = Math.abs(e[k] - found[i][k]);
      largest = Number.isNaN(off) ? Infinity : Math.max(largest, off);
    }
    worst = Math.max(worst, largest / scale);
  });
  return worst;
}

/** Half-precision storage, where the adapter has it. */
async function halves(device: WebGpuDevice, reference: ReferenceDevice): Promise<number> {
  const read: ArrayLike<number>[] = [];
  for (const on of [device, reference]) {
    setDefaultDevice(on);
    const x = tensor(values(new Generator(1), 64), { shape: [8, 8] })
      .cast("f16")
      .contiguous();
    read.push(await x.mul(2).matmul(x).cast("f32").read());
  }
  return relativeError([read[0]], [read[1]]);
}

async function train(device: WebGpuDevice): Promise<Pick<BatteryResult, "step" | "losses">> {
  setDefaultDevice(device);
  const random = new Generator(0);
  const weights = [variable(random.normal([8, 16], 0, 0.3)), variable(random.normal([16, 3], 0, 0.3))];
  const inputs = tensor(values(random, 32 * 8), { shape: [32, 8] });
  const labels = tensor(Int32Array.from({ length: 32 }, (_, i) => i % 3));
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(x.matmul(weights[0]).relu().matmul(weights[1]), y);
    for (const w of weights) w.grad = undefined;
    loss.backward();
    for (const w of weights) w.assign(w.sub(w.grad!.mul(0.5)));
    return loss;
  });
  const first = await (await step(inputs, labels)).item();
  for (let i = 0; i < 40; i++) await step(inputs, labels);
  const before = device.gpu.snapshot();
  const last = await step(inputs, labels);
  const { submits, buffersCreated, bindGroupsCreated } = difference(device.gpu.snapshot(), before);
  return { step: { submits, buffersCreated, bindGroupsCreated }, losses: [first, await last.item()] };
}

export async function battery(options: WebGpuOptions = {}): Promise<BatteryResult> {
  const device = await WebGpuDevice.open(options);
  const reference = new ReferenceDevice();
  try {
    const found: { name: string; error: number; bound: number }[] = [];
    for (const c of cases) {
      const expected = await results(reference, c);
      found.push({ name: c.name, error: relativeError(await results(device, c), expected), bound: c.bound ?? 1e-5 });
    }
    if (device.supports("f16"))
      found.push({ name: "f16 storage", error: await halves(device, reference), bound: 2e-3 });
    return { adapter: device.name, cases: found, ...(await train(device)) };
  } finally {
    device.close();
    setDefaultDevice(undefined);
  }
}
