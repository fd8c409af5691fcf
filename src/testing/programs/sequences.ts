/**
 * Short sequences of statements that must stand together to say anything: a compiled call, a change of what it reads
 * anew, and the call again; steps of an optimizer with something done to its state between them.
 *
 * Statements drawn one by one meet so too seldom for a run of a few hundred programs.
 */
import { backward, constant, OPS } from "./eager.ts";
import { pick, same, type Kind } from "./kind.ts";
import { uniformly } from "./plain-state.ts";
import type { EngineWorld, PlainWorld } from "./worlds.ts";

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
