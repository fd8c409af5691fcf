/**
 * TensorFlow.js as the suite sees it: `@tensorflow/tfjs-core` with a backend, or `@tensorflow/tfjs`, of the user's
 * project. Gradients are `valueAndGrads`.
 */
import { builtin } from "../../../io/builtin.ts";
import type { EngineAdapter, PlainArray, PlainDType } from "../protocol.ts";
import { tableEngine } from "../table-engine.ts";
import { addressOf, has, projectRequire, resolvePeer, versionOf } from "./peer.ts";
import type { Resolver } from "./peer.ts";

interface TfTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<ArrayLike<number>>;
}
type Fn = (...operands: TfTensor[]) => TfTensor;
interface Tf extends Readonly<Record<(typeof SAME)[number], Fn>> {
  setBackend(name: string): Promise<boolean>;
  engine(): { startScope(): void; endScope(): void; readonly registryFactory: object };
  getGradient(kernel: string): unknown;
  tensor(data: ArrayLike<number>, shape: readonly number[], dtype: string): TfTensor;
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
  return tableEngine<TfTensor>({
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
    begin() {
      tf.engine().startScope();
      return () => tf.engine().endScope();
    },
  });
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
 * Gradients lie apart from the core: `@tensorflow/tfjs` brings them, and a bundler finds `register_all_gradients.js`. Node
 * does not by itself, for the file is an ES module whose package does not say so, and its imports leave out extensions.
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
    await import(addressOf(require.resolve(`${CORE}/dist/register_all_gradients.js`)));
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

function operationsOf(tf: Tf) {
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
  return Object.fromEntries(
    Object.entries(elementwise).map(([name, f]) => [name, (_: unknown, ...operands: TfTensor[]) => f(...operands)]),
  );
}
