/** What statements of programs work on: the plain interpreter's values, and the engine's as its users have them. */
import type { EagerSgd, EagerTensor, EagerVariable } from "./eager.ts";
import type { PlainState } from "./plain-state.ts";

export interface PlainWorld {
  readonly state: PlainState;
  value(name: string): EagerTensor;
  set(name: string, value: EagerTensor): void;
  variable(name: string): EagerVariable;
  optimizer(i: number): EagerSgd;
  /** @param exact whether every digit that float32 has counts, and specials do */
  read(what: string, data: readonly number[], exact: boolean): void;
  /** Says that from here on the engine may refuse values, since a run has computed others on its way. */
  refusable(): void;
}

type Compiled = (...inputs: EngineTensor[]) => Promise<EngineTensor>;

/** The engine: the exports of the package that programs use. */
export interface Engine {
  tensor(data: ArrayLike<number>, options: { shape?: readonly number[] }): EngineTensor;
  variable(initial: EngineTensor): EngineVariable;
  compile(f: (...inputs: EngineTensor[]) => EngineTensor): Compiled;
  SGD: new (params: EngineVariable[], settings: { lr: number; momentum: number }) => EngineOptimizer;
  emaUpdate(target: EngineVariable[], source: EngineVariable[], momentum: number): void;
  copyParameters(target: EngineVariable[], source: EngineVariable[]): void;
  concat(tensors: readonly EngineTensor[]): EngineTensor;
  grad(f: (x: EngineTensor) => EngineTensor): (x: EngineTensor) => EngineTensor;
  customGradient(
    f: (x: EngineTensor) => EngineTensor,
    vjp: (cotangents: readonly EngineTensor[]) => readonly EngineTensor[],
  ): (x: EngineTensor) => EngineTensor;
  noGrad<T>(f: () => T): T;
  seed(value: number): void;
  rng(): Generator;
  liveScalar(value: () => number): EngineTensor;
  readState(state: unknown): Promise<unknown>;
  to(x: EngineTensor, device: unknown): Promise<EngineTensor>;
  realize(tensors: readonly EngineTensor[]): Promise<unknown>;
  device(name: string): Promise<{ close(): void }>;
  Module: new () => EngineModule;
}

interface Generator {
  uniform(shape: readonly number[], low: number, high: number): EngineTensor;
  integers(shape: readonly number[], low: number, high: number): EngineTensor;
}

export interface EngineOptimizer {
  step(): void;
  zeroGrad(): void;
  reset(): void;
  torchState(): Promise<unknown>;
  loadTorchState(state: unknown): void;
}

interface EngineModule {
  readonly training: boolean;
  train(on?: boolean): unknown;
  stateDict(): unknown;
  loadStateDict(state: unknown): unknown;
}

type Unary = "relu" | "tanh" | "sigmoid" | "sign" | "square" | "detach";
type Binary = "add" | "mul" | "pow" | "mod" | "maximum";

export type EngineTensor = {
  readonly shape: readonly number[];
  read(): Promise<ArrayLike<number>>;
  realize(): Promise<unknown>;
  backward(): void;
  clamp(low: number, high: number): EngineTensor;
  cast(dtype: "f32" | "i32"): EngineTensor;
  take(index: EngineTensor): EngineTensor;
  slice(range: readonly [number, number]): EngineTensor;
  reshape(shape: readonly number[]): EngineTensor;
  flip(axis: number): EngineTensor;
  transpose(): EngineTensor;
} & { readonly [op in Unary | "sum" | "mean" | "max"]: () => EngineTensor } & {
  readonly [op in Binary]: (y: EngineTensor | number) => EngineTensor;
};

export type EngineVariable = EngineTensor & {
  grad: EngineTensor | undefined;
  assign(value: EngineTensor): unknown;
};

export interface EngineWorld {
  readonly engine: Engine;
  readonly here: unknown;
  readonly other: unknown;
  /** Doubles; compiled, and traced on both devices. */
  readonly double: Compiled;
  /** What a module gives in its mode, by a live scalar, with noise; compiled. */
  readonly varied: Compiled;
  /** Twice its input while it trains, and one more than it otherwise. */
  readonly module: EngineModule & { forward(x: EngineTensor): EngineTensor };
  /** A module of the first two variables. */
  readonly both: EngineModule;
  readonly live: { value: number };
  saved: unknown;
  value(name: string): EngineTensor;
  set(name: string, value: EngineTensor): void;
  variable(name: string): EngineVariable;
  optimizer(i: number): EngineOptimizer;
  /** An element that is not there, by an index that the host knows or that is computed. */
  stray(index: number, computed: boolean): EngineTensor;
  read(what: string, x: EngineTensor): Promise<unknown>;
  note(what: string, data: readonly number[]): void;
}
