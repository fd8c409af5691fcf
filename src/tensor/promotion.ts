/**
 * Operands of several dtypes, as PyTorch has it: which dtype they meet in, and what a plain number is among them.
 *
 * `build.apply` takes operands of one dtype; here they are cast to it. The rules stand in docs/dtypes.md.
 */
import * as build from "./build.ts";
import { describeValue, requireNumber, requireTensor } from "./door/door.ts";
import type { DType } from "./dtype.ts";
import { holds, INTEGER_RANGE, isFloat, numberType, resultType } from "./dtype.ts";
import { VALUES } from "./elementwise/values.ts";
import type { ElementwiseName } from "./elementwise/values.ts";
import type { Node } from "./node.ts";
import { Tensor } from "./tensor.ts";
import type { Operand } from "./tensor.ts";

/** Ops that leave whole numbers as they are. */
const WHOLE = new Set<ElementwiseName>(["floor", "ceil", "trunc", "round"]);
const COMPARISONS = new Set<ElementwiseName>(["eq", "ne", "lt", "le", "gt", "ge"]);
const BITWISE = new Set<ElementwiseName>(["bitAnd", "bitOr", "bitXor", "shiftLeft", "shiftRight"]);
/** What arithmetic and bits are among bools: they add up to "either" and multiply to "both". */
const LOGIC: Partial<Record<ElementwiseName, ElementwiseName>> = {
  add: "or",
  maximum: "or",
  bitOr: "or",
  mul: "and",
  minimum: "and",
  bitAnd: "and",
  bitXor: "ne",
};

/** The node of a constant; NaN, which kernels cannot spell, is data. */
export function constant(value: number, dtype: DType): Node {
  if (!Number.isNaN(value) || !isFloat(dtype)) return build.full([], value, dtype);
  const data = dtype === "f64" ? Float64Array.of(NaN) : Float32Array.of(NaN);
  return build.makeNode({ kind: "data", data }, [], [], dtype);
}

function requireOperand(op: string, argument: string, value: unknown): asserts value is Operand {
  if (typeof value === "number" || value instanceof Tensor) return;
  throw new TypeError(`${op}: ${argument} must be a tensor or a number, not ${describeValue(value)}`);
}

/** An op on one tensor. Functions of real numbers take integers and bools as f32. */
export function unary(name: ElementwiseName, x: Tensor): Tensor {
  if (isFloat(x.dtype)) return new Tensor(build.apply(name, [x.node]));
  if (WHOLE.has(name)) return x;
  if (x.dtype !== "bool" && name === "relu") return binary("maximum", x, 0);
  if (x.dtype !== "bool" && name === "sign") return x.gt(0).cast(x.dtype).sub(x.lt(0).cast(x.dtype));
  if (x.dtype === "bool" && name === "square") return x.cast("i32").square();
  const to = VALUES[name].takes === "float" ? "f32" : x.dtype;
  return new Tensor(build.apply(name, [build.cast(x.node, to)]));
}

export function clamp(x: Tensor, low: number, high: number): Tensor {
  requireNumber("clamp", "low", low);
  requireNumber("clamp", "high", high);
  const within = x.maximum(low).minimum(high);
  // Within the bounds, and at them, it is x itself, whose gradient is whole; where maximum meets its bound it would
  // be shared.
  return isFloat(x.dtype) ? x.ge(low).and(x.le(high)).where(x, within.detach()) : within;
}

/** An op on a tensor and a tensor or number, in the dtype they meet in. */
export function binary(name: ElementwiseName, x: Tensor, y: Operand): Tensor {
  requireOperand(name, "the operand", y);
  if (typeof y === "number") {
    if (COMPARISONS.has(name) && !isFloat(x.dtype)) return compareWithNumber(name, x, y);
    const dtype =
      BITWISE.has(name) || name === "and" || name === "or" ? integerOperand(name, x, y) : numberType(y, x.dtype);
    return inDType(name, dtype, x.node, (to) => constant(y, to));
  }
  const dtype = resultType(name, [x, y]);
  return inDType(name, dtype, x.node, (to) => build.cast(y.node, to));
}

/** Bits are those of the tensor's own dtype: a number must be one of its values, and places are those that there are. */
function integerOperand(name: ElementwiseName, x: Tensor, y: number): DType {
  const shifts = name.startsWith("shift");
  // 0xffffffff and the like are the bits of an i32 too.
  const fits = shifts ? (y & 31) === y : holds("u32", y) || holds("i32", y);
  if (x.dtype === "bool" || isFloat(x.dtype) || fits) return x.dtype;
  throw new Error(`${name}: the operand must be a whole number ${shifts ? "from 0 to 31" : "of 32 bits"}, not ${y}`);
}

function inDType(name: ElementwiseName, dtype: DType, x: Node, y: (to: DType) => Node): Tensor {
  let to = dtype;
  if (!isFloat(dtype)) {
    if (VALUES[name].takes === "float") to = "f32";
    else if (dtype === "bool") {
      // Their order is that of 0 and 1.
      if (name === "sub") {
        throw new Error(`sub: bools have no difference; write a.ne(b) for "exactly one", or cast with .cast("i32")`);
      }
      if (COMPARISONS.has(name) && name !== "eq" && name !== "ne") to = "i32";
      if (name === "floorDiv" || name === "mod") to = "i32";
      const logic = LOGIC[name];
      if (logic) return new Tensor(build.apply(logic, [x, y("bool")]));
    }
  }
  return new Tensor(build.apply(name, [build.cast(x, to), y(to)]));
}

