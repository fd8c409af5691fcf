/**
 * Random programs on matrices of one shape, as data that shrinks and prints: every step takes earlier values by number
 * (counted round, so that any number names one) and gives a matrix of the same shape.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { Operand } from "./operand.ts";

/** One step: an operation and the values that it takes. */
export interface GraphStep {
  readonly op: string;
  readonly of: readonly number[];
}

const NOTHING = [0, 0] as const;
/** A column of zeros on both sides, and a row of them behind. */
const AROUND = [
  [0, 0],
  [1, 1],
] as const;
const BEHIND = [
  [0, 1],
  [0, 0],
] as const;

type Make = (...inputs: Tensor[]) => Tensor;
type Operations = Readonly<Record<string, { readonly make: Make; readonly text: (...names: string[]) => string }>>;

/** Elementwise operations of one value; what could grow is kept small. */
export const UNARY: Operations = {
  tanh: { make: (a) => a.tanh(), text: (a) => `${a}.tanh()` },
  sigmoid: { make: (a) => a.sigmoid(), text: (a) => `${a}.sigmoid()` },
  exp: { make: (a) => a.tanh().exp(), text: (a) => `${a}.tanh().exp()` },
  sqrt: { make: (a) => a.square().add(1).sqrt(), text: (a) => `${a}.square().add(1).sqrt()` },
  log: { make: (a) => a.square().add(1).log(), text: (a) => `${a}.square().add(1).log()` },
  sin: { make: (a) => a.sin(), text: (a) => `${a}.sin()` },
  neg: { make: (a) => a.neg(), text: (a) => `${a}.neg()` },
  upsideDown: { make: (a) => a.flip(0), text: (a) => `${a}.flip(0)` },
};

/** Views of one value and what is made of them, of the same shape again. */
export const MOVES: Operations = {
  flip: { make: (a) => a.flip(1), text: (a) => `${a}.flip(1)` },
  turned: {
    make: (a) => a.transpose().flatten().reshape(a.shape),
    text: (a) => `${a}.transpose().flatten().reshape(${a}.shape)`,
  },
  rolled: {
    make: (a) =>
      a
        .slice([1, null])
        .pad(BEHIND)
        .add(a.slice([0, 1]).pad([[a.shape[0] - 1, 0], NOTHING])),
    text: (a) =>
      `${a}.slice([1, null]).pad([[0, 1], [0, 0]]).add(${a}.slice([0, 1]).pad([[${a}.shape[0] - 1, 0], [0, 0]]))`,
  },
  smoothed: {
    make: (a) => a.pad(AROUND).window(1, 3).mean(2),
    text: (a) => `${a}.pad([[0, 0], [1, 1]]).window(1, 3).mean(2)`,
  },
  everyOther: {
    make: (a) => a.pad(BEHIND).slice([0, null, 2]).sum(0, true).sub(a),
    text: (a) => `${a}.pad([[0, 1], [0, 0]]).slice([0, null, 2]).sum(0, true).sub(${a})`,
  },
  doubled: {
    make: (a) => a.unsqueeze(1).expand([a.shape[0], 2, a.shape[1]]).flatten().slice([0, a.size]).reshape(a.shape),
    text: (a) =>
      `${a}.unsqueeze(1).expand([${a}.shape[0], 2, ${a}.shape[1]]).flatten().slice([0, ${a}.size]).reshape(${a}.shape)`,
  },
};

/** Operations along rows or columns, which come back to the whole shape. */
export const ROWS: Operations = {
  sum: { make: (a) => a.sub(a.sum(1, true).tanh()), text: (a) => `${a}.sub(${a}.sum(1, true).tanh())` },
  mean: { make: (a) => a.add(a.mean(0, true)).tanh(), text: (a) => `${a}.add(${a}.mean(0, true)).tanh()` },
  softmax: {
    make: (a) => a.tanh().exp().div(a.tanh().exp().sum(1, true)),
    text: (a) => `${a}.tanh().exp().div(${a}.tanh().exp().sum(1, true))`,
  },
  product: {
    make: (a) => a.matmul(a.transpose()).matmul(a).tanh(),
    text: (a) => `${a}.matmul(${a}.transpose()).matmul(${a}).tanh()`,
  },
};

/** Operations of two values. */
export const BINARY: Operations = {
  add: { make: (a, b) => a.add(b), text: (a, b) => `${a}.add(${b})` },
  sub: { make: (a, b) => a.sub(b), text: (a, b) => `${a}.sub(${b})` },
  mul: { make: (a, b) => a.mul(b).tanh(), text: (a, b) => `${a}.mul(${b}).tanh()` },
  div: { make: (a, b) => a.div(b.square().add(1)), text: (a, b) => `${a}.div(${b}.square().add(1))` },
  matmul: {
    make: (a, b) => a.matmul(b.transpose()).matmul(b).tanh(),
    text: (a, b) => `${a}.matmul(${b}.transpose()).matmul(${b}).tanh()`,
  },
};

const OPERATIONS: Operations = { ...UNARY, ...MOVES, ...ROWS, ...BINARY };

/** A drawn program: `graph.f(...graph.inputs.map((i) => i.tensor()))` runs it, `graph.code` is its text. */
export class Graph {
  constructor(
    /** What `f` takes: the first values. */
    readonly inputs: readonly Operand[],
    /** What is computed, one after the other: each makes one more value, of earlier ones. */
    readonly steps: readonly GraphStep[],
  ) {}

  /** The program as a function of its inputs; the last value is its result. */
  get f(): (...inputs: Tensor[]) => Tensor {
    return (...inputs) => {
      const values = [...inputs];
      for (const { op, of } of this.steps)
        values.push(OPERATIONS[op].make(...of.map((n) => values[n % values.length])));
      return values.at(-1)!;
    };
  }

  /** A function expression of the inputs `x0`, `x1`, …, to be pasted. */
  get code(): string {
    const names = this.inputs.map((_, i) => `x${i}`);
    const needed = this.#needed();
    const lines = this.steps.flatMap(({ op, of }) => {
      const text = OPERATIONS[op].text(...of.map((n) => names[n % names.length]));
      names.push(`x${names.length}`);
      return needed.has(names.length - 1) ? [`  const ${names.at(-1)} = ${text};`] : [];
    });
    const given = this.inputs.map((_, i) => `x${i}: Tensor`).join(", ");
    return `(${given}) => {\n${lines.join("\n")}\n  return ${names.at(-1)};\n}`;
  }

  /** Numbers of the values that the result is made of. */
  #needed(): Set<number> {
    const needed = new Set([this.inputs.length + this.steps.length - 1]);
    for (let at = this.steps.length - 1; at >= 0; at--) {
      const before = this.inputs.length + at;
      if (needed.has(before)) for (const n of this.steps[at].of) needed.add(n % before);
    }
    return needed;
  }

  [Symbol.for("fast-check/toStringMethod")](): string {
    return `${this.code}\n${this.inputs.map(({ code }) => code).join("\n")}`;
  }
}
