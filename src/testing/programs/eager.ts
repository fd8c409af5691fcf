/**
 * A plain interpreter of tensor programs: float64 on host arrays, every statement at once, in order.
 *
 * It is what random programs are held to, so it shares no code with the engine: shapes, broadcasting, gradients and
 * optimizers are written out here once more, for the few operations that programs draw.
 */
export interface EagerTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly parents: readonly EagerTensor[];
  /** Cotangents of the parents from that of this tensor. */
  readonly back?: (dy: Float64Array) => readonly Float64Array[];
  /** The variable whose value this is, whichever value it has had since. */
  readonly variable?: EagerVariable;
}

export class EagerVariable {
  value: EagerTensor;
  grad?: EagerTensor;

  constructor(initial: EagerTensor) {
    this.value = this.#leaf(initial);
  }

  /** Takes the value, not its history. */
  assign(value: EagerTensor): void {
    this.value = this.#leaf(value);
  }

  #leaf({ shape, data }: EagerTensor): EagerTensor {
    return { shape, data: data.slice(), parents: [], variable: this };
  }
}

export const constant = (shape: readonly number[], values: ArrayLike<number>): EagerTensor => ({
  shape,
  data: Float64Array.from(values),
  parents: [],
});

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The shape two operands broadcast to; undefined where they do not fit. */
export function broadcast(a: readonly number[], b: readonly number[]): readonly number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const result: number[] = [];
  for (let i = 0; i < rank; i++) {
    const [x, y] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    if (x !== y && x !== 1 && y !== 1) return undefined;
    result.push(Math.max(x, y));
  }
  return result;
}

/** Where element `flat` of `shape` comes from in an operand of shape `from`. */
function sourceOf(flat: number, shape: readonly number[], from: readonly number[]): number {
  let [rest, index, stride] = [flat, 0, 1];
  for (let i = shape.length - 1, k = from.length - 1; i >= 0; i--, k--) {
    const position = rest % shape[i];
    rest = Math.floor(rest / shape[i]);
    if (k < 0) continue;
    index += from[k] === 1 ? 0 : position * stride;
    stride *= from[k];
  }
  return index;
}

function pairwise(
  a: EagerTensor,
  b: EagerTensor,
  f: (x: number, y: number) => number,
  df: (x: number, y: number) => readonly [number, number],
): EagerTensor {
  const shape = broadcast(a.shape, b.shape)!;
  const data = new Float64Array(sizeOf(shape));
  const at = (i: number) => [sourceOf(i, shape, a.shape), sourceOf(i, shape, b.shape)] as const;
  for (let i = 0; i < data.length; i++) data[i] = f(a.data[at(i)[0]], b.data[at(i)[1]]);
  const back = (dy: Float64Array) => {
    const [da, db] = [new Float64Array(a.data.length), new Float64Array(b.data.length)];
    dy.forEach((d, i) => {
      const [ia, ib] = at(i);
      const [x, y] = df(a.data[ia], b.data[ib]);
      da[ia] += d * x;
      db[ib] += d * y;
    });
    return [da, db];
  };
  return { shape, data, parents: [a, b], back };
}

export function pointwise(a: EagerTensor, f: (x: number) => number, df: (x: number) => number): EagerTensor {
  const back = (dy: Float64Array) => [dy.map((d, i) => d * df(a.data[i]))];
  return { shape: a.shape, data: a.data.map(f), parents: [a], back };
}

