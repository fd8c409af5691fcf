/** Statements of programs that make values: typed arrays, integers that meet numbers, special values, draws. */
import { constant } from "./eager.ts";
import { pick, sizeOf, type Kind } from "./kind.ts";
import { uniformly, wholeNumbers } from "./plain-state.ts";
import type { EngineTensor } from "./worlds.ts";

const fround = (values: readonly number[]): number[] => values.map(Math.fround);

/** Typed arrays by name, and which numbers they can hold. */
const ARRAYS = {
  Int8Array: (n: number) => (n % 256) - 128,
  Uint8Array: (n: number) => n % 256,
  Uint8ClampedArray: (n: number) => n % 256,
  Int16Array: (n: number) => (n * 71) % 32768,
  Uint16Array: (n: number) => (n * 71) % 65536,
  Int32Array: (n: number) => n * 71 - 30_000,
  Uint32Array: (n: number) => n * 71,
  BigInt64Array: (n: number) => n - 500,
  Float64Array: (n: number) => n / 7,
} as const;

export const typed: Kind = (scope, a, b) => {
  const name = pick(Object.keys(ARRAYS) as (keyof typeof ARRAYS)[], a)!;
  const values = [0, 1, 2].map((i) => ARRAYS[name](b + 131 * i));
  const t = scope.fresh("t");
  scope.tensors.set(t, [3]);
  const big = name.startsWith("Big");
  const text = big ? values.map((v) => `${v}n`) : values;
  return {
    line: `const ${t} = tensor(${name}.of(${text.join(", ")})).cast("f32").mul(0.001);`,
    plain: (w) => w.set(t, constant([3], fround(values.map((v) => v * 0.001)))),
    engine: (w) => {
      const type = globalThis[name] as unknown as { from(values: readonly unknown[]): Float32Array };
      const array = type.from(big ? values.map(BigInt) : values);
      w.set(t, w.engine.tensor(array, {}).cast("f32").mul(0.001));
      // The tensor has a copy.
      array.fill((big ? 9n : 9) as number);
    },
  };
};

const truth = (condition: boolean): number => Number(condition);
/** What an integer tensor gives with a number, as PyTorch has it. */
const WITH_NUMBER: Readonly<Record<string, (x: number, y: number) => number>> = {
  mul: (x, y) => x * y,
  add: (x, y) => x + y,
  div: (x, y) => x / y,
  lt: (x, y) => truth(x < y),
  ge: (x, y) => truth(x >= y),
  eq: (x, y) => truth(x === y),
  maximum: (x, y) => Math.max(x, y),
};

export const integer: Kind = (scope, a, b, c) => {
  const op = pick(Object.keys(WITH_NUMBER), a)!;
  const values = [(b % 9) - 4, b % 5, (c % 7) - 3];
  const y = pick([0.5, 1.5, -0.25, 2, 2 ** 31, -1], c)!;
  const t = scope.fresh("t");
  // The largest, not the mean: a sum that cancels would tell where quotients were rounded.
  const one = b % 4 === 0;
  const made = fround(values.map((x) => WITH_NUMBER[op](x, y)));
  const read = `Int32Array ${op} ${y}`;
  return {
    line: `console.log(await tensor(Int32Array.of(${values.join(", ")})).${op}(${y}).cast("f32")${one ? ".max()" : ""}.read()); // ${t}`,
    plain: (w) => w.read(read, one ? [Math.max(...made)] : made, true),
    engine: (w) => {
      const x = w.engine.tensor(Int32Array.from(values), {}) as unknown as Record<string, (y: number) => EngineTensor>;
      const z = x[op](y).cast("f32");
      return w.read(read, one ? z.max() : z);
    },
  };
};

const SPECIALS = [NaN, Infinity, -Infinity, 0] as const;
const largest = (x: number, y: number) => (Number.isNaN(x) ? NaN : Math.max(x, y));
const THROUGH: Readonly<Record<string, readonly [(x: EngineTensor) => EngineTensor, (x: number) => number]>> = {
  "relu()": [(x) => x.relu(), (x) => largest(x, 0)],
  "clamp(-1, 1)": [(x) => x.clamp(-1, 1), (x) => (Number.isNaN(x) ? NaN : Math.min(Math.max(x, -1), 1))],
  "tanh()": [(x) => x.tanh(), Math.tanh],
  "sigmoid()": [(x) => x.sigmoid(), (x) => 1 / (1 + Math.exp(-x))],
  "sign()": [(x) => x.sign(), Math.sign],
  "mul(0)": [(x) => x.mul(0), (x) => x * 0],
  "pow(2.5)": [(x) => x.pow(2.5), (x) => x ** 2.5],
  "maximum(0.5)": [(x) => x.maximum(0.5), (x) => largest(x, 0.5)],
};

export const special: Kind = (_, a, b) => {
  const [name, [engine, plain]] = pick(Object.entries(THROUGH), a)!;
  const values = [pick(SPECIALS, b)!, 1.5, pick(SPECIALS, b >> 2)!];
  const largestOf = b % 3 === 0;
  const reduce = largestOf ? ".max()" : "";
  return {
    line: `console.log(await tensor([${values.join(", ")}]).${name}${reduce}.read());`,
    plain: (w) => {
      const made = values.map(plain);
      w.read(
        name,
        largestOf ? [made.reduce((x, y) => (Number.isNaN(x + y) && x !== -y ? NaN : Math.max(x, y)))] : made,
        true,
      );
    },
    engine: (w) => {
      const x = engine(w.engine.tensor(Float32Array.from(values), {}));
      return w.read(name, largestOf ? x.max() : x);
    },
  };
};

export const draw: Kind = (scope, a, b) => {
  const shape = pick([[2, 3], [3], [2, 2], [5]] as const, a)!;
  const t = scope.fresh("t");
  scope.tensors.set(t, shape);
  if (b % 3 === 0) {
    return {
      line: `const ${t} = rng().integers([${shape.join(", ")}], 0, 2 ** 30).mod(64).cast("f32").mul(0.01);`,
      plain: (w) =>
        w.set(
          t,
          constant(
            shape,
            wholeNumbers(w.state, sizeOf(shape)).map((x) => (x % 64) * 0.01),
          ),
        ),
      engine: (w) =>
        w.set(
          t,
          w.engine
            .rng()
            .integers(shape, 0, 2 ** 30)
            .mod(64)
            .cast("f32")
            .mul(0.01),
        ),
    };
  }
  return {
    line: `const ${t} = rng().uniform([${shape.join(", ")}], -1, 1);`,
    plain: (w) => w.set(t, constant(shape, uniformly(w.state, sizeOf(shape), -1, 1))),
    engine: (w) => w.set(t, w.engine.rng().uniform(shape, -1, 1)),
  };
};
