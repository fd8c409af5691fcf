/**
 * The scans of `ops/scan.ts`, forward and backward, as WebAssembly, for any gated cell. Operands are those of
 * `forwardSignature` and `backwardSignature`.
 *
 * The states live in the outputs: a step reads h from its row of `hPrev` (and c from `saved`) and writes the next ones
 * to the rows of the step that follows, or to the last states after the last. Where nobody reads those outputs the
 * states live in the thread's memory.
 */
import { activated } from "../../specs/cells.ts";
import type { CellForms, ForwardUnit, GatedCell } from "../../specs/cells.ts";
import { backwardSignature, forwardSignature, keptParts, placeOf } from "../../specs/scan.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import { sigmoid, tanh } from "../../tensor/elementwise/mathematics.ts";
import type { WasmFeatures } from "../assembler/features.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { WasmKernel, WasmLowering } from "../kernel.ts";
import { wasmForms } from "../print/forms.ts";
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

function cellForms(f: FunctionBuilder, features: WasmFeatures): CellForms<Value> {
  const forms = wasmForms(f, features);
  return { ...forms, sigmoid: (x) => sigmoid(forms, x), tanh: (x) => tanh(forms, x) };
}

/** Values by number, each made and named when it is first asked for. */
function once(f: FunctionBuilder, make: (k: number) => Value): (k: number) => Value {
  const values: Value[] = [];
  return (k) => (values[k] ??= f.name(make(k)));
}

/**
 * @param saves false where nobody reads `saved` and `hPrev`, the largest results: they are then not written
 * @param wide whether the engine joins neighbouring vectors: kernels are written in pairs of them, for the same bits
 */
