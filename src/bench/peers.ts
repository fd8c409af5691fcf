/** The same product by other libraries, where a project has them: `@jax-js/jax` and TensorFlow.js, on WebAssembly. */
import type { BenchCase } from "./cases.ts";
import { productSize } from "./cases.ts";
import type { BenchResult, Sampling } from "./measure.ts";
import { measured, timeOf } from "./measure.ts";

/** What is used of jax-js; an array is used up by a call, `ref` is one more use. */
interface JaxArray {
  readonly ref: JaxArray;
  dispose(): void;
}
interface Jax {
  init(device: string): Promise<readonly string[]>;
  jit(f: (a: JaxArray, b: JaxArray) => JaxArray): (a: JaxArray, b: JaxArray) => JaxArray;
  blockUntilReady(x: JaxArray): Promise<unknown>;
  readonly numpy: {
    array(data: Float32Array, options: { shape: readonly number[]; device: string }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
}
interface TfTensor {
  dispose(): void;
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  tensor2d(data: Float32Array, shape: readonly number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
}
interface TfWasm {
  setWasmPaths(folder: string): void;
}

/** One product of square matrices, and what waits until all products are done. */
interface Product {
  readonly run: () => Promise<void>;
}

/** A library that may not be installed. */
const importPeer = <Module>(specifier: string): Promise<Module> => import(specifier) as Promise<Module>;

async function jax(data: Float32Array, size: number): Promise<Product> {
  const { init, jit, numpy, blockUntilReady } = await importPeer<Jax>("@jax-js/jax");
  await init("wasm");
  const options = { shape: [size, size], device: "wasm" };
  const [a, b] = [numpy.array(data, options), numpy.array(data, options)];
  const product = jit((x, y) => numpy.matmul(x, y));
  return {
    run: async () => {
      const result = product(a.ref, b.ref);
      await blockUntilReady(result);
      result.dispose();
    },
  };
}

async function tensorflow(data: Float32Array, size: number): Promise<Product> {
  const tf = await importPeer<Tf>("@tensorflow/tfjs-core");
  const backend = "@tensorflow/tfjs-backend-wasm";
  const { setWasmPaths } = await importPeer<TfWasm>(backend);
  const { dirname, sep } = await import("node:path");
  const { fileURLToPath } = await import("node:url");
  setWasmPaths(dirname(fileURLToPath(import.meta.resolve(backend))) + sep);
  if (!(await tf.setBackend("wasm"))) throw new Error("its wasm backend does not start");
  const [a, b] = [tf.tensor2d(data, [size, size]), tf.tensor2d(data, [size, size])];
  return { run: async () => tf.matMul(a, b).dispose() };
}

const PEERS = { "@jax-js/jax (wasm)": jax, "TensorFlow.js (wasm)": tensorflow } as const;

/** The product's case by each library that is installed and starts; `say` hears why another is left out. */
export async function benchPeers(
  one: BenchCase,
  quick: boolean,
  sampling: Sampling,
  say: (text: string) => void,
): Promise<BenchResult[]> {
  const size = productSize(quick);
  const data = Float32Array.from({ length: size * size }, (_, i) => Math.sin(i));
  const work = { flops: 2 * size ** 3, bytes: 12 * size * size };
  const found: BenchResult[] = [];
  for (const [name, prepare] of Object.entries(PEERS)) {
    try {
      const { run } = await prepare(data, size);
      const milliseconds = await timeOf(run, () => Promise.resolve(), sampling);
      found.push({ device: name, cases: [measured(one, quick, work, milliseconds)] });
    } catch (error) {
      const missing = /ERR_MODULE_NOT_FOUND/.test((error as { code?: string }).code ?? "");
      say(`${name}: ${missing ? "not installed" : (error as Error).message.split("\n")[0]}`);
    }
  }
  return found;
}
