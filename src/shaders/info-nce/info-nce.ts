/**
 * InfoNCE against a queue of negatives, with one or several positives a row, as fused kernels.
 *
 *   l_np = q_n·k_np / τ (positives)      l_nj = q_n·queue_j / τ (negatives)
 *   all_n = log(Σ_p e^l_np + Σ_j e^l_nj)      pos_n = log Σ_p e^l_np      loss_n = all_n − pos_n
 *
 * (van den Oord et al. 2018; the queue as in MoCo, He et al. 2020; several positives as in MIL-NCE, Miech et al. 2020.)
 * A batch has tens of rows and the queue tens of thousands of columns, so work is split along the queue.
 *
 * Forward: each chunk of the queue gives a running maximum and sum of exponentials a row (the online softmax of
 * Milakov & Gimelshein 2018), a second dispatch joins the chunks and adds the positives. The N×K logits are never
 * stored. Backward: the gradient of a logit is
 *
 *   dl_nj = dloss_n e^(l_nj − all_n)      dl_np = dloss_n (e^(l_np − all_n) − e^(l_np − pos_n))
 *
 * The negatives' share, over τ, is kept in scratch (some columns of the queue at a time where it would be large), is
 * multiplied with the queue chunk by chunk, and the chunks are added up in order: no atomics, the same bits each run.
 */
import { infoNcePartials } from "./partials.ts";
import type { AdapterProfile, Binding, KernelSource, Lowering } from "../kernel.ts";
import { chooseTile, emitMatmul } from "../matmul/matmul.ts";
import type { MatmulOperand, MatmulSpec } from "../matmul/product.ts";
import type { InfoNceSpec } from "../../specs/info-nce.ts";
import { f32 } from "../../specs/tensor-spec.ts";
import { helperText } from "../print/helpers.ts";
import { literal } from "../print/types.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";
import { LOWEST } from "../../specs/lowest.ts";

/** Threads that share a row in the joining kernels. */
const THREADS = 64;

type Buffers = readonly { readonly name: string; readonly type?: string; readonly binding: Omit<Binding, "access"> }[];

const input = (index: number) => ({ role: "in", index }) as const;
const output = (index: number) => ({ role: "out", index }) as const;
const scratch = (index: number) => ({ role: "scratch", index }) as const;

/** Bindings and WGSL declarations of buffers of f32 (or `type`), outputs being written, as are `written` ones. */
function declare(buffers: Buffers, written: readonly string[]): { bindings: Binding[]; text: string } {
  const bindings = buffers.map(
    ({ name, binding }): Binding => ({ ...binding, access: written.includes(name) ? "read_write" : "read" }),
  );
  const text = buffers
    .map(
      ({ name, type }, i) =>
        `@group(0) @binding(${i}) var<storage, ${bindings[i].access}> ${name}: array<${type ?? "f32"}>;\n`,
    )
    .join("");
  return { bindings, text };
}

/** One workgroup of `THREADS` a row n; thread `t`. The test at the top is the same for the whole workgroup. */
function rowKernel(
  name: string,
  rows: number,
  declared: ReturnType<typeof declare>,
  memory: string,
  body: string,
): KernelSource {
  const gridX = Math.min(rows, MAX_WORKGROUPS);
  const wgsl = `${declared.text}${memory}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
let n = i32(group.y) * ${gridX} + i32(group.x);
let t = i32(local);
if (n >= ${rows}) { return; }
${body}}
`;
  return { name, wgsl, bindings: declared.bindings, workgroups: [gridX, Math.ceil(rows / gridX), 1] };
}

/** WGSL that declares `score` = l_np of row n and positive p. */
function positiveScore({ channels, positives, temperature }: InfoNceSpec): string {
  return `var score = 0.0;
for (var c = 0; c < ${channels}; c++) {
  score += q[n * ${channels} + c] * k[(n * ${positives} + p) * ${channels} + c];
}
score *= ${literal(1 / temperature, "f32")};
`;
}

/**
 * Forward. Inputs as `infoNceForwardInputs`, outputs as `infoNceForwardOutputs`; two dispatches.
 */
