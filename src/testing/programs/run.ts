/** Runs a program twice, on the engine and by the plain interpreter, and compares every value that it reads. */
import { OnTheWay } from "./on-the-way.ts";
import { EagerSgd, EagerVariable, OPS, backward, constant, type EagerTensor } from "./eager.ts";
import { plainState } from "./plain-state.ts";
import type { Program, Statement } from "./program.ts";
import type { Engine, EngineOptimizer, EngineTensor, EngineVariable, EngineWorld, PlainWorld } from "./worlds.ts";

export const LR = 0.05;
export const MOMENTA = [0, 0.5] as const;

interface Expected {
  readonly what: string;
  readonly data: readonly number[] | undefined;
  /** Whether specials and all digits of float32 count. */
  readonly exact?: boolean;
}

/** What a program means. */
interface Meaning {
  /** Every value that it reads, in the order of its statements. Undefined stands for a gradient there is none of. */
  readonly reads: readonly Expected[];
  /** The first statement that the engine may refuse, and with it all that follow. */
  readonly refusable: number;
}

/** What a program means, statement by statement. */
export function interpret(program: Program): Meaning {
  const hosts = new Map<string, Float32Array>();
  const tensors = new Map<string, EagerTensor>();
  const variables = new Map<string, EagerVariable>();
  const functions = new Map<string, Statement & { kind: "define" }>();
  const optimizers = new Map<number, EagerSgd>();
  const reads: Expected[] = [];
  const state = plainState();
  const way = new OnTheWay();
  /** Gradients from before the call of a compiled function, which must clear them before it adds to them or uses them. */
  const fromBefore = new Set<EagerTensor>();
  /** Arguments and results of compiled functions that a gradient would flow through, were they not compiled. */
  const edges = new Set<EagerTensor>();
  const flows = (t: EagerTensor): boolean => t.variable !== undefined || edges.has(t) || t.parents.some(flows);
  const meetsEdge = (t: EagerTensor): boolean => edges.has(t) || t.parents.some(meetsEdge);
  /** What stands for a value on the other side of a compiled function's edge. */
  const across = (t: EagerTensor): EagerTensor => {
    const other = constant(t.shape, t.data);
    if (flows(t)) edges.add(other);
    return other;
  };
  const isFromBefore = (grad: EagerTensor | undefined): boolean => grad !== undefined && fromBefore.has(grad);
  const run = (s: Statement, local: Map<string, EagerTensor>): void => {
    const outside = local === tensors;
    const value = (name: string): EagerTensor =>
      local.get(name) ?? variables.get(name)?.value ?? tensors.get(name) ?? missing(name);
    const taken: string[] = [];
    const world: PlainWorld = {
      state,
      value: (name) => {
        taken.push(name);
        return value(name);
      },
      set: (name, t) => {
        local.set(name, t);
        if (outside) way.took(taken, name);
      },
      variable: (name) => variables.get(name)!,
      optimizer: (i) => optimizers.get(i)!,
      read: (what, data, exact) => void reads.push({ what, data, exact }),
      refusable: () => way.give(),
    };
    if (outside) note(s, way, [...variables.keys()]);
    switch (s.kind) {
      case "extra":
        s.extra.plain(world);
        if (outside) {
          way.took(taken);
          way.gradients();
        }
        break;
      case "host":
        hosts.set(s.name, Float32Array.from(s.values));
        break;
      case "mutate":
        hosts.get(s.host)![s.index] = s.value;
        break;
      case "tensor":
        tensors.set(s.name, constant(s.shape, hosts.get(s.host)!));
        break;
      case "variable":
        variables.set(s.name, new EagerVariable(value(s.from)));
        break;
      case "op": {
        const op = OPS[s.op] as (...inputs: EagerTensor[]) => EagerTensor;
        local.set(s.name, op(...s.inputs.map(value)));
        break;
      }
      case "assign":
        variables.get(s.target)!.assign(value(s.value));
        break;
      case "read":
        reads.push({ what: s.of, data: [...value(s.of).data] });
        break;
      case "realize":
      case "fails":
        break;
      case "backward": {
        const held = new Map([...variables.values()].map((v) => [v, v.grad] as const));
        backward(value(s.of));
        if (meetsEdge(value(s.of))) way.give();
        if ([...held].some(([v, grad]) => v.grad !== grad && isFromBefore(grad))) way.give();
        break;
      }
      case "clear":
        variables.get(s.variable)!.grad = undefined;
        break;
      case "readGrad": {
        const grad = variables.get(s.variable)!.grad;
        reads.push({ what: `${s.variable}.grad`, data: grad && [...grad.data] });
        break;
      }
      case "step": {
        const made = optimizers.get(s.optimizer) ?? new EagerSgd([...variables.values()], LR, MOMENTA[s.optimizer]);
        optimizers.set(s.optimizer, made);
        if ([...variables.values()].some(({ grad }) => isFromBefore(grad))) way.give();
        made.step();
        break;
      }
      case "average": {
        const [t, from] = [variables.get(s.target)!, variables.get(s.source)!.value.data];
        t.assign(
          constant(
            t.value.shape,
            t.value.data.map((x, i) => s.momentum * x + (1 - s.momentum) * from[i]),
          ),
        );
        break;
      }
      case "copy":
        variables.get(s.target)!.assign(variables.get(s.source)!.value);
        break;
      case "define":
        functions.set(s.name, s);
        break;
      case "call": {
        const f = functions.get(s.f)!;
        const inner = new Map<string, EagerTensor>();
        // A variable is itself inside too: it may be assigned there, and gradients flow to it.
        const aliases = new Map<string, EagerVariable>();
        s.inputs.forEach((name, i) => {
          const variable = variables.get(name);
          if (variable) aliases.set(`a${i}`, variable);
          else inner.set(`a${i}`, across(value(name)));
        });
        const before = [...variables].map(([name, variable]) => [name, variable, variable.grad] as const);
        for (const [, , grad] of before) if (grad) fromBefore.add(grad);
        for (const [name, variable] of aliases) variables.set(name, variable);
        for (const each of f.body) run(each, inner);
        for (const [name, variable, grad] of before) if (variable.grad && variable.grad !== grad) way.left(name);
        fromBefore.clear();
        const result = inner.get(f.result) ?? aliases.get(f.result)!.value;
        for (const name of aliases.keys()) variables.delete(name);
        local.set(s.name, s.detached ? constant(result.shape, result.data) : across(result));
        break;
      }
    }
  };
  let refusable = Infinity;
  // Optimizers hold the first two variables, which every program has; they are made before anything else runs.
  for (const [i, s] of program.entries()) {
    run(s, tensors);
    if (way.refusable) refusable = Math.min(refusable, i);
    if (variables.size === 2 && optimizers.size === 0) {
      MOMENTA.forEach((momentum, i) => {
        optimizers.set(i, new EagerSgd([...variables.values()], LR, momentum));
      });
    }
  }
  return { reads, refusable };
}

