/**
 * The query encoder as an ONNX graph: what evaluation uses, from both views of clips to their features of width 2·G·d.
 *
 * Recurrent encoders become ONNX's own GRU and LSTM operators with their gates reordered, attention becomes products
 * and a softmax. All levels share the weights, as they do in training. Batches may be of any size; the numbers of
 * tokens are those of the run. Operators: https://onnx.ai/onnx/operators, operator set 17.
 */
import type { HostTensor } from "../../io/host-tensor.ts";
import { hostTensor, toFloat32 } from "../../io/host-tensor.ts";
import type { OnnxAttribute, OnnxModel, OnnxNode } from "../../io/protobuf/onnx.ts";
import type { HiCoConfig } from "../model/config.ts";

const OPSET = 17;
const EPSILON = 1e-5;

/** For each gate of ONNX, which of PyTorch's it is: GRU z, r, n of r, z, n; LSTM i, o, f, c of i, f, g, o. */
const GATES = { GRU: [1, 0, 2], LSTM: [0, 3, 1, 2] } as const;

interface OnnxGraphOptions {
  /** Weights of the query network by their names in it (`hi_encoder.…`). */
  readonly state: ReadonlyMap<string, HostTensor>;
  readonly config: HiCoConfig;
  /** Tokens of the temporal view (frames) and of the spatial one (persons × joints). */
  readonly frames: number;
  readonly tokens: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Inputs `temporal` [N, frames, M·V·C] and `spatial` [N, M·V, frames·C]; output `features` [N, 2·G·d]. */
export function encoderGraph({ state, config, frames, tokens, metadata }: OnnxGraphOptions): OnnxModel {
  const { temporalInput, spatialInput, granularity, hidden } = config;
  const graph = new GraphBuilder(state);
  const levels = [...domain(graph, config, "t", "temporal"), ...domain(graph, config, "s", "spatial")];
  graph.nodes.push({ op: "Concat", inputs: levels, outputs: ["features"], attributes: { axis: { int: 1 } } });
  return {
    name: "hico_encoder",
    description:
      "HiCo (arXiv 2212.02082), query encoder: clips as temporal [N, frames, M·V·C] and spatial [N, M·V, frames·C] tokens to features",
    opset: OPSET,
    nodes: graph.nodes,
    initializers: graph.initializers,
    inputs: [
      { name: "temporal", shape: ["N", frames, temporalInput] },
      { name: "spatial", shape: ["N", tokens, spatialInput] },
    ],
    outputs: [{ name: "features", shape: ["N", 2 * granularity * hidden] }],
    metadata,
  };
}

/** Nodes and weights so far. Values are known by name. */
class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers = new Map<string, HostTensor>();
  readonly #state: ReadonlyMap<string, HostTensor>;
  #made = 0;

  constructor(state: ReadonlyMap<string, HostTensor>) {
    this.#state = state;
  }

  /** Adds an operator. @returns the name of its output */
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, OnnxAttribute>>): string {
    const [output] = this.nodeOf(op, inputs, 1, attributes);
    return output;
  }

  nodeOf(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes?: Readonly<Record<string, OnnxAttribute>>,
  ): string[] {
    const names = Array.from({ length: outputs }, () => `${op.toLowerCase()}_${this.#made++}`);
    this.nodes.push({ op, inputs, outputs: names, attributes });
    return names;
  }

  /** A weight of the model under its own name, or what `make` makes of it under another. */
  weight(path: string, make?: { readonly suffix: string; readonly of: (weight: HostTensor) => HostTensor }): string {
    const name = make ? `${path}.${make.suffix}` : path;
    if (!this.initializers.has(name))
      this.initializers.set(name, make ? make.of(this.tensor(path)) : this.tensor(path));
    return name;
  }

  tensor(path: string): HostTensor {
    const found = this.#state.get(path);
    if (!found) throw new Error(`onnx: the checkpoint has no "${path}"`);
    return hostTensor("f32", found.shape, toFloat32(found));
  }

  constant(name: string, tensor: () => HostTensor): string {
    if (!this.initializers.has(name)) this.initializers.set(name, tensor());
    return name;
  }

  /** Whole numbers, as shapes are given. */
  shape(...sizes: number[]): string {
    return this.constant(`shape_${sizes.join("_")}`, () =>
      hostTensor("i64", [sizes.length], BigInt64Array.from(sizes, BigInt)),
    );
  }

  linear(x: string, path: string): string {
    const product = this.node("MatMul", [x, this.weight(`${path}.weight`, { suffix: "transposed", of: transposed })]);
    return this.node("Add", [product, this.weight(`${path}.bias`)]);
  }

  layerNorm(x: string, path: string): string {
    const inputs = [x, this.weight(`${path}.weight`), this.weight(`${path}.bias`)];
    return this.node("LayerNormalization", inputs, { epsilon: { float: EPSILON } });
  }

  transpose(x: string, ...perm: number[]): string {
    return this.node("Transpose", [x], { perm: { ints: perm } });
  }
}

/** The vectors [N, d] of a domain's levels. */
function domain(graph: GraphBuilder, config: HiCoConfig, letter: "t" | "s", input: string): string[] {
  const at = (part: string): string => `hi_encoder.${letter}_${part}`;
  let tokens = graph.linear(input, at("embedding.0"));
  tokens = graph.node("Relu", [graph.layerNorm(tokens, at("embedding.1"))]);
  tokens = graph.linear(tokens, at("embedding.3"));
  return Array.from({ length: config.granularity }, (_, level) => {
    if (level > 0) tokens = downsampled(graph, config, tokens, at("downsample"));
    return config.encoder === "transformer"
      ? transformer(graph, config, tokens, at("encoder"))
      : recurrent(graph, config, config.encoder === "gru" ? "GRU" : "LSTM", tokens, at("encoder"));
  });
}

