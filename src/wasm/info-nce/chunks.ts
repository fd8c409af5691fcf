/**
 * The InfoNCE losses' work along the queue: logits of a block of queries and a chunk of the queue's columns, in a
 * thread's memory, and what the forward and the backward make of them.
 *
 * A chunk is read from the queue once, for all queries: its rows lie K floats apart, which caches and address
 * translation bear badly. Forward, it leaves each query's maximum and sum of exponentials over the chunk; backward, its
 * part of the queries' gradients.
 */
import type { InfoNceSpec } from "../../specs/info-nce.ts";
import {
  ThreadLayout,
  blockRow,
  copyRows,
  forVectorsOf,
  packColumns,
  packRows,
  panelBytes,
  roundUp4,
} from "../blocks/copy.ts";
import { blockProduct } from "../blocks/product.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32, f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import { lanesBelow, maxOfLanes, sumOfLanes } from "../assembler/lanes.ts";
import { wasmForms } from "../print/forms.ts";
import { LOWEST } from "../../specs/lowest.ts";

/** Most queries whose logits are computed at a time. */
const QUERIES = 64;
/** Columns of a chunk: enough to pay for its copies, few enough that there are chunks for all threads. */
const [LEAST_COLUMNS, MOST_COLUMNS, CHUNKS] = [32, 128, 32];
/** Most parts of the gradient that are summed apart, so that threads can share the work. */
const GROUPS = 64;

interface ChunkPlan {
  /** Columns of each chunk but the last. */
  readonly columns: number;
  readonly chunks: number;
  /** Chunks of each group but the last. */
  readonly each: number;
  readonly groups: number;
  /** N and C, rounded up to whole vectors. */
  readonly rows: number;
  readonly channels: number;
}

export function chunkPlan({ rows, channels, negatives }: InfoNceSpec): ChunkPlan {
  const wanted = Math.ceil(negatives / CHUNKS / 8) * 8;
  const columns = Math.min(MOST_COLUMNS, Math.max(LEAST_COLUMNS, wanted));
  const chunks = Math.ceil(negatives / columns);
  const each = Math.ceil(chunks / GROUPS);
  const groups = Math.ceil(chunks / each);
  return { columns, chunks, each, groups, rows: roundUp4(rows), channels: roundUp4(channels) };
}

function layoutOf(spec: InfoNceSpec, backward: boolean) {
  const { columns } = chunkPlan(spec);
  const memory = new ThreadLayout();
  return {
    q: memory.take(Math.min(QUERIES, roundUp4(spec.rows)) * blockRow(spec.channels)),
    panels: memory.take(panelBytes(spec.channels, columns)),
    logits: memory.take(Math.min(QUERIES, roundUp4(spec.rows)) * blockRow(columns)),
    turned: backward ? memory.take(panelBytes(columns, spec.channels)) : 0,
    bytes: memory.bytes,
  };
}

/** What a block of logits is about: values current within the body. */
interface LogitBlock {
  readonly chunk: Value;
  readonly columns: Value;
  /** First query, and how many. */
  readonly row: Value;
  readonly rows: Value;
  /** Address of the logits, `blockRow` bytes from row to row; columns beyond hold `LOWEST` up to a multiple of 4. */
  readonly logits: Value;
}

/** Runs `start` for each of the chunks `begin` to `end`, then `body` for every block of queries, logits computed. */
function forLogits(
  f: FunctionBuilder,
  context: KernelContext,
  spec: InfoNceSpec,
  backward: boolean,
  range: { begin: Value; end: Value },
  operands: { q: Value; queue: Value },
  start: (source: Value, columns: Value) => void,
  body: (block: LogitBlock) => void,
): void {
  const { rows, channels, negatives, temperature } = spec;
  const plan = chunkPlan(spec);
  const at = layoutOf(spec, backward);
  const part = (offset: number) => f.local("i32", i32.add(context.threadMemory, i32.const(offset)));
  const [q, panels, logits] = [at.q, at.panels, at.logits].map(part);
  const logitRow = blockRow(plan.columns);
  const pack = packRows(context, 4 * negatives);
  const copy = copyRows(context, { columns: channels, fromRow: 4 * channels, toRow: blockRow(channels) });
  const product = blockProduct(context, { aRow: blockRow(channels), aStep: 4, cRow: logitRow });

  f.for(range.begin, range.end, 1, (chunk) => {
    const first = f.local("i32", i32.mul(chunk, i32.const(plan.columns)));
    const columns = f.least(i32.sub(i32.const(negatives), first), plan.columns);
    const source = f.local("i32", i32.add(operands.queue, i32.shl(first, i32.const(2))));
    f.call(pack, [source, panels, i32.const(channels), columns]);
    start(source, columns);
    f.for(i32.const(0), i32.const(rows), QUERIES, (row) => {
      const height = f.least(i32.sub(i32.const(rows), row), QUERIES);
      const from = i32.add(operands.q, i32.mul(row, i32.const(4 * channels)));
      f.call(copy, [from, q, height, f32.const(1 / temperature)]);
      f.call(product, [q, panels, logits, height, columns, i32.const(channels)]);
      if (negatives % 4 !== 0) {
        const left = f.local("i32", i32.and(columns, i32.const(3)));
        f.if(left, () => {
          const inside = f.local("v128", lanesBelow(left));
          const place = f.local("i32", i32.add(logits, i32.shl(i32.sub(columns, left), i32.const(2))));
          f.for(i32.const(0), height, 1, () => {
            f.store(place, v128.bitselect(v128.load(place), f32x4.const(LOWEST), inside));
            f.set(place, i32.add(place, i32.const(logitRow)));
          });
        });
      }
      body({ chunk, columns, row, rows: height, logits });
    });
  });
}

