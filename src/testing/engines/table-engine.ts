/**
 * An adapter out of a table of operations: how an engine in this process makes arrays, reads them, computes each
 * operation, and takes gradients. Programs, second derivatives and updates follow from these.
 */
import type {
  EngineAdapter,
  EngineAnswer,
  EngineAttributes,
  EngineRequest,
  EngineStep,
  PlainArray,
} from "./protocol.ts";

/** What is known of an engine whose arrays are `T`. */
export interface EngineTable<T> {
  readonly name: string;
  readonly version: string;
  readonly operations: Readonly<Record<string, (attributes: EngineAttributes, ...operands: T[]) => T>>;
  array(given: PlainArray): T;
  read(arrays: readonly T[]): Promise<PlainArray[]>;
  /** Outputs of `f`, and the gradient of Σ ⟨cotangent, output⟩ with respect to every input. */
  vjp(
    f: (inputs: readonly T[]) => readonly T[],
    inputs: readonly T[],
    cotangents: readonly T[],
  ): { readonly outputs: readonly T[]; readonly gradients: readonly T[] };
  /** One more use of an array, in engines that count them. */
  use?(array: T): T;
  /** A compiled form of `f`. */
  compile?(f: (inputs: readonly T[]) => readonly T[]): (inputs: readonly T[]) => readonly T[] | Promise<readonly T[]>;
  /** Arrays whose value can be assigned, in engines that have them: values that are carried lie in such. */
  readonly variables?: { make(initial: T): T; assign(variable: T, value: T): void };
  /** Runs before the arrays of a request are made, and what it gives after they were read. */
  begin?(): () => void;
  close?(): Promise<void> | void;
}

/** An adapter for an engine in this process. */
export function tableEngine<T>(table: EngineTable<T>): EngineAdapter {
  const use = (array: T): T => table.use?.(array) ?? array;
  const operations = new Set(Object.keys(table.operations));

  const evaluate = (steps: readonly EngineStep[], inputs: readonly T[]): T[] => {
    const values = [...inputs];
    for (const { op, of, with: attributes = {} } of steps)
      values.push(table.operations[op](attributes, ...of.map((n) => use(values[n]))));
    return values;
  };

  /** Outputs, gradients and second derivatives of a request's program, as one flat list. */
  const once = ({ steps, outputs, gradient }: EngineRequest, inputs: readonly T[], rest: readonly T[]): T[][] => {
    const f = (all: readonly T[]): T[] => {
      const values = evaluate(steps, all);
      return outputs.map((n) => use(values[n]));
    };
    if (!gradient) return [f(inputs)];
    const cotangents = rest.slice(0, gradient.cotangents.length);
    const directions = rest.slice(gradient.cotangents.length);
    const withMoved = (moved: readonly T[]): T[] =>
      inputs.map((input, n) => (gradient.of.includes(n) ? moved[gradient.of.indexOf(n)] : input));
    const point = gradient.of.map((n) => inputs[n]);
    const first = (moved: readonly T[]) => table.vjp((at) => f(withMoved(at)), moved, cotangents.map(use));
    const { outputs: found, gradients } = first(point.map(use));
    if (!gradient.directions) return [[...found], [...gradients]];
    const second = table.vjp((at) => first(at).gradients, point.map(use), directions.map(use));
    return [[...found], [...gradients], [...second.gradients]];
  };

  const run = async (request: EngineRequest): Promise<EngineAnswer> => {
    const end = table.begin?.();
    try {
      const { gradient, updates } = request;
      let inputs = request.inputs.map((given) => table.array(given));
      const rest = [...(gradient?.cotangents ?? []), ...(gradient?.directions ?? [])].map((one) => table.array(one));
      if (!updates) {
        const sizes: number[] = [];
        const flat = (all: readonly T[]): T[] => {
          const lists = once(request, all.slice(0, inputs.length), all.slice(inputs.length));
          sizes.splice(0, sizes.length, ...lists.map(({ length }) => length));
          return lists.flat();
        };
        const f = request.compiled && table.compile ? table.compile(flat) : flat;
        const found = await table.read(await f([...inputs, ...rest].map(use)));
        const [outputs, gradients, seconds] = sizes.map((size, n) =>
          found.slice(sum(sizes.slice(0, n)), sum(sizes.slice(0, n)) + size),
        );
        return { outputs, gradients, seconds };
      }
      const { next, times } = updates;
      const { variables } = table;
      inputs = inputs.map((input, n) =>
        variables && next.some((one) => one.input === n) ? variables.make(input) : input,
      );
      const step = (all: readonly T[]): T[] => {
        const given = all.slice(0, inputs.length);
        const [outputs, gradients = []] = once(request, given.map(use), all.slice(inputs.length));
        const values = evaluate(request.steps, given.map(use));
        const more = evaluate(updates.steps, [...values, ...gradients]);
        if (!variables) return [...outputs, ...next.map(({ value }) => use(more[value]))];
        for (const { input, value } of next) variables.assign(given[input], more[value]);
        return outputs;
      };
      const f = request.compiled && table.compile ? table.compile(step) : step;
      const results: PlainArray[] = [];
      for (let time = 0; time < times; time++) {
        const found = await f([...inputs, ...rest].map(use));
        const carried = found.slice(request.outputs.length);
        results.push(...(await table.read(found.slice(0, request.outputs.length))));
        for (const [at, value] of carried.entries()) inputs[next[at].input] = value;
      }
      results.push(...(await table.read(next.map(({ input }) => use(inputs[input])))));
      return { outputs: results };
    } finally {
      end?.();
    }
  };
  const { name, version } = table;
  return { name, version, operations, compiles: table.compile !== undefined, run, close: table.close?.bind(table) };
}

/** Elementwise functions as operations of a table: they are told nothing besides their operands. */
export function ofOperands<T>(
  functions: Readonly<Record<string, (...operands: T[]) => T>>,
): EngineTable<T>["operations"] {
  return Object.fromEntries(
    Object.entries(functions).map(([name, f]) => [name, (_: EngineAttributes, ...operands: T[]) => f(...operands)]),
  );
}

/** [begin, end] of each axis that a slice takes. */
export function rangesOf({ begin, end }: EngineAttributes): [number, number][] {
  return (begin as number[]).map((from, axis) => [from, (end as number[])[axis]]);
}

function sum(list: readonly number[]): number {
  return list.reduce((a, b) => a + b, 0);
}
