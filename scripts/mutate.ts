/**
 * Planted errors: does the suite notice? `npm run mutate [-- --only TEXT] [-- --jobs N] [-- --list]`.
 *
 * Every mutation is one edit of a gradient, a kernel or a planning rule, applied to a copy of the tree; the tests named
 * with it must then fail. Prints a line a mutation and `N caught, M survived`; exit code 1 when any survives.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

interface Mutation {
  readonly file: string;
  /** Text that occurs in the file; its first occurrence is replaced. */
  readonly find: string;
  readonly replace: string;
  /** Test files under test/ of which at least one must fail. */
  readonly tests: readonly string[];
}

const table = (find: string, replace: string): Mutation =>
  ({ file: "src/tensor/elementwise.ts", find, replace, tests: ["engine/elementwise"] });
const rule = (find: string, replace: string, ...tests: string[]): Mutation =>
  ({ file: "src/autograd/vjp.ts", find, replace, tests });
const edit = (file: string, find: string, replace: string, ...tests: string[]): Mutation => ({ file, find, replace, tests });

const mutations: readonly Mutation[] = [
  // Derivatives of the table.
  table("grad: (dy) => [dy, dy.neg()]", "grad: (dy) => [dy, dy]"),
  table("[dy.mul(b), dy.mul(a)]", "[dy.mul(a), dy.mul(b)]"),
  table("[dy.div(b), dy.mul(q).div(b).neg()]", "[dy.div(b), dy.mul(q).div(b)]"),
  table("[dy.div(y).mul(0.5)]", "[dy.div(y)]"),
  table("[dy.mul(y.square()).neg()]", "[dy.mul(y).neg()]"),
  table("grad: (dy, _, a) => [dy.mul(a.sin()).neg()]", "grad: (dy, _, a) => [dy.mul(a.sin())]"),
  table("[dy.sub(dy.mul(y.square()))]", "[dy.sub(dy.mul(y))]"),
  table("[dy.mul(y).mul(y.neg().add(1))]", "[dy.mul(y)]"),
  table("[dy.mul(a.sigmoid())], doc: \"log(1 + eˣ)\"", "[dy.mul(a.tanh())], doc: \"log(1 + eˣ)\""),
  table("[dy.mask(y.gt(0))]", "[dy]"),
  table("a.gt(0).where(1, y.add(1))", "a.gt(0).where(1, y)"),
  table(".mul(INV_SQRT_2PI)", ".mul(0.5)"),
  table("[undefined, dy.mask(c), dy.mask(c.not())]", "[undefined, dy.mask(c), dy.mask(c)]"),
  // WGSL of the table and its helpers.
  table("wgsl: (w, x) => `max(${x}, ${w.f(0)})`", "wgsl: (w, x) => `abs(${x})`"),
  table("`(${w.f(1)} / ${x})`", "`(${w.f(2)} / ${x})`"),
  edit("src/shaders/wgsl-helpers.ts", "1.061405429f", "1.161405429f", "engine/elementwise"),
  edit("src/shaders/wgsl-helpers.ts", "0.16666667f", "0.26666667f", "engine/elementwise"),
  // Rules of reverse mode.
  rule("return [dy.reshape(inputs[0].shape)];", "return [dy.reshape(inputs[0].shape).neg()];", "engine/views"),
  rule("const inverse = op.order.map((_, i) => op.order.indexOf(i));", "const inverse = [...op.order];", "engine/views"),
  rule("(dy.shape[i] - 1) * step[i] : s", "(dy.shape[i] - 2) * step[i] : s", "engine/views"),
  rule("b.matmul(dy.transpose()).transpose()", "b.matmul(dy.transpose()).transpose().mul(2)", "engine/products"),
  rule("dy.matmul(b.transpose());", "dy.matmul(b.transpose()).neg();", "engine/products"),
  rule("a.transpose().matmul(dy);", "a.transpose().matmul(dy).mul(1.01);", "engine/products"),
  rule("return spread(dy);", "return spread(dy).mul(1.001);", "engine/reductions"),
  rule("spread(dy.div(ties.sum(axes)))", "spread(dy)", "engine/reductions"),
  // Fused ops.
  edit("src/ops/softmax.ts", "y.mul(weighted.sum(axis, true))", "y.mul(weighted.mean(axis, true))", "engine/nn-ops"),
  edit("src/ops/softmax.ts", "y.exp().mul(dy.sum(axis, true))", "y.mul(dy.sum(axis, true))", "engine/nn-ops"),
  edit("src/ops/normalization.ts", ".sub(y.mul(dy.mul(y).mean(-1, true)))", "", "engine/nn-ops"),
  edit("src/ops/losses.ts", ".mul(1 - labelSmoothing)", "", "engine/nn-ops", "golden/verify"),
  edit("src/ops/top-k.ts", "scatterAddZeros(x.shape, x.rank - 1, indices, dvalues)", "scatterAddZeros(x.shape, x.rank - 1, indices, dvalues.neg())", "engine/nn-ops"),
  edit("src/ops/convolution.ts", ".sub(0.5).maximum(0)", ".maximum(0)", "golden/verify"),
  // Kernels.
  edit("src/shaders/gru-scan.ts", "1.0 - ", "1.1 - ", "shaders/scan"),
  edit("src/shaders/wgsl-reduce.ts", "return `(${a} * ${b})`;", "return `(${a} + ${b})`;", "engine/reductions"),
  edit("src/shaders/wgsl-expr.ts", "parts.push(`((${e.text} % ${type}(${c.step})) == ${type}(0))`)", "void 0", "engine/views", "engine/fuzz"),
  edit("src/shaders/wgsl-expr.ts", "(${e.text} < ${type}(${c.size}))", "(${e.text} <= ${type}(${c.size}))", "engine/views", "engine/fuzz"),
  edit("src/shaders/top-k.ts", "v > than_v", "v < than_v", "engine/nn-ops"),
  // Indices, fusion and planning.
  edit("src/compiler/int-expr.ts", "high.factor !== low.factor * by", "high.factor === low.factor * by", "engine/index-expressions"),
  edit("src/compiler/int-expr.ts", "add(scale(mod(split.high, k / split.g), split.g), split.low)", "add(mod(split.high, k / split.g), split.low)", "engine/index-expressions"),
  edit("src/compiler/access.ts", "scale(e, op.step[i])", "scale(e, 1)", "engine/views"),
  edit("src/compiler/access.ts", "from[i] === 1 ? int(0) : e", "e", "engine/views", "engine/fuzz"),
  edit("src/compiler/plan.ts", "s.lives.every((l) => l.to < life.from || l.from > life.to)", "s.lives.every((l) => l.to <= life.from || l.from > life.to)", "engine/fuzz", "engine/nn-ops"),
  edit("src/compiler/plan.ts", "for (const reader of readers) unit.after.add(reader);", "", "engine/variables", "engine/fuzz"),
  edit("src/compiler/kernels.ts", "deepest = solve(expr.number) + 1", "deepest = solve(expr.number)", "engine/nn-ops"),
  edit("src/compiler/graph.ts", "fused ${op.fused.name} ${JSON.stringify(op.attrs)}", "fused ${op.fused.name}", "engine/nn-ops", "golden/verify", "engine/fuzz"),
  edit("src/tensor/random.ts", "[13, 15, 26, 6, 17, 29, 16, 24]", "[13, 15, 26, 6, 17, 29, 16, 25]", "engine/random"),
];

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: { only: { type: "string" }, jobs: { type: "string", default: "2" }, list: { type: "boolean" } },
});

