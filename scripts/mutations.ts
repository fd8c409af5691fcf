/**
 * Planted errors: single edits of a gradient, a kernel or a planning rule, each with the tests that must notice.
 *
 * Edits whose effect no result shows (a slower order, a fusion not made) do not belong here. A test is `folder/name`,
 * or `folder/name#pattern` where a few of its tests are enough.
 */
import { ARITHMETIC } from "../src/tensor/elementwise/arithmetic.ts";
import { FUNCTIONS } from "../src/tensor/elementwise/functions.ts";
import { CPU_MUTATIONS } from "./cpu-mutations.ts";
import { GRADIENT_MUTATIONS } from "./gradient-mutations.ts";
import { LAYER_MUTATIONS } from "./layer-mutations.ts";
import { edit } from "./mutation.ts";
import type { Mutation } from "./mutation.ts";
import { PROGRAM_MUTATIONS } from "./program-mutations.ts";

const TABLE = "src/tensor/elementwise";
/** The file a row of the elementwise table stands in. */
const fileOf = (row: string): string =>
  `${TABLE}/${row in ARITHMETIC ? "arithmetic" : row in FUNCTIONS ? "functions" : "comparisons"}.ts`;
/** A derivative of the elementwise table: found by the finite differences of its row. */
const derivative = (row: string, find: string, replace: string): Mutation =>
  edit(fileOf(row), find, replace, `tensor/elementwise#^${row}: gradient`);
/** A form of the table, what a shader has for it, or a function it calls. */
const form = (find: string, replace: string, file = "src/shaders/print/forms.ts"): Mutation =>
  edit(file, find, replace, "tensor/elementwise#all rows|integers: division|NaN and infinities|ends of float32");
const helper = (find: string, replace: string): Mutation => form(find, replace, "src/shaders/print/helpers.ts");
const rule = (find: string, replace: string, ...tests: string[]): Mutation =>
  edit("src/autograd/vjp.ts", find, replace, ...tests);

const VIEWS = "tensor/views#finite differences";
const PARTS = "compiler/parts";
const VIEWS_GPU = "tensor/views#each device against|parts so short";
const FUZZ = "compiler/fuzz#random graphs";
const LIGHT = "ops/nn-ops#compositions";
const CELLS = "src/specs/cells.ts";
const SCANS = "ops/nn-ops#scans and attention";
const MATMUL = "shaders/matmul/matmul#register tiles agree|shared tiles agree|beyond the end of k";