export function infoNceForward(spec: InfoNceSpec, profile: AdapterProfile): Lowering {
  const { kernel, chunks } = infoNcePartials(spec, profile);
  return { kernels: [kernel, joinPartials(spec, chunks)], scratch: [f32(spec.rows, chunks), f32(spec.rows, chunks)] };
}

/** Joins the chunks' (maximum, sum) of each row with the positives' scores. */
function joinPartials(spec: InfoNceSpec, chunks: number): KernelSource {
  const declared = declare(
    [
      { name: "q", binding: input(0) },
      { name: "k", binding: input(1) },
      { name: "tops", binding: scratch(0) },
      { name: "sums", binding: scratch(1) },
      { name: "loss", binding: output(0) },
      { name: "lseAll", binding: output(1) },
      { name: "lsePositive", binding: output(2) },
    ],
    ["loss", "lseAll", "lsePositive"],
  );
  const memory = `// (maximum, sum) over the negatives, and over the positives, that each thread met.
var<workgroup> parts: array<vec4<f32>, ${THREADS}>;
fn join(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let top = max(a.x, b.x);
  return vec2<f32>(top, a.y * exp_1(a.x - top) + b.y * exp_1(b.x - top));
}
${helperText("exp")}${helperText("log")}`;
  return rowKernel(
    "infoNce.join",
    spec.rows,
    declared,
    memory,
    `
var negative = vec2<f32>(${LOWEST}, 0.0);
for (var i = t; i < ${chunks}; i += ${THREADS}) {
  negative = join(negative, vec2<f32>(tops[n * ${chunks} + i], sums[n * ${chunks} + i]));
}
var positive = vec2<f32>(${LOWEST}, 0.0);
for (var p = t; p < ${spec.positives}; p += ${THREADS}) {
  ${positiveScore(spec)}positive = join(positive, vec2<f32>(score, 1.0));
}
parts[t] = vec4<f32>(negative, positive);
workgroupBarrier();
if (t == 0) {
  for (var i = 1; i < ${THREADS}; i++) {
    negative = join(negative, parts[i].xy);
    positive = join(positive, parts[i].zw);
  }
  let whole = join(negative, positive);
  let all = whole.x + log_1(whole.y);
  let some = positive.x + log_1(positive.y);
  loss[n] = all - some;
  lseAll[n] = all;
  lsePositive[n] = some;
}
`,
  );
}

/** Most bytes of logit gradients kept at a time. */
const SHARE_BYTES = 64 << 20;
/** Blocks of dq (chunks × blocks of rows × blocks of channels) that keep an adapter busy. */
const GRADIENT_BLOCKS = 256;

/**
 * Backward. Inputs as `infoNceBackwardInputs`, outputs as `infoNceBackwardOutputs`; three dispatches, and two
 * more as often as N·K exceeds what is kept of the logits' gradients at a time.
 */
export function infoNceBackward(spec: InfoNceSpec, profile: AdapterProfile): Lowering {
  const { rows, channels, negatives } = spec;
  const mostBytes = Math.min(SHARE_BYTES, profile.maxBindingBytes);
  const mostColumns = Math.max(4, Math.floor(mostBytes / 4 / rows / 4) * 4);
  const passes = Math.ceil(negatives / mostColumns);
  const columnsEach = Math.min(negatives, Math.ceil(negatives / passes / 4) * 4);

  const side = profile.kind === "cpu" ? 16 : 64;
  const blocks = Math.ceil(rows / side) * Math.ceil(channels / side);
  const wanted = Math.max(1, Math.ceil(GRADIENT_BLOCKS / blocks / passes));
  const chunk = Math.min(columnsEach, Math.max(64, Math.ceil(columnsEach / wanted / 4) * 4));

  const kernels: KernelSource[] = [];
  let chunks = 0;
  for (let first = 0; first < negatives; first += columnsEach) {
    const range = { first, count: Math.min(columnsEach, negatives - first) };
    kernels.push(shares(spec, profile, range), queryPartials(spec, profile, range, chunk, chunks));
    chunks += Math.ceil(range.count / chunk);
  }
  kernels.push(joinGradients(spec, chunks));
  return { kernels, scratch: [f32(rows, columnsEach), f32(chunks, rows, channels)] };
}

