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
