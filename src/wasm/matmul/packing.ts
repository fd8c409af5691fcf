/**
 * Packing: a block of a matrix copied into panels, in the order the register tile reads them: for every step of k, the
 * panel's rows of A (or columns of B) side by side. Below, the axis that is not k is called `outer`. What stands in the
 * places of rows and columns that do not exist is not defined.
 *
 * Copying costs a load and a store an element, so it pays from about 16 uses an element, and where elements lie side by
 * side along k it is what brings the lanes of a vector together: 4×4 blocks are transposed in registers.
 */
import type { Callee, FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import { transpose } from "../assembler/lanes.ts";

/** A view of memory: bytes from neighbour to neighbour. */
export interface PlainView {
  readonly outer: number;
  readonly k: number;
}

/** Elements that are computed, four neighbours along `lanes` at a time. */
export interface ComputedElements {
  readonly lanes: "outer" | "k";
  /**
   * Writes `body` with the axis that is not `lanes` at `at`. `four` computes the four elements from a place, a multiple
   * of 4, along `lanes`; some of the last four may not exist.
   */
  line(at: Value, body: (four: (place: Value) => Value) => void): void;
}

/**
 * A view whose addresses are sums of a part by the row (or column) and a part by k, each any function of its own: the
 * windows of a convolution, where both run over several axes.
 */
export interface SeparableView {
  /** Along which axis neighbours lie side by side in memory, mostly. */
  readonly lanes: "outer" | "k";
  /** Address of an element at k 0. */
  outer(at: Value): Value;
  /** What k adds to it, in bytes. */
  k(at: Value): Value;
}

/** A panel: `first` row (or column), steps `from` up to but not including `to`, and the address it is written to. */
export interface Panel {
  readonly first: Value;
  readonly from: Value;
  readonly to: Value;
  readonly at: Value;
  /** Panels from there on, each written behind the one before; default 1. Of plain views whose `outer` is 4 alone. */
  readonly count?: Value;
}

/** How many rows (or columns) a panel has, and what its first is a multiple of. */
export interface PanelWidth {
  readonly elements: number;
  readonly step: number;
}

const ONE = i32.const(1);

/** Writes the code that packs a panel. */
export type PackPanel = (panel: Panel) => void;

/**
 * Packs panels of `width` out of `size` rows (or columns) from f32 elements in memory.
 * @param base address of the element outer 0, k 0
 */
export function packPlain(
  f: FunctionBuilder,
  context: KernelContext,
  width: PanelWidth,
  size: number,
  view: PlainView,
  base: Value,
): PackPanel {
  return ({ first, from, to, at, count = ONE }) => {
    const source = i32.add(i32.add(base, i32.mul(first, i32.const(view.outer))), i32.mul(from, i32.const(view.k)));
    byValid(f, width, size, first, (valid) =>
      f.call(packFunction(context, width.elements, valid, view), [source, at, i32.sub(to, from), count]),
    );
  };
}

/** Bytes of memory that `packComputed` needs for itself for panels of up to `depth` steps; views have no `lanes`. */
export function computedBytes(lanes: "outer" | "k" | undefined, width: number, depth: number): number {
  return lanes === "k" ? stripStride(depth) * width : 0;
}

const stripStride = (depth: number): number => 16 * Math.ceil(depth / 4);

/**
 * Packs panels of computed elements. Those that come four along k at a time are first written row by row to `strip`
 * (`computedBytes` bytes), so that the code that computes them is there once.
 */
export function packComputed(
  f: FunctionBuilder,
  context: KernelContext,
  width: PanelWidth,
  size: number,
  elements: ComputedElements,
  strip: Value,
  depth: number,
): PackPanel {
  return ({ first, from, to, at }) => {
    const start = f.name(first);
    const end = f.least(i32.add(start, i32.const(width.elements)), size);
    const line = f.local("i32");
    if (elements.lanes === "outer") {
      f.set(line, at);
      f.for(from, to, 1, (k) => {
        elements.line(k, (four) =>
          f.for(start, end, 4, (outer) => {
            f.store(i32.add(line, i32.shl(i32.sub(outer, start), i32.const(2))), four(outer));
          }),
        );
        f.set(line, i32.add(line, i32.const(4 * width.elements)));
      });
      return;
    }
    const stride = stripStride(depth);
    const begin = f.name(from);
    f.set(line, strip);
    f.for(start, end, 1, (outer) => {
      elements.line(outer, (four) =>
        f.for(begin, to, 4, (k) => {
          f.store(i32.add(line, i32.shl(i32.sub(k, begin), i32.const(2))), four(k));
        }),
      );
      f.set(line, i32.add(line, i32.const(stride)));
    });
    byValid(f, width, size, start, (valid) =>
      f.call(packFunction(context, width.elements, valid, { outer: stride, k: 4 }), [
        strip,
        at,
        i32.sub(to, begin),
        ONE,
      ]),
    );
  };
}

/** Packs panels of `width` out of `size` rows (or columns) of a separable view. */
export function packSeparable(f: FunctionBuilder, width: number, size: number, view: SeparableView): PackPanel {
  const groups = Array.from({ length: Math.ceil(width / 4) }, (_, g) => g);
  return ({ first, from, to, at }) => {
    // Places that do not exist repeat the last one that does. Half a last vector is written over by the step after.
    const rows = Array.from({ length: 4 * groups.length }, (_, i) =>
      f.local("i32", view.outer(f.least(i32.add(first, i32.const(i)), size - 1))),
    );
    const line = f.local("i32", at);
    const step = i32.const(4 * width);
    /** One vector of the panel, an element at a time. */
    const gathered = (group: number, offset: Value): Value => {
      const place = (lane: number) => i32.add(rows[4 * group + lane], offset);
      let value = v128.load32Zero(place(0));
      for (let lane = 1; lane < 4; lane++) value = v128.load32Lane(place(lane), value, lane);
      return value;
    };
    const oneStep = (k: Value, store: (group: number, offset: Value) => void): void => {
      const offset = f.name(view.k(k));
      for (const group of groups) store(group, offset);
      f.set(line, i32.add(line, step));
    };
    const apart = (a: Value, b: Value, bytes: number) => i32.eq(i32.sub(b, a), i32.const(bytes));
    const neighbours = (list: readonly Value[]): Value =>
      i32.and(i32.and(apart(list[0], list[1], 4), apart(list[0], list[2], 8)), apart(list[0], list[3], 12));
    if (view.lanes === "outer") {
      const together = groups.map((g) => f.local("i32", neighbours(rows.slice(4 * g, 4 * g + 4))));
      const all = f.name(together.reduce<Value>((x, y) => i32.and(x, y), i32.const(1)));
      f.if(
        all,
        () =>
          f.for(from, to, 1, (k) =>
            oneStep(k, (g, offset) => f.store(line, v128.load(i32.add(rows[4 * g], offset)), 16 * g)),
          ),
        () =>
          f.for(from, to, 1, (k) =>
            oneStep(k, (g, offset) =>
              f.if(
                together[g],
                () => f.store(line, v128.load(i32.add(rows[4 * g], offset)), 16 * g),
                () => f.store(line, gathered(g, offset), 16 * g),
              ),
            ),
          ),
      );
      return;
    }
    const k = f.local("i32", from);
    const end = f.name(to);
    f.while(
      () => i32.ltS(k, end),
      () => {
        const offsets = [0, 1, 2, 3].map((i) => f.local("i32", view.k(i32.add(k, i32.const(i)))));
        const four = i32.and(neighbours(offsets), i32.leS(i32.add(k, i32.const(4)), end));
        f.if(
          four,
          () => {
            storeTurned(f, line, width, (i) => v128.load(i32.add(rows[i], offsets[0])));
            f.set(line, i32.add(line, i32.const(16 * width)));
            f.set(k, i32.add(k, i32.const(4)));
          },
          () => {
            for (const g of groups) f.store(line, gathered(g, offsets[0]), 16 * g);
            f.set(line, i32.add(line, step));
            f.set(k, i32.add(k, i32.const(1)));
          },
        );
      },
    );
  };
}

/**
 * Stores four steps of a panel at `to` from vectors that hold four steps of a row each. The last of a step's vectors may
 * be half: it is stored before those of the step after.
 */
function storeTurned(f: FunctionBuilder, to: Value, width: number, vectorOf: (row: number) => Value): void {
  for (let group = Math.ceil(width / 4); group-- > 0; ) {
    const rows = [0, 1, 2, 3].map((i) => f.name(vectorOf(4 * group + i)));
    transpose(f, rows).forEach((column, step) => f.store(to, column, 4 * width * step + 16 * group));
  }
}

/**
 * Calls `emit` with the number of rows the panel from `first` has: all, or, of the last one, what is left: more than a
 * panel less a step, since a narrower panel would do otherwise.
 */
function byValid(
  f: FunctionBuilder,
  { elements: width, step }: PanelWidth,
  size: number,
  first: Value,
  emit: (valid: number) => void,
): void {
  const over = size % step;
  const rest = width - step + over;
  if (over === 0) emit(width);
  else if (size < width) emit(rest);
  else
    f.if(
      i32.leS(first, i32.const(size - width)),
      () => emit(width),
      () => emit(rest),
    );
}

/** The function (from, to, steps, count): packs panels with `valid` rows each, steps ≥ 1. */
function packFunction(context: KernelContext, width: number, valid: number, { outer, k }: PlainView): Callee {
  return context.shared(`matmul.pack ${width} ${valid} ${outer} ${k}`, (module) =>
    module.function({ parameters: ["i32", "i32", "i32", "i32"] }, (f) => {
      const [from, to, steps, count] = f.parameters;
      const stepBytes = 4 * width;
      const panelBytes = f.name(i32.mul(steps, i32.const(stepBytes)));
      const end = f.name(i32.add(to, panelBytes));
      const groups = Array.from({ length: Math.ceil(valid / 4) }, (_, g) => g);
      /** Repeats the body, which packs `taken` steps, for as long as so many are left. */
      const rounds = (taken: number, body: () => void): void =>
        f.while(
          () => i32.leU(i32.add(to, i32.const(taken * stepBytes)), end),
          () => {
            body();
            f.set(from, i32.add(from, i32.const(taken * k)));
            f.set(to, i32.add(to, i32.const(taken * stepBytes)));
          },
        );
      /** The elements of a step's vector `group`. */
      const gather = (source: Value, group: number, step: number): Value => {
        const at = 4 * group * outer + step * k;
        // Beyond the panel stands what is not defined.
        if (outer === 4) return v128.load(source, at);
        let value = v128.load32Zero(source, at);
        for (let lane = 1; lane < Math.min(4, valid - 4 * group); lane++)
          value = v128.load32Lane(source, value, lane, at + lane * outer);
        return value;
      };
      /** Steps of all panels: memory is read along the rows that lie there, so that each cache line comes once. */
      const copy = (taken: number): void =>
        rounds(taken, () => {
          const [source, target] = [f.local("i32", from), f.local("i32", to)];
          f.for(i32.const(0), count, 1, () => {
            for (let step = 0; step < taken; step++)
              // All of a step before its first store: engines that join vectors need that.
              f.forgetting(() =>
                groups
                  .map((group) => f.local("v128", gather(source, group, step)))
                  .forEach((vector, group) => {
                    const at = stepBytes * step + 16 * group;
                    // A last vector may be half. Its rest is written over by the step after, where there is one.
                    if (16 * group + 16 > stepBytes && step + 1 === taken) f.store64Lane(target, vector, 0, at);
                    else f.store(target, vector, at);
                  }),
              );
            f.set(source, i32.add(source, i32.const(stepBytes)));
            f.set(target, i32.add(target, panelBytes));
          });
        });
      if (outer === 4) copy(4);
      else if (k === 4)
        rounds(4, () => {
          storeTurned(f, to, width, (i) => (i < valid ? v128.load(from, i * outer) : f32x4.const(0)));
        });
      copy(1);
    }),
  );
}
