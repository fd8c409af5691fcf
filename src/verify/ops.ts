/**
 * Op and layer cases, `NAME/in/*`, `NAME/outI`, `NAME/cotangentI`, `NAME/grad/*`: outputs, and the gradients of
 * Σ out·cotangent with respect to inputs and parameters.
 *
 * A case's name starts with the name of its recipe (`gru_bi`, `gru_2layer`: `gru`). Sizes come from the tensors;
 * settings from the metadata, and from the shapes where it does not tell them.
 */
import { gradients } from "../autograd/grad.ts";
import type { HostTensor } from "../io/host-tensor.ts";
import { LayerNorm, MaxPool1d } from "../nn/layers.ts";
import { Conv1d } from "../nn/spatial/index.ts";
import type { Module } from "../nn/module.ts";
import { GRU, LSTM } from "../nn/recurrent.ts";
import { TransformerEncoderLayer } from "../nn/transformer.ts";
import { infoNCE, ntXent } from "../ops/losses/contrastive.ts";
import { interpolateLinear } from "../ops/convolution.ts";
import { crossEntropy } from "../ops/losses/cross-entropy.ts";
import { l2Normalize } from "../ops/normalization.ts";
import { logSoftmax, softmax } from "../ops/softmax.ts";
import { tensor, zeros } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CaseKind, GoldenCase, GoldenFile } from "./case.ts";
import { attributesOf, tensorOf, tensorsUnder } from "./case.ts";

/** What a recipe is given. */
interface Given {
  /** Inputs that are no parameters of a layer. */
  readonly in: Readonly<Record<string, Tensor>>;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Shapes of the first output and of every input, for settings that follow from them. */
  readonly out: Shape;
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly dtype: DType;
  /** Puts the file's parameters into a layer; names have "__" for ".". */
  load<M extends Module>(module: M): M;
  readonly name: string;
}

type Recipe = (given: Given) => Tensor | readonly Tensor[];

const unary =
  (f: (x: Tensor) => Tensor): Recipe =>
  (g) =>
    f(g.in.x);
const setting = (g: Given, key: string, fallback: number): number => {
  const value = g.attributes[key] ?? fallback;
  if (typeof value !== "number")
    throw new Error(`setting "${key}" of ${g.name} is no number: ${JSON.stringify(value)}`);
  return value;
};

const RECIPES: Readonly<Record<string, Recipe>> = {
  gru(g) {
    const { y, hn } = g.load(new GRU(g.shapes.x[2], g.shapes.weight_hh_l0[1], recurrentSettings(g))).forward(g.in.x);
    return [y, hn];
  },
  lstm(g) {
    const { y, hn, cn } = g
      .load(new LSTM(g.shapes.x[2], g.shapes.weight_hh_l0[1], recurrentSettings(g)))
      .forward(g.in.x);
    return [y, hn, cn];
  },
  transformer(g) {
    const layer = new TransformerEncoderLayer(g.shapes.x[2], setting(g, "heads", 1), {
      feedForward: g.shapes.linear1__weight[0],
      dropout: 0,
      normFirst: g.name.includes("pre_norm"),
      activation: g.name.includes("gelu") ? "gelu" : "relu",
      batchFirst: true,
      dtype: g.dtype,
    });
    return g.load(layer).forward(g.in.x);
  },
  layernorm: (g) => g.load(new LayerNorm(g.shapes.x[g.shapes.x.length - 1], { dtype: g.dtype })).forward(g.in.x),
  conv1d(g) {
    const { x, weight } = g.shapes;
    const [stride, dilation] = [setting(g, "stride", 1), setting(g, "dilation", 1)];
    const reach = (g.out[2] - 1) * stride + (weight[2] - 1) * dilation + 1;
    const padding = setting(g, "padding", Math.max(0, Math.ceil((reach - x[2]) / 2)));
    const options = { stride, dilation, padding, groups: x[1] / weight[1], bias: "bias" in g.shapes, dtype: g.dtype };
    return g.load(new Conv1d(x[1], weight[0], weight[2], options)).forward(g.in.x);
  },
  maxpool1d(g) {
    const size = setting(g, "kernel_size", Math.floor(g.shapes.x[2] / g.out[2]));
    return new MaxPool1d(size, setting(g, "stride", size)).forward(g.in.x);
  },
  amax(g) {
    const { x } = g.shapes;
    const axis = x.findIndex((_, i) =>
      sameShape(
        x.filter((__, k) => k !== i),
        g.out,
      ),
    );
    return g.in.x.max(setting(g, "dim", axis));
  },
  softmax: (g) => softmax(g.in.x, setting(g, "dim", -1)),
  log_softmax: (g) => logSoftmax(g.in.x, setting(g, "dim", -1)),
  cross_entropy(g) {
    const { target, label_smoothing: labelSmoothing } = g.attributes as { target: number[]; label_smoothing?: number };
    return crossEntropy(g.in.x, tensor(Int32Array.from(target)), { labelSmoothing });
  },
  normalize: (g) => l2Normalize(g.in.x, setting(g, "dim", -1)),
  matmul: (g) => g.in.a.matmul(g.in.b),
  // The file divides by b² + 1, which keeps away from 0.
  broadcast_div: (g) => g.in.a.div(g.in.b.square().add(1)),
  gelu: unary((x) => x.gelu()),
  silu: unary((x) => x.silu()),
  tanh: unary((x) => x.tanh()),
  sigmoid: unary((x) => x.sigmoid()),
  softplus: unary((x) => x.softplus()),
  relu: unary((x) => x.relu()),
  elu: unary((x) => x.elu()),
  info_nce: (g) => contrast(g, setting(g, "temperature", 0.07)),
  multi_positive_info_nce: (g) => contrast(g, setting(g, "temperature", 0.2)),
  nt_xent: (g) => ntXent(g.in.a, g.in.b, { temperature: setting(g, "temperature", 0.5) }),
  interpolate_linear: (g) => interpolateLinear(g.in.x, g.out[g.out.length - 1]),
};