/** In: q, k, queue. Scratch: maxima and sums of exponentials, [chunk][row], both over rows rounded up to 4. */
export function chunkStatistics(spec: InfoNceSpec): WasmKernel {
  const plan = chunkPlan(spec);
  return {
    name: "infoNce.chunks",
    units: plan.chunks,
    threadBytes: layoutOf(spec, false).bytes,
    emit(f, context) {
      const operands = { q: context.input(0), queue: context.input(2) };
      const wide = context.features.wide === true;
      forLogits(
        f,
        context,
        spec,
        false,
        context,
        operands,
        () => {},
        ({ chunk, columns, row, rows, logits }) => {
          const line = f.local("i32", logits);
          const place = i32.add(i32.mul(chunk, i32.const(plan.rows)), row);
          const offset = f.local("i32", i32.shl(place, i32.const(2)));
          const bytes = f.local("i32", i32.shl(columns, i32.const(2)));
          f.for(i32.const(0), rows, 1, () => {
            const highest = [0, 1].map(() => f.local("v128", f32x4.const(LOWEST)));
            forVectorsOf(f, true, bytes, (byte, vectors) => {
              const at = f.name(i32.add(line, byte));
              vectors.forEach((further, i) => f.set(highest[i], f32x4.pmax(highest[i], v128.load(at, further))));
            });
            const top = maxOfLanes(f, f32x4.pmax(highest[0], highest[1]));
            const sum = f.local("v128", f32x4.const(0));
            forVectorsOf(f, wide, bytes, (byte, vectors) => {
              const at = f.name(i32.add(line, byte));
              const weights = vectors.map((further) =>
                wasmForms(f, context.features).exp(f32x4.sub(v128.load(at, further), top)),
              );
              // Nobody reads them: an engine that joins vectors begins at stores that are neighbours.
              if (wide) weights.forEach((weight, i) => f.store(at, weight, vectors[i]));
              for (const weight of weights) f.set(sum, f32x4.add(sum, weight));
            });
            f.store32Lane(i32.add(context.scratch(0), offset), top, 0);
            f.store32Lane(i32.add(context.scratch(1), offset), sumOfLanes(f, sum), 0);
            f.set(offset, i32.add(offset, i32.const(4)));
            f.set(line, i32.add(line, i32.const(blockRow(plan.columns))));
          });
        },
      );
    },
  };
}

/**
 * In: dloss, q, k, queue, log-sum-exp over all. Scratch: each group's part of dq, [group][row][channel], rows and
 * channels rounded up to 4.
 */
export function queryGradients(spec: InfoNceSpec): WasmKernel {
  const { channels, negatives, temperature } = spec;
  const plan = chunkPlan(spec);
  const at = layoutOf(spec, true);
  return {
    name: "infoNce.gradients",
    units: plan.groups,
    threadBytes: at.bytes,
    emit(f, context) {
      const { features } = context;
      const logitRow = blockRow(plan.columns);
      const turned = f.local("i32", i32.add(context.threadMemory, i32.const(at.turned)));
      const turn = packColumns(context, 4 * negatives);
      const strides = { aRow: logitRow, aStep: 4, cRow: 4 * plan.channels };
      const [set, add] = [blockProduct(context, strides), blockProduct(context, strides, true)];
      const [dloss, lseAll] = [context.input(0), context.input(4)];
      f.for(context.begin, context.end, 1, (group) => {
        const begin = f.local("i32", i32.mul(group, i32.const(plan.each)));
        const wanted = f.local("i32", i32.add(begin, i32.const(plan.each)));
        const end = f.least(wanted, plan.chunks);
        const size = 4 * plan.rows * plan.channels;
        const own = f.local("i32", i32.add(context.scratch(0), i32.mul(group, i32.const(size))));
        const operands = { q: context.input(1), queue: context.input(3) };
        const start = (source: Value, columns: Value): void => {
          f.call(turn, [source, turned, i32.const(channels), columns]);
        };
        forLogits(f, context, spec, true, { begin, end }, operands, start, ({ chunk, columns, row, rows, logits }) => {
          const line = f.local("i32", logits);
          const scalar = f.local("i32", i32.shl(row, i32.const(2)));
          const bytes = f.local("i32", i32.shl(columns, i32.const(2)));
          f.for(i32.const(0), rows, 1, () => {
            const all = f.local("v128", v128.load32Splat(i32.add(lseAll, scalar)));
            const scaled = f32x4.mul(v128.load32Splat(i32.add(dloss, scalar)), f32x4.const(1 / temperature));
            const factor = f.local("v128", scaled);
            forVectorsOf(f, features.wide === true, bytes, (byte, vectors) => {
              const place = f.local("i32", i32.add(line, byte));
              const weights = vectors.map((further) =>
                f.local(
                  "v128",
                  f32x4.mul(wasmForms(f, features).exp(f32x4.sub(v128.load(place, further), all)), factor),
                ),
              );
              weights.forEach((weight, i) => f.store(place, weight, vectors[i]));
            });
            f.set(scalar, i32.add(scalar, i32.const(4)));
            f.set(line, i32.add(line, i32.const(logitRow)));
          });
          const target = f.local("i32", i32.add(own, i32.mul(row, i32.const(4 * plan.channels))));
          const given = [logits, turned, target, rows, i32.const(channels), columns];
          f.if(
            i32.eq(chunk, begin),
            () => f.call(set, given),
            () => f.call(add, given),
          );
        });
      });
    },
  };
}
