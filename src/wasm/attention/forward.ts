/**
 * Attention forward: out and the log-sum-exp of each row.
 *
 * A unit is a block of queries of one head. It meets the keys block by block, with a running maximum and sum a row (the
 * online softmax of Milakov & Gimelshein 2018, as in FlashAttention, Dao et al. 2022); where all keys are one block the
 * maximum is final at once and nothing is rescaled.
 */
import type { AttentionSpec } from "../../specs/attention.ts";
import { keepWidth } from "../../specs/attention.ts";
import {
  blockLength,
  blockSizes,
  emitBlockLength,
  forScores,
  forUnits,
  functionKey,
  headAddresses,
  sequencesOf,
  tensorRow,
  writeOpen,
} from "./blocks.ts";
import { ThreadLayout, copyRows, packColumns, panelBytes, storeRows } from "../blocks/copy.ts";
import { blockProduct } from "../blocks/product.ts";
import type { Callee } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32, f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import { byCount, maxOfLanes, storeLanes, sumOfLanes } from "../assembler/lanes.ts";
import { wasmForms } from "../print/forms.ts";
import { LOWEST } from "../../specs/lowest.ts";
import { inOrder, named } from "../assembler/function.ts";

function layoutOf(spec: AttentionSpec) {
  const sizes = blockSizes(spec);
  const memory = new ThreadLayout();
  return {
    queries: memory.take(sizes.rows * sizes.channelRow),
    keys: memory.take(panelBytes(spec.dim, sizes.columns)),
    values: memory.take(sizes.columns * sizes.channelRow),
    scores: memory.take(sizes.rows * sizes.scoreRow),
    out: memory.take(sizes.rows * sizes.channelRow),
    open: memory.take(4 * sizes.columns),
    top: memory.take(4 * sizes.rows),
    sum: memory.take(4 * sizes.rows),
    bytes: memory.bytes,
  };
}

export function forwardKernel(spec: AttentionSpec): WasmKernel {
  const sequences = sequencesOf(spec);
  const pieces = sequences.map((s) => Math.ceil(s.rows / blockLength(s.rows)));
  return {
    name: "attention.forward",
    units: spec.batch * spec.heads * pieces.reduce((a, b) => a + b, 0),
    threadBytes: layoutOf(spec).bytes,
    emit(f, context) {
      const attend = queryBlock(context, spec);
      forUnits(f, context, sequences, pieces, (bh, { first, rows, columns }, piece) => {
        const head = headAddresses(f, context, spec, false, bh);
        const done = f.local("i32", i32.mul(piece, i32.const(blockLength(rows))));
        const row = f.local("i32", i32.add(i32.const(first), done));
        const left = f.local("i32", i32.sub(i32.const(rows), done));
        const count = f.least(left, blockLength(rows));
        const key = i32.const(first);
        const args = {
          q: head.row("q", row),
          k: head.row("k", key),
          v: head.row("v", key),
          out: head.row("out", row),
          lse: head.lse(row),
          mask: head.mask(key),
          keep: head.keep(row),
          rows: count,
          columns: i32.const(columns),
          memory: context.threadMemory,
        };
        f.call(attend, inOrder(PARAMETERS, args));
      });
    },
  };
}

/** Addresses of a block's first row or key, its numbers of both, and the thread's memory. */
const PARAMETERS = ["q", "k", "v", "out", "lse", "mask", "keep", "rows", "columns", "memory"] as const;

