/**
 * Checkpoints: everything a training needs to go on with the same bits, in one safetensors file, one call each way.
 *
 * Tensors are named `PART/NAME`. The metadata says what kind each part is and holds what is not a tensor: settings of
 * optimizers, generators' seeds and calls, and the state of everything with `state()` and `load()`. A checksum over all
 * of it tells a file that has changed.
 */
import type { BytesOrPath, ByteStream } from "../../io/byte-source.ts";
import { whenRead } from "../../io/byte-source.ts";
import { writeFileAtomic } from "../../io/byte-sink.ts";
import { FormatError } from "../../io/format-error.ts";
import type { HostTensor } from "../../io/host-tensor.ts";
import { hostTensor } from "../../io/host-tensor.ts";
import { encodeSafetensors, readSafetensors } from "../../io/safetensors.ts";
import type { SafetensorsContents } from "../../io/safetensors.ts";
import { Module } from "../../nn/module.ts";
import { GradScaler } from "../../nn/optim/grad-scaler.ts";
import type { CommonSettings } from "../../nn/optim/optimizer.ts";
import { Optimizer } from "../../nn/optim/optimizer.ts";
import { loadState, readState } from "../../nn/state.ts";
import { describeValue } from "../../tensor/door/door.ts";
import { Generator } from "../../tensor/random.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { Variable } from "../../tensor/variable.ts";
import { checksumOf, DamagedCheckpointError } from "./checksum.ts";

/** What is saved by its `state()`, a value of JSON, and goes on by `load(state)`: loaders, schedules, counters. */
export interface Stateful<State = unknown> {
  state(): State;
  load(state: State): void;
}

/** A part of a checkpoint. */
export type CheckpointPart =
  | Module
  | Optimizer<CommonSettings>
  | GradScaler
  | ReadonlyMap<string, Variable>
  | Generator
  // Each takes its own state, whatever that is.
  // biome-ignore lint/suspicious/noExplicitAny: a state goes back to the very object that gave it
  | Stateful<any>;

/** Parts by name. */
export type CheckpointParts = Readonly<Record<string, CheckpointPart>>;

type Kind = "module" | "optimizer" | "variables" | "generator" | "state";

/** What the metadata says of a part. */
interface Described {
  readonly kind: Kind;
  readonly value?: unknown;
}

const FORMAT = "hico-webgpu-checkpoint-1";

/**
 * The bytes of a checkpoint of these parts: modules, optimizers, scalers, variables by name, generators, and whatever
 * has `state()` and `load(state)`. All of them are as they are at the call; await it before the next step.
 *
 * @throws Error where a part is none of these, or its name holds a slash.
 */
export async function encodeCheckpoint(parts: CheckpointParts): Promise<Uint8Array> {
  const { tensors, metadata } = await contentsOf(parts);
  return encodeSafetensors(tensors, metadata);
}

/** Writes `encodeCheckpoint(parts)` to a file at `path`, which appears whole or not at all. Node, Bun and Deno. */
export async function saveCheckpoint(path: string, parts: CheckpointParts): Promise<void> {
  const bytes = await encodeCheckpoint(parts);
  writeFileAtomic(path, (sink) => sink.write(bytes));
}

/**
 * Takes all parts back from the `input`: a file's path, its bytes, a Blob, a Response or a stream. The parts must be
 * those that were saved, by name and kind; tensors must fit by name and shape. Variables change at the next
 * computation, as by `assign`.
 *
 * @throws DamagedCheckpointError where the bytes are not those that were written; Error naming everything that does not
 * fit, and nothing is changed then.
 */
export async function loadCheckpoint(input: BytesOrPath | ByteStream, parts: CheckpointParts): Promise<void> {
  const title = typeof input === "string" ? input : "the checkpoint";
  const { tensors, metadata } = await whenRead(input, (given) => readContents(given, title));
  const described = JSON.parse(metadata.get("parts")!, revive) as Record<string, Described>;
  const faults = [
    ...Object.keys(parts).flatMap((name) => (described[name] ? [] : [`it has no part "${name}"`])),
    ...Object.keys(described).flatMap((name) => (parts[name] ? [] : [`its part "${name}" is not asked for`])),
  ];
  const own = Object.entries(parts).filter(([name]) => described[name]);
  const tensorsOf = (part: string): Map<string, HostTensor> =>
    new Map(
      [...tensors].flatMap(([name, t]) => (name.startsWith(`${part}/`) ? [[name.slice(part.length + 1), t]] : [])),
    );
  for (const [name, part] of own) {
    const [kind, saved] = [kindOf(name, part), described[name]!.kind];
    if (kind !== saved) faults.push(`part "${name}" is ${saved} in it, ${kind} here`);
    else if (kind === "module" || kind === "variables")
      faults.push(...misfits(name, variablesOf(part), tensorsOf(name)));
    else if (kind === "optimizer")
      faults.push(...optimizerMisfits(name, part as Optimizer<CommonSettings>, tensorsOf(name)));
  }
  if (faults.length > 0) throw new Error(`${title} does not fit:\n  ${faults.join("\n  ")}`);
  for (const [name, part] of own) {
    const { value } = described[name]!;
    if (part instanceof Module || part instanceof Map || part instanceof GradScaler)
      loadState(variablesOf(part), tensorsOf(name), { name });
    else if (part instanceof Optimizer) loadOptimizer(part, tensorsOf(name), value as readonly object[]);
    else if (part instanceof Generator) {
      const { seed, calls } = value as { seed: number; calls: number };
      part.reseed(seed, calls);
    } else (part as Stateful).load(value);
  }
}

