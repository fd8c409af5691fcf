/**
 * The network of bench/st-gcn.ts in jax-js on wasm: 1 × 1 convolutions and the graph as batched products, the
 * convolution over time in either of two forms, the whole step under `jit`.
 *
 * jax-js counts references: a function owns its arguments, and `x.ref` is one more use of `x`.
 */
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad } from "@jax-js/jax";

export interface StGcnSizes {
  readonly batch: number;
  readonly frames: number;
  readonly joints: number;
  /** Parts of the graph. */
  readonly parts: number;
  readonly classes: number;
  /** Channels in and out and the stride over time of each block. */
  readonly blocks: readonly (readonly [from: number, to: number, stride: number])[];
  readonly rate: number;
}

type Arrays = Record<string, np.Array>;
type Host = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/**
 * A training step: a call is one, and gives its loss when it is done.
 *
 * @param convolution how the convolution over time is written: `lax.conv`, or a product with its windows side by side
 */
export async function openStGcn(
  sizes: StGcnSizes,
  state: Host,
  clips: Float32Array,
  labels: Int32Array,
  convolution: "lax" | "windows",
): Promise<() => Promise<number>> {
  await init("wasm");
  defaultDevice("wasm");
  const { batch, frames, joints, parts, classes, blocks, rate } = sizes;
  const trained = [...state].filter(([name]) => !/running_|num_batches/.test(name));
  let parameters: Arrays = Object.fromEntries(
    trained.map(([name, { shape, data }]) => [name, np.array(data, { shape: [...shape], device: "wasm" })]),
  );
  const input = np.array(clips, { shape: [batch, 3, frames, joints], device: "wasm" });
  const rows = new Float32Array(batch * classes);
  labels.forEach((label, i) => (rows[classes * i + label] = 1));
  const targets = np.array(rows, { shape: [batch, classes], device: "wasm" });

  const along = (v: np.Array, channels: number) => v.reshape([1, channels, 1, 1]);
  /** x [N, C, T, V] → [N, O, T, V]. */
  const pointwise = (x: np.Array, weight: np.Array, bias: np.Array, from: number, to: number): np.Array => {
    const [n, , t, v] = x.shape as [number, number, number, number];
    const y = np.matmul(weight.reshape([1, to, from]), x.reshape([n, from, t * v])).reshape([n, to, t, v]);
    return y.add(along(bias, to));
  };
  const norm = (x: np.Array, p: Arrays, at: string, channels: number): np.Array => {
    const centred = x.ref.sub(x.mean([0, 2, 3], { keepdims: true }));
    const variance = centred.ref.mul(centred.ref).mean([0, 2, 3], { keepdims: true });
    const standard = centred.div(np.sqrt(variance.add(1e-5)));
    return standard.mul(along(p[`${at}.weight`]!, channels)).add(along(p[`${at}.bias`]!, channels));
  };
  /** 9 × 1 convolution, x [N, C, T, V] → [N, C, T / stride, V]. */
  const overTimeOf = (x: np.Array, weight: np.Array, channels: number, stride: number): np.Array => {
    const [n, , t, v] = x.shape as [number, number, number, number];
    if (convolution === "lax") {
      return lax.conv(
        x,
        weight,
        [stride, 1],
        [
          [4, 4],
          [0, 0],
        ],
      );
    }
    const wide = np.pad(x, [
      [0, 0],
      [0, 0],
      [4, 4 + stride],
      [0, 0],
    ]);
    const windows = Array.from({ length: 9 }, (_, k) => {
      const rows = wide.ref.slice([], [], [k, k + t], []);
      const kept = stride === 1 ? rows : rows.reshape([n, channels, t / stride, stride, v]).slice([], [], [], 0, []);
      return kept.reshape([n, channels, 1, (t / stride) * v]);
    });
    wide.dispose();
    const columns = np.concatenate(windows, 2).reshape([n, channels * 9, (t / stride) * v]);
    return np.matmul(weight.reshape([1, channels, channels * 9]), columns).reshape([n, channels, t / stride, v]);
  };
  const block = (p: Arrays, i: number, x: np.Array): np.Array => {
    const [from, to, stride] = blocks[i]!;
    const at = `blocks.${i}`;
    const [n, , t, v] = x.shape as [number, number, number, number];
    const y = pointwise(x.ref, p[`${at}.gcn.weight`]!, p[`${at}.gcn.bias`]!, from, parts * to);
    const spread = np
      .matmul(y.reshape([n, parts, to * t, v]), p[`${at}.importance`]!.reshape([1, parts, v, v]))
      .sum(1)
      .reshape([n, to, t, v]);
    const active = nn.relu(norm(spread, p, `${at}.norm1`, to));
    const overTime = overTimeOf(active, p[`${at}.tcn.weight`]!, to, stride).add(along(p[`${at}.tcn.bias`]!, to));
    const out = norm(overTime, p, `${at}.norm2`, to);
    if (!(`${at}.shortcut.weight` in p)) return nn.relu(out.add(x));
    const kept = stride === 1 ? x : x.reshape([n, from, t / stride, stride, v]).slice([], [], [], 0, []);
    const shortcut = pointwise(kept, p[`${at}.shortcut.weight`]!, p[`${at}.shortcut.bias`]!, from, to);
    return nn.relu(out.add(norm(shortcut, p, `${at}.norm3`, to)));
  };
  const loss = (p: Arrays, x: np.Array, wanted: np.Array): np.Array => {
    const features = blocks.reduce((y, _, i) => block(p, i, y), x).mean([2, 3]);
    const logits = np.matmul(features, p["head.weight"]!.transpose()).add(p["head.bias"]!);
    return nn
      .logSoftmax(logits, -1)
      .mul(wanted)
      .sum()
      .mul(-1 / batch);
  };
  const both = valueAndGrad(loss);
  const train = jit((p: Arrays, x: np.Array, wanted: np.Array): [Arrays, np.Array] => {
    const copies = Object.fromEntries(Object.entries(p).map(([name, array]) => [name, array.ref]));
    const [value, gradients] = both(copies, x, wanted) as [np.Array, Arrays];
    const next = Object.keys(p).map((name) => [name, p[name]!.sub(gradients[name]!.mul(rate))]);
    return [Object.fromEntries(next) as Arrays, value];
  });
  return async () => {
    const [next, value] = train(parameters, input.ref, targets.ref) as [Arrays, np.Array];
    parameters = next;
    await blockUntilReady([...Object.values(parameters), value]);
    return Number((await value.data())[0]);
  };
}