function run(folder: string, tests: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const files = tests.map((t) => `test/${t}.test.ts`);
    const child = spawn(process.execPath, ["--import", "tsx", "--test", ...files], { cwd: folder, stdio: "ignore", timeout: 240_000 });
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** A copy of the tree that shares the installed packages. */
function copyTree(): string {
  const folder = mkdtempSync(join(tmpdir(), "hico-mutant-"));
  for (const name of ["src", "test", "scripts", "bench", "docs", "package.json", "tsconfig.json", "README.md"]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

const chosen = mutations.filter((m) => values.only === undefined || `${m.file} ${m.find}`.includes(values.only));
for (const { file, find } of chosen) {
  if (!readFileSync(join(root, file), "utf8").includes(find)) throw new Error(`${file} has no "${find}": the list is out of date`);
}
if (values.list) {
  for (const m of chosen) console.log(`${m.file}: ${m.find}  →  ${m.replace}`);
} else {
  let survived = 0;
  const queue = [...chosen];
  const work = async () => {
    for (let m = queue.shift(); m; m = queue.shift()) {
      const folder = copyTree();
      try {
        const path = join(folder, m.file);
        writeFileSync(path, readFileSync(path, "utf8").replace(m.find, () => m.replace));
        const caught = (await run(folder, m.tests)) !== 0;
        if (!caught) survived++;
        console.log(`${caught ? "caught  " : "SURVIVED"}  ${m.file}: ${m.find}  →  ${m.replace || "(nothing)"}`);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, work));
  console.log(`${chosen.length - survived} caught, ${survived} survived`);
  process.exitCode = survived > 0 ? 1 : 0;
}
