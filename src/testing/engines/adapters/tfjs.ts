/**
 * TensorFlow.js as the suite sees it: `@tensorflow/tfjs-core` with a backend, or `@tensorflow/tfjs`, of the user's
 * project. Gradients are `valueAndGrads`.
 */
import { builtin } from "../../../io/builtin.ts";
import type { EngineAdapter, EngineAttributes, PlainArray, PlainDType } from "../protocol.ts";
import type { EngineTable } from "../table-engine.ts";
import { ofOperands, rangesOf, tableEngine } from "../table-engine.ts";
import { addressOf, has, projectRequire, resolvePeer, versionOf } from "./peer.ts";
import type { Resolver } from "./peer.ts";

interface TfTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<ArrayLike<number>>;
}
interface TfVariable extends TfTensor {
  assign(value: TfTensor): void;
}
type Fn = (...operands: TfTensor[]) => TfTensor;
interface Tf extends Readonly<Record<(typeof SAME)[number], Fn>> {
  setBackend(name: string): Promise<boolean>;
  engine(): {
    startScope(): void;
    endScope(): void;
    readonly registryFactory: object;
    readonly registry: Record<string, unknown>;
    disposeVariables(): void;
  };
  getGradient(kernel: string): unknown;
  tensor(data: ArrayLike<number>, shape: readonly number[], dtype: string): TfTensor;
  variable(initial: TfTensor): TfVariable;
  valueAndGrads(f: Fn): (args: TfTensor[], dy?: TfTensor) => { value: TfTensor; grads: TfTensor[] };
  notEqual: Fn;
  equal: Fn;
  less: Fn;
  lessEqual: Fn;
  greater: Fn;
  greaterEqual: Fn;
  leakyRelu(x: TfTensor, alpha: number): TfTensor;
  sum(x: TfTensor): TfTensor;
}

