/**
 * HiCo (Dong et al., "Hierarchical contrast for unsupervised skeleton-based action representation learning", AAAI 2023,
 * arXiv 2212.02082): a query network, a key network that follows it, and five queues of negatives.
 *
 * One `contrast` is one step's forward part: the key network moves, both networks project their views, the losses
 * compare them, and the keys are enqueued. Everything is lazy; with the backward pass and the optimizer it is one plan.
 */
import { noGrad } from "../../autograd/grad.ts";
import { emaUpdate } from "../../nn/optim/moving-average.ts";
import { Module } from "../../nn/module.ts";
import { xavierUniform } from "../../nn/initializers.ts";
import { l2Normalize } from "../../ops/normalization.ts";
import { zeros } from "../../tensor/create.ts";
import { rng } from "../../tensor/random.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { stack } from "../../tensor/methods/join.ts";
import type { Variable } from "../../tensor/variable.ts";
import { variable } from "../../tensor/variable.ts";
import type { HiCoConfig, HiCoOptions } from "./config.ts";
import { resolveConfig } from "./config.ts";
import type { Contrast, LossPart } from "./loss.ts";
import { LOSS_PARTS, contrasts, hierarchicalLosses, mapParts, normalizeProjections, partsOfLevels } from "./loss.ts";
import type { Projections } from "./network.ts";
import { HiCoNetwork } from "./network.ts";
import { enqueue } from "./queue.ts";

/** Two views of the same clips, each as time-major [N, T, M·V·C] and space-major [N, M·V, T·C] tokens. */
export interface HiCoBatch {
  readonly queryTemporal: Tensor;
  readonly querySpatial: Tensor;
  readonly keyTemporal: Tensor;
  readonly keySpatial: Tensor;
}

/** What a pass through the model gives. */
export interface HiCoResult {
  /** The sum of the losses, to call `backward()` on. */
  readonly loss: Tensor;
  /** The five losses in the order of `LOSS_PARTS`: [5]. Those of levels that are left out are 0. */
  readonly parts: Tensor;
  /** The query network's projections, not normalised. */
  readonly queries: Projections;
  /** What each part compared, normalised. */
  readonly compared: Readonly<Record<LossPart, Contrast>>;
}

/** The HiCo model: query network, momentum network and queues (Dong et al., AAAI 2023, arXiv 2212.02082). */
export class HiCo extends Module {
  // Named and ordered as the published checkpoints are.
  readonly c_queue: Variable;
  readonly c_queue_ptr: Variable;
  readonly p_queue: Variable;
  readonly p_queue_ptr: Variable;
  readonly t_queue: Variable;
  readonly t_queue_ptr: Variable;
  readonly s_queue: Variable;
  readonly s_queue_ptr: Variable;
  readonly i_queue: Variable;
  readonly i_queue_ptr: Variable;
  readonly encoder_q: HiCoNetwork;
  readonly encoder_k: HiCoNetwork;
  readonly #config: HiCoConfig;
  readonly #queues: Readonly<Record<LossPart, { readonly columns: Variable; readonly pointer: Variable }>>;

