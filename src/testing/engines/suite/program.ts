/** Programs of several operations, written as calls: numbers of values follow from what was asked for. */
import { sizeOf } from "../../../tensor/shape.ts";
import type { Numbers } from "../draw.ts";
import type { EngineAttributes, EngineRequest, EngineStep, PlainArray } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { Interval } from "./array-row.ts";

/** A value of a program. */
export interface Value {
  readonly of: "input" | "step" | "gradient" | "update";
  readonly n: number;
}

interface Call {
  readonly op: string;
  readonly of: readonly Value[];
  readonly with?: EngineAttributes;
}

/** What a program carries from one run to the next: `input` becomes `value`. */
export interface Carried {
  readonly input: Value;
  readonly value: Value;
}

/** A program under construction. What is called after `gradient` belongs to the updates. */
export class Program {
  readonly #draw: Numbers;
  readonly #inputs: PlainArray[] = [];
  readonly #steps: Call[] = [];
  readonly #updates: Call[] = [];
  #outputs: readonly Value[] = [];
  #cotangents: readonly PlainArray[] | undefined;
  #of: readonly Value[] = [];

  constructor(draw: Numbers) {
    this.#draw = draw;
  }

  /** An input that is drawn. */
  input(shape: readonly number[], interval: Interval = [-1, 1]): Value {
    return this.#given(this.#draw.floats(sizeOf(shape), interval), shape);
  }

  /** An input of one number everywhere. */
  constant(value: number, shape: readonly number[] = []): Value {
    return this.#given(new Array<number>(sizeOf(shape)).fill(Math.fround(value)), shape);
  }

  #given(data: number[], shape: readonly number[]): Value {
    this.#inputs.push(plain(data, shape));
    return { of: "input", n: this.#inputs.length - 1 };
  }

  /** Zeros of the shape of an input. */
  zerosLike({ n }: Value): Value {
    return this.constant(0, this.#inputs[n].shape);
  }

  /** An operation of values. */
  call(op: string, ...of: readonly Value[]): Value {
    return this.told(op, undefined, ...of);
  }

  /** An operation with attributes. */
  told(op: string, attributes: EngineAttributes | undefined, ...of: readonly Value[]): Value {
    const [list, kind] = this.#of.length > 0 ? [this.#updates, "update" as const] : [this.#steps, "step" as const];
    list.push({ op, of, ...(attributes && { with: attributes }) });
    return { of: kind, n: list.length - 1 };
  }

  /** What is wanted. */
  wants(...outputs: readonly Value[]): void {
    this.#outputs = outputs;
  }

  /** The gradient of the outputs, in sum or weighted by numbers of the outputs' shapes, as values. */
  gradient(of: readonly Value[], shapes: readonly (readonly number[])[] = [[]]): Value[] {
    this.#of = of;
    this.#cotangents = shapes.map((shape) =>
      plain(shape.length === 0 ? [1] : this.#draw.weights(sizeOf(shape)), shape),
    );
    return of.map((_, n) => ({ of: "gradient", n }));
  }

  /** What an engine is asked; with `carried`, so many `times`. */
  request({ carried = [], times = 5 }: { carried?: readonly Carried[]; times?: number } = {}): EngineRequest {
    const starts = { input: 0, step: this.#inputs.length, gradient: 0, update: 0 };
    starts.gradient = starts.step + this.#steps.length;
    starts.update = starts.gradient + this.#of.length;
    const at = ({ of, n }: Value): number => starts[of] + n;
    const step = ({ of, ...rest }: Call): EngineStep => ({ ...rest, of: of.map(at) });
    return {
      ...{ inputs: this.#inputs, steps: this.#steps.map(step), outputs: this.#outputs.map(at) },
      ...(this.#cotangents && { gradient: { of: this.#of.map(at), cotangents: this.#cotangents } }),
      ...(carried.length > 0 && {
        updates: {
          ...{ times, steps: this.#updates.map(step) },
          next: carried.map(({ input, value }) => ({ input: at(input), value: at(value) })),
        },
      }),
    };
  }

  /** Directions for second derivatives. */
  directions(): PlainArray[] {
    return this.#of.map(({ n }) => {
      const { shape } = this.#inputs[n];
      return plain(this.#draw.weights(sizeOf(shape)), shape);
    });
  }
}