export const MUTATIONS: readonly Mutation[] = [
  // --- derivatives of the table
  derivative("sub", "grad: (dy) => [dy, dy.neg()]", "grad: (dy) => [dy, dy]"),
  derivative("mul", "[dy.mul(b), dy.mul(a)]", "[dy.mul(a), dy.mul(b)]"),
  derivative("div", "[dy.div(b), dy.mul(q).div(b).neg()]", "[dy.div(b), dy.mul(q).div(b)]"),
  derivative("pow", "base.pow(b.sub(1))", "base.pow(b)"),
  derivative("abs", "dy.mul(a.sign())", "dy"),
  derivative("maximum", "tieSplit(dy, a.gt(b), a.eq(b))", "tieSplit(dy, a.lt(b), a.eq(b))"),
  derivative("sqrt", "[dy.div(y).mul(0.5)]", "[dy.div(y)]"),
  derivative("rsqrt", "dy.mul(y).mul(y.square()).mul(-0.5)", "dy.mul(y.square()).mul(-0.5)"),
  derivative("reciprocal", "[dy.mul(y.square()).neg()]", "[dy.mul(y).neg()]"),
  derivative("log1p", "[dy.div(a.add(1))]", "[dy.div(a)]"),
  derivative("expm1", "[dy.mul(y.add(1))]", "[dy.mul(y)]"),
  derivative("cos", "[dy.mul(a.sin()).neg()]", "[dy.mul(a.sin())]"),
  derivative("tan", "[dy.mul(y.square().add(1))]", "[dy.mul(y.add(1))]"),
  derivative("atan", "[dy.div(a.square().add(1))]", "[dy.div(a.add(1))]"),
  derivative("tanh", "[dy.sub(dy.mul(y.square()))]", "[dy.sub(dy.mul(y))]"),
  derivative("erf", "mul(2 / Math.sqrt(Math.PI))", "mul(2 / Math.PI)"),
  derivative("sigmoid", "[dy.mul(y).mul(y.neg().add(1))]", "[dy.mul(y)]"),
  derivative("softplus", '[dy.mul(a.sigmoid())],\n    doc: "log(1', '[dy.mul(a.tanh())],\n    doc: "log(1'),
  derivative("relu", "[dy.mask(y.gt(0))]", "[dy.mask(y.ge(0))]"),
  derivative("elu", "a.gt(0).where(1, y.add(1))", "a.gt(0).where(1, y)"),
  derivative("silu", "s.add(y.mul(s.neg().add(1)))", "s.add(y.mul(s))"),
  derivative("gelu", ".mul(INV_SQRT_2PI)", ".mul(0.5)"),
  derivative("geluTanh", "mul(3 * 0.044715)", "mul(2 * 0.044715)"),
  derivative("where", "[undefined, dy.mask(c), dy.mask(c.not())]", "[undefined, dy.mask(c), dy.mask(c)]"),
  edit(`${TABLE}/arithmetic.ts`, "tie.where(0.5, 0)", "tie.where(1, 0)", "autograd/autograd"),

  // --- forms of the table, and their WGSL
  edit("src/shaders/print/forms.ts", "<= ${word(0x7f800000)})`", "<= ${word(0x7f700000)})`", "tensor/specials#^relu"),
  edit(
    "src/shaders/print/forms.ts",
    "select(${value(larger(x, end))}, ${float(0)}, ${x} < ${end})",
    "${value(larger(x, end))}",
    "tensor/specials#^sigmoid",
  ),
  form("reciprocal: (b, x) => b.div(b.const(1), x)", "reciprocal: (b, x) => b.div(b.const(2), x)", `${TABLE}/forms.ts`),
  form("`select(${y}, ${x}, ${mask})`", "`select(${x}, ${y}, ${mask})`"),
  form("`(~${x} + ${word(1)})`", "`(~${x})`"),
  form("(${size(x)} > ${word(0x7f800000)})`", "(${size(x)} >= ${word(0x7f800000)})`"),
  form("within(b, x, -TANH_END, TANH_END)", "within(b, x, -1.5, TANH_END)", `${TABLE}/mathematics.ts`),
  form("-0.3761263498", "-0.3762263498", `${TABLE}/mathematics.ts`),
  helper('s("0.16666667f")', 's("0.16766667f")'),
  helper('s("0.33333333f")', 's("0.35333333f")'),
  form("-0.001388731561", "-0.001488731561", `${TABLE}/mathematics.ts`),
  form("float(1.5 * 2 ** 23 + quarters)", "float(1.5 * 2 ** 23 + quarters + 1)"),
  helper("(r != ${zero}) & ((r < ${zero}) != (d < ${zero}))", "(r < ${zero}) != (d < ${zero})"),
  edit(
    "src/shaders/print/helpers.ts",
    "select(block.x, block.y, (index & 1u) == 1u)",
    "select(block.x, block.y, (index & 1u) == 0u)",
    "tensor/random",
  ),
  edit("src/tensor/threefry.ts", "[13, 15, 26, 6, 17, 29, 16, 24]", "[13, 15, 26, 6, 17, 29, 16, 25]", "tensor/random"),

  // --- rules of reverse mode
  rule(
    "shape[i - extra] === 1 && n !== 1",
    "shape[i - extra] === 1 && n === 2",
    "tensor/elementwise#^add: gradient|^mul: gradient",
    VIEWS,
  ),
  rule("return [dy.reshape(inputs[0].shape)];", "return [dy.reshape(inputs[0].shape).neg()];", VIEWS),
  rule("const inverse = op.order.map((_, i) => op.order.indexOf(i));", "const inverse = [...op.order];", VIEWS),
  rule("(dy.shape[i] - 1) * step[i] : s", "(dy.shape[i] - 2) * step[i] : s", VIEWS),
  rule("op.stride, op.dilation)).sum(-1)", "op.dilation, op.stride)).sum(-1)", VIEWS),
  rule("k * op.dilation : i === dy.rank - 1", "k : i === dy.rank - 1", VIEWS),
  rule("at += part.shape[op.axis];", "at += 1;", VIEWS),
  rule(
    "b.matmul(dy.transpose()).transpose()",
    "b.matmul(dy.transpose()).transpose().mul(2)",
    "tensor/products#finite differences",
  ),
  rule("dy.matmul(b.transpose());", "dy.matmul(b.transpose()).neg();", "tensor/products#finite differences"),
  rule("a.transpose().matmul(dy);", "a.transpose().matmul(dy).mul(1.01);", "tensor/products#finite differences"),
  rule("return spread(dy);", "return spread(dy).mul(1.00001);", "tensor/reductions#finite differences"),
  rule("spread(dy.div(ties.sum(axes)))", "spread(dy)", "autograd/autograd"),
  rule("diagonal.where(1, rows)", "diagonal.where(0, rows)", "tensor/reductions#finite differences"),
  rule(
    "scatterAddZeros(inputs[0].shape, op.axis, inputs[1], dy)",
    "scatterAddZeros(inputs[0].shape, op.axis, inputs[1], dy).mul(2)",
    "tensor/indexing#finite differences",
  ),
  edit("src/autograd/grad.ts", "if (before) before.push(dy);", "if (before) before[0] = dy;", "autograd/autograd"),
  edit("src/tensor/program/history.ts", "node.stopped || ", "", "autograd/autograd"),
  edit("src/autograd/grad.ts", "target.grad ? target.grad.add(dx) : dx", "dx", "tensor/variables#sets grad"),

  // --- fused ops
  edit(
    "src/ops/softmax.ts",
    "y.mul(weighted.sum(axis, true))",
    "y.mul(weighted.mean(axis, true))",
    "ops/nn-ops#^softmax: gradient",
  ),
  edit(
    "src/ops/softmax.ts",
    "y.exp().mul(dy.sum(axis, true))",
    "y.mul(dy.sum(axis, true))",
    "ops/nn-ops#^logSoftmax: gradient",
  ),
  edit("src/ops/softmax.ts", "x.sub(y).exp().mul(dy)", "y.sub(x).exp().mul(dy)", "ops/nn-ops#^logSumExp: gradient"),
  edit("src/ops/normalization.ts", ".sub(y.mul(dy.mul(y).mean(-1, true)))", "", "ops/nn-ops#^layerNorm: gradient"),
  edit(
    "src/ops/normalization.ts",
    ".mul(-1 / y.shape[y.rank - 1])",
    ".mul(1 / y.shape[y.rank - 1])",
    "ops/nn-ops#^layerNorm: gradient",
  ),
  edit(
    "src/ops/normalization.ts",
    "scale.lt(1 / epsilon)",
    "scale.gt(1 / epsilon)",
    "ops/nn-ops#^l2Normalize: gradient|below epsilon",
  ),
  edit("src/ops/losses/cross-entropy.ts", ".mul(1 - labelSmoothing)", "", "ops/nn-ops#label smoothing"),
  edit("src/ops/top-k.ts", "indices, dvalues)] : []", "indices, dvalues.neg())] : []", "ops/nn-ops#^topK: gradient"),
  edit("src/ops/convolution.ts", ".sub(0.5)\n    .maximum(0)", ".maximum(0)", "golden/verify"),
  edit(CELLS, "b.sub(unit.state(0), n), n)", "b.sub(n, unit.state(0)), n)", "ops/nn-ops#Scan", "golden/layers"),
  edit(
    CELLS,
    "b.multiplyAdd(f, unit.state(1), b.mul(i, g))",
    "b.multiplyAdd(f, unit.state(1), g)",
    "golden/verify",
    "ops/nn-ops#^lstmScan: gradient",
  ),
  edit(CELLS, "b.sub(unit.state(0), n)));", "b.add(unit.state(0), n)));", "ops/nn-ops#^gruScan: gradient"),
  edit(CELLS, "const dq = b.name(b.mul(dn, r));", "const dq = dn;", "ops/nn-ops#^gruScan: gradient"),
  edit(CELLS, "states: [passed]", "states: [dh]", "ops/nn-ops#^gruScan: gradient"),
  edit(CELLS, "product(dc, c, f, b.sub(one, f))", "product(dc, c, f)", "ops/nn-ops#^lstmScan: gradient"),
  edit(CELLS, "product(dh, squashed, o, b.sub(one, o))", "product(dh, squashed, o)", "ops/nn-ops#^lstmScan: gradient"),
  edit(CELLS, "product(dc, i, oneMinusSquare(g))", "product(dc, i, b.sub(one, g))", "ops/nn-ops#^lstmScan: gradient"),
  edit(CELLS, "[undefined, b.mul(dc, f)]", "[undefined, dc]", "ops/nn-ops#^lstmScan: gradient"),
  edit(
    "src/ops/losses/contrastive.ts",
    "onNegative.matmul(queue.transpose())",
    "onNegative.matmul(queue.transpose()).neg()",
    "ops/nn-ops#^infoNCE: gradient",
  ),
  edit(
    "src/ops/attention.ts",
    "const safe = mask ? total.gt(0).where(total, 1) : total;",
    "const safe = total;",
    "ops/nn-ops#ttention: gradient",
  ),

  edit(
    "src/tensor/methods/indexing.ts",
    'if (x.dtype === "bool") return scatterAdd(',
    'if (x.dtype === ("no" as string)) return scatterAdd(',
    "tensor/scatter#bools",
  ),
  edit("src/shaders/print/helpers.ts", "x >= ${s(end[1])}", "x > ${s(end[1])}", "tensor/indexing#casts at the ends"),
  edit(
    "src/shaders/print/helpers.ts",
    'return select(held, ${t}(), ${nanTest(n, "x")});',
    "return held;",
    "tensor/indexing#casts at the ends",
  ),
  edit("src/nn/optim/optimizer.ts", "requireGradientOf(this.constructor.name, p, p.grad);", "", "nn/doors"),
  edit("src/autograd/grad.ts", '"[object AsyncFunction]"', '"[object Asynchronous]"', "tensor/errors#async"),
  // --- tuned kernels
  edit("src/shaders/scan/scan.ts", "`before.${state}`)];", "`after.${state}`)];", "shaders/scan/scan#lstm"),
  edit("src/shaders/scan/scan.ts", "${i === 0 ? place :", "${i === 1 ? place :", "shaders/scan/scan#gru"),
  edit("src/shaders/scan/scan.ts", '${value ?? "vec4<f32>()"}', '${value ?? "carried.h"}', "shaders/scan/scan#lstm"),
  edit("src/shaders/attention/cpu.ts", "l${r} = l${r} * a${r} + (", "l${r} = l${r} + (", SCANS),
  edit(
    "src/shaders/attention/cpu.ts",
    '- t${r}) * ${literal(spec.scale, "f32")};`',
    ') * ${literal(spec.scale, "f32")};`',
    SCANS,
  ),
  edit("src/shaders/top-k.ts", "v > than_v", "v < than_v", LIGHT),
  edit("src/shaders/top-k.ts", "v == last_value && i > last_place", "v == last_value && i >= last_place", LIGHT),
  edit("src/shaders/info-nce/info-nce.ts", "loss[n] = all - some;", "loss[n] = all;", LIGHT),
  edit("src/shaders/info-nce/info-nce.ts", "- exp_1(score - lsePositive[n]))", "- exp_1(score - lseAll[n]))", LIGHT),
  edit("src/shaders/info-nce/info-nce.ts", "(${logit} * ${scale} - lseAll[${m}])", "(${logit} * ${scale})", LIGHT),
  edit("src/shaders/matmul/registers.ts", 'spec.k - whole), "}"', '1), "}"', MATMUL),
  edit(
    "src/shaders/matmul/registers.ts",
    'const rowWidth = axisA === "outer" ? 4 : 1;',
    'const rowWidth = axisA === "outer" ? 4 : 2;',
    MATMUL,
  ),
  edit("src/shaders/matmul/edges.ts", "min(4, ${spec.n} - ${first})", "min(3, ${spec.n} - ${first})", MATMUL),
  edit("src/shaders/matmul/edges.ts", "mm_flat / ${blocksN * blocksM}", "mm_flat / ${blocksN}", MATMUL),
  edit(
    "src/shaders/matmul/shared.ts",
    "let mm_in = ${at} + mm_kk < ${spec.k};",
    "let mm_in = ${at} + mm_kk <= ${spec.k};",
    MATMUL,
  ),
  edit("src/shaders/matmul/shared.ts", "(mm_slice * ${depth} + mm_j)", "mm_j", MATMUL),
  edit(
    "src/shaders/matmul/shared.ts",
    "let mm_into = ${size} - mm_half;",
    "let mm_into = mm_half;",
    "shaders/matmul/matmul#double-buffered",
  ),
  edit("src/shaders/matmul/split-k.ts", "% ${parts}) * ${depth}", "% ${parts}) * 4", "shaders/matmul/combined#split-k"),
  edit("src/shaders/matmul/grouped.ts", "(b % ${first.batch})", "0", "shaders/matmul/combined#one dispatch"),

  // --- the printer of fused kernels
  edit(
    "src/shaders/print/reduce.ts",
    "return `(${a} * ${b})`;",
    "return `(${a} + ${b})`;",
    "tensor/reductions#each device against",
  ),
  edit(
    "src/shaders/print/reduce.ts",
    "literal(-Infinity, dtype)",
    "literal(0, dtype)",
    "tensor/reductions#each device against",
  ),
  edit(
    "src/shaders/print/reduce.ts",
    "pair(`${name}.z`, `${name}.w`)",
    "pair(`${name}.z`, `${name}.z`)",
    "tensor/reductions#each device against",
  ),
  edit(
    "src/shaders/print/reduce.ts",
    "for (let distance = share / 2; distance >= 1;",
    "for (let distance = share / 2; distance >= 2;",
    "tensor/reductions#real GPUs",
  ),
  edit(
    "src/shaders/print/expr.ts",
    "parts.push(`((${e.text} % ${type}(${c.step})) == ${type}(0))`)",
    "void 0",
    VIEWS_GPU,
  ),
  edit("src/shaders/print/expr.ts", "(${e.text} < ${type}(${c.size}))", "(${e.text} <= ${type}(${c.size}))", VIEWS_GPU),
  edit(
    "src/shaders/print/expr.ts",
    "${text(parts[i])}, ${at} < ${end})",
    "${text(parts[i])}, ${at} <= ${end})",
    VIEWS_GPU,
  ),
  edit(
    "src/shaders/print/expr.ts",
    "if (step === 1 && access.vector && isMultiple(widened, 4, LANE)) {",
    "if (step === 1 && access.vector) {",
    VIEWS_GPU,
  ),
  edit(
    "src/shaders/print/expr.ts",
    "index.terms.length === 0 && index.constant < 0 ? int(0) : index",
    "index",
    "tensor/views#parts so short",
  ),
  edit(
    "src/shaders/print/expr.ts",
    "bitcast<u32>((${at(0)}) >> 1u)",
    "bitcast<u32>(${at(0)}) >> 1u",
    "tensor/random#parts of a joined",
  ),
  edit("src/shaders/print/expr.ts", "vec4<u32>(${low}, ${high})", "vec4<u32>(${high}, ${low})", "tensor/random"),
  edit(
    "src/shaders/print/bindings.ts",
    'return dtype === "bool" ? `(${word} != 0u)` : word;',
    'return dtype === "bool" ? `(${word} == 1u)` : `(${word} | 1u)`;',
    "tensor/elementwise#all rows|integers: division",
    "tensor/random",
  ),

  // --- indices, fusion and planning
  edit(
    "src/compiler/int-expr.ts",
    "high.factor !== low.factor * by",
    "high.factor === low.factor * by",
    "compiler/index-expressions",
  ),
  edit(
    "src/compiler/int-expr.ts",
    "add(scale(mod(split.high, k / split.g), split.g), split.low)",
    "add(mod(split.high, k / split.g), split.low)",
    "compiler/index-expressions",
  ),
  edit(
    "src/compiler/int-expr.ts",
    "if (low.min < 0 || low.max >= g) continue;",
    "if (low.min < 0 || low.max > g) continue;",
    "compiler/index-expressions",
  ),
  edit(
    "src/compiler/int-expr.ts",
    "div(only.of, only.by * k)",
    "div(only.of, only.by + k)",
    "compiler/index-expressions",
  ),
  edit("src/compiler/int-expr.ts", "if (factor !== 0) terms.push(", "terms.push(", "compiler/index-expressions"),
  edit(
    "src/compiler/int-expr.ts",
    "term.factor + (same?.factor ?? 0)",
    "same?.factor ?? term.factor",
    "compiler/index-expressions",
  ),
  edit(
    "src/compiler/decompose.ts",
    "for (const input of inputs) rewritten.set(input, input);",
    "",
    "compiler/decompose",
  ),
  edit("src/hico/model/model.ts", "0, 1, dtype).contiguous()", "0, 1, dtype)", "hico/model/queue"),
  edit("src/compiler/access.ts", "scale(e, op.step[i])", "scale(e, 1)", "tensor/views"),
  edit("src/compiler/access.ts", "from[i] === 1 ? int(0) : e", "e", VIEWS_GPU, FUZZ),
  edit(
    "src/compiler/access.ts",
    "add(scale(index[a], op.stride), scale(place, op.dilation))",
    "add(scale(index[a], op.stride), scale(place, op.stride))",
    VIEWS_GPU,
  ),
  edit(
    "src/compiler/access.ts",
    "const span = (from[op.axis] - 1) * op.stride + 1;",
    "const span = from[op.axis] * op.stride + 1;",
    VIEWS_GPU,
  ),
  edit(
    "src/compiler/plan.ts",
    "s.lives.every((l) => l.to < life.from || l.from > life.to)",
    "s.lives.every((l) => l.to <= life.from || l.from > life.to)",
    FUZZ,
    LIGHT,
  ),
  edit("src/compiler/plan.ts", "for (const reader of readers) unit.after.add(reader);", "", "tensor/variables", FUZZ),
  edit("src/compiler/plan.ts", "l.buffer !== variable || l.index.key === store.index.key", "true", "tensor/variables"),
  edit("src/compiler/kernels.ts", "deepest = solve(expr.number) + 1", "deepest = solve(expr.number)", LIGHT),
  edit("src/compiler/kernels.ts", "sub(e, int(start))", "e", VIEWS_GPU),
  edit("src/compiler/fusion/joining.ts", "if (read.flat.key !== expected?.key) return false;", "", FUZZ, VIEWS_GPU),
  edit("src/compiler/fusion/parts.ts", "sizeOf(part.shape) === size && ", "", PARTS),
  edit("src/compiler/fusion/parts.ts", "flat!.key === identity(size).key", "true", PARTS),
  edit("src/compiler/kernels.ts", "int(k * part.shape[op.axis])", "int(k)", PARTS),
  edit("src/autograd/total.ts", "if (low !== end) return undefined;", "", "autograd/slices"),
  edit("src/autograd/total.ts", "if (end !== shape[axis]) return undefined;", "", "autograd/slices"),
  edit("src/autograd/total.ts", "a !== axis && size !== shape[a]", "false", "autograd/slices"),
  edit("src/autograd/total.ts", " || op.step.some((step) => step !== 1)", "", "autograd/slices"),
  edit(
    "src/compiler/fusion/joining.ts",
    "source !== undefined && source !== group && draft.waitsFor(source, group)",
    "false",
    FUZZ,
    LIGHT,
  ),
  edit(
    "src/tensor/node.ts",
    "fused ${op.fused.name} ${JSON.stringify(op.attrs)}",
    "fused ${op.fused.name}",
    "ops/nn-ops#attributes alone",
  ),
  edit(
    "src/tensor/node.ts",
    '`full ${Object.is(op.value, -0) ? "-0" : op.value}`',
    "`full`",
    "compiler/steady-state#same structure",
  ),
  edit(
    "src/compiler/graph.ts",
    'if (role === "parameter") parameterWords += size;',
    'if (role === "parameter") parameterWords += 1;',
    FUZZ,
  ),

  ...CPU_MUTATIONS,
  ...LAYER_MUTATIONS,
  ...GRADIENT_MUTATIONS,
  ...PROGRAM_MUTATIONS,
];
