/** The cases of operations on whole arrays: each question's value, gradient and second derivative. */
import { zeros } from "../../../tensor/create.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import { Numbers } from "../draw.ts";
import type { EngineAttributes, EngineRequest, PlainArray } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { ArrayRow, GivenOperand, Question } from "./array-row.ts";
import type { ConformanceCase } from "./case.ts";

/** All cases of one row. */
export function arrayCases(seed: number, stream: number, operation: string, row: ArrayRow): ConformanceCase[] {
  const draw = new Numbers(seed, stream);
  const differentiable = row.differentiable ?? true;

  const drawn = (operand: Question["of"][number]): PlainArray => {
    const { shape, data, dtype, interval = row.interval ?? [-3, 3] } = isGiven(operand) ? operand : { shape: operand };
    return plain(data?.map(Math.fround) ?? draw.floats(sizeOf(shape), interval), shape, dtype);
  };

  /** The value, then the gradient, then the second derivative, as far as they are asked for. */
  const casesOf = (question: Question): ConformanceCase[] => {
    const { of, with: attributes = {}, name = nameOf(question), smaller = [] } = question;
    const { relative, absolute, signed, otherwise } = question;
    const inputs = of.map(drawn);
    const { shape } = row.meaning(attributes, ...inputs.map((input) => zeros(input.shape, input.dtype)));
    const request: EngineRequest = {
      ...{ inputs, outputs: [inputs.length] },
      steps: [{ op: operation, of: [...inputs.keys()], with: attributes }],
    };
    const told = { ...{ operation, name, scaled: true }, ...defined({ relative, absolute }) };
    const alone = { scaled: signed !== true, signed };
    const empty = sizeOf(shape) === 0 || inputs.some((input) => sizeOf(input.shape) === 0);
    const cases: ConformanceCase[] = [];
    const add = (one: ConformanceCase): void => {
      const nth = cases.length;
      cases.push(smaller.length === 0 ? one : { ...one, smaller: () => [smaller.map((q) => casesOf(q)[nth])] });
    };
    const { values = empty ? "empty" : "shapes", gradients = "gradients" } = question;
    if (values !== null) {
      const known = row.plain?.(attributes, ...inputs);
      add({ ...told, ...alone, aspect: values, request, outputs: known && [known] });
    }
    if (!differentiable || gradients === null || sizeOf(shape) === 0) return cases;
    const weights = (size: number): number[] => draw.weights(size);
    const cotangent = plain(question.plainSum ? new Array(sizeOf(shape)).fill(1) : weights(sizeOf(shape)), shape);
    const held = (operand: Question["of"][number]): boolean => isGiven(operand) && operand.held === true;
    const floats = [...inputs.keys()].filter((n) => inputs[n].dtype === "f32" && !held(of[n]));
    const gradient = { of: floats, cotangents: [cotangent] };
    add({ ...told, aspect: gradients, otherwise, request: { ...request, gradient } });
    if (!question.second) return cases;
    // The square makes the gradient depend on the operands also where the operation is linear.
    const steps = [...request.steps, { op: "mul", of: [inputs.length, inputs.length] }];
    const directions = floats.map((n) => plain(weights(sizeOf(inputs[n].shape)), inputs[n].shape));
    add({
      ...{ ...told, relative: 5e-5, absolute: 5e-6, aspect: "second" },
      request: { inputs, steps, outputs: [inputs.length + 1], gradient: { ...gradient, directions } },
    });
    return cases;
  };
  return row.questions.flatMap(casesOf);
}

const isGiven = (operand: Question["of"][number]): operand is GivenOperand => !Array.isArray(operand);

/** Shapes and attributes. */
function nameOf({ of, with: attributes = {} }: Question): string {
  const shapes = of.map((operand) => `[${isGiven(operand) ? operand.shape : operand}]`);
  return [...shapes, ...Object.entries(attributes).map(([key, value]) => `${key} ${written(value)}`)].join(" ");
}

const written = (value: EngineAttributes[string]): string => JSON.stringify(value).replaceAll(",", ", ");

/** Without what is undefined, which would hide a default. */
function defined<T extends object>(some: T): Partial<T> {
  return Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined)) as Partial<T>;
}