/** An integer (or bool) tensor against a number, compared as the real numbers they are. */
function compareWithNumber(name: ElementwiseName, x: Tensor, y: number): Tensor {
  if (x.dtype === "bool") return compareWithNumber(name, x.cast("i32"), y);
  const dtype = x.dtype as "i32" | "u32";
  if (holds(dtype, y)) return new Tensor(build.apply(name, [x.node, build.full([], y, dtype)]));
  const always = (value: boolean) => new Tensor(build.full(x.shape, value ? 1 : 0, "bool"));
  if (Number.isNaN(y)) return always(name === "ne");
  if (name === "eq" || name === "ne") return always(name === "ne");
  const below = name === "lt" || name === "le";
  const [low, high] = INTEGER_RANGE[dtype];
  if (y > high) return always(below);
  if (y < low) return always(!below);
  // Between two neighbours: x < y and x ≤ y are x ≤ ⌊y⌋.
  const [op, bound] = below ? (["le", Math.floor(y)] as const) : (["ge", Math.ceil(y)] as const);
  return new Tensor(build.apply(op, [x.node, build.full([], bound, dtype)]));
}

/** `condition ? x : y` in the dtype the two meet in; two numbers are f32. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  requireOperand("where", "x", x);
  requireOperand("where", "y", y);
  const tensors = [x, y].filter((t): t is Tensor => typeof t !== "number");
  let dtype: DType = tensors.length === 0 ? "f32" : resultType("where", tensors);
  for (const value of [x, y]) if (typeof value === "number") dtype = numberType(value, dtype);
  const node = (value: Operand) => (typeof value === "number" ? constant(value, dtype) : build.cast(value.node, dtype));
  return new Tensor(build.apply("where", [condition.node, node(x), node(y)]));
}

/** x^y. Small whole and half exponents become products and roots; whole powers of integers are exact, modulo 2^32. */
export function pow(x: Tensor, y: Operand): Tensor {
  requireOperand("pow", "the exponent", y);
  if (y === 1) return x.dtype === "bool" ? x.cast("i32") : x;
  if (y === 2) return x.square();
  if (y === 3) return x.mul(x.square());
  if (y === 0.5) return x.sqrt();
  const dtype = typeof y === "number" ? numberType(y, x.dtype) : resultType("pow", [x, y]);
  if (isFloat(dtype)) return y === -1 ? unary("reciprocal", x.cast(dtype)) : binary("pow", x.cast(dtype), y);
  if (typeof y === "number") {
    if (y >= 0) return wholePower(x.cast(dtype), y);
    throw new Error(`pow: integers have no power ${y} among integers; cast with .cast("f32")`);
  }
  return tensorPower(x.cast(dtype === "bool" ? "i32" : dtype), y.cast(dtype === "bool" ? "i32" : dtype));
}

function wholePower(x: Tensor, exponent: number): Tensor {
  let result = new Tensor(build.full(x.shape, 1, x.dtype));
  let square = x;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = result.mul(square);
    if (rest > 1) square = square.square();
  }
  return result;
}

/** Square and multiply, bit by bit. Negative exponents leave what of 1/x is whole: 1 and −1, else 0. */
function tensorPower(x: Tensor, y: Tensor): Tensor {
  const size = y.dtype === "i32" ? y.abs() : y;
  let result: Tensor = new Tensor(build.full([], 1, x.dtype));
  let square = x;
  for (let bit = 0; bit < 32; bit++) {
    result = result.mul(size.shiftRight(bit).bitAnd(1).eq(1).where(square, 1));
    square = square.square();
  }
  if (y.dtype !== "i32") return result;
  const unit = x.eq(1).or(x.eq(-1));
  return y.lt(0).where(unit.where(result, 0), result);
}

/** ⌊x / y⌋, of floats as well. */
export function floorDiv(x: Tensor, y: Operand): Tensor {
  return isFloat(meeting("floorDiv", x, y)) ? x.div(y).floor() : binary("floorDiv", x, y);
}

/**
 * x − y·⌊x / y⌋, of floats as well. Of these x / y may round up to a whole number, and y·⌊x / y⌋ past x: what that leaves
 * has the other sign than y, or is a multiple of it, and is reduced once more.
 */
export function mod(x: Tensor, y: Operand): Tensor {
  if (!isFloat(meeting("mod", x, y))) return binary("mod", x, y);
  const rest = (x: Tensor) => x.sub(x.div(y).floor().mul(y));
  return rest(rest(x));
}

function meeting(op: string, x: Tensor, y: Operand): DType {
  requireOperand(op, "the operand", y);
  return typeof y === "number" ? numberType(y, x.dtype) : resultType(op, [x, y]);
}

/** Checks the condition of `where` and `mask`. */
export function requireCondition(op: string, value: unknown): asserts value is Tensor {
  requireTensor(op, "the condition", value);
  if (value.dtype === "bool") return;
  throw new Error(`${op}: the condition must be bool, not ${value.dtype}; compare first, for example x.gt(0)`);
}
