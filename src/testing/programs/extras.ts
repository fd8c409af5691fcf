/**
 * Statements of programs beyond values, operations and assignments: seeds, modes, live scalars, state dictionaries, other
 * devices, long chains, memory given back, and calls that must be refused without taking anything along.
 *
 * Each is drawn with its two meanings at once, the plain one and the engine's, and the line that it prints as.
 */
import { constant, pointwise } from "./eager.ts";
import { pick, same, type Kind } from "./kind.ts";
import type { PlainState } from "./plain-state.ts";
import type { Scope } from "./scope.ts";
import { REFUSED, refused } from "./refused.ts";
import { kept, moved, steps, varied } from "./sequences.ts";
import { draw, integer, special, typed } from "./values.ts";
import type { EngineTensor } from "./worlds.ts";

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
    plain: (w) => {
      // Programs of some thousand operations are run in pieces, and values between them are computed on the way.
      if (steps > 1000) w.refusable();
      w.set(
        t,
        pointwise(
          w.value(x),
          (v) => v * factor + (1 - factor),
          () => factor,
        ),
      );
    },
    engine: (w) => {
      let y = w.value(x);
      for (let i = 0; i < steps; i++) y = y.mul(0.999).add(0.001);
      w.set(t, y);
    },
  };
};

/** A read that fails while an assignment waits. */
const failing: Kind = (scope, a, b) => {
  const v = pick([...scope.variables.keys()], a)!;
  const index = b % 2 ? 2 : -1;
  return {
    line: `${v}.assign(${v}.mul(0.5)); await tensor([1, 2]).take(tensor(Int32Array.of(${index - 1})).add(1)).read().catch(() => 0);`,
    plain: (w) => {
      const { value } = w.variable(v);
      w.variable(v).assign(
        constant(
          value.shape,
          value.data.map((x) => x * 0.5),
        ),
      );
      w.read("refused", [1], true);
    },
    engine: async (w) => {
      w.variable(v).assign(w.variable(v).mul(0.5));
      const failed = await w
        .stray(index, true)
        .read()
        .then(
          () => 0,
          () => 1,
        );
      w.note("refused", [failed]);
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
  ...[gradOf, quiet, deep, disposed, refused, refused, varied, varied, steps, steps, failing, moved, kept],
];

/** The first number by which `extra` draws each of the calls that must be refused. */
export const EVERY_REFUSAL = REFUSED.map((_, i) => OUTSIDE.length * i + OUTSIDE.indexOf(refused));

export function extra(scope: Scope, kinds: readonly Kind[] | undefined, a: number, b: number, c: number) {
  const from = kinds ?? OUTSIDE;
  const made = pick(from, a)!(scope, Math.floor(a / from.length), b, c);
  return made && { kind: "extra" as const, extra: made };
}
