/** Calls in programs that must be refused: each fails, and takes nothing else along. */
import { pick, type Kind } from "./kind.ts";
import type { EngineTensor, EngineWorld } from "./worlds.ts";

/** What a compiled function made and did not return. */
async function leaked(w: EngineWorld, x: EngineTensor): Promise<EngineTensor> {
  const kept: EngineTensor[] = [];
  await w.engine.compile((y: EngineTensor) => {
    kept.push(y.square());
    return y.mul(1);
  })(x.mul(1));
  return kept[0];
}

export const REFUSED: readonly (readonly [string, (w: EngineWorld, x: EngineTensor, v: string) => unknown])[] = [
  [
    "await compile(async (x) => x.mul(2))(X)",
    (w, x) => w.engine.compile((async (y: EngineTensor) => y.mul(2)) as never)(x),
  ],
  ["await compile((x) => double(x))(X)", (w, x) => w.engine.compile(((y: EngineTensor) => w.double(y)) as never)(x)],
  [
    "await compile((x) => { void double(x).catch(() => 0); return x.mul(2); })(X)",
    (w, x) =>
      w.engine.compile((y: EngineTensor) => {
        void w.double(y).catch(() => 0);
        return y.mul(2);
      })(x),
  ],
  ["await compile((x) => 5)(X)", (w, x) => w.engine.compile((() => 5) as never)(x)],
  ["await compile((x) => x)(5)", (w) => w.engine.compile((y: EngineTensor) => y)(5 as never)],
  ["X.add(Promise.resolve(X))", (_, x) => x.add(Promise.resolve(x) as never)],
  ["await tensor([1, 2]).take(tensor(Int32Array.of(2))).read()", (w) => w.stray(2, false).read()],
  ["await tensor([1, 2]).take(tensor(Int32Array.of(-2)).add(1)).read()", (w) => w.stray(-1, true).read()],
  [
    "await compile((x) => { V.grad = undefined; V.mul(x.sum()).sum().backward(); return x.mul(1); })(X.detach()); const g = V.grad; V.grad = undefined; await g.mul(1).read()",
    async (w, x, v) => {
      const variable = w.variable(v);
      await w.engine.compile((y: EngineTensor) => {
        variable.grad = undefined;
        variable.mul(y.sum()).sum().backward();
        return y.mul(1);
      })(x.detach());
      const left = variable.grad!;
      variable.grad = undefined;
      return left.mul(1).read();
    },
  ],
  // A gradient that would not reach what the second argument was made of.
  [
    "V.grad = undefined; const inner = compile((x) => { x.mul(V).sum().backward(); V.grad = undefined; return x.mul(1); }); await V.realize(); await inner(V.detach()); await inner(V.mul(2))",
    async (w, _, v) => {
      const variable = w.variable(v);
      const inner = w.engine.compile((y: EngineTensor) => {
        y.mul(variable).sum().backward();
        variable.grad = undefined;
        return y.mul(1);
      });
      variable.grad = undefined;
      await variable.realize();
      await inner(variable.detach());
      await inner(variable.mul(2));
    },
  ],
  // Made once, and kept from call to call, where calls that are not compiled begin anew.
  [
    "const counts = compile((x) => { const kept = variable(tensor([1])); kept.assign(kept.add(1)); return x.mul(kept); }); await counts(X.detach()); await counts(X.detach()); await counts(X.detach())",
    async (w, x) => {
      const counts = w.engine.compile((y: EngineTensor) => {
        const kept = w.engine.variable(w.engine.tensor([1], {}));
        kept.assign(kept.add(1));
        return y.mul(kept);
      });
      // The second may trace anew, where the first has said on which device a variable lies.
      for (let call = 0; call < 3; call++) await counts(x.detach());
    },
  ],
  // It depends on a variable alone, whose value is another at every call.
  [
    "V.grad = undefined; await compile((x) => { V.square().sum().backward(); return x.mul(1); })(X.detach()); const g = V.grad; V.grad = undefined; await g.mul(1).read()",
    async (w, x, v) => {
      const variable = w.variable(v);
      await w.engine.compile((y: EngineTensor) => {
        variable.grad = undefined;
        variable.square().sum().backward();
        return y.mul(1);
      })(x.detach());
      const left = variable.grad!;
      variable.grad = undefined;
      return left.mul(1).read();
    },
  ],
  [
    "V.grad = undefined; const adds = compile((x) => { V.sum().backward(); return x.mul(1); }); await adds(X.detach()); await adds(X.detach()).finally(() => (V.grad = undefined))",
    async (w, x, v) => {
      const variable = w.variable(v);
      variable.grad = undefined;
      const adds = w.engine.compile((y: EngineTensor) => {
        variable.sum().backward();
        return y.mul(1);
      });
      try {
        await adds(x.detach());
        await adds(x.detach());
      } finally {
        variable.grad = undefined;
      }
    },
  ],
  [
    "let kept; await compile((x) => { kept = x.square(); return x.mul(1); })(X.mul(1)); await kept.read()",
    async (w, x) => (await leaked(w, x)).read(),
  ],
  [
    "let kept; await compile((x) => { kept = x.square(); return x.mul(1); })(X.mul(1)); await double(kept)",
    async (w, x) => w.double(await leaked(w, x)),
  ],
  ["rng().integers([2], 3, 3)", (w) => w.engine.rng().integers([2], 3, 3)],
  // A gradient that would be silently missing, and one of another shape.
  [
    "customGradient((x) => x.mul(V.sum()), ([dy]) => [dy])(X)",
    (w, x, v) =>
      w.engine.customGradient(
        (y) => y.mul(w.variable(v).sum()),
        ([dy]) => [dy],
      )(x),
  ],
  [
    "grad((x) => customGradient((y) => y.mul(2), ([dy]) => [dy.sum().reshape([1, 1, 1])])(x).sum())(X.detach())",
    (w, x) => {
      const wrong = w.engine.customGradient(
        (y) => y.mul(2),
        ([dy]) => [dy.sum().reshape([1, 1, 1])],
      );
      return w.engine.grad((y) => wrong(y).sum())(x.detach());
    },
  ],
];

export const refused: Kind = (scope, a, b, c) => {
  const [line, call] = pick(REFUSED, a)!;
  const x = pick(scope.values(), b)!;
  const v = pick([...scope.variables.keys()], c)!;
  const clears = line.includes("V.grad");
  const text = line.replaceAll("V", v).replaceAll("X", x);
  return {
    line: `await (async () => { ${text}; })().then(() => console.log("not refused"), () => undefined);`,
    plain: (w) => {
      if (clears) w.variable(v).grad = undefined;
      // It may be computed on the way.
      if (line.includes("X")) w.value(x);
      w.read(text, [1], true);
    },
    engine: async (w) => {
      let failed = 0;
      try {
        await call(w, w.value(x), v);
      } catch {
        failed = 1;
      }
      return w.note(text, [failed]);
    },
  };
};
