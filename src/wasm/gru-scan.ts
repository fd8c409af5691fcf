/**
 * The GRU scan of `ops/scan.ts`, forward and backward, as WebAssembly. Operands are those of `shaders/gru-scan.ts`
 * (`gruForwardSignature`, `gruBackwardSignature`); T = steps, B = batch, D = directions, H = hidden.
 *
 * The state lives in the outputs: a step reads it from its row of `hPrev` and writes the next one to the row of the
 * step that follows, or to `hn` after the last.
 */
import type { ScanSpec } from "../shaders/scan-common.ts";
import { checkScanSpec } from "../shaders/scan-common.ts";
import { multiplyAdd } from "./features.ts";
import type { Value } from "./instructions.ts";
import { f32x4, i32, select, v128 } from "./instructions.ts";
import type { WasmKernel, WasmLowering } from "./kernel.ts";
import { sigmoid, tanh } from "./math.ts";
import { emitProduct, packKernel, packedLength, resultStride, scanPanels } from "./scan-product.ts";
import { copyRows, eachQuad, eachRow, eachStep, eachUnit, rowBlocks, rowsFrom } from "./scan-units.ts";

const GATES = 3;

/** In: gates, weight, bias, h0, mask?. Out: y, hn, saved, hPrev. Throws on sizes that cannot be run. */
export function gruForward(spec: ScanSpec): WasmLowering {
  const name = "gruScan.forward";
  checkScanSpec(name, spec);
  const { batch, directions, hidden, masked } = spec;
  const panels = scanPanels(spec, GATES, true);
  const blocks = rowBlocks(spec, GATES);
  const width = 4 * hidden;
  const scan: WasmKernel = {
    name, units: blocks.units, threadBytes: blocks.rows * resultStride(panels),
    emit(f, context) {
      const { input, output, scratch, features, threadMemory: sums } = context;
      const [gates, h0, y, hn, saved, hPrev] = [input(0), input(3), output(0), output(1), output(2), output(3)];
      eachUnit(f, context, spec, blocks, (unit) => {
        const last = rowsFrom(hn, unit.stateRow, width);
        eachStep(f, spec, unit, false, (step) => {
          const state = rowsFrom(hPrev, step.row, width, directions);
          f.if(step.first, () => copyRows(f, unit, state, rowsFrom(h0, unit.stateRow, width), width));
          emitProduct(f, features, panels, {
            rows: state.at, rowStride: width * directions, count: unit.rows, batch,
            packed: scratch(0), direction: unit.direction, result: sums,
          });
          const following = rowsFrom(hPrev, step.nextRow, width, directions);
          eachRow(f, unit, {
            sums: { at: sums, stride: i32.const(resultStride(panels)) },
            gates: rowsFrom(gates, step.row, 3 * width, directions),
            saved: rowsFrom(saved, step.row, 4 * width, directions),
            h: state,
            next: { at: select(step.last, last.at, following.at), stride: select(step.last, last.stride, following.stride) },
            y: rowsFrom(y, step.row, width, directions),
          }, masked ? rowsFrom(input(4), step.maskRow, 4) : undefined, (row, valid) => {
            eachQuad(f, hidden, ({ offset, load, store }) => {
              const at = (start: Value) => f.name(i32.add(start, offset));
              const [sum, gate, kept] = [at(row.sums), at(row.gates), at(row.saved)];
              const recurrent = (g: number) => v128.load(sum, 4 * g * panels.padded);
              const r = f.name(sigmoid(f, features, f.name(f32x4.add(load(gate), recurrent(0)))));
              store(kept, r);
              const z = f.name(sigmoid(f, features, f.name(f32x4.add(load(gate, width), recurrent(1)))));
              store(kept, z, width);
              const q = f.name(recurrent(2));
              store(kept, q, 3 * width);
              const n = f.name(tanh(f, features, f.name(multiplyAdd(features, r, q, load(gate, 2 * width)))));
              store(kept, n, 2 * width);
              const h = f.name(load(at(row.h)));
              const next = f.name(multiplyAdd(features, z, f32x4.sub(h, n), n));
              store(at(row.next), valid ? f.name(v128.bitselect(next, h, valid)) : next);
              store(at(row.y), valid ? f.name(v128.and(next, valid)) : next);
            });
          });
        });
      });
    },
  };
  return {
    kernels: [packKernel("gruScan.packForward", panels, directions, { weight: 1, bias: 2 }), scan],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}

/** In: dy, dhn, saved, hPrev, weight, mask?. Out: dgatesX, dgatesH, dh0. Throws on sizes that cannot be run. */
export function gruBackward(spec: ScanSpec): WasmLowering {
  const name = "gruScan.backward";
  checkScanSpec(name, spec);
  const { batch, directions, hidden, masked } = spec;
  const panels = scanPanels(spec, GATES, false);
  const blocks = rowBlocks(spec, GATES);
  const width = 4 * hidden;
  const carryBytes = resultStride(panels);
  const scan: WasmKernel = {
    name, units: blocks.units, threadBytes: blocks.rows * carryBytes,
    emit(f, context) {
      const { input, output, scratch, features, threadMemory } = context;
      const carry = { at: threadMemory, stride: i32.const(carryBytes) };
      const one = f32x4.const(1);
      eachUnit(f, context, spec, blocks, (unit) => {
        // Columns of padding join in the product: what they hold must not be slow to add.
        f.fillBytes(threadMemory, i32.const(0), i32.const(blocks.rows * carryBytes));
        copyRows(f, unit, carry, rowsFrom(input(1), unit.stateRow, width), width);
        eachStep(f, spec, unit, true, (step) => {
          const dgates = rowsFrom(output(1), step.row, 3 * width, directions);
          eachRow(f, unit, {
            carry, dgates,
            dy: rowsFrom(input(0), step.row, width, directions),
            saved: rowsFrom(input(2), step.row, 4 * width, directions),
            hPrev: rowsFrom(input(3), step.row, width, directions),
            dgatesX: rowsFrom(output(0), step.row, 3 * width, directions),
          }, masked ? rowsFrom(input(5), step.maskRow, 4) : undefined, (row, valid) => {
            const only = (x: Value) => f.name(valid ? v128.and(x, valid) : x);
            eachQuad(f, hidden, ({ offset, load, store }) => {
              const at = (start: Value) => f.name(i32.add(start, offset));
              const [carried, kept, h, x] = [at(row.carry), at(row.saved), at(row.dgates), at(row.dgatesX)];
              const [r, z, n, q] = [0, 1, 2, 3].map((part) => f.name(load(kept, part * width)));
              const before = f.name(v128.load(carried));
              const total = f.name(f32x4.add(before, load(at(row.dy))));
              const left = f.name(f32x4.sub(one, z));
              const dn = f.name(f32x4.mul(f32x4.mul(total, left), f32x4.sub(one, f32x4.mul(n, n))));
              const through = f.name(f32x4.mul(dn, r));
              store(x, only(dn), 2 * width);
              store(h, only(through), 2 * width);
              const dr = only(f32x4.mul(f32x4.mul(through, q), f32x4.sub(one, r)));
              store(x, dr);
              store(h, dr);
              const direct = f.name(f32x4.mul(total, z));
              const dz = only(f32x4.mul(f32x4.mul(direct, left), f32x4.sub(load(at(row.hPrev)), n)));
              store(x, dz, width);
              store(h, dz, width);
              f.store(carried, valid ? v128.bitselect(direct, before, valid) : direct);
            });
          });
          emitProduct(f, features, panels, {
            rows: dgates.at, rowStride: 3 * width * directions, count: unit.rows, batch,
            packed: scratch(0), direction: unit.direction, result: threadMemory,
          });
        });
        copyRows(f, unit, rowsFrom(output(2), unit.stateRow, width), carry, width);
      });
    },
  };
  return {
    kernels: [packKernel("gruScan.packBackward", panels, directions, { weight: 4 }), scan],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}
