/** Every operation of the suite by name, with what it means in ordinary operations of this engine. */
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes } from "../protocol.ts";
import type { ArrayRows } from "./array-row.ts";
import { AXIS_ROWS } from "./axes.ts";
import { ELEMENTWISE_ROWS } from "./elementwise.ts";
import { PRODUCT_ROWS } from "./products.ts";
import { REDUCTION_ROWS } from "./reductions.ts";
import { SHAPE_ROWS } from "./shapes.ts";
import { SIGNAL_ROWS } from "./signals.ts";
import { SPATIAL_ROWS } from "./spatial.ts";

/** The meaning of an operation. */
type Meaning = (attributes: EngineAttributes, ...operands: Tensor[]) => Tensor;

/** Operations on whole arrays, one family after the other. */
export const ARRAY_ROWS: ArrayRows = {
  ...REDUCTION_ROWS,
  ...AXIS_ROWS,
  ...PRODUCT_ROWS,
  ...SHAPE_ROWS,
  ...SPATIAL_ROWS,
  ...SIGNAL_ROWS,
};

/** By the name that steps and adapters use. */
export const MEANINGS: Readonly<Record<string, Meaning>> = Object.fromEntries([
  ...Object.entries(ELEMENTWISE_ROWS).map(([name, { meaning }]): [string, Meaning] => [
    name,
    (_, ...operands) => meaning(...operands),
  ]),
  ...Object.entries(ARRAY_ROWS).map(([name, { meaning }]): [string, Meaning] => [name, meaning]),
]);

/** Names that stand for no operation of this engine, but for several. */
export const COMPOSED: ReadonlySet<string> = new Set(
  Object.entries({ ...ELEMENTWISE_ROWS, ...ARRAY_ROWS }).flatMap(([name, { composed }]) => (composed ? [name] : [])),
);
