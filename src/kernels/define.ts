/**
 * `defineFusedOp`: an operation of one's own with a meaning, a gradient and, where it pays, kernels.
 *
 * The meaning is an ordinary function of tensors. Whatever has no kernel runs it: another dtype, the reference device,
 * an adapter for which the kernel declines. So kernels are never asked for what they cannot do, and always have
 * something to be tested against.
 */
import { cotangentsOf, refuseCaptured } from "../autograd/custom.ts";
import type { AdapterProfile, Binding, KernelSource, Lowering } from "../shaders/kernel.ts";
import { MAX_WORKGROUPS } from "../shaders/kernel.ts";
import * as build from "../tensor/build.ts";
import { zeros } from "../tensor/create.ts";
import { isFloat } from "../tensor/dtype.ts";
import { describeValue, requireTensor } from "../tensor/door/door.ts";
import type { FusedOp, ValueSpec } from "../tensor/fused.ts";
import { valueSpec } from "../tensor/fused.ts";
import { placeholder } from "../tensor/program/body.ts";
import { Tensor } from "../tensor/tensor.ts";
import { multiplyAdd } from "../wasm/assembler/features.ts";
import type { FunctionBuilder } from "../wasm/assembler/function.ts";
import type { Value } from "../wasm/assembler/instructions.ts";
import type { WasmLowering } from "../wasm/kernel.ts";

/** A kernel in WGSL, sizes written into its text. */
export interface WgslKernel {
  /** The text, with an entry point `main`. `@group(0) @binding(i)` is the storage buffer that `bindings[i]` names. */
  readonly code: string;
  /** Workgroups along x, or along x, y and z; at most 65,535 along each. */
  readonly workgroups: number | readonly [number, number?, number?];
  /** Default: the inputs in order, to be read, then the outputs in order, to be written. */
  readonly bindings?: readonly Binding[];
  /** Shown by HICO_DEBUG and in errors, after the op's name. */
  readonly name?: string;
}

/** Kernels in WGSL that run one after the other. */
export interface WgslKernels {
  readonly kernels: readonly WgslKernel[];
  /** Buffers that the kernels share; undefined contents at the start. */
  readonly scratch?: readonly ValueSpec[];
}

/** The statements of a WebAssembly function; values come from `i32`, `f32`, `v128`, `f32x4` and `i32x4`. */
export type WasmBody = Pick<
  FunctionBuilder,
  | ("local" | "name" | "set" | "store" | "store8" | "store16" | "store32Lane" | "store64Lane")
  | ("copyBytes" | "fillBytes" | "if" | "while" | "doWhile" | "for")
>;

/** What a kernel in WebAssembly finds: addresses are of contiguous, row-major tensors, at least 16-byte aligned. */
export interface WasmContext {
  /** The first unit that is to be computed, an i32. */
  readonly begin: Value;
  /** The first that is not, an i32. */
  readonly end: Value;
  /** Address of the n-th input. */
  input(index: number): Value;
  /** Address of the n-th output. */
  output(index: number): Value;
  /** Address of the n-th scratch tensor. */
  scratch(index: number): Value;
  /** Address of `threadBytes` bytes that this thread has to itself, 64-byte aligned. */
  readonly threadMemory: Value;
  /** x·y + z of four f32 lanes: rounded once where the engine has relaxed SIMD, else twice. */
  multiplyAdd(x: Value, y: Value, z: Value): Value;
}

/** A kernel in WebAssembly: units of work that do not depend on each other, shared out among threads. */
export interface WasmKernel {
  readonly units: number;
  /** Bytes of memory for each thread; default 0. */
  readonly threadBytes?: number;
  /** Writes the code of units `begin` up to but not including `end`; begin < end. */
  emit(f: WasmBody, context: WasmContext): void;
  /** Shown by HICO_DEBUG and in errors, after the op's name. */
  readonly name?: string;
}

/** Kernels in WebAssembly: all units of one are done before the next begins. */
export interface WasmKernels {
  readonly kernels: readonly WasmKernel[];
  /** Tensors that the kernels share; undefined contents at the start. */
  readonly scratch?: readonly ValueSpec[];
}

