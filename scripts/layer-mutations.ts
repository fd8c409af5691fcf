/** Planted errors in layers: their gradients, their edges, and how products on `cpu` read windows. */
import { editsOf } from "./mutation.ts";
import type { Mutation } from "./mutation.ts";

const edit = editsOf("src");
/** Found by the finite differences of an op. */
const gradient = (file: string, find: string, replace: string, name: string): Mutation =>
  edit(`ops/${file}`, find, replace, `ops/nn-ops#^${name}: gradient`);
/** Found by PyTorch's numbers in double precision. */
const golden = (file: string, find: string, replace: string): Mutation =>
  edit(file, find, replace, "golden/layers#reference, to");
const onCpu = (file: string, find: string, replace: string): Mutation =>
  edit(`wasm/${file}`, find, replace, "golden/layers#^cpu, to");

export const LAYER_MUTATIONS: readonly Mutation[] = [
  // --- convolution
  gradient(
    "spatial/convolve",
    "apply(CONVOLVE_WEIGHT, x, dy, attrs)]",
    "apply(CONVOLVE_WEIGHT, x.mul(0.5), dy, attrs)]",
    "conv2d",
  ),
  gradient("spatial/convolve", ".flip(range(2, 2 + rank))", "", "conv2d"),
  gradient("spatial/convolve", "- 1 - low[d]);", "- 1);", "conv2d"),
  gradient(
    "spatial/convolve",
    "apply(CONVOLVE_WEIGHT, dx, y, attrs)]",
    "apply(CONVOLVE_WEIGHT, dx.mul(2), y, attrs)]",
    "convTranspose2d",
  ),
  gradient("spatial/convolve", "apply(CONVOLVE, x, dw, attrs)]", "apply(CONVOLVE, x, dw.neg(), attrs)]", "conv2d"),
  edit("ops/spatial/convolve", "const start = k * dilation[d];", "const start = k;", "golden/edges#reference"),
  golden("ops/spatial/convolve", "[low[d], low[d] + s] as const", "[0, s] as const"),
  golden("ops/spatial/conv", "t - Math.floor(t / 2)", "Math.floor(t / 2)"),
  golden("ops/spatial/conv", "spanOf(kernel[d], dilation[d]) + extra[d]", "spanOf(kernel[d], dilation[d])"),
  // --- pooling and resampling
  golden("ops/spatial/pooling", "b.gt(a).or(b.isNaN())", "b.ge(a)"),
  golden("ops/spatial/pooling", "length + padding);", "length);"),
  golden("ops/spatial/pooling", "x.shape[axis] + padding) count--", "x.shape[axis] + 2 * padding) count--"),
  golden("ops/spatial/pooling", "Math.ceil(((i + 1) * length) / wanted)", "Math.floor(((i + 1) * length) / wanted)"),
  golden("ops/spatial/resample", "Math.max(0, (i + 0.5) * step - 0.5)", "(i + 0.5) * step"),
  // --- normalisation
  gradient("spatial/batch-norm", ".sub(standard.mul(", ".add(standard.mul(", "batchNormTraining"),
  gradient("spatial/batch-norm", "[dx, dweight, dbias]", "[dx, dbias, dweight]", "batchNormTraining"),
  edit(
    "ops/spatial/batch-norm",
    "if (!dy || dmean || dvariance) return undefined;",
    "if (!dy) return undefined;",
    "nn/batch-norm#second derivatives",
  ),
  edit("ops/spatial/batch-norm", "count / (count - 1)", "1", "golden/layers#running statistics, as called: reference"),
  edit("nn/spatial/batch-norm", "!this.training && this.running_mean", "this.running_mean", "nn/batch-norm"),
  // --- arrays and sequences
  golden("ops/arrays/cumulative", "[0, blocks - 1])], -1)", "[0, blocks - 1]).mul(0)], -1)"),
  edit("ops/arrays/sort", "equal.and(i.gt(j))", "equal.and(i.lt(j))", "ops/host-ops"),
  golden(
    "ops/arrays/parts",
    "here.where(arange(count).expand(square), -1)",
    "here.where(arange(count).expand(square), 0)",
  ),
  golden("ops/arrays/activations", "x.ge(3).where(x, ", "x.ge(2).where(x, "),
  golden("ops/sequence/masked-attention", ".le(arange(queries)", ".lt(arange(queries)"),
  golden("ops/sequence/masked-attention", "b.mul(cos).add(a.mul(sin))", "b.mul(cos).sub(a.mul(sin))"),
  edit("ops/sequence/sampling", "before.lt(topP)", "before.lt(1)", "ops/host-ops"),
  edit("nn/sequence/cache", "place.unsqueeze(0).le(positions", "place.unsqueeze(0).lt(positions", "nn/cache"),
  // --- how products on cpu read windows
  onCpu("matmul/packing", "v128.load32Lane(place(lane), value, lane)", "v128.load32Lane(place(0), value, lane)"),
  onCpu(
    "matmul/packing",
    "i32.and(neighbours(offsets), i32.leS(i32.add(k, i32.const(4)), end))",
    "i32.leS(i32.add(k, i32.const(4)), end)",
  ),
  edit("wasm/print/matmul", 'return names?.has("k") && names.size > 1;', "return false;", "tensor/products#one index"),
  onCpu("print/dependence", "if (this.#vector?.results) found.add(this.#vector.name);", ""),
  // --- what stands around a tensor, first values, few rows
  edit("ops/spatial/padding", "part(1, 1 + count)", "part(0, count)", "golden/edges#reference"),
  edit("ops/spatial/padding", "part(length - count, length)", "part(0, count)", "golden/edges#reference"),
  edit(
    "ops/normalization",
    "x.reshape([...x.shape.slice(0, x.rank - axes.length), sizeOf(axes)])",
    "x",
    "golden/edges#reference",
  ),
  edit("nn/initializers", "Math.sqrt(3) * kaimingDeviation", "Math.sqrt(2) * kaimingDeviation", "nn/initializers"),
  edit("nn/initializers", ".mul(gain).cast(dtype)", ".cast(dtype)", "nn/initializers"),
  edit("wasm/matmul/micro-kernel", "(4 * v + i) * bColumn", "4 * v * bColumn", "wasm/matmul/matmul"),
  edit("wasm/matmul/blocks", "n % NR === 0 && m <= MR;", "n % NR === 0 && m <= 2 * MR;", "wasm/matmul/matmul"),
  // Mixed precision: a skipped update, the scale's growth, and what autocast leaves in f32.
  edit(
    "nn/optim/optimizer",
    "for (const [v, old] of held) v.assign(when!.where(v, old));",
    "for (const [v, old] of held.slice(1)) v.assign(when!.where(v, old));",
    "nn/grad-scaler",
  ),
  edit(
    "nn/optim/grad-scaler",
    "this.#tracker.assign(finite.and(grows.not()).where(row, 0));",
    "this.#tracker.assign(grows.not().where(row, 0));",
    "nn/grad-scaler",
  ),
  edit(
    "nn/optim/grad-scaler",
    "p.grad = p.grad!.mul(inverse);",
    "p.grad = p.grad!.mul(inverse.square());",
    "nn/grad-scaler",
  ),
  edit("ops/autocast", "trace.watch(AROUND, () => mode.on);", "undefined;", "nn/autocast"),
];
