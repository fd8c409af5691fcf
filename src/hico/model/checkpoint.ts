/**
 * HiCo checkpoints in the form of the published implementation: `{epoch, state_dict, optimizer}` as `torch.save` writes
 * it, queues and pointers included. What it wrote loads here as it is, and what is written here loads there, strictly.
 */
import type { BytesOrPath } from "../../io/byte-source.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import { hostTensor, toIntegers } from "../../io/host-tensor.ts";
import type { PicklableValue } from "../../io/torch/pickle-write.ts";
import { readTorchCheckpoint, stateDictOf } from "../../io/torch/read.ts";
import { stateDictFor, writeTorchCheckpoint } from "../../io/torch/write.ts";
import { readState } from "../../nn/state.ts";
import type { HiCo } from "./model.ts";
import type { HiCoTrainer } from "./trainer.ts";

/** The model's state on the host, pointers as the 64-bit integers that PyTorch keeps them in. */
export async function hicoState(model: HiCo): Promise<Map<string, HostTensor>> {
  const state = await readState(model.stateDict());
  for (const [name, value] of state) {
    if (value.dtype === "i32")
      state.set(name, hostTensor("i64", value.shape, BigInt64Array.from(toIntegers(value), BigInt)));
  }
  return state;
}

/** Writes model, optimizer and epoch to `path`; the file appears whole or not at all. */
export async function saveCheckpoint(path: string, trainer: HiCoTrainer, epoch: number): Promise<void> {
  const { model, optimizer } = trainer;
  const state = await hicoState(model);
  const optimizerState = await optimizer.torchState();
  // The published optimizer is given both networks; the key network's parameters have no state.
  const [group, ...more] = optimizerState.get("param_groups") as Map<string, unknown>[];
  const count = optimizer.parameters.length;
  if (more.length === 0)
    group.set(
      "params",
      Array.from({ length: 2 * count }, (_, i) => i),
    );
  writeTorchCheckpoint(
    path,
    new Map<string, PicklableValue>([
      ["epoch", epoch],
      ["state_dict", stateDictFor(state)],
      ["optimizer", optimizerState as PicklableValue],
    ]),
  );
}

/**
 * Loads the model from a checkpoint, strictly: a wrong encoder, size or granularity is an error that lists what does
 * not fit. Runs with the next realization.
 *
 * @param name what errors call the checkpoint; default: its path.
 */
export function loadModel(model: HiCo, input: BytesOrPath, name?: string): void {
  loadInto(model, readTorchCheckpoint(input, { name }), name);
}

/**
 * Loads model and optimizer, to go on training.
 *
 * @param name what errors call the checkpoint; default: its path.
 * @returns the epoch the checkpoint was written after.
 */
export function loadCheckpoint(trainer: HiCoTrainer, input: BytesOrPath, name?: string): number {
  const { model, optimizer } = trainer;
  const value = readTorchCheckpoint(input, { name });
  const given = value instanceof Map ? (value as ReadonlyMap<unknown, unknown>) : new Map<unknown, unknown>();
  const file = fileName(input, name);
  const [epoch, saved] = [given.get("epoch"), given.get("optimizer")];
  if (typeof epoch !== "number" || saved === undefined) {
    throw new Error(`${file} has no "epoch" and "optimizer" to resume from; load its weights alone with loadModel`);
  }
  loadInto(model, value as Parameters<typeof stateDictOf>[0], file);
  optimizer.loadTorchState(withoutKeys(saved as ReadonlyMap<string, unknown>, optimizer.parameters.length));
  return epoch;
}

function loadInto(model: HiCo, value: Parameters<typeof stateDictOf>[0], name?: string): void {
  model.loadStateDict(stateDictOf(value, "state_dict", name), {
    strict: true,
    name: `HiCo with the encoder ${encoderName(model)}`,
  });
}

function encoderName(model: HiCo): string {
  const { encoder } = model.config;
  return typeof encoder === "string" ? `"${encoder}"` : encoder.name || "of its own";
}

/** The optimizer's dictionary without the key network's parameters, which follow the query network's. */
function withoutKeys(saved: ReadonlyMap<string, unknown>, count: number): ReadonlyMap<string, unknown> {
  const groups = saved.get("param_groups");
  if (!Array.isArray(groups) || groups.length !== 1 || !(groups[0] instanceof Map)) return saved;
  const params: unknown = groups[0].get("params");
  if (!Array.isArray(params) || params.length !== 2 * count) return saved;
  return new Map([...saved, ["param_groups", [new Map([...groups[0], ["params", params.slice(0, count)]])]]]);
}

function fileName(input: BytesOrPath, name?: string): string {
  return name ?? (typeof input === "string" ? input : "the checkpoint");
}
