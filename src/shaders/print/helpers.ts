/** WGSL functions that printed expressions call, put into a kernel only where they are used. */
import type { ElementwiseName } from "../../tensor/elementwise/values.ts";
import { formFunctions } from "./forms.ts";
import { THREEFRY_PARITY, THREEFRY_ROTATIONS, THREEFRY_ROUNDS } from "../../tensor/threefry.ts";

/** Writes a function for f32 (`name_1`) and for vec4<f32> (`name_4`). */
function bothWidths(
  write: (suffix: string, float: string, splat: (v: string) => string, bool: string) => string,
): string {
  return write("1", "f32", (v) => v, "bool") + "\n" + write("4", "vec4<f32>", (v) => `vec4<f32>(${v})`, "vec4<bool>");
}

/** The type of bits in a width, and a word of it. */
function words(n: string): [string, (value: number) => string] {
  return n === "1" ? ["u32", (v) => `${v}u`] : ["vec4<u32>", (v) => `vec4<u32>(${v}u)`];
}

/** Whether x is not a number, by its bits: compilers may assume that no float is. */
function nanTest(n: string, x: string): string {
  const [u, word] = words(n);
  return `((bitcast<${u}>(${x}) & ${word(0x7fffffff)}) > ${word(0x7f800000)})`;
}

/** Integer division and remainder rounded towards minus infinity, 0 for a divisor of 0. */
function floorDivision(type: "i32" | "u32", lanes: 1 | 4): string {
  const t = lanes === 1 ? type : `vec4<${type}>`;
  const suffix = type === "i32" ? "" : "u";
  const [zero, unit] = [`${t}(0${suffix})`, `${t}(1${suffix})`];
  const adjust =
    type === "i32" ? `q = q - select(${zero}, ${unit}, (r != ${zero}) & ((r < ${zero}) != (d < ${zero})));` : "";
  return `
fn floor_div_${type}_${lanes}(x: ${t}, y: ${t}) -> ${t} {
  let d = select(y, ${unit}, y == ${zero});
  var q = x / d;
  let r = x - q * d;
  ${adjust}
  return select(q, ${zero}, y == ${zero});
}
fn floor_mod_${type}_${lanes}(x: ${t}, y: ${t}) -> ${t} {
  return select(x - y * floor_div_${type}_${lanes}(x, y), ${zero}, y == ${zero});
}`;
}

/**
 * The whole part of a float as an integer: the nearest there is for a float beyond the range, where a conversion stops
 * at the last float within it, and 0 for what is not a number, of which a conversion makes anything.
 */
function wholePart(type: "i32" | "u32"): string {
  const end = type === "i32" ? ["2147483647", "2147483648.0f"] : ["4294967295u", "4294967296.0f"];
  return bothWidths((n, f, s) => {
    const t = n === "1" ? type : `vec4<${type}>`;
    return `
fn whole_${type}_${n}(x: ${f}) -> ${t} {
  let held = select(${t}(x), ${t}(${end[0]}), x >= ${s(end[1])});
  return select(held, ${t}(), ${nanTest(n, "x")});
}`;
  });
}

/** x · 0: a zero of the sign of x; not a number where x is none or infinite. */
const TIMES_ZERO = bothWidths((n, f) => {
  const [u, word] = words(n);
  return `
fn times_zero_${n}(x: ${f}) -> ${f} {
  let bits = bitcast<${u}>(x);
  let lost = (bits & ${word(0x7fffffff)}) >= ${word(0x7f800000)};
  return bitcast<${f}>(select(bits & ${word(0x80000000)}, bits | ${word(0x7fc00000)}, lost));
}`;
});

