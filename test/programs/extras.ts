/**
 * Statements of programs beyond operations and assignments: typed arrays of every kind, integers that meet numbers,
 * special values, draws and seeds, modes, live scalars, state dictionaries, other devices, long chains, and calls that
 * must be refused without taking anything along.
 *
 * Each is drawn with its two meanings at once, the plain one and the engine's, and the line that it prints as.
 */
import { constant, pointwise } from "./eager.ts";
import { pick, same, sizeOf, type Kind } from "./kind.ts";
import { uniformly, wholeNumbers, type PlainState } from "./plain-state.ts";
import type { Scope } from "./program.ts";
import { refused } from "./refused.ts";
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

const typed: Kind = (scope, a, b) => {
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

const integer: Kind = (scope, a, b, c) => {
  const op = pick(Object.keys(WITH_NUMBER), a)!;
  const values = [(b % 9) - 4, b % 5, (c % 7) - 3];
  const y = pick([0.5, 1.5, -0.25, 2, 3e9, -1], c)!;
  const t = scope.fresh("t");
  const mean = b % 4 === 0;
  const made = fround(values.map((x) => WITH_NUMBER[op](x, y)));
  const read = `Int32Array ${op} ${y}`;
  return {
    line: `console.log(await tensor(Int32Array.of(${values.join(", ")})).${op}(${y}).cast("f32")${mean ? ".mean()" : ""}.read()); // ${t}`,
    plain: (w) => w.read(read, mean ? [made.reduce((p, q) => p + q) / 3] : made, true),
    engine: (w) => {
      const x = w.engine.tensor(Int32Array.from(values), {}) as unknown as Record<string, (y: number) => EngineTensor>;
      const z = x[op](y).cast("f32");
      return w.read(read, mean ? z.mean() : z);
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

const special: Kind = (_, a, b) => {
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

const draw: Kind = (scope, a, b) => {
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

const reseed: Kind = (_, a) => ({
  line: `seed(${a % 3});`,
  plain: ({ state }) => Object.assign(state, { seed: a % 3, calls: 0 } satisfies Partial<PlainState>),
  engine: (w) => w.engine.seed(a % 3),
});

const mode: Kind = (_, a) => ({
  line: `m.train(${a % 2 === 0});`,
  plain: ({ state }) => {
    state.training = a % 2 === 0;
  },
  engine: (w) => w.module.train(a % 2 === 0),
});

const modal: Kind = (scope, a) => {
  const x = pick(scope.values(), a)!;
  const t = scope.made("t", scope.shapeOf(x), [x]);
  return {
    line: `const ${t} = m.forward(${x});`,
    plain: (w) => {
      const training = w.state.training;
      w.set(
        t,
        pointwise(
          w.value(x),
          (v) => (training ? 2 * v : v + 1),
          () => (training ? 2 : 1),
        ),
      );
    },
    engine: (w) => w.set(t, w.module.forward(w.value(x))),
  };
};

/** Only inside compiled functions: outside, a live scalar is asked for when a plan runs. */
const live: Kind = (scope, a) => {
  const x = pick(scope.values(), a)!;
  const t = scope.made("t", scope.shapeOf(x), [x]);
  return {
    line: `const ${t} = ${x}.mul(liveScalar(() => live.value));`,
    plain: (w) => {
      const { live } = w.state;
      w.set(
        t,
        pointwise(
          w.value(x),
          (v) => v * live,
          () => live,
        ),
      );
    },
    engine: (w) => w.set(t, w.value(x).mul(w.engine.liveScalar(() => w.live.value))),
  };
};

const turnLive: Kind = (_, a) => ({
  line: `live.value = ${(a % 5) / 4};`,
  plain: (w) => {
    w.state.live = (a % 5) / 4;
  },
  engine: (w) => {
    w.live.value = (a % 5) / 4;
  },
});

const partial: Kind = (scope, a, b) => {
  const target = pick(
    [...scope.variables.keys()].filter((v) => (scope.shapeOf(v)[0] ?? 0) > 1),
    a,
  );
  if (!target) return undefined;
  const value = pick(scope.values(same(scope.shapeOf(target))), b)!;
  const rows = scope.shapeOf(target)[0];
  return {
    line: `${target}.assign(concat([${value}.slice([0, 1]), ${target}.slice([1, ${rows}])]));`,
    plain: (w) => {
      const [from, to] = [w.value(value).data, w.variable(target)];
      const data = to.value.data.map((x, i) => (i < to.value.data.length / rows ? from[i] : x));
      to.assign(constant(to.value.shape, data));
    },
    engine: (w) => {
      const to = w.variable(target);
      to.assign(w.engine.concat([w.value(value).slice([0, 1]), to.slice([1, rows])]));
    },
  };
};

const save: Kind = () => ({
  line: `saved = await readState(both.stateDict());`,
  plain: (w) => {
    w.state.saved = [w.variable("v0"), w.variable("v1")].map((v) => v.value.data.slice());
  },
  engine: async (w) => {
    w.saved = await w.engine.readState(w.both.stateDict());
  },
});

const load: Kind = () => ({
  line: `if (saved) both.loadStateDict(saved);`,
  plain: (w) => {
    w.state.saved?.forEach((data, i) => {
      const v = w.variable(`v${i}`);
      v.assign(constant(v.value.shape, data));
    });
  },
  engine: (w) => w.saved && w.both.loadStateDict(w.saved),
});

const reset: Kind = (_, a) => ({
  line: `o${a % 2}.reset();`,
  plain: (w) => w.optimizer(a % 2).reset(),
  engine: (w) => w.optimizer(a % 2).reset(),
});

const elsewhere: Kind = (scope, a) => {
  const x = pick(scope.values(), a)!;
  const t = scope.fresh("t");
  scope.tensors.set(t, scope.shapeOf(x));
  return {
    line: `const ${t} = await to((await to(${x}, other)).mul(2), here);`,
    plain: (w) =>
      w.set(
        t,
        constant(
          w.value(x).shape,
          w.value(x).data.map((v) => 2 * v),
        ),
      ),
    engine: async (w) => {
      const away = (await w.engine.to(w.value(x), w.other)).mul(2);
      w.set(t, await w.engine.to(away, w.here));
    },
  };
};

/** A function traced on this device, called with a tensor of another one. */
const foreign: Kind = (_, a) => ({
  line: `console.log(await (await double(await to(tensor([${a}]), other))).read(), await (await double(tensor([${a}]))).read());`,
  plain: (w) => {
    w.read("elsewhere", [2 * a], true);
    w.read("here", [2 * a], true);
  },
  engine: async (w) => {
    const given = w.engine.tensor(Float32Array.of(a), {});
    await w.read("elsewhere", await w.double(await w.engine.to(given, w.other)));
    await w.read("here", await w.double(given));
  },
});

const gradOf: Kind = (scope, a, b) => {
  const x = pick(scope.values(), a)!;
  const k = pick(scope.values(same(scope.shapeOf(x))), b)!;
  const t = scope.fresh("t");
  scope.tensors.set(t, scope.shapeOf(x));
  return {
    line: `const ${t} = grad((x) => x.square().mul(${k}.detach()).sum())(${x}.detach()).detach();`,
    plain: (w) =>
      w.set(
        t,
        constant(
          w.value(x).shape,
          w.value(x).data.map((v, i) => 2 * v * w.value(k).data[i]),
        ),
      ),
    engine: (w) => {
      const scale = w.value(k).detach();
      w.set(
        t,
        w.engine
          .grad((y) => y.square().mul(scale).sum())(w.value(x).detach())
          .detach(),
      );
    },
  };
};

const quiet: Kind = (scope, a, b) => {
  const x = pick(scope.values(), a)!;
  const y = pick(scope.values(same(scope.shapeOf(x))), b)!;
  const t = scope.fresh("t");
  scope.tensors.set(t, scope.shapeOf(x));
  return {
    line: `const ${t} = noGrad(() => ${x}.mul(${y}));`,
    plain: (w) =>
      w.set(
        t,
        constant(
          w.value(x).shape,
          w.value(x).data.map((v, i) => v * w.value(y).data[i]),
        ),
      ),
    engine: (w) =>
      w.set(
        t,
        w.engine.noGrad(() => w.value(x).mul(w.value(y))),
      ),
  };
};

/** So long that an engine that recurses, or prints one kernel of it, fails. */
const deep: Kind = (scope, a, b) => {
  const x = pick(scope.values(), a)!;
  const t = scope.made("t", scope.shapeOf(x), [x]);
  const steps = b % 5 === 0 ? 2000 : 60;
  const factor = 0.999 ** steps;
  return {
    line: `let ${t} = ${x}; for (let i = 0; i < ${steps}; i++) ${t} = ${t}.mul(0.999).add(0.001);`,
    plain: (w) =>
      w.set(
        t,
        pointwise(
          w.value(x),
          (v) => v * factor + (1 - factor),
          () => factor,
        ),
      ),
    engine: (w) => {
      let y = w.value(x);
      for (let i = 0; i < steps; i++) y = y.mul(0.999).add(0.001);
      w.set(t, y);
    },
  };
};

/** Memory given back by hand takes nothing from what the tensor was made of. */
const disposed: Kind = (scope, a) => {
  const x = pick(scope.values(), a)!;
  return {
    line: `{ const d = ${x}.mul(2); console.log(await d.read()); d.dispose(); }`,
    plain: (w) =>
      w.read(
        `${x} twice`,
        [...w.value(x).data].map((v) => 2 * v),
        false,
      ),
    engine: async (w) => {
      const d = w.value(x).mul(2) as EngineTensor & { dispose(): void };
      await w.read(`${x} twice`, d);
      d.dispose();
    },
  };
};

/** What stands in compiled functions as well. */
export const INSIDE: readonly Kind[] = [draw, modal, live, partial, quiet, gradOf];
const OUTSIDE: readonly Kind[] = [
  ...[typed, integer, special, draw, reseed, mode, modal, turnLive, partial, save, load, reset, elsewhere, foreign],
  ...[gradOf, quiet, deep, disposed, refused, refused],
];

export function extra(scope: Scope, kinds: readonly Kind[] | undefined, a: number, b: number, c: number) {
  const made = pick(kinds ?? OUTSIDE, a)!(scope, Math.floor(a / 20), b, c);
  return made && { kind: "extra" as const, extra: made };
}
