/**
 * The door: what plain JavaScript hands in is looked at before it enters the graph.
 *
 * Types keep TypeScript's users from most of this. Everybody else is told which op, which argument and what to write
 * instead, at the call that made the mistake.
 */
import { checkDType, isFloat } from "../dtype.ts";
import { Tensor } from "../tensor.ts";

/** A value as an error names it, with what to do about it where that is plain. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "string") return `the string ${JSON.stringify(value.slice(0, 40))}`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return `the bigint ${value}n (write Number(…))`;
  if (typeof value === "function") return `a function${value.name ? ` (${value.name})` : ""}; call it first`;
  if (typeof value === "symbol") return String(value);
  if (value instanceof Tensor) return value.label();
  if (typeof (value as PromiseLike<unknown>).then === "function") return "a Promise; await it first";
  if (Array.isArray(value)) return `an array of ${value.length}; make it a tensor with tensor([…])`;
  if (ArrayBuffer.isView(value)) {
    return `a ${(value as { constructor: { name: string } }).constructor.name}; make it a tensor with tensor(array)`;
  }
  const keys = Object.keys(value).slice(0, 4);
  const kind = (value as { constructor?: { name?: string } }).constructor?.name ?? "object";
  return `${kind === "Object" ? "an object" : `a ${kind}`}${keys.length ? ` {${keys.join(", ")}}` : ""}`;
}

/** Throws unless the argument is a tensor. */
export function requireTensor(op: string, argument: string, value: unknown): asserts value is Tensor {
  if (value instanceof Tensor) return;
  throw new TypeError(`${op}: ${argument} must be a tensor, not ${describeValue(value)}`);
}

/** Throws unless the tensor is of the dtype that was named. */
export function requireSameDType(op: string, x: Tensor, dtype: unknown): void {
  checkDType(op, dtype);
  if (dtype === x.dtype) return;
  throw new Error(`${op}: ${x.label()} is not ${dtype}; ${op}("${x.dtype}"), or cast it: .cast("${dtype}")`);
}

/** Throws unless the dtype is a floating one. */
export function requireFloat(op: string, x: Tensor): void {
  requireTensor(op, "x", x);
  if (!isFloat(x.dtype)) throw new Error(`${op}: takes floating tensors, not ${x.dtype}`);
}

/** Throws unless the argument is a function. */
export function requireFunction(op: string, value: unknown): void {
  if (typeof value !== "function") throw new TypeError(`${op}: takes a function, not ${describeValue(value)}`);
}

/** Throws unless the argument is a number. */
export function requireNumber(op: string, argument: string, value: unknown): asserts value is number {
  if (typeof value === "number") return;
  throw new TypeError(`${op}: ${argument} must be a number, not ${describeValue(value)}`);
}

/** Throws unless the argument is a whole number of at least `least`. */
export function requireCount(op: string, argument: string, value: unknown, least = 0): asserts value is number {
  if (Number.isSafeInteger(value) && (value as number) >= least) return;
  throw new TypeError(`${op}: ${argument} must be an integer ≥ ${least}, not ${describeValue(value)}`);
}

/** Throws unless the argument is true, false or left out. */
export function requireFlag(op: string, argument: string, value: unknown, hint = ""): void {
  if (typeof value === "boolean" || value === undefined) return;
  throw new TypeError(`${op}: ${argument} must be true or false, not ${describeValue(value)}${hint}`);
}

/** Throws unless the argument is an array of tensors, at least one. */
export function requireTensors(op: string, argument: string, value: unknown): asserts value is readonly Tensor[] {
  if (!Array.isArray(value)) {
    const given = value instanceof Tensor ? "a tensor" : describeValue(value);
    throw new TypeError(`${op}: ${argument} must be an array of tensors, not ${given}; write ${op}([a, b])`);
  }
  if (value.length === 0) throw new Error(`${op}: needs at least one tensor`);
  value.forEach((item, i) => requireTensor(op, `${argument}[${i}]`, item));
}

/** Throws unless `options` is an object (or left out) with no key but the known ones. */
export function checkOptions(op: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  if (options === null || typeof options !== "object" || Array.isArray(options) || options instanceof Tensor) {
    const example = `{ ${known[0]}: … }`;
    throw new TypeError(`${op}: options must be an object such as ${example}, not ${describeValue(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = known.find((k) => likeness(k, key));
    throw new TypeError(
      `${op}: there is no option "${key}"${near ? `; did you mean "${near}"?` : ""} (options: ${known.join(", ")})`,
    );
  }
}

/** Whether one name is the other but for case, separators, or up to two letters. */
function likeness(a: string, b: string): boolean {
  const [x, y] = [a, b].map((s) => s.toLowerCase().replaceAll(/[^a-z0-9]/g, ""));
  let row = Array.from({ length: y.length + 1 }, (_, j) => j);
  for (let i = 1; i <= x.length; i++) {
    const next = [i];
    for (let j = 1; j <= y.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (x[i - 1] === y[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[y.length] <= Math.min(2, Math.floor(x.length / 2));
}
