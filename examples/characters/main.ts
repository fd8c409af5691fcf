/**
 * A small language model of characters: a causal Transformer learns a text of sums, and writes on through its key-value
 * cache. The numbers to be added are random, so no model comes below 1.03 bits a character.
 * Run: npx tsx examples/characters/main.ts
 *
 * Result: bits a character <= 1.3
 */
import { compile, crossEntropy, Generator, sampleTokens, tensor, useDevice } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";
import { AdamW, cosineSchedule, Embedding, KeyValueCache, Linear, Module } from "hico-webgpu/nn";
import { TransformerEncoderLayer } from "hico-webgpu/nn";
import { fit } from "hico-webgpu/train";

await useDevice();
const [width, heads, length, batch, steps] = [64, 4, 32, 32, 600];
const alphabet = [..."0123456789+=."];
const generator = new Generator(0);

/** Batches of pieces [batch, length + 1] of an endless text: sums of two digits with their results, `3+4=7.` */
function* batches(): IterableIterator<readonly [Tensor]> {
  let [state, text] = [7, ""];
  const digit = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * 10);
  };
  const size = batch * (length + 1);
  for (let i = 0; i < steps; i++) {
    for (let [a, b] = [0, 0]; text.length < size; text += `${a}+${b}=${a + b}.`) [a, b] = [digit(), digit()];
    const piece = Int32Array.from(text.slice(0, size), (letter) => alphabet.indexOf(letter));
    text = text.slice(size);
    yield [tensor(piece, { shape: [batch, length + 1] })];
  }
}

class Writer extends Module {
  readonly embedding = new Embedding(alphabet.length, width, { generator });
  readonly places = new Embedding(length, width, { generator });
  readonly blocks = [0, 1].map(() => {
    const options = { feedForward: 4 * width, dropout: 0, normFirst: true, batchFirst: true, generator };
    return new TransformerEncoderLayer(width, heads, options);
  });
  readonly head = new Linear(width, alphabet.length, { generator });

  /** Characters [B, T] and their places [T] → logits [B, T, alphabet] of what follows each. */
  forward(characters: Tensor, places: Tensor, cache?: KeyValueCache): Tensor {
    let h = this.embedding.forward(characters).add(this.places.forward(places));
    this.blocks.forEach((block, i) => {
      h = block.forward(h, cache ? { cache: cache.layers[i]! } : { causal: true });
    });
    cache?.advance(characters.shape[1]!);
    return this.head.forward(h);
  }
}

const model = new Writer();
const all = tensor(Int32Array.from({ length }, (_, i) => i));
await fit<[Tensor]>({
  ...{ model, optimizer: new AdamW(model.parameters()), batches, epochs: 1, clipGradNorm: 1 },
  schedule: cosineSchedule(3e-3, steps),
  loss: (x) => {
    const logits = model.forward(x.slice(null, [0, length]), all).reshape([batch * length, alphabet.length]);
    return crossEntropy(logits, x.slice(null, [1, length + 1]).reshape([batch * length]));
  },
  onStep: (at) => console.log(`step ${at.step}: bits a character ${(at.measures.loss! / Math.LN2).toFixed(3)}`),
});

const cache = new KeyValueCache({ layers: 2, batch: 1, heads, steps: length, dim: width / heads });
const next = compile((x: Tensor) =>
  sampleTokens(model.forward(x, cache.positions(x.shape[1]!), cache).slice(null, [-1, null]), { temperature: 0.5 }),
);
let written = "9+4=";
let token = await next(
  tensor(
    Int32Array.from(written, (letter) => alphabet.indexOf(letter)),
    { shape: [1, 4] },
  ),
);
for (; written.length < length; token = await next(token)) written += alphabet[await token.item()];
console.log(`it writes ${written}`);
