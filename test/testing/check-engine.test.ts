/** The conformance suite: it finds nothing in this engine, and in wrong ones what is wrong with them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { hicoEngine } from "../../src/testing/engines/adapters/hico.ts";
import { checkEngine, conformanceMarkdown, conformanceText, faultsOf, openEngine } from "../../src/testing/index.ts";
import type { EngineAdapter, EngineAnswer, EngineRequest, PlainArray } from "../../src/testing/index.ts";

const right = hicoEngine(new ReferenceDevice(), "0");

/** The right engine, but for what `spoil` does to its answers. */
function spoiled(
  spoil: (answer: EngineAnswer, request: EngineRequest) => EngineAnswer | Promise<EngineAnswer>,
): EngineAdapter {
  return { ...right, name: "spoiled", run: async (request) => spoil(await right.run(request), request) };
}

const mapped = (list: readonly PlainArray[], f: (x: number, i: number) => number): PlainArray[] =>
  list.map((one) => ({ ...one, data: Array.from(one.data, f) }));

/** The attributes and the name of the operation that a request begins with. */
const told = ({ steps }: EngineRequest) => ({ op: steps[0].op, attributes: steps[0].with ?? {} });

/** Wrong engines, one or more a family, and what the suite says of each. */
const PLANTED: readonly {
  readonly what: string;
  readonly only: string;
  readonly told: RegExp;
  readonly spoil: (answer: EngineAnswer, request: EngineRequest) => EngineAnswer;
}[] = [
  {
    what: "a variance that takes NaN for nothing",
    only: "variance",
    told: /^variance, specials, special numbers: value$/,
    spoil: (answer) => ({ ...answer, outputs: mapped(answer.outputs, (x) => (Number.isNaN(x) ? 0 : x)) }),
  },
  {
    what: "a maximum that gives each of two equal elements the whole gradient",
    only: "max",
    told: /^max, edges, at the tie 3, 1, 3: gradient$/,
    spoil: (answer) => ({ ...answer, gradients: mapped(answer.gradients ?? [], Math.ceil) }),
  },
  {
    what: "a running product whose gradient divides by the element",
    only: "cumprod",
    told: /^cumprod, edges, .*: gradient$/,
    spoil: (answer, { inputs }) => ({
      ...answer,
      gradients: mapped(answer.gradients ?? [], (x, i) => (inputs[0].data[i] === 0 ? NaN : x)),
    }),
  },
  {
    what: "a softmax that overflows",
    only: "softmax",
    told: /^softmax, edges, .*: value$/,
    spoil: (answer, { inputs }) => ({
      ...answer,
      outputs: mapped(answer.outputs, (x, i) => (inputs[0].data[i] > 88 ? NaN : x)),
    }),
  },
  {
    what: "a product of matrices that leaves out zeros",
    only: "matmul",
    told: /^matmul, specials, NaN and zeros/,
    spoil: (answer) => ({ ...answer, outputs: mapped(answer.outputs, (x) => (Number.isNaN(x) ? 0 : x)) }),
  },
  {
    what: "a product of matrices whose batch comes last",
    only: "matmul",
    told: /^matmul, shapes, \[3,4\] \[2,4,5\]: shape$/,
    spoil: (answer, { inputs }) => ({
      ...answer,
      outputs: answer.outputs.map((one) =>
        inputs[0].shape.length < one.shape.length ? { ...one, shape: [...one.shape].reverse() } : one,
      ),
    }),
  },
  {
    what: "a second derivative of a product that is lost",
    only: "matmul",
    told: /^matmul, second, .*: zero gradient$/,
    spoil: (answer) => ({ ...answer, seconds: mapped(answer.seconds ?? [], () => 0) }),
  },
  {
    what: "a taking whose gradient counts a repeated index once",
    only: "take",
    told: /^take, gradients, \[7\] \[3\] axis 0: gradient$/,
    spoil: (answer, { inputs, gradient }) => ({
      ...answer,
      gradients: answer.gradients?.map((one) => {
        const last = new Map(Array.from(inputs[1].data, (at, i) => [at, gradient!.cotangents[0].data[i]]));
        return inputs[0].shape.length === 1
          ? { ...one, data: Array.from(one.data, (_, at) => last.get(at) ?? 0) }
          : one;
      }),
    }),
  },
  {
    what: "padding that loses the sign of zero",
    only: "pad",
    told: /^pad, specials, special numbers: value$/,
    spoil: (answer) => ({ ...answer, outputs: mapped(answer.outputs, (x) => x + 0) }),
  },
  {
    what: "a convolution whose gradient forgets its dilation",
    only: "conv2dOfGroups",
    told: /^conv2dOfGroups, gradients, .*"?dilation \[2, 2\].*: zero gradient$/,
    spoil: (answer, request) => ({
      ...answer,
      gradients: mapped(answer.gradients ?? [], (x) => (String(told(request).attributes.dilation) === "2,2" ? 0 : x)),
    }),
  },
  {
    what: "a maximum over windows that counts padding as zeros",
    only: "maxPool2dPadded",
    told: /^maxPool2dPadded, shapes, below zero: value$/,
    spoil: (answer) => ({ ...answer, outputs: mapped(answer.outputs, (x) => Math.max(x, 0)) }),
  },
  {
    what: "a network whose parameter in two places gets half its gradient",
    only: "tied weights",
    told: /^tied weights, programs, step by step: gradient$/,
    spoil: (answer) => ({ ...answer, gradients: mapped(answer.gradients ?? [], (x) => x / 2) }),
  },
  {
    what: "a parameter that shows its next value before it changes",
    only: "a parameter read before it changes",
    told: /^a parameter read before it changes, updates, compiled: value$/,
    spoil: (answer, { compiled }) => ({
      outputs: answer.outputs.map((one, n) => (compiled && n === 1 ? (answer.outputs[4] ?? one) : one)),
    }),
  },
  {
    what: "an update that is lost",
    only: "momentum",
    told: /^momentum, updates, step by step: value$/,
    spoil: (answer, { inputs }) => ({ outputs: [...answer.outputs.slice(0, -1), inputs[5]] }),
  },
];

