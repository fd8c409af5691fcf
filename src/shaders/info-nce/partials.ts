/**
 * The N×K part of InfoNCE's forward: for each row and each chunk of the queue, the maximum of the logits and the sum
 * of their exponentials less it, without storing a logit.
 *
 * On CPU-backed adapters an invocation computes blocks of up to 16 rows × 16 columns in registers, one after the other
 * along its chunk; on a GPU a workgroup of 16×16 does blocks of 64×64 through workgroup memory, and each thread keeps
 * the maximum and sum of its own columns until the chunk's end, so that the blocks need no reduction between threads.
 */
import type { InfoNceSpec } from "../../specs/info-nce.ts";
import type { AdapterProfile, Binding, KernelSource } from "../kernel.ts";
import { helperText } from "../print/helpers.ts";
import { literal } from "../print/types.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";
import { LOWEST } from "../../specs/lowest.ts";

const four = [0, 1, 2, 3];
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** The kernel, and into how many chunks it cuts the queue: `tops` and `sums` are [N, chunks], scratch 0 and 1. */
interface Partials {
  readonly kernel: KernelSource;
  readonly chunks: number;
}

export function infoNcePartials(spec: InfoNceSpec, profile: AdapterProfile): Partials {
  return profile.kind === "cpu" ? registerPartials(spec) : sharedPartials(spec);
}

const BINDINGS: readonly Binding[] = [
  { role: "in", index: 0, access: "read" },
  { role: "in", index: 2, access: "read" },
  { role: "scratch", index: 0, access: "read_write" },
  { role: "scratch", index: 1, access: "read_write" },
];

/** Buffers, and functions that read 4 neighbours: channels c.. of a row of q, columns j.. of a row of the queue. */
function declarations({ channels, negatives }: InfoNceSpec): string {
  const q4 = channels % 4 === 0;
  const queue4 = negatives % 4 === 0;
  const type = (vectors: boolean): string => (vectors ? "vec4<f32>" : "f32");
  // Indices past an end repeat the last element: what is computed of it is discarded.
  const scalars = (buffer: string, row: string, stride: number, at: string): string =>
    `vec4<f32>(${four.map((i) => `${buffer}[${row} * ${stride} + min(${at} + ${i}, ${stride - 1})]`).join(", ")})`;
  return `@group(0) @binding(0) var<storage, read> q: array<${type(q4)}>;
@group(0) @binding(1) var<storage, read> queue: array<${type(queue4)}>;
@group(0) @binding(2) var<storage, read_write> tops: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
fn q4(n: i32, c: i32) -> vec4<f32> {
  return ${q4 ? `q[n * ${channels / 4} + (c >> 2u)]` : scalars("q", "n", channels, "c")};
}
fn queue4(c: i32, j: i32) -> vec4<f32> {
  return ${
    queue4 ? `queue[c * ${negatives / 4} + (min(j, ${negatives - 4}) >> 2u)]` : scalars("queue", "c", negatives, "j")
  };
}
${helperText("exp")}
`;
}

/** Blocks for which one invocation, or workgroup, is started; more, and it does several. */
const CPU_BLOCKS = 1024;
const GPU_BLOCKS = 1024;

/** Chunks of equal numbers of blocks, so that about `most` (blocks of rows × chunks) are started. */
function cut(blocks: number, rowBlocks: number, most: number): { each: number; chunks: number } {
  const each = Math.max(1, Math.floor((blocks * rowBlocks) / most));
  return { each, chunks: Math.ceil(blocks / each) };
}

