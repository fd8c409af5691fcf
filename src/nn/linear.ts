/** Affine maps of the last axis, and lookup tables (torch.nn.Linear, torch.nn.Embedding). */
import { formatShape } from "../tensor/shape.ts";
import { inBounds } from "../tensor/bounds.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import { ones, zeros } from "../tensor/create.ts";
import { rng } from "../tensor/random.ts";
import type { LayerOptions } from "./initialize.ts";
import { fanInUniform, parameter, requireCount } from "./initialize.ts";
import { Module } from "./module.ts";
import { checkOptions, requireTensor } from "../tensor/door/door.ts";
import { narrowed } from "../ops/autocast.ts";

/** Settings of a `Linear` layer. */
export interface LinearOptions extends LayerOptions {
  /** Default true; "zero" for one that starts at 0. */
  readonly bias?: boolean | "zero";
}

/** x·weightᵀ + bias (torch.nn.Linear). `weight` [out, in], `bias` [out]. */
export class Linear extends Module {
  readonly weight: Variable;
  readonly bias?: Variable;

  /**
   * @param inFeatures size of the last axis of x.
   * @param outFeatures size of the last axis of the result.
   */
  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    checkOptions("Linear", options, ["bias", "dtype", "generator"]);
    requireCount("Linear", "inFeatures", inFeatures);
    requireCount("Linear", "outFeatures", outFeatures);
    this.weight = parameter("weight", fanInUniform(inFeatures, [outFeatures, inFeatures], options));
    const { bias = true, dtype } = options;
    if (bias === "zero") this.bias = parameter("bias", zeros([outFeatures], dtype));
    else if (bias) this.bias = parameter("bias", fanInUniform(inFeatures, [outFeatures], options));
  }

  /** x [..., in] → [..., out]. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}

/** x [..., in] · weight [out, in]ᵀ + bias [out] (torch.nn.functional.linear). */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  requireTensor("linear", "x", x);
  requireTensor("linear", "the weight", weight);
  x = narrowed(x);
  weight = narrowed(weight);
  bias = narrowed(bias);
  const features = x.shape[x.rank - 1];
  if (weight.rank !== 2 || features !== weight.shape[1]) {
    throw new Error(
      `linear: the last axis of x ${formatShape(x.shape)} must be that of the weight ${formatShape(weight.shape)}`,
    );
  }
  // One product of two matrices, whatever the rank of x.
  const rows = x.rank > 2 ? x.reshape([-1, features]) : x;
  const product = rows.matmul(weight.transpose());
  const y = bias ? product.add(bias) : product;
  return x.rank > 2 ? y.reshape([...x.shape.slice(0, -1), weight.shape[0]]) : y;
}

/** Settings of an `Embedding` layer. */
export interface EmbeddingOptions extends LayerOptions {
  /** An index whose row starts as 0 and receives no gradient. */
  readonly paddingIndex?: number;
}

/** Rows of a table (torch.nn.Embedding). `weight` [count, dim], first values normal. */
export class Embedding extends Module {
  readonly weight: Variable;
  readonly #paddingIndex: number | undefined;

  constructor(count: number, dim: number, options: EmbeddingOptions = {}) {
    super();
    checkOptions("Embedding", options, ["paddingIndex", "dtype", "generator"]);
    requireCount("Embedding", "count", count);
    requireCount("Embedding", "dim", dim);
    const { paddingIndex, dtype = "f32", generator = rng() } = options;
    if (paddingIndex !== undefined && !(Number.isInteger(paddingIndex) && paddingIndex >= 0 && paddingIndex < count)) {
      throw new Error(`Embedding: paddingIndex is ${paddingIndex}; it must be in 0..${count - 1}`);
    }
    const drawn = generator.normal([count, dim], 0, 1, dtype);
    const cleared = paddingIndex === undefined ? drawn : drawn.sub(drawn.mul(rowMask(count, dim, paddingIndex, drawn)));
    this.weight = parameter("weight", cleared);
    this.#paddingIndex = paddingIndex;
  }

  /** index [...], i32 or u32 → [..., dim]. */
  forward(index: Tensor): Tensor {
    if (index.dtype !== "i32" && index.dtype !== "u32")
      throw new Error(`Embedding: the index must be i32 or u32, not ${index.dtype}`);
    const checked = inBounds(index.node, { op: "Embedding", what: "index", size: this.weight.shape[0] });
    const rows = this.weight.take(new Tensor(checked).flatten()).reshape([...index.shape, this.weight.shape[1]]);
    if (this.#paddingIndex === undefined) return rows;
    return index.eq(this.#paddingIndex).unsqueeze(-1).where(rows.detach(), rows);
  }
}

function rowMask(count: number, dim: number, row: number, like: Tensor): Tensor {
  return ones([1, dim], like.dtype).pad([
    [row, count - 1 - row],
    [0, 0],
  ]);
}
