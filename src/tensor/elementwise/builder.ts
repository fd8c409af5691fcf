/**
 * What forms of elementwise ops are said to.
 *
 * A builder has a value's kind V (a text of WGSL, WebAssembly code of four lanes) and the operations that are a device's
 * own. Those with the name of an op are that op, for the dtype of the operands that the builder was made for; what an
 * op's row says of NaN, infinities and errors holds of them. Masks are what comparisons give.
 *
 * WebAssembly computes by IEEE 754. A compiler of WGSL may take for granted that there is neither NaN nor infinity,
 * and may regroup sums and products, so a form says what it rests on by `carrying` and `above`, and leaves to a
 * builder's own hand what is correct in one order of operations alone.
 */
export interface FormBuilder<V> {
  /** The same number in all lanes. */
  const(value: number): V;
  /** The value, computed once: for what is used more than once. */
  name(value: V): V;

  add(x: V, y: V): V;
  sub(x: V, y: V): V;
  mul(x: V, y: V): V;
  div(x: V, y: V): V;
  floorDiv(x: V, y: V): V;
  mod(x: V, y: V): V;
  neg(x: V): V;
  abs(x: V): V;
  sign(x: V): V;
  sqrt(x: V): V;
  maximum(x: V, y: V): V;
  minimum(x: V, y: V): V;
  floor(x: V): V;
  ceil(x: V): V;
  trunc(x: V): V;
  round(x: V): V;

  eq(x: V, y: V): V;
  ne(x: V, y: V): V;
  lt(x: V, y: V): V;
  le(x: V, y: V): V;
  gt(x: V, y: V): V;
  ge(x: V, y: V): V;
  isNaN(x: V): V;
  isFinite(x: V): V;
  and(x: V, y: V): V;
  or(x: V, y: V): V;
  not(x: V): V;
  /** x where the mask holds, else y. */
  where(mask: V, x: V, y: V): V;

  bitAnd(x: V, y: V): V;
  bitOr(x: V, y: V): V;
  bitXor(x: V, y: V): V;
  shiftLeft(x: V, y: V): V;
  shiftRight(x: V, y: V): V;

  /**
   * A GPU has eˣ and the logarithm as instructions that no polynomial is as fast as. They serve eˣ − 1 too: by the
   * polynomial of WebAssembly it takes SwiftShader a third longer.
   */
  exp(x: V): V;
  expm1(x: V): V;
  log(x: V): V;
  /** Of what 1 + x loses by rounding, which a compiler of WGSL may regroup to 0. */
  log1p(x: V): V;
  /** In WebAssembly the logarithm's own rounding error is known; WGSL decides all that is special on bits. */
  pow(x: V, y: V): V;

  /** x·y + z, rounded once or twice. */
  multiplyAdd(x: V, y: V, z: V): V;
  /** z − x·y, likewise. */
  negativeMultiplyAdd(x: V, y: V, z: V): V;
  /** The smaller of two numbers: `y < x ? y : x`. */
  pmin(x: V, y: V): V;
  /** The larger of two numbers: `x < y ? y : x`. Where y is the constant 0, NaN stays NaN without `carrying`. */
  pmax(x: V, y: V): V;
  /** What is not negative, with the sign of another. */
  withSign(size: V, x: V): V;
  /** Of whole n: `odd`, where n + quarters is odd `even`, and their negatives in the second half of four. */
  turned(n: V, quarters: 0 | 1, odd: V, even: V): V;

  /** A value that is not a number where x is none, which WebAssembly's is without being told. */
  carrying(value: V, x: V): V;
  /**
   * A function of x that vanishes towards −∞, where its value is 0 below `low`, by way of an infinity that a driver
   * need not have. Not a number where x is none.
   */
  above(low: number, x: V, value: (x: V) => V): V;
}