/** An op of one's own: `A` are its attributes, plain JSON. */
export interface FusedOpDefinition<A extends object, O extends Tensor | readonly Tensor[]> {
  /** Names it in errors and HICO_DEBUG. */
  readonly name: string;
  /**
   * The meaning: outputs out of inputs by ordinary operations. It is also asked with inputs that have no values yet, so
   * shapes of outputs follow from shapes, and nothing is read in it.
   */
  decompose(inputs: readonly Tensor[], attrs: A): O;
  /**
   * Cotangents of the inputs from those of the outputs (zeros where nothing depends on an output): for every floating
   * input a tensor of its shape and dtype, or `undefined` where no gradient flows. Without it, the gradient is that of
   * `decompose`.
   */
  vjp?(
    cotangents: readonly Tensor[],
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    attrs: A,
  ): readonly (Tensor | undefined)[];
  /** Kernels for WebGPU, asked where all inputs are f32; `undefined` where `decompose` is to run. */
  wgsl?(inputs: readonly ValueSpec[], attrs: A, adapter: AdapterProfile): WgslKernel | WgslKernels | undefined;
  /** Kernels for the `cpu` device, asked where all inputs are f32; `undefined` where `decompose` is to run. */
  wasm?(inputs: readonly ValueSpec[], attrs: A): WasmKernel | WasmKernels | undefined;
  /** Floating-point operations, a multiply-add as two: what `counters` and `summary` count. */
  flops?(inputs: readonly ValueSpec[], attrs: A): number;
}

/** What `defineFusedOp` makes: a function of input tensors, and of attributes where the op has some. */
export type FusedFunction<A extends object, O extends Tensor | readonly Tensor[]> = (
  inputs: readonly Tensor[],
  ...attrs: object extends A ? [attrs?: A] : [attrs: A]
) => O;

/** Shapes of outputs that are remembered for an op. */
const REMEMBERED = 256;

/** Names that are taken: plans and kernels are known by them. */
const taken = new Map<string, number>();

/**
 * An operation with kernels of its own: a function of input tensors, and of attributes where it has some, that gives
 * what `decompose` gives, and may be used wherever an operation may (in `compile`, under gradients, in modules).
 *
 * Kernels run in float32 on contiguous operands; where there is none for the device or the dtype, or it declines by
 * `undefined`, `decompose` runs in its place. `checkKernel` of `hico-webgpu/testing` holds one to the other.
 *
 * Source: torch.library.custom_op, jax.pure_callback with a custom_vjp; its kernels are part of the plan like the
 * engine's own.
 *
 * @throws TypeError here where a part is missing or no function; Error at the call where an input is no tensor,
 * attributes are not plain JSON, or `decompose` gives no tensors or uses what it was not given and has a gradient; where
 * it first runs, if a kernel asks for what the adapter has not.
 */
export function defineFusedOp<A extends object, O extends Tensor | readonly Tensor[]>(
  definition: FusedOpDefinition<A, O>,
): FusedFunction<A, O> {
  const { name } = definition;
  if (typeof name !== "string" || !/^[A-Za-z][\w.-]*$/.test(name))
    throw new TypeError(`defineFusedOp: name must be letters, digits, "_", "." and "-", not ${describeValue(name)}`);
  for (const part of ["decompose", "vjp", "wgsl", "wasm", "flops"] as const) {
    const given: unknown = definition[part];
    if (typeof given === "function" || (given === undefined && part !== "decompose")) continue;
    throw new TypeError(`defineFusedOp of ${name}: ${part} must be a function, not ${describeValue(given)}`);
  }
  const op = fusedOp(definition);
  return (inputs, ...[given]) => {
    if (!Array.isArray(inputs) || inputs.length === 0)
      throw new TypeError(`${name}: inputs must be an array of tensors, not ${describeValue(inputs)}`);
    inputs.forEach((x, i) => requireTensor(name, `input ${i}`, x));
    const attrs = plain(name, given ?? {}) as A;
    const { single } = op.shapes(inputs, attrs);
    const nodes = build.fused(
      op,
      inputs.map((x) => x.node),
      attrs,
    );
    const outputs = nodes.map((node) => new Tensor(node));
    return (single ? outputs[0] : outputs) as O;
  };
}

interface Shapes {
  readonly specs: ValueSpec[];
  /** Whether `decompose` gives one tensor rather than an array. */
  readonly single: boolean;
}

