/**
 * Optimizers against plain loops of PyTorch's formulas over random settings, their state, and what surrounds them:
 * schedules, moving averages. PyTorch's own numbers are in test/golden.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { readTorchCheckpoint, writeTorchCheckpoint } from "../../src/io/index.ts";
import type { PicklableValue } from "../../src/io/index.ts";
import {
  Adam,
  AdamW,
  Linear,
  Module,
  SGD,
  Sequential,
  copyParameters,
  cosineSchedule,
  emaUpdate,
  PlateauSchedule,
  RMSprop,
  sequentialSchedule,
  stepSchedule,
  tieWeight,
  warmUp,
} from "../../src/nn/index.ts";
import type { AdamSettings, SgdSettings } from "../../src/nn/index.ts";
import { compile, full, realize, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { Tensor, Variable } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import type { Draw } from "../support/draw.ts";
import { drawn, holds, onReference } from "./helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-optimizers-"));
after(() => rmSync(folder, { recursive: true }));

/** A bowl, Σ c·(p − a)² / 2, whose gradient is c·(p − a). */
const bowl = (p: Tensor, c: Tensor, a: Tensor) => p.sub(a).square().mul(c).sum().mul(0.5);

/** PyTorch's SGD on one number. */
function sgdLoop(
  p: number,
  gradient: (p: number) => number,
  rates: readonly number[],
  s: Partial<SgdSettings>,
): number {
  const { momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = s;
  let buffer: number | undefined;
  for (const lr of rates) {
    const g = gradient(p) + weightDecay * p;
    buffer = buffer === undefined ? g : momentum * buffer + (1 - dampening) * g;
    p -= lr * (momentum === 0 ? g : nesterov ? g + momentum * buffer : buffer);
  }
  return p;
}

/** PyTorch's Adam and AdamW on one number. */
function adamLoop(
  p: number,
  gradient: (p: number) => number,
  rates: readonly number[],
  s: AdamSettings,
  decoupled: boolean,
): number {
  const [b1, b2] = s.betas;
  let [m, v] = [0, 0];
  rates.forEach((lr, i) => {
    let g = gradient(p);
    if (decoupled) p *= 1 - lr * s.weightDecay;
    else g += s.weightDecay * p;
    m = b1 * m + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g * g;
    p -= ((lr / (1 - b1 ** (i + 1))) * m) / (Math.sqrt(v) / Math.sqrt(1 - b2 ** (i + 1)) + s.epsilon);
  });
  return p;
}

/** Steps of an optimizer on a bowl, the learning rate set before each; compiled, or traced anew each time. */
async function steps(
  p: Variable,
  c: Tensor,
  a: Tensor,
  optimizer: SGD | Adam,
  rates: readonly number[],
  compiled: boolean,
): Promise<void> {
  const body = () => {
    optimizer.zeroGrad();
    bowl(p, c, a).backward();
    optimizer.step();
  };
  const run = compiled
    ? compile(body)
    : async () => {
        body();
        await realize([]);
      };
  for (const lr of rates) {
    optimizer.lr = lr;
    await run();
  }
}

function rates(draw: Draw): number[] {
  return Array.from({ length: draw.int(1, 6) }, () => 0.01 + 0.2 * draw.unit());
}

describe("update rules", () => {
  holds("SGD with momentum, dampening, Nesterov, weight decay, and a learning rate that changes", 40, async (draw) => {
    const momentum = draw.chance(0.7) ? draw.unit() : 0;
    const dampening = momentum > 0 && draw.chance(0.4) ? draw.unit() : 0;
    const nesterov = momentum > 0 && dampening === 0 && draw.chance(0.5);
    const settings = { momentum, dampening, nesterov, weightDecay: draw.chance(0.5) ? draw.unit() : 0 };
    const list = rates(draw);
    const [start, c, a] = [drawn(draw, [5]), drawn(draw, [5]), drawn(draw, [5])];
    const p = variable(start);
    await steps(p, c, a, new SGD([p], { lr: 1, ...settings }), list, draw.chance(0.5));
    const [ps, cs, as] = [await numbers(start), await numbers(c), await numbers(a)];
    assertClose(
      await numbers(p),
      ps.map((x, i) => sgdLoop(x, (at) => cs[i] * (at - as[i]), list, settings)),
      1e-12,
    );
  });

  for (const [Kind, decoupled] of [
    [Adam, false],
    [AdamW, true],
  ] as const) {
    holds(`${Kind.name} with all settings, and a learning rate that changes`, 40, async (draw) => {
      const settings: AdamSettings = {
        lr: 1,
        betas: [draw.chance(0.2) ? 0 : draw.unit(), draw.chance(0.2) ? 0 : 0.5 + draw.unit() / 2],
        epsilon: 10 ** -draw.int(2, 8),
        weightDecay: draw.chance(0.5) ? draw.unit() : 0,
      };
      const list = rates(draw);
      const [start, c, a] = [drawn(draw, [5]), drawn(draw, [5]), drawn(draw, [5])];
      const p = variable(start);
      await steps(p, c, a, new Kind([p], settings), list, draw.chance(0.5));
      const [ps, cs, as] = [await numbers(start), await numbers(c), await numbers(a)];
      const expected = ps.map((x, i) => adamLoop(x, (at) => cs[i] * (at - as[i]), list, settings, decoupled));
      assertClose(await numbers(p), expected, 1e-7);
    });
  }

  test("groups have settings of their own, and one learning rate a group", () =>
    onReference(async () => {
      const [a, b] = [variable(tensor(Float64Array.of(1))), variable(tensor(Float64Array.of(1)))];
      const optimizer = new SGD([{ params: [a] }, { params: [b], lr: 0.5, weightDecay: 1 }], { lr: 0.1 });
      a.add(b).sum().backward();
      optimizer.step();
      assertClose([await a.item(), await b.item()], [0.9, 0], 1e-12);
      optimizer.groups[1].lr = 0.25;
      optimizer.step();
      assertClose([await a.item(), await b.item()], [0.8, -0.25], 1e-12);
      optimizer.lr = 1;
      assert.deepEqual(
        optimizer.groups.map((g) => g.lr),
        [1, 1],
      );
    }));

  test("a parameter without a gradient stays", () =>
    onReference(async () => {
      const [a, b] = [variable(tensor([1])), variable(tensor([1]))];
      const optimizer = new SGD([a, b], { lr: 1, weightDecay: 0.5, momentum: 0.9 });
      a.square().sum().backward();
      optimizer.step();
      assert.equal(await b.item(), 1);
      assert.notEqual(await a.item(), 1);
      assert.deepEqual([...optimizer.stateDict().keys()], ["state.0.momentum_buffer"]);
      assert.deepEqual([...((await optimizer.torchState()).get("state") as Map<number, unknown>).keys()], [0]);
    }));

  test("several steps before anything is computed are the same as one after the other", () =>
    onReference(async () => {
      const run = async (wait: boolean) => {
        const p = variable(tensor(Float64Array.of(1, -2)));
        const optimizer = new Adam([p], { lr: 0.1 });
        for (let i = 0; i < 4; i++) {
          optimizer.zeroGrad();
          p.square().sum().backward();
          optimizer.step();
          if (wait) await p.read();
        }
        return numbers(p);
      };
      assertClose(await run(false), await run(true), 1e-14);
    }));

  test("settings out of range are refused", () => {
    const p = variable(zeros([1]));
    assert.throws(() => new SGD([p], { lr: -1 }), /SGD: lr is -1; it must be at least 0/);
    assert.throws(
      () => new SGD([p], { lr: 1, nesterov: true }),
      /nesterov needs momentum above 0 and dampening 0, not 0 and 0/,
    );
    assert.throws(
      () => new Adam([p], { betas: [0.9, 1] }),
      /Adam: the second of betas is 1; it must be at least 0 and below 1/,
    );
    assert.throws(() => new AdamW([p], { epsilon: NaN }), /AdamW: epsilon is NaN/);
    assert.throws(() => new SGD([p, p], { lr: 1 }), /is given twice/);
    assert.throws(() => new SGD([], { lr: 1 }), /SGD: there are no parameters/);
    assert.throws(
      () => new SGD([variable(zeros([1], "i32"), { name: "n" })], { lr: 1 }),
      /"n" is i32; only floating variables are trained/,
    );
  });
});

describe("state", () => {
  const make = {
    sgd: (ps: Variable[]) => new SGD(ps, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
    dampened: (ps: Variable[]) => new SGD(ps, { lr: 0.1, momentum: 0.9, dampening: 0.5 }),
    adam: (ps: Variable[]) => new Adam(ps, { lr: 0.1 }),
    adamw: (ps: Variable[]) => new AdamW([{ params: [ps[0]] }, { params: [ps[1]], lr: 0.3 }], { lr: 0.1 }),
  };
  for (const [name, build] of Object.entries(make)) {
    test(`${name}: saved as PyTorch saves it and loaded, training goes on as if it had not stopped`, () =>
      onReference(async () => {
        const start = () => [variable(tensor([1, -2])), variable(tensor([[3]]))];
        const train = async (ps: Variable[], optimizer: SGD | Adam, count: number) => {
          for (let i = 0; i < count; i++) {
            optimizer.zeroGrad();
            ps[0].square().sum().add(ps[1].square().sum()).backward();
            optimizer.step();
            await realize([]);
          }
        };
        const through = start();
        const whole = build(through);
        await train(through, whole, 3);
        const path = join(folder, `${name}.pth`);
        writeTorchCheckpoint(
          path,
          new Map([["optimizer", (await whole.torchState()) as PicklableValue]]) as PicklableValue,
        );
        const stopped = await Promise.all(
          through.map(async (p) => variable(tensor(Float32Array.from(await p.read()), { shape: p.shape }))),
        );
        await train(through, whole, 3);

        const saved = (readTorchCheckpoint(path) as Map<string, Map<string, unknown>>).get("optimizer")!;
        const group = (saved.get("param_groups") as Map<string, unknown>[])[0];
        assert.deepEqual(group.get("params"), name === "adamw" ? [0] : [0, 1]);
        assert.ok(group.has("weight_decay") && group.has("lr") && !group.has("weightDecay"));
        const resumed = build(stopped);
        resumed.lr = 99;
        resumed.loadTorchState(saved);
        assert.deepEqual(
          resumed.groups.map((g) => g.lr),
          whole.groups.map((g) => g.lr),
        );
        await train(stopped, resumed, 3);
        for (const [i, p] of through.entries()) assertClose(await numbers(stopped[i]), await numbers(p), 1e-6);
      }));
  }

  test("PyTorch's dictionaries before the first step, and with the step as a number", () =>
    onReference(async () => {
      const p = variable(tensor([1, 2]));
      const sgd = new SGD([p], { lr: 0.1, momentum: 0.9 });
      const groups = [{ lr: 0.2, momentum: 0.8, dampening: 0, weight_decay: 0, nesterov: false, params: [0] }];
      sgd.loadTorchState({ state: {}, param_groups: groups });
      assert.deepEqual([sgd.lr, sgd.groups[0].momentum], [0.2, 0.8]);
      sgd.loadTorchState(
        new Map<string, unknown>([
          ["state", new Map([[0, new Map([["momentum_buffer", null]])]])],
          ["param_groups", groups],
        ]),
      );
      const adam = new Adam([p]);
      const slot = { dtype: "f32", shape: [2], data: Float32Array.of(1, 1) };
      adam.loadTorchState({
        state: { 0: { step: 7, exp_avg: slot, exp_avg_sq: slot } },
        param_groups: [{ lr: 1e-3, betas: [0.8, 0.9], eps: 1e-6, params: [0] }],
      });
      assert.equal(await adam.stateDict().get("step")!.item(), 7);
      assert.deepEqual([adam.groups[0].betas, adam.groups[0].epsilon], [[0.8, 0.9], 1e-6]);
    }));

  test("a dictionary of PyTorch's SGD, which has no step, is dampened from its next step on", () =>
    onReference(async () => {
      const [p, q] = [variable(tensor([1, 2])), variable(tensor([1]))];
      const sgd = new SGD([p, q], { lr: 0.5, momentum: 0.9, dampening: 0.5 });
      const momentum_buffer = { dtype: "f32", shape: [2], data: Float32Array.of(1, 1) };
      sgd.loadTorchState({
        state: { 0: { momentum_buffer }, 1: { momentum_buffer: null } },
        param_groups: [{ lr: 1, momentum: 0.9, dampening: 0.5, weight_decay: 0, nesterov: false, params: [0, 1] }],
      });
      p.grad = tensor([1, 1]);
      q.grad = tensor([1]);
      sgd.step();
      assertClose(await numbers(p), [1 - 1.4, 2 - 1.4], 1e-6);
      assertClose(await numbers(q), [0], 1e-6);
    }));

  test("settings that PyTorch has and we have not, or that need slots never made, are refused by name", () =>
    onReference(async () => {
      const p = variable(tensor([1, 2]));
      const torch = (settings: object) => ({ state: {}, param_groups: [{ lr: 7, ...settings, params: [0] }] });
      const adam = new Adam([p]);
      assert.throws(
        () => adam.loadTorchState(torch({ amsgrad: true, maximize: true })),
        /group 0 has amsgrad, which Adam does not know.*\n {2}group 0 has maximize/,
      );
      adam.loadTorchState(torch({ amsgrad: false, maximize: false, foreach: null, fused: true }));
      const sgd = new SGD([p], { lr: 0.1 });
      const fault =
        /SGD: momentum is 0\.9, and the optimizer was made without it and keeps no momentum_buffer; give momentum/;
      assert.throws(() => sgd.loadTorchState(torch({ momentum: 0.9 })), fault);
      assert.throws(() => sgd.loadTorchState(torch({ weight_decay: -1 })), /weightDecay is -1/);
      assert.deepEqual([sgd.lr, sgd.groups[0].momentum, sgd.groups[0].weightDecay], [0.1, 0, 0]);
      p.grad = tensor([1, 1]);
      sgd.groups[0].momentum = 0.9;
      assert.throws(() => sgd.step(), fault);
      const heavy = new SGD([p], { lr: 0.1, momentum: 0.9 });
      heavy.groups[0].dampening = 0.5;
      assert.throws(() => heavy.step(), /SGD: dampening is 0\.5, .* keeps no step; give dampening/);
      const rms = new RMSprop([p]);
      rms.groups[0].centered = true;
      assert.throws(() => rms.step(), /RMSprop: centered is true, .* keeps no grad_avg/);
    }));

  test("what does not fit is refused, all of it at once, and nothing is changed", () =>
    onReference(async () => {
      const p = [variable(tensor([1, 2]), { name: "a" }), variable(tensor([1]), { name: "b" })];
      const sgd = new SGD(p, { lr: 0.1, momentum: 0.9 });
      assert.throws(() => sgd.loadTorchState({}), /SGD: loadTorchState: there is no list "param_groups"/);
      assert.throws(
        () =>
          sgd.loadTorchState(
            new Map<string, unknown>([
              ["model", new Map()],
              ["optimizer", new Map()],
            ]),
          ),
        /no list "param_groups", only model, optimizer; give the entry that has it/,
      );
      assert.throws(
        () => sgd.loadTorchState({ param_groups: [{ params: [0] }] }),
        /parameters in groups of \[1\]; the optimizer has \[2\]/,
      );
      const slot = (n: number) => ({
        momentum_buffer: { dtype: "f32", shape: [n], data: new Float32Array(n).fill(5) },
      });
      assert.throws(
        () =>
          sgd.loadTorchState({
            state: { 0: slot(3), 1: { momentum_buffer: 4 } },
            param_groups: [{ lr: 9, params: [0, 1] }],
          }),
        /momentum_buffer of parameter 0 \("a"\) has shape \[3\], not \[2\]\n {2}momentum_buffer of parameter 1 is no tensor/,
      );
      assert.equal(sgd.lr, 0.1);
      assert.equal(sgd.stateDict().size, 0);
    }));
});

describe("moving averages", () => {
  test("a frozen average is copied back into the model, and shared parameters move once", () =>
    onReference(async () => {
      class Tied extends Module {
        readonly a = new Linear(2, 2, { bias: false });
        readonly b = new Linear(2, 2, { bias: false });
        constructor(a: number, b = a) {
          super();
          this.a.weight.assign(full([2, 2], a));
          if (a === b) tieWeight(this.b, "weight", this.a.weight);
          else this.b.weight.assign(full([2, 2], b));
        }
      }
      const values = async (m: Tied) => [(await numbers(m.a.weight))[0], (await numbers(m.b.weight))[0]];
      const [model, average] = [new Tied(1), new Tied(3)];
      average.freeze();
      emaUpdate(average, model, 0.5);
      assert.deepEqual(await values(average), [2, 2]);
      copyParameters(model, average);
      assert.deepEqual(await values(model), [2, 2]);
      const apart = new Tied(5, 6);
      emaUpdate(apart, model, 0.5);
      assert.deepEqual(await values(apart), [3.5, 4]);
      assert.throws(() => emaUpdate(model, apart, 0.5), /emaUpdate: the target's "b.weight" is tied to another/);
      model.freeze();
      copyParameters(average, model);
      emaUpdate(average, new Tied(4), 0.5);
      assert.deepEqual(await values(average), [3, 3]);
      assert.throws(() => copyParameters(model, new Sequential()), /the modules have no parameter of a common name/);
    }));

  test("of modules go by name, frozen or not; the source is not differentiated through", () =>
    onReference(async () => {
      const [query, key] = [new Linear(2, 2), new Linear(2, 2)];
      key.freeze();
      copyParameters(key, query);
      assert.deepEqual(await numbers(key.weight), await numbers(query.weight));
      const before = await numbers(key.weight);
      query.weight.assign(query.weight.add(1));
      await realize([]);
      emaUpdate(key, query, 0.75);
      assertClose(
        await numbers(key.weight),
        before.map((v) => v + 0.25),
        1e-6,
      );
      assertClose(await numbers(key.bias!), await numbers(query.bias!), 1e-6);
    }));

  test("a momentum that changes is followed by a compiled step", () =>
    onReference(async () => {
      const [target, source] = [variable(tensor([0])), variable(tensor([1]))];
      let momentum = 0.5;
      const step = compile(() => emaUpdate([target], [source], () => momentum));
      await step();
      assertClose([await target.item()], [0.5], 1e-7);
      momentum = 0;
      await step();
      assertClose([await target.item()], [1], 1e-7);
    }));

  test("parameters that do not match are refused", () => {
    class Other extends Module {
      gain = variable(zeros([2]), { name: "gain" });
    }
    assert.throws(() => emaUpdate(new Linear(2, 2), new Other(), 0.5), /emaUpdate: the target has no "gain"/);
    assert.throws(
      () => emaUpdate(new Linear(2, 2), new Linear(2, 3), 0.5),
      /emaUpdate: "weight" has shape \[2, 2\], "weight" \[3, 2\]/,
    );
    assert.throws(() => copyParameters([variable(zeros([1]))], []), /the target has 1 parameters, the source 0/);
  });
});

describe("schedules", () => {
  test("steps, cosine and warm-up at their corners", () => {
    const at = (schedule: (t: number) => number, ...times: number[]) =>
      times.map((t) => Number(schedule(t).toFixed(9)));
    assert.deepEqual(at(stepSchedule(1, [3, 5], 0.1), 0, 2, 3, 4, 5, 100), [1, 1, 0.1, 0.1, 0.01, 0.01]);
    assert.deepEqual(at(cosineSchedule(1, 10, 0.2), 0, 5, 10, 20), [1, 0.6, 0.2, 0.2]);
    assert.deepEqual(at(cosineSchedule(2, 3), 1, 2), [1.5, 0.5]);
    assert.deepEqual(at(warmUp(4, stepSchedule(1, [2]), 0.2), 0, 2, 4, 5, 6), [0.2, 0.6, 1, 1, 0.1]);
    assert.deepEqual(
      at(
        warmUp(0, () => 3),
        0,
        1,
      ),
      [3, 3],
    );
    assert.throws(() => cosineSchedule(1, 0), /total is 0/);
    assert.throws(() => warmUp(-1, () => 1), /length is -1/);
    assert.throws(() => warmUp(1, 0.1 as never), /warmUp: takes a function, not 0\.1/);
    assert.throws(() => stepSchedule(0.1, 30 as never), /stepSchedule: the milestones must be an array/);
    const three = [() => 1, () => 2, () => 3];
    assert.throws(() => sequentialSchedule(three, [5, 2]), /the milestones \[5, 2\] must rise/);
    assert.throws(() => new PlateauSchedule({} as never), /PlateauSchedule: base must be a number/);
    assert.throws(() => new PlateauSchedule(1).next(zeros([1]) as never), /the measure must be a number, not Tensor/);
  });
});
