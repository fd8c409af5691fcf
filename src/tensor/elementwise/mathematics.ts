/**
 * Elementary functions of float32, said to a builder.
 *
 * Each reduces its argument to a short interval and evaluates a polynomial (tanh: a quotient of two) there. The
 * coefficients are minimax fits to the functions themselves, of the degree that leaves the error to float32's
 * rounding. Splitting constants in parts so that their products with small integers are exact is Cody and Waite's,
 * Software Manual for the Elementary Functions (1980).
 *
 * Errors are in units in the last place (ULP) of the result, the largest over dense sweeps of the WebAssembly
 * (test/wasm/print/math.test.ts), with and without fused multiply-add. NaN gives NaN by IEEE 754's arithmetic.
 */
import type { FormBuilder } from "./builder.ts";

/** c₀ + c₁x + c₂x² + … */
export function polynomial<V>(b: FormBuilder<V>, x: V, coefficients: readonly number[]): V {
  return b.name(coefficients.map((c) => b.const(c)).reduceRight((sum, c) => b.multiplyAdd(sum, x, c)));
}

/** The number within low…high. */
export const within = <V>(b: FormBuilder<V>, x: V, low: number, high: number): V =>
  b.name(b.pmax(b.pmin(x, b.const(high)), b.const(low)));

/** Here the quotient is above 1 by more than its rounding errors: cut to 1, it is exact from here on. */
const TANH_END = 10;

/** Hyperbolic tangent, x·P(x²)/Q(x²): 6 ULP; ±1 beyond ±10. */
export function tanh<V>(b: FormBuilder<V>, x: V): V {
  const inside = within(b, x, -TANH_END, TANH_END);
  const square = b.name(b.mul(inside, inside));
  const p = polynomial(b, square, [0.9999999772, 0.1337447379, 0.003487809426, 2.048116165e-5, 1.317749058e-8]);
  const q = polynomial(b, square, [1, 0.4670778757, 0.0258473823, 0.0003272917606, 7.704032496e-7]);
  return within(b, b.div(b.mul(inside, p), q), -1, 1);
}

/** 1 / (1 + e⁻ˣ): 2.5 ULP, also where it is near 0; 0 below −88.7. */
export function sigmoid<V>(b: FormBuilder<V>, x: V): V {
  return b.name(b.above(-87.3, x, (x) => b.div(b.const(1), b.add(b.exp(b.neg(x)), b.const(1)))));
}

/** Error function: 2.5 ULP. x·P(x²) below 0.9, 1 − e^Q(|x|) beyond. */
export function erf<V>(b: FormBuilder<V>, given: V): V {
  const x = b.name(given);
  const square = b.name(b.mul(x, x));
  const near = b.mul(
    x,
    polynomial(
      b,
      square,
      [1.128379167, -0.3761263498, 0.1128371503, -0.0268605085, 0.005203859214, -0.0008175639651, 8.513104762e-5],
    ),
  );
  const size = b.name(b.abs(x));
  const exponent = polynomial(
    b,
    b.name(b.pmin(size, b.const(4.1))),
    [
      0.0001545012183, -1.129415621, -0.6335520193, -0.10804977, 0.02496768949, -0.004112449634, 0.0004221774806,
      -2.001769661e-5,
    ],
  );
  const far = b.withSign(b.sub(b.const(1), b.exp(exponent)), x);
  return b.name(b.where(b.lt(size, b.const(0.9)), near, far));
}

/**
 * sin of x and so many quarter turns: error at most 1.6·2⁻²⁴ for |x| up to 10⁴, NaN at ±∞. The angle less n·π/2 is
 * formed in three parts, the first two of 11 bits.
 */
export function quarterTurned<V>(b: FormBuilder<V>, x: V, quarters: 0 | 1): V {
  const angle = b.name(x);
  const n = b.name(b.round(b.mul(angle, b.const(2 / Math.PI))));
  const high = b.negativeMultiplyAdd(n, b.const(1.5703125), angle);
  const middle = b.negativeMultiplyAdd(n, b.const(0.00048351287841796875), high);
  const r = b.name(b.negativeMultiplyAdd(n, b.const(3.13916478650481e-7), middle));
  const r2 = b.name(b.mul(r, r));
  const oddTail = polynomial(b, r2, [-0.1666666664, 0.008333329302, -0.0001983931147, 2.718114019e-6]);
  const odd = b.multiplyAdd(b.mul(r, r2), oddTail, r);
  const evenTail = polynomial(b, r2, [0.04166664567, -0.001388731561, 2.443308169e-5]);
  const even = b.multiplyAdd(b.mul(r2, r2), evenTail, b.negativeMultiplyAdd(r2, b.const(0.5), b.const(1)));
  return b.name(b.turned(n, quarters, odd, even));
}

/** Arc tangent: 2.5 ULP. A GPU may have one that takes two thirds of the time and is wrong by 4096. */
export function atan<V>(b: FormBuilder<V>, given: V): V {
  const x = b.name(given);
  const size = b.name(b.abs(x));
  const large = b.name(b.gt(size, b.const(1)));
  const t = b.name(b.where(large, b.div(b.const(1), size), size));
  const t2 = b.name(b.mul(t, t));
  const tail = polynomial(
    b,
    t2,
    [
      -0.3333329909, 0.1999854827, -0.1426424154, 0.1095218499, -0.08403447869, 0.05795754865, -0.0311777984,
      0.01091457887, -0.001793615394,
    ],
  );
  const value = b.name(b.multiplyAdd(b.mul(t, t2), tail, t));
  // π/2 has a rest that float32 does not hold.
  const whole = Math.fround(Math.PI / 2);
  const complement = b.sub(b.const(whole), b.sub(value, b.const(Math.PI / 2 - whole)));
  return b.name(b.withSign(b.where(large, complement, value), x));
}