/** The operations of programs, by the name that the engine's method has. */
export const OPS = {
  add: (a: EagerTensor, b: EagerTensor) =>
    pairwise(
      a,
      b,
      (x, y) => x + y,
      () => [1, 1],
    ),
  sub: (a: EagerTensor, b: EagerTensor) =>
    pairwise(
      a,
      b,
      (x, y) => x - y,
      () => [1, -1],
    ),
  mul: (a: EagerTensor, b: EagerTensor) =>
    pairwise(
      a,
      b,
      (x, y) => x * y,
      (x, y) => [y, x],
    ),
  tanh: (a: EagerTensor) => pointwise(a, Math.tanh, (x) => 1 - Math.tanh(x) ** 2),
  sigmoid: (a: EagerTensor) =>
    pointwise(
      a,
      (x) => 1 / (1 + Math.exp(-x)),
      (x) => Math.exp(-x) / (1 + Math.exp(-x)) ** 2,
    ),
  square: (a: EagerTensor) =>
    pointwise(
      a,
      (x) => x * x,
      (x) => 2 * x,
    ),
  neg: (a: EagerTensor) =>
    pointwise(
      a,
      (x) => -x,
      () => -1,
    ),
  detach: (a: EagerTensor) => constant(a.shape, a.data),
  sum: (a: EagerTensor): EagerTensor => ({
    shape: [],
    data: Float64Array.of(a.data.reduce((x, y) => x + y, 0)),
    parents: [a],
    back: (dy) => [new Float64Array(a.data.length).fill(dy[0])],
  }),
  flatten: (a: EagerTensor): EagerTensor => ({
    ...a,
    shape: [a.data.length],
    parents: [a],
    back: (dy) => [dy],
    variable: undefined,
  }),
  transpose: (a: EagerTensor): EagerTensor => {
    const [rows, columns] = a.shape;
    const turned = (from: Float64Array, r: number, c: number) => {
      const to = new Float64Array(from.length);
      for (let i = 0; i < r; i++) for (let j = 0; j < c; j++) to[j * r + i] = from[i * c + j];
      return to;
    };
    return {
      shape: [columns, rows],
      data: turned(a.data, rows, columns),
      parents: [a],
      back: (dy) => [turned(dy, columns, rows)],
    };
  },
  matmul: (a: EagerTensor, b: EagerTensor): EagerTensor => {
    const [n, k] = a.shape;
    const m = b.shape[1];
    const data = new Float64Array(n * m);
    const each = (work: (i: number, j: number, l: number) => void) => {
      for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) for (let l = 0; l < k; l++) work(i, j, l);
    };
    each((i, j, l) => {
      data[i * m + j] += a.data[i * k + l] * b.data[l * m + j];
    });
    const back = (dy: Float64Array) => {
      const [da, db] = [new Float64Array(n * k), new Float64Array(k * m)];
      each((i, j, l) => {
        da[i * k + l] += dy[i * m + j] * b.data[l * m + j];
        db[l * m + j] += dy[i * m + j] * a.data[i * k + l];
      });
      return [da, db];
    };
    return { shape: [n, m], data, parents: [a, b], back };
  },
} as const;

export type OpName = keyof typeof OPS;

/** Adds the gradient of the sum of `loss` to every variable it was made from. */
export function backward(loss: EagerTensor): void {
  const order: EagerTensor[] = [];
  const seen = new Set<EagerTensor>();
  const visit = (t: EagerTensor) => {
    if (seen.has(t)) return;
    seen.add(t);
    t.parents.forEach(visit);
    order.push(t);
  };
  visit(loss);
  const cotangents = new Map<EagerTensor, Float64Array>([[loss, new Float64Array(loss.data.length).fill(1)]]);
  const found = new Map<EagerVariable, Float64Array>();
  for (const t of order.reverse()) {
    const dy = cotangents.get(t)!;
    if (t.variable) found.set(t.variable, sumOf(found.get(t.variable), dy));
    t.back?.(dy).forEach((dx, i) => {
      cotangents.set(t.parents[i], sumOf(cotangents.get(t.parents[i]), dx));
    });
  }
  for (const [variable, dy] of found) {
    variable.grad = constant(variable.value.shape, sumOf(variable.grad?.data, dy));
  }
}

const sumOf = (a: Float64Array | undefined, b: Float64Array): Float64Array => (a ? a.map((x, i) => x + b[i]) : b);

/** Stochastic gradient descent with momentum, as torch.optim.SGD has it. */
export class EagerSgd {
  readonly #buffers = new Map<EagerVariable, Float64Array>();
  readonly #params: readonly EagerVariable[];
  readonly #lr: number;
  readonly #momentum: number;

  constructor(params: readonly EagerVariable[], lr: number, momentum: number) {
    [this.#params, this.#lr, this.#momentum] = [params, lr, momentum];
  }

  step(): void {
    for (const p of this.#params) {
      if (!p.grad) continue;
      const g = p.grad.data;
      const before = this.#buffers.get(p);
      const buffer = before ? g.map((x, i) => this.#momentum * before[i] + x) : g.slice();
      this.#buffers.set(p, buffer);
      p.assign(
        constant(
          p.value.shape,
          p.value.data.map((x, i) => x - this.#lr * buffer[i]),
        ),
      );
    }
  }

  zeroGrad(): void {
    for (const p of this.#params) p.grad = undefined;
  }

  reset(): void {
    this.#buffers.clear();
  }
}