/** Queries and keys are normalised within the case; the queue's columns are used as they are. */
function contrast(g: Given, temperature: number): Tensor {
  return infoNCE(l2Normalize(g.in.q), l2Normalize(g.in.k), g.in.queue, { temperature });
}

function recurrentSettings(g: Given) {
  return {
    numLayers: setting(g, "layers", 1),
    bidirectional: g.attributes.bidirectional === true,
    batchFirst: true,
    bias: "bias_ih_l0" in g.shapes,
    dtype: g.dtype,
  };
}

/** The recipe with the longest name that the case's name starts with. */
function recipeFor(name: string): Recipe | undefined {
  const fitting = Object.keys(RECIPES).filter((key) => name === key || name.startsWith(`${key}_`));
  return RECIPES[fitting.sort((a, b) => b.length - a.length)[0]];
}

export const opCases: CaseKind = {
  name: "op",
  find(file) {
    return [...file.tensors.keys()]
      .filter((key) => /^[^/]+\/out0$/.test(key))
      .map((key) => caseNamed(file, key.slice(0, -"/out0".length)));
  },
};

function caseNamed(file: GoldenFile, name: string): GoldenCase {
  return {
    name,
    async run(compare) {
      const recipe = recipeFor(name);
      if (!recipe) throw new Error(`no op is known by "${name}"; names start with ${Object.keys(RECIPES).join(", ")}`);
      const held = tensorsUnder(file, name);
      const given = under(held, "in/");
      const wanted = under(held, "grad/");
      const inputs = Object.fromEntries([...given].map(([key, value]) => [key, tensorOf(value, file.dtype)]));
      /** Parameters of the layer, once it is loaded, by the file's names. */
      let parameters = new Map<string, Tensor>();
      const outputs = [
        recipe({
          in: inputs,
          attributes: attributesOf(file, name),
          out: held.get("out0")!.shape,
          shapes: Object.fromEntries([...given].map(([key, value]) => [key, value.shape])),
          dtype: file.dtype,
          name,
          load(module) {
            const names = [...module.stateDict().keys()];
            module.loadStateDict(
              Object.fromEntries(names.map((key) => [key, given.get(fileName(key))]).filter(([, v]) => v)),
            );
            parameters = new Map([...module.stateDict()].map(([key, p]) => [fileName(key), p]));
            return module;
          },
        }),
      ].flat();
      outputs.forEach((y, i) => {
        if (!held.has(`out${i}`))
          throw new Error(`the file has no tensor "${name}/out${i}" of shape ${formatShape(y.shape)}`);
      });
      const cotangents = outputs.map((y, i) => {
        const value = held.get(`cotangent${i}`);
        return value ? tensorOf(value, file.dtype) : zeros(y.shape, y.dtype);
      });
      const targets = [...wanted.keys()].map((key) => parameters.get(key) ?? inputs[key]);
      const missing = [...wanted.keys()].find((_, i) => targets[i] === undefined);
      if (missing !== undefined)
        throw new Error(`the file has "${name}/grad/${missing}" and no "${name}/in/${missing}"`);
      const slopes = gradients(outputs, cotangents, targets);
      await compare([
        ...outputs.map((actual, i) => ({ name: `${name}/out${i}`, actual, expected: held.get(`out${i}`)! })),
        ...[...wanted].map(([key, expected], i) => ({ name: `${name}/grad/${key}`, actual: slopes[i], expected })),
      ]);
    },
  };
}

const fileName = (parameter: string): string => parameter.replaceAll(".", "__");

function under(held: ReadonlyMap<string, HostTensor>, prefix: string): Map<string, HostTensor> {
  return new Map(
    [...held].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  );
}
