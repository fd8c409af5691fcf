/**
 * The HiCo network: the hierarchical encoder of both domains, and the five projection heads.
 *
 * A domain's tokens are embedded, downsampled level by level, encoded by one encoder, and each level's sequence is
 * reduced to a vector by its maximum (Dong et al., AAAI 2023, §3).
 */
import { segmentMax } from "../../ops/segment-max.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import { LayerNorm, Sequential } from "../../nn/layers.ts";
import { Linear } from "../../nn/linear.ts";
import type { TensorModule } from "../../nn/module.ts";
import { Module } from "../../nn/module.ts";
import type { HiCoConfig } from "./config.ts";
import { Downsample } from "./downsample.ts";
import type { SequenceEncoder } from "./encoders.ts";
import { encodeSequences, makeEncoder } from "./encoders.ts";

/** Vectors of all levels: [N, G, d] each. */
export interface Features {
  /** Temporal: `vc` of the paper, one vector a clip and level. */
  readonly clip: Tensor;
  /** Spatial: `vp`. */
  readonly part: Tensor;
}

/** Projections: clip and part [N, G, C], the others [N, C]. Not normalised. */
export interface Projections {
  readonly clip: Tensor;
  readonly part: Tensor;
  readonly temporal: Tensor;
  readonly spatial: Tensor;
  readonly instance: Tensor;
}

/** Both domains. Parameter names are those of the published checkpoints. */
export class HierarchicalEncoder extends Module {
  readonly t_embedding: Sequential;
  readonly s_embedding: Sequential;
  readonly t_downsample: Downsample;
  readonly s_downsample: Downsample;
  readonly t_encoder: SequenceEncoder | TensorModule;
  readonly s_encoder: SequenceEncoder | TensorModule;
  readonly #granularity: number;

  constructor(config: HiCoConfig) {
    super();
    const { hidden: width, heads, layers, dropout, dtype, generator } = config;
    const settings = { width, heads, layers, dropout, dtype, generator };
    this.t_embedding = embedding(config.temporalInput, config);
    this.s_embedding = embedding(config.spatialInput, config);
    this.t_downsample = new Downsample(config);
    this.s_downsample = new Downsample(config);
    this.t_encoder = makeEncoder(config.encoder, settings);
    this.s_encoder = makeEncoder(config.encoder, settings);
    this.#granularity = config.granularity;
  }

  /** Features of clips as time-major tokens `temporal` [N, T, M·V·C] and space-major tokens `spatial` [N, M·V, T·C]. */
  forward(temporal: Tensor, spatial: Tensor): Features {
    return {
      clip: this.#domain("temporal", temporal, this.t_embedding, this.t_downsample, this.t_encoder),
      part: this.#domain("spatial", spatial, this.s_embedding, this.s_downsample, this.s_encoder),
    };
  }

  #domain(
    name: string,
    x: Tensor,
    embed: Sequential,
    downsample: Downsample,
    encoder: SequenceEncoder | TensorModule,
  ): Tensor {
    if (x.rank !== 3)
      throw new Error(`HiCo: ${name} tokens are ${formatShape(x.shape)}; they must be [clips, tokens, features]`);
    const lengths = [x.shape[1]];
    for (let level = 1; level < this.#granularity; level++) lengths.push(downsample.lengthAfter(lengths[level - 1]));
    if (lengths.some((n) => n < 1)) {
      throw new Error(
        `HiCo: ${x.shape[1]} ${name} tokens are too few for ${this.#granularity} levels (${lengths.join(", ")} tokens)`,
      );
    }
    const timeMajor = "timeMajor" in encoder && encoder.timeMajor === true;
    const axis = timeMajor ? 0 : 1;
    const levels = [embed.forward(timeMajor ? x.permute([1, 0, 2]) : x)];
    while (levels.length < lengths.length) levels.push(downsample.forward(levels[levels.length - 1], axis));
    const tokens = levels.length > 1 ? concat(levels, axis) : levels[0];
    const y = encodeSequences(encoder, timeMajor ? tokens.permute([1, 0, 2]) : tokens, lengths);
    return segmentMax(y, lengths);
  }
}

function embedding(features: number, { hidden, dtype, generator }: HiCoConfig): Sequential {
  const options = { dtype, generator };
  return new Sequential(
    new Linear(features, hidden, options),
    new LayerNorm(hidden, options),
    (x) => x.relu(),
    new Linear(hidden, hidden, options),
  );
}

/** Encoder and heads; there is one for queries and one for keys. */
export class HiCoNetwork extends Module {
  readonly hi_encoder: HierarchicalEncoder;
  readonly clip_proj: Sequential;
  readonly part_proj: Sequential;
  readonly td_proj: Sequential;
  readonly sd_proj: Sequential;
  readonly instance_proj: Sequential;

  constructor(config: HiCoConfig) {
    super();
    const { hidden, granularity } = config;
    this.hi_encoder = new HierarchicalEncoder(config);
    this.clip_proj = head(hidden, config);
    this.part_proj = head(hidden, config);
    this.td_proj = head(granularity * hidden, config);
    this.sd_proj = head(granularity * hidden, config);
    this.instance_proj = head(2 * granularity * hidden, config);
  }

  /**
   * Features of clips in both domains, one after the other: [N, 2·G·d], what evaluation uses. Clips come as time-major
   * tokens `temporal` [N, T, M·V·C] and space-major tokens `spatial` [N, M·V, T·C].
   */
  features(temporal: Tensor, spatial: Tensor): Tensor {
    const { clip, part } = this.hi_encoder.forward(temporal, spatial);
    return concat([clip.flatten(1), part.flatten(1)], 1);
  }

  /**
   * Projections of clips in both views, as time-major tokens `temporal` [N, T, M·V·C] and as space-major tokens
   * `spatial` [N, M·V, T·C].
   */
  forward(temporal: Tensor, spatial: Tensor): Projections {
    const { clip, part } = this.hi_encoder.forward(temporal, spatial);
    const [t, s] = [clip.flatten(1), part.flatten(1)];
    return {
      clip: this.clip_proj.forward(clip),
      part: this.part_proj.forward(part),
      temporal: this.td_proj.forward(t),
      spatial: this.sd_proj.forward(s),
      instance: this.instance_proj.forward(concat([t, s], 1)),
    };
  }
}

function head(features: number, { hidden, projection, dtype, generator }: HiCoConfig): Sequential {
  const options = { dtype, generator };
  return new Sequential(
    new Linear(features, hidden, options),
    (x) => x.relu(),
    new Linear(hidden, projection, options),
  );
}