function registerPartials(spec: InfoNceSpec): Partials {
  const { rows: rowCount, channels, negatives, temperature } = spec;
  // Small losses are dominated by the time to compile.
  const small = rowCount * channels * negatives < 2 ** 20;
  const rows = Math.ceil(rowCount / Math.ceil(rowCount / (small ? 4 : 16)));
  const groups = small ? 2 : 4;
  const rowBlocks = Math.ceil(rowCount / rows);
  const { each, chunks } = cut(Math.ceil(negatives / (4 * groups)), rowBlocks, CPU_BLOCKS);
  const overhang = negatives % (4 * groups) !== 0;
  const total = rowBlocks * chunks;
  const workgroup = 32;
  const workgroups = Math.ceil(total / workgroup);
  const gridX = Math.min(workgroups, MAX_WORKGROUPS);

  const steps = (depth: number): string =>
    [
      ...range(depth).flatMap((i) => range(groups).map((g) => `let b${i}_${g} = queue4(c + ${i}, j + ${4 * g});`)),
      ...range(rows).map(
        (r) =>
          `{ let a = q4(n${r}, c); ` +
          range(groups)
            .map(
              (g) =>
                `s${r}_${g} = ${range(depth).reduce((sum, i) => `fma(vec4<f32>(a[${i}]), b${i}_${g}, ${sum})`, `s${r}_${g}`)};`,
            )
            .join(" ") +
          " }",
      ),
    ].join("\n");
  const whole = channels - (channels % 4);
  const masked = (r: number): string =>
    range(groups)
      .map((g) => {
        const columns = `vec4<i32>(j + ${4 * g}) + vec4<i32>(0, 1, 2, 3)`;
        return `s${r}_${g} = select(vec4<f32>(${LOWEST}), s${r}_${g}, ${columns} < vec4<i32>(${negatives}));`;
      })
      .join("\n");
  const join = (r: number): string => {
    const names = range(groups).map((g) => `s${r}_${g}`);
    const exps = names.map((s) => `exp_4(${s} - top)`);
    return `{
${names.map((s) => `${s} *= ${literal(1 / temperature, "f32")};`).join(" ")}
${overhang ? masked(r) : ""}
let m = ${names.reduce((a, b) => `max(${a}, ${b})`)};
let top = max(top${r}, max(max(m.x, m.y), max(m.z, m.w)));
sum${r} = sum${r} * exp_1(top${r} - top) + dot(${exps.join(" + ")}, vec4<f32>(1.0));
top${r} = top;
}`;
  };
  const store = (r: number): string => `if (row + ${r} < ${rowCount}) {
tops[(row + ${r}) * ${chunks} + chunk] = top${r};
sums[(row + ${r}) * ${chunks} + chunk] = sum${r};
}`;
  // The loop over blocks and that over channels have bounds that the driver's compiler must not know: it would unroll
  // them around bodies of a thousand operations.
  const wgsl = `${declarations(spec)}
@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
let id = (i32(group.y) * ${gridX} + i32(group.x)) * ${workgroup} + i32(local);
if (id >= ${total}) { return; }
let chunk = id % ${chunks};
let row = id / ${chunks} * ${rows};
let some = i32(arrayLength(&queue));
let whole = min(${whole}, some + ${whole});
let first = chunk * ${4 * groups * each};
let end = min(min(first + ${4 * groups * each}, ${negatives}), some + ${negatives});
${range(rows)
  .map((r) => `let n${r} = min(row + ${r}, ${rowCount - 1});`)
  .join("\n")}
${range(rows)
  .map((r) => `var top${r} = ${LOWEST}; var sum${r} = 0.0;`)
  .join("\n")}
for (var j = first; j < end; j += ${4 * groups}) {
${range(rows)
  .map((r) =>
    range(groups)
      .map((g) => `var s${r}_${g} = vec4<f32>();`)
      .join(" "),
  )
  .join("\n")}
${whole > 0 ? `for (var c = 0; c < whole; c += 4) {\n${steps(4)}\n}` : ""}
${channels > whole ? `{ let c = ${whole};\n${steps(channels - whole)}\n}` : ""}
${range(rows).map(join).join("\n")}
}
${range(rows).map(store).join("\n")}
}
`;
  const grid: [number, number, number] = [gridX, Math.ceil(workgroups / gridX), 1];
  return { kernel: { name: "infoNce.partials", wgsl, bindings: BINDINGS, workgroups: grid }, chunks };
}