/** Operations that have the suite's names here too. */
const SAME = [
  ...["add", "sub", "mul", "div", "pow", "maximum", "minimum", "atan2"],
  ...["neg", "abs", "sign", "square", "reciprocal", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p"],
  ...["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"],
  ...["erf", "sigmoid", "softplus", "logSigmoid", "relu", "relu6", "elu", "selu"],
  ...["floor", "ceil", "round", "isNaN", "isFinite"],
] as const;

const DTYPES: Readonly<Record<PlainDType, string>> = { f32: "float32", i32: "int32", bool: "bool" };
const CORE = "@tensorflow/tfjs-core";
const WHOLE = "@tensorflow/tfjs";
const WASM = "@tensorflow/tfjs-backend-wasm";
/** Packages that bring a backend by being loaded. */
const PACKAGES: Readonly<Record<string, string>> = { wasm: WASM, cpu: "@tensorflow/tfjs-backend-cpu" };

/** TensorFlow.js of the user's project on one of its backends. */
export async function tfjsEngine(backend?: string): Promise<EngineAdapter> {
  const require = projectRequire();
  const name = has(require, WHOLE) ? WHOLE : CORE;
  if (name === CORE) resolvePeer(require, "tfjs", [CORE, WASM]);
  const tf = require(name) as Tf;
  await loadGradients(require, tf);
  const where = backend ?? (has(require, WASM) ? "wasm" : "cpu");
  await start(require, tf, where);
  const engine = tableEngine<TfTensor>({
    name: `${name} (${where})`,
    version: versionOf(require, name),
    operations: operationsOf(tf),
    array: ({ data, shape, dtype }) =>
      tf.tensor({ f32: Float32Array, i32: Int32Array, bool: Uint8Array }[dtype].from(data), [...shape], DTYPES[dtype]),
    async read(arrays) {
      const read: PlainArray[] = [];
      for (const array of arrays) {
        const dtype = (Object.keys(DTYPES) as PlainDType[]).find((key) => DTYPES[key] === array.dtype) ?? "f32";
        read.push({ shape: [...array.shape], dtype, data: Array.from(await array.data(), Number) });
      }
      return read;
    },
    vjp(f, inputs, cotangents) {
      if (cotangents.length === 1) {
        const { value, grads } = tf.valueAndGrads((...all) => f(all)[0])([...inputs], cotangents[0]);
        return { outputs: [value], gradients: grads };
      }
      const total: Fn = (...all) =>
        f(all)
          .map((output, n) => tf.sum(tf.mul(output, cotangents[n])))
          .reduce((a, b) => tf.add(a, b));
      return { outputs: f(inputs), gradients: tf.valueAndGrads(total)([...inputs]).grads };
    },
    variables: {
      make: (initial) => tf.variable(initial),
      assign: (variable, value) => (variable as TfVariable).assign(value),
    },
    begin() {
      tf.engine().startScope();
      return () => {
        tf.engine().endScope();
        tf.engine().disposeVariables();
      };
    },
  });
  return {
    ...engine,
    run: (request) =>
      engine.run(request).catch(async (error: unknown) => {
        // What has left the backend's memory may have written over it: answers that follow must not suffer from that.
        if (error instanceof WebAssembly.RuntimeError) {
          delete tf.engine().registry[where];
          await tf.setBackend(where);
        }
        throw error;
      }),
  };
}

async function start(require: Resolver, tf: Tf, backend: string): Promise<void> {
  const peer = PACKAGES[backend];
  if (peer && !(backend in tf.engine().registryFactory)) {
    resolvePeer(require, "tfjs", [peer]);
    const loaded = require(peer) as { setWasmPaths?(folder: string): void };
    const { dirname, sep } = builtin<{ dirname(path: string): string; sep: string }>("node:path", "check-engine");
    loaded.setWasmPaths?.(dirname(require.resolve(peer)) + sep);
  }
  const known = Object.keys(tf.engine().registryFactory);
  if (!known.includes(backend)) throw new Error(`tfjs has no backend ${backend} here; there is ${known.join(", ")}`);
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs does not start its backend ${backend}`);
}

/**
 * Gradients, and the methods of tensors that some of them call, lie apart from the core: `@tensorflow/tfjs` brings them,
 * and a bundler finds their files. Node does not by itself, for these are ES modules whose package does not say so, and
 * their imports leave out extensions.
 */
async function loadGradients(require: Resolver, tf: Tf): Promise<void> {
  if (tf.getGradient("Exp")) return;
  type Hooks = Readonly<Record<"resolve" | "load", unknown>>;
  const { register, registerHooks } = builtin<{
    register(specifier: string): void;
    registerHooks?(hooks: Hooks): { deregister(): void };
  }>("node:module", "check-engine");
  const hooks = `data:text/javascript,${encodeURIComponent(HOOKS)}`;
  let end: (() => void) | undefined;
  if (registerHooks) {
    const set = registerHooks((await import(hooks)) as Hooks);
    end = () => set.deregister();
  } else register(hooks);
  try {
    for (const file of ["register_all_gradients.js", "public/chained_ops/register_all_chained_ops.js"])
      await import(addressOf(require.resolve(`${CORE}/dist/${file}`)));
  } finally {
    end?.();
  }
  if (!tf.getGradient("Exp")) throw new Error(`${CORE} did not register its gradients; npm i -D ${WHOLE} brings them`);
}

/** How Node is to read the core's ES modules. */
const HOOKS = `
const within = (url) => /tfjs-core\\/dist\\/(?!.*\\.node\\.js)/.test(url ?? "");
export const resolve = (name, context, next) =>
  next(/^\\.{1,2}\\/(?!.*\\.js$)/.test(name) && within(context.parentURL) ? name + ".js" : name, context);
export const load = (url, context, next) => next(url, within(url) ? { ...context, format: "module" } : context);
`;

/** Operations by the suite's names. */
function operationsOf(tf: Tf): EngineTable<TfTensor>["operations"] {
  const elementwise: Readonly<Record<string, Fn>> = {
    ...Object.fromEntries(SAME.map((name) => [name, tf[name]])),
    eq: tf.equal,
    ne: tf.notEqual,
    lt: tf.less,
    le: tf.lessEqual,
    gt: tf.greater,
    ge: tf.greaterEqual,
    leakyRelu: (x) => tf.leakyRelu(x, 0.125),
  };
  return { ...arraysOf(tf as unknown as Library), ...ofOperands(elementwise) };
}

/** Functions that take an array or several, then options. */
type Library = Readonly<Record<string, (...given: unknown[]) => TfTensor>>;

/** Operations on whole arrays; images have their channels last. */
function arraysOf(tf: Library): EngineTable<TfTensor>["operations"] {
  const over =
    (name: string) =>
    ({ axes, keepDims }: EngineAttributes, x: TfTensor): TfTensor =>
      tf[name](x, axes, Boolean(keepDims));
  const strided = (attributes: EngineAttributes, x: TfTensor): TfTensor =>
    tf.stridedSlice(x, attributes.begin, attributes.end, attributes.step);
  return {
    ...Object.fromEntries(["sum", "mean", "prod", "max", "min"].map((name) => [name, over(name)])),
    variance: ({ axes, keepDims }, x) =>
      (tf.moments(x, axes, Boolean(keepDims)) as unknown as { variance: TfTensor }).variance,
    argmax: ({ axis }, x) => tf.argMax(x, axis),
    argmin: ({ axis }, x) => tf.argMin(x, axis),
    logSumExp: ({ axis, keepDims }, x) => tf.logSumExp(x, axis, Boolean(keepDims)),
    softmax: ({ axis }, x) => tf.softmax(x, axis),
    logSoftmax: ({ axis }, x) => tf.logSoftmax(x, axis),
    cumsum: ({ axis }, x) => tf.cumsum(x, axis),
    cumprod: ({ axis }, x) => tf.cumprod(x, axis),
    matmul: (_, x, y) => tf.matMul(x, y),
    reshape: ({ shape }, x) => tf.reshape(x, shape),
    permute: ({ order }, x) => tf.transpose(x, order),
    slice: (attributes, x) => {
      const ranges = rangesOf(attributes);
      return tf.slice(
        x,
        ranges.map(([begin]) => begin),
        ranges.map(([begin, end]) => end - begin),
      );
    },
    sliceBySteps: strided,
    sliceBackwards: strided,
    concat: ({ axis }, ...list) => tf.concat(list, axis),
    stack: ({ axis }, ...list) => tf.stack(list, axis),
    pad: ({ widths }, x) => tf.pad(x, widths),
    expand: ({ shape }, x) => tf.broadcastTo(x, shape),
    flip: ({ axes }, x) => tf.reverse(x, axes),
    take: ({ axis }, x, index) => tf.gather(x, index, axis),
    where: (_, condition, x, y) => tf.where(condition, x, y),
    conv2dChannelsLast: ({ stride, padding, dilation }, x, weight) => {
      const [rows, columns] = padding as number[];
      const widths = [
        [0, 0],
        [rows, rows],
        [columns, columns],
        [0, 0],
      ];
      return tf.conv2d(x, weight, stride, widths, "NHWC", dilation);
    },
    conv1dChannelsLast: ({ stride, padding, dilation }, x, weight) => {
      const [step, width, apart] = [stride, padding, dilation].map((list) => (list as number[])[0]);
      // A number would be taken for both axes of the image that the signal is made into.
      const widths = [
        [0, 0],
        [0, 0],
        [width, width],
        [0, 0],
      ];
      return tf.conv1d(x, weight, step, widths, "NWC", apart);
    },
    convTranspose2dChannelsLast: ({ stride, padding }, x, weight) => {
      const [steps, widths] = [stride as number[], padding as number[]];
      const size = widths.map((width, d) => (x.shape[1 + d] - 1) * steps[d] - 2 * width + weight.shape[d]);
      const shape = [x.shape[0], ...size, weight.shape[2]];
      return tf.conv2dTranspose(x, weight, shape, steps, [[0, 0], ...widths.map((width) => [width, width]), [0, 0]]);
    },
    batchNormChannelsLast: (_, x, mean, variance, weight, bias) => tf.batchNorm(x, mean, variance, bias, weight, 1e-5),
    maxPool2dChannelsLast: ({ size, stride }, x) => tf.maxPool(x, size, stride, "valid"),
    avgPool2dChannelsLast: ({ size, stride }, x) => tf.avgPool(x, size, stride, "valid"),
  };
}
