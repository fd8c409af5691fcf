/**
 * The LSTM scan of `ops/scan.ts`, forward and backward, as WebAssembly. Operands are those of `shaders/lstm-scan.ts`
 * (`lstmForwardSignature`, `lstmBackwardSignature`); T = steps, B = batch, D = directions, H = hidden.
 *
 * The states live in the outputs: a step reads h and c from its rows of `hPrev` and `saved` and writes the next ones to
 * the rows of the step that follows, or to `hn` and `cn` after the last. Where nobody reads those they live in the
 * thread's memory.
 */
import type { ScanSpec } from "../../specs/scan.ts";
import { multiplyAdd, negativeMultiplyAdd } from "../assembler/features.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { WasmKernel, WasmLowering } from "../kernel.ts";
import { wasmForms } from "../print/forms.ts";
import { sigmoid, tanh } from "../../tensor/elementwise/mathematics.ts";
import { packKernel, packedLength, productFunction, resultStride, scanPanels } from "./product.ts";
import type { Rows } from "./units.ts";
import {
  copyFunction,
  eachQuad,
  eachStep,
  eachUnit,
  either,
  rowBlocks,
  rowFunction,
  rowsAt,
  rowsFrom,
} from "./units.ts";

const GATES = 4;

/**
 * In: gates, weight, bias, h0, c0, mask?. Out: y, hn, cn, saved, hPrev.
 * @param saves false where nobody reads `saved` and `hPrev`, the largest results: they are then not written
 * @param wide whether the engine joins neighbouring vectors: kernels are written in pairs of them, for the same bits
 */