/** The function of one block of queries and all its keys. */
function queryBlock(context: KernelContext, spec: AttentionSpec): Callee {
  const { features } = context;
  const { dim, scale } = spec;
  const sizes = blockSizes(spec);
  const at = layoutOf(spec);
  const blocks = Math.max(...sequencesOf(spec).map((s) => Math.ceil(s.columns / blockLength(s.columns))));
  const online = blocks > 1;
  const channels = { columns: dim, toRow: sizes.channelRow };
  const copyQueries = copyRows(context, { ...channels, fromRow: tensorRow(spec, "q") });
  const copyValues = copyRows(context, { ...channels, fromRow: tensorRow(spec, "v") });
  const packKeys = packColumns(context, tensorRow(spec, "k"));
  const scoreProduct = blockProduct(context, { aRow: sizes.channelRow, aStep: 4, cRow: sizes.scoreRow });
  const outProduct = blockProduct(
    context,
    { aRow: sizes.scoreRow, aStep: 4, bStep: sizes.channelRow, cRow: sizes.channelRow },
    online,
  );
  const storeOut = storeRows(context, {
    columns: dim,
    fromRow: sizes.channelRow,
    toRow: tensorRow(spec, "out"),
    each: true,
  });
  const parameters = PARAMETERS.map(() => "i32" as const);
  const name = functionKey("attention.forward", spec, online);

  return context.shared(name, (module) =>
    module.function({ parameters }, (f) => {
      const { q, k, v, out, lse, mask, keep, rows, columns, memory } = named(PARAMETERS, f.parameters);
      const part = (offset: number) => f.local("i32", i32.add(memory, i32.const(offset)));
      const [queries, keys, values, scores, result] = [at.queries, at.keys, at.values, at.scores, at.out].map(part);
      const [open, tops, sums] = [at.open, at.top, at.sum].map(part);
      const one = f32.const(1);
      f.call(copyQueries, [q, queries, rows, f32.const(scale)]);
      if (online) f.fillBytes(result, i32.const(0), i32.mul(rows, i32.const(sizes.channelRow)));
      if (online) {
        f.for(i32.const(0), rows, 4, (row) => {
          const four = f.local("i32", i32.shl(row, i32.const(2)));
          f.store(i32.add(tops, four), f32x4.const(LOWEST));
          f.store(i32.add(sums, four), f32x4.const(0));
        });
      }

      const step = emitBlockLength(f, columns);
      f.while(
        () => i32.gtS(columns, i32.const(0)),
        () => {
          const here = f.least(columns, step);
          f.call(packKeys, [k, keys, here, i32.const(dim)]);
          f.call(copyValues, [v, values, here, one]);
          f.call(scoreProduct, [queries, keys, scores, rows, here, i32.const(dim)]);
          if (sizes.closed) writeOpen(f, spec, mask, here, open);

          f.for(i32.const(0), rows, 1, (row) => {
            const line = f.local("i32", i32.add(scores, i32.mul(row, i32.const(sizes.scoreRow))));
            const four = f.local("i32", i32.shl(row, i32.const(2)));
            /** The scores of a round, closed ones at the lowest number. */
            const scoresOf = (byte: Value, vectors: readonly { readonly bytes: number }[]): Value[] => {
              const [at, openAt] = [f.name(i32.add(line, byte)), sizes.closed && f.name(i32.add(open, byte))];
              return vectors.map(({ bytes }) => {
                const given = v128.load(at, bytes);
                return openAt ? v128.bitselect(given, f32x4.const(LOWEST), v128.load(openAt, bytes)) : given;
              });
            };
            const highest = [0, 1].map(() => f.local("v128", f32x4.const(LOWEST)));
            forScores(f, true, here, sizes, undefined, (byte, vectors) =>
              scoresOf(byte, vectors).forEach((score, i) => f.set(highest[i], f32x4.pmax(highest[i], score))),
            );
            const top = f.local("v128", maxOfLanes(f, f32x4.pmax(highest[0], highest[1])));
            const before = online ? f.local("v128", v128.load32Splat(i32.add(tops, four))) : undefined;
            if (before) f.set(top, f32x4.pmax(top, before));

            const sum = f.local("v128", f32x4.const(0));
            const factors = spec.keep
              ? f.local("i32", i32.add(keep, i32.mul(row, i32.const(4 * keepWidth(spec)))))
              : undefined;
            forScores(f, features.wide === true, here, sizes, factors, (byte, vectors) => {
              const [at, openAt] = [f.name(i32.add(line, byte)), sizes.closed && f.name(i32.add(open, byte))];
              const shares = scoresOf(byte, vectors).map((score, i) => {
                const weight = wasmForms(f, features).exp(f32x4.sub(score, top));
                return f.name(openAt ? v128.and(weight, v128.load(openAt, vectors[i].bytes)) : weight);
              });
              const kept = shares.map((share, i) => {
                const { keep } = vectors[i];
                return keep ? f.local("v128", f32x4.mul(share, keep)) : share;
              });
              kept.forEach((value, i) => f.store(at, value, vectors[i].bytes));
              for (const share of shares) f.set(sum, f32x4.add(sum, share));
            });
            const total = f.local("v128", sumOfLanes(f, sum));
            if (before) {
              const factor = wasmForms(f, features).exp(f32x4.sub(before, top));
              f.set(total, f32x4.add(total, f32x4.mul(factor, v128.load32Splat(i32.add(sums, four)))));
              const line = f.local("i32", i32.add(result, i32.mul(row, i32.const(sizes.channelRow))));
              f.for(i32.const(0), i32.const(4 * dim), 16, (byte) => {
                const place = f.local("i32", i32.add(line, byte));
                f.store(place, f32x4.mul(v128.load(place), factor));
              });
            }
            f.store32Lane(i32.add(tops, four), top, 0);
            f.store32Lane(i32.add(sums, four), total, 0);
          });

          f.call(outProduct, [scores, values, result, rows, i32.const(dim), here]);
          f.set(columns, i32.sub(columns, here));
          f.set(k, i32.add(k, i32.mul(here, i32.const(tensorRow(spec, "k")))));
          f.set(v, i32.add(v, i32.mul(here, i32.const(tensorRow(spec, "v")))));
          const bytes = f.local("i32", i32.shl(here, i32.const(2)));
          if (spec.mask) f.set(mask, i32.add(mask, bytes));
          if (spec.keep) f.set(keep, i32.add(keep, bytes));
        },
      );

      // Rows that attended to nothing have a sum of 0, and get 0 for everything. The sums become factors.
      f.for(i32.const(0), rows, 4, (row) => {
        const four = f.local("i32", i32.shl(row, i32.const(2)));
        const place = f.local("i32", i32.add(sums, four));
        const total = f.local("v128", v128.load(place));
        const nothing = f.local("v128", spec.mask ? f32x4.eq(total, f32x4.const(0)) : f32x4.const(0));
        const all = f32x4.add(v128.load(i32.add(tops, four)), wasmForms(f, features).log(total));
        const value = f.local("v128", v128.andNot(all, nothing));
        f.store(place, v128.andNot(f32x4.div(f32x4.const(1), total), nothing));
        const target = f.local("i32", i32.add(lse, four));
        byCount(f, i32.sub(rows, row), (count) => storeLanes(f, target, value, count));
      });
      f.call(storeOut, [result, out, rows, sums]);
    }),
  );
}
