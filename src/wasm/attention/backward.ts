/**
 * Attention backward, from the saved log-sum-exp: five products a block.
 *
 *   p_ij = exp(s_ij − lse_i)      δ_i = Σ_d dout_id out_id      ds_ij = p_ij (keep_ij dout_i·v_j − δ_i)
 *   dv_j = Σ_i keep_ij p_ij dout_i      dk_j = scale Σ_i ds_ij q_i      dq_i = scale Σ_j ds_ij k_j
 *
 * A unit owns the keys of one head: dk and dv of a block of keys are finished at once, and dq grows with each block.
 * Few heads with long sequences would leave threads idle, so there the keys are dealt out in groups, each with a dq of
 * its own, which a second kernel adds up in order.
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
import type { AttentionOperand } from "./blocks.ts";
import { ThreadLayout, copyRows, forVectors, packColumns, panelBytes, storeRows } from "../blocks/copy.ts";
import { blockProduct } from "../blocks/product.ts";
import { multiplyAdd } from "../assembler/features.ts";
import type { Callee } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32, f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import { loadLanes, sumOfLanes } from "../assembler/lanes.ts";
import { wasmForms } from "../print/forms.ts";
import { inOrder, named } from "../assembler/function.ts";

/** Units that keep the threads of a large machine busy. */
const UNITS = 32;

function layoutOf(spec: AttentionSpec) {
  const sizes = blockSizes(spec);
  const memory = new ThreadLayout();
  const [queryRows, keyRows] = [sizes.rows * sizes.channelRow, sizes.columns * sizes.channelRow];
  return {
    q: memory.take(queryRows),
    dout: memory.take(queryRows),
    k: memory.take(keyRows),
    kPanels: memory.take(panelBytes(spec.dim, sizes.columns)),
    vPanels: memory.take(panelBytes(spec.dim, sizes.columns)),
    p: memory.take(sizes.rows * sizes.scoreRow),
    ds: memory.take(sizes.rows * sizes.scoreRow),
    dq: memory.take(queryRows),
    dk: memory.take(keyRows),
    dv: memory.take(keyRows),
    open: memory.take(4 * sizes.columns),
    delta: memory.take(4 * sizes.rows),
    bytes: memory.bytes,
  };
}

/** Into how many groups the keys of each head are dealt, and how many blocks of keys a group has. */
export function keyGroups(spec: AttentionSpec): { groups: number; blocks: number } {
  const blocks = Math.ceil(spec.keys / blockLength(spec.keys));
  if (spec.segments) return { groups: 1, blocks };
  const wanted = Math.min(blocks, Math.max(1, Math.ceil(UNITS / (spec.batch * spec.heads))));
  const each = Math.ceil(blocks / wanted);
  return { groups: Math.ceil(blocks / each), blocks: each };
}

/** Elements of the groups' dq, [group][B, Tq, H, D]; none with a single group, which writes dq itself. */
export function partialSize(spec: AttentionSpec): number {
  const { groups } = keyGroups(spec);
  return groups === 1 ? 0 : groups * spec.batch * spec.queries * spec.heads * spec.dim;
}

export function backwardKernel(spec: AttentionSpec): WasmKernel {
  const sequences = sequencesOf(spec);
  const { groups, blocks } = keyGroups(spec);
  return {
    name: "attention.backward",
    units: spec.batch * spec.heads * sequences.length * groups,
    threadBytes: layoutOf(spec).bytes,
    emit(f, context) {
      const gradients = keyRange(context, spec);
      forUnits(
        f,
        context,
        sequences,
        sequences.map(() => groups),
        (bh, { first, rows, columns }, group) => {
          const head = headAddresses(f, context, spec, true, bh);
          const start = i32.const(first);
          const perGroup = groups === 1 ? columns : blocks * blockLength(columns);
          const begin = f.local("i32", i32.mul(group, i32.const(perGroup)));
          const end = f.local("i32", i32.add(begin, i32.const(perGroup)));
          let dq = head.row.bind(head, "dq", start);
          if (groups > 1) {
            // Laid out as an unpacked dout.
            const within = i32.sub(head.row("dout", start), context.input(0));
            const size = 4 * spec.batch * spec.queries * spec.heads * spec.dim;
            dq = () => i32.add(i32.add(context.scratch(0), i32.mul(group, i32.const(size))), within);
          }
          const address = (operand: AttentionOperand) => head.row(operand, start);
          const args = {
            dout: address("dout"),
            q: address("q"),
            k: address("k"),
            v: address("v"),
            out: address("out"),
            lse: head.lse(start),
            mask: head.mask(start),
            keep: head.keep(start),
            dq: dq(),
            dk: address("dk"),
            dv: address("dv"),
            rows: i32.const(rows),
            begin,
            end: f.least(end, columns),
            columns: i32.const(columns),
            memory: context.threadMemory,
          };
          f.call(gradients, inOrder(PARAMETERS, args));
        },
      );
    },
  };
}

