/** Every operation of the suite by name, with what it means in ordinary operations of this engine. */
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes } from "../protocol.ts";
import { ELEMENTWISE_ROWS } from "./elementwise.ts";

/** The meaning of an operation. */
type Meaning = (attributes: EngineAttributes, ...operands: Tensor[]) => Tensor;

/** By the name that steps and adapters use. */
export const MEANINGS: Readonly<Record<string, Meaning>> = {
  ...Object.fromEntries(
    Object.entries(ELEMENTWISE_ROWS).map(([name, { meaning }]): [string, Meaning] => [
      name,
      (_, ...operands) => meaning(...operands),
    ]),
  ),
};

/** Names that stand for no operation of this engine, but for several. */
export const COMPOSED: ReadonlySet<string> = new Set(
  Object.entries(ELEMENTWISE_ROWS).flatMap(([name, { composed }]) => (composed ? [name] : [])),
);
