/**
 * Planted errors in what programs mean: the order of assignments, histories, calls, old values, host data, numbers that
 * meet integers, special values. Those of `byPrograms` must be found by random programs, whatever other tests say.
 */
import { edit } from "./mutation.ts";
import type { Mutation } from "./mutation.ts";

const PROGRAM = "src/tensor/program";
const byPrograms = (file: string, find: string, replace: string): Mutation =>
  edit(file, find, replace, "programs/programs");

export const PROGRAM_MUTATIONS: readonly Mutation[] = [
  // Every trace keeps the one before it, through the gradients that it found.
  edit(`${PROGRAM}/compile.ts`, "scope.before.clear();", "", "tensor/programs-compile#collected"),
  // A compiled call that does not see what was assigned before it: it waits until later, or is lost.
  byPrograms(
    `${PROGRAM}/compile.ts`,
    "const sealed = sealPending();",
    "const sealed: ReturnType<typeof sealPending> = [];",
  ),
  edit(
    `${PROGRAM}/compile.ts`,
    "const storages = asked.length > 0 || sealed.length > 0 ? await execute(asked, sealed) : [];",
    "const storages = asked.length > 0 ? await execute(asked, []) : [];",
    "tensor/programs-compile",
  ),
  // Reading that cuts gradients.
  byPrograms(
    `${PROGRAM}/realize.ts`,
    'node.become({ kind: "storage", storage }, remembered);',
    'node.become({ kind: "storage", storage }, false);',
  ),
  // A failing read that takes assignments along.
  byPrograms(
    `${PROGRAM}/realize.ts`,
    "if (left.length > 0) await salvage(left);",
    "if (left.length > 0) settle(left);",
  ),
  // Not a number that a rectifier swallows.
  byPrograms(
    "src/tensor/elementwise/values.ts",
    "relu: real((x) => Math.max(x, 0)),",
    "relu: real((x) => (x > 0 ? x : 0)),",
  ),
  // Gradients set while tracing, over placeholders, that are taken for values afterwards.
  byPrograms(`${PROGRAM}/trace.ts`, "if (!this.#ended) return;", "return;"),
  // A gradient that an earlier call left, to which a later one does not add.
  byPrograms(`${PROGRAM}/trace.ts`, "for (const tensor of this.#unset) if (tensor.grad) return false;", ""),
  // A gradient that is another at every call, kept from the first.
  byPrograms(`${PROGRAM}/compile.ts`, 'traced !== undefined || op.kind === "variable" ||', "traced !== undefined ||"),
  // A gradient that would flow on outside of the function, and is cut at its argument instead.
  byPrograms(`${PROGRAM}/compile.ts`, "if (differentiable.has(t.node)) compiledEdges.add(leaf);", ""),
  byPrograms(`${PROGRAM}/trace-cache.ts`, '${differentiable.has(nodes[i]) ? "d" : ""}', ""),
  // Modes that a function sets itself: taken for what it depends on, or set at the first call alone.
  edit(
    `${PROGRAM}/trace.ts`,
    "if (!this.settings.has(owner) && !this.#modes.has(owner))",
    "if (!this.#modes.has(owner))",
    "tensor/programs-compile",
  ),
  edit(
    `${PROGRAM}/compile.ts`,
    "for (const set of this.trace.settings.values()) set();",
    "",
    "tensor/programs-compile",
  ),
  // A trace that serves tensors of another device.
  byPrograms(
    `${PROGRAM}/trace-cache.ts`,
    'return `${parts.join(";")}@${where}${gradientsStopped() ? " stopped" : ""}`;',
    'return `${parts.join(";")}${where ? "" : "@"}${gradientsStopped() ? " stopped" : ""}`;',
  ),
  // A number that is made the integer tensor's dtype.
  byPrograms(
    "src/tensor/dtype.ts",
    'if (dtype === "i32" || dtype === "u32") return holds(dtype, value) ? dtype : "f32";',
    'if (dtype === "i32" || dtype === "u32") return dtype;',
  ),
  // Host arrays taken by reference.
  byPrograms(
    "src/tensor/create.ts",
    "return leaf(convertValues(values, dtype, options.copy ?? true), options.shape ?? [values.length], dtype);",
    "return leaf(convertValues(values, dtype, false), options.shape ?? [values.length], dtype);",
  ),
  // Expressions of any depth in one kernel.
  edit(
    "src/compiler/fusion/draft.ts",
    "const MAX_EXPRESSION = 512;",
    "const MAX_EXPRESSION = 1e9;",
    "compiler/large-graphs",
  ),
  // Typed arrays of small integers taken for something else than numbers.
  byPrograms("src/tensor/door/host-values.ts", '  return "i32";', '  return "bool";'),
  // A number or a promise as a compiled function's result, for which {} comes back.
  byPrograms(
    `${PROGRAM}/compile.ts`,
    'if (result instanceof Tensor || typeof result !== "object" || result === null || isPromise(result)) {',
    "if (result instanceof Tensor || result === null) {",
  ),
  // Means of integers that are cut to integers, whole ranges of fractions.
  edit(
    "src/tensor/methods/reductions.ts",
    'if (!isFloat(x.dtype)) return x.cast("f32").sum(axes, keepDims).div(count);',
    'if (!isFloat(x.dtype)) return x.cast("f32").sum(axes, keepDims).div(count).cast(x.dtype);',
    "tensor/dtypes",
  ),
  edit(
    "src/tensor/create.ts",
    'const wanted = dtype ?? (whole ? "i32" : "f32");',
    'const wanted = dtype ?? (whole || count > 0 ? "i32" : "f32");',
    "tensor/dtypes",
  ),
  // A shader's rectifier that swallows NaN.
  edit("src/shaders/print/forms.ts", "y === float(0)", "y === float(7)", "tensor/specials#^relu"),
  // The upper end of a range of uniform numbers, and a range of integers that holds none.
  edit("src/tensor/random.ts", "spread : spread.minimum(below(high))", "spread : spread", "tensor/random-ranges"),
  edit("src/tensor/random.ts", "if (!fits || low >= high)", "if (!fits)", "tensor/random-ranges"),
  // Long sums in one chain of additions.
  edit("src/shaders/print/reduce.ts", "steps > share * 4 * SUMMED_AT_ONCE", "steps > 1e9", "compiler/long#one number"),
  // Labels that are ignored and refused all the same; caches without an end.
  edit(
    "src/tensor/bounds.ts",
    "const { size, ignore } = bounds;",
    "const { size } = bounds, ignore = undefined;",
    "tensor/bounds#ignored",
  ),
  edit("src/device/recently-used.ts", "if (this.#entries.size > this.#most)", "if (false)", "device/recently-used"),
  // Random integers of few bits.
  byPrograms("src/tensor/random.ts", "if (count > 2 ** 16 || Math.max(-low, high) > 2 ** 24)", "if (count > 2 ** 31)"),
  // A seed that does not start again.
  byPrograms("src/tensor/random.ts", "    this.#calls = calls;", ""),
  // What a compiled function would make once instead of at every call, and settings that change under it.
  byPrograms("src/tensor/variable.ts", 'tracing()?.changesInside(this, `variable "${this.name}"`);', ""),
  edit(
    "src/nn/optim/optimizer.ts",
    "tracing()?.watch(settings, () => constantsOf(settings));",
    "",
    "tensor/programs-compile",
  ),
  // A compiled function that draws the same at every call, or keeps a live scalar.
  byPrograms(
    `${PROGRAM}/compile.ts`,
    "return [[node, first && i < own ? op.data : op.refresh()] as const];",
    "return [[node, i < own ? op.data : op.refresh()] as const];",
  ),
  // A mode that compiled functions do not see.
  byPrograms("src/nn/module.ts", "tracing()?.watch(this, () => this.#training);", ""),
  // A compiled call inside another one.
  byPrograms(
    `${PROGRAM}/compile.ts`,
    'if (tracing()) throw refusedInTrace("a compiled function called in another");',
    "",
  ),
  // Indices outside that nobody looks at.
  byPrograms(
    "src/tensor/bounds.ts",
    "if ((value < 0 || value >= size) && value !== ignore) throw outside(bounds, value);",
    "",
  ),
  // An optimizer that keeps its momentum through a reset.
  byPrograms(
    "src/nn/optim/optimizer.ts",
    "for (const state of this.stateDict().values()) state.assign(zeros(state.shape, state.dtype));",
    "",
  ),
  // A loop that never reads, in one plan; a cut within an update, whose values both runs would need.
  edit(
    `${PROGRAM}/long-programs.ts`,
    "if (waiting > LONG_PROGRAM) run(recent ?? []);",
    "if (waiting > 1e9) run(recent ?? []);",
    "tensor/long-programs",
  ),
  edit(
    `${PROGRAM}/pending.ts`,
    "if (!trace && counting() && pendingAssignments.has(variable)) cutLongPrograms();",
    "if (!trace && pendingAssignments.has(variable)) cutLongPrograms();",
    "tensor/long-programs#midst",
  ),
  // Factors that compilers drop, and indices that WebGPU does not look at.
  edit("src/shaders/print/expr.ts", "if (vanishing) return vanishing;", "", "tensor/specials#constant"),
  edit("src/device/webgpu/index-checks.ts", "if (stray) throw stray;", "", "tensor/bounds#WebGPU"),
  // Old values that nobody keeps: outside of the run, and for a compiled step.
  edit(
    `${PROGRAM}/old-values.ts`,
    "if (node.users > (within.get(node) ?? 0)) asked.add(node);",
    "",
    "tensor/old-values",
  ),
  edit(`${PROGRAM}/compile.ts`, "await keepOldValues(assignments);", "", "tensor/old-values"),
  // What cannot be read any more is read all the same.
  edit(
    `${PROGRAM}/realize.ts`,
    'if (op.kind !== "variable" || op.version === op.variable.stored) return;',
    "return;",
    "tensor/old-values",
  ),
  // A plan that is remembered keeps the graph it was made from.
  edit(
    "src/device/webgpu/recorded.ts",
    "return { spec: valueSpec(node), place };",
    "return { spec: node, place };",
    "device/remembered-plans",
  ),
  edit(
    "src/device/cpu/program-layout.ts",
    "({ spec: valueSpec(node), at: locate(node) })",
    "({ spec: node, at: locate(node) })",
    "device/remembered-plans",
  ),
];