/** What a statement asks for of what was not computed before it. */
function note(s: Statement, way: OnTheWay, variables: readonly string[]): void {
  switch (s.kind) {
    case "op":
      way.operation(s.name, s.op, s.inputs);
      break;
    case "variable":
      way.took([s.from]);
      break;
    case "assign":
      way.took([s.value]);
      break;
    case "read":
    case "realize":
      way.asked(s.of);
      break;
    case "backward":
      way.backward(s.of);
      break;
    case "clear":
      way.cleared(s.variable);
      break;
    case "readGrad":
      way.readGradient(s.variable);
      break;
    case "step":
      way.step(variables);
      break;
    case "call":
      s.inputs.forEach((name) => way.asked(name));
      break;
  }
}

/** An error of the engine, and which statement it comes from. */
export class StatementError extends Error {
  constructor(
    readonly at: number,
    cause: Error,
  ) {
    super(cause.message, { cause });
    this.name = "StatementError";
  }
}

/**
 * The same by the engine: what it reads.
 * @throws StatementError of the first statement that fails
 */
export async function execute(program: Program, engine: Engine): Promise<Expected[]> {
  const hosts = new Map<string, Float32Array>();
  const tensors = new Map<string, EngineTensor>();
  const variables = new Map<string, EngineVariable>();
  const functions = new Map<string, (...inputs: EngineTensor[]) => Promise<EngineTensor>>();
  const optimizers: EngineOptimizer[] = [];
  const reads: Promise<Expected>[] = [];
  const calls: Promise<unknown>[] = [];
  let at = 0;
  /** What is looked at in the end: until then its failure is nobody's. */
  const later = <T>(promise: Promise<T>): Promise<T> => {
    const own = at;
    const told = promise.catch((error: Error) => {
      throw new StatementError(own, error);
    });
    told.catch(() => undefined);
    return told;
  };
  const shared = await surroundings(engine);
  let both: EngineWorld["both"] | undefined;
  const run = (s: Statement, local: Map<string, EngineTensor>): unknown => {
    const value = (name: string): EngineTensor =>
      local.get(name) ?? variables.get(name) ?? tensors.get(name) ?? missing(name);
    switch (s.kind) {
      case "extra":
        return s.extra.engine(
          Object.assign(shared, {
            both: both!,
            value,
            set: (name: string, t: EngineTensor) => void local.set(name, t),
            variable: (name: string) => variables.get(name)!,
            optimizer: (i: number) => optimizers[i],
            read: (what: string, x: EngineTensor) => {
              const read = x.read().then((data) => ({ what, data: Array.from(data) }));
              reads.push(later(read));
              return read;
            },
            note: (what: string, data: readonly number[]) => void reads.push(Promise.resolve({ what, data })),
          }),
        );
      case "host":
        return hosts.set(s.name, Float32Array.from(s.values));
      case "mutate":
        hosts.get(s.host)![s.index] = s.value;
        return undefined;
      case "tensor":
        return tensors.set(s.name, engine.tensor(hosts.get(s.host)!, { shape: s.shape }));
      case "variable":
        return variables.set(s.name, engine.variable(value(s.from)));
      case "op": {
        const [first, ...others] = s.inputs.map(value) as unknown as [
          Record<string, (...more: unknown[]) => EngineTensor>,
        ];
        return local.set(s.name, first[s.op](...others));
      }
      case "assign":
        return variables.get(s.target)!.assign(value(s.value));
      case "read": {
        const read = value(s.of)
          .read()
          .then((data) => ({ what: s.of, data: Array.from(data) }));
        reads.push(later(read));
        return s.awaited ? read : undefined;
      }
      case "realize":
        return value(s.of).realize();
      case "backward":
        return value(s.of).shape.length === 0
          ? value(s.of).backward()
          : (value(s.of) as unknown as { sum(): EngineTensor }).sum().backward();
      case "clear":
        variables.get(s.variable)!.grad = undefined;
        return undefined;
      case "readGrad": {
        const grad = variables.get(s.variable)!.grad;
        const what = `${s.variable}.grad`;
        const read: Promise<Expected> = grad
          ? grad.read().then((data) => ({ what, data: Array.from(data) }))
          : Promise.resolve({ what, data: undefined });
        reads.push(later(read));
        return read;
      }
      case "step":
        return optimizers[s.optimizer].step();
      case "average":
        return engine.emaUpdate([variables.get(s.target)!], [variables.get(s.source)!], s.momentum);
      case "copy":
        return engine.copyParameters([variables.get(s.target)!], [variables.get(s.source)!]);
      case "define": {
        const f = (...inputs: EngineTensor[]): EngineTensor => {
          const inner = new Map(inputs.map((t, i) => [`a${i}`, t]));
          for (const each of s.body) run(each, inner);
          return inner.get(s.result)!;
        };
        return functions.set(s.name, engine.compile(f));
      }
      case "call": {
        const result = functions.get(s.f)!(...s.inputs.map(value));
        if (!s.awaited) return void calls.push(later(result));
        return result.then((t) => local.set(s.name, s.detached ? t.detach() : t));
      }
      case "fails":
        return engine
          .compile(() => {
            variables.get(s.target)!.assign(value(s.value));
            throw new Error("in the middle");
          })()
          .then(missing, () => undefined);
    }
  };
  for (const s of program) {
    try {
      await run(s, tensors);
    } catch (error) {
      throw new StatementError(at, error as Error);
    }
    at++;
    if (variables.size === 2 && optimizers.length === 0) {
      for (const momentum of MOMENTA) optimizers.push(new engine.SGD([...variables.values()], { lr: LR, momentum }));
      both = Object.assign(new engine.Module(), Object.fromEntries(variables));
    }
  }
  await Promise.all(calls);
  return Promise.all(reads);
}

