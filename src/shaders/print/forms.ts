/**
 * The builder of forms in WGSL: what the elementwise ops are, for one value and for four. Compilers may take for granted
 * that nothing is NaN or infinite, so what is special is decided on bits.
 */
import type { FormBuilder } from "../../tensor/elementwise/builder.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { DType } from "../../tensor/dtype.ts";
import { formOf } from "../../tensor/elementwise/forms.ts";
import { VALUES } from "../../tensor/elementwise/values.ts";
import type { ElementwiseName } from "../../tensor/elementwise/values.ts";
import { literal, typeName } from "./types.ts";

type Lanes = 1 | 4;

/** What the function of a form begins with: the values that the form named, and the helpers that it calls. */
class Statements {
  readonly lines: string[] = [];
  constructor(readonly helpers: Set<string>) {}

  name(value: string): string {
    if (/^\w+$/.test(value)) return value;
    const name = `v${this.lines.length}`;
    this.lines.push(`  let ${name} = ${value};`);
    return name;
  }
}

const infix = (symbol: string) => (x: string, y: string) => `(${x} ${symbol} ${y})`;
const call = (name: string) => (x: string) => `${name}(${x})`;
// By selection, which counts subnormal numbers as 0: SwiftShader's `min` and `max` take as long as its `exp`.
const smaller = (x: string, y: string) => `select(${x}, ${y}, ${y} < ${x})`;
const larger = (x: string, y: string) => `select(${x}, ${y}, ${x} < ${y})`;

const OPERATORS = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  div: infix("/"),
  abs: call("abs"),
  sqrt: call("sqrt"),
  floor: call("floor"),
  ceil: call("ceil"),
  trunc: call("trunc"),
  round: call("round"),
  sign: call("sign"),
  exp: call("exp"),
  eq: infix("=="),
  // As the opposite of equality: `!=` of what is no number may be false.
  ne: (x: string, y: string) => `!(${x} == ${y})`,
  lt: infix("<"),
  le: infix("<="),
  gt: infix(">"),
  ge: infix(">="),
  and: infix("&"),
  or: infix("|"),
  not: (x: string) => `!(${x})`,
  where: (mask: string, x: string, y: string) => `select(${y}, ${x}, ${mask})`,
  bitAnd: infix("&"),
  bitOr: infix("|"),
  bitXor: infix("^"),
  multiplyAdd: (x: string, y: string, z: string) => `fma(${x}, ${y}, ${z})`,
  negativeMultiplyAdd: (x: string, y: string, z: string) => `fma(-${x}, ${y}, ${z})`,
  pmin: smaller,
};

