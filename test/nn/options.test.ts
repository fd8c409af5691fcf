/** Options by another name (PyTorch's, or a slip) are refused with the names there are: ignored, they would change numbers unseen. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as nn from "../../src/nn/index.ts";
import * as ops from "../../src/ops/index.ts";
import { variable, zeros } from "../../src/tensor/index.ts";

const z = zeros;
const p = () => [variable(z([2, 2]))];
/** What is called, with the options put in, and a name that is not among them. */
const CALLS: Readonly<Record<string, readonly [name: string, call: (options: never) => unknown]>> = {
  conv1d: ["pad", (o) => ops.conv1d(z([1, 2, 5]), z([3, 2, 3]), o)],
  conv2d: ["padding_mode", (o) => ops.conv2d(z([1, 2, 5, 5]), z([3, 2, 3, 3]), o)],
  convTranspose2d: ["output_padding", (o) => ops.convTranspose2d(z([1, 2, 5, 5]), z([2, 3, 3, 3]), o)],
  maxPool1d: ["ceil_mode", (o) => ops.maxPool1d(z([1, 2, 5]), 2, o)],
  maxPool2d: ["ceil_mode", (o) => ops.maxPool2d(z([1, 2, 5, 5]), 2, o)],
  avgPool2d: ["count_include_pad", (o) => ops.avgPool2d(z([1, 2, 5, 5]), 2, o)],
  interpolate: ["align_corners", (o) => ops.interpolate(z([1, 2, 5]), Object.assign({ size: 3 }, o))],
  unfold: ["stride_", (o) => ops.unfold(z([1, 2, 5, 5]), 2, o)],
  fold: ["kernel", (o) => ops.fold(z([1, 8, 4]), 3, 2, o)],
  pad: ["val", (o) => ops.pad(z([2]), [[1, 1]], o)],
  batchNormTraining: ["eps", (o) => ops.batchNormTraining(z([3, 2]), o)],
  batchNorm: ["eps", (o) => ops.batchNorm(z([3, 2]), z([2]), z([2]), o)],
  layerNorm: ["eps", (o) => ops.layerNorm(z([3, 2]), o)],
  groupNorm: ["eps", (o) => ops.groupNorm(z([3, 2]), 1, o)],
  instanceNorm: ["eps", (o) => ops.instanceNorm(z([3, 2, 4]), o)],
  rmsNorm: ["eps", (o) => ops.rmsNorm(z([3, 2]), o)],
  scaledDotProductAttention: ["is_causal", (o) => ops.scaledDotProductAttention(z([3, 2]), z([3, 2]), z([3, 2]), o)],
  attention: ["causal", (o) => ops.attention(z([1, 3, 2, 2]), z([1, 3, 2, 2]), z([1, 3, 2, 2]), o)],
  rotaryEmbedding: ["theta", (o) => ops.rotaryEmbedding(z([3, 2]), o)],
  filterLogits: ["top_k", (o) => ops.filterLogits(z([3]), o)],
  argsort: ["dim", (o) => ops.argsort(z([3]), o)],
  norm: ["axis", (o) => ops.norm(z([3]), o)],
  infoNCE: ["tau", (o) => ops.infoNCE(z([2, 3]), z([2, 3]), z([3, 4]), Object.assign({ temperature: 1 }, o))],
  ntXent: ["tau", (o) => ops.ntXent(z([2, 3]), z([2, 3]), Object.assign({ temperature: 1 }, o))],
  Conv2d: ["padding_mode", (o) => new nn.Conv2d(2, 3, 3, o)],
  ConvTranspose1d: ["output_padding", (o) => new nn.ConvTranspose1d(2, 3, 3, o)],
  BatchNorm2d: ["eps", (o) => new nn.BatchNorm2d(2, o)],
  InstanceNorm1d: ["track_running_stats", (o) => new nn.InstanceNorm1d(2, o)],
  GroupNorm: ["eps", (o) => new nn.GroupNorm(1, 2, o)],
  RMSNorm: ["eps", (o) => new nn.RMSNorm(2, o)],
  LayerNorm: ["elementwise_affine", (o) => new nn.LayerNorm(2, o)],
  Linear: ["bais", (o) => new nn.Linear(2, 2, o)],
  Embedding: ["padding_idx", (o) => new nn.Embedding(2, 2, o)],
  GRU: ["c0", (o) => new nn.GRU(2, 2).forward(z([3, 1, 2]), o)],
  LSTM: ["lengths", (o) => new nn.LSTM(2, 2).forward(z([3, 1, 2]), o)],
  "GRU ": ["num_layers", (o) => new nn.GRU(2, 2, o)],
  "LSTM ": ["batch_first", (o) => new nn.LSTM(2, 2, o)],
  MultiHeadAttention: ["attn_mask", (o) => new nn.MultiHeadAttention(2, 1).forward(z([3, 1, 2]), o)],
  TransformerEncoderLayer: ["dim_feedforward", (o) => new nn.TransformerEncoderLayer(2, 1, o)],
  TransformerDecoderLayer: ["norm_first", (o) => new nn.TransformerDecoderLayer(2, 1, o)],
  KeyValueCache: ["width", (o) => new nn.KeyValueCache(o)],
  SGD: ["weight_decay", (o) => new nn.SGD(p(), Object.assign({ lr: 1 }, o))],
  AdamW: ["eps", (o) => new nn.AdamW(p(), o)],
  "AdamW: a group of parameters": ["wd", (o) => new nn.AdamW([Object.assign({ params: p() }, o)])],
  RMSprop: ["eps", (o) => new nn.RMSprop(p(), o)],
  Lion: ["beta", (o) => new nn.Lion(p(), o)],
  LAMB: ["eps", (o) => new nn.LAMB(p(), o)],
  Muon: ["ns_steps", (o) => new nn.Muon(p(), o)],
  clipGradNorm: ["norm_type", (o) => nn.clipGradNorm(p(), 1, o)],
  oneCycleSchedule: ["pct_start", (o) => nn.oneCycleSchedule(1, 9, o)],
  PlateauSchedule: ["threshold_mode_", (o) => new nn.PlateauSchedule(1, o)],
  kaimingNormal: ["fan", (o) => nn.kaimingNormal([2, 2], o)],
  truncatedNormal: ["std", (o) => nn.truncatedNormal([2], o)],
};

describe("options that there are not", () => {
  for (const [name, [option, call]] of Object.entries(CALLS)) {
    test(`${name}: ${option}`, () => {
      assert.throws(
        () => call({ [option]: 1 } as never),
        (error: Error) => {
          assert.ok(error.message.startsWith(`${name.trim()}: there is no option "${option}"`), error.message);
          assert.match(error.message, /\(options: .+\)$/);
          return true;
        },
      );
    });
  }

  test("a number or a tensor in the place of options, as PyTorch takes them, is refused too", () => {
    const conv = (third: unknown) => ops.conv2d(z([1, 2, 5, 5]), z([3, 2, 3, 3]), third as object);
    assert.throws(() => conv(2), /conv2d: options must be an object such as \{ bias: … \}, not 2/);
    assert.throws(() => conv(z([3])), /conv2d: options must be an object/);
    assert.throws(() => new nn.Linear(2, 2, false as never), /Linear: options must be an object/);
    assert.throws(() => new nn.MaxPool2d(2, 2 as never).forward(z([1, 4, 4])), /maxPool2d: options must be an object/);
  });

  test("a chain says which step is neither module nor function", () => {
    assert.throws(
      () => new nn.Sequential(new nn.ReLU(), "relu" as never),
      /Sequential: step 1 is the string "relu"; it must be a module/,
    );
  });
});
