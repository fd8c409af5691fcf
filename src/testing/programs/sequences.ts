/**
 * Short sequences of statements that must stand together to say anything: a compiled call, a change of what it reads
 * anew, and the call again; steps of an optimizer with something done to its state between them.
 *
 * Statements drawn one by one meet so too seldom for a run of a few hundred programs.
 */
import { backward, constant, OPS } from "./eager.ts";
import { pick, same, type Kind } from "./kind.ts";
import { uniformly } from "./plain-state.ts";
import type { EngineTensor, EngineVariable, EngineWorld, PlainWorld } from "./worlds.ts";

interface Change {
  readonly line: string;
  readonly plain: (w: PlainWorld) => void;
  readonly engine: (w: EngineWorld) => unknown;
}

const NOTHING: Change = { line: "", plain: () => undefined, engine: () => undefined };

const mode = (on: boolean): Change => ({
  line: `m.train(${on});`,
  plain: ({ state }) => void (state.training = on),
  engine: (w) => w.module.train(on),
});

/** What a compiled function reads anew at every call. */
const READ_ANEW: readonly Change[] = [
  NOTHING,
  mode(true),
  mode(false),
  {
    line: "live.value = 0.75;",
    plain: ({ state }) => void (state.live = 0.75),
    engine: (w) => void (w.live.value = 0.75),
  },
  {
    line: "seed(5);",
    plain: ({ state }) => void Object.assign(state, { seed: 5, calls: 0 }),
    engine: (w) => w.engine.seed(5),
  },
];

/** A compiled function that depends on a mode, a live scalar and draws: called, and called again after a change. */
export const varied: Kind = (scope, a, b) => {
  const x = pick(scope.values(), a)!;
  const change = pick(READ_ANEW, b)!;
  const names = [scope.fresh("t"), scope.fresh("t")];
  for (const t of names) scope.tensors.set(t, scope.shapeOf(x));
  const call = (t: string) => `const ${t} = (await varied(${x})).detach();`;
  return {
    line: [call(names[0]), change.line, call(names[1])].filter(Boolean).join(" "),
    plain: (w) =>
      names.forEach((t, i) => {
        if (i === 1) change.plain(w);
        const { training, live } = w.state;
        const [noise] = uniformly(w.state, 1, -1, 1);
        const { shape, data } = w.value(x);
        w.set(
          t,
          constant(
            shape,
            data.map((v) => (training ? 2 * v : v + 1) * live + noise),
          ),
        );
      }),
    engine: async (w) => {
      w.set(names[0], (await w.varied(w.value(x))).detach());
      await change.engine(w);
      w.set(names[1], (await w.varied(w.value(x))).detach());
    },
  };
};

/** What may happen between two steps of an optimizer, by its number. */
const BETWEEN: readonly ((i: number) => Change)[] = [
  (i) => ({
    line: `o${i}.reset();`,
    plain: (w) => w.optimizer(i).reset(),
    engine: (w) => w.optimizer(i).reset(),
  }),
  () => NOTHING,
  (i) => ({
    line: `o${i}.loadTorchState(await o${i}.torchState());`,
    plain: () => undefined,
    engine: async (w) => {
      const optimizer = w.optimizer(i);
      optimizer.loadTorchState(await optimizer.torchState());
    },
  }),
];

/** A gradient, a step, something done to the optimizer, and another step by the same gradient. */
export const steps: Kind = (scope, a, b, c) => {
  const v = pick(["v0", "v1"], a)!;
  const k = pick(scope.values(same(scope.shapeOf(v))), b)!;
  // The one without momentum has no state to lose.
  const i = c % 4 === 0 ? 0 : 1;
  const between = pick(BETWEEN, a >> 1)!(i);
  return {
    line: `${v}.mul(${k}.detach()).sum().backward(); o${i}.step(); ${between.line} o${i}.step();`,
    plain: (w) => {
      const factor = w.value(k);
      backward(OPS.sum(OPS.mul(w.value(v), constant(factor.shape, factor.data))));
      // The second step uses the gradients once more, those of other variables too.
      w.refusable();
      w.optimizer(i).step();
      between.plain(w);
      w.optimizer(i).step();
    },
    engine: async (w) => {
      w.variable(v).mul(w.value(k).detach()).sum().backward();
      w.optimizer(i).step();
      await between.engine(w);
      w.optimizer(i).step();
    },
  };
};

