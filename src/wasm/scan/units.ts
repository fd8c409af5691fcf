/**
 * How the work of a recurrent scan is dealt out, and its loops: a unit is a block of batch rows of one sequence in one
 * direction, carried over all time steps.
 *
 * Rows never wait for each other, so a scan needs no barrier between steps (as in Diamos et al., "Persistent RNNs",
 * ICML 2016, where a workgroup keeps its rows). A step of a unit is one product of its rows with the recurrent weight
 * and a loop over the rows' gates. More rows a unit read the weight less often; fewer make more units for the threads.
 */
import type { GateCount } from "../../specs/cells.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import { segmentsOf } from "../../specs/scan.ts";
import type { FunctionBuilder, Local } from "../assembler/function.ts";
import type { Value, ValueType } from "../assembler/instructions.ts";
import { f32x4, i32, select, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import { loadLanes, storeLanes } from "../assembler/lanes.ts";
import { MR } from "../matmul/micro-kernel.ts";

/** Rows of a unit; blocks of them in the batch. They depend on the sizes alone, never on the number of threads. */
interface RowBlocks {
  /** A multiple of the register tile's rows, unless the batch has fewer. */
  readonly rows: number;
  readonly blocks: number;
  readonly units: number;
}

/** Bytes of a recurrent weight that stays in a core's second-level cache from step to step. */
const CACHED_WEIGHT = 1 << 19;
/** Units that keep a few cores busy. */
const ENOUGH_UNITS = 8;

export function rowBlocks(spec: ScanSpec, gates: GateCount): RowBlocks {
  const { batch, directions, hidden } = spec;
  const sequences = directions * segmentsOf(spec);
  const large = 4 * gates * hidden * hidden > CACHED_WEIGHT && Math.ceil(batch / 16) * sequences >= ENOUGH_UNITS;
  // Blocks of equal size: 17 rows are 12 and 5, not 16 and 1.
  const even = Math.ceil(batch / Math.ceil(batch / (large ? 16 : 8)));
  const rows = batch < MR ? batch : Math.ceil(even / MR) * MR;
  const blocks = Math.ceil(batch / rows);
  return { rows, blocks, units: blocks * sequences };
}

/** A unit as its code sees it: run-time numbers. */
interface Unit {
  readonly direction: Local;
  /** First row in the batch, and the number of rows. */
  readonly row: Local;
  readonly rows: Local;
  /** First row in a state `[D, S·B, H]`. */
  readonly stateRow: Local;
  /** First step of the sequence, and the number of steps. */
  readonly start: Local;
  readonly steps: Value;
}

/** Runs `body` for the units `begin` up to but not including `end`. */
export function eachUnit(
  f: FunctionBuilder,
  { begin, end }: Pick<KernelContext, "begin" | "end">,
  spec: ScanSpec,
  { rows, blocks }: RowBlocks,
  body: (unit: Unit) => void,
): void {
  const { batch, directions, steps } = spec;
  const lengths = spec.segments ?? [steps];
  f.for(begin, end, 1, (number) => {
    const rest = f.local("i32", i32.divU(number, i32.const(blocks)));
    const row = f.local("i32", i32.mul(i32.remU(number, i32.const(blocks)), i32.const(rows)));
    const left = f.local("i32", i32.sub(i32.const(batch), row));
    const direction = f.local("i32", i32.remU(rest, i32.const(directions)));
    const sequence = f.local("i32", i32.divU(rest, i32.const(directions)));
    const start = f.local("i32", i32.const(0));
    const length = f.local("i32", i32.const(lengths[0]));
    let first = 0;
    lengths.forEach((count, s) => {
      if (s > 0) {
        f.if(i32.eq(sequence, i32.const(s)), () => {
          f.set(start, i32.const(first));
          f.set(length, i32.const(count));
        });
      }
      first += count;
    });
    const states = i32.add(i32.mul(direction, i32.const(lengths.length)), sequence);
    body({
      direction,
      row,
      start,
      steps: length,
      rows: f.local("i32", f.least(left, rows)),
      stateRow: f.local("i32", i32.add(i32.mul(states, i32.const(batch)), row)),
    });
  });
}

/** A step of a unit: where the first of its rows stands in tensors `[T, B, D, ..]`, now and at the step that follows. */
interface Step {
  readonly row: Local;
  /** Meaningless at the last step. */
  readonly nextRow: Local;
  readonly first: Local;
  readonly last: Local;
  /** Time step times batch plus the unit's first row: its place in the mask. */
  readonly maskRow: Local;
}

/** Runs `body` at every step of the unit's sequence, in the order of its direction or (`backwards`) against it. */
export function eachStep(
  f: FunctionBuilder,
  spec: ScanSpec,
  unit: Unit,
  backwards: boolean,
  body: (step: Step) => void,
): void {
  const { batch, directions } = spec;
  const [maskRow, row, nextRow, first, last] = Array.from({ length: 5 }, () => f.local("i32", i32.const(0)));
  const rising = i32.eq(unit.direction, i32.const(backwards ? 1 : 0));
  const t = f.local("i32", select(rising, unit.start, i32.sub(i32.add(unit.start, unit.steps), i32.const(1))));
  const by = f.local("i32", select(rising, i32.const(1), i32.const(-1)));
  f.for(i32.const(0), unit.steps, 1, (k) => {
    f.set(maskRow, i32.add(i32.mul(t, i32.const(batch)), unit.row));
    f.set(row, i32.add(i32.mul(maskRow, i32.const(directions)), unit.direction));
    f.set(nextRow, i32.add(row, i32.mul(by, i32.const(batch * directions))));
    f.set(first, i32.eqz(k));
    f.set(last, i32.eq(i32.add(k, i32.const(1)), unit.steps));
    body({ row, nextRow, first, last, maskRow });
    f.set(t, i32.add(t, by));
  });
}

/** Where a unit's rows of a tensor stand: the address of the first, and the bytes from one to the next. */
export interface Rows {
  readonly at: Value;
  readonly stride: Value;
}

/** Rows `stride` bytes apart, `offset` bytes from `base`. */
export function rowsAt(base: Value, offset: number, stride: number): Rows {
  return { at: i32.add(base, i32.const(offset)), stride: i32.const(stride) };
}

/** Every `apart`-th row of a tensor whose rows have `stride` bytes, from the row of number `first` on. */
export function rowsFrom(tensor: Value, first: Value, stride: number, apart = 1): Rows {
  return { at: i32.add(tensor, i32.mul(first, i32.const(stride))), stride: i32.const(stride * apart) };
}

/** `x` where the condition holds, else `y`. */
export function either(condition: Value, x: Rows, y: Rows): Rows {
  return { at: select(condition, x.at, y.at), stride: select(condition, x.stride, y.stride) };
}

/**
 * A function of the module that runs `body` for some rows with the addresses of the row in each of the tensors `names`
 * and, `masked`, all ones where the row's element of the mask is not 0 and 0 elsewhere. What comes back writes a call.
 *
 * What a step does is in functions because an engine replaces slow code of its baseline compiler when a function is
 * called again, and a unit is one call for all its steps.
 */
export function rowFunction<Name extends string>(
  context: KernelContext,
  key: string,
  names: readonly Name[],
  masked: boolean,
  body: (f: FunctionBuilder, at: Readonly<Record<Name, Local>>, valid: Value | undefined) => void,
): (f: FunctionBuilder, rows: Value, tensors: Readonly<Record<Name, Rows>>, mask?: Value) => void {
  const parameters: ValueType[] = new Array(1 + 2 * names.length + (masked ? 1 : 0)).fill("i32");
  const callee = context.shared(`${key}${masked ? " masked" : ""}`, (module) =>
    module.function({ parameters }, (f) => {
      const [count, ...places] = f.parameters;
      const at = Object.fromEntries(names.map((name, i) => [name, places[2 * i]])) as Record<Name, Local>;
      const mask = places[2 * names.length];
      f.for(i32.const(0), count, 1, () => {
        body(f, at, masked ? f.name(f32x4.ne(v128.load32Splat(mask), f32x4.const(0))) : undefined);
        names.forEach((_, i) => f.set(places[2 * i], i32.add(places[2 * i], places[2 * i + 1])));
        if (masked) f.set(mask, i32.add(mask, i32.const(4)));
      });
    }),
  );
  return (f, rows, tensors, mask) => {
    const places = names.flatMap((name) => [tensors[name].at, tensors[name].stride]);
    f.call(callee, [rows, ...places, ...(masked ? [mask!] : [])]);
  };
}

/** The function that copies a state's rows of `hidden` floats from one place to another. */
export function copyFunction(
  context: KernelContext,
  hidden: number,
): (f: FunctionBuilder, unit: Unit, to: Rows, from: Rows) => void {
  const copy = rowFunction(context, `scan.copy ${hidden}`, ["to", "from"], false, (f, at) =>
    f.copyBytes(at.to, at.from, i32.const(4 * hidden)),
  );
  return (f, unit, to, from) => copy(f, unit.rows, { to, from });
}

/** Four neighbouring hidden units, or fewer at the end of a row. */
interface Quad {
  /** The place of the first unit in the row that starts at an address; of a pair's second quad, of its first. */
  readonly at: (row: Local) => Value;
  readonly load: (address: Value, offset?: number) => Value;
  readonly store: (address: Value, value: Value, offset?: number) => void;
  /** All four lanes, of rows with padding. */
  readonly loadPadded: (address: Value, offset?: number) => Value;
  readonly storePadded: (address: Value, value: Value, offset?: number) => void;
}

/**
 * Runs `body` for all quads of a row of `hidden` units; elements beyond the row's end are neither read nor written.
 *
 * `wide` emits quads in pairs, each load and store of one beside the other's, so that the engine can join the two: both
 * have read everything before either stores, so a body must not read what it has stored.
 */
export function eachQuad(f: FunctionBuilder, hidden: number, wide: boolean, body: (quad: Quad) => void): void {
  const whole = 16 * Math.floor(hidden / 4);
  /** One address a row for all that a body asks for: the engine joins what it sees to be neighbours of one. */
  const placesAt = (offset: Value): ((row: Local) => Value) => {
    const places = new Map<Local, Value>();
    return (row) => {
      const place = places.get(row) ?? f.name(i32.add(row, offset));
      places.set(row, place);
      return place;
    };
  };
  const quad = (offset: Value, lanes: number): void =>
    body({
      at: placesAt(offset),
      load: (address, at) => loadLanes(address, lanes, at),
      store: (address, value, at) => storeLanes(f, address, value, lanes, at),
      loadPadded: (address, at) => v128.load(address, at),
      storePadded: (address, value, at) => f.store(address, value, at),
    });
  const pair = (offset: Value): void => {
    const at = placesAt(offset);
    const [first, second] = [0, 16].map((shift) => {
      const stores: { readonly address: Value; readonly value: Value; readonly by: number }[] = [];
      const load = (address: Value, by = 0): Value => v128.load(address, by + shift);
      const store = (address: Value, value: Value, by = 0): void => {
        stores.push({ address, value: f.name(value), by: by + shift });
      };
      body({ at, load, store, loadPadded: load, storePadded: store });
      return stores;
    });
    first.forEach((one, i) => {
      for (const { address, value, by } of [one, second[i]]) f.store(address, value, by);
    });
  };
  const paired = wide ? 32 * Math.floor(whole / 32) : 0;
  if (paired > 0) f.for(i32.const(0), i32.const(paired), 32, pair);
  if (!wide || paired < whole) f.for(i32.const(paired), i32.const(whole), 16, (offset) => quad(offset, 4));
  if (hidden % 4 > 0) quad(i32.const(whole), hidden % 4);
}