function fusedOp<A extends object, O extends Tensor | readonly Tensor[]>(
  own: FusedOpDefinition<A, O>,
): FusedOp<A> & { shapes(inputs: readonly ValueSpec[], attrs: A): Shapes } {
  const { name, wgsl, wasm, vjp } = own;
  const times = (taken.get(name) ?? 0) + 1;
  taken.set(name, times);
  const known = new Map<string, Shapes>();
  const shapes = (inputs: readonly ValueSpec[], attrs: A): Shapes => {
    const key = JSON.stringify([inputs.map(({ shape, dtype }) => [dtype, shape]), attrs]);
    const found = known.get(key);
    if (found !== undefined) return found;
    const places = inputs.map((spec) => new Tensor(placeholder(spec)));
    const given: unknown = own.decompose(places, attrs);
    const outputs: readonly unknown[] = Array.isArray(given) ? given : [given];
    if (outputs.length === 0) throw new Error(`${name}: decompose must give at least one tensor`);
    outputs.forEach((y, i) => requireTensor(name, Array.isArray(given) ? `result ${i}` : "the result of decompose", y));
    const tensors = outputs as readonly Tensor[];
    refuseCaptured(name, tensors, places);
    if (known.size >= REMEMBERED) known.clear();
    const made = { specs: tensors.map(valueSpec), single: !Array.isArray(given) };
    known.set(key, made);
    return made;
  };
  return {
    name: times === 1 ? `own.${name}` : `own.${name}.${times}`,
    kernels: {
      flops: own.flops?.bind(own),
      webgpu:
        wgsl &&
        ((inputs: readonly ValueSpec[], attrs: A, adapter: AdapterProfile) =>
          loweringToWgsl(name, wgsl.call(own, inputs, attrs, adapter), inputs, shapes(inputs, attrs).specs, adapter)),
      cpu:
        wasm &&
        ((inputs: readonly ValueSpec[], attrs: A) =>
          loweringToWasm(name, wasm.call(own, inputs, attrs), inputs.length, shapes(inputs, attrs).specs.length)),
    },
    shapes,
    outputs: (inputs, attrs) => shapes(inputs, attrs).specs,
    decompose: (inputs, attrs) => [own.decompose(inputs, attrs)].flat() as Tensor[],
    vjp:
      vjp &&
      ((inputs, outputs, cotangents, attrs) => {
        const given = outputs.map((y, i) => cotangents[i] ?? zeros(y.shape, isFloat(y.dtype) ? y.dtype : "f32"));
        return cotangentsOf(name, vjp.call(own, given, inputs, outputs, attrs), inputs);
      }),
  };
}

/** A copy that nobody changes. @throws Error where it is not plain JSON: attributes are part of a plan's key */
function plain(name: string, attrs: object): object {
  const strange = isPlain(attrs) ? strangeIn(attrs, "") : ["attributes", attrs];
  if (strange)
    throw new Error(
      `${name}: attributes must be plain JSON (finite numbers, strings, booleans, arrays, objects); ` +
        `${String(strange[0])} is ${describeValue(strange[1])}`,
    );
  return JSON.parse(JSON.stringify(attrs)) as object;
}

const isPlain = (value: object): boolean =>
  [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);

/** The place of a value that JSON would leave out, or write as another, and the value. */
function strangeIn(container: object, place: string): [place: string, value: unknown] | undefined {
  for (const [key, value] of Object.entries(container) as [string, unknown][]) {
    const at = Array.isArray(container) ? `${place}[${key}]` : place === "" ? key : `${place}.${key}`;
    if (value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)) continue;
    if (typeof value !== "object" || !(Array.isArray(value) || isPlain(value))) return [at, value];
    const inner = strangeIn(value, at);
    if (inner) return inner;
  }
  return undefined;
}

