/**
 * Attention for CPU-backed adapters: an invocation owns a block of rows and walks the other side in chunks, holding
 * the block of scores in registers.
 *
 * On a software driver a storage load costs many times a multiply-add, workgroup memory is no faster than storage,
 * and dynamically indexed private arrays are slow to run and slower to compile. So the scores of up to 16 rows by 16
 * columns are named variables (256 of them): each loop over channels does 256 vector products for 32 loads, and the
 * accumulated row (out, dq, dk, dv) lives in its storage buffer, read and written once a chunk of 16.
 */
import { BlockEmitter, blockSize, roundUp4 } from "./blocks.ts";
import type { AttentionTile } from "./blocks.ts";
import { keepWidth, rowLayout } from "../../specs/attention.ts";
import { declareBuffers } from "./bindings.ts";
import type { AttentionSpec } from "../../specs/attention.ts";
import type { KernelSource } from "../kernel.ts";
import { literal } from "../print/types.ts";
import { LOWEST } from "../../specs/lowest.ts";

/** The tiles to choose from, the largest first, and from how many multiply-adds of one product each is taken. */
const TILES: readonly (AttentionTile & { readonly work: number })[] = [
  { rows: 16, columns: 16, work: 2 ** 25 },
  { rows: 8, columns: 16, work: 2 ** 22 },
  { rows: 8, columns: 8, work: 2 ** 19 },
  { rows: 4, columns: 8, work: 0 },
];

/** Larger tiles run faster (16×16: 1.4 times 8×8) and compile longer (3 times), which small sizes never repay. */
function tileFor({ batch, heads, queries, keys, dim, segments }: AttentionSpec): AttentionTile {
  const pairs = segments ? segments.reduce((sum, length) => sum + length * length, 0) : queries * keys;
  const work = batch * heads * pairs * dim;
  return TILES.find((tile) => work >= tile.work)!;
}

/** One dispatch: out and lse. Rows are queries, columns keys. */
export function cpuAttentionForward(spec: AttentionSpec, tile = tileFor(spec)): KernelSource {
  const e = new BlockEmitter(spec, spec.queries, spec.keys, tile);
  const [q, k, v, out] = (["q", "k", "v", "out"] as const).map((name) => rowLayout(spec, name));
  const reads = spec.packed ? ["qkv"] : ["q", "k", "v"];
  if (spec.mask) reads.push("mask");
  if (spec.keep) reads.push("keep");
  const declared = declareBuffers(spec, false, [
    ...reads.map((name) => ({ name, write: false })),
    { name: "out", write: true },
    { name: "lse", write: true },
  ]);

  e.rowAddresses("qr", q);
  e.rowAddresses("or", out);
  e.eachRow((r) => `var m${r} = ${LOWEST}; var l${r} = 0.0; var a${r} = 0.0;`);
  e.beginChunks();
  e.columnAddresses("kc", k);
  e.products("s", q.buffer, "qr", k.buffer, "kc");
  e.eachColumn((c) => {
    const condition = e.attends(c);
    return condition ? `let ok${c} = ${condition};` : "";
  });
  e.eachRow((r) => {
    const lines: string[] = ["{"];
    for (let c = 0; c < e.columns; c++) {
      const score = `s_${r}_${c} * ${literal(spec.scale, "f32")}`;
      lines.push(`s_${r}_${c} = ${e.attends(c) ? `select(${LOWEST}, ${score}, ok${c})` : score};`);
    }
    lines.push(
      `let top = max(m${r}, ${e.overColumns(
        (c) => `s_${r}_${c}`,
        (a, b) => `max(${a}, ${b})`,
      )});`,
    );
    lines.push(`a${r} = exp_1(m${r} - top); m${r} = top;`);
    for (let c = 0; c < e.columns; c++) {
      const p = `exp_1(s_${r}_${c} - top)`;
      lines.push(`s_${r}_${c} = ${e.attends(c) ? `select(0.0, ${p}, ok${c})` : p};`);
    }
    lines.push(
      `l${r} = l${r} * a${r} + (${e.overColumns(
        (c) => `s_${r}_${c}`,
        (a, b) => `${a} + ${b}`,
      )});`,
    );
    if (spec.keep) {
      lines.push(`let kept = (bh * ${spec.queries} + ${e.row(r)}) * ${keepWidth(spec)} - columnFirst;`);
      for (let c = 0; c < e.columns; c++) lines.push(`s_${r}_${c} *= keep[kept + ${e.column(c)}];`);
    }
    return lines.join("\n") + "\n}";
  });
  e.columnAddresses("vc", v);
  e.accumulate(
    "out",
    "or",
    (r, c) => `s_${r}_${c}`,
    v.buffer,
    "vc",
    (r) => `a${r}`,
  );
  e.endChunks();
  e.eachRow((r) => {
    const scaled = `for (var d = 0; d < steps; d++) { out[or_${r} + d] *= inverse; }`;
    // A row whose keys are all closed attended to nothing: its sum is 0, told by its bits.
    const open = (value: string): string => (spec.mask ? `select(${value}, 0.0, bitcast<u32>(l${r}) == 0u)` : value);
    const saved = `lse[bh * ${spec.queries} + row + ${r}] = ${open(`m${r} + log_1(l${r})`)};`;
    return e.guardRow(r, `{ let inverse = ${open(`1.0 / l${r}`)}; ${scaled} ${saved} }`);
  });
  return e.kernel("attention.forward", declared, q.buffer);
}