/** Tokens [N, T, d] of the next level. */
function downsampled(
  graph: GraphBuilder,
  { hidden, kernel, stride, padding, factor }: HiCoConfig,
  x: string,
  path: string,
): string {
  const weights = [graph.weight(`${path}.conv.dw_conv.weight`), graph.weight(`${path}.conv.dw_conv.bias`)];
  const convolved = graph.node("Conv", [graph.transpose(x, 0, 2, 1), ...weights], {
    group: { int: hidden },
    kernel_shape: { ints: [kernel] },
    strides: { ints: [stride] },
    pads: { ints: [padding, padding] },
  });
  const y = graph.node("Relu", [graph.layerNorm(graph.transpose(convolved, 0, 2, 1), `${path}.norm`)]);
  const pooled = graph.node("MaxPool", [graph.transpose(y, 0, 2, 1)], {
    kernel_shape: { ints: [factor] },
    strides: { ints: [factor] },
  });
  return graph.transpose(pooled, 0, 2, 1);
}

/** Both directions of every layer, then the largest over time: [N, T, d] → [N, d]. */
function recurrent(graph: GraphBuilder, config: HiCoConfig, op: "GRU" | "LSTM", x: string, path: string): string {
  const units = config.hidden / 2;
  let y = graph.transpose(x, 1, 0, 2);
  for (let layer = 0; layer < config.layers; layer++) {
    const weights = (kind: string, ...parts: string[]): string =>
      graph.constant(`${path}.${kind}_l${layer}`, () => {
        const directions = [`_l${layer}`, `_l${layer}_reverse`].map((end) =>
          parts.map((part) => reordered(graph.tensor(`${path}.${part}${end}`), GATES[op])),
        );
        const [{ shape }] = directions[0];
        const rows = shape[0] * parts.length;
        return hostTensor("f32", [2, rows, ...shape.slice(1)], joined(directions.flat()));
      });
    const inputs = [y, weights("W", "weight_ih"), weights("R", "weight_hh"), weights("B", "bias_ih", "bias_hh")];
    const states = graph.node(op, inputs, {
      direction: { text: "bidirectional" },
      hidden_size: { int: units },
      // PyTorch applies the reset gate to the recurrent product, bias included.
      ...(op === "GRU" ? { linear_before_reset: { int: 1 } } : {}),
    });
    // [T, 2, N, H] → [T, N, 2·H]
    y = graph.node("Reshape", [graph.transpose(states, 0, 2, 1, 3), graph.shape(0, 0, config.hidden)]);
  }
  return graph.node("ReduceMax", [y], { axes: { ints: [0] }, keepdims: { int: 0 } });
}

/** Post-norm layers without dropout, then the largest over the tokens: [N, T, d] → [N, d]. */
function transformer(graph: GraphBuilder, { hidden, heads, layers }: HiCoConfig, x: string, path: string): string {
  const width = hidden / heads;
  const scale = graph.constant("attention_scale", () => hostTensor("f32", [], Float32Array.of(1 / Math.sqrt(width))));
  const thirds = graph.shape(hidden, hidden, hidden);
  let y = x;
  for (let layer = 0; layer < layers; layer++) {
    const at = (part: string): string => `${path}.layers.${layer}.${part}`;
    const projection = { suffix: "transposed", of: transposed };
    const product = graph.node("MatMul", [y, graph.weight(at("self_attn.in_proj_weight"), projection)]);
    const packed = graph.node("Add", [product, graph.weight(at("self_attn.in_proj_bias"))]);
    const [q, k, v] = graph
      .nodeOf("Split", [packed, thirds], 3, { axis: { int: 2 } })
      .map((part) => graph.node("Reshape", [part, graph.shape(0, 0, heads, width)]));
    const scores = graph.node("MatMul", [graph.transpose(q, 0, 2, 1, 3), graph.transpose(k, 0, 2, 3, 1)]);
    const weights = graph.node("Softmax", [graph.node("Mul", [scores, scale])], { axis: { int: 3 } });
    const attended = graph.node("MatMul", [weights, graph.transpose(v, 0, 2, 1, 3)]);
    const merged = graph.node("Reshape", [graph.transpose(attended, 0, 2, 1, 3), graph.shape(0, 0, hidden)]);
    y = graph.layerNorm(graph.node("Add", [y, graph.linear(merged, at("self_attn.out_proj"))]), at("norm1"));
    const fed = graph.linear(graph.node("Relu", [graph.linear(y, at("linear1"))]), at("linear2"));
    y = graph.layerNorm(graph.node("Add", [y, fed]), at("norm2"));
  }
  return graph.node("ReduceMax", [y], { axes: { ints: [1] }, keepdims: { int: 0 } });
}

/** [rows, columns] → [columns, rows]. */
function transposed({ shape: [rows, columns], data }: HostTensor): HostTensor {
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c] as number;
  return hostTensor("f32", [columns, rows], out);
}

/** Blocks of rows, one a gate, in another order. */
function reordered({ shape, data }: HostTensor, order: readonly number[]): HostTensor {
  const block = data.length / order.length;
  const out = new Float32Array(data.length);
  order.forEach((from, to) => out.set((data as Float32Array).subarray(from * block, (from + 1) * block), to * block));
  return hostTensor("f32", shape, out);
}

function joined(tensors: readonly HostTensor[]): Float32Array {
  const out = new Float32Array(tensors.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of tensors) {
    out.set(data as Float32Array, at);
    at += data.length;
  }
  return out;
}
