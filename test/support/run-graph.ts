/** A random graph on a device: traced, replayed from the plan cache, and compiled, each held to the expected values. */
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import { type Tensor, compile, realize, setDefaultDevice } from "../../src/tensor/index.ts";
import { pendingList, forget, readValues } from "../../src/tensor/program/realize.ts";
import { buildProgram, expectedOf, mismatch } from "./random-graph.ts";
import type { Built, Expected, Program } from "./random-graph.ts";

export interface Outcome {
  /** What was wrong; empty where nothing was. */
  readonly failures: readonly string[];
  readonly compared: number;
  /** Comparisons whose tolerance says little. */
  readonly loose: number;
}

/** Outputs and gradients, then assigned variables. */
async function valuesOf(built: Built, program: Program): Promise<HostArray[]> {
  const results: HostArray[] = [];
  await realize(built.wanted.map((w) => w.tensor));
  for (const { tensor } of built.wanted) results.push(await readValues(tensor));
  for (const { variable } of program.assignments)
    results.push(await readValues(built.variables.find((v) => v.step === variable)!.variable));
  return results;
}

/** The same by `compile`, whose inputs are the floating data leaves. */
async function compiledValues(program: Program): Promise<HostArray[]> {
  const inputs = program.steps.flatMap((s, i) => (s.leaf && !s.variable && s.leaf.dtype === "f32" ? [i] : []));
  // Made outside: a variable's first value is not part of the step.
  const outside = buildProgram({ ...program, assignments: [] }, true);
  await realize(outside.variables.map((v) => v.variable));
  const step = compile((...tensors: Tensor[]) => {
    const given = new Map(inputs.map((i, k) => [i, tensors[k]]));
    const built = buildProgram(
      { ...program, assignments: [] },
      false,
      new Map([...given, ...outside.variables.map((v) => [v.step, v.variable] as const)]),
    );
    for (const { variable, value } of program.assignments) {
      outside.variables.find((v) => v.step === variable)!.variable.assign(built.values[value]);
    }
    return built.wanted.map((w) => w.tensor);
  });
  const data = inputs.map((i) => {
    const { leaf } = program.steps[i];
    return buildProgram(
      { seed: 0, steps: [{ name: "", inputs: [], leaf }], outputs: [0], gradients: [], second: false, assignments: [] },
      false,
    ).values[0];
  });
  const results = await step(...data);
  const values: HostArray[] = [];
  for (const t of results) values.push(await readValues(t));
  for (const { variable } of program.assignments)
    values.push(await readValues(outside.variables.find((v) => v.step === variable)!.variable));
  return values;
}

/** Runs the program on `device` and compares. `thorough` also replays it, and runs it compiled. */
export async function runProgram(program: Program, device: Backend, thorough: boolean): Promise<Outcome> {
  const expected = expectedOf(program);
  const failures: string[] = [];
  const compare = (how: string, found: readonly HostArray[], list: readonly Expected[] = expected): void => {
    found.forEach((values, i) => {
      const message = mismatch(list[i], values);
      if (message) failures.push(`${how}: ${message}`);
    });
  };
  setDefaultDevice(device);
  try {
    const first = await valuesOf(buildProgram(program, true), program);
    compare(device.name, first);
    if (thorough) {
      const again = await valuesOf(buildProgram(program, true), program);
      again.forEach((values, i) => {
        const at = values.findIndex((v, k) => !Object.is(v, first[i][k]));
        if (at >= 0)
          failures.push(
            `replayed: ${expected[i].name}: element ${at} is ${values[at]}, the first time ${first[i][at]}`,
          );
      });
      compare("compiled", await compiledValues(program));
    }
  } catch (error) {
    failures.push(`${device.name}: ${(error as Error).stack ?? String(error)}`);
  } finally {
    forget(pendingList());
    setDefaultDevice(undefined);
  }
  return { failures, compared: expected.length, loose: expected.filter((e) => e.loose).length };
}

/** The reference device must give exactly what evaluating the graph gave: variables and plans add nothing to it. */
export async function checkReference(program: Program): Promise<string[]> {
  const exact = expectedOf(program).map((e) => ({ ...e, tolerance: 0 }));
  const device = new ReferenceDevice();
  setDefaultDevice(device);
  try {
    const found = await valuesOf(buildProgram(program, true), program);
    return found.flatMap((values, i) => mismatch(exact[i], values) ?? []);
  } catch (error) {
    return [`reference: ${(error as Error).stack ?? String(error)}`];
  } finally {
    forget(pendingList());
    setDefaultDevice(undefined);
  }
}