/** 0 / x: a zero of the sign of x; not a number where x is none or 0. */
const ZERO_OVER = bothWidths((n, f) => {
  const [u, word] = words(n);
  return `
fn zero_over_${n}(x: ${f}) -> ${f} {
  let bits = bitcast<${u}>(x);
  let lost = ((bits & ${word(0x7fffffff)}) - ${word(1)}) >= ${word(0x7f800000)};
  return bitcast<${f}>(select(bits & ${word(0x80000000)}, bits | ${word(0x7fc00000)}, lost));
}`;
});

/** x / 0: infinite with the sign of x; not a number where x is none or 0. */
const OVER_ZERO = bothWidths((n, f) => {
  const [u, word] = words(n);
  return `
fn over_zero_${n}(x: ${f}) -> ${f} {
  let bits = bitcast<${u}>(x);
  let lost = ((bits & ${word(0x7fffffff)}) - ${word(1)}) >= ${word(0x7f800000)};
  return bitcast<${f}>((bits & ${word(0x80000000)}) | select(${word(0x7f800000)}, ${word(0x7fc00000)}, lost));
}`;
});

/** By the GPU's own eˣ, which no polynomial is as fast as, and the series where that would lose. */
const EXPM1 = bothWidths(
  (n, f, s) => `
fn expm1_${n}(x: ${f}) -> ${f} {
  let near = x * (${s("1.0f")} + x * (${s("0.5f")} + x * (${s("0.16666667f")} + x * (${s("0.041666667f")} + x * ${s("0.0083333333f")}))));
  let value = select(exp(x) - ${s("1.0f")}, near, abs(x) < ${s("0.25f")});
  return select(value, x, ${nanTest(n, "x")});
}`,
);

/** By the GPU's own logarithm, and the series where 1 + x would lose. */
const LOG1P = bothWidths(
  (n, f, s) => `
fn log1p_${n}(x: ${f}) -> ${f} {
  let u = x / (${s("2.0f")} + x);
  let u2 = u * u;
  let near = ${s("2.0f")} * u * (${s("1.0f")} + u2 * (${s("0.33333333f")} + u2 * (${s("0.2f")} + u2 * ${s("0.14285714f")})));
  return select(select(log_${n}(${s("1.0f")} + x), near, abs(x) < ${s("0.3f")}), x, ${nanTest(n, "x")});
}`,
);

/** Of a positive number; −∞ at zero, and no number below: drivers give numbers there. Subnormal numbers count as zero. */
const LOG = bothWidths((n, f, s) => {
  const [u, word] = words(n);
  return `
fn log_${n}(x: ${f}) -> ${f} {
  let bits = bitcast<${u}>(x);
  let special = select(${word(0x7fc00000)}, ${word(0xff800000)}, (bits & ${word(0x7fffffff)}) < ${word(0x800000)});
  let ordinary = (bits - ${word(0x800000)}) <= ${word(0x7f000000)};
  return bitcast<${f}>(select(special, bitcast<${u}>(log(select(${s("1.0f")}, x, ordinary))), ordinary));
}`;
});

