/**
 * The base of optimizers: parameter groups, slots, and state dictionaries in PyTorch's form.
 *
 * An update is ordinary tensor arithmetic assigned to variables, so it belongs to the same plan as the backward pass:
 * where a gradient comes out of one kernel, the update is that kernel's last lines. What changes from step to step
 * (learning rate, step count) is read anew at every run, so a compiled step need not be compiled again.
 */

import type { HostTensor } from "../../io/host-tensor.ts";
import { hostTensor, isHostTensor } from "../../io/host-tensor.ts";
import { liveScalar, tensor, zeros } from "../../tensor/create.ts";
import type { DType } from "../../tensor/dtype.ts";
import { sameShape, formatShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import { Variable, variable } from "../../tensor/variable.ts";
import type { StateValue } from "../state.ts";
import { readState, tensorFor } from "../state.ts";
import { onceInTrace, tracing, withTrace } from "../../tensor/program/trace.ts";
import { updating } from "./updating.ts";
import { checkOptions, describeValue, requireTensor } from "../../tensor/door/door.ts";

/** Settings that every optimizer has. */
export interface CommonSettings {
  /** Learning rate. It may be set between steps, compiled or not. */
  lr: number;
}

/** Parameters with settings of their own; what is left out is the optimizer's. */
export type ParameterGroup<S> = { readonly params: readonly Variable[] } & Partial<S>;

/** Variables an optimizer keeps for one parameter, by PyTorch's names (`momentum_buffer`, `exp_avg`). */
type Slots = Readonly<Record<string, Variable>>;

/** What an update may read besides its parameter. */
export interface UpdateContext<S> {
  readonly settings: Readonly<S>;
  readonly slots: Slots;
  /** The learning rate as a scalar tensor, asked for anew at every run. */
  readonly lr: Tensor;
  /**
   * Steps each parameter has taken, this one included, in the order of all parameters; only where the optimizer counts.
   * What is computed from it serves all parameters; `own` takes this one's.
   */
  readonly counts: Tensor | undefined;
  /** This parameter's scalar of a tensor that has one for every parameter. */
  readonly own: (each: Tensor) => Tensor;
}

/** PyTorch's optimizer dictionary, with values on the host: what `torch.save` keeps under "optimizer". */
export type OptimizerState = ReadonlyMap<string, unknown>;

/** PyTorch's names of settings, where they differ. */
const TORCH_NAMES: Readonly<Record<string, string>> = { weightDecay: "weight_decay", epsilon: "eps" };

/** Settings of PyTorch's that change what is trained, and that no optimizer here has. */
const UNKNOWN_SETTINGS = ["amsgrad", "maximize"];

/** What all optimizers share: groups of parameters, their settings, and the state that is saved. */
export abstract class Optimizer<S extends CommonSettings> {
  /** Settings may be changed; a compiled step, of which all but `lr` are constants, is then traced anew. */
  readonly groups: readonly (S & { readonly params: readonly Variable[] })[];
  /** In the order given, which numbers them in PyTorch's dictionaries. */
  readonly parameters: readonly Variable[];
  readonly #slotNames: readonly string[];
  /** Made at a parameter's first gradient: parameters that are never updated take no memory, and have no state. */
  readonly #slots = new Map<Variable, Slots>();
  /** Steps each parameter has taken: one without a gradient takes none, as in PyTorch. */
  readonly #counts: Variable | undefined;

  /**
   * @param params a list of variables, or groups of them with settings of their own.
   * @param defaults settings of groups that do not have them; `lr` among them.
   * @param slotNames PyTorch's names of the variables kept for each parameter, such as `exp_avg`.
   * @param counts whether updates need the number of the step.
   */
  protected constructor(
    params: readonly Variable[] | readonly ParameterGroup<S>[],
    defaults: S,
    slotNames: readonly string[],
    counts: boolean,
  ) {
    const name = this.constructor.name;
    tracing()?.made.add(this);
    const known = this.known && ["lr", ...this.known];
    if (known) checkOptions(name, defaults, known);
    const grouped = groupsOf(name, params);
    for (const group of known ? grouped : [])
      checkOptions(`${name}: a group of parameters`, group, [...known!, "params"]);
    this.groups = grouped.map((group) => ({ ...defaults, ...definedOf(group), params: [...group.params] }));
    for (const group of this.groups) this.check(group);
    this.parameters = this.groups.flatMap((group) => group.params);
    this.#slotNames = slotNames;
    const seen = new Set<Variable>();
    for (const p of this.parameters) {
      if (seen.has(p)) throw new Error(`${name}: variable "${p.name}" is given twice`);
      if (!p.dtype.startsWith("f"))
        throw new Error(`${name}: variable "${p.name}" is ${p.dtype}; only floating variables are trained`);
      seen.add(p);
    }
    if (seen.size === 0) throw new Error(`${name}: there are no parameters`);
    if (counts) this.#counts = variable(zeros([seen.size]), { name: "step", trainable: false });
  }

  /** Names of its settings besides `lr`: others are refused. Undefined: any will do. */
  protected get known(): readonly string[] | undefined {
    return undefined;
  }
  /** Of the settings in use, those that need something kept for each parameter: a slot, or the `step`. */
  protected keeps(_settings: S): { readonly [setting in keyof S]?: string | undefined } {
    return {};
  }
  /** Throws where a group's settings are out of range. */
  protected abstract check(settings: S): void;
  /** Assigns the new values of a parameter and its slots. Runs with gradients stopped. */
  protected abstract update(p: Variable, gradient: Tensor, context: UpdateContext<S>): void;

  /** Throws where a setting needs what the optimizer does not keep: what it keeps was settled when it was made. */
  #requireKept(settings: S): void {
    for (const [setting, what] of Object.entries(this.keeps(settings)) as [keyof S & string, string][]) {
      if (what === "step" ? this.#counts : this.#slotNames.includes(what)) continue;
      throw new Error(
        `${this.constructor.name}: ${setting} is ${String(settings[setting])}, and the optimizer was made without it and ` +
          `keeps no ${what}; give ${setting} to the constructor`,
      );
    }
  }
  #slotsOf(p: Variable): Slots {
    let slots = this.#slots.get(p);
    if (!slots) {
      const { shape, dtype, name } = p;
      const made = (slot: string) => variable(zeros(shape, dtype), { name: `${name}.${slot}`, trainable: false });
      const all = withTrace(undefined, () => this.#slotNames.map((slot) => [slot, made(slot)] as const));
      slots = Object.fromEntries(all);
      this.#slots.set(p, slots);
    }
    return slots;
  }

  /** The learning rate of the first group. Setting it sets that of all groups; not inside a compiled function. */
  get lr(): number {
    return this.groups[0].lr;
  }
  set lr(value: number) {
    if (tracing())
      throw onceInTrace("lr", "set it before the call: a compiled step reads the learning rate anew at every call");
    // An infinite rate may be set: steps that are guarded say which parameter it left without a number.
    if (value !== Infinity) requireRange(this.constructor.name, "lr", value, 0);
    for (const group of this.groups) group.lr = value;
  }

  /**
   * Updates every parameter that has a gradient. Lazy: it runs with the next realization, or in the compiled step.
   *
   * @param when a bool scalar on the device: where it is false, parameters, slots and step counts stay as they are. What
   *   an update assigns is then chosen element by element, so nothing is read and a NaN in it goes nowhere.
   * @throws Error where `when` is something else, such as a number or a closure.
   */
  step(when?: Tensor): void {
    if (when !== undefined) {
      requireTensor("step", "when", when);
      if (when.dtype !== "bool" || when.rank > 0)
        throw new Error(`step: when is ${when.dtype}${formatShape(when.shape)}; it must be one bool, of shape []`);
    }
    if (this.#counts || this.#slotNames.length > 0) tracing()?.changesInside(this, this.constructor.name);
    updating(() => {
      const held = when ? this.#held() : [];
      this.#update();
      for (const [v, old] of held) v.assign(when!.where(v, old));
    });
  }

  /** Every variable that a step may assign, with its value before. */
  #held(): [Variable, Tensor][] {
    const moved = this.parameters.filter((p) => p.grad);
    const all = [...moved, ...moved.flatMap((p) => Object.values(this.#slotsOf(p)))];
    return [...all, ...(this.#counts ? [this.#counts] : [])].map((v) => [v, new Tensor(v.node)]);
  }

  #update(): void {
    const moved = this.parameters.map((p) => (p.grad ? 1 : 0));
    const steps = moved.includes(1) ? this.#counts?.add(stepsOf(moved)).contiguous() : undefined;
    let place = 0;
    for (const settings of this.groups) {
      this.#requireKept(settings);
      tracing()?.watch(settings, () => constantsOf(settings));
      const rates = new Map<DType, Tensor>();
      const counts = new Map<DType, Tensor>();
      for (const p of settings.params) {
        const at = place++;
        if (!p.grad) continue;
        requireGradientOf(this.constructor.name, p, p.grad);
        const { dtype } = p;
        if (!rates.has(dtype))
          rates.set(
            dtype,
            liveScalar(() => settings.lr, dtype),
          );
        if (steps && !counts.has(dtype)) counts.set(dtype, steps.cast(dtype));
        this.update(p, p.grad, {
          settings,
          slots: this.#slotsOf(p),
          lr: rates.get(dtype)!,
          counts: counts.get(dtype),
          own: (each) => each.slice([at, at + 1]).reshape([]),
        });
      }
    }
    if (steps) this.#counts!.assign(steps);
  }

  /** Clears the gradients of all parameters. */
  zeroGrad(): void {
    for (const p of this.parameters) p.grad = undefined;
  }

  /** Slots and the count of steps as before the first step, for other values of the parameters. Lazy, as `step`. */
  reset(): void {
    tracing()?.watch(this.#slots, () => this.#slots.size);
    for (const state of this.stateDict().values()) state.assign(zeros(state.shape, state.dtype));
  }

  /**
   * All variables that are saved, by name: `state.0.momentum_buffer`, numbered as the parameters are; and `step`, which
   * has the steps of each parameter.
   * Parameters that have had no gradient yet have none.
   */
  stateDict(): Map<string, Variable> {
    const dict = new Map<string, Variable>();
    this.parameters.forEach((p, i) => {
      for (const [name, slot] of Object.entries(this.#slots.get(p) ?? {})) dict.set(`state.${i}.${name}`, slot);
    });
    if (this.#counts) dict.set("step", this.#counts);
    return dict;
  }

  /** The optimizer in PyTorch's form, `{state: {0: {…}}, param_groups: [{lr, …, params: [0, …]}]}`, on the host. */
  async torchState(): Promise<OptimizerState> {
    const values = await readState(this.stateDict());
    const counts = values.get("step");
    const state = new Map<number, ReadonlyMap<string, unknown>>();
    this.parameters.forEach((p, i) => {
      const slots = this.#slots.get(p);
      if (!slots) return;
      const named = Object.keys(slots).map((slot) => [slot, values.get(`state.${i}.${slot}`)] as const);
      const count = counts && hostTensor("f32", [], Float32Array.of(Number(counts.data[i])));
      state.set(i, new Map<string, unknown>(count ? [["step", count], ...named] : named));
    });
    let next = 0;
    const groups = this.groups.map(
      ({ params, ...settings }) =>
        new Map<string, unknown>([
          ...Object.entries(settings).map(([key, value]) => [TORCH_NAMES[key] ?? key, torchValue(value)] as const),
          ["params", params.map(() => next++)],
        ]),
    );
    return new Map<string, unknown>([
      ["state", state],
      ["param_groups", groups],
    ]);
  }

  /**
   * Takes over slots, step counts and settings from `source`: what `torchState()` gave, or the "optimizer" of a
   * checkpoint of PyTorch's optimizer of the same name. Slots that the file does not have (PyTorch makes them at the
   * first step) become 0.
   *
   * @throws Error listing everything that does not fit; nothing is changed then.
   */
  loadTorchState(source: unknown): void {
    const name = `${this.constructor.name}: loadTorchState`;
    const groups = field(source, "param_groups");
    if (!Array.isArray(groups)) {
      const keys = source instanceof Map ? [...source.keys()] : Object.keys((source ?? {}) as object);
      const hint =
        keys.length > 0 ? `, only ${keys.slice(0, 8).map(String).join(", ")}; give the entry that has it` : "";
      throw new Error(`${name}: there is no list "param_groups"${hint}`);
    }
    const sizes = (list: readonly unknown[]) =>
      formatShape(list.map((g) => (field(g, "params") as unknown[] | undefined)?.length ?? 0));
    if (sizes(groups) !== sizes(this.groups)) {
      throw new Error(`${name}: parameters in groups of ${sizes(groups)}; the optimizer has ${sizes(this.groups)}`);
    }
    const ids = groups.flatMap((group) => field(group, "params") as unknown[]);
    const faults: string[] = [];
    const found: (readonly [p: Variable, slot: string, value: StateValue | undefined])[] = [];
    const counts: Tensor[] = [];
    this.parameters.forEach((p, i) => {
      const entry = field(field(source, "state"), ids[i]);
      for (const slot of this.#slotNames) {
        const value = field(entry, slot) ?? undefined;
        if (value === undefined) found.push([p, slot, undefined]);
        else if (!(value instanceof Tensor) && !isHostTensor(value))
          faults.push(`${slot} of parameter ${i} is no tensor`);
        else if (!sameShape(value.shape, p.shape)) {
          faults.push(
            `${slot} of parameter ${i} ("${p.name}") has shape ${formatShape(value.shape)}, not ${formatShape(p.shape)}`,
          );
        } else found.push([p, slot, value]);
      }
      // PyTorch's SGD saves no step: a parameter that has slots has taken one.
      const stepped = this.#slotNames.some((slot) => (field(entry, slot) ?? undefined) !== undefined);
      const count = scalarValue(field(entry, "step") ?? Number(stepped))!;
      counts.push(tensorFor(count, "f32").reshape([1]));
    });
    const loaded = this.groups.map((group, i) => {
      const saved = groups[i] as unknown;
      for (const setting of UNKNOWN_SETTINGS)
        if (field(saved, setting) === true)
          faults.push(
            `group ${i} has ${setting}, which ${this.constructor.name} does not know; it would train otherwise`,
          );
      const taken = Object.keys(group).map((key) => [key, field(saved, TORCH_NAMES[key] ?? key) ?? undefined] as const);
      return definedOf(Object.fromEntries(taken.filter(([key]) => key !== "params"))) as Partial<S>;
    });
    if (faults.length > 0) throw new Error(`${name}: the dictionary does not fit:\n  ${faults.join("\n  ")}`);
    this.groups.forEach((group, i) => {
      const settings = { ...group, ...loaded[i] };
      this.check(settings);
      this.#requireKept(settings);
    });
    for (const [p, slot, value] of found) {
      if (value) this.#slotsOf(p)[slot].assign(tensorFor(value, p.dtype));
      else this.#slots.get(p)?.[slot].assign(zeros(p.shape, p.dtype));
    }
    this.#counts?.assign(concat(counts));
    this.groups.forEach((group, i) => Object.assign(group, loaded[i]));
  }
}

/** What a compiled step holds of a group's settings, in one text. */
const constantsOf = (settings: CommonSettings): string =>
  Object.entries(settings)
    .filter(([name]) => name !== "lr" && name !== "params")
    .join();

/** What a step adds to the counts: 1 wherever there is a gradient. */
function stepsOf(moved: readonly number[]): number | Tensor {
  return moved.includes(0) ? tensor(Float32Array.from(moved)) : 1;
}

function isGrouped<S>(
  params: readonly Variable[] | readonly ParameterGroup<S>[],
): params is readonly ParameterGroup<S>[] {
  return params.length > 0 && !(params[0] instanceof Tensor);
}

/** Parameters as groups of variables. @throws TypeError where they are something else. */
export function groupsOf<S>(
  optimizer: string,
  params: readonly Variable[] | readonly ParameterGroup<S>[],
): readonly ParameterGroup<S>[] {
  const iterable = (list: unknown) => typeof (list as Iterable<unknown> | undefined)?.[Symbol.iterator] === "function";
  const wanted = `${optimizer}: the parameters must be an array of variables, or of groups { params: [variables], … }`;
  if (!iterable(params)) throw new TypeError(`${wanted}, not ${describeValue(params)}`);
  const groups = isGrouped(params) ? params : [{ params } as unknown as ParameterGroup<S>];
  for (const group of groups) {
    const list: unknown = group?.params;
    if (!iterable(list)) throw new TypeError(`${wanted}; one of them is ${describeValue(group)}`);
    for (const p of list as Iterable<unknown>)
      if (!(p instanceof Variable))
        throw new TypeError(
          `${optimizer}: a parameter is ${describeValue(p)}; only variables are trained: variable(x)`,
        );
  }
  return groups;
}

/** The settings that an optimizer was given, with its defaults for the rest. */
export function withDefaults<S extends CommonSettings>(
  optimizer: string,
  defaults: Partial<S>,
  settings: Partial<S>,
): S {
  checkOptions(optimizer, settings, ["lr", ...Object.keys(defaults).filter((key) => key !== "lr")]);
  return { ...defaults, ...settings } as S;
}

/** Throws unless a gradient that somebody set is one of this variable: another shape would be repeated along axes. */
function requireGradientOf(optimizer: string, p: Variable, gradient: Tensor): void {
  const what = `the gradient of variable "${p.name}"`;
  requireTensor(optimizer, what, gradient);
  if (sameShape(gradient.shape, p.shape)) return;
  throw new Error(
    `${optimizer}: ${what} has shape ${formatShape(gradient.shape)}, the variable ${formatShape(p.shape)}; ` +
      "they must be equal",
  );
}

/** The entries that have a value, so that `{ lr: undefined }` leaves the default. */
function definedOf<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T;
}

/** `source[key]` of a Map or a record. */
function field(source: unknown, key: unknown): unknown {
  if (source instanceof Map) return source.get(key);
  return typeof source === "object" && source !== null ? (source as Record<string, unknown>)[String(key)] : undefined;
}

/** PyTorch has tuples where we have arrays of settings; frozen arrays are written as tuples. */
function torchValue(value: unknown): unknown {
  return Array.isArray(value) ? Object.freeze([...value]) : value;
}

/** A step count as PyTorch saves it: a number in older versions, a tensor of one element in others. */
function scalarValue(value: unknown): StateValue | undefined {
  if (typeof value === "number") return { shape: [], data: [value] };
  if (isHostTensor(value)) return { ...value, shape: [] } satisfies HostTensor;
  return value instanceof Tensor ? value.reshape([]) : undefined;
}

/** Throws unless `low ≤ value < high`. */
export function requireRange(op: string, name: string, value: number, low: number, high = Infinity): void {
  if (value >= low && value < high) return;
  throw new Error(
    `${op}: ${name} is ${value}; it must be at least ${low}${high === Infinity ? "" : ` and below ${high}`}`,
  );
}