function loweringToWgsl(
  name: string,
  given: WgslKernel | WgslKernels | undefined,
  inputs: readonly ValueSpec[],
  outputs: readonly ValueSpec[],
  adapter: AdapterProfile,
): Lowering | undefined {
  if (given === undefined) return undefined;
  const { kernels, scratch = [] }: WgslKernels = "kernels" in given ? given : { kernels: [given] };
  const counts = { in: inputs.length, out: outputs.length, scratch: scratch.length };
  const usual: readonly Binding[] = [
    ...inputs.map((_, index) => ({ role: "in", index, access: "read" }) as const),
    ...outputs.map((_, index) => ({ role: "out", index, access: "read_write" }) as const),
  ];
  const sources = kernels.map((kernel, i): KernelSource => {
    const title = titleOf(name, kernels, i);
    const { code: wgsl, bindings = usual } = kernel;
    if (typeof wgsl !== "string" || !/@compute/.test(wgsl))
      throw new TypeError(
        `${title}: code must be WGSL with an entry point @compute … fn main, not ${describeValue(wgsl)}`,
      );
    const [x, y = 1, z = 1] = typeof kernel.workgroups === "number" ? [kernel.workgroups] : kernel.workgroups;
    for (const count of [x, y, z])
      if (!Number.isInteger(count) || count < 1 || count > MAX_WORKGROUPS)
        throw new RangeError(
          `${title}: workgroups are ${[x, y, z].join(" × ")}; each must be a whole number from 1 to ${MAX_WORKGROUPS}: ` +
            "share them out along x and y, or compute more elements in each",
        );
    for (const { role, index } of bindings)
      if (!Number.isInteger(index) || index < 0 || index >= (counts[role] ?? 0))
        throw new RangeError(`${title}: there is no ${role} ${index} to bind; the op has ${counts[role] ?? 0} of them`);
    if (bindings.length > adapter.maxStorageBuffers)
      throw new RangeError(
        `${title}: ${bindings.length} storage buffers; the adapter takes ${adapter.maxStorageBuffers}. Give undefined ` +
          "where adapter.maxStorageBuffers is too small, and decompose runs",
      );
    return { name: title, wgsl, bindings, workgroups: [x, y, z] };
  });
  requireWritten(
    name,
    outputs.length,
    sources.flatMap(({ bindings }) => bindings.flatMap(({ role, index }) => (role === "out" ? [index] : []))),
  );
  return { kernels: sources, scratch };
}

function loweringToWasm(
  name: string,
  given: WasmKernel | WasmKernels | undefined,
  inputs: number,
  outputs: number,
): WasmLowering | undefined {
  if (given === undefined) return undefined;
  const { kernels, scratch = [] }: WasmKernels = "kernels" in given ? given : { kernels: [given] };
  return {
    scratch,
    kernels: kernels.map((kernel, i) => {
      const title = titleOf(name, kernels, i);
      const { units, threadBytes = 0 } = kernel;
      if (!Number.isInteger(units) || units < 1)
        throw new RangeError(`${title}: units are ${describeValue(units)}; they must be a whole number above 0`);
      if (!Number.isInteger(threadBytes) || threadBytes < 0)
        throw new RangeError(`${title}: threadBytes are ${describeValue(threadBytes)}; they must be a whole number`);
      return {
        ...{ name: title, units, threadBytes },
        emit: (f, context) => {
          const among =
            (what: string, count: number, at: (index: number) => Value) =>
            (index: number): Value => {
              if (Number.isInteger(index) && index >= 0 && index < count) return at(index);
              throw new RangeError(`${title}: there is no ${what} ${index}; the op has ${count} of them`);
            };
          kernel.emit(f, {
            ...{ begin: context.begin, end: context.end, threadMemory: context.threadMemory },
            input: among("input", inputs, (n) => context.input(n)),
            output: among("output", outputs, (n) => context.output(n)),
            scratch: among("scratch", scratch.length, (n) => context.scratch(n)),
            multiplyAdd: (x, y, z) => multiplyAdd(context.features, x, y, z),
          });
        },
      };
    }),
  };
}

/** How errors and HICO_DEBUG call the i-th of an op's kernels. */
function titleOf(name: string, kernels: readonly { readonly name?: string }[], i: number): string {
  const own = kernels[i].name ?? "";
  return own !== "" ? `${name}.${own}` : kernels.length > 1 ? `${name}.${i}` : name;
}

/** @throws Error where an output is bound by no kernel: its elements would be whatever lay there */
function requireWritten(name: string, outputs: number, written: readonly number[]): void {
  for (let index = 0; index < outputs; index++)
    if (!written.includes(index))
      throw new Error(`${name}: no kernel binds output ${index}, so that nothing writes it`);
}