/** Addresses of one sequence's first row, numbers of its rows and keys, and the thread's memory. */
const PARAMETERS = [
  ...(["dout", "q", "k", "v", "out", "lse", "mask", "keep", "dq", "dk", "dv"] as const),
  ...(["rows", "begin", "end", "columns", "memory"] as const),
] as const;

/** The function of the gradients of one sequence's keys `begin` to `end`, and these keys' part of dq. */
function keyRange(context: KernelContext, spec: AttentionSpec): Callee {
  const { features } = context;
  const { dim, scale } = spec;
  const sizes = blockSizes(spec);
  const at = layoutOf(spec);
  const { channelRow, scoreRow } = sizes;
  const dqRow = keyGroups(spec).groups === 1 ? tensorRow(spec, "dq") : tensorRow(spec, "dout");
  const copy = (operand: AttentionOperand) =>
    copyRows(context, { columns: dim, fromRow: tensorRow(spec, operand), toRow: channelRow });
  const store = (toRow: number, add: boolean) => storeRows(context, { columns: dim, fromRow: channelRow, toRow, add });
  const scoreProduct = blockProduct(context, { aRow: channelRow, aStep: 4, cRow: scoreRow });
  const queryProduct = blockProduct(context, { aRow: scoreRow, aStep: 4, bStep: channelRow, cRow: channelRow });
  const keyStrides = { aRow: 4, aStep: scoreRow, bStep: channelRow, cRow: channelRow };
  const keyProducts = [blockProduct(context, keyStrides), blockProduct(context, keyStrides, true)];
  const [copyQ, copyK, copyDout] = [copy("q"), copy("k"), copy("dout")];
  const [packK, packV] = [packColumns(context, tensorRow(spec, "k")), packColumns(context, tensorRow(spec, "v"))];
  const [storeKeys, setDq, addDq] = [store(tensorRow(spec, "dk"), false), store(dqRow, false), store(dqRow, true)];
  const parameters = PARAMETERS.map(() => "i32" as const);
  const name = functionKey("attention.backward", spec, dqRow);

  return context.shared(name, (module) =>
    module.function({ parameters }, (f) => {
      const { dout, q, k, v, out, lse, mask, keep, dq, dk, dv, rows, begin, end, columns, memory } = named(
        PARAMETERS,
        f.parameters,
      );
      const part = (offset: number) => f.local("i32", i32.add(memory, i32.const(offset)));
      const own = {
        q: part(at.q),
        dout: part(at.dout),
        k: part(at.k),
        kPanels: part(at.kPanels),
        vPanels: part(at.vPanels),
        p: part(at.p),
        ds: part(at.ds),
        dq: part(at.dq),
        dk: part(at.dk),
        dv: part(at.dv),
        open: part(at.open),
        delta: part(at.delta),
      };
      const [one, factor] = [f32.const(1), f32.const(scale)];
      const rowOf = (start: Value, row: Value, bytes: number) =>
        f.local("i32", i32.add(start, i32.mul(row, i32.const(bytes))));
      const [rowStep, columnStep] = [emitBlockLength(f, rows), emitBlockLength(f, columns)];
      const column = f.local("i32", begin);

      f.while(
        () => i32.ltS(column, end),
        () => {
          const width = f.least(i32.sub(end, column), columnStep);
          const [atK, atV] = [rowOf(k, column, tensorRow(spec, "k")), rowOf(v, column, tensorRow(spec, "v"))];
          f.call(packK, [atK, own.kPanels, width, i32.const(dim)]);
          f.call(packV, [atV, own.vPanels, width, i32.const(dim)]);
          f.call(copyK, [atK, own.k, width, one]);
          if (sizes.closed) writeOpen(f, spec, rowOf(mask, column, 4), width, own.open);

          const row = f.local("i32", i32.const(0));
          f.while(
            () => i32.ltS(row, rows),
            () => {
              const height = f.least(i32.sub(rows, row), rowStep);
              const atDout = rowOf(dout, row, tensorRow(spec, "dout"));
              f.call(copyQ, [rowOf(q, row, tensorRow(spec, "q")), own.q, height, factor]);
              f.call(copyDout, [atDout, own.dout, height, one]);
              writeDelta(atDout, rowOf(out, row, tensorRow(spec, "out")), height);
              f.call(scoreProduct, [own.q, own.kPanels, own.p, height, width, i32.const(dim)]);
              f.call(scoreProduct, [own.dout, own.vPanels, own.ds, height, width, i32.const(dim)]);
              scoreGradients(row, height, width);

              const intoKeys = (product: Callee) => {
                f.call(product, [own.p, own.dout, own.dv, width, i32.const(dim), height]);
                f.call(product, [own.ds, own.q, own.dk, width, i32.const(dim), height]);
              };
              f.if(
                row,
                () => intoKeys(keyProducts[1]),
                () => intoKeys(keyProducts[0]),
              );
              f.call(queryProduct, [own.ds, own.k, own.dq, height, i32.const(dim), width]);
              const target = rowOf(dq, row, dqRow);
              const intoQueries = (callee: Callee) => f.call(callee, [own.dq, target, height, factor]);
              f.if(
                i32.eq(column, begin),
                () => intoQueries(setDq),
                () => intoQueries(addDq),
              );
              f.set(row, i32.add(row, height));
            },
          );
          f.call(storeKeys, [own.dk, rowOf(dk, column, tensorRow(spec, "dk")), width, one]);
          f.call(storeKeys, [own.dv, rowOf(dv, column, tensorRow(spec, "dv")), width, one]);
          f.set(column, i32.add(column, width));
        },
      );

      /** δ of a block of rows. */
      function writeDelta(from: Value, outFrom: Value, height: Value): void {
        const [x, y] = [f.local("i32", from), f.local("i32", outFrom)];
        const target = f.local("i32", own.delta);
        f.for(i32.const(0), height, 1, () => {
          const sum = f.local("v128", f32x4.const(0));
          forVectors(f, dim, (byte, offset, count) => {
            const [a, b] = [f.name(i32.add(x, byte)), f.name(i32.add(y, byte))];
            f.set(sum, multiplyAdd(features, loadLanes(a, count, offset), loadLanes(b, count, offset), sum));
          });
          f.store32Lane(target, sumOfLanes(f, sum), 0);
          f.set(x, i32.add(x, i32.const(tensorRow(spec, "dout"))));
          f.set(y, i32.add(y, i32.const(tensorRow(spec, "out"))));
          f.set(target, i32.add(target, i32.const(4)));
        });
      }

      /** Scores become probabilities times dropout, and these' gradients become those of the scores, over `scale`. */
      function scoreGradients(firstRow: Value, height: Value, width: Value): void {
        f.for(i32.const(0), height, 1, (i) => {
          const row = f.local("i32", i32.add(firstRow, i));
          const logSum = f.local("v128", v128.load32Splat(rowOf(lse, row, 4)));
          const delta = f.local("v128", v128.load32Splat(rowOf(own.delta, i, 4)));
          const [p, ds] = [rowOf(own.p, i, scoreRow), rowOf(own.ds, i, scoreRow)];
          const kept = spec.keep
            ? f.local("i32", i32.add(rowOf(keep, row, 4 * keepWidth(spec)), i32.shl(column, i32.const(2))))
            : undefined;
          forScores(f, features.wide === true, width, sizes, kept, (byte, vectors) => {
            const [atP, atDs] = [f.local("i32", i32.add(p, byte)), f.local("i32", i32.add(ds, byte))];
            const openAt = sizes.closed && f.name(i32.add(own.open, byte));
            const gradients = vectors.map(({ bytes, keep: given }) => {
              const weight = wasmForms(f, features).exp(f32x4.sub(v128.load(atP, bytes), logSum));
              const share = f.name(openAt ? v128.and(weight, v128.load(openAt, bytes)) : weight);
              const gradient = v128.load(atDs, bytes);
              const inner = f32x4.sub(given ? f32x4.mul(gradient, given) : gradient, delta);
              return {
                ds: f.local("v128", f32x4.mul(share, inner)),
                p: given ? f.local("v128", f32x4.mul(share, given)) : share,
              };
            });
            gradients.forEach(({ ds }, i) => f.store(atDs, ds, vectors[i].bytes));
            gradients.forEach(({ p }, i) => f.store(atP, p, vectors[i].bytes));
          });
        });
      }
    }),
  );
}

/** dq = the sum over the groups, in order. A unit is one row of all heads. */
export function joinGroups(spec: AttentionSpec): WasmKernel {
  const width = spec.heads * spec.dim;
  const rows = spec.batch * spec.queries;
  const { groups } = keyGroups(spec);
  return {
    name: "attention.backward.join",
    units: rows,
    threadBytes: 0,
    emit(f, context) {
      const toRow = tensorRow(spec, "dq");
      const rowCopy = { columns: width, fromRow: 4 * width, toRow };
      const [set, add] = [storeRows(context, rowCopy), storeRows(context, { ...rowCopy, add: true })];
      f.for(context.begin, context.end, 1, (row) => {
        const target = f.local("i32", i32.add(context.output(0), i32.mul(row, i32.const(toRow))));
        const source = f.local("i32", i32.add(context.scratch(0), i32.mul(row, i32.const(4 * width))));
        f.call(set, [source, target, i32.const(1), f32.const(1)]);
        f.for(i32.const(1), i32.const(groups), 1, () => {
          f.set(source, i32.add(source, i32.const(4 * width * rows)));
          f.call(add, [source, target, i32.const(1), f32.const(1)]);
        });
      });
    },
  };
}
