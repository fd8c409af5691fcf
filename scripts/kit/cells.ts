/** Cells over time, by `scan`: each held to a loop over its steps. */
import { concat, Generator, grad, scan, stack, tensor } from "../../src/index.ts";
import type { Tensor, WebGpuDevice } from "../../src/index.ts";
import type { Checked } from "../../src/testing/index.ts";
import type { KitCase, KitCases } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;

/** What a step makes of the states, of its input and of weights. */
type Cell = (
  states: readonly Tensor[],
  x: Tensor,
  weights: readonly Tensor[],
) => { readonly state: Tensor[]; readonly output: Tensor[] };

interface Order {
  readonly reverse?: boolean;
  readonly lengths?: readonly number[];
}

/** The last states and the outputs of every step, by a loop over the steps. */
function looped(
  cell: Cell,
  first: readonly Tensor[],
  inputs: Tensor,
  weights: readonly Tensor[],
  order: Order,
): Tensor[] {
  const steps = inputs.shape[0];
  const outputs: Tensor[][] = [];
  let states = [...first];
  for (let i = 0; i < steps; i++) {
    const t = order.reverse ? steps - 1 - i : i;
    const { state, output } = cell(states, inputs.slice([t, t + 1]).squeeze(0), weights);
    const { lengths } = order;
    if (lengths) {
      const open = tensor(lengths.map((n) => Number(t < n))).unsqueeze(1);
      outputs[t] = output.map((y) => y.mul(open));
      states = state.map((h, k) => h.mul(open).add(states[k].mul(open.neg().add(1))));
    } else [states, outputs[t]] = [state, output];
  }
  return [...states, ...outputs[0].map((_, k) => stack(outputs.map((of) => of[k])))];
}

/** A cell over the steps of its inputs, which stand behind the states and before the weights. */
function caseOf(cell: Cell, states: number, inputs: KitCase["inputs"], order: Order = {}): KitCase {
  const by =
    (run: (first: readonly Tensor[], inputs: Tensor, weights: readonly Tensor[]) => Tensor[]) =>
    (...given: Tensor[]): Tensor[] =>
      run(given.slice(0, states), given[states], given.slice(states + 1));
  return {
    f: by((first, x, weights) => {
      const { state, outputs } = scan(cell, { state: [...first], inputs: x, weights: [...weights], ...order });
      return [...state, ...outputs];
    }),
    inputs,
    meaning: by((first, x, weights) => looped(cell, first, x, weights, order)),
    large: 9,
    gradientTolerance: 1e-4,
  };
}

const step: Cell = ([h], x, [w]) => {
  const next = h.matmul(w).add(x).tanh();
  return { state: [next], output: [next.mul(x).add(h)] };
};
const overTime = (order: Order, rows = 3): KitCase =>
  caseOf(step, 1, [narrow(rows, "h"), narrow(4, rows, "h"), narrow("h", "h")], order);

/** So many rows that nobody takes all of them at once. */
const ROWS = 9;

/** A state that is its cell's output too. */
const alone = (next: (h: Tensor, x: Tensor) => Tensor): KitCase => {
  const cell: Cell = ([h], x) => {
    const result = next(h, x);
    return { state: [result], output: [result] };
  };
  return caseOf(cell, 1, [narrow(ROWS, "h"), narrow(3, ROWS, "h")]);
};

/** Without the results behind the first. */
const unread = (one: KitCase, first: number): KitCase => {
  const some =
    (f: Checked): Checked =>
    (...given) =>
      (f(...given) as Tensor[]).slice(0, first);
  return { ...one, f: some(one.f), meaning: some(one.meaning!) };
};

/** So many rows and features that rows are taken in blocks, and features in panels. */
const BLOCKED = [20, 20] as const;

/** Values of a step with other widths than the state's, which is twice as wide as its weight is high. */
const narrowing: Cell = ([h], x, [w]) => {
  const half = w.slice([0, w.shape[0] / 2]);
  const wide = h.matmul(w.transpose()).tanh().matmul(w).tanh();
  const next = wide.matmul(half.transpose()).tanh().matmul(half).add(x).tanh();
  return { state: [next], output: [next] };
};

/** A case of large sizes, whose derivatives by differences would take long. */
const large = (one: KitCase): KitCase => ({ ...one, large: 0, order: 0 });

/** How many weights and outputs a cell has that are more than adapters bind. */
const MANY = 13;

const besides: Cell = ([h], x, [w]) => {
  const next = concat([x, h], 1).matmul(w).tanh();
  return { state: [next], output: [next] };
};