type Surroundings = Pick<
  EngineWorld,
  "engine" | "here" | "other" | "double" | "varied" | "module" | "live" | "saved" | "stray"
>;

/** Devices by engine: the one that programs run on, and another. */
const others = new WeakMap<object, Promise<unknown>>();

/** What programs find before their first statement. */
async function surroundings(engine: Engine): Promise<Surroundings> {
  const { tensor, device, compile, seed, Module } = engine;
  const [storage] = (await engine.realize([tensor(Float32Array.of(1), {}).mul(1)])) as [{ device: { kind: string } }];
  const here = storage.device;
  const opened = others.get(here) ?? device(here.kind === "reference" ? "cpu" : "reference");
  others.set(here, opened);
  class Modal extends Module {
    forward(x: EngineTensor): EngineTensor {
      return this.training ? x.mul(2) : x.add(1);
    }
  }
  seed(0);
  const [module, live] = [new Modal(), { value: 0.5 }];
  return {
    engine,
    here,
    other: await opened,
    double: compile((x) => x.mul(2)),
    varied: compile((x) =>
      module
        .forward(x)
        .mul(engine.liveScalar(() => live.value))
        .add(engine.rng().uniform([], -1, 1)),
    ),
    module,
    live,
    saved: undefined,
    stray: (index, computed) => {
      const at = tensor(Int32Array.of(computed ? index - 1 : index), {});
      return tensor(Float32Array.of(1, 2), {}).take(computed ? at.add(1) : at);
    },
  };
}