/** Columns of the queue that are dealt with at a time. */
interface QueueColumns {
  readonly first: number;
  readonly count: number;
}

/** How the rows of a matrix are read: 4 at once where every row starts, and the range ends, at a multiple of 4. */
interface Matrix {
  readonly buffer: string;
  readonly vectors: boolean;
  /** Elements from one row to the next. */
  readonly stride: number;
}

function element({ buffer, vectors, stride }: Matrix, row: string, column: string): string {
  const index = `(${row}) * ${stride} + ${column}`;
  return vectors ? `${buffer}[(${index}) >> 2u][(${index}) & 3]` : `${buffer}[${index}]`;
}

function vector({ buffer, stride }: Matrix, row: string, column: string): string {
  return `${buffer}[(${row}) * ${stride / 4} + ((${column}) >> 2u)]`;
}

/**
 * The matmul operand whose element at (outer, k) is matrix[outer][first + k], or matrix[k][first + outer]; zero where
 * `inside` is given and does not hold.
 */
function operand(
  matrix: Matrix,
  along: "k" | "outer",
  first: (batch: string) => string,
  inside?: (batch: string, k: string) => string,
): MatmulOperand {
  const place = (batch: string, outer: string, k: string): [string, string] =>
    along === "k" ? [outer, `${first(batch)} + ${k}`] : [k, `${first(batch)} + ${outer}`];
  const guard = (zero: string, value: string, batch: string, k: string): string =>
    inside ? `select(${zero}, ${value}, ${inside(batch, k)})` : value;
  return {
    vectorAxis: matrix.vectors ? along : "none",
    load: (batch, outer, k) => guard("0.0", element(matrix, ...place(batch, outer, k)), batch, k),
    load4: (batch, outer, k) => guard("vec4<f32>()", vector(matrix, ...place(batch, outer, k)), batch, k),
  };
}

/** Whether rows of `stride` elements, read over `count` columns, can be read as vec4. */
function vectorRows(...sizes: number[]): boolean {
  return sizes.every((size) => size % 4 === 0);
}

/** A matmul as a kernel of this lowering. */
function product(
  spec: Omit<MatmulSpec, "declarations">,
  buffers: Buffers,
  written: string,
  profile: AdapterProfile,
  functions = "",
): KernelSource {
  const { bindings, text } = declare(buffers, [written]);
  const whole = { ...spec, declarations: text + functions };
  const { wgsl, workgroups } = emitMatmul(whole, chooseTile(whole, profile), profile);
  return { name: spec.name, wgsl, bindings, workgroups };
}

const vec4If = (vectors: boolean): string => (vectors ? "vec4<f32>" : "f32");

/** share[n][j] = dloss_n / τ · e^(l_nj − all_n) over the given columns j. */
function shares(spec: InfoNceSpec, profile: AdapterProfile, { first, count }: QueueColumns): KernelSource {
  const { rows, channels, negatives, temperature } = spec;
  const q: Matrix = { buffer: "q", vectors: vectorRows(channels), stride: channels };
  const queue: Matrix = { buffer: "queue", vectors: vectorRows(negatives, count), stride: negatives };
  const scale = literal(1 / temperature, "f32");
  const value = (m: string, logit: string, lanes: 1 | 4): string =>
    `exp_${lanes}(${logit} * ${scale} - lseAll[${m}]) * (dloss[${m}] * ${scale})`;
  return product(
    {
      name: "infoNce.shares",
      batch: 1,
      m: rows,
      n: count,
      k: channels,
      a: operand(q, "k", () => "0"),
      b: operand(queue, "outer", () => String(first)),
      storeVector: queue.vectors,
      store: (_, m, n, logit) => `share[${m} * ${count} + ${n}] = ${value(m, logit, 1)};`,
      store4: (_, m, n, logit) => `share[${m} * ${count / 4} + (${n} >> 2u)] = ${value(m, logit, 4)};`,
    },
    [
      { name: "dloss", binding: input(0) },
      { name: "q", type: vec4If(q.vectors), binding: input(1) },
      { name: "queue", type: vec4If(queue.vectors), binding: input(3) },
      { name: "lseAll", binding: input(4) },
      { name: "share", type: vec4If(queue.vectors), binding: scratch(0) },
    ],
    "share",
    profile,
    helperText("exp"),
  );
}

