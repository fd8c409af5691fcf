/**
 * The product of a step: a unit's rows times the recurrent weight, which a first kernel has packed into panels.
 *
 * The rows are read where they lie in their tensor (the state in `hPrev`, backward the gates' gradients in their
 * output), so nothing is packed at a step. A panel stays in the first-level cache while all rows of the unit go by.
 */
import type { GateCount } from "../../specs/cells.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import { MR, NR, WIDE_NR, emitTile } from "../matmul/micro-kernel.ts";

/** Registers of sums that V8 keeps beside the operands. */
const ACCUMULATORS = 12;

/**
 * Panels of the recurrent weight of one direction: `outer × inner` of them, each `lead + depth` rows of `width` floats.
 *
 * Forward (lead 1, the bias): columns are hidden units of `joint` gates, `side` of each. A step sums over the state.
 * Backward (lead 0): columns are side·joint hidden units. A step sums over all gates' gradients.
 */
interface Panels {
  readonly forward: boolean;
  /** Hidden units that stand side by side: NR, or WIDE_NR where neighbouring vectors are joined. */
  readonly side: number;
  readonly gates: GateCount;
  readonly hidden: number;
  /** Groups of `side` columns in a panel: more than 1 where a batch of few rows leaves accumulators free. */
  readonly joint: number;
  readonly outer: number;
  readonly inner: number;
  readonly lead: number;
  readonly depth: number;
  readonly width: number;
  /** Hidden units of a result's row, with padding; forward a row is that many for each gate. */
  readonly padded: number;
}

/** @param wide whether the engine joins neighbouring vectors (`WasmFeatures.wide`) */
export function scanPanels({ batch, hidden }: ScanSpec, gates: GateCount, forward: boolean, wide: boolean): Panels {
  const side = wide && hidden > NR ? WIDE_NR : NR;
  // A register holds a vector of NR / 2 units, or of NR where they are joined: two a side at either width.
  const fits = (joint: number) => (batch < MR ? joint * 2 * batch <= ACCUMULATORS : joint === 1);
  const groups = Math.ceil(hidden / side);
  const choices = forward ? [gates, 2, 1].filter((n) => gates % n === 0) : [4, 3, 2, 1].filter((n) => n <= groups);
  const joint = choices.find((n) => n <= 4 && fits(n)) ?? 1;
  const inner = forward ? groups : Math.ceil(groups / joint);
  return {
    forward,
    side,
    gates,
    hidden,
    joint,
    inner,
    outer: forward ? gates / joint : 1,
    lead: forward ? 1 : 0,
    depth: forward ? hidden : gates * hidden,
    width: side * joint,
    padded: forward ? groups * side : inner * joint * side,
  };
}

const panelBytes = (panels: Panels): number => 4 * (panels.lead + panels.depth) * panels.width;
const directionBytes = (panels: Panels): number => panels.outer * panels.inner * panelBytes(panels);

/** Floats of the panels of all directions. */
export const packedLength = (panels: Panels, directions: number): number => (directions * directionBytes(panels)) / 4;

/** Bytes of a row of the product's result. */
export const resultStride = (panels: Panels): number => 4 * panels.padded * (panels.forward ? panels.gates : 1);

/** The kernel that packs inputs `weight` [D, G·H, H] and, forward, `bias` [D, G·H] into scratch 0; a unit is a panel. */
export function packKernel(
  name: string,
  panels: Panels,
  directions: number,
  operands: { readonly weight: number; readonly bias?: number },
): WasmKernel {
  const { forward, side, gates, hidden, joint, outer, inner, width } = panels;
  return {
    name,
    units: directions * outer * inner,
    threadBytes: 0,
    emit(f, { input, scratch, begin, end }) {
      f.for(begin, end, 1, (unit) => {
        const panel = f.local("i32", i32.add(scratch(0), i32.mul(unit, i32.const(panelBytes(panels)))));
        const block = f.local("i32", i32.remU(unit, i32.const(inner)));
        const rest = f.local("i32", i32.divU(unit, i32.const(inner)));
        const [to, from, stop] = Array.from({ length: 3 }, () => f.local("i32", i32.const(0)));
        /** From `from` to `to`, a row of the panel after the other. */
        const down = (step: number, copy: () => void): void =>
          f.doWhile(() => {
            copy();
            f.set(from, i32.add(from, i32.const(step)));
            f.set(to, i32.add(to, i32.const(4 * width)));
            return i32.ne(to, stop);
          });
        const first = forward
          ? undefined
          : i32.add(i32.mul(rest, i32.const(gates * hidden * hidden)), i32.mul(block, i32.const(width)));
        const columns = (): void =>
          f.for(i32.const(0), i32.const(width), 1, (column) => {
            f.set(to, i32.add(panel, i32.shl(column, i32.const(2))));
            f.set(stop, i32.add(to, i32.const(panelBytes(panels))));
            const hiddenUnit = f.local(
              "i32",
              forward
                ? i32.add(i32.mul(block, i32.const(side)), i32.remU(column, i32.const(side)))
                : i32.add(i32.mul(block, i32.const(width)), column),
            );
            f.if(
              i32.ltS(hiddenUnit, i32.const(hidden)),
              () => {
                if (first) {
                  f.set(from, i32.add(input(operands.weight), i32.shl(i32.add(first, column), i32.const(2))));
                } else {
                  // The outer number counts groups of gates on through the directions, as the weight's rows do.
                  const gate = i32.add(i32.mul(rest, i32.const(joint)), i32.divU(column, i32.const(side)));
                  const row = f.local("i32", i32.add(i32.mul(gate, i32.const(hidden)), hiddenUnit));
                  f.store(to, f32.load(i32.add(input(operands.bias!), i32.shl(row, i32.const(2)))));
                  f.set(to, i32.add(to, i32.const(4 * width)));
                  f.set(from, i32.add(input(operands.weight), i32.mul(row, i32.const(4 * hidden))));
                }
                down(forward ? 4 : 4 * hidden, () => f.store(to, f32.load(from)));
              },
              () => down(0, () => f.store(to, f32.const(0))),
            );
          });
        if (!first) return columns();
        f.if(
          i32.leS(i32.mul(i32.add(block, i32.const(1)), i32.const(width)), i32.const(hidden)),
          () => {
            f.set(to, panel);
            f.set(stop, i32.add(to, i32.const(panelBytes(panels))));
            f.set(from, i32.add(input(operands.weight), i32.shl(first, i32.const(2))));
            down(4 * hidden, () => {
              const row = Array.from({ length: width / 4 }, (_, v) => f.name(v128.load(from, 16 * v)));
              row.forEach((vector, v) => f.store(to, vector, 16 * v));
            });
          },
          columns,
        );
      });
    },
  };
}

