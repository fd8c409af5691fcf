/**
 * What matmul tiles reach, against two plain kernels of fixed text in the same run.
 *
 *   node --import tsx bench/matmul-tiles.ts [--driver swiftshader|lavapipe] [--cases 1024,grad] [--tiles "TILE;TILE"]
 *                                           [--candidates N] [--runs N] [--profile cpu|gpu] [--json]
 *   npx deno run -A --unstable-webgpu bench/matmul-tiles.ts --driver lavapipe
 *
 * All kernels of a case run in turn, `--runs` times over, and the best time of each counts: other work on the machine
 * hits all alike. A plain kernel reads row-major operands whatever the case's layout, as a yardstick of equal work.
 */
import process from "node:process";
import { Gpu } from "../src/device/webgpu/gpu/gpu.ts";
import type { SoftwareDriver } from "../src/device/software-vulkan.ts";
import type { DispatchCommand } from "../src/device/webgpu/gpu/gpu.ts";
import type { MatmulShader } from "../src/shaders/matmul/product.ts";
import { candidateTiles, chooseTile, emitMatmul, formatTile, parseTile } from "../src/shaders/matmul/matmul.ts";
import type { Product } from "../test/shaders/matmul/matmul-problem.ts";
import { bindings, specOf, values } from "../test/shaders/matmul/matmul-problem.ts";
import { describeProduct, PRODUCT_CASES as CASES } from "./battery/product-cases.ts";

/** `rows` × 4·`columns` results an invocation, no shared memory, no edges: m and n are multiples of 16. */
function plain({ batch, m, n, k }: Product, rows: number, columns: number): MatmulShader | undefined {
  if (m % rows !== 0 || n % (4 * columns) !== 0 || k % 4 !== 0) return undefined;
  const each = (count: number, text: (i: number) => string): string =>
    Array.from({ length: count }, (_, i) => text(i)).join("\n");
  const wgsl = `
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) at: vec3<u32>) {
  let row = i32(at.y) * ${rows};
  let column = i32(at.x) * ${columns};
  if (row >= ${m} || column >= ${n / 4}) { return; }
  let base = i32(at.z);
  ${each(rows * columns, (i) => `var s${i} = vec4<f32>();`)}
  for (var k = 0; k < ${k / 4}; k++) {
    ${each(
      4 * columns,
      (i) => `let b${i} = b[(base * ${k} + k * 4 + ${Math.floor(i / columns)}) * ${n / 4} + column + ${i % columns}];`,
    )}
    ${each(
      rows,
      (r) => `{ let v = a[(base * ${m} + row + ${r}) * ${k / 4} + k];
    ${each(
      columns,
      (c) =>
        `s${r * columns + c} = ${["x", "y", "z", "w"].reduce(
          (sum, axis, j) => `fma(vec4<f32>(v.${axis}), b${j * columns + c}, ${sum})`,
          `s${r * columns + c}`,
        )};`,
    )} }`,
    )}
  }
  ${each(
    rows * columns,
    (i) => `c[(base * ${m} + row + ${Math.floor(i / columns)}) * ${n / 4} + column + ${i % columns}] = s${i};`,
  )}
}`;
  return { wgsl, workgroups: [Math.ceil(n / 4 / columns / 8), Math.ceil(m / rows / 8), batch] };
}

function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

interface Row {
  readonly case: string;
  readonly kernel: string;
  /** Milliseconds, the best and the median run. */
  best: number;
  median: number;
  gflops: number;
  /** Rate over that of the plain 16-row kernel (the 8-row kernel where that does not fit); null where neither does. */
  ratio: number | null;
  compileMs: number;
}