/** partial[chunk][n][c] = Σ over the chunk's columns j of share[n][j] · queue[c][j]. */
function queryPartials(
  spec: InfoNceSpec,
  profile: AdapterProfile,
  { first, count }: QueueColumns,
  chunk: number,
  firstChunk: number,
): KernelSource {
  const { rows, channels, negatives } = spec;
  const vectors = vectorRows(negatives, count, chunk);
  const chunks = Math.ceil(count / chunk);
  const inside =
    count % chunk === 0 ? undefined : (batch: string, k: string): string => `${batch} * ${chunk} + ${k} < ${count}`;
  const storeVector = vectorRows(channels);
  const place = (batch: string, m: string, n: string): string =>
    `((${firstChunk} + ${batch}) * ${rows} + ${m}) * ${channels} + ${n}`;
  return product(
    {
      name: "infoNce.queryPartials",
      batch: chunks,
      m: rows,
      n: channels,
      k: chunk,
      a: operand({ buffer: "share", vectors, stride: count }, "k", (batch) => `${batch} * ${chunk}`, inside),
      b: operand(
        { buffer: "queue", vectors, stride: negatives },
        "k",
        (batch) => `${first} + ${batch} * ${chunk}`,
        inside,
      ),
      storeVector,
      store: (batch, m, n, value) => `partials[${place(batch, m, n)}] = ${value};`,
      store4: (batch, m, n, value) => `partials[(${place(batch, m, n)}) >> 2u] = ${value};`,
    },
    [
      { name: "share", type: vec4If(vectors), binding: scratch(0) },
      { name: "queue", type: vec4If(vectors), binding: input(3) },
      { name: "partials", type: vec4If(storeVector), binding: scratch(1) },
    ],
    "partials",
    profile,
  );
}

/** dq[n] = Σ over chunks + Σ_p dl_np k_np, and dk_np = dl_np q_n, with dl_np over τ. */
function joinGradients(spec: InfoNceSpec, chunks: number): KernelSource {
  const { rows, channels, positives, temperature } = spec;
  const declared = declare(
    [
      { name: "dloss", binding: input(0) },
      { name: "q", binding: input(1) },
      { name: "k", binding: input(2) },
      { name: "lseAll", binding: input(4) },
      { name: "lsePositive", binding: input(5) },
      { name: "partials", binding: scratch(1) },
      { name: "dq", binding: output(0) },
      { name: "dk", binding: output(1) },
    ],
    ["dq", "dk"],
  );
  return rowKernel(
    "infoNce.joinGradients",
    rows,
    declared,
    `var<workgroup> weights: array<f32, ${THREADS}>;\n${helperText("exp")}`,
    `
for (var c = t; c < ${channels}; c += ${THREADS}) {
  var sum = 0.0;
  for (var i = 0; i < ${chunks}; i++) { sum += partials[(i * ${rows} + n) * ${channels} + c]; }
  dq[n * ${channels} + c] = sum;
}
let factor = dloss[n] * ${literal(1 / temperature, "f32")};
for (var first = 0; first < ${positives}; first += ${THREADS}) {
  workgroupBarrier();
  let p = min(first + t, ${positives - 1});
  ${positiveScore(spec)}weights[t] = factor * (exp_1(score - lseAll[n]) - exp_1(score - lsePositive[n]));
  workgroupBarrier();
  let here = min(${THREADS}, ${positives} - first);
  for (var c = t; c < ${channels}; c += ${THREADS}) {
    let x = q[n * ${channels} + c];
    var sum = dq[n * ${channels} + c];
    for (var i = 0; i < here; i++) {
      let place = (n * ${positives} + first + i) * ${channels} + c;
      sum += weights[i] * k[place];
      dk[place] = weights[i] * x;
    }
    dq[n * ${channels} + c] = sum;
  }
}
`,
  );
}
