/** Planted errors in gradients of one's own, forward mode, checkpoints, cells of a scan and kernels of one's own. */
import { editsOf } from "./mutation.ts";
import type { Mutation } from "./mutation.ts";

const edit = editsOf("src");
const custom = (find: string, replace: string): Mutation => edit("autograd/custom", find, replace, "autograd/custom");
const forward = (find: string, replace: string): Mutation =>
  edit("autograd/forward", find, replace, "autograd/forward");
const cell = (file: string, find: string, replace: string): Mutation =>
  edit(`autograd/${file}`, find, replace, "ops/scan-cell#^(?!webgpu)");
/** A rule or an offset of a loop that is one kernel on WebGPU. */
const persistent = (file: string, find: string, replace: string, tests = "a GRU|exchanged"): Mutation =>
  edit(file, find, replace, `ops/scan-persistent#${tests}`);
const own = (find: string, replace: string): Mutation => edit("kernels/define", find, replace, "kernels/define");

export const GRADIENT_MUTATIONS: readonly Mutation[] = [
  // --- customGradient
  custom("given[at] = cotangents[k] ?? given[at];", "given[at] = cotangents[0] ?? given[at];"),
  custom("outputs[at] = picks[k];", "outputs[at] = picks[k].detach();"),
  custom("    refuseCaptured(title, ys, own);\n", ""),
  custom("const xs = all.slice(0, inputs.length);", "const xs = all.slice(0, inputs.length).map((x) => x.detach());"),
  custom("if (dx.dtype === x.dtype && sameShape(dx.shape, x.shape)) return dx;", "return dx;"),
  // --- results of which the first is of integers
  edit("tensor/program/history", 'op.kind !== "fused" && ', "", "ops/scan-cell#whatever"),
  // --- forward mode
  forward(
    "const found = gradients(pulled, given, [...seeds.values()]);",
    "const found = gradients(pulled, given.map((v) => v.neg()), [...seeds.values()]);",
  ),
  forward("byOutput.get(y) ?? zerosLike(y)", "zerosLike(y)"),
  forward("return stack(columns, y.rank).reshape(shape);", "return stack(columns, 0).reshape(shape);"),
  forward(
    "if (y.size <= x.size) {",
    "if (y.size < x.size) {\n      return zerosLike(x).sum().expand(shape);\n    }\n    if (y.size <= x.size) {",
  ),
  forward("const slopes = leavesOf(grad(f)(own));", "const slopes = leavesOf(grad(f)(own)).map((t) => t.mul(2));"),
  forward(
    'return jacobianNamed("hessian", grad(f), x);',
    'return jacobianNamed("hessian", (t) => grad(f)(t).mul(0.5), x);',
  ),
  // --- checkpoint
  edit(
    "autograd/checkpoint",
    "result[i] = found[k];",
    "result[i] = k > 0 ? undefined : found[k];",
    "autograd/checkpoint",
  ),
  edit("autograd/checkpoint", "mine.has(node) || isDraw(node)));", "mine.has(node)));", "autograd/checkpoint"),
  // --- cells of a scan: the trace, and its backward pass
  cell("loop", "    !reverse,\n    loop.cpu,", "    reverse,\n    loop.cpu,"),
  cell("loop", "seeds.push(each ? carried[k].add(given(each)) : carried[k]);", "seeds.push(carried[k]);"),
  cell(
    "loop",
    "return reverse ? concat([after.slice([1, steps]), start]) : concat([start, after.slice([0, steps - 1])]);",
    "return after;",
  ),
  cell(
    "loop",
    "...flowing.map((i) => cotangents[i] ?? zeros(states[i].shape, states[i].dtype)),",
    "...flowing.map((i) => zeros(states[i].shape, states[i].dtype)),",
  ),
  cell(
    "loop",
    "return (ran) => each(ran).sum([0, ...op.axes.map((a) => a + 1)]);",
    "return (ran) => each(ran).sum([0, ...op.axes.map((a) => a + 1)]).mul(0.5);",
  ),
  cell("loop", "return (ran) => a(ran).add(b(ran));", "return (ran) => a(ran);"),
  // --- kernels of one's own
  own(
    "const given = outputs.map((y, i) => cotangents[i] ?? zeros(",
    "const given = outputs.map((y) => cotangents[0] ?? zeros(",
  ),
  own("name: times === 1 ? `own.${name}` : `own.${name}.${times}`,", "name: `own.${name}`,"),
  own("    refuseCaptured(name, tensors, places);\n", ""),
  own(
    "const key = JSON.stringify([inputs.map(({ shape, dtype }) => [dtype, shape]), attrs]);",
    "const key = JSON.stringify([inputs.map(({ shape }) => shape.length), attrs]);",
  ),
  own("if (Number.isInteger(index) && index >= 0 && index < count) return at(index);", "return at(index);"),
  // --- scans in one dispatch
  persistent("compiler/row-local", "div(index, elements / rows).key === row.key", "true", "mix rows"),
  persistent("compiler/row-local", "if (!inRow(expr.buffer, within(index, conditions))) return false;", "", "mix rows"),
  persistent("compiler/row-local", "[kernel.a, kernel.b]", "[kernel.a]", "mix rows"),
  persistent("compiler/row-local", 'if (expr.kind !== "choose") return [];', "return [];", "side by side"),
  persistent("compiler/row-local", "size: expr.ends[i] - start", "size: expr.ends[i]", "side by side"),
  persistent("shaders/print/persistent", 'body.push("storageBarrier();");', ""),
  persistent("shaders/print/persistent", "steps - 1 - loop_step", "loop_step"),
  persistent("shaders/print/matmul", "? `workgroup * ${mine} + ${index}`", "? index"),
  persistent("device/webgpu/loop-memory", "`(1 - ${LOOP_NAMES.half})`", "LOOP_NAMES.half"),
  persistent("device/webgpu/loop-memory", "2 * roundedUp(node)", "roundedUp(node)"),
  persistent("device/webgpu/loop-memory", "loop.steps % 2", "0"),
  persistent("device/webgpu/loop-memory", "`${LOOP_NAMES.time} * ${sizeOf(step.shape) / per}`", "LOOP_NAMES.time"),
  persistent("device/webgpu/loop-memory", "if (!this.#bases.has(result)) return;", "return;", "few bindings"),
  persistent("device/webgpu/loop-memory", "bytes * timeOf(loop, loop.steps - 1)", "0"),
];
