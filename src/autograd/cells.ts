/** A scan's cell while it is traced, and afterwards, when what it made has no value: the cell runs once, for all steps. */
import type { Node } from "../tensor/node.ts";
import { Trace } from "../tensor/program/trace.ts";
import { formatShape } from "../tensor/shape.ts";

/** What stands for states and inputs of cells, and what each is. */
export const cellLeaves = new WeakMap<Node, string>();

export class CellTrace extends Trace {
  #over = false;

  override end(): void {
    this.#over = true;
  }

  /** @throws Error where the cell has run: the value is one step's, and nobody says which */
  override check(node: Node): void {
    if (!this.#over) return;
    const what = cellLeaves.get(node) ?? `a ${node.dtype}${formatShape(node.shape)} tensor made in a scan's cell`;
    throw new Error(
      `scan: ${what} has no value outside the cell, which runs once, for all steps; hand it on as state or output, and ` +
        "to a function with a gradient of its own, such as customGradient, as an input",
    );
  }
}