export function lstmForward(spec: ScanSpec, saves = true, wide = false): WasmLowering {
  const name = "lstmScan.forward";
  const { batch, directions, hidden, masked } = spec;
  const panels = scanPanels(spec, GATES, true, wide);
  const blocks = rowBlocks(spec, GATES);
  const width = 4 * hidden;
  const sumBytes = blocks.rows * resultStride(panels);
  const stateBytes = blocks.rows * width;
  const scan: WasmKernel = {
    name,
    units: blocks.units,
    threadBytes: sumBytes + (saves ? 0 : 2 * stateBytes + GATES * width),
    emit(f, context) {
      const { input, output, scratch, features, threadMemory } = context;
      const sums = rowsAt(threadMemory, 0, resultStride(panels));
      const ownH = rowsAt(threadMemory, sumBytes, width);
      const ownC = rowsAt(threadMemory, sumBytes + stateBytes, width);
      const oneRow = rowsAt(threadMemory, sumBytes + 2 * stateBytes, 0);
      const copy = copyFunction(context, hidden);
      const product = productFunction(context, panels, batch, saves ? width * directions : width);
      const names = ["sums", "gates", "saved", "h", "c", "nextH", "nextC", "y"] as const;
      // A loop a gate: one for all would be a chain of two functions, too long for a processor to overlap its rounds.
      const cell = rowFunction(context, `lstmScan.cell ${hidden}`, names, masked, (f, row, valid) => {
        [sigmoid, sigmoid, tanh, sigmoid].forEach((activation, g) =>
          eachQuad(f, hidden, wide, ({ at, load, store, loadPadded }) => {
            const recurrent = loadPadded(at(row.sums), 4 * g * panels.padded);
            const before = f.name(f32x4.add(load(at(row.gates), g * width), recurrent));
            store(at(row.saved), activation(wasmForms(f, features), before), g * width);
          }),
        );
        eachQuad(f, hidden, wide, ({ at, load, store }) => {
          const kept = at(row.saved);
          const [i, forget, g, o] = [0, 1, 2, 3].map((part) => load(kept, part * width));
          const c = f.name(load(at(row.c)));
          const next = f.name(multiplyAdd(features, forget, c, f32x4.mul(i, g)));
          const h = f.name(f32x4.mul(o, tanh(wasmForms(f, features), next)));
          store(at(row.nextC), valid ? f.name(v128.bitselect(next, c, valid)) : next);
          store(at(row.nextH), valid ? f.name(v128.bitselect(h, load(at(row.h)), valid)) : h);
          store(at(row.y), valid ? f.name(v128.and(h, valid)) : h);
        });
      });
      eachUnit(f, context, spec, blocks, (unit) => {
        const state = (tensor: Value): Rows => rowsFrom(tensor, unit.stateRow, width);
        const saved = (row: Value): Rows => (saves ? rowsFrom(output(3), row, 5 * width, directions) : oneRow);
        const hAt = (row: Value): Rows => (saves ? rowsFrom(output(4), row, width, directions) : ownH);
        const cAt = (row: Value): Rows => {
          const { at, stride } = saved(row);
          return saves ? { at: i32.add(at, i32.const(GATES * width)), stride } : ownC;
        };
        eachStep(f, spec, unit, false, (step) => {
          const [h, c] = [hAt(step.row), cAt(step.row)];
          f.if(step.first, () => {
            copy(f, unit, h, state(input(3)));
            copy(f, unit, c, state(input(4)));
          });
          product(f, { rows: h.at, count: unit.rows, packed: scratch(0), direction: unit.direction, result: sums.at });
          cell(
            f,
            unit.rows,
            {
              sums,
              h,
              c,
              gates: rowsFrom(input(0), step.row, GATES * width, directions),
              saved: saved(step.row),
              nextH: either(step.last, state(output(1)), hAt(step.nextRow)),
              nextC: either(step.last, state(output(2)), cAt(step.nextRow)),
              y: rowsFrom(output(0), step.row, width, directions),
            },
            masked ? rowsFrom(input(5), step.maskRow, 4).at : undefined,
          );
        });
      });
    },
  };
  return {
    kernels: [packKernel("lstmScan.packForward", panels, directions, { weight: 1, bias: 2 }), scan],
    unwritten: saves ? [] : [3, 4],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}

/** In: dy, dhn, dcn, saved, weight, mask?. Out: dgates, dh0, dc0. */
export function lstmBackward(spec: ScanSpec, wide = false): WasmLowering {
  const name = "lstmScan.backward";
  const { batch, directions, hidden, masked } = spec;
  const panels = scanPanels(spec, GATES, false, wide);
  const blocks = rowBlocks(spec, GATES);
  const width = 4 * hidden;
  const carryBytes = resultStride(panels);
  const scan: WasmKernel = {
    name,
    units: blocks.units,
    threadBytes: 2 * blocks.rows * carryBytes,
    emit(f, context) {
      const { input, output, scratch, features, threadMemory } = context;
      const carryH = rowsAt(threadMemory, 0, carryBytes);
      const carryC = rowsAt(threadMemory, blocks.rows * carryBytes, carryBytes);
      const one = f32x4.const(1);
      const copy = copyFunction(context, hidden);
      const product = productFunction(context, panels, batch, 4 * width * directions);
      const names = ["carryH", "carryC", "dy", "saved", "dgates"] as const;
      const cell = rowFunction(context, `lstmScan.cellBackward ${hidden}`, names, masked, (f, row, valid) =>
        eachQuad(f, hidden, wide, ({ at, load, store, loadPadded, storePadded }) => {
          const [carried, carriedC, kept, to] = [at(row.carryH), at(row.carryC), at(row.saved), at(row.dgates)];
          const [i, forget, g, o, c] = [0, 1, 2, 3, 4].map((part) => f.name(load(kept, part * width)));
          const squashed = f.name(
            tanh(wasmForms(f, features), f.name(multiplyAdd(features, forget, c, f32x4.mul(i, g)))),
          );
          const [before, beforeC] = [f.name(loadPadded(carried)), f.name(loadPadded(carriedC))];
          const dh = f.name(f32x4.add(before, load(at(row.dy))));
          const oneMinusSquare = (x: Value) => negativeMultiplyAdd(features, x, x, one);
          const dc = f.name(multiplyAdd(features, f32x4.mul(dh, o), oneMinusSquare(squashed), beforeC));
          const product = (...factors: readonly Value[]) => factors.reduce((x, y) => f32x4.mul(x, y));
          [
            product(dc, g, i, f32x4.sub(one, i)),
            product(dc, c, forget, f32x4.sub(one, forget)),
            product(dc, i, oneMinusSquare(g)),
            product(dh, squashed, o, f32x4.sub(one, o)),
          ].forEach((value, k) => store(to, f.name(valid ? v128.and(value, valid) : value), k * width));
          // What the step before gets is all from the product, but at a masked step.
          storePadded(carried, valid ? v128.andNot(before, valid) : f32x4.const(0));
          const passed = f32x4.mul(dc, forget);
          storePadded(carriedC, valid ? v128.bitselect(passed, beforeC, valid) : passed);
        }),
      );
      eachUnit(f, context, spec, blocks, (unit) => {
        const state = (tensor: Value): Rows => rowsFrom(tensor, unit.stateRow, width);
        // Columns of padding join in the product: what they hold must not be slow to add.
        f.fillBytes(threadMemory, i32.const(0), i32.const(blocks.rows * carryBytes));
        copy(f, unit, carryH, state(input(1)));
        copy(f, unit, carryC, state(input(2)));
        eachStep(f, spec, unit, true, (step) => {
          const dgates = rowsFrom(output(0), step.row, 4 * width, directions);
          cell(
            f,
            unit.rows,
            {
              carryH,
              carryC,
              dgates,
              dy: rowsFrom(input(0), step.row, width, directions),
              saved: rowsFrom(input(3), step.row, 5 * width, directions),
            },
            masked ? rowsFrom(input(5), step.maskRow, 4).at : undefined,
          );
          product(f, {
            rows: dgates.at,
            count: unit.rows,
            packed: scratch(0),
            direction: unit.direction,
            result: carryH.at,
          });
        });
        copy(f, unit, state(output(1)), carryH);
        copy(f, unit, state(output(2)), carryC);
      });
    },
  };
  return {
    kernels: [packKernel("lstmScan.packBackward", panels, directions, { weight: 4 }), scan],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}
