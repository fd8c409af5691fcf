/**
 * The form of every elementwise op: what it computes on devices, said once to a builder. The printers of WGSL and of
 * WebAssembly are builders; an op is something that a builder has by its own hand, or a form of such things here.
 */
import { atan, erf, quarterTurned, sigmoid, tanh } from "./mathematics.ts";
import type { FormBuilder } from "./builder.ts";
import { GELU_C } from "./values.ts";
import type { ElementwiseName } from "./values.ts";

/** An op's value from its operands, which are names or constants: using one twice costs nothing. */
type Form = <V>(b: FormBuilder<V>, x: V, y: V, z: V) => V;

/** x · (1 + s) / 2: GELU, of the erf or the tanh that it is made of. */
const halfOf = <V>(b: FormBuilder<V>, x: V, s: V): V => b.mul(b.mul(x, b.const(0.5)), b.add(s, b.const(1)));

/** What a builder has by its own hand and is the op as it stands: of NaN, `exp` and `sign` may make a number. */
type Primitive = Exclude<keyof FormBuilder<unknown>, "exp" | "sign">;

/** The ops that no builder has by itself; the type checker asks for all of them, and for no others. */
export const FORMS: Readonly<Record<Exclude<ElementwiseName, Primitive>, Form>> = {
  square: (b, x) => b.mul(x, x),
  reciprocal: (b, x) => b.div(b.const(1), x),
  sign: (b, x) => b.carrying(b.sign(x), x),
  rsqrt: (b, x) => b.div(b.const(1), b.sqrt(x)),

  exp: (b, x) => b.carrying(b.exp(x), x),
  sin: (b, x) => quarterTurned(b, x, 0),
  cos: (b, x) => quarterTurned(b, x, 1),
  tan: (b, x) => b.div(quarterTurned(b, x, 0), quarterTurned(b, x, 1)),
  atan,
  tanh: (b, x) => b.carrying(tanh(b, x), x),
  erf: (b, x) => b.carrying(erf(b, x), x),

  sigmoid,
  softplus: (b, x) => b.carrying(b.add(b.pmax(x, b.const(0)), b.log1p(b.exp(b.neg(b.abs(x))))), x),
  relu: (b, x) => b.pmax(x, b.const(0)),
  elu: (b, x) => b.carrying(b.where(b.gt(x, b.const(0)), x, b.expm1(b.pmin(x, b.const(0)))), x),
  silu: (b, x) => b.mul(x, sigmoid(b, x)),
  gelu: (b, x) => halfOf(b, x, erf(b, b.mul(x, b.const(Math.SQRT1_2)))),
  geluTanh: (b, x) => {
    const cubic = b.mul(b.mul(b.mul(x, x), x), b.const(0.044715));
    return halfOf(b, x, tanh(b, b.mul(b.add(x, cubic), b.const(GELU_C))));
  },
};

/** An op's value: by its form, or as the builder has it. */
export function formOf<V>(b: FormBuilder<V>, name: ElementwiseName, x: V, y: V, z: V): V {
  return name in FORMS
    ? FORMS[name as keyof typeof FORMS](b, x, y, z)
    : b[name as Exclude<typeof name, keyof typeof FORMS>](x, y, z);
}
