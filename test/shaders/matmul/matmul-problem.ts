/**
 * Products with plain operands in storage buffers, for tests and benchmarks of the matmul generator: operands are
 * contiguous, row-major or transposed, and are bound as vec4 where the layout allows vector reads.
 */
import type { Gpu } from "../../../src/device/webgpu/gpu/gpu.ts";
import type {
  MatmulShader,
  MatmulOperand,
  MatmulSpec,
  MatmulTile,
  VectorAxis,
} from "../../../src/shaders/matmul/product.ts";
import { emitMatmul } from "../../../src/shaders/matmul/matmul.ts";

/**
 * A product of f32 matrices: A is [batch, m, k], or [batch, k, m] transposed; B is [batch, k, n], or [batch, n, k].
 */
export interface Product {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Read single elements even where vectors could be read. */
  readonly scalar?: boolean;
  /** Fuse elementwise work in: A is relu(A), C is 2 C + 1. */
  readonly fused?: boolean;
}

export const bindings = [{ access: "read" }, { access: "read" }, { access: "read_write" }] as const;

/** `outer` is the size of m or n; `alongK` tells that k is the fastest axis in memory. */
function operand(
  name: string,
  outer: number,
  k: number,
  alongK: boolean,
  vector: boolean,
  wrap: (value: string) => string,
): MatmulOperand {
  const index = (b: string, o: string, kk: string): string =>
    alongK ? `((${b}) * ${outer} + (${o})) * ${k} + (${kk})` : `((${b}) * ${k} + (${kk})) * ${outer} + (${o})`;
  // The index of a vec4, without a division: one multiplication and one shift of what is a multiple of 4 anyway.
  const index4 = (b: string, o: string, kk: string): string =>
    alongK
      ? `((${b}) * ${outer} + (${o})) * ${k / 4} + ((${kk}) >> 2u)`
      : `((${b}) * ${k} + (${kk})) * ${outer / 4} + ((${o}) >> 2u)`;
  const axis: VectorAxis = !vector ? "none" : alongK ? "k" : "outer";
  return {
    vectorAxis: axis,
    load: (...at) =>
      wrap(vector ? `${name}[(${index(...at)}) / 4][(${index(...at)}) % 4]` : `${name}[${index(...at)}]`),
    load4: (...at) => {
      if (!vector) throw new Error(`operand ${name} has no vector axis, but load4 was asked for`);
      return wrap(`${name}[${index4(...at)}]`);
    },
  };
}

/** Declarations of A, B and C, whose names end in `suffix`, at the bindings given; undefined leaves one out. */
export function declarationsOf(
  { batch, m, n, k, transposeA = false, transposeB = false, scalar = false }: Product,
  at: { readonly a?: number; readonly b?: number; readonly c?: number },
  suffix = "",
): string {
  const declare = (
    binding: number | undefined,
    access: string,
    name: string,
    fastest: number,
    count: number,
  ): string[] => {
    const type = !scalar && fastest % 4 === 0 ? `array<vec4<f32>, ${count / 4}>` : `array<f32, ${count}>`;
    return binding === undefined
      ? []
      : [`@group(0) @binding(${binding}) var<storage, ${access}> ${name}${suffix}: ${type};`];
  };
  return [
    ...declare(at.a, "read", "lhs", transposeA ? m : k, batch * m * k),
    ...declare(at.b, "read", "rhs", transposeB ? k : n, batch * k * n),
    ...declare(at.c, "read_write", "result", n, batch * m * n),
  ].join("\n");
}

