/** The public kit: it passes what is right, and tells the smallest input of what is wrong, as code that fails again. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { customGradient } from "../../src/autograd/custom.ts";
import { device } from "../../src/device/open.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Linear, Module, Sequential } from "../../src/nn/index.ts";
import { softmax } from "../../src/ops/index.ts";
import { Generator, setDefaultDevice, type Tensor, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { Storage } from "../../src/tensor/backend.ts";
import type { HostArray } from "../../src/tensor/index.ts";
import { Graph } from "../../src/testing/graph.ts";
import { Operand } from "../../src/testing/operand.ts";
import {
  arbitraries,
  CheckError,
  checkDeterminism,
  checkGradient,
  checkKernel,
  checkModule,
  checkOp,
  SPECIALS,
} from "../../src/testing/index.ts";

const reference = new ReferenceDevice();
setDefaultDevice(reference);

async function failure(promise: Promise<unknown>): Promise<CheckError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(error instanceof CheckError, `expected a CheckError, got ${String(error)}`);
  return error;
}

/** The tensors of the code that a check told. */
function pasted(code: string): Tensor[] {
  const list = /\[\n([^]*)\n\]\);$/.exec(code)![1];
  return new Function("tensor", `return [${list}]`)(tensor) as Tensor[];
}

/** x³, whose gradient is that of 2x³ from 1 on. */
const wrongCube = customGradient(
  (x: Tensor) => x.mul(x).mul(x),
  ([dy], [x]) => dy!.mul(x!.square()).mul(x!.gt(1).where(6, 3)),
);

/** A device that reads one value wrong. */
class Faulty extends ReferenceDevice {
  reads = 0;
  constructor(readonly spoil: (values: HostArray, reads: number) => void) {
    super();
  }
  override async read(storage: Storage): Promise<HostArray> {
    const values = (await super.read(storage)).slice();
    this.spoil(values, this.reads++);
    return values;
  }
}