function sharedPartials(spec: InfoNceSpec): Partials {
  const { rows: rowCount, channels, negatives, temperature } = spec;
  const side = 64;
  const depth = 16;
  const rowBlocks = Math.ceil(rowCount / side);
  const { each, chunks } = cut(Math.ceil(negatives / side), rowBlocks, GPU_BLOCKS);
  const total = rowBlocks * chunks;
  const gridX = Math.min(total, MAX_WORKGROUPS);
  const rowOfQ = (i: number): string =>
    `let x${i} = select(vec4<f32>(), q4(min(n + ${i}, ${rowCount - 1}), min(c, ${lastGroup(channels)})), inside);`;
  const transposed = (i: number): string =>
    `left[(4 * (t / 16) + ${i}) * 16 + tx] = vec4<f32>(x0[${i}], x1[${i}], x2[${i}], x3[${i}]);`;
  const wgsl = `${declarations(spec)}
// Transposed rows of q as vec4 of 4 rows; columns of the queue as vec4 of 4 columns; ${depth} channels of each.
var<workgroup> left: array<vec4<f32>, ${depth * 16}>;
var<workgroup> right: array<vec4<f32>, ${depth * 16}>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
let id = i32(group.y) * ${gridX} + i32(group.x);
if (id >= ${total}) { return; }
let t = i32(local);
let tx = t % 16;
let ty = t / 16;
let chunk = id % ${chunks};
let row0 = id / ${chunks} * ${side};
var top = vec4<f32>(${LOWEST});
var sum = vec4<f32>();
for (var block = 0; block < ${each}; block++) {
  let j0 = (chunk * ${each} + block) * ${side};
${four.map((i) => `var s${i} = vec4<f32>();`).join(" ")}
  for (var c0 = 0; c0 < ${channels}; c0 += ${depth}) {
    workgroupBarrier();
    if (t < 64) {
      let c = c0 + 4 * (t / 16);
      let n = row0 + 4 * tx;
      let inside = vec4<i32>(c) + vec4<i32>(0, 1, 2, 3) < vec4<i32>(${channels});
${four.map(rowOfQ).join("\n")}
${four.map(transposed).join("\n")}
    }
    right[t] = queue4(min(c0 + ty, ${channels - 1}), j0 + 4 * tx);
    workgroupBarrier();
    for (var d = 0; d < ${Math.min(depth, channels)}; d++) {
      let a = left[d * 16 + ty];
      let b = right[d * 16 + tx];
      ${four.map((i) => `s${i} = fma(vec4<f32>(a[${i}]), b, s${i});`).join(" ")}
    }
  }
  let inside = vec4<i32>(j0 + 4 * tx) + vec4<i32>(0, 1, 2, 3) < vec4<i32>(${negatives});
${four
  .map(
    (i) => `{
  let l = select(vec4<f32>(${LOWEST}), s${i} * ${literal(1 / temperature, "f32")}, inside);
  let m = max(top[${i}], max(max(l.x, l.y), max(l.z, l.w)));
  let e = select(vec4<f32>(), exp_4(l - m), inside);
  sum[${i}] = sum[${i}] * exp_1(top[${i}] - m) + dot(e, vec4<f32>(1.0));
  top[${i}] = m;
}`,
  )
  .join("\n")}
}
workgroupBarrier();
left[ty * 16 + tx] = top;
right[ty * 16 + tx] = sum;
workgroupBarrier();
if (tx < 4) {
  let n = row0 + 4 * ty + tx;
  var m = ${LOWEST};
  for (var i = 0; i < 16; i++) { m = max(m, left[ty * 16 + i][tx]); }
  var all = 0.0;
  for (var i = 0; i < 16; i++) { all += right[ty * 16 + i][tx] * exp_1(left[ty * 16 + i][tx] - m); }
  if (n < ${rowCount}) {
    tops[n * ${chunks} + chunk] = m;
    sums[n * ${chunks} + chunk] = all;
  }
}
}
`;
  const grid: [number, number, number] = [gridX, Math.ceil(total / gridX), 1];
  return { kernel: { name: "infoNce.partials", wgsl, bindings: BINDINGS, workgroups: grid }, chunks };
}

/** The first channel of the last group of 4 that can be read. */
function lastGroup(channels: number): number {
  return channels % 4 === 0 ? channels - 4 : channels - 1;
}
