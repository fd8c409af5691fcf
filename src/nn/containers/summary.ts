/**
 * A model as a table: every module that a forward pass calls, with the shape it gives, its parameters, the work it does
 * and the memory it takes. Nothing is computed: the shapes and the work are those of the graph.
 */
import { noGrad } from "../../autograd/grad.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import type { Node } from "../../tensor/node.ts";
import { topologicalOrder } from "../../tensor/node.ts";
import { formatShape, sizeOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { describeValue } from "../../tensor/door/door.ts";
import { Module } from "../module.ts";
import type { CallableModule } from "./hooks.ts";
import { addForwardHook } from "./hooks.ts";

/** One call of one module; what is below it is counted in. */
export interface SummaryRow {
  /** Path in the model; "" for the model itself. */
  readonly name: string;
  /** Class. */
  readonly kind: string;
  /** How far below the model. */
  readonly depth: number;
  /** Shape of the output, or of the outputs. */
  readonly shapes: readonly Shape[];
  /** Elements of trainable variables; 0 at the second call of a module. */
  readonly parameters: number;
  /** Floating-point operations: a multiply-add counts as two, an elementwise op or a sum as one an element. */
  readonly flops: number;
  /** Bytes of the outputs. */
  readonly bytes: number;
}

/** A model's modules in the order in which they are done, and its sums. */
export interface Summary {
  readonly rows: readonly SummaryRow[];
  readonly parameters: number;
  /** Elements of variables that are not trained: running statistics, frozen weights. */
  readonly buffers: number;
  readonly flops: number;
  /** Bytes of parameters and buffers. */
  readonly parameterBytes: number;
  /** Bytes of the outputs of all modules that have none below them. */
  readonly activationBytes: number;
  /** The table as text. */
  toString(): string;
}

function tensorsIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value];
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.values(value).flatMap(tensorsIn);
  }
  return [];
}

/** Work of a node, given that of the graph below is counted elsewhere. */
function flopsOf(node: Node, counted: Map<Node, number>): number {
  const known = counted.get(node);
  if (known !== undefined) return known;
  const { op, inputs, shape } = node;
  let flops = 0;
  if (op.kind === "elementwise") flops = sizeOf(shape);
  else if (op.kind === "reduce") flops = sizeOf(inputs[0].shape);
  else if (op.kind === "matmul") flops = 2 * sizeOf(shape) * inputs[0].shape[inputs[0].shape.length - 1];
  else if (op.kind === "fused") {
    const leaves = new Set<Node>(inputs);
    const results = op.fused.decompose(
      inputs.map((n) => new Tensor(n)),
      op.attrs,
    );
    flops = flopsBetween(
      results.map((t) => t.node),
      leaves,
      counted,
    );
  }
  counted.set(node, flops);
  return flops;
}

function flopsBetween(roots: readonly Node[], leaves: ReadonlySet<Node>, counted: Map<Node, number>): number {
  const order = topologicalOrder(roots, (n) => (leaves.has(n) ? [] : n.inputs));
  return order.reduce((sum, n) => sum + (leaves.has(n) ? 0 : flopsOf(n, counted)), 0);
}

const elements = (variables: readonly Tensor[]): number => variables.reduce((sum, v) => sum + v.size, 0);

/**
 * What a forward pass of `model` on `inputs` (a tensor, or the arguments of `forward`) does, module by module. The pass
 * is built in evaluation and not run, so running statistics stay what they are.
 */
export function summary(model: CallableModule, inputs: Tensor | readonly unknown[]): Summary {
  if (!(model instanceof Module)) throw new TypeError(`summary: takes a module, not ${describeValue(model)}`);
  if (!(inputs instanceof Tensor) && !Array.isArray(inputs))
    throw new TypeError(`summary: takes the model's input or an array of its arguments, not ${describeValue(inputs)}`);
  const given = inputs instanceof Tensor ? [inputs] : inputs;
  const names = new Map<Module, string>();
  for (const [name, module] of model.namedModules()) if (!names.has(module)) names.set(module, name);
  const modes = [...names.keys()].map((m) => [m, m.training] as const);
  const rows: SummaryRow[] = [];
  const counted = new Map<Node, number>();
  const seen = new Set<Module>();
  const removers = [...names].flatMap(([module, name]) => {
    if (typeof (module as { forward?: unknown }).forward !== "function") return [];
    return [
      addForwardHook(module, (_, arguments_, output) => {
        const results = tensorsIn(output);
        const leaves = new Set(tensorsIn(arguments_).map((t) => t.node));
        rows.push({
          name,
          kind: module.constructor.name,
          depth: name === "" ? 0 : name.split(".").length,
          shapes: results.map((t) => t.shape),
          parameters: seen.has(module) ? 0 : elements(module.parameters()),
          flops: flopsBetween(
            results.map((t) => t.node),
            leaves,
            counted,
          ),
          bytes: results.reduce((sum, t) => sum + t.size * bytesPerElement(t.dtype), 0),
        });
        seen.add(module);
        return undefined;
      }),
    ];
  });
  try {
    model.eval();
    noGrad(() => model.forward(...given));
  } finally {
    for (const remove of removers) remove();
    // Parents first: each sets those below it.
    for (const [module, training] of modes) module.train(training);
  }
  const variables = [...model.parameters(), ...model.buffers()];
  const total = rows[rows.length - 1];
  const inner = (row: SummaryRow) =>
    rows.some((other) => other !== row && (row.name === "" || other.name.startsWith(`${row.name}.`)));
  const found = {
    rows,
    parameters: elements(model.parameters()),
    buffers: elements(model.buffers()),
    flops: total?.flops ?? 0,
    parameterBytes: variables.reduce((sum, v) => sum + v.size * bytesPerElement(v.dtype), 0),
    activationBytes: rows.reduce((sum, row) => sum + (inner(row) ? 0 : row.bytes), 0),
  };
  return { ...found, toString: () => tableOf(found) };
}

const count = (n: number): string => n.toLocaleString("en-US");

function tableOf(s: Omit<Summary, "toString">): string {
  const head = ["module", "output", "parameters", "flops", "bytes"];
  const lines = s.rows.map((row) => [
    `${"  ".repeat(row.depth)}${row.name === "" ? row.kind : `${row.name} ${row.kind}`}`,
    row.shapes.map(formatShape).join(" "),
    count(row.parameters),
    count(row.flops),
    count(row.bytes),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i].length)));
  const text = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join("  ")
      .trimEnd();
  return [
    text(head),
    text(widths.map((w) => "-".repeat(w))),
    ...lines.map(text),
    "",
    `parameters ${count(s.parameters)} (${count(s.parameterBytes)} bytes with ${count(s.buffers)} in buffers), ` +
      `flops ${count(s.flops)}, activations ${count(s.activationBytes)} bytes`,
  ].join("\n");
}
