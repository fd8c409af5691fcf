/**
 * jax-js (`@jax-js/jax`) as the suite sees it. It counts references: a function uses its arguments up, and `x.ref` is one
 * more use of `x`.
 */
import type { EngineAdapter, EngineAttributes, PlainArray, PlainDType } from "../protocol.ts";
import type { EngineTable } from "../table-engine.ts";
import { ofOperands, rangesOf, tableEngine } from "../table-engine.ts";
import { addressOf, projectRequire, resolvePeer, versionOf } from "./peer.ts";

interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<ArrayLike<number>>;
  astype(dtype: string): JaxArray;
  slice(...ranges: readonly (readonly [number, number])[]): JaxArray;
}
type Fn = (...operands: JaxArray[]) => JaxArray;
/** Functions that take an array or several, then options. */
type Library = Readonly<Record<string, (...given: unknown[]) => JaxArray>>;
interface Jax {
  init(device: string): Promise<readonly string[]>;
  defaultDevice(device: string): string;
  jit(f: (...all: JaxArray[]) => readonly JaxArray[]): (...all: JaxArray[]) => readonly JaxArray[];
  vjp(
    f: (...all: JaxArray[]) => readonly JaxArray[],
    primals: readonly JaxArray[],
  ): [readonly JaxArray[], (cotangents: readonly JaxArray[]) => readonly JaxArray[]];
  readonly numpy: Library;
  readonly nn: Library;
  readonly lax: Library;
}

const DTYPES: Readonly<Record<PlainDType, string>> = { f32: "float32", i32: "int32", bool: "bool" };

/** jax-js of the user's project on one of its backends. */
export async function jaxJsEngine(backend = "wasm"): Promise<EngineAdapter> {
  const require = projectRequire();
  const name = "@jax-js/jax";
  resolvePeer(require, "jax-js", [name]);
  const specifier = addressOf(require.resolve(name));
  const jax = (await import(specifier)) as Jax;
  const found = await jax.init(backend);
  if (!found.includes(backend)) throw new Error(`jax-js has no backend ${backend} here; there is ${found.join(", ")}`);
  jax.defaultDevice(backend);
  return tableEngine<JaxArray>({
    name: `${name} (${backend})`,
    version: versionOf(require, name),
    operations: operationsOf(jax),
    array: ({ data, shape, dtype }: PlainArray) =>
      jax.numpy
        .array(dtype === "f32" ? Float32Array.from(data) : Int32Array.from(data), {
          shape: [...shape],
          dtype: dtype === "f32" ? "float32" : "int32",
          device: backend,
        })
        .astype(DTYPES[dtype]),
    async read(arrays) {
      const read: PlainArray[] = [];
      for (const array of arrays) {
        const { shape, dtype } = array;
        const plain = (Object.keys(DTYPES) as PlainDType[]).find((key) => DTYPES[key] === dtype) ?? "f32";
        read.push({ shape: [...shape], dtype: plain, data: Array.from(await array.data(), Number) });
      }
      return read;
    },
    use: (array) => array.ref,
    vjp(f, inputs, cotangents) {
      const [outputs, pull] = jax.vjp((...all) => f(all), inputs);
      return { outputs, gradients: pull(cotangents) };
    },
    compile: (f) => {
      const compiled = jax.jit((...all) => f(all));
      return (all) => compiled(...all);
    },
  });
}