/** Most bytes of probabilities and their gradients that the backward keeps between its dispatches. */
export const SHARE_BYTES = 128 << 20;

/** Width of a row of the shares: the longest sequence of keys, in whole vec4. */
function shareWidth(spec: AttentionSpec): number {
  return roundUp4(keepWidth(spec));
}

/**
 * Two dispatches: over query rows, which gives dq, then over key rows, which gives dk and dv. The first leaves the
 * probabilities and the scores' gradients, from which the second is two plain products; where they exceed `mostBytes`
 * it leaves delta only, and the second computes them again (7 products of Tq×Tk×D in all instead of 5).
 */
export function cpuAttentionBackward(
  spec: AttentionSpec,
  tile = tileFor(spec),
  mostBytes = SHARE_BYTES,
): { kernels: KernelSource[]; scratch: number[] } {
  const rows = spec.batch * spec.heads * spec.queries;
  const shares = 2 * rows * shareWidth(spec);
  if (4 * shares > mostBytes) {
    return { kernels: [queryGradient(spec, tile, false), keyGradient(spec, tile)], scratch: [rows] };
  }
  // The first holds two values for each pair, and compiles in half the time with 8 rows for a tenth more run time.
  const half = { ...tile, rows: Math.min(tile.rows, 8) };
  return { kernels: [queryGradient(spec, half, true), sharedKeyGradient(spec, tile)], scratch: [shares] };
}

function readsOf(spec: AttentionSpec): { name: string; write: boolean }[] {
  const names = ["dout", ...(spec.packed ? ["qkv"] : ["q", "k", "v"]), "lse"];
  if (spec.mask) names.push("mask");
  if (spec.keep) names.push("keep");
  return names.map((name) => ({ name, write: false }));
}

