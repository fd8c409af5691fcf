/** Planted errors in what the cpu device runs on: WebAssembly kernels, memory, and the sharing of work among threads. */
import { edit, editsOf } from "./mutation.ts";
import type { Mutation } from "./mutation.ts";

const wasm = editsOf("src/wasm");
const FORMS = "src/tensor/elementwise/forms.ts";
const cpu = editsOf("src/device/cpu");

const MATMUL = ["wasm/matmul/matmul", "wasm/print/matmul"];
const SCANS = "wasm/scan/scan";
const ATTENTION = "wasm/attention/attention";
const INFO_NCE = "wasm/info-nce/info-nce";
const REDUCTIONS = "tensor/reductions#each device against|long reductions|share a kernel";
const ROWS = "tensor/elementwise#all rows|NaN and infinities|integers: division";
const VIEWS = "tensor/views#each device against|parts so short";
const LINES = "wasm/print/rows";
const PAIRS = "device/cpu-wide#loops and reductions";
const APART = "ops/scan-apart";
const DEVICE = "device/cpu-device#same bits|every unit|operands that are the same";

export const CPU_MUTATIONS: readonly Mutation[] = [
  // --- packing
  wasm(
    "matmul/packing",
    "v128.load32Lane(source, value, lane, at + lane * outer)",
    "v128.load32Lane(source, value, lane, at)",
    ...MATMUL,
  ),
  wasm("matmul/packing", "lane < Math.min(4, valid - 4 * group)", "lane < 4 - (4 * group >= valid ? 1 : 0)", ...MATMUL),
  wasm(
    "matmul/packing",
    "() => emit(width),\n      () => emit(rest)",
    "() => emit(rest),\n      () => emit(width)",
    ...MATMUL,
  ),
  wasm(
    "matmul/packing",
    "f.set(line, i32.add(line, i32.const(4 * width.elements)));",
    "f.set(line, i32.add(line, i32.const(4 * width.elements + 16)));",
    ...MATMUL,
  ),
  wasm(
    "matmul/packing",
    "transpose(f, rows).forEach((column, step) => f.store(to, column, 4 * width * step + 16 * group))",
    "rows.forEach((column, step) => f.store(to, column, 4 * width * step + 16 * group))",
    ...MATMUL,
  ),
  wasm("matmul/packing", "16 * group + 16 > stepBytes && step + 1 === taken", "step + 1 > taken", ...MATMUL),
  wasm("matmul/packing", "i32.add(target, panelBytes)", "i32.add(target, i32.const(4 * stepBytes))", ...MATMUL),
  wasm(
    "assembler/lanes",
    "v128.shuffle32(low, lowNext, [2, 3, 6, 7])",
    "v128.shuffle32(low, lowNext, [2, 3, 7, 6])",
    ...MATMUL,
  ),
  wasm(
    "blocks/copy",
    "f.least(i32.add(row, i32.const(r)), last)",
    "f.name(i32.add(row, i32.const(r)))",
    ATTENTION,
    INFO_NCE,
  ),
  wasm("blocks/copy", "Math.min(4, columns - at)", "4", ATTENTION, INFO_NCE),

  // --- products: tiles, their edges, blocks and parts of k
  wasm(
    "matmul/micro-kernel",
    "v128.load32Splat(a, number * strides.aStep + strides.aRow * r)",
    "v128.load32Splat(a, number * strides.aStep + strides.aRow * (r & 2))",
    ...MATMUL,
  ),
  wasm("matmul/micro-kernel", "f.set(c, i32.add(at[rows - 1], stride));", "f.set(c, at[rows - 1]);", ...MATMUL),
  wasm("matmul/matmul", "i32.add(aFirst, toRow(first))", "aFirst", ...MATMUL),
  wasm(
    "matmul/matmul",
    "{ height: m % MR, first: whole, past: rows },",
    "{ height: 0, first: whole, past: rows },",
    ...MATMUL,
  ),
  wasm("matmul/matmul", "i32.remU(rows, i32.const(2 * TALL))", "i32.remU(rows, i32.const(TALL))", ...MATMUL),
  wasm(
    "matmul/packing",
    "for (let group = Math.ceil(width / 4); group-- > 0; ) {",
    "for (let group = 0; group < Math.ceil(width / 4); group++) {",
    ...MATMUL,
  ),
  wasm("matmul/matmul", "() => tiles(true)", "() => tiles(false)", ...MATMUL),
  wasm(
    "matmul/matmul",
    "f.least(i32.add(kFirst, i32.const(partSteps)), k)",
    "f.name(i32.add(kFirst, i32.const(partSteps)))",
    ...MATMUL,
  ),
  wasm(
    "matmul/matmul",
    "f.for(i32.const(1), i32.const(parts), 1, () => {",
    "f.for(i32.const(2), i32.const(parts), 1, () => {",
    ...MATMUL,
  ),
  wasm("matmul/matmul", ": f.least(i32.sub(i32.const(n), n0), blockColumns)", ": i32.const(blockColumns)", ...MATMUL),
  wasm("print/matmul", "dependencies(value.index).values", "[] as number[]", ...MATMUL, DEVICE),
  wasm(
    "print/matmul",
    'return { name, batch, m: n, n: m, k, a: b, b: a, c: result(kernel, "n", "m", memory) };',
    'return { name, batch, m: n, n: m, k, a: b, b: a, c: result(kernel, "m", "n", memory) };',
    ...MATMUL,
  ),

  // --- scans
  wasm("scan/scan", "activated(forms, cell, unit, gate), gate)", "activated(forms, cell, unit, 0), gate)", SCANS),
  wasm("scan/scan", "if (saves) after.kept.forEach(", "if (!saves) after.kept.forEach(", SCANS),
  wasm("scan/scan", "(i === 0 ? given.input : given.recurrent)", "given.input", SCANS),
  wasm("scan/scan", "valid ? v128.bitselect(passed, before(k), valid) : passed", "passed", SCANS),
  wasm("scan/scan", "valid ? f.name(v128.bitselect(value, unit.state(k), valid)) : value", "value", SCANS),
  wasm("scan/scan", "kept(cell.kept + k - 1)", "kept(cell.kept + k - 2)", SCANS),
  wasm("scan/scan", "f32x4.add(before(0), load(at(row.dy)))", "before(0)", SCANS),
  wasm("scan/units", "if (hidden % 4 > 0) quad(", "if (hidden % 4 > 1) quad(", SCANS),
  wasm(
    "scan/units",
    "i32.eq(unit.direction, i32.const(backwards ? 1 : 0))",
    "i32.eq(unit.direction, i32.const(0))",
    SCANS,
  ),
  wasm("scan/product", "if (rest > 0) f.if(", "if (rest > 1) f.if(", SCANS),

  // --- softmax and attention
  wasm("attention/forward", "if (before) f.set(top, f32x4.pmax(top, before));", "", ATTENTION),
  wasm(
    "attention/forward",
    "v128.andNot(f32x4.div(f32x4.const(1), total), nothing)",
    "f32x4.div(f32x4.const(1), total)",
    ATTENTION,
  ),
  wasm(
    "attention/forward",
    "f32x4.mul(factor, v128.load32Splat(i32.add(sums, four)))",
    "v128.load32Splat(i32.add(sums, four))",
    ATTENTION,
  ),
  wasm("attention/backward", "given ? f32x4.mul(gradient, given) : gradient, delta", "gradient, delta", ATTENTION),
  wasm("attention/backward", "() => intoQueries(addDq)", "() => intoQueries(setDq)", ATTENTION),

  // --- reductions, among them those of softmax and layer norm
  wasm("print/reduce-columns", "lane < rest ? -1 : 0", "lane <= rest ? -1 : 0", REDUCTIONS),
  wasm("print/reduce-columns", "[1, 0, 3, 2]", "[0, 1, 2, 3]", REDUCTIONS),
  wasm(
    "print/reduce-columns",
    "return join(join(sums[0], sums[1]), join(sums[2], sums[3]));",
    "return join(sums[0], sums[1]);",
    REDUCTIONS,
  ),
  wasm(
    "print/reduce-columns",
    "                  take(at, 0, true);\n",
    "                  take(at, 0, false);\n",
    REDUCTIONS,
  ),
  wasm(
    "print/reduce-rows",
    "v128.load(here, to + bytes)",
    "v128.load(here, bytes)",
    REDUCTIONS,
    "ops/nn-ops#compositions",
  ),
  wasm(
    "print/reduce-rows",
    "(accumulators.length + kept.length + k)",
    "(accumulators.length + k)",
    REDUCTIONS,
    "ops/nn-ops#compositions",
    DEVICE,
  ),
  wasm("print/combine", "[-Infinity, f32x4.max]", "[0, f32x4.max]", REDUCTIONS),
  wasm("print/combine", "f.if(i32.eqz(i32.and(done", "f.if(i32.and(i32.const(0), i32.and(done", "compiler/long"),
  wasm("print/reduce-rows", "if (ended) endBlock();", "", "compiler/long"),
  wasm("print/reduce-columns", "if (ended) endBlock();", "", "compiler/long"),
  wasm("matmul/micro-kernel", "f32x4.add(v128.load(at[r], 16 * v), sum)", "sum", "wasm/matmul/matmul", DEVICE),
  wasm("print/loop", "f.least(i32.add(from, first), ", "f.least(1 << 30, ", REDUCTIONS, ROWS),
  wasm("print/loop", "f.least(i32.mul(end, first), second)", "f.name(i32.mul(end, first))", "wasm/program"),
  wasm("print/expr-kernel", "${e.word - firstWord}", "${e.word}", "wasm/program"),
  wasm("print/expr", "expr.word - first,", "expr.word,", ROWS, "device/cpu-device"),
  wasm(
    "print/loads",
    "f.set(at, i32.add(at, step));",
    "f.set(at, i32.add(at, i32.const(1)));",
    VIEWS,
    "ops/nn-ops#compositions",
  ),
  wasm("assembler/module", "this.#known.set(key, index);", "", "wasm/program"),

  // --- elementwise forms, functions, indices behind guards, random bits
  edit(
    FORMS,
    "relu: (b, x) => b.pmax(x, b.const(0))",
    "relu: (b, x) => b.pmax(b.const(0), x)",
    "device/cpu-device#NaN",
  ),
  edit(FORMS, "b.const(0.044715)", "b.const(0.045)", ROWS),
  wasm("print/math", "0.1666652011", "0.1666752011", "wasm/print/math"),
  wasm("print/math", "1.5 * 2 ** 23 + 126", "1.5 * 2 ** 23 + 127", "wasm/print/math"),
  wasm("print/expr", "i32x4.ltU(at, i32x4.const(size))", "i32x4.ltS(at, i32x4.const(size))", VIEWS),
  wasm("print/expr", "if (step === 1) return below;", "return below;", VIEWS),
  wasm("print/expr", "i32x4.ltS(at, i32x4.const(end))", "i32x4.ltS(at, i32x4.const(end + 1))", LINES),
  wasm("print/loads", "this.#parted.add(arg.id);", "{}", LINES),
  wasm("print/loads", "? sub(resolved, this.#column) : undefined", "? resolved : undefined", LINES),
  wasm("print/kept-columns", "names.size === 1 &&", "", LINES),
  wasm(
    "print/expr",
    "f.set(high, v128.shuffle32(even, odd, [2, 6, 3, 7]));",
    "f.set(high, v128.shuffle32(even, odd, [2, 6, 7, 3]));",
    "tensor/random",
  ),
  // --- pairs of vectors
  wasm("print/loads", "v128.load(address(0), this.#o.shift())", "v128.load(address(0))", PAIRS),
  wasm("print/loads", "offset + this.#o.shift()", "offset", PAIRS),
  wasm("print/expr", "f.store(at, word, 16 * i)", "f.store(at, word, 16)", PAIRS),
  wasm("print/expr", 'return expr.kind === "result";', "return true;", PAIRS),
  wasm("print/reduce-columns", "f.store(context.threadMemory, vectors[k], 32 * k + 16 * i)", "{}", "wasm/joined"),
  wasm("assembler/function", 'this.set(localValue("v128", start + i), this.#zero)', "{}", "wasm/joined"),
  wasm("print/loop", "i32.const(-8))", "i32.const(-4))", PAIRS),
  wasm("print/expr", "size % 8 === 0", "size % 4 === 0", PAIRS),
  wasm("print/reduce-rows", "f.store(here, vector, line + 16 * i)", "f.store(here, own[0], line + 16 * i)", PAIRS),
  wasm("print/reduce-columns", "f.set(vector, v128.load(at, 16 * i))", "f.set(vector, v128.load(at))", PAIRS),
  wasm("blocks/product", "[i32.add(panel, length)]", "[panel]", ATTENTION, INFO_NCE),
  wasm("scan/units", "of [one, second[i]])", "of [one, one])", SCANS),
  wasm("scan/product", "width: side * joint", "width: NR * joint", SCANS),
  wasm("top-k", "i32.eqz(f32.ge(y, x))", "i32.eqz(f32.gt(y, x))", "wasm/top-k"),

  // --- InfoNCE
  wasm(
    "info-nce/info-nce",
    "i32.add(offset, i32.const(4 * plan.rows))",
    "i32.add(offset, i32.const(4 * rows))",
    INFO_NCE,
  ),
  wasm("info-nce/info-nce", "f32x4.mul(sumPositive, exp(f32x4.sub(topPositive, top)))", "sumPositive", INFO_NCE),
  wasm("info-nce/info-nce", "exp(f32x4.sub(logit, some)))", "exp(f32x4.sub(logit, all)))", INFO_NCE),
  wasm("info-nce/chunks", "if (negatives % 4 !== 0) {", "if (negatives % 4 === 5) {", INFO_NCE),
  wasm("info-nce/chunks", "() => f.call(add, given)", "() => f.call(set, given)", INFO_NCE),

  // --- the sharing of work, and memory
  wasm("work-sharing", "const end = f.least(to, units);", "const end = to;", DEVICE),
  wasm(
    "work-sharing",
    'if (single && last && !("body" in last) && last.serial)',
    'if (phase.kernels.length === 1 && last && !("body" in last) && last.serial)',
    DEVICE,
  ),
  wasm("work-sharing", "start += units;", "start += 2 * units;", DEVICE),
  wasm(
    "work-sharing",
    "f.least(i32.add(first, i32.const(piece)), call.units)",
    "i32.add(first, i32.const(piece))",
    DEVICE,
  ),
  wasm("work-sharing", "Math.ceil(call.units / PIECES)", "Math.max(1, call.units)", DEVICE),
  // --- loops in blocks of rows
  wasm("print/reduce-rows", "16 * Math.ceil(units.piece / 4)", "4 * units.piece", APART),
  wasm("loop-layout", "if (!rowLocal(kernels, rows, changes)) return undefined;", "", APART),
  wasm("loop-layout", "cut ? nodeBytes(node) : plan.slots[slot]", "plan.slots[slot]", APART),
  wasm("loop-layout", 'leafOf.get(b.buffer) === "whole"', "true", APART),
  wasm("matmul/matmul", "panels ? 4 * k : b.plain!.outer", "b.plain!.outer", APART),
  wasm("matmul/matmul", "f.if(i32.ltS(next, i32.const(n)), () => narrow(panelAt(next)));", "", APART),
  wasm("loop-layout", "call.table += at;", "call.table += 0;", APART),
  cpu("memory", "this.#release(address, size);", "this.#release(address, size - 64);", "device/cpu-memory", DEVICE),
  cpu("memory", "if (before !== undefined) {", "if (before !== undefined && before < 0) {", "device/cpu-memory"),
  cpu(
    "threads",
    "this.#memory.allocate(each * this.count)",
    "this.#memory.allocate(each)",
    DEVICE,
    "device/cpu-threads",
  ),
  cpu("worker-text", "      memory.grow(0);\n", "", "device/cpu-threads"),

  // --- optimizers
  {
    file: "src/nn/optim/adam.ts",
    find: ".mul(Math.log(beta)).expm1().neg()",
    replace: ".mul(Math.log(beta)).exp()",
    tests: ["nn/optimizers"],
  },
  {
    file: "src/nn/optim/adam.ts",
    find: "slots.exp_avg_sq.mul(beta2).add(g.square().mul(1 - beta2))",
    replace: "slots.exp_avg_sq.mul(beta2).add(g.square().mul(1 - beta1))",
    tests: ["nn/optimizers"],
  },
  {
    file: "src/nn/optim/adam.ts",
    find: "p.mul(lr.mul(-settings.weightDecay).add(1))",
    replace: "p.mul(1 - settings.weightDecay)",
    tests: ["nn/optimizers"],
  },
  {
    file: "src/nn/optim/sgd.ts",
    find: "nesterov ? g.add(next.mul(momentum)) : next",
    replace: "nesterov ? next.add(g.mul(momentum)) : next",
    tests: ["nn/optimizers"],
  },
  { file: "src/nn/optim/sgd.ts", find: "own(counts!).gt(1)", replace: "own(counts!).gt(0)", tests: ["nn/optimizers"] },
];