/** Tensors and metadata of the parts, as they are at the call. */
export async function contentsOf(
  parts: CheckpointParts,
): Promise<{ readonly tensors: Map<string, HostTensor>; readonly metadata: Record<string, string> }> {
  const variables = new Map<string, Variable>();
  const described: Record<string, Described> = {};
  for (const [name, part] of Object.entries(parts)) {
    if (name.includes("/")) throw new Error(`checkpoint: the part's name "${name}" holds a slash; choose another`);
    const kind = kindOf(name, part);
    described[name] = { kind, value: settingsOf(part) };
    if (kind === "generator" || kind === "state") continue;
    for (const [key, v] of variablesOf(part as Module)) variables.set(`${name}/${key}`, v);
  }
  const texts = { format: FORMAT, parts: JSON.stringify(described, replace) };
  const tensors = await readState(variables);
  return { tensors, metadata: { ...texts, checksum: checksumOf(tensors, Object.entries(texts)) } };
}

function readContents(input: BytesOrPath, title: string): SafetensorsContents {
  let contents: SafetensorsContents;
  try {
    contents = readSafetensors(input, title);
  } catch (cause) {
    if (cause instanceof FormatError) throw new DamagedCheckpointError(title, cause.fault, { cause });
    throw cause;
  }
  const { tensors, metadata } = contents;
  if (metadata.get("format") !== FORMAT) throw new Error(`${title} is no checkpoint: it has no format "${FORMAT}"`);
  if (metadata.get("checksum") === checksumOf(tensors, metadata)) return contents;
  throw new DamagedCheckpointError(title, "its checksum does not match");
}

function kindOf(name: string, part: unknown): Kind {
  if (part instanceof Module) return "module";
  if (part instanceof Optimizer) return "optimizer";
  if (part instanceof Map || part instanceof GradScaler) return "variables";
  if (part instanceof Generator) return "generator";
  const { state, load } = (part ?? {}) as Partial<Stateful>;
  if (typeof state === "function" && typeof load === "function") return "state";
  throw new TypeError(
    `checkpoint: part "${name}" is ${describeValue(part)}; give a module, an optimizer, a map of variables, a generator, ` +
      "or something with state() and load(state)",
  );
}

function variablesOf(part: CheckpointPart): ReadonlyMap<string, Variable> {
  return part instanceof Map ? part : (part as Module | Optimizer<CommonSettings> | GradScaler).stateDict();
}

/** What of a part is not a tensor. */
function settingsOf(part: CheckpointPart): unknown {
  if (part instanceof Optimizer) return part.groups.map(({ params, ...settings }) => settings);
  if (part instanceof Generator) return { seed: part.seed, calls: part.calls };
  return part instanceof Module || part instanceof Map || part instanceof GradScaler
    ? undefined
    : (part as Stateful).state();
}

/** What of a part's tensors is missing, left over, or of another shape. */
function misfits(
  part: string,
  variables: ReadonlyMap<string, Variable>,
  tensors: ReadonlyMap<string, HostTensor>,
): string[] {
  return [...new Set([...variables.keys(), ...tensors.keys()])].flatMap((key) => {
    const [here, saved] = [variables.get(key)?.shape, tensors.get(key)?.shape];
    if (!here) return [`"${part}" has no "${key}", which it holds`];
    if (!saved) return [`it has no "${key}" of "${part}"`];
    return sameShape(here, saved) ? [] : [`"${key}" of "${part}" is ${formatShape(saved)}, here ${formatShape(here)}`];
  });
}

/** Slots by the parameter's number and their name: `state.0.exp_avg`. */
const SLOT = /^state\.(\d+)\.(\w+)$/;

function optimizerMisfits(
  part: string,
  { parameters }: Optimizer<CommonSettings>,
  tensors: ReadonlyMap<string, HostTensor>,
): string[] {
  return [...tensors].flatMap(([key, { shape }]) => {
    const [, number] = SLOT.exec(key) ?? [];
    const wanted = number === undefined ? [parameters.length] : parameters[Number(number)]?.shape;
    if (wanted && sameShape(shape, wanted)) return [];
    return [
      `"${key}" of "${part}" is ${formatShape(shape)}, here ${wanted ? formatShape(wanted) : "no such parameter"}`,
    ];
  });
}

function loadOptimizer(
  optimizer: Optimizer<CommonSettings>,
  tensors: ReadonlyMap<string, HostTensor>,
  groups: readonly object[],
): void {
  const counts = tensors.get("step");
  const state = new Map<number, Map<string, HostTensor>>();
  const entry = (i: number): Map<string, HostTensor> => state.get(i) ?? state.set(i, new Map()).get(i)!;
  for (const [name, value] of tensors) {
    const [, number, slot] = SLOT.exec(name) ?? [];
    if (number !== undefined) entry(Number(number)).set(slot!, value);
  }
  if (counts) {
    optimizer.parameters.forEach((_, i) => {
      entry(i).set("step", hostTensor("f32", [], Float32Array.of(Number(counts.data[i]))));
    });
  }
  let next = 0;
  const numbered = optimizer.groups.map(({ params }) => new Map([["params", params.map(() => next++)]]));
  optimizer.loadTorchState(
    new Map<string, unknown>([
      ["state", state],
      ["param_groups", numbered],
    ]),
  );
  optimizer.groups.forEach((group, i) => Object.assign(group, groups[i]));
}

/** Numbers that JSON does not have, as records of their names. */
function replace(_: string, value: unknown): unknown {
  if (typeof value !== "number" || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return { number: Object.is(value, -0) ? "-0" : String(value) };
}

function revive(_: string, value: unknown): unknown {
  const { number } = (value ?? {}) as { readonly number?: unknown };
  return typeof number === "string" ? Number(number) : value;
}
