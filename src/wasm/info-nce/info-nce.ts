/**
 * InfoNCE against a queue of negatives, with one or several positives a row, as kernels of the `cpu` device. The
 * formulas and the order of operands are those of `specs/info-nce.ts`.
 *
 * Forward, the logits exist a chunk of the queue at a time, in a thread's memory; a second kernel joins the chunks'
 * maxima and sums (the online softmax of Milakov & Gimelshein 2018) with the positives. Backward, each group of chunks
 * computes its logits again and its part of dq; a second kernel adds the parts up, in order, and the positives' share.
 */
import type { InfoNceSpec } from "../../specs/info-nce.ts";
import { forVectors, mapRow } from "../blocks/copy.ts";
import { multiplyAdd } from "../assembler/features.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import { chunkPlan, chunkStatistics, queryGradients } from "./chunks.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel, WasmLowering } from "../kernel.ts";
import { byCount, loadLanes, storeLanes, sumOfLanes } from "../assembler/lanes.ts";
import { wasmForms } from "../print/forms.ts";
import { LOWEST } from "../../specs/lowest.ts";

/** In: q [N, C], k [N, P, C], queue [C, K]. Out: loss, and the log-sum-exps over all and over the positives; [N]. */
export function infoNceForward(spec: InfoNceSpec): WasmLowering {
  const { chunks, rows } = chunkPlan(spec);
  const statistics = { shape: [chunks, rows], dtype: "f32" } as const;
  return { kernels: [chunkStatistics(spec), joinChunks(spec)], scratch: [statistics, statistics] };
}

/** In: dloss [N], q, k, queue, and the two log-sum-exps. Out: dq [N, C], dk [N, P, C]; no gradient of the queue. */
export function infoNceBackward(spec: InfoNceSpec): WasmLowering {
  const { groups, rows, channels } = chunkPlan(spec);
  return {
    kernels: [queryGradients(spec), joinGradients(spec)],
    scratch: [{ shape: [groups, rows, channels], dtype: "f32" }],
  };
}

/** q_n·k_np / τ, in all lanes. */
function positiveLogit(f: FunctionBuilder, context: KernelContext, spec: InfoNceSpec, q: Value, k: Value): Value {
  const sum = f.local("v128", f32x4.const(0));
  forVectors(f, spec.channels, (byte, offset, count) => {
    const [x, y] = [f.name(i32.add(q, byte)), f.name(i32.add(k, byte))];
    f.set(sum, multiplyAdd(context.features, loadLanes(x, count, offset), loadLanes(y, count, offset), sum));
  });
  return f.local("v128", f32x4.mul(sumOfLanes(f, sum), f32x4.const(1 / spec.temperature)));
}