export function scanForward(cell: GatedCell, spec: ScanSpec, saves = true, wide = false): WasmLowering {
  const { gates, states, activations } = cell;
  const { batch, directions, hidden, masked } = spec;
  const { inputs, outputs } = forwardSignature(cell, spec);
  const [savedAt, hPrevAt] = [placeOf(outputs, "saved"), placeOf(outputs, "hPrev")];
  const panels = scanPanels(spec, gates, true, wide);
  const blocks = rowBlocks(spec, gates);
  const width = 4 * hidden;
  const sumBytes = blocks.rows * resultStride(panels);
  const stateBytes = blocks.rows * width;
  const scan: WasmKernel = {
    name: `${cell.name}.forward`,
    units: blocks.units,
    threadBytes: sumBytes + (saves ? 0 : states.length * stateBytes + cell.kept * width),
    emit(f, context) {
      const { input, output, scratch, features, threadMemory } = context;
      const sums = rowsAt(threadMemory, 0, resultStride(panels));
      const ownStates = states.map((_, k) => rowsAt(threadMemory, sumBytes + k * stateBytes, width));
      const oneRow = rowsAt(threadMemory, sumBytes + states.length * stateBytes, 0);
      const copy = copyFunction(context, hidden);
      const product = productFunction(context, panels, batch, saves ? width * directions : width);
      const befores = states.map((state) => `${state}Before`);
      const afters = states.map((state) => `${state}After`);
      const names = ["sums", "gates", "saved", "y", ...befores, ...afters];
      // A loop a gate: one for all would be a chain of two functions, too long for a processor to overlap its rounds.
      const step = rowFunction(context, `${cell.name}.cell ${hidden} ${saves}`, names, masked, (f, row, valid) => {
        const forms = cellForms(f, features);
        const eachUnitOfRow = (
          body: (
            unit: ForwardUnit<Value>,
            kept: (part: number) => Value,
            store: (name: string, value: Value, part?: number) => void,
          ) => void,
        ): void =>
          eachQuad(f, hidden, wide, ({ at, load, store, loadPadded }) =>
            body(
              {
                input: (gate) => load(at(row.gates), gate * width),
                recurrent: (gate) => loadPadded(at(row.sums), 4 * gate * panels.padded),
                state: once(f, (k) => load(at(row[befores[k]]))),
              },
              (part) => load(at(row.saved), part * width),
              (name, value, part = 0) => store(at(row[name]), value, part * width),
            ),
          );
        activations.forEach((_, gate) =>
          eachUnitOfRow((unit, _kept, store) => store("saved", activated(forms, cell, unit, gate), gate)),
        );
        eachUnitOfRow((unit, kept, store) => {
          const after = cell.update(forms, unit, kept);
          if (saves) after.kept.forEach((value, k) => store("saved", value, activations.length + k));
          const next = after.states.map((value) => f.name(value));
          next.forEach((value, k) =>
            store(afters[k], valid ? f.name(v128.bitselect(value, unit.state(k), valid)) : value),
          );
          store("y", valid ? f.name(v128.and(next[0], valid)) : next[0]);
        });
      });
      eachUnit(f, context, spec, blocks, (unit) => {
        const stateRows = (tensor: Value): Rows => rowsFrom(tensor, unit.stateRow, width);
        const savedRows = (row: Value): Rows =>
          saves ? rowsFrom(output(savedAt), row, keptParts(cell) * width, directions) : oneRow;
        const stateAt = (k: number, row: Value): Rows => {
          if (!saves) return ownStates[k];
          if (k === 0) return rowsFrom(output(hPrevAt), row, width, directions);
          const { at, stride } = savedRows(row);
          return { at: i32.add(at, i32.const((cell.kept + k - 1) * width)), stride };
        };
        eachStep(f, spec, unit, false, (time) => {
          const before = states.map((_, k) => stateAt(k, time.row));
          f.if(time.first, () =>
            states.forEach((state, k) => copy(f, unit, before[k], stateRows(input(placeOf(inputs, `${state}0`))))),
          );
          product(f, {
            rows: before[0].at,
            count: unit.rows,
            packed: scratch(0),
            direction: unit.direction,
            result: sums.at,
          });
          const after = states.map((state, k) =>
            either(time.last, stateRows(output(placeOf(outputs, `${state}n`))), stateAt(k, time.nextRow)),
          );
          step(
            f,
            unit.rows,
            {
              sums,
              gates: rowsFrom(input(0), time.row, gates * width, directions),
              saved: savedRows(time.row),
              y: rowsFrom(output(0), time.row, width, directions),
              ...Object.fromEntries(befores.map((name, k) => [name, before[k]])),
              ...Object.fromEntries(afters.map((name, k) => [name, after[k]])),
            },
            masked ? rowsFrom(input(placeOf(inputs, "mask")), time.maskRow, 4).at : undefined,
          );
        });
      });
    },
  };
  return {
    kernels: [packKernel(`${cell.name}.packForward`, panels, directions, { weight: 1, bias: 2 }), scan],
    unwritten: saves ? [] : [savedAt, hPrevAt],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}

export function scanBackward(cell: GatedCell, spec: ScanSpec, wide = false): WasmLowering {
  const { gates, states, scaled } = cell;
  const { batch, directions, hidden, masked } = spec;
  const { inputs, outputs } = backwardSignature(cell, spec);
  const panels = scanPanels(spec, gates, false, wide);
  const blocks = rowBlocks(spec, gates);
  const width = 4 * hidden;
  const carryBytes = resultStride(panels);
  const scan: WasmKernel = {
    name: `${cell.name}.backward`,
    units: blocks.units,
    threadBytes: states.length * blocks.rows * carryBytes,
    emit(f, context) {
      const { input, output, scratch, features, threadMemory } = context;
      const carried = states.map((_, k) => rowsAt(threadMemory, k * blocks.rows * carryBytes, carryBytes));
      const copy = copyFunction(context, hidden);
      const product = productFunction(context, panels, batch, gates * width * directions);
      const read = ["dy", "saved", ...(cell.readsState ? ["hPrev"] : [])];
      const results = ["dgates", ...(scaled ? ["dgatesH"] : [])];
      const names = [...read, ...results, ...states];
      const step = rowFunction(context, `${cell.name}.cellBackward ${hidden}`, names, masked, (f, row, valid) => {
        const forms = cellForms(f, features);
        eachQuad(f, hidden, wide, ({ at, load, store, loadPadded, storePadded }) => {
          const before = once(f, (k) => loadPadded(at(row[states[k]])));
          const kept = (part: number) => load(at(row.saved), part * width);
          const given = cell.backward(forms, {
            kept,
            state: (k) => (k === 0 ? load(at(row.hPrev)) : kept(cell.kept + k - 1)),
            cotangent: once(f, (k) => (k === 0 ? f32x4.add(before(0), load(at(row.dy))) : before(k))),
          });
          const masks = new Map<Value, Value>();
          /** Nothing at a masked step. */
          const only = (value: Value): Value => {
            const found = masks.get(value) ?? f.name(valid ? v128.and(value, valid) : value);
            masks.set(value, found);
            return found;
          };
          results.forEach((name, i) =>
            (i === 0 ? given.input : given.recurrent).forEach((value, gate) =>
              store(at(row[name]), only(value), gate * width),
            ),
          );
          given.states.forEach((value, k) => {
            const passed = value ?? f32x4.const(0);
            storePadded(at(row[states[k]]), valid ? v128.bitselect(passed, before(k), valid) : passed);
          });
        });
      });
      eachUnit(f, context, spec, blocks, (unit) => {
        const stateRows = (tensor: Value): Rows => rowsFrom(tensor, unit.stateRow, width);
        // Columns of padding join in the product: what they hold must not be slow to add.
        f.fillBytes(threadMemory, i32.const(0), i32.const(blocks.rows * carryBytes));
        states.forEach((state, k) => copy(f, unit, carried[k], stateRows(input(placeOf(inputs, `d${state}n`)))));
        eachStep(f, spec, unit, true, (time) => {
          const rowsOf = (tensor: Value, parts: number) => rowsFrom(tensor, time.row, parts * width, directions);
          const cotangents = results.map((_, i) => rowsOf(output(i), gates));
          step(
            f,
            unit.rows,
            Object.fromEntries([
              ...read.map((name) => {
                const parts = name === "saved" ? keptParts(cell) : 1;
                return [name, rowsOf(input(placeOf(inputs, name)), parts)] as const;
              }),
              ...results.map((name, i) => [name, cotangents[i]] as const),
              ...states.map((state, k) => [state, carried[k]] as const),
            ]),
            masked ? rowsFrom(input(placeOf(inputs, "mask")), time.maskRow, 4).at : undefined,
          );
          product(f, {
            rows: cotangents[cotangents.length - 1].at,
            count: unit.rows,
            packed: scratch(0),
            direction: unit.direction,
            result: carried[0].at,
          });
        });
        states.forEach((state, k) => copy(f, unit, stateRows(output(placeOf(outputs, `d${state}0`))), carried[k]));
      });
    },
  };
  return {
    kernels: [packKernel(`${cell.name}.packBackward`, panels, directions, { weight: placeOf(inputs, "weight") }), scan],
    scratch: [{ shape: [packedLength(panels, directions)], dtype: "f32" }],
  };
}