/** The product on buffers bound from `binding` on, whose names end in `suffix`. */
export function specOf(product: Product, suffix = "", binding = 0): MatmulSpec {
  const { batch, m, n, k, transposeA = false, transposeB = false, scalar = false, fused = false } = product;
  const vectorA = !scalar && (transposeA ? m : k) % 4 === 0;
  const vectorB = !scalar && (transposeB ? k : n) % 4 === 0;
  const vectorC = !scalar && n % 4 === 0;
  const out = fused ? (value: string) => `${value} + ${value} + 1.0` : (value: string) => value;
  const relu = (value: string): string => `max(${value}, ${value} * 0.0)`;
  const result = `result${suffix}`;
  return {
    name: "product",
    batch,
    m,
    n,
    k,
    a: operand(`lhs${suffix}`, m, k, !transposeA, vectorA, fused ? relu : (v) => v),
    b: operand(`rhs${suffix}`, n, k, transposeB, vectorB, (v) => v),
    declarations: declarationsOf(product, { a: binding, b: binding + 1, c: binding + 2 }, suffix),
    storeVector: vectorC,
    store: (b, i, j, value) => `${result}[((${b}) * ${m} + (${i})) * ${n} + (${j})] = ${out(value)};`,
    store4: (b, i, j, value) => `${result}[(((${b}) * ${m} + (${i})) * ${n} + (${j})) / 4] = ${out(value)};`,
  };
}

/** Small pseudo-random numbers in [-1, 1], multiples of 2^-10, the same for the same seed. */
export function values(count: number, seed: number): Float32Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 21) - 1024) / 1024;
  });
}

/** The product in float64, with the sum of absolute products that rounding errors are proportional to. */
export function reference(
  product: Product,
  a: Float32Array,
  b: Float32Array,
): { value: Float64Array; scale: Float64Array } {
  const { batch, m, n, k, transposeA, transposeB, fused } = product;
  const value = new Float64Array(batch * m * n);
  const scale = new Float64Array(batch * m * n);
  for (let s = 0; s < batch; s++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        let absolute = 0;
        for (let q = 0; q < k; q++) {
          let left = a[transposeA ? (s * k + q) * m + i : (s * m + i) * k + q];
          if (fused) left = Math.max(left, 0);
          const term = left * b[transposeB ? (s * n + j) * k + q : (s * k + q) * n + j];
          sum += term;
          absolute += Math.abs(term);
        }
        const at = (s * m + i) * n + j;
        value[at] = fused ? 2 * sum + 1 : sum;
        scale[at] = fused ? 2 * absolute + 1 : absolute;
      }
    }
  }
  return { value, scale };
}

/** Compiles and runs the product's kernel with a tile; the results, row-major [batch, m, n]. */
export async function run(
  gpu: Gpu,
  product: Product,
  tile: MatmulTile,
  a: Float32Array,
  b: Float32Array,
  profile = gpu.profile,
): Promise<Float32Array> {
  const kernel: MatmulShader = emitMatmul(specOf(product), tile, profile);
  const pipeline = await gpu.pipeline({ name: "product", wgsl: kernel.wgsl, bindings });
  const buffers = [a, b, new Float32Array(product.batch * product.m * product.n).fill(Number.NaN)].map((data) => {
    const buffer = gpu.acquire(data.byteLength);
    gpu.write(buffer, 0, data);
    return buffer;
  });
  const slices = buffers.map((buffer, i) => ({ buffer, offset: 0, size: [a, b][i]?.byteLength ?? buffer.size }));
  slices[2].size = product.batch * product.m * product.n * 4;
  const bindGroup = gpu.bindGroup(pipeline, slices);
  const [bytes] = await gpu.readAfter(
    [{ kind: "dispatch", pipeline, bindGroup, workgroups: kernel.workgroups }],
    [{ buffer: buffers[2], offset: 0, bytes: product.batch * product.m * product.n * 4 }],
  );
  for (const buffer of buffers) gpu.release(buffer);
  return new Float32Array(bytes);
}

/** The largest error relative to the sum of absolute products; NaN counts as infinite. */
export function worstError(got: Float32Array, { value, scale }: { value: Float64Array; scale: Float64Array }): number {
  let worst = 0;
  for (let i = 0; i < value.length; i++) {
    const error = Math.abs(got[i] - value[i]) / (scale[i] + 1e-30);
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return worst;
}