/** Operations by the suite's names. */
function operationsOf({ numpy: np, nn, lax }: Jax): EngineTable<JaxArray>["operations"] {
  const elementwise: Readonly<Record<string, Fn>> = {
    add: np.add,
    sub: np.subtract,
    mul: np.multiply,
    div: np.divide,
    pow: np.power,
    maximum: np.maximum,
    minimum: np.minimum,
    logAddExp: np.logaddexp,
    atan2: np.atan2,
    hypot: np.hypot,
    eq: np.equal,
    ne: np.notEqual,
    lt: np.less,
    le: np.lessEqual,
    gt: np.greater,
    ge: np.greaterEqual,
    neg: np.negative,
    abs: np.abs,
    sign: np.sign,
    square: np.square,
    reciprocal: np.reciprocal,
    sqrt: np.sqrt,
    exp: np.exp,
    expm1: np.expm1,
    log: np.log,
    log1p: np.log1p,
    exp2: np.exp2,
    log2: np.log2,
    log10: np.log10,
    sin: np.sin,
    cos: np.cos,
    tan: np.tan,
    asin: np.asin,
    acos: np.acos,
    atan: np.atan,
    sinh: np.sinh,
    cosh: np.cosh,
    tanh: np.tanh,
    asinh: np.asinh,
    acosh: np.acosh,
    atanh: np.atanh,
    erf: lax.erf,
    sigmoid: nn.sigmoid,
    softplus: nn.softplus,
    logSigmoid: nn.logSigmoid,
    relu: nn.relu,
    relu6: nn.relu6,
    leakyRelu: (x) => nn.leakyRelu(x, 0.125),
    elu: (x) => nn.elu(x),
    selu: nn.selu,
    silu: nn.silu,
    gelu: (x) => nn.gelu(x, { approximate: false }),
    geluTanh: (x) => nn.gelu(x, { approximate: true }),
    mish: nn.mish,
    floor: np.floor,
    ceil: np.ceil,
    trunc: np.trunc,
    round: (x) => np.round(x),
    isNaN: np.isnan,
    isFinite: np.isfinite,
  };
  const arrays: EngineTable<JaxArray>["operations"] = {
    ...reductionsOf(np),
    argmax: ({ axis }, x) => np.argmax(x, axis),
    argmin: ({ axis }, x) => np.argmin(x, axis),
    logSumExp: ({ axis, keepDims }, x) => nn.logsumexp(x, axis, { keepdims: Boolean(keepDims) }),
    softmax: ({ axis }, x) => nn.softmax(x, axis),
    logSoftmax: ({ axis }, x) => nn.logSoftmax(x, axis),
    cumsum: ({ axis }, x) => np.cumsum(x, axis),
    cumprod: ({ axis }, x) => np.cumprod(x, axis),
    layerNorm: (_, x) => nn.standardize(x, -1, { epsilon: 1e-5 }),
    matmul: (_, x, y) => np.matmul(x, y),
    matmulOfVectors: (_, x, y) => np.matmul(x, y),
    reshape: ({ shape }, x) => np.reshape(x, shape),
    permute: ({ order }, x) => np.transpose(x, order),
    slice: (attributes, x) => x.slice(...rangesOf(attributes)),
    concat: ({ axis }, ...list) => np.concatenate(list, axis),
    stack: ({ axis }, ...list) => np.stack(list, axis),
    pad: ({ widths }, x) => np.pad(x, widths),
    expand: ({ shape }, x) => np.broadcastTo(x, shape),
    flip: ({ axes }, x) => np.flip(x, axes),
    take: ({ axis }, x, index) => np.take(x, index, axis),
    gather: ({ axis }, x, index) => np.takeAlongAxis(x, index, axis),
    where: (_, condition, x, y) => np.where(condition, x, y),
    conv2d: convolution,
    conv2dOfGroups: convolution,
    conv1d: convolution,
    conv1dOfGroups: convolution,
    convTranspose1d: spread,
    convTranspose2d: spread,
    maxPool2d: ({ size, stride }, x) => lax.reduceWindow(x, (window: JaxArray) => np.max(window), size, stride),
    avgPool2d: ({ size, stride }, x) => lax.reduceWindow(x, (window: JaxArray) => np.mean(window), size, stride),
  };
  return { ...arrays, ...ofOperands(elementwise) };

  function spread({ stride, padding, dilation }: EngineAttributes, x: JaxArray, weight: JaxArray): JaxArray {
    const pairs = (padding as number[]).map((width) => [width, width]);
    return lax.convTranspose(x, weight, stride, pairs, { rhsDilation: dilation, transposeKernel: true });
  }

  function convolution(
    { stride, padding, dilation, groups = 1 }: EngineAttributes,
    x: JaxArray,
    weight: JaxArray,
  ): JaxArray {
    const pairs = (padding as number[]).map((width) => [width, width]);
    return lax.convGeneralDilated(x, weight, stride, pairs, { rhsDilation: dilation, featureGroupCount: groups });
  }
}

/** Reductions that take axes, all by default, and options. */
function reductionsOf(np: Library): EngineTable<JaxArray>["operations"] {
  const over =
    (name: string) =>
    ({ axes, keepDims }: EngineAttributes, x: JaxArray): JaxArray =>
      np[name](x, axes ?? null, { keepdims: Boolean(keepDims) });
  return {
    ...Object.fromEntries(["sum", "mean", "prod", "max", "min"].map((name) => [name, over(name)])),
    variance: over("var_"),
  };
}
