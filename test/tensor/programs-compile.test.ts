/** Compiled functions in programs: a call means what calling the plain function at that place would mean. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Dropout, Linear, SGD } from "../../src/nn/index.ts";
import {
  Generator,
  compile,
  liveScalar,
  rng,
  seed,
  setDefaultDevice,
  tensor,
  to,
  variable,
} from "../../src/tensor/index.ts";
import type { Tensor, Variable } from "../../src/tensor/index.ts";
import { tracing } from "../../src/tensor/program/trace.ts";
import { scan } from "../../src/ops/index.ts";
import { numbers } from "../support/helpers.ts";

let cpu: CpuDevice;
before(async () => {
  cpu = await CpuDevice.open({ threads: 1 });
});
after(() => cpu.close());

function onEach(name: string, body: () => Promise<void>): void {
  for (const kind of ["reference", "cpu"]) {
    test(`${name}, on ${kind}`, async () => {
      setDefaultDevice(kind === "cpu" ? cpu : new ReferenceDevice());
      try {
        await body();
      } finally {
        setDefaultDevice(undefined);
      }
    });
  }
}

describe("assignments and compiled calls", () => {
  onEach("weights loaded between two calls are what the second one sees", async () => {
    const layer = new Linear(1, 1, { bias: false });
    const predict = compile((x: Tensor) => layer.forward(x));
    for (const value of [2, 3, -4]) {
      layer.loadStateDict({ weight: { shape: [1, 1], data: [value] } });
      assert.deepEqual(await numbers(await predict(tensor([[10]]))), [10 * value]);
    }
  });

  onEach("a step goes on from a pending assignment, and is not overwritten by it", async () => {
    const w = variable(tensor([8]));
    const optimizer = new SGD([w], { lr: 0.5 });
    const step = compile((x: Tensor) => {
      optimizer.zeroGrad();
      const loss = w.mul(x).sum();
      loss.backward();
      optimizer.step();
      return loss;
    });
    await step(tensor([2]));
    w.assign(tensor([100]));
    assert.deepEqual([await (await step(tensor([2]))).item(), await w.item()], [200, 99]);
  });

  onEach("calls that nobody waits for run in the order made, between reads and assignments", async () => {
    const v = variable(tensor([1]));
    const add = compile((x: Tensor) => {
      v.assign(v.add(x));
    });
    const calls = [add(tensor([1])), add(tensor([10]))];
    const early = v.item();
    v.assign(v.mul(2));
    calls.push(add(tensor([100])));
    const built = v.mul(1000);
    v.assign(v.sub(4));
    assert.deepEqual([await early, await built.item(), await v.item()], [12, 124000, 120]);
    await Promise.all(calls);
  });

  onEach("a variable is argument and target of one function", async () => {
    const v = variable(tensor([1, 2, 3]));
    const step = compile((x: Tensor) => {
      v.assign(v.flip());
      return x.mul(10).add(v);
    });
    assert.deepEqual(await numbers(await step(v)), [33, 22, 11]);
    assert.deepEqual(await numbers(v), [3, 2, 1]);
    assert.deepEqual(await numbers(await step(v.reshape([3]))), [31, 22, 13]);
    const assignTo = compile((target: Variable, x: Tensor) => {
      target.assign(x);
    });
    await assignTo(v, tensor([7, 8, 9]));
    assert.deepEqual(await numbers(v), [7, 8, 9]);
  });

  onEach("a value taken from outside stays the one it was", async () => {
    const v = variable(tensor([2]));
    await v.read();
    const kept = v.mul(3);
    const step = compile((x: Tensor) => kept.mul(x));
    assert.deepEqual(await numbers(await step(tensor([1]))), [6]);
    v.assign(tensor([50]));
    assert.deepEqual(await numbers(await step(tensor([2]))), [12]);
  });

  onEach("after a call that fails the variables keep their values, and later calls run", async () => {
    const v = variable(tensor([1]));
    const near = variable(tensor([1]));
    const far = variable(tensor([1]), { device: new ReferenceDevice() });
    await near.read();
    await far.read();
    const wrong = near.add(far);
    const step = compile((x: Tensor) => {
      v.assign(v.add(x));
      return v.add(x.mul(2));
    });
    v.assign(v.add(4));
    await assert.rejects(step(wrong), /meet in one computation/);
    assert.equal(await v.item(), 5);
    await step(tensor([1]));
    assert.equal(await v.item(), 6);
  });
});

describe("what a traced function leaves behind", () => {
  onEach("a gradient is of no value outside, and says whose it is", async () => {
    const w = variable(tensor([2]), { name: "w" });
    const optimizer = new SGD([w], { lr: 0.1 });
    const lossOf = compile((x: Tensor) => {
      optimizer.zeroGrad();
      const loss = w.mul(x).sum();
      loss.backward();
      return loss;
    });
    for (let call = 0; call < 2; call++) {
      await lossOf(tensor([3]));
      assert.throws(() => optimizer.step(), /the gradient of Variable\(w: f32\[1\]\) was made while compile traced/);
      await assert.rejects(w.grad!.read(), /return it from the function/);
    }
    optimizer.zeroGrad();
    w.square().sum().backward();
    assert.deepEqual(await numbers(w.grad!), [4]);
  });

  onEach("neither is one that depends on no input but on a variable, a draw or a number asked for anew", async () => {
    const [w, v] = [variable(tensor([2]), { name: "w" }), variable(tensor([1]))];
    let rate = 1;
    const live = liveScalar(() => rate++);
    const factors = [() => v, () => v.add(live), () => rng().uniform([1], 0, 1), () => live.reshape([1])];
    for (const factor of factors) {
      const step = compile((x: Tensor) => {
        for (const each of [w, v]) each.grad = undefined;
        w.mul(factor()).sum().backward();
        v.grad = undefined;
        v.assign(v.add(1));
        return x.mul(1);
      });
      for (let call = 0; call < 2; call++) {
        await step(tensor([3]));
        await assert.rejects(
          async () => w.grad!.read(),
          /the gradient of Variable\(w: f32\[1\]\) was made while compile traced/,
        );
      }
      w.grad = undefined;
    }
    assert.deepEqual(await numbers(v), [9]);
  });

  onEach("a gradient from before is refused, not kept for all calls", async () => {
    const w = variable(tensor([2]), { name: "w" });
    w.square().sum().backward();
    const step = compile((x: Tensor) => {
      const loss = w.mul(x).sum();
      loss.backward();
      return loss;
    });
    await assert.rejects(step(tensor([1])), /the gradient of Variable\(w: f32\[1\]\) was set before compile traced/);
    assert.deepEqual(await numbers(w.grad!), [4]);
  });

  onEach("a gradient that an earlier call left is refused as well, whether it is added to or stepped by", async () => {
    const [w, argument] = [variable(tensor([2]), { name: "w" }), variable(tensor([5]), { name: "a" })];
    // The gradient depends on no input, so that it has a value outside: two calls would have to leave 2.
    const adds = compile((a: Tensor) => {
      w.grad = undefined;
      w.add(a).sum().backward();
      return w.add(1);
    });
    await adds(argument);
    assert.deepEqual(await numbers(argument.grad!), [1]);
    await assert.rejects(adds(argument), /the gradient of Variable\(a: f32\[1\]\) was set before compile traced/);
    assert.deepEqual(await numbers(argument.grad!), [1]);
    argument.grad = undefined;
    await adds(argument);
    assert.deepEqual(await numbers(argument.grad!), [1]);

    // Traced where there is no gradient, a step does nothing; replayed where there is one, it would do nothing again.
    const optimizer = new SGD([w], { lr: 0.5 });
    optimizer.zeroGrad();
    const steps = compile(() => {
      optimizer.step();
      return w.mul(1);
    });
    assert.deepEqual(await numbers(await steps()), [2]);
    w.square().sum().backward();
    await assert.rejects(steps(), /the gradient of Variable\(w: f32\[1\]\) was set before compile traced/);
  });

  onEach("what is made inside may be used by one call, and by more where it does not change", async () => {
    const w = variable(tensor([2]));
    const message = (what: string) =>
      new RegExp(`${what} was made while compile traced .*; make it before the function`);
    const cases: readonly (readonly [RegExp | undefined, (x: Tensor) => Tensor])[] = [
      [undefined, (x) => x.mul(variable(tensor([3])))],
      [undefined, (x) => new Linear(1, 1).forward(x.reshape([1, 1])).reshape([1])],
      [
        message('variable "mine"'),
        (x) => {
          const mine = variable(tensor([1]), { name: "mine" });
          mine.assign(mine.add(x));
          return mine.mul(2);
        },
      ],
      ...[0, 0.9].map((momentum): readonly [RegExp | undefined, (x: Tensor) => Tensor] => [
        momentum > 0 ? message("SGD") : undefined,
        (x) => {
          const optimizer = new SGD([w], { lr: 0.5, momentum });
          optimizer.zeroGrad();
          w.mul(x).sum().backward();
          optimizer.step();
          optimizer.zeroGrad();
          return w.mul(1);
        },
      ]),
    ];
    for (const [refused, f] of cases) {
      const compiled = compile(f);
      const run = async (): Promise<number[]> => numbers(await compiled(tensor([1])));
      const found = await run();
      if (refused) await assert.rejects(run(), refused);
      else if (f !== cases[3][1]) assert.deepEqual(await run(), found);
      else await run();
    }
    // Three steps: the fourth is refused.
    assert.deepEqual(await numbers(w), [0.5]);
  });

  onEach("an optimizer's settings and its moments are those of the call", async () => {
    const train = async (compiled: boolean): Promise<number[]> => {
      const w = variable(tensor([1]));
      const optimizer = new SGD([w], { lr: 0.125, momentum: 0.5 });
      const step = async (begins: boolean): Promise<void> => {
        if (begins) optimizer.reset();
        optimizer.zeroGrad();
        w.square().sum().backward();
        optimizer.step();
        optimizer.zeroGrad();
      };
      const [first, next] = [true, false].map((begins) => {
        const run = () => void step(begins);
        return compiled ? compile(run) : async () => run();
      });
      for (const run of [first, first, next, next]) await run();
      optimizer.groups[0].weightDecay = 0.5;
      await next();
      optimizer.groups[0].momentum = 0;
      await next();
      return numbers(w);
    };
    assert.deepEqual(await train(true), await train(false));
  });

  onEach("a tensor kept from the trace is an error; one that needs no input is a tensor", async () => {
    const kept: Tensor[] = [];
    await compile((x: Tensor) => {
      kept.push(x.add(1), tensor([5]).mul(2));
      return x;
    })(tensor([1]));
    assert.throws(() => kept[0].mul(2), /f32\[1\] tensor was made while compile traced a function/);
    assert.deepEqual(await numbers(kept[1]), [10]);
  });

  onEach("a gradient is not cut silently at a compiled result", async () => {
    const w = variable(tensor([2]));
    const square = compile((x: Tensor) => w.square().mul(x));
    const y = await square(tensor([3]));
    assert.throws(() => w.mul(y).sum().backward(), /result of a compiled function has no history/);
    w.mul(y.detach()).sum().backward();
    assert.deepEqual(await numbers(w.grad!), [12]);
  });

  onEach("nor at an argument, which has a history or asks for a gradient outside", async () => {
    const [w, v] = [variable(tensor([2])), variable(tensor([5]))];
    const asks = tensor([3]).requireGrad();
    const loss = compile((y: Tensor) => {
      v.grad = undefined;
      y.mul(v).sum().backward();
      const given = v.grad!;
      v.grad = undefined;
      return given.mul(1);
    });
    const message = /a f32\[1\] argument of the compiled function has a history, or asks for a gradient, outside/;
    for (const y of [w.mul(3), asks, asks.mul(2)]) {
      await assert.rejects(loss(y), message);
      assert.deepEqual(await numbers(await loss(y.detach())), await numbers(y));
    }
    assert.deepEqual([w.grad, asks.grad], [undefined, undefined]);
    // What was made of such an argument is cut off from it as well.
    const twice = compile((y: Tensor) => y.mul(2));
    const cut = await twice(w.mul(3));
    assert.throws(() => cut.mul(v).sum().backward(), /result of a compiled function has no history/);
    cut.detach().mul(v).sum().backward();
    assert.deepEqual(await numbers(v.grad!), [12]);
    // One without goes on to be without.
    (await twice(tensor([3]))).mul(v).sum().backward();
    assert.deepEqual(await numbers(v.grad!), [18]);
  });
});

describe("what reaches a compiled function", () => {
  onEach("train() and eval(), trainable, and noGrad around it", async () => {
    const dropout = new Dropout(0.5, new Generator(1));
    const run = compile((x: Tensor) => dropout.forward(x));
    const ones = () => tensor(new Float32Array(64).fill(1));
    assert.ok((await numbers(await run(ones()))).includes(0));
    dropout.eval();
    assert.deepEqual(await numbers(await run(ones())), Array(64).fill(1));
    dropout.train();
    assert.ok((await numbers(await run(ones()))).includes(0));
  });

  onEach("modes that it sets itself: set at every call, and traced once", async () => {
    const dropout = new Dropout(0.5, new Generator(1));
    const w = variable(tensor([3]));
    let traces = 0;
    const predict = compile((x: Tensor) => {
      traces++;
      const { training } = dropout;
      dropout.eval();
      const y = dropout.forward(x);
      dropout.train(training);
      return y;
    });
    const freeze = compile((x: Tensor) => {
      traces++;
      dropout.eval();
      w.trainable = false;
      return dropout.forward(x).mul(w.trainable ? 5 : w);
    });
    const ones = tensor(new Float32Array(64).fill(1));
    for (let call = 0; call < 3; call++) {
      assert.deepEqual(await numbers(await predict(ones)), Array(64).fill(1));
      assert.ok(dropout.training);
    }
    for (let call = 0; call < 3; call++) {
      assert.deepEqual(await numbers(await freeze(ones)), Array(64).fill(3));
      assert.ok(!dropout.training && !w.trainable);
      dropout.train();
      w.trainable = true;
    }
    assert.equal(traces, 2);
  });

  onEach("the seed, and draws in the order they are written", async () => {
    const body = (x: Tensor) => {
      const [a, unused, b] = [rng().uniform([2]), rng().uniform([3]), rng().uniform([2])];
      void unused;
      return b.add(a).mul(x);
    };
    const run = compile(body);
    const one = tensor([1]);
    seed(3);
    const expected = [await numbers(body(one)), await numbers(rng().uniform([2])), await numbers(body(one))];
    for (let round = 0; round < 2; round++) {
      seed(3);
      const first = run(one);
      const between = rng().uniform([2]);
      const second = run(one);
      assert.deepEqual([await numbers(await first), await numbers(between), await numbers(await second)], expected);
    }
  });

  onEach("a generator made inside, which draws the same at every call", async () => {
    const run = compile((x: Tensor) => {
      const generator = new Generator(5);
      return generator.uniform([2]).add(generator.uniform([2]).mul(x));
    });
    const outside = new Generator(5);
    const expected = await numbers(outside.uniform([2]).add(outside.uniform([2]).mul(2)));
    for (let call = 0; call < 2; call++) assert.deepEqual(await numbers(await run(tensor([2]))), expected);
  });

  test("another device's tensors, which it is traced for anew", async () => {
    const reference = new ReferenceDevice();
    setDefaultDevice(cpu);
    const triple = compile((x: Tensor) => x.mul(3));
    assert.deepEqual(await numbers(await triple(tensor([1]))), [3]);
    const far = await triple(await to(tensor([5]), reference));
    assert.deepEqual(await numbers(far), [15]);
    setDefaultDevice(reference);
    assert.deepEqual(await numbers(await triple(tensor([7]))), [21]);
    setDefaultDevice(undefined);
  });
});

describe("what cannot be compiled", () => {
  onEach("async functions, results and arguments that are no tensors, reads and calls inside", async () => {
    const x = tensor([1]);
    const v = variable(tensor([1]));
    const outer = new Generator(1);
    const cases: [RegExp, () => Promise<unknown>][] = [
      [/the function is async/, () => compile((async (t: Tensor) => t) as never)(x)],
      [/the result is not a tensor but a number/, () => compile((() => 5) as never)()],
      [/the result is not a tensor but null/, () => compile((() => null) as never)()],
      [/output 1 is not a tensor but a string/, () => compile(((t: Tensor) => [t, "a"]) as never)(x)],
      [/argument 1 is number, not a tensor/, () => compile((t: Tensor, k: Tensor) => t.mul(k))(x, 3 as never)],
      [
        /a compiled function called in another/,
        () => {
          const inner = compile((t: Tensor) => t.add(1));
          return compile((t: Tensor) => {
            inner(t).catch(() => undefined);
            v.assign(v.add(1));
            return t;
          })(x);
        },
      ],
      [
        /read: compile is tracing/,
        () =>
          compile((t: Tensor) => {
            t.read().catch(() => undefined);
            return t;
          })(x),
      ],
      [
        /seed: compile is tracing a function, whose calls would not repeat it/,
        () =>
          compile(() => {
            seed(5);
            return rng().uniform([2]);
          })(),
      ],
      [
        /seed: compile is tracing a function, whose calls would not repeat it/,
        () =>
          compile(() => {
            outer.calls = 0;
            return outer.uniform([2]);
          })(),
      ],
      [
        /lr: compile is tracing a function, .* set it before the call/,
        () => {
          const optimizer = new SGD([v], { lr: 1 });
          return compile((t: Tensor) => {
            optimizer.lr = 0.5;
            return t.mul(2);
          })(x);
        },
      ],
      [
        /Generator: .* a scan draws anew for every step/,
        () =>
          compile((t: Tensor) => {
            const generator = new Generator(5);
            return scan((s: Tensor, q: Tensor) => ({ state: s.add(q), output: generator.uniform([1]).add(q) }), {
              state: t,
              inputs: t.reshape([1, 1]),
            }).state;
          })(x),
      ],
      [/Generator.shuffled: compile is tracing/, () => compile((t: Tensor) => t.mul(rng().shuffled(2)[0]))(x)],
    ];
    for (const [message, call] of cases) await assert.rejects(call(), message);
    assert.equal(await v.item(), 1);
  });
});

test("a trace that the cache let go is collected, though a later one was made over its gradients", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  setDefaultDevice(new ReferenceDevice());
  try {
    const w = variable(tensor([1, 2]));
    const optimizer = new SGD([w], { lr: 0.1 });
    const traces: WeakRef<object>[] = [];
    const step = compile((x: Tensor) => {
      traces.push(new WeakRef(tracing()!));
      const loss = x.matmul(w).sum();
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    const rows = 80;
    for (let i = 1; i <= rows; i++) await step(tensor(new Float32Array(2 * i), { shape: [i, 2] }));
    assert.equal(traces.length, rows);
    const alive = (): number => traces.filter((trace) => trace.deref()).length;
    for (let i = 0; i < 20 && alive() > 64; i++) {
      // What a reference was asked for lives until the turn ends.
      await setTimeout(5);
      collect();
    }
    assert.equal(alive(), 64);
  } finally {
    setDefaultDevice(undefined);
  }
});