/** By name. */
export const CELLS: KitCases = {
  // A matrix and a bias that are read twice: each has a gradient of two parts at every step.
  "a cell whose weights are read twice": caseOf(
    ([h], x, [w, b]) => {
      const next = h.matmul(w).add(b).tanh().add(x.matmul(w).mul(0.5)).add(b.mul(0.25));
      return { state: [next], output: [next] };
    },
    1,
    [narrow(3, "h"), narrow(3, 3, "h"), narrow("h", "h"), narrow("h")],
  ),
  // Two sums of a row of five at a time, forward and backward.
  "a cell of outer products": caseOf(
    ([h, c], x) => {
      const product = h.unsqueeze(2).mul(c.unsqueeze(1));
      return { state: [product.mean(2).add(x), product.mean(1).tanh()], output: [h] };
    },
    2,
    [narrow(ROWS, 5), narrow(ROWS, 5), narrow(3, ROWS, 5)],
  ),
  "a cell over time": overTime({}),
  "a cell over time, backwards": overTime({ reverse: true }),
  // Its state's first tensor is of integers, to which no gradient flows.
  "a cell that counts": caseOf(
    ([k, h], x) => {
      const next = h.mul(0.5).add(x.mul(k.cast("f32")));
      return { state: [k.add(1), next], output: [next.tanh()] };
    },
    2,
    [{ shape: [2, 3], dtype: "i32", domain: [0, 3] }, narrow(2, 3), narrow(3, 2, 3)],
  ),
  "a cell of many rows": overTime({}, ROWS),
  "a cell of many rows and features": large(
    caseOf(step, 1, [narrow(...BLOCKED), narrow(3, ...BLOCKED), narrow(20, 20)]),
  ),
  "a cell of many rows and a matrix a step": large(
    caseOf(
      ([h], m) => {
        const next = h.matmul(m).mul(0.3).tanh();
        return { state: [next], output: [next] };
      },
      1,
      [narrow(...BLOCKED), narrow(3, ...BLOCKED)],
    ),
  ),
  "a cell of many rows and values of other widths": large(
    caseOf(narrowing, 1, [narrow(...BLOCKED), narrow(3, ...BLOCKED), { shape: [40, 20], domain: [-0.2, 0.2] }]),
  ),
  "a cell over sequences of their own lengths": overTime({ lengths: [2, 4, 0] }),
  "a cell over sequences of their own lengths, backwards": overTime({ reverse: true, lengths: [1, 4, 3] }),
  "a cell with two states and an output nobody reads": unread(
    caseOf(
      ([h, c], x, [w]) => {
        const next = h.matmul(w).add(x);
        return { state: [next.tanh(), c.mul(0.5).add(next)], output: [next] };
      },
      2,
      [narrow("n", "h"), narrow("n", "h"), narrow(3, "n", "h"), narrow("h", "h")],
    ),
    2,
  ),
  "a cell whose states change places": caseOf(
    ([a, b, still, n], x, [w]) => ({
      state: [b, a.add(x.matmul(w)).tanh(), still, n.add(x.sum([1, 2]).gt(0).cast("i32"))],
      output: [a.add(b), n.mul(2), still.mul(2)],
    }),
    4,
    [
      ...[narrow("n", 2, "h"), narrow("n", 2, "h"), narrow("n", 2, "h"), { shape: ["n"], dtype: "i32" } as const],
      ...[narrow(5, "n", 2, "h"), narrow("h", "h")],
    ],
    { reverse: true },
  ),
  "a cell of what stands side by side": caseOf(besides, 1, [narrow("n", 4), narrow(3, "n", 3), narrow(7, 4)]),
  "a cell of many weights and outputs": {
    ...caseOf(
      ([h], x, weights) => {
        const output = weights.map((w) => h.mul(w).sub(x).tanh());
        return { state: [output.reduce((a, b) => a.add(b)).tanh()], output };
      },
      1,
      [narrow("n", "h"), narrow(3, "n", "h"), ...Array.from({ length: MANY }, () => narrow("n", "h"))],
    ),
    order: 1,
  },
  "a cell whose rows read their neighbours": alone((h, x) => {
    const neighbours = h.slice([1, ROWS]).pad([
      [0, 1],
      [0, 0],
    ]);
    return x.add(neighbours.mul(0.75)).tanh();
  }),
  "a cell whose rows read the mean of all": alone((h, x) => x.add(h).sub(h.mean(0, true)).tanh()),
  "a cell whose rows attend to each other": alone((h, x) => x.add(h.matmul(h.transpose()).sigmoid().matmul(h)).tanh()),
};

/** Gradients of what a cell over so many steps gives, whose rows, of four elements, know nothing of each other. */
const gradientsOf = (cell: Cell, weights: readonly number[], steps: number): Tensor[] =>
  grad(([h, x, w]: Tensor[]) => {
    const { state, outputs } = scan(cell, { state: [h], inputs: x, weights: [w] });
    return outputs[0].square().sum().add(state[0].sum());
  })([[6, 4], [steps, 6, 4], weights].map((shape) => new Generator(steps).uniform(shape, -1, 1)));

/** A cell's results over many steps, for threads that are at steps of their own. */
export function manySteps(h: Tensor, x: Tensor, w: Tensor): Tensor[] {
  const { state, outputs } = scan(narrowing, { state: [h], inputs: x, weights: [w.mul(0.1)] });
  return [...state, ...outputs];
}

/** Throws where such cells are dispatched more often for more steps. */
export async function checkDispatches(device: WebGpuDevice): Promise<void> {
  for (const [cell, weights] of [
    [step, [4, 4]],
    [besides, [8, 4]],
  ] as const) {
    const counts: number[] = [];
    for (const steps of [3, 8]) {
      const before = device.counters.dispatches;
      for (const dx of gradientsOf(cell, weights, steps)) await dx.read();
      counts.push(device.counters.dispatches - before);
    }
    if (counts[0] !== counts[1])
      throw new Error(`${counts[0]} dispatches for 3 steps of a cell, and ${counts[1]} for 8`);
  }
}
