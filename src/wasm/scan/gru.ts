/**
 * The GRU scan of `ops/scan.ts`, forward and backward, as WebAssembly. Operands are those of `shaders/gru-scan.ts`
 * (`gruForwardSignature`, `gruBackwardSignature`); T = steps, B = batch, D = directions, H = hidden.
 *
 * The state lives in the outputs: a step reads it from its row of `hPrev` and writes the next one to the row of the
 * step that follows, or to `hn` after the last. Where nobody reads `hPrev` it lives in the thread's memory.
 */
import type { ScanSpec } from "../../specs/scan.ts";
import { multiplyAdd } from "../assembler/features.ts";
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

const GATES = 3;

/**
 * In: gates, weight, bias, h0, mask?. Out: y, hn, saved, hPrev.
 * @param saves false where nobody reads `saved` and `hPrev`, the largest results: they are then not written
 * @param wide whether the engine joins neighbouring vectors: kernels are written in pairs of them, for the same bits
 */
export function gruForward(spec: ScanSpec, saves = true, wide = false): WasmLowering {
  const name = "gruScan.forward";
  const { batch, directions, hidden, masked } = spec;
  const panels = scanPanels(spec, GATES, true, wide);
  const blocks = rowBlocks(spec, GATES);
  const width = 4 * hidden;
  const sumBytes = blocks.rows * resultStride(panels);
  const scan: WasmKernel = {
    name,
    units: blocks.units,
    threadBytes: sumBytes + (saves ? 0 : (blocks.rows + 2) * width),
    emit(f, context) {
      const { input, output, scratch, features, threadMemory } = context;
      const sums = rowsAt(threadMemory, 0, resultStride(panels));
      const ownState = rowsAt(threadMemory, sumBytes, width);
      const oneRow = rowsAt(threadMemory, sumBytes + blocks.rows * width, 0);
      const copy = copyFunction(context, hidden);
      const product = productFunction(context, panels, batch, saves ? width * directions : width);
      const names = ["sums", "gates", "saved", "h", "next", "y"] as const;
      // A loop a gate: one for all would be a chain of two functions, too long for a processor to overlap its rounds.
      const cell = rowFunction(context, `gruScan.cell ${hidden} ${saves}`, names, masked, (f, row, valid) => {
        for (const g of [0, 1]) {
          eachQuad(f, hidden, wide, ({ at, load, store, loadPadded }) => {
            const recurrent = loadPadded(at(row.sums), 4 * g * panels.padded);
            const before = f.name(f32x4.add(load(at(row.gates), g * width), recurrent));
            store(at(row.saved), sigmoid(wasmForms(f, features), before), g * width);
          });
        }
        eachQuad(f, hidden, wide, ({ at, load, store, loadPadded }) => {
          const kept = at(row.saved);
          const q = f.name(loadPadded(at(row.sums), 8 * panels.padded));
          const before = multiplyAdd(features, load(kept), q, load(at(row.gates), 2 * width));
          const n = f.name(tanh(wasmForms(f, features), f.name(before)));
          if (saves) {
            store(kept, n, 2 * width);
            store(kept, q, 3 * width);
          }
          const h = f.name(load(at(row.h)));
          const next = f.name(multiplyAdd(features, load(kept, width), f32x4.sub(h, n), n));
          store(at(row.next), valid ? f.name(v128.bitselect(next, h, valid)) : next);
          store(at(row.y), valid ? f.name(v128.and(next, valid)) : next);
        });
      });
      eachUnit(f, context, spec, blocks, (unit) => {
        const state = (tensor: Value): Rows => rowsFrom(tensor, unit.stateRow, width);
        const stateAt = (row: Value): Rows => (saves ? rowsFrom(output(3), row, width, directions) : ownState);
        eachStep(f, spec, unit, false, (step) => {
          const h = stateAt(step.row);
          f.if(step.first, () => copy(f, unit, h, state(input(3))));
          product(f, { rows: h.at, count: unit.rows, packed: scratch(0), direction: unit.direction, result: sums.at });
          cell(
            f,
            unit.rows,
            {
              h,
              sums,
              gates: rowsFrom(input(0), step.row, 3 * width, directions),
              saved: saves ? rowsFrom(output(2), step.row, 4 * width, directions) : oneRow,
              next: either(step.last, state(output(1)), stateAt(step.nextRow)),
              y: rowsFrom(output(0), step.row, width, directions),
            },
            masked ? rowsFrom(input(4), step.maskRow, 4).at : undefined,
          );
        });
      });
    },
  };
  return {
    kernels: [packKernel("gruScan.packForward", panels, directions, { weight: 1, bias: 2 }), scan],
    unwritten: saves ? [] : [2, 3],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}

/** In: dy, dhn, saved, hPrev, weight, mask?. Out: dgatesX, dgatesH, dh0. */
export function gruBackward(spec: ScanSpec, wide = false): WasmLowering {
  const name = "gruScan.backward";
  const { batch, directions, hidden, masked } = spec;
  const panels = scanPanels(spec, GATES, false, wide);
  const blocks = rowBlocks(spec, GATES);
  const width = 4 * hidden;
  const carryBytes = resultStride(panels);
  const scan: WasmKernel = {
    name,
    units: blocks.units,
    threadBytes: blocks.rows * carryBytes,
    emit(f, context) {
      const { input, output, scratch, threadMemory } = context;
      const carry = rowsAt(threadMemory, 0, carryBytes);
      const one = f32x4.const(1);
      const copy = copyFunction(context, hidden);
      const product = productFunction(context, panels, batch, 3 * width * directions);
      const names = ["carry", "dy", "saved", "hPrev", "dgatesX", "dgatesH"] as const;
      const cell = rowFunction(context, `gruScan.cellBackward ${hidden}`, names, masked, (f, row, valid) => {
        const only = (x: Value) => f.name(valid ? v128.and(x, valid) : x);
        eachQuad(f, hidden, wide, ({ at, load, store, loadPadded, storePadded }) => {
          const [carried, kept, dx, dh] = [at(row.carry), at(row.saved), at(row.dgatesX), at(row.dgatesH)];
          const [r, z, n, q] = [0, 1, 2, 3].map((part) => f.name(load(kept, part * width)));
          const before = f.name(loadPadded(carried));
          const total = f.name(f32x4.add(before, load(at(row.dy))));
          const left = f.name(f32x4.sub(one, z));
          const dn = f.name(f32x4.mul(f32x4.mul(total, left), f32x4.sub(one, f32x4.mul(n, n))));
          const through = f.name(f32x4.mul(dn, r));
          store(dx, only(dn), 2 * width);
          store(dh, only(through), 2 * width);
          const dr = only(f32x4.mul(f32x4.mul(through, q), f32x4.sub(one, r)));
          store(dx, dr);
          store(dh, dr);
          const direct = f.name(f32x4.mul(total, z));
          const dz = only(f32x4.mul(f32x4.mul(direct, left), f32x4.sub(load(at(row.hPrev)), n)));
          store(dx, dz, width);
          store(dh, dz, width);
          storePadded(carried, valid ? v128.bitselect(direct, before, valid) : direct);
        });
      });
      eachUnit(f, context, spec, blocks, (unit) => {
        const state = (tensor: Value): Rows => rowsFrom(tensor, unit.stateRow, width);
        // Columns of padding join in the product: what they hold must not be slow to add.
        f.fillBytes(threadMemory, i32.const(0), i32.const(blocks.rows * carryBytes));
        copy(f, unit, carry, state(input(1)));
        eachStep(f, spec, unit, true, (step) => {
          const dgatesH = rowsFrom(output(1), step.row, 3 * width, directions);
          cell(
            f,
            unit.rows,
            {
              carry,
              dgatesH,
              dy: rowsFrom(input(0), step.row, width, directions),
              saved: rowsFrom(input(2), step.row, 4 * width, directions),
              hPrev: rowsFrom(input(3), step.row, width, directions),
              dgatesX: rowsFrom(output(0), step.row, 3 * width, directions),
            },
            masked ? rowsFrom(input(5), step.maskRow, 4).at : undefined,
          );
          product(f, {
            rows: dgatesH.at,
            count: unit.rows,
            packed: scratch(0),
            direction: unit.direction,
            result: carry.at,
          });
        });
        copy(f, unit, state(output(2)), carry);
      });
    },
  };
  return {
    kernels: [packKernel("gruScan.packBackward", panels, directions, { weight: 4 }), scan],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}
