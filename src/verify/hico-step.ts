/**
 * HiCo training steps: from `init/*`, steps on `batch0/*`, `batch1/*`, … in turn. Of the first step the projections
 * `step0/z_*`, logits `step0/logits_*` and gradients `step0/grad/*` are compared; of all, `losses` and `loss_parts`;
 * and the full state after n steps where the file has `afterN/*`.
 *
 * Sizes, encoder and settings come from the file's metadata. The first step is inspected in a plan of its own; the
 * steps then run from the start as training runs them.
 */
import type { HostTensor } from "../io/host-tensor.ts";
import type { HiCoBatch } from "../hico/model/model.ts";
import { HiCo } from "../hico/model/model.ts";
import type { HiCoOptions } from "../hico/model/config.ts";
import type { EncoderName } from "../hico/model/encoder-names.ts";
import type { LossPart } from "../hico/model/loss.ts";
import { LOSS_PARTS, logitsOf } from "../hico/model/loss.ts";
import { HiCoTrainer } from "../hico/model/trainer.ts";
import { noGrad } from "../autograd/grad.ts";
import { compile } from "../tensor/program/compile.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { stack } from "../tensor/methods/join.ts";
import type { CaseKind, Comparison, GoldenFile } from "./case.ts";
import { tensorOf, tensorsUnder } from "./case.ts";

/** The file's letters for the five parts. */
const LETTERS: Readonly<Record<LossPart, string>> = {
  clip: "c",
  part: "p",
  temporal: "t",
  spatial: "s",
  instance: "i",
};

export const hicoStepCases: CaseKind = {
  name: "training step",
  find(file) {
    if (!file.tensors.has("init/c_queue") || !file.tensors.has("losses")) return [];
    const name = `hico_${(file.metadata.get("encoder") ?? "").toLowerCase()}`;
    return [{ name, run: (compare) => replay(file, compare) }];
  },
};

async function replay(file: GoldenFile, compare: (batch: readonly Comparison[]) => Promise<void>): Promise<void> {
  const model = new HiCo(modelOptions(file));
  const start = initialState(file);
  const bars = slackOf(file);
  const batches = batchesOf(file);
  const optimizer = {
    lr: setting(file, "lr"),
    momentum: setting(file, "momentum"),
    weightDecay: setting(file, "weight_decay"),
  };

  model.loadStateDict(start);
  await compare(await firstStep(file, model, optimizer, batches[0], bars.first));

  model.loadStateDict(start);
  // A trainer of its own: the first one's momentum must not be felt.
  const trainer = new HiCoTrainer(model, optimizer);
  const losses: Tensor[] = [];
  const parts: Tensor[] = [];
  const steps = wanted(file, "losses").shape[0];
  for (let n = 1; n <= steps; n++) {
    const result = await trainer.step(batches[(n - 1) % batches.length]);
    losses.push(result.loss);
    parts.push(result.parts);
    const after = tensorsUnder(file, `after${n}`);
    if (after.size === 0) continue;
    const state = model.stateDict();
    await compare(
      [...after].map(([key, expected]) => {
        const held = state.get(key);
        if (!held) throw new Error(`the file has "after${n}/${key}", which the model has not`);
        // A sum with 0 is a tensor of its own, so that nothing is said about the variable's later values.
        return { name: `after${n}/${key}`, actual: noGrad(() => held.add(0)), expected, slack: bars.later };
      }),
    );
  }
  await compare([
    { name: "losses", actual: stack(losses), expected: wanted(file, "losses"), slack: bars.later },
    { name: "loss_parts", actual: stack(parts), expected: wanted(file, "loss_parts"), slack: bars.later },
  ]);
}