function queryGradient(spec: AttentionSpec, tile: AttentionTile, withShares: boolean): KernelSource {
  const e = new BlockEmitter(spec, spec.queries, spec.keys, tile, withShares);
  const [q, k, v, out, _dout, dq] = (["q", "k", "v", "out", "dout", "dq"] as const).map((n) => rowLayout(spec, n));
  const declared = declareBuffers(spec, true, [
    ...readsOf(spec),
    { name: "out", write: false },
    { name: dq.buffer, write: true },
    { name: withShares ? "shares" : "delta", write: true },
  ]);
  e.rowAddresses("qr", q);
  e.rowAddresses("or", out);
  e.rowAddresses("dr", dq);
  e.eachRow((r) => `var t${r} = 0.0; let lse${r} = lse[bh * ${spec.queries} + ${e.row(r)}];`);
  e.line("for (var d = 0; d < steps; d++) {");
  e.eachRow((r) => {
    const [a, b] = [`dout[or_${r} + d]`, `out[or_${r} + d]`];
    return `t${r} += ${e.width === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`};`;
  });
  e.line("}");
  if (!withShares) e.eachRow((r) => e.guardRow(r, `delta[bh * ${spec.queries} + row + ${r}] = t${r};`));

  e.beginChunks();
  e.columnAddresses("kc", k);
  e.products("p", q.buffer, "qr", k.buffer, "kc");
  e.eachColumn((c) => (e.attends(c) ? `let ok${c} = ${e.attends(c)};` : ""));
  e.eachRow((r) =>
    e.overColumns(
      (c) => {
        const p = `exp_1(p_${r}_${c} * ${literal(spec.scale, "f32")} - lse${r})`;
        return `p_${r}_${c} = ${e.attends(c) ? `select(0.0, ${p}, ok${c})` : p};`;
      },
      (a, b) => `${a}\n${b}`,
    ),
  );
  e.columnAddresses("vc", v);
  e.products("g", "dout", "or", v.buffer, "vc");
  // g becomes ds, and p the dropped-out probability.
  e.eachRow((r) => {
    const kept = `let kept = (bh * ${spec.queries} + ${e.row(r)}) * ${keepWidth(spec)} - columnFirst;`;
    return (
      `{ ${spec.keep ? kept : ""}\n` +
      e.overColumns(
        (c) => {
          const ds = (g: string): string =>
            `g_${r}_${c} = p_${r}_${c} * (${g} - t${r}) * ${literal(spec.scale, "f32")};`;
          if (!spec.keep) return ds(`g_${r}_${c}`);
          return `{ let f = keep[kept + ${e.column(c)}]; ${ds(`g_${r}_${c} * f`)} p_${r}_${c} *= f; }`;
        },
        (a, b) => `${a}\n${b}`,
      ) +
      "\n}"
    );
  });
  if (withShares) storeShares(e);
  e.accumulate(dq.buffer, "dr", (r, c) => `g_${r}_${c}`, k.buffer, "kc");
  e.endChunks();
  return e.kernel("attention.backward.query", declared, q.buffer);
}

/** Where, in vec4, the gradients of the scores begin in the shares; the probabilities are before them. */
function gradientShares(spec: AttentionSpec): number {
  return spec.batch * spec.heads * spec.queries * (shareWidth(spec) / 4);
}

/** Stores p and g of the chunk; columns count from the start of the row's sequence, and those past its end hold 0. */
function storeShares(e: BlockEmitter): void {
  const { spec } = e;
  e.eachRow((r) => {
    const start = `(bh * ${spec.queries} + row + ${r}) * ${shareWidth(spec) / 4}`;
    const lines = [`let at = ${start} + ((chunk - columnFirst) >> 2u);`];
    for (let c = 0; c < e.columns; c += 4) {
      const names = (name: string): string => [0, 1, 2, 3].map((i) => `${name}_${r}_${c + i}`).join(", ");
      const four = (name: string): string => `vec4<f32>(${names(name)})`;
      const store =
        `shares[at + ${c / 4}] = ${four("p")}; ` + `shares[at + ${gradientShares(spec) + c / 4}] = ${four("g")};`;
      lines.push(e.columnsOverhang && c > 0 ? `if (chunk + ${c} < columnEnd) { ${store} }` : store);
    }
    return e.guardRow(r, `{ ${lines.join("\n")} }`);
  });
}

/**
 * dv_j = Σ_i p_ij dout_i and dk_j = Σ_i ds_ij q_i from the shares: an invocation sums up to 16 keys × 4 vec4 of
 * channels in registers, reading 4 keys' shares at a time.
 */
function sharedKeyGradient(spec: AttentionSpec, tile: AttentionTile): KernelSource {
  const e = new BlockEmitter(spec, spec.keys, spec.queries, tile, true);
  const [q, dout, dk, dv] = (["q", "dout", "dk", "dv"] as const).map((n) => rowLayout(spec, n));
  const declared = declareBuffers(spec, true, [
    { name: "dout", write: false },
    { name: q.buffer, write: false },
    { name: "shares", write: false },
    ...[...new Set([dk.buffer, dv.buffer])].map((name) => ({ name, write: true })),
  ]);
  const steps = spec.dim / e.width;
  const vectors = blockSize(steps, 4);
  const parts = Math.ceil(steps / vectors);
  const overhang = steps % vectors !== 0;
  // Several queries a turn, one nested sum an accumulator: software drivers pay for each assignment.
  const lengths = spec.segments ?? [spec.queries];
  const turn = [4, 2].find((n) => lengths.every((length) => length % n === 0)) ?? 1;
  const group = (g: number): string =>
    e.rowsOverhang ? `min(firstGroup + ${g}, ${shareWidth(spec) / 4 - 1})` : `firstGroup + ${g}`;
  const channel = (v: number): string => (overhang ? `min(d + ${v}, ${steps - 1})` : `d + ${v}`);
  const each = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

  e.line(`let d = part * ${vectors}; let firstGroup = (row - columnFirst) >> 2u;`);
  for (const { from, offset, target, name } of [
    { from: dout, offset: 0, target: dv, name: "dv" },
    { from: q, offset: gradientShares(spec), target: dk, name: "dk" },
  ]) {
    e.line("{");
    e.eachRow((r) =>
      each(vectors)
        .map((v) => `var s${r}_${v} = ${e.vector}();`)
        .join(" "),
    );
    e.line(`for (var i = columnFirst; i < lastColumn; i += ${turn}) {`);
    for (const u of each(turn)) {
      e.line(`let at${u} = ${e.address(from, `(i + ${u})`)};`);
      for (const v of each(vectors)) e.line(`let x${u}_${v} = ${from.buffer}[at${u} + ${channel(v)}];`);
      e.line(`let share${u} = ${offset} + (bh * ${spec.queries} + i + ${u}) * ${shareWidth(spec) / 4};`);
    }
    for (const g of each(e.rows / 4)) {
      e.line(
        "{ " +
          each(turn)
            .map((u) => `let w${u} = shares[share${u} + ${group(g)}];`)
            .join(" "),
      );
      for (const i of each(4))
        for (const v of each(vectors)) {
          const sum = `s${4 * g + i}_${v}`;
          const product = (u: number, rest: string): string => `fma(${e.vector}(w${u}[${i}]), x${u}_${v}, ${rest})`;
          e.line(`${sum} = ${each(turn).reduce((rest, u) => product(u, rest), sum)};`);
        }
      e.line("}");
    }
    e.line("}");
    e.rowAddresses(name, target);
    e.eachRow((r) =>
      each(vectors)
        .map((v) => {
          const store = `${target.buffer}[${name}_${r} + d + ${v}] = s${r}_${v};`;
          return e.guardRow(r, overhang && v > 0 ? `if (d + ${v} < ${steps}) { ${store} }` : store);
        })
        .join(" "),
    );
    e.line("}");
  }
  return e.kernel("attention.backward.key", declared, q.buffer, parts);
}

function keyGradient(spec: AttentionSpec, tile: AttentionTile): KernelSource {
  const e = new BlockEmitter(spec, spec.keys, spec.queries, tile);
  const [q, k, v, dout, dk, dv] = (["q", "k", "v", "dout", "dk", "dv"] as const).map((n) => rowLayout(spec, n));
  const outputs = [...new Set([dk.buffer, dv.buffer])];
  const declared = declareBuffers(spec, true, [
    ...readsOf(spec),
    { name: "delta", write: false },
    ...outputs.map((name) => ({ name, write: true })),
  ]);
  e.rowAddresses("kr", k);
  e.rowAddresses("vr", v);
  e.rowAddresses("dkr", dk);
  e.rowAddresses("dvr", dv);
  if (spec.mask) e.eachRow((r) => `let ok${r} = mask[batch * ${spec.keys} + ${e.row(r)}] != 0.0;`);

  e.beginChunks();
  e.columnAddresses("qc", q);
  e.products("p", k.buffer, "kr", q.buffer, "qc");
  e.eachColumn((c) => `let lse${c} = lse[bh * ${spec.queries} + ${e.column(c)}];`);
  e.eachRow((r) =>
    e.overColumns(
      (c) => {
        const conditions: string[] = [];
        if (e.columnsOverhang && c > 0) conditions.push(`chunk + ${c} < columnEnd`);
        if (spec.mask) conditions.push(`ok${r}`);
        const p = `exp_1(p_${r}_${c} * ${literal(spec.scale, "f32")} - lse${c})`;
        return `p_${r}_${c} = ${conditions.length > 0 ? `select(0.0, ${p}, ${conditions.join(" && ")})` : p};`;
      },
      (a, b) => `${a}\n${b}`,
    ),
  );
  e.columnAddresses("oc", dout);
  e.products("g", v.buffer, "vr", "dout", "oc");
  e.eachColumn(
    (c) =>
      `let delta${c} = delta[bh * ${spec.queries} + ${e.column(c)}];` +
      (spec.keep ? ` let kept${c} = (bh * ${spec.queries} + ${e.column(c)}) * ${keepWidth(spec)} - columnFirst;` : ""),
  );
  // g becomes ds and p becomes the dropped-out probability, which is what dk and dv sum over.
  e.eachRow((r) =>
    e.overColumns(
      (c) => {
        const ds = (g: string): string =>
          `g_${r}_${c} = p_${r}_${c} * (${g} - delta${c}) * ${literal(spec.scale, "f32")};`;
        if (!spec.keep) return ds(`g_${r}_${c}`);
        return `{ let f = keep[kept${c} + ${e.row(r)}]; ${ds(`g_${r}_${c} * f`)} p_${r}_${c} *= f; }`;
      },
      (a, b) => `${a}\n${b}`,
    ),
  );
  e.accumulate(dv.buffer, "dvr", (r, c) => `p_${r}_${c}`, "dout", "oc");
  e.accumulate(dk.buffer, "dkr", (r, c) => `g_${r}_${c}`, q.buffer, "qc");
  e.endChunks();
  return e.kernel("attention.backward.key", declared, q.buffer);
}