describe("the conformance suite", () => {
  test("finds nothing in the reference device, and nothing in the cpu device", async () => {
    const only = ["exp", "maximum", "softplus", "sign", "round"];
    const cpu = await openEngine("hico");
    for (const engine of [right, cpu]) {
      const report = await checkEngine(engine, { only, seed: 3 });
      assert.deepEqual(faultsOf(report), []);
      assert.ok(report.asked > 100);
    }
    await cpu.close?.();
  });

  test("finds nothing in what each family of whole arrays asks", async () => {
    const only = ["argmin", "variance", "logSumExp", "logSoftmax", "layerNormAffine", "matmulOfVectors"];
    only.push(
      "sliceBy",
      "concat",
      "gather",
      "where",
      "conv2dOfGroups",
      "maxPool2dPadded",
      "tied weights",
      "Adam",
      "places",
    );
    const cpu = await openEngine("hico");
    for (const engine of [right, cpu]) {
      const report = await checkEngine(engine, { only, seed: 3 });
      assert.deepEqual(faultsOf(report), []);
      assert.ok(report.asked > 200);
      assert.deepEqual(report.absent, []);
    }
    await cpu.close?.();
  });

  for (const { what, only, told, spoil } of PLANTED) {
    test(`${what} is found`, async () => {
      const faults = faultsOf(await checkEngine(spoiled(spoil), { only: [only] }));
      const lines = faults.map(
        ({ operation, aspect, case: name, kind }) => `${operation}, ${aspect}, ${name}: ${kind}`,
      );
      assert.ok(
        lines.some((line) => told.test(line)),
        lines.join("\n"),
      );
    });
  }

  test("what is to be compiled is asked of engines that compile", async () => {
    const only = ["a running mean"];
    assert.equal((await checkEngine(right, { only })).asked, 2);
    assert.equal((await checkEngine({ ...right, compiles: false }, { only })).asked, 1);
  });

  test("a value that overflows is told with the operand at which it does", async () => {
    const naive = spoiled((answer, { inputs, gradient }) =>
      gradient ? answer : { outputs: mapped(answer.outputs, (x, i) => (inputs[0].data[i] > 80 ? Infinity : x)) },
    );
    const faults = faultsOf(await checkEngine(naive, { only: ["sigmoid"] }));
    assert.deepEqual(new Set(faults.map(({ kind }) => kind)), new Set(["value"]));
    assert.match(faults[0].code, /v0 = \[(Infinity|3.4028235e\+38|100|80)\]/);
  });

  test("a gradient of zeros is told as such, and a wrong one as wrong", async () => {
    const zero = spoiled((answer) => ({ ...answer, gradients: mapped(answer.gradients ?? [], () => 0) }));
    const faults = faultsOf(await checkEngine(zero, { only: ["tanh"] }));
    assert.ok(faults.length > 0 && faults.every(({ kind }) => kind === "zero gradient"));
    const off = spoiled((answer) => ({ ...answer, gradients: mapped(answer.gradients ?? [], (x) => 1.001 * x) }));
    assert.ok(faultsOf(await checkEngine(off, { only: ["tanh"] })).some(({ kind }) => kind === "gradient"));
  });

  test("another subgradient at a kink is a note, one outside the slopes a fault", async () => {
    const at = (slope: number) =>
      spoiled((answer, { inputs }) => ({
        ...answer,
        gradients: mapped(answer.gradients ?? [], (x, i) => (inputs[0].data[i] === 0 ? slope : x)),
      }));
    assert.deepEqual(faultsOf(await checkEngine(at(0.5), { only: ["relu"] })), []);
    const [{ kind, case: name }] = faultsOf(await checkEngine(at(2), { only: ["relu"] }));
    assert.deepEqual([kind, name], ["gradient", "at the kink 0"]);
  });

  test("refusals, missing operations and an engine that does not answer are told", async () => {
    const refusing = spoiled(() => {
      throw new Error("not today\nat line 3");
    });
    const refused = await checkEngine(refusing, { only: ["floor"] });
    assert.ok(refused.findings.every(({ kind, message }) => kind === "refusal" && message === "not today"));
    const lacking = await checkEngine({ ...right, operations: new Set(["floor"]) }, { only: ["floor", "ceil"] });
    assert.deepEqual([lacking.absent, lacking.findings], [["ceil"], []]);
    const silent = spoiled((answer, { inputs }) => (inputs[0].shape.length === 3 ? new Promise(() => {}) : answer));
    const kinds = new Set(
      (await checkEngine(silent, { only: ["trunc"], timeout: 20 })).findings.map(({ kind }) => kind),
    );
    assert.deepEqual(kinds, new Set(["no answer"]));
  });

  test("what is told is a table and lines to type in", async () => {
    const wrong = spoiled((answer) => ({ ...answer, outputs: mapped(answer.outputs, (x) => x + 1) }));
    const report = await checkEngine(wrong, { only: ["ceil"] });
    assert.match(conformanceText(report), /ceil {2}.*0 of 2[^]*v1 = ceil\(v0\)[^]*output is .*, and should be/);
    assert.match(conformanceMarkdown(report), /\| ceil \| 0 of 2 \|[^]*```\nv0 = /);
    await assert.rejects(checkEngine(right, { only: ["nothing"] }), /no operation's name has nothing in it/);
  });

  test("jax-js: softplus overflows, and the gradient of sigmoid far to the left is NaN", async () => {
    const report = await checkEngine(await openEngine("jax-js"), { only: ["softplus", "sigmoid"] });
    assert.equal(report.version, "0.1.25");
    const told = faultsOf(report).map(({ operation, aspect, message }) => `${operation} ${aspect} ${message}`);
    assert.ok(
      told.some((line) => /^softplus edges output.* is Infinity, and should be 100/.test(line)),
      told.join("\n"),
    );
    assert.ok(
      told.some((line) => /^sigmoid edges gradient.* is NaN/.test(line)),
      told.join("\n"),
    );
  });
});