/** x^y by C's rules. What is special is decided on bits; x¹, x² and x⁻¹ are rounded once. */
const POWER = bothWidths((n, f, s, b) => {
  const [u, word] = words(n);
  return `
fn power_${n}(x: ${f}, y: ${f}) -> ${f} {
  let x_bits = bitcast<${u}>(x) & ${word(0x7fffffff)};
  let y_bits = bitcast<${u}>(y) & ${word(0x7fffffff)};
  let negative: ${b} = bitcast<${u}>(x) >= ${word(0x80000000)};
  let grows: ${b} = bitcast<${u}>(y) < ${word(0x80000000)};
  let finite_y = clamp(y, ${s("-3.0e38f")}, ${s("3.0e38f")});
  let whole: ${b} = trunc(finite_y) == finite_y;
  let odd: ${b} = whole & (y_bits < ${word(0x4b800000)}) & ((abs(finite_y) - ${s("2.0f")} * floor(abs(finite_y) * ${s("0.5f")})) == ${s("1.0f")});
  let exponent = clamp(finite_y * log2(clamp(abs(x), ${s("1.1754944e-38f")}, ${s("3.4028234e38f")})), ${s("-200.0f")}, ${s("200.0f")});
  var size = bitcast<${u}>(exp2(exponent));
  size = select(size, ${word(0x7f800000)}, exponent >= ${s("128.0f")});
  size = select(size, ${word(0)}, exponent <= ${s("-150.0f")});
  let endless = select(${word(0)}, ${word(0x7f800000)}, grows);
  let vanishing = select(${word(0x7f800000)}, ${word(0)}, grows);
  size = select(size, endless, x_bits == ${word(0x7f800000)});
  size = select(size, vanishing, x_bits < ${word(0x800000)});
  let steep: ${b} = y_bits == ${word(0x7f800000)};
  size = select(size, select(vanishing, endless, x_bits > ${word(0x3f800000)}), steep);
  size = select(size, ${word(0x3f800000)}, steep & (x_bits == ${word(0x3f800000)}));
  size = select(size, size | ${word(0x80000000)}, negative & odd);
  let undefined_here: ${b} = negative & !whole & (x_bits < ${word(0x7f800000)}) & (x_bits >= ${word(0x800000)});
  let none: ${b} = undefined_here | (x_bits > ${word(0x7f800000)}) | (y_bits > ${word(0x7f800000)});
  size = select(size, ${word(0x7fc00000)}, none);
  let one: ${b} = (y_bits < ${word(0x800000)}) | (bitcast<${u}>(x) == ${word(0x3f800000)});
  let rounded = bitcast<${f}>(select(size, ${word(0x3f800000)}, one));
  let ordinary: ${b} = (x_bits - ${word(0x800000)}) < ${word(0x7f000000)};
  let plain = select(rounded, x, bitcast<${u}>(y) == ${word(0x3f800000)});
  let squared = select(plain, x * x, ordinary & (bitcast<${u}>(y) == ${word(0x40000000)}));
  return select(squared, ${s("1.0f")} / x, ordinary & (bitcast<${u}>(y) == ${word(0xbf800000)}));
}`;
});

function threefry(): string {
  const lines: string[] = [];
  for (let round = 0; round < THREEFRY_ROUNDS; round++) {
    const r = THREEFRY_ROTATIONS[round % 8];
    lines.push(`  x0 = x0 + x1; x1 = ((x1 << ${r}u) | (x1 >> ${32 - r}u)) ^ x0;`);
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      lines.push(`  x0 = x0 + k${s % 3}; x1 = x1 + k${(s + 1) % 3} + ${s}u;`);
    }
  }
  return `
fn threefry(k0: u32, k1: u32, c0: u32, c1: u32) -> vec2<u32> {
  let k2 = k0 ^ k1 ^ ${THREEFRY_PARITY}u;
  var x0 = c0 + k0;
  var x1 = c1 + k1;
${lines.join("\n")}
  return vec2<u32>(x0, x1);
}
fn threefry_word(k0: u32, k1: u32, index: u32, call: u32) -> u32 {
  let block = threefry(k0, k1, index >> 1u, call);
  return select(block.x, block.y, (index & 1u) == 1u);
}`;
}

const HELPERS: Record<string, string> = {
  expm1: EXPM1,
  times_zero: TIMES_ZERO,
  zero_over: ZERO_OVER,
  over_zero: OVER_ZERO,
  log1p: LOG1P,
  power: POWER,
  log: LOG,
  threefry: threefry(),
  whole: wholePart("i32") + "\n" + wholePart("u32"),
  floorDiv: (["i32", "u32"] as const).flatMap((t) => [floorDivision(t, 1), floorDivision(t, 4)]).join("\n"),
};

/** The text of a helper, or of the op of this name, in every width. */
export function helperText(name: string): string {
  return HELPERS[name] ?? formFunctions(name as ElementwiseName);
}
