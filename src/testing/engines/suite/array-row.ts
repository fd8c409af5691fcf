/** What the tables of operations on whole arrays say of one: its meaning, and what is asked about it. */
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes, PlainArray } from "../protocol.ts";
import type { Aspect, ConformanceCase } from "./case.ts";

export type Interval = readonly [low: number, high: number];

/** An operand of which more is said than its shape. */
export interface GivenOperand {
  readonly shape: readonly number[];
  /** Its numbers; by default they are drawn. */
  readonly data?: readonly number[];
  /** Default f32. No gradient is asked for with respect to others. */
  readonly dtype?: PlainArray["dtype"];
  /** What is drawn; default the row's. */
  readonly interval?: Interval;
  /** Whether no gradient is asked for with respect to it. */
  readonly held?: boolean;
}

/** What is asked about an operation at one set of operands. */
export interface Question extends Pick<ConformanceCase, "relative" | "absolute" | "signed" | "otherwise"> {
  /** Operands, by their shapes where their numbers are drawn. */
  readonly of: readonly (readonly number[] | GivenOperand)[];
  readonly with?: EngineAttributes;
  /** Where the value is told; by default by the sizes: shapes or empty. Null asks for no value. */
  readonly values?: Aspect | null;
  /** Where the gradient is told; by default with the gradients, where the row has one. Null asks for none. */
  readonly gradients?: Aspect | null;
  /** Whether the gradient is of the sum, and not of a drawn mean of the elements. */
  readonly plainSum?: boolean;
  /** Whether second derivatives, of the result's square, are asked for. */
  readonly second?: boolean;
  readonly name?: string;
  /** Fewer of the numbers, tried where this one fails. */
  readonly smaller?: readonly Question[];
}

/** One operation on whole arrays. */
export interface ArrayRow {
  readonly meaning: (attributes: EngineAttributes, ...operands: Tensor[]) => Tensor;
  /** In JavaScript's numbers: of these operands, or undefined where it does not say. */
  readonly plain?: (attributes: EngineAttributes, ...operands: PlainArray[]) => PlainArray | undefined;
  /** What operands are drawn from; default [−3, 3). */
  readonly interval?: Interval;
  /** Whether it has a gradient; default true. */
  readonly differentiable?: boolean;
  /** Whether it is no operation of this engine, but made of several: then there is nothing of its own to check. */
  readonly composed?: boolean;
  readonly questions: readonly Question[];
}

/** A family of operations, by their names. */
export type ArrayRows = Readonly<Record<string, ArrayRow>>;

/** A number among the attributes. */
export const numberOf = (attributes: EngineAttributes, name: string): number => attributes[name] as number;

/** A list of numbers among the attributes. */
export const listOf = (attributes: EngineAttributes, name: string): number[] => [...(attributes[name] as number[])];

/** A matrix of the given rows. */
export const matrix = (rows: readonly (readonly number[])[]): GivenOperand => ({
  ...{ shape: [rows.length, rows[0].length], data: rows.flat() },
});