async function measure(gpu: Gpu, name: string, product: Product): Promise<Row[]> {
  const spec = specOf(product);
  const profile = { ...gpu.profile, kind: (option("profile") as "cpu" | "gpu" | undefined) ?? gpu.profile.kind };
  const kernels: [string, MatmulShader][] = [];
  for (const [rows, columns] of [
    [16, 4],
    [8, 1],
  ]) {
    const kernel = plain(product, rows, columns);
    if (kernel !== undefined) kernels.push([`plain ${rows}x${columns}`, kernel]);
  }
  const tiles =
    option("tiles")?.split(";").map(parseTile) ?? candidateTiles(spec, profile, Number(option("candidates") ?? 1));
  const chosen = formatTile(chooseTile(spec, profile));
  for (const tile of tiles) {
    const text = formatTile(tile);
    kernels.push([text === chosen ? `${text} *` : text, emitMatmul(spec, tile, profile)]);
  }

  const { batch, m, n, k } = product;
  const counts = [batch * m * k, batch * k * n, batch * m * n];
  const buffers = counts.map((count) => gpu.acquire(4 * count));
  gpu.write(buffers[0], 0, values(counts[0], 1));
  gpu.write(buffers[1], 0, values(counts[1], 2));
  const commands: { command: DispatchCommand; compileMs: number }[] = [];
  for (const [kernel, { wgsl, workgroups }] of kernels) {
    const start = performance.now();
    const pipeline = await gpu.pipeline({ name: kernel, wgsl, bindings });
    const compileMs = performance.now() - start;
    const bindGroup = gpu.bindGroup(
      pipeline,
      buffers.map((buffer, i) => ({ buffer, offset: 0, size: 4 * counts[i] })),
    );
    commands.push({ command: { kind: "dispatch", pipeline, bindGroup, workgroups }, compileMs });
  }
  const times = kernels.map((): number[] => []);
  // Small products run several times a submit: waiting for the queue takes up to 11 ms under Deno.
  const repeats = Math.max(1, Math.min(50, Math.round(3e8 / (2 * batch * m * n * k))));
  for (let run = 0; run <= Number(option("runs") ?? 5); run++) {
    for (let i = 0; i < commands.length; i++) {
      const start = performance.now();
      gpu.submit(new Array(repeats).fill(commands[i].command));
      await gpu.idle();
      // The first round compiles what drivers compile late.
      if (run > 0) times[i].push((performance.now() - start) / repeats);
    }
  }
  for (const buffer of buffers) gpu.release(buffer);
  const rows = kernels.map(([kernel], i): Row => {
    const sorted = times[i].sort((p, q) => p - q);
    const best = sorted[0];
    return {
      case: name,
      kernel,
      best,
      median: sorted[sorted.length >> 1],
      gflops: (2 * batch * m * n * k) / best / 1e6,
      ratio: null,
      compileMs: commands[i].compileMs,
    };
  });
  if (kernels[0][0].startsWith("plain")) for (const row of rows) row.ratio = row.gflops / rows[0].gflops;
  return rows;
}

const driver = (option("driver") ?? process.env.HICO_ADAPTER) as SoftwareDriver | undefined;
const gpu = await Gpu.open(driver === undefined ? {} : { adapter: driver });
const json = process.argv.includes("--json");
const results: Row[] = [];
const wanted = option("cases")?.split(",") ?? Object.keys(CASES);
if (!json) console.log(`${gpu.info.device || gpu.info.description}, ${gpu.profile.kind} profile`);
for (const name of wanted) {
  const product = CASES[name];
  if (product === undefined) throw new Error(`--cases ${name}: there are ${Object.keys(CASES).join(", ")}`);
  const rows = await measure(gpu, name, product);
  results.push(...rows);
  if (json) continue;
  console.log(`\n${name}: ${describeProduct(product)}`);
  for (const { kernel, best, gflops, ratio, compileMs } of rows) {
    console.log(
      `  ${kernel.padEnd(34)} ${best.toFixed(2).padStart(9)} ms ${gflops.toFixed(2).padStart(8)} GFLOP/s ` +
        `${(ratio?.toFixed(2) ?? "-").padStart(6)} x plain   compiled in ${compileMs.toFixed(0)} ms`,
    );
  }
}
if (json) console.log(JSON.stringify({ adapter: gpu.info.device || gpu.info.description, results }, undefined, 2));
gpu.close();