function missing(name: unknown): never {
  throw new Error(`${String(name)} is not there`);
}

/** The first difference, in words; undefined where there is none. */
export function compare(expected: readonly Expected[], found: readonly Expected[]): string | undefined {
  for (const [i, { what, data, exact }] of expected.entries()) {
    const got = found[i]?.data;
    if ((data === undefined) !== (got === undefined)) {
      // A gradient of zeros and none at all say the same.
      if ([...(data ?? got)!].every((x) => x === 0)) continue;
      return `read ${i}, ${what}: is ${got?.join() ?? "not there"}, must be ${data?.join() ?? "not there"}`;
    }
    if (!data || !got) continue;
    if (exact) {
      const right = (x: number, y: number) => Object.is(x, y) || Math.abs(x - y) <= 1e-5 * Math.abs(x) || x === y;
      if (data.length === got.length && data.every((x, k) => right(x, got[k]))) continue;
      return `read ${i}, ${what}: is ${got.join()}, must be ${data.join()}`;
    }
    const largest = Math.max(1, ...data.map(Math.abs));
    // Float32 that has lost its digits by size says nothing of order.
    if (!(largest < 1e5)) continue;
    const off = data.findIndex((x, k) => !(Math.abs(x - got[k]) <= 2e-3 * largest));
    if (off >= 0 || data.length !== got.length) return `read ${i}, ${what}: is ${got.join()}, must be ${data.join()}`;
  }
  return undefined;
}