describe("checkGradient", () => {
  test("passes a right gradient, of second order too", async () => {
    await checkGradient(
      (x, w) => x.matmul(w).tanh(),
      [
        ["batch", "in"],
        ["in", 2],
      ],
      { runs: 5, order: 2, seed: 1 },
    );
  });

  test("tells one element just above 1, and its code fails again", async () => {
    const { code, message, seed } = await failure(checkGradient((x) => wrongCube(x), [["n", 3]], { seed: 1 }));
    assert.match(message, /reverse mode gives .* central differences .*smallest failing input/s);
    assert.match(code, /import \{ checkGradient \} from "hico-webgpu\/testing"/);
    const [x] = pasted(code);
    assert.deepEqual(x.shape, [1, 3]);
    assert.equal((await x.read()).filter((value) => value > 1).length, 1);
    assert.equal(seed, 1);
    await failure(checkGradient((given) => wrongCube(given), [x]));
    const alone = await failure(checkGradient((given) => wrongCube(given), [["rows", "columns"]], { seed: 1 }));
    assert.deepEqual(pasted(alone.code)[0].shape, [1, 1]);
    const operand = new Operand([2, 3], "f32", [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(operand.without(1, 1), new Operand([2, 2], "f32", [1, 3, 4, 6]));
    assert.deepEqual(operand.without(0, 0), new Operand([1, 3], "f32", [4, 5, 6]));
  });
});

test("checkOp and checkKernel find a device that is wrong, a kernel that is, and a missing result", async () => {
  await checkOp((x, y) => x.mul(y).sum(0), [["n", "m"], ["m"]], { runs: 10, seed: 2 });
  const third = new Faulty((values) => values.length > 2 && (values[2] += 0.01));
  const { code, message } = await failure(checkOp((x) => x.exp(), [["n"]], { device: third, seed: 3 }));
  assert.deepEqual(pasted(code)[0].shape, [3]);
  assert.match(message, /output 0 f32\[3\]: element 2 is .*float64 gives/);

  await checkKernel(
    (x) => softmax(x),
    (x) => x.exp().div(x.exp().sum(-1, true)),
    [["n", "m"]],
    { runs: 10, seed: 4 },
  );
  const wrong = await failure(
    checkKernel(
      (x) => softmax(x),
      (x) => x.exp().div(x.exp().sum(0, true)),
      [["n", "m"]],
      { seed: 5 },
    ),
  );
  assert.ok(pasted(wrong.code)[0].size <= 2);
  const slope = (x: Tensor): Tensor => x.mul(x).mul(x);
  assert.match((await failure(checkKernel(wrongCube, slope, [["n"]], { seed: 6 }))).message, /gradient of input 0/);
  assert.match(
    (
      await failure(
        checkKernel(
          (x) => x,
          (x) => [x, x],
          [["n"]],
        ),
      )
    ).message,
    /1 results, its meaning 2/,
  );
});

test("checkOp takes a large tensor from outside time and again", async () => {
  const ready = tensor(Float32Array.from({ length: 30_000 }, (_, i) => i / 30_000));
  const cpu = await device("cpu", { threads: 1 });
  await checkOp((x) => x.mul(ready).sum(1), [["n", 1]], { device: cpu, runs: 3, seed: 12 });
  cpu.close();
});

test("checkOp asks for values alone as well: they may be computed in another way", async () => {
  const asked: number[] = [];
  const counting = new (class extends ReferenceDevice {
    override realize(...given: Parameters<ReferenceDevice["realize"]>): Promise<Storage[]> {
      asked.push(given[0].length);
      return super.realize(...given);
    }
  })();
  await checkOp((x) => x.exp(), [["n"]], { device: counting, runs: 1, seed: 13 });
  assert.deepEqual(asked, [1, 2]);
});

test("checkDeterminism finds a result that changes", async () => {
  await checkDeterminism((x) => x.exp().sum(), [["n"]], { runs: 3, seed: 7 });
  const drifting = new Faulty((values, reads) => values.length > 1 && reads > 6 && (values[1] += 1e-6));
  const { message } = await failure(
    checkDeterminism((x) => x.exp(), [["n"]], { device: drifting, gradients: false, seed: 8 }),
  );
  assert.match(message, /result 0, element 1 is/);
});

describe("what would check nothing", () => {
  test("is refused: no runs, one computation, results of another kind than meant", async () => {
    const f = (x: Tensor) => x.mul(x.detach());
    await assert.rejects(
      checkGradient(f, [["n"]], { runs: 0 }),
      /checkGradient: runs must be a whole number above 0, not 0/,
    );
    await assert.rejects(checkOp(f, [["n"]], { sizes: 0 }), /checkOp: sizes must be a whole number above 0, not 0/);
    await assert.rejects(
      checkDeterminism(f, [["n"]], { times: 1 }),
      /times must be a whole number of at least 2, not 1/,
    );
    await assert.rejects(
      checkKernel(
        (x: Tensor) => x.gt(0),
        (x: Tensor) => x.gt(0).cast("f32"),
        [["n"]],
        { device: new ReferenceDevice() },
      ),
      /output 0 is bool, its meaning f32/,
    );
  });
});

describe("checkModule", () => {
  class Cubed extends Module {
    readonly scale = variable(tensor([0.5, 1.5]));
    forward(x: Tensor): Tensor {
      return x.mul(wrongCube(this.scale));
    }
  }

  test("checks all parameters, nested ones too, and leaves the module as it was", async () => {
    const generator = new Generator(1);
    const module = new Sequential(new Linear(3, 2, { generator }), new Linear(2, 2, { generator }));
    const before = module.namedParameters();
    await checkModule(module, [["batch", 3]], { runs: 3, seed: 9 });
    assert.deepEqual(
      module.namedParameters().map(([, parameter]) => parameter),
      before.map(([, parameter]) => parameter),
    );
  });

  test("finds the wrong gradient of a parameter", async () => {
    const { message } = await failure(checkModule(new Cubed(), [["batch", 2]], { seed: 10 }));
    assert.match(message, /with respect to input 1, element \[1\] of \[2\]/);
  });

  test("names a parameter that nothing leads to", async () => {
    const hidden = { forward: (x: Tensor) => x, namedParameters: () => [["w", variable(tensor([1]))]] as never };
    await assert.rejects(checkModule(hidden, [["n"]]), /parameter 0 of the module is the value of no property/);
  });
});

describe("arbitraries", () => {
  const draw = arbitraries(fc);
  const evaluated = (code: string): unknown =>
    new Function("tensor", `return ${code.replaceAll(": Tensor", "")}`)(tensor);

  test("operands of every layout hold their values, and their code makes them again", async () => {
    const layouts = new Set<string>();
    const spec = { shape: ["a", 2, "b"] } as const;
    for (const operand of fc.sample(draw.operand(spec), { numRuns: 60, seed: 11 })) {
      layouts.add(operand.layout);
      const found = Array.from(await operand.tensor().read());
      assert.deepEqual(Array.from(await (evaluated(operand.code) as Tensor).read()), found);
      if (operand.layout !== "expanded") assert.deepEqual(found, operand.values);
      assert.equal(new Set(operand.values.map((value) => value * 1024)).has(0), false);
    }
    assert.equal(layouts.size, 5);
    const [first] = fc.sample(draw.operands([{ shape: ["n", 2] }, { shape: [3, "n"], dtype: "i32" }]), { numRuns: 1 });
    assert.equal(first[0].shape[0], first[1].shape[1]);
  });

  test("pairs broadcast to what is said, each side now and then being the smaller", () => {
    const kinds = new Set<string>();
    for (const { a, b, result } of fc.sample(draw.broadcastable(), { numRuns: 200, seed: 12 })) {
      assert.deepEqual(zeros(a).add(zeros(b)).shape, result);
      kinds.add(`${Math.sign(a.length - b.length)}`);
    }
    assert.equal(kinds.size, 3);
  });

  test("specials come where they are asked for alone", () => {
    const of = (specials: boolean): Set<number> =>
      new Set(fc.sample(draw.value({ specials }), { numRuns: 500, seed: 13 }));
    assert.ok(SPECIALS.every((value) => of(true).has(value)));
    assert.ok([...of(false)].every((value) => Math.abs(value) <= 2));
    assert.deepEqual([...new Set(fc.sample(draw.dtype(), 100))].sort(), ["bool", "f32", "i32", "u32"]);
  });

  test("graphs are what their code says, and smaller ones are drawn of a failing one", async () => {
    for (const graph of fc.sample(draw.graph(), { numRuns: 30, seed: 14 })) {
      const inputs = graph.inputs.map((operand) => operand.tensor());
      const [ours, theirs] = [graph.f(...inputs), (evaluated(graph.code) as typeof graph.f)(...inputs)];
      assert.deepEqual(ours.shape, inputs[0].shape);
      assert.deepEqual(await theirs.read(), await ours.read());
    }
    const found = fc.check(
      fc.property(draw.graph(), ({ steps }) => !steps.some(({ op }) => op === "softmax")),
      { seed: 15, numRuns: 200 },
    );
    const { steps, code } = found.counterexample![0];
    assert.ok(steps.length <= 2 && steps.at(-1)!.op === "softmax", code);
    const unused = new Graph(
      [new Operand([1, 1], "f32", [1])],
      [
        { op: "neg", of: [0] },
        { op: "sin", of: [0] },
      ],
    );
    assert.equal(unused.code, "(x0: Tensor) => {\n  const x2 = x0.sin();\n  return x2;\n}");
  });
});