/** The chunks' maxima and sums and the positives become the three outputs. A unit is 4 rows, one a lane. */
function joinChunks(spec: InfoNceSpec): WasmKernel {
  const { rows, channels, positives } = spec;
  const plan = chunkPlan(spec);
  return {
    name: "infoNce.join",
    units: plan.rows / 4,
    threadBytes: 16 * positives,
    emit(f, context) {
      const { features, threadMemory } = context;
      const { exp, log } = wasmForms(f, features);
      f.for(context.begin, context.end, 1, (unit) => {
        const row = f.local("i32", i32.shl(unit, i32.const(2)));
        const overPositives = (body: (place: Value) => void): void =>
          f.for(i32.const(0), i32.const(16 * positives), 16, (byte) => {
            body(f.local("i32", i32.add(threadMemory, byte)));
          });
        for (let lane = 0; lane < 4; lane++) {
          const wanted = f.local("i32", i32.add(row, i32.const(lane)));
          const n = f.least(wanted, rows - 1);
          const q = f.local("i32", i32.add(context.input(0), i32.mul(n, i32.const(4 * channels))));
          const k = f.local("i32", i32.add(context.input(1), i32.mul(n, i32.const(4 * channels * positives))));
          overPositives((place) => {
            f.store32Lane(place, positiveLogit(f, context, spec, q, k), 0, 4 * lane);
            f.set(k, i32.add(k, i32.const(4 * channels)));
          });
        }
        const topPositive = f.local("v128", f32x4.const(LOWEST));
        overPositives((place) => f.set(topPositive, f32x4.pmax(topPositive, v128.load(place))));
        const sumPositive = f.local("v128", f32x4.const(0));
        overPositives((place) => {
          f.set(sumPositive, f32x4.add(sumPositive, exp(f32x4.sub(v128.load(place), topPositive))));
        });

        const first = f.local("i32", i32.shl(row, i32.const(2)));
        const overChunks = (body: (offset: Value) => void): void => {
          const offset = f.local("i32", first);
          f.for(i32.const(0), i32.const(plan.chunks), 1, () => {
            body(offset);
            f.set(offset, i32.add(offset, i32.const(4 * plan.rows)));
          });
        };
        const top = f.local("v128", topPositive);
        overChunks((offset) => f.set(top, f32x4.pmax(top, v128.load(i32.add(context.scratch(0), offset)))));
        const sum = f.local("v128", f32x4.mul(sumPositive, exp(f32x4.sub(topPositive, top))));
        overChunks((offset) => {
          const factor = exp(f32x4.sub(v128.load(i32.add(context.scratch(0), offset)), top));
          f.set(sum, multiplyAdd(features, factor, v128.load(i32.add(context.scratch(1), offset)), sum));
        });
        const all = f.local("v128", f32x4.add(top, log(sum)));
        const some = f.local("v128", f32x4.add(topPositive, log(sumPositive)));
        const loss = f.local("v128", f32x4.sub(all, some));
        byCount(f, i32.sub(i32.const(rows), row), (count) =>
          [loss, all, some].forEach((value, i) =>
            storeLanes(f, f.local("i32", i32.add(context.output(i), first)), value, count),
          ),
        );
      });
    },
  };
}

/** dq = the groups' parts in order + Σ_p w_np k_np, and dk_np = w_np q_n. A unit is a row. */
function joinGradients(spec: InfoNceSpec): WasmKernel {
  const { channels, positives, temperature } = spec;
  const plan = chunkPlan(spec);
  return {
    name: "infoNce.joinGradients",
    units: spec.rows,
    threadBytes: 0,
    emit(f, context) {
      const { features } = context;
      const rowBytes = 4 * channels;
      f.for(context.begin, context.end, 1, (n) => {
        const scalar = f.local("i32", i32.shl(n, i32.const(2)));
        const splat = (input: number) => f.local("v128", v128.load32Splat(i32.add(context.input(input), scalar)));
        const [dloss, all, some] = [splat(0), splat(4), splat(5)];
        const factor = f.local("v128", f32x4.mul(dloss, f32x4.const(1 / temperature)));
        const rowOf = (start: Value, bytes: number) => f.local("i32", i32.add(start, i32.mul(n, i32.const(bytes))));
        const [q, dq] = [rowOf(context.input(1), rowBytes), rowOf(context.output(0), rowBytes)];
        const parts = rowOf(context.scratch(0), 4 * plan.channels);
        mapRow(f, channels, dq, [parts], (load) => load(0));
        f.for(i32.const(1), i32.const(plan.groups), 1, () => {
          f.set(parts, i32.add(parts, i32.const(4 * plan.rows * plan.channels)));
          mapRow(f, channels, dq, [dq, parts], (load) => f32x4.add(load(0), load(1)));
        });
        const k = rowOf(context.input(2), rowBytes * positives);
        const dk = rowOf(context.output(1), rowBytes * positives);
        f.for(i32.const(0), i32.const(positives), 1, () => {
          const logit = positiveLogit(f, context, spec, q, k);
          const { exp } = wasmForms(f, features);
          const share = f32x4.sub(exp(f32x4.sub(logit, all)), exp(f32x4.sub(logit, some)));
          const weight = f.local("v128", f32x4.mul(share, factor));
          mapRow(f, channels, dq, [k, dq], (load) => multiplyAdd(features, weight, load(0), load(1)));
          mapRow(f, channels, dk, [q], (load) => f32x4.mul(weight, load(0)));
          f.set(k, i32.add(k, i32.const(rowBytes)));
          f.set(dk, i32.add(dk, i32.const(rowBytes)));
        });
      });
    },
  };
}