interface ProductOperands {
  /** First of the rows, and their number: a multiple of MR, or at the end of the batch what remains. */
  readonly rows: Value;
  readonly count: Value;
  /** The packed panels of all directions, and the direction. */
  readonly packed: Value;
  readonly direction: Value;
  /** Where the result goes: rows of `resultStride` bytes. */
  readonly result: Value;
}

/**
 * The function that computes a step's product: forward result = bias + rows·Wᵀ, backward result += rows·W.
 * @param rowStride bytes from one of the rows to the next
 * @returns what writes a call of it
 */
export function productFunction(
  context: KernelContext,
  panels: Panels,
  batch: number,
  rowStride: number,
): (f: FunctionBuilder, operands: ProductOperands) => void {
  const { forward, side, gates, hidden, lead, depth, width, padded, outer, inner, joint } = panels;
  const rest = batch % MR;
  const cStride = resultStride(panels);
  const key = `scan.product ${[forward, side, gates, hidden, joint, rest, rowStride].join()}`;
  const callee = context.shared(key, (module) =>
    module.function({ parameters: ["i32", "i32", "i32", "i32"] }, (f) => {
      const [first, count, b, result] = f.parameters;
      const [bias, bEnd, a, c, tileA, tileB, column, whole] = Array.from({ length: 8 }, () => f.local("i32"));
      // A vector of forward's panel belongs to gate v / (side / 4); those of backward's follow each other.
      const place = (v: number): number =>
        forward ? Math.floor(v / (side / 4)) * 4 * padded + (v % (side / 4)) * 16 : 16 * v;
      const tile = (rows: number): void => {
        f.set(tileA, a);
        f.set(tileB, i32.add(bias, i32.const(4 * width * lead)));
        const strides = { aRow: rowStride, aStep: 4, bStep: 4 * width };
        const initial = (r: number, v: number) =>
          forward ? v128.load(bias, 16 * v) : v128.load(c, r * cStride + place(v));
        const shape = { rows, vectors: width / 4, strides, unrolled: side > NR };
        emitTile(f, context.features, tileA, tileB, bEnd, shape, initial).forEach((row, r) =>
          row.forEach((sum, v) => f.store(c, sum, r * cStride + place(v))),
        );
      };
      f.for(i32.const(0), i32.const(outer), 1, (o) => {
        f.set(column, i32.add(result, i32.mul(o, i32.const(4 * joint * padded))));
        f.for(i32.const(0), i32.const(inner), 1, () => {
          f.set(bias, b);
          f.set(bEnd, i32.add(b, i32.const(4 * width * (lead + depth))));
          f.set(a, first);
          f.set(c, column);
          f.set(whole, i32.divU(count, i32.const(MR)));
          f.while(
            () => whole,
            () => {
              tile(MR);
              f.set(a, i32.add(a, i32.const(MR * rowStride)));
              f.set(c, i32.add(c, i32.const(MR * cStride)));
              f.set(whole, i32.sub(whole, i32.const(1)));
            },
          );
          if (rest > 0) f.if(i32.remU(count, i32.const(MR)), () => tile(rest));
          f.set(b, bEnd);
          f.set(column, i32.add(column, i32.const(forward ? 4 * side : 4 * width)));
        });
      });
    }),
  );
  return (f, { rows, count, packed, direction, result }) => {
    const own = i32.add(packed, i32.mul(direction, i32.const(directionBytes(panels))));
    f.call(callee, [rows, count, own, result]);
  };
}
