/**
 * The body of a loop: a graph over numbered leaves, written down once, so that it can be built again over other inputs,
 * compared with others by a key, and planned once for all steps.
 */
import type { Backend, Storage } from "../backend.ts";
import type { ValueSpec } from "../fused.ts";
import { valueSpec } from "../fused.ts";
import { Node, opKey } from "../node.ts";
import type { Op } from "../node.ts";

/** One operation of a body; values are numbered, the leaves first, then the operations. */
interface BodyStep extends ValueSpec {
  readonly op: Op;
  readonly inputs: readonly number[];
  readonly stopped: boolean;
}

export interface Body {
  readonly leaves: readonly ValueSpec[];
  /** Inputs before users. */
  readonly steps: readonly BodyStep[];
  /** Numbers of the values that the body is for. */
  readonly roots: readonly number[];
  /** Equal for bodies of equal structure. */
  readonly key: string;
}

/**
 * A fused op that is a body run once a step: the first step's carries are the op's, a later step's are what the step
 * before left. Operands: constants, whole; `xs` [T, …], of which a step sees its own; first carries. The body's leaves
 * are in the same order; its roots are the next carries, then what every step leaves. Results: the last carries, the
 * carries after every step [T, …], and what every step leaves [T, …], in order of time.
 */
export interface Loop {
  readonly body: Body;
  readonly steps: number;
  /** Whether the last step in time is run first. */
  readonly reverse: boolean;
  readonly constants: number;
  readonly xs: number;
  readonly carries: number;
  /** How the device `cpu` lays it out; the room of that device's kernels says what it is. */
  readonly cpu: object;
}

/** The time of the k-th step that runs. */
export const timeOf = ({ steps, reverse }: Pick<Loop, "steps" | "reverse">, k: number): number =>
  reverse ? steps - 1 - k : k;

/** A leaf without a value, for which something stands in when the body runs. */
export function placeholder({ shape, dtype }: ValueSpec): Node {
  const storage: Storage = { device: NOWHERE, shape, dtype, dispose: () => undefined };
  return new Node({ kind: "storage", storage }, [], shape, dtype);
}

const refuse = (): never => {
  throw new Error("a tensor inside a scan's cell has no value: the cell runs once, for all steps");
};

const NOWHERE: Backend = {
  kind: "none",
  name: "a scan's cell",
  supports: () => true,
  realize: refuse,
  compile: refuse,
  read: refuse,
  synchronize: () => Promise.resolve(),
  close: () => undefined,
};

/**
 * The body that computes `roots` from `leaves`.
 *
 * @param enter what stands for a node that is no leaf: another node that it equals here, or undefined for itself
 * @throws Error where a value comes from neither a leaf nor a constant
 */
export function bodyOf(
  roots: readonly Node[],
  leaves: readonly Node[],
  enter: (node: Node) => Node | undefined = () => undefined,
): Body {
  const number = new Map(leaves.map((node, i) => [node, i]));
  const steps: BodyStep[] = [];
  const keys: string[] = [];
  const visit = (root: Node): number => {
    const stack = [root];
    while (stack.length > 0) {
      const node = stack[stack.length - 1];
      if (number.has(node)) {
        stack.pop();
        continue;
      }
      const other = enter(node);
      const inputs = other ? [other] : node.formula.inputs;
      const missing = inputs.filter((n) => !number.has(n));
      if (missing.length > 0) {
        stack.push(...missing);
        continue;
      }
      stack.pop();
      if (other) {
        number.set(node, number.get(other)!);
        continue;
      }
      const { op } = node.formula;
      if (op.kind === "data" || op.kind === "storage" || op.kind === "variable") {
        throw new Error(`internal: a ${op.kind} leaf within a loop's body`);
      }
      const { shape, dtype, stopped } = node;
      const at = inputs.map((n) => number.get(n)!);
      number.set(node, leaves.length + steps.length);
      steps.push({ op, inputs: at, shape, dtype, stopped });
      keys.push(`${opKey(op)}(${at.join()})${stopped ? "|" : ":"}${dtype}[${shape.join()}]`);
    }
    return number.get(root)!;
  };
  const found = roots.map(visit);
  const specs = leaves.map(valueSpec);
  const key = `${specs.map((s) => `${s.dtype}[${s.shape.join()}]`).join()};${keys.join(";")}>${found.join()}`;
  return { leaves: specs, steps, roots: found, key };
}

/** The body's roots over these leaves. */
export function buildBody({ steps, roots }: Body, leaves: readonly Node[]): Node[] {
  const all = [...leaves];
  for (const { op, inputs, shape, dtype, stopped } of steps) {
    all.push(
      new Node(
        op,
        inputs.map((i) => all[i]),
        shape,
        dtype,
        stopped,
      ),
    );
  }
  return roots.map((i) => all[i]);
}
