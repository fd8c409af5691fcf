/** The compiled step: micro-batches, clipping, what is measured, and how many submits and buffers it takes. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { AdamW, crossEntropy, emaUpdate, GradScaler, Linear, Sequential, SGD } from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { Generator, tensor, zeros } from "../../src/tensor/index.ts";
import type { Tensor, Variable } from "../../src/tensor/index.ts";
import {
  accuracy,
  EarlyStopping,
  NonFiniteError,
  ProgressTimer,
  progressLine,
  trainStep,
} from "../../src/train/index.ts";
import type { StepResult, TrainStepOptions } from "../../src/train/index.ts";

const device = await CpuDevice.open({ threads: 1 });
setDefaultDevice(device);
after(() => device.close());

const values = new Generator(3);
const x = tensor(await values.normal([24, 5]).read(), { shape: [24, 5] });
const y = tensor(Int32Array.from({ length: 24 }, (_, i) => i % 3));

function training(options: TrainStepOptions, rate = 0.1) {
  const generator = new Generator(1);
  const model = new Sequential(new Linear(5, 8, { generator }), (h) => h.tanh(), new Linear(8, 3, { generator }));
  const optimizer = new SGD(model.parameters(), { lr: rate, momentum: 0.9 });
  const step = trainStep(optimizer, (a: Tensor, b: Tensor) => crossEntropy(model.forward(a), b), { model, ...options });
  return { model, step, weight: () => model.parameters()[0]!.read() };
}

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

describe("trainStep", () => {
  test("in micro-batches is the step of the whole batch", async () => {
    const whole = training({ clipGradNorm: 0.05 });
    const wanted = [await whole.step.measure(x, y), await whole.step.measure(x, y)];
    for (const accumulate of [2, 3, 8]) {
      const parts = training({ clipGradNorm: 0.05, accumulate });
      for (const one of wanted) {
        const found = await parts.step.measure(x, y);
        assert.deepEqual(Object.keys(found), ["loss", "gradNorm"]);
        assert.ok(Math.abs(found.loss! - one.loss!) < 1e-6 && Math.abs(found.gradNorm! - one.gradNorm!) < 1e-6);
      }
      assert.ok(furthest(await parts.weight(), await whole.weight()) < 1e-6);
    }
    assert.ok(wanted[0]!.gradNorm! > 0.05, "gradients are clipped");
    await assert.rejects(
      training({ accumulate: 7 }).step.measure(x, y),
      /accumulate is 7, but tensor 0 of the batch has 24/,
    );
  });

  test("gradients that are not finite are told whichever trace is replayed", async () => {
    // Of a square root at 0 the gradient is not finite, and the loss is.
    const parts = new Sequential(new Linear(5, 2, { bias: false }), new Linear(2, 1, { bias: false }));
    const optimizer = new SGD(parts.parameters(), { lr: 0 });
    const [inner, outer] = parts.parameters() as [Variable, Variable];
    const root = trainStep(optimizer, (a: Tensor) => parts.forward(a).abs().sum().add(inner.square().sum().sqrt()), {
      model: parts,
    });
    await root.measure(x);
    outer.trainable = false;
    await root.measure(x);
    inner.trainable = false;
    outer.trainable = true;
    await root.measure(x);
    inner.trainable = true;
    inner.assign(zeros([2, 5]));
    await assert.rejects(root.measure(x), (e) => e instanceof NonFiniteError && /"0\.weight"/.test(e.message));
  });

  test("a function whose measures change their names is refused", async () => {
    const layer = new Linear(5, 2);
    let more = false;
    const named = trainStep(new SGD(layer.parameters(), { lr: 0 }), (a: Tensor): StepResult => {
      const loss = layer.forward(a).square().sum();
      return more ? { loss, more: loss } : { loss };
    });
    await named.measure(x);
    more = true;
    await assert.rejects(
      named.measure(x.slice([0, 3])),
      /the function gave loss before and loss, more now; give the same names/,
    );
  });

  test("in micro-batches holds the activations of one part at a time", async () => {
    const peak = async (accumulate: number): Promise<number> => {
      const own = await CpuDevice.open({ threads: 1 });
      setDefaultDevice(own);
      try {
        const model = new Sequential(
          new Linear(64, 64),
          (h) => h.tanh(),
          new Linear(64, 64),
          (h) => h.tanh(),
          new Linear(64, 10),
        );
        const loss = (a: Tensor, b: Tensor): Tensor => crossEntropy(model.forward(a), b);
        const step = trainStep(new SGD(model.parameters(), { lr: 0.1 }), loss, { accumulate });
        await step.measure(tensor(new Float32Array(2048 * 64), { shape: [2048, 64] }), tensor(new Int32Array(2048)));
        return own.counters.bytesPeak;
      } finally {
        own.close();
        setDefaultDevice(device);
      }
    };
    const [whole, parts] = [await peak(1), await peak(8)];
    assert.ok(parts < whole / 2, `${parts} bytes in eight parts, ${whole} in one`);
  });

  test("is one plan, made once, guard and clipping included", async () => {
    const { step } = training({ clipGradNorm: 1, accumulate: 2 });
    for (let i = 0; i < 3; i++) (await step.run(x, y)).dispose();
    const before = { ...device.counters };
    (await step.run(x, y)).dispose();
    const { runs, modulesCompiled } = device.counters;
    assert.deepEqual([runs, modulesCompiled], [before.runs + 1, before.modulesCompiled]);
  });

  test("names the loss, or the gradients, that are not finite", async () => {
    const infinite = training({});
    await assert.rejects(infinite.step.measure(x.mul(Infinity), y), (error) => {
      assert.ok(error instanceof NonFiniteError);
      assert.deepEqual([error.what, error.step, Number.isFinite(error.value)], ["the loss", 1, false]);
      return true;
    });
    // A square root of 0 has an infinite slope, which times 0 is NaN; the loss itself is finite.
    const steep = (guard: "gradients" | "loss") => {
      const { model } = training({});
      const loss = (a: Tensor): Tensor => model.forward(a).mul(0).add(model.parameters()[3]!.mul(0).sqrt()).sum();
      return trainStep(new SGD(model.parameters(), { lr: 0 }), loss, { model, guard });
    };
    await assert.rejects(steep("gradients").measure(x), /gradient of "2\.bias" is .* at step 1/);
    assert.equal(Math.abs((await steep("loss").measure(x)).loss!), 0);
    assert.ok(Number.isNaN((await training({ guard: false }).step.measure(x.mul(NaN), y)).loss));
  });

  test("with a scaler it is the step without where gradients are finite, and none where they are not", async () => {
    const wanted = training({ clipGradNorm: 0.05 });
    const scaler = new GradScaler({ initScale: 256, growthInterval: 2 });
    const scaled = training({ clipGradNorm: 0.05, accumulate: 2, scaler });
    for (const lossScale of [256, 256, 512]) {
      const [one, found] = [await wanted.step.measure(x, y), await scaled.step.measure(x, y)];
      assert.deepEqual(Object.keys(found), ["loss", "gradNorm", "lossScale"]);
      assert.equal(found.lossScale, lossScale);
      assert.ok(Math.abs(found.loss! - one.loss!) < 1e-6 && Math.abs(found.gradNorm! - one.gradNorm!) < 1e-6);
    }
    assert.ok(furthest(await scaled.weight(), await wanted.weight()) < 1e-6);
    await assert.rejects(scaled.step.measure(x.mul(Infinity), y), /the loss/);

    // The root's slope at 0 is infinite, while the loss is finite.
    const { model, weight } = training({});
    const before = await weight();
    const loss = (a: Tensor): Tensor => model.forward(a).add(model.parameters()[3]!.mul(0).sqrt()).sum();
    const steep = trainStep(new SGD(model.parameters(), { lr: 1 }), loss, { model, clipGradNorm: 1, scaler });
    const scale = await scaler.getScale();
    assert.ok(!Number.isFinite((await steep.measure(x)).gradNorm));
    assert.deepEqual(await weight(), before);
    assert.equal(await scaler.getScale(), scale / 2);
  });

  test("runs what comes after the update in the same plan", async () => {
    const generator = new Generator(1);
    const [model, target] = [new Linear(5, 3, { generator }), new Linear(5, 3, { generator })];
    const before = await target.weight.read();
    const optimizer = new AdamW(model.parameters(), { lr: 0.1 });
    const step = trainStep(optimizer, (a: Tensor, b: Tensor) => crossEntropy(model.forward(a), b), {
      after: () => emaUpdate(target, model, 0.5),
    });
    await step.measure(x, y);
    const after = await model.weight.read();
    assert.ok(
      furthest(
        await target.weight.read(),
        Float32Array.from(before, (v, i) => (v + after[i]!) / 2),
      ) < 1e-6,
    );
  });

  test("says what is wrong with what it is given", async () => {
    assert.throws(() => training({ accumulate: 0 }), /accumulate must be an integer ≥ 1/);
    assert.throws(() => training({ guard: "all" as never }), /guard is the string "all"; it must be/);
    const { model } = training({});
    const optimizer = new SGD(model.parameters(), { lr: 0.1 });
    await assert.rejects(
      trainStep(optimizer, (a: Tensor) => model.forward(a)).measure(x),
      /loss is Tensor\(f32\[24, 3\]\); the function must give/,
    );
    await assert.rejects(
      trainStep(optimizer, (() => ({ accuracy: x.mean() })) as never).measure(x),
      /loss is undefined/,
    );
  });
});

describe("EarlyStopping", () => {
  test("bears so many measures without improvement, and knows the best", () => {
    const said = (options: ConstructorParameters<typeof EarlyStopping>[0], measures: number[]): boolean[] => {
      const stopping = new EarlyStopping(options);
      return measures.map((measure) => stopping.next(measure));
    };
    assert.deepEqual(said({ patience: 1 }, [3, 2, 2, 2.5, 1]), [false, false, false, true, false]);
    assert.deepEqual(said({ mode: "max" }, [1, 2, NaN]), [false, false, true]);
    assert.deepEqual(said({ minDelta: 0.5 }, [3, 2.6]), [false, true]);
    const stopping = new EarlyStopping({ patience: 2 });
    for (const measure of [5, 4, 6]) stopping.next(measure);
    const other = new EarlyStopping({ patience: 2 });
    other.load(JSON.parse(JSON.stringify(stopping.state())));
    assert.deepEqual([other.best, other.improved, other.next(7), other.next(8)], [4, false, false, true]);
    assert.throws(() => new EarlyStopping({ mode: "least" as never }), /mode is "least"; it must be "min" or "max"/);
  });
});

describe("ProgressTimer", () => {
  test("counts from the second step, and says how long the rest takes", () => {
    let now = 0;
    const timer = new ProgressTimer(100, 10, () => now);
    assert.deepEqual(timer.progress(), { done: 10, total: 100, seconds: 0, perSecond: 0, secondsLeft: undefined });
    now = 9000;
    timer.step();
    now += 2000;
    timer.step(15);
    assert.deepEqual(timer.progress(), { done: 15, total: 100, seconds: 2, perSecond: 2, secondsLeft: 42.5 });
    assert.equal(
      progressLine(timer.progress(), { loss: 0.123456 }),
      "step 15/100, 2.00 steps/s, 43 s left, loss 0.1235",
    );
    assert.match(
      progressLine({ done: 1, total: 9, seconds: 1, perSecond: 0.001, secondsLeft: 8000 }),
      /2 h 13 min left/,
    );
  });
});

describe("accuracy of the k largest", () => {
  test("a sample whose own logit is NaN is not right, and another's NaN comes before it", async () => {
    setDefaultDevice(device);
    const logits = tensor([
      [NaN, NaN, NaN],
      [0, NaN, 5],
      [0, 1, 1],
      [NaN, 0, 1],
    ]);
    const rightOf = async (...labels: number[]) =>
      (await accuracy(logits, tensor(Int32Array.from(labels)), { topK: 2 }).item()) * labels.length;
    assert.equal(await rightOf(0, 1, 1, 0), 1);
    assert.equal(await rightOf(2, 2, 2, 2), 3);
  });
});