function wgslForms(statements: Statements, lanes: Lanes, dtype: DType): FormBuilder<string> {
  const type = (scalar: string) => typeName(scalar, lanes);
  const splat = (value: number, of: DType) => (lanes === 1 ? literal(value, of) : `${type(of)}(${literal(value, of)})`);
  const float = (value: number) => splat(value, "f32");
  const word = (value: number) => splat(value, "u32");
  const bits = (x: string) => `bitcast<${type("u32")}>(${x})`;
  const fromBits = (x: string) => `bitcast<${type("f32")}>(${x})`;
  const name = (value: string) => statements.name(value);
  const size = (x: string) => `(${bits(x)} & ${word(0x7fffffff)})`;
  const notANumber = (x: string) => `(${size(x)} > ${word(0x7f800000)})`;
  const carrying = (value: string, x: string) => `select(${value}, ${x}, ${notANumber(x)})`;
  /** The larger or smaller of two, subnormal numbers too; of floats the first that is not a number. */
  const extreme = (chosen: string) => (x: string, y: string) => {
    const value = `${chosen}(${x}, ${y})`;
    return isFloat(dtype) ? carrying(carrying(value, y), x) : value;
  };
  const shift = (symbol: string) => (x: string, y: string) => `(${x} ${symbol} ${type("u32")}(${y}))`;
  /** A call of a function whose text, and what that calls, `helpers.ts` has under these names. */
  const calling = (text: string, ...needed: string[]) => {
    for (const helper of needed) statements.helpers.add(helper);
    return text;
  };

  return {
    ...OPERATORS,
    const: float,
    name,
    floorDiv: (x, y) => calling(`floor_div_${dtype}_${lanes}(${x}, ${y})`, "floorDiv"),
    mod: (x, y) => calling(`floor_mod_${dtype}_${lanes}(${x}, ${y})`, "floorDiv"),
    neg: (x) => (dtype === "u32" ? `(~${x} + ${word(1)})` : `(-${x})`),
    maximum: extreme("max"),
    minimum: extreme("min"),
    isNaN: notANumber,
    isFinite: (x) => `(${size(x)} < ${word(0x7f800000)})`,
    shiftLeft: shift("<<"),
    shiftRight: shift(">>"),
    expm1: (x) => calling(`expm1_${lanes}(${x})`, "expm1"),
    log: (x) => calling(`log_${lanes}(${x})`, "log"),
    log1p: (x) => calling(`log1p_${lanes}(${x})`, "log", "log1p"),
    // The bits of −0 to −∞ follow each other, and what follows them is no number.
    pmax: (x, y) =>
      y === float(0) ? `select(${x}, ${y}, (${bits(x)} - ${word(0x80000000)}) <= ${word(0x7f800000)})` : larger(x, y),
    pow: (x, y) => calling(`power_${lanes}(${x}, ${y})`, "power"),
    withSign: (x, y) => fromBits(`${bits(x)} | (${bits(y)} & ${word(0x80000000)})`),
    turned: (n, quarters, odd, even) => {
      // The low bits of a sum: a conversion, which has to hold for all floats, takes several instructions.
      const k = name(bits(`${n} + ${float(1.5 * 2 ** 23 + quarters)}`));
      const holds = (bit: number) => `(${k} & ${word(bit)}) != ${word(0)}`;
      const value = name(`select(${odd}, ${even}, ${holds(1)})`);
      return `select(${value}, -${value}, ${holds(2)})`;
    },
    carrying,
    above: (low, x, value) => {
      const end = float(low);
      return carrying(`select(${value(larger(x, end))}, ${float(0)}, ${x} < ${end})`, x);
    },
  };
}

/** A builder over four floats, and the statements that what it has built begins with. */
export function vectorForms(): { forms: FormBuilder<string>; statements: readonly string[] } {
  const statements = new Statements(new Set());
  return { forms: wgslForms(statements, 4, "f32"), statements: statements.lines };
}

/** An op of these operands, each a name or a literal; `helpers` is told what the text calls. */
export function formText(
  name: ElementwiseName,
  operands: readonly string[],
  lanes: Lanes,
  dtype: DType,
  helpers: Set<string>,
): string {
  const statements = new Statements(helpers);
  const [x, y = "", z = ""] = operands;
  const text = formOf(wgslForms(statements, lanes, dtype), name, x, y, z);
  if (statements.lines.length === 0) return text;
  helpers.add(name);
  return `${name}_${lanes}(${x})`;
}

/** The function of floats that an op is, in both widths. What it calls is what `formText` says of the op. */
export function formFunctions(name: ElementwiseName): string {
  const operands = ["x", "y", "z"].slice(0, VALUES[name].arity);
  return ([1, 4] as const)
    .map((lanes) => {
      const statements = new Statements(new Set());
      const value = formOf(wgslForms(statements, lanes, "f32"), name, "x", "y", "z");
      const type = typeName("f32", lanes);
      const lines = [...statements.lines, `  return ${value};`].join("\n");
      return `fn ${name}_${lanes}(${operands.map((x) => `${x}: ${type}`).join(", ")}) -> ${type} {\n${lines}\n}`;
    })
    .join("\n");
}
