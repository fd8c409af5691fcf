/** A request as a few lines that a person can read and type into any engine. */
import type { EngineRequest, EngineStep, PlainArray } from "./protocol.ts";

const MOST = 12;

/** Numbers of an array in the shortest form that is exact in float32, nested as its shape. */
function nested({ data, shape }: PlainArray): string {
  const list = Array.from(data);
  if (shape.length !== 1 && list.length > 4 * MOST) return `array of shape [${shape}]`;
  const write = (from: number, axis: number): string => {
    if (axis === shape.length) return short(list[from]);
    const stride = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const parts = Array.from({ length: Math.min(shape[axis], MOST) }, (_, i) => write(from + i * stride, axis + 1));
    return `[${parts.join(", ")}${shape[axis] > MOST ? `, … ${shape[axis]} in all` : ""}]`;
  };
  return write(0, 0);
}

function short(x: number): string {
  if (Object.is(x, -0)) return "-0";
  for (let digits = 1; digits < 9; digits++) {
    const text = Number(x.toPrecision(digits));
    if (Object.is(Math.fround(text), Math.fround(x))) return String(text);
  }
  return String(x);
}

/** The program, one value a line, and what is asked of it. */
export function reproduction({ inputs, steps, outputs, gradient, updates }: EngineRequest): string {
  const step = (number: number, { op, of, with: attributes = {} }: EngineStep): string => {
    const told = Object.entries(attributes).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
    return `v${number} = ${op}(${[...of.map((n) => `v${n}`), ...told].join(", ")})`;
  };
  const lines = [
    ...inputs.map((input, n) => `v${n} = ${nested(input)}`),
    ...steps.map((one, n) => step(inputs.length + n, one)),
  ];
  if (gradient) {
    const sum = outputs.map((n, i) => `⟨${nested(gradient.cotangents[i])}, v${n}⟩`).join(" + ");
    lines.push(`gradient of ${sum} with respect to ${gradient.of.map((n) => `v${n}`).join(", ")}`);
    if (gradient.directions) {
      lines.push(`and the gradient of ⟨direction, that⟩ along ${gradient.directions.map(nested).join(", ")}`);
    }
  } else lines.push(outputs.map((n) => `v${n}`).join(", "));
  if (updates) {
    const first = inputs.length + steps.length + (gradient?.of.length ?? 0);
    if (gradient) lines.push(`gradients are v${inputs.length + steps.length} to v${first - 1}`);
    lines.push(...updates.steps.map((one, n) => step(first + n, one)));
    lines.push(
      `${updates.times} times, with ${updates.next.map(({ input, value }) => `v${input} := v${value}`).join(", ")}`,
    );
  }
  return lines.join("\n");
}