/** Projections, logits and gradients of the first step. */
async function firstStep(
  file: GoldenFile,
  model: HiCo,
  optimizer: { lr: number },
  batch: HiCoBatch,
  slack: number,
): Promise<Comparison[]> {
  const trainer = new HiCoTrainer(model, optimizer);
  const parameters = model.encoder_q.namedParameters();
  const temperature = model.config.temperature;
  const inspect = compile((queryTemporal: Tensor, querySpatial: Tensor, keyTemporal: Tensor, keySpatial: Tensor) => {
    trainer.optimizer.zeroGrad();
    const { loss, queries, compared } = model.contrast({ queryTemporal, querySpatial, keyTemporal, keySpatial });
    loss.backward();
    const found: Record<string, Tensor> = {};
    for (const part of LOSS_PARTS) {
      found[`step0/z_${LETTERS[part]}`] = queries[part];
      found[`step0/logits_${LETTERS[part]}`] = logitsOf(compared[part], temperature);
    }
    for (const [name, p] of parameters) if (p.grad) found[`step0/grad/${name}`] = p.grad;
    trainer.optimizer.zeroGrad();
    return found;
  });
  const found = await inspect(batch.queryTemporal, batch.querySpatial, batch.keyTemporal, batch.keySpatial);
  const expected = tensorsUnder(file, "step0");
  return [...expected].map(([key, value]) => {
    const name = `step0/${key}`;
    const actual = found[name];
    if (!actual) throw new Error(`the file has "${name}", which a training step does not give`);
    return { name, actual, expected: value, slack };
  });
}

/** Tolerances as factors on the kind of device's own: a file in f32 cannot be met more closely than f32 allows. */
function slackOf(file: GoldenFile): { readonly first: number; readonly later: number } {
  const wide = wanted(file, "init/c_queue").dtype === "f64";
  if (file.dtype === "f64") return wide ? { first: 10, later: 10 } : { first: 1e5, later: 1e6 };
  return { first: 1, later: 10 };
}

function modelOptions(file: GoldenFile): HiCoOptions {
  return {
    encoder: text(file, "encoder").toLowerCase() as EncoderName,
    temporalInput: setting(file, "t_input"),
    spatialInput: setting(file, "s_input"),
    hidden: setting(file, "hidden"),
    heads: setting(file, "heads"),
    layers: setting(file, "layers"),
    granularity: setting(file, "granularity"),
    kernel: setting(file, "kernel"),
    stride: setting(file, "stride"),
    padding: setting(file, "padding"),
    factor: setting(file, "factor"),
    projection: setting(file, "dim"),
    queue: setting(file, "K"),
    temperature: setting(file, "T"),
    momentum: setting(file, "m"),
    // What the reference implementation computed, with dropout off.
    variant: "released",
    dropout: 0,
    dtype: file.dtype,
  };
}

/** The state to start from. The key network starts as a copy of the query network. */
function initialState(file: GoldenFile): Map<string, HostTensor> {
  const state = new Map<string, HostTensor>();
  for (const [key, value] of tensorsUnder(file, "init")) {
    state.set(key, value);
    if (key.startsWith("encoder_q.")) state.set(key.replace("encoder_q.", "encoder_k."), value);
  }
  return state;
}

function batchesOf(file: GoldenFile): HiCoBatch[] {
  const batches: HiCoBatch[] = [];
  for (let n = 0; file.tensors.has(`batch${n}/qc`); n++) {
    const part = (key: string) => tensorOf(wanted(file, `batch${n}/${key}`), file.dtype);
    batches.push({
      queryTemporal: part("qc"),
      querySpatial: part("qp"),
      keyTemporal: part("kc"),
      keySpatial: part("kp"),
    });
  }
  if (batches.length === 0) throw new Error('the file has no "batch0/qc"');
  return batches;
}

function wanted(file: GoldenFile, name: string): HostTensor {
  const found = file.tensors.get(name);
  if (!found) throw new Error(`the file has no tensor "${name}"`);
  return found;
}

function text(file: GoldenFile, key: string): string {
  const found = file.metadata.get(key);
  if (found === undefined) throw new Error(`the file's metadata has no "${key}"`);
  return found;
}

function setting(file: GoldenFile, key: string): number {
  const value = Number(text(file, key));
  if (Number.isFinite(value)) return value;
  throw new Error(`metadata "${key}" is no number: ${text(file, key)}`);
}