interface Move {
  readonly text: string;
  readonly engine: (v: EngineTensor) => EngineTensor;
  /** Where the element at a row and a column comes from. */
  readonly from: (row: number, column: number, rows: number, columns: number) => number;
}

const MOVES: readonly Move[] = [
  {
    text: "flip(0)",
    engine: (v) => v.flip(0),
    from: (row, column, rows, columns) => (rows - 1 - row) * columns + column,
  },
  {
    text: "flip(1)",
    engine: (v) => v.flip(1),
    from: (row, column, _, columns) => row * columns + columns - 1 - column,
  },
  {
    text: "reshape([...w.shape].reverse()).transpose()",
    engine: (v) => v.reshape([...v.shape].reverse()).transpose(),
    from: (row, column, rows) => column * rows + row,
  },
];

/**
 * A variable of so many elements that a kernel still reads it while it writes, assigned what is made of its elements in
 * another order: the new value may not stand in the old one's place.
 */
export const moved: Kind = (scope, a, b, c) => {
  const [rows, columns] = [2 + (b % 11), 2 + (c % 13)];
  const { text, engine, from } = pick(MOVES, a)!;
  const values = Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 64) / 64);
  const name = scope.fresh("w");
  return {
    line:
      `const ${name} = variable(tensor([${values.join(", ")}], { shape: [${rows}, ${columns}] })); ` +
      `await ${name}.realize(); ${name}.assign(((w) => w.${text}.mul(0.5).add(w))(${name})); console.log(await ${name}.read());`,
    plain: (w) =>
      w.read(
        name,
        values.map((value, i) => value + values[from(Math.floor(i / columns), i % columns, rows, columns)] / 2),
        false,
      ),
    engine: async (w) => {
      const v = w.engine.variable(w.engine.tensor(Float32Array.from(values), { shape: [rows, columns] }));
      await v.realize();
      v.assign(engine(v).mul(0.5).add(v));
      // What is read itself has a place of its own first; so another read makes the assignment happen.
      await w.engine.tensor(Float32Array.of(1), {}).mul(2).read();
      await w.read(name, v);
    },
  };
};

/** What ends an old value: an assignment, and a run that it is part of. */
const ENDS: readonly (readonly [
  line: string,
  run: (w: EngineWorld, v: EngineVariable, next: EngineTensor) => Promise<unknown>,
])[] = [
  [
    "W.assign(NEXT); await W.read();",
    (_, v, next) => {
      v.assign(next);
      return v.read();
    },
  ],
  [
    "W.assign(NEXT); await tensor([1]).mul(2).read();",
    (w, v, next) => {
      v.assign(next);
      return w.engine.tensor(Float32Array.of(1), {}).mul(2).read();
    },
  ],
  [
    "W.assign(NEXT); await double(W);",
    (w, v, next) => {
      v.assign(next);
      return w.double(v);
    },
  ],
  [
    "await compile((x) => { W.assign(W.add(x)); return x.mul(1); })(NEXT);",
    (w, v, next) =>
      w.engine.compile((x) => {
        v.assign(v.add(x));
        return x.mul(1);
      })(next),
  ],
];

/** What is built of a variable before, beside what goes into its next value or on what goes into it. */
export const kept: Kind = (scope, a, b, c) => {
  const [line, run] = pick(ENDS, a)!;
  const shared = b % 2 === 0;
  const values = [0, 1, 2].map((i) => (((c + 5 * i) % 16) - 8) / 8);
  const [name, half, old] = [scope.fresh("w"), scope.fresh("k"), scope.fresh("k")];
  const end = line.replaceAll("W", name).replaceAll("NEXT", `${half}.mul(0.5)`);
  return {
    line:
      `const ${name} = variable(tensor([${values.join(", ")}])); const ${half} = ${name}.mul(3); ` +
      `const ${old} = ${shared ? half : name}.add(1); ${end} console.log(await ${old}.read());`,
    plain: (w) =>
      w.read(
        old,
        values.map((value) => (shared ? 3 * value : value) + 1),
        false,
      ),
    engine: async (w) => {
      const v = w.engine.variable(w.engine.tensor(Float32Array.from(values), {}));
      const part = v.mul(3);
      const before = (shared ? part : v).add(1);
      await run(w, v, part.mul(0.5));
      await w.read(old, before);
    },
  };
};