  /** @param options what differs from `HICO_DEFAULTS`. */
  constructor(options: HiCoOptions = {}) {
    super();
    const config = resolveConfig(options);
    this.#config = config;
    this.encoder_q = new HiCoNetwork(config);
    this.encoder_k = new HiCoNetwork(config);
    this.#initialize();
    const { granularity, queue } = config;
    [this.c_queue, this.c_queue_ptr] = this.#makeQueue("c_queue", granularity * queue);
    [this.p_queue, this.p_queue_ptr] = this.#makeQueue("p_queue", granularity * queue);
    [this.t_queue, this.t_queue_ptr] = this.#makeQueue("t_queue", queue);
    [this.s_queue, this.s_queue_ptr] = this.#makeQueue("s_queue", queue);
    [this.i_queue, this.i_queue_ptr] = this.#makeQueue("i_queue", queue);
    this.#queues = {
      clip: { columns: this.c_queue, pointer: this.c_queue_ptr },
      part: { columns: this.p_queue, pointer: this.p_queue_ptr },
      temporal: { columns: this.t_queue, pointer: this.t_queue_ptr },
      spatial: { columns: this.s_queue, pointer: this.s_queue_ptr },
      instance: { columns: this.i_queue, pointer: this.i_queue_ptr },
    };
  }

  /** What it was made with, every option resolved. */
  get config(): HiCoConfig {
    return this.#config;
  }

  /** Matrices of the query network are drawn as Xavier's; the key network starts as its copy. */
  #initialize(): void {
    const [queries, keys] = [this.encoder_q.parameters(), this.encoder_k.parameters()];
    const options = { dtype: this.#config.dtype, generator: this.#config.generator };
    queries.forEach((q, i) => {
      // Nothing has been computed yet: the first value itself is replaced, rather than assigned over later.
      if (q.rank === 2) q.state.initial = xavierUniform(q.shape, options).node;
      keys[i].state.initial = q.state.initial;
    });
    this.encoder_k.freeze();
  }

  /** Random columns of length 1, and the pointer to the next one to be written. */
  #makeQueue(name: string, width: number): [Variable, Variable] {
    const { projection, dtype, generator = rng() } = this.#config;
    // Stored before their lengths are known: drawing them a second time takes longer than reading them.
    const drawn = generator.normal([projection, width], 0, 1, dtype).contiguous();
    const columns = l2Normalize(drawn, 0);
    return [
      variable(columns, { name, trainable: false }),
      variable(zeros([1], "i32"), { name: `${name}_ptr`, trainable: false }),
    ];
  }

  /** One step's forward part, with the key network's move before it and the enqueueing of keys after it. */
  contrast(batch: HiCoBatch): HiCoResult {
    this.#check(batch);
    const { temperature, contrast, dtype } = this.#config;
    const on = partsOfLevels(contrast);
    emaUpdate(this.encoder_k, this.encoder_q, this.#config.momentum);
    const queries = this.encoder_q.forward(batch.queryTemporal, batch.querySpatial);
    const keys = noGrad(() => normalizeProjections(this.encoder_k.forward(batch.keyTemporal, batch.keySpatial)));
    // The queues as they are now: a variable itself would stand for its later value once keys are enqueued.
    const queues = mapParts((name) => new Tensor(this.#queues[name].columns.node));
    const compared = contrasts(normalizeProjections(queries), keys, queues);
    const losses = hierarchicalLosses(compared, temperature);
    const parts = stack(LOSS_PARTS.map((name) => (on.includes(name) ? losses[name] : zeros([], dtype))));
    this.#enqueue(keys, on);
    return { loss: parts.sum(), parts, queries, compared };
  }

  #enqueue(keys: Projections, parts: readonly LossPart[]): void {
    const { variant, queue, projection } = this.#config;
    for (const name of parts) {
      const { columns, pointer } = this.#queues[name];
      const period = variant === "released" ? queue : columns.shape[1];
      enqueue(columns, pointer, keys[name].reshape([-1, projection]), period);
    }
  }

  #check({ queryTemporal, querySpatial, keyTemporal, keySpatial }: HiCoBatch): void {
    const { temporalInput, spatialInput, queue, variant } = this.#config;
    const clips = queryTemporal.shape[0];
    for (const [name, x, features] of [
      ["queryTemporal", queryTemporal, temporalInput],
      ["querySpatial", querySpatial, spatialInput],
      ["keyTemporal", keyTemporal, temporalInput],
      ["keySpatial", keySpatial, spatialInput],
    ] as const) {
      if (x.rank === 3 && x.shape[2] === features && x.shape[0] === clips) continue;
      throw new Error(
        `HiCo: ${name} has shape ${formatShape(x.shape)}; it must be [${clips} clips, tokens, ${features}]`,
      );
    }
    if (!sameShape(queryTemporal.shape, keyTemporal.shape) || !sameShape(querySpatial.shape, keySpatial.shape)) {
      throw new Error("HiCo: query and key views must have the same numbers of tokens");
    }
    if (clips > queue)
      throw new Error(`HiCo: a batch of ${clips} clips does not fit in a queue of ${queue}; use a larger queue`);
    if (variant === "released" && queue % clips !== 0) {
      throw new Error(
        `HiCo: the released variant needs a batch that divides the queue, and ${clips} does not divide ${queue}; ` +
          `use another batch size, or variant "corrected"`,
      );
    }
  }
}
